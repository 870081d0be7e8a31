//! Every connection is an open file, and the usual soft limit is 1,024 of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Kind, with_hint};

/// Standard streams, the runtime's, and what is read and written on the way.
const OWN: u64 = 64;

/// Makes room for so many hosts, of which at most `width` are being connected to at a time: the limit is raised to what is
/// needed, as far as this process may. Each host keeps a connection, and each that logs in may talk to ssh-agent.
///
/// # Errors
/// If the hard limit is lower: hosts would seem not to answer, one by one, for a reason that is here.
pub fn make_room(hosts: usize, width: usize) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let needed = needed(hosts, width);
    if let Some(message) = shortfall(hosts, needed, limit.maximum) {
        let hint = format!(
            "raise it with `ulimit -n {needed}` as root, or `docker run --ulimit nofile={needed}`; or look at fewer \
             hosts with --only"
        );
        return Err(with_hint(Kind::BadInput, message, hint));
    }
    if limit.current.is_some_and(|current| current < needed) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum });
    }
    Ok(())
}

fn needed(hosts: usize, width: usize) -> u64 {
    (hosts + width.min(hosts)) as u64 + OWN
}

fn shortfall(hosts: usize, needed: u64, hard: Option<u64>) -> Option<String> {
    let hard = hard.filter(|hard| *hard < needed)?;
    Some(format!("connecting to {hosts} hosts takes up to {needed} open files, and this process may have {hard}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_and_never_lowered() {
        let current = || getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let before = current();
        make_room(1, 1).unwrap();
        assert_eq!(current(), before);
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20);
        let hosts = usize::try_from(hard.min(before + 1000) - OWN - 1).unwrap();
        make_room(hosts, 1).unwrap();
        assert!(current() >= hosts as u64 + OWN);
    }

    #[test]
    fn too_low_a_hard_limit_is_told_before_hosts_seem_dead() {
        assert_eq!(needed(5000, 1000), 6064);
        assert_eq!(needed(3, 1000), 70);
        assert_eq!(shortfall(5000, 6064, Some(6064)), None);
        assert_eq!(shortfall(5000, 6064, None), None);
        let message = shortfall(5000, 6064, Some(4096)).unwrap();
        assert!(message.contains("5000 hosts") && message.contains("6064") && message.contains("4096"), "{message}");
    }

    #[test]
    fn the_refusal_names_the_way_out() {
        let Some(hard) = getrlimit(Resource::Nofile).maximum else { return };
        let error = make_room(usize::try_from(hard).unwrap_or(usize::MAX / 4), 1).unwrap_err();
        assert_eq!(crate::error::kind_of(&error), Kind::BadInput);
        assert!(crate::error::render(&error).contains("ulimit"), "{}", crate::error::render(&error));
    }
}
