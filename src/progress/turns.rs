//! Where a run over hosts that serve is: whose turn it is, and who comes next.

use std::collections::BTreeSet;

use crate::event::Turn;

/// Names that are shown of a batch.
const NAMES: usize = 3;

/// The turns of a run, with the tasks that still have to end in each.
#[derive(Default)]
pub(super) struct Turns(Vec<Progress>);

struct Progress {
    title: String,
    begins: BTreeSet<usize>,
    left: BTreeSet<usize>,
    is_begun: bool,
}

impl Turns {
    pub(super) fn of(turns: &[Turn]) -> Turns {
        let progress = |turn: &Turn| Progress {
            title: title(turn),
            begins: turn.begins.iter().copied().collect(),
            left: turn.ends.iter().copied().collect(),
            is_begun: false,
        };
        Turns(turns.iter().map(progress).collect())
    }

    pub(super) fn started(&mut self, task: usize) {
        let begun = self.0.iter_mut().find(|turn| turn.begins.contains(&task));
        begun.into_iter().for_each(|turn| turn.is_begun = true);
    }

    pub(super) fn finished(&mut self, task: usize) {
        for turn in &mut self.0 {
            turn.left.remove(&task);
        }
    }

    /// Such as `turn 4 of 9: w1, next w2, w3`; none before the first turn, after the last one, and where nobody takes turns.
    pub(super) fn words(&self) -> Option<String> {
        let now = self.0.iter().position(|turn| !turn.left.is_empty())?;
        let turn = &self.0[now];
        let next = self.0.get(now + 1).map(|next| format!(", next {}", next.title)).unwrap_or_default();
        match turn.is_begun {
            true => Some(format!("turn {} of {}: {}{next}", now + 1, self.0.len(), turn.title)),
            // Between two turns something is waited for.
            false if now > 0 => Some(format!("{now} of {} turns done, next {}", self.0.len(), turn.title)),
            false => None,
        }
    }
}

fn title(turn: &Turn) -> String {
    let mut title = turn.hosts.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = turn.hosts.len().saturating_sub(NAMES);
    if more > 0 {
        title.push_str(&format!(" and {more} more"));
    }
    if turn.control_plane {
        title.push_str("'s control plane");
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(hosts: &[&str], control_plane: bool, begins: &[usize], ends: &[usize]) -> Turn {
        let hosts = hosts.iter().map(ToString::to_string).collect();
        Turn { hosts, control_plane, begins: begins.to_vec(), ends: ends.to_vec() }
    }

    #[test]
    fn whose_turn_it_is_and_who_comes_next() {
        let mut turns = Turns::of(&[
            turn(&["m1"], true, &[3], &[3]),
            turn(&["w1"], false, &[4], &[7]),
            turn(&["w2", "w3", "w4", "w5"], false, &[8, 12, 16, 20], &[11, 15, 19, 23]),
        ]);
        assert_eq!(turns.words(), None, "nobody has begun");
        turns.started(3);
        assert_eq!(turns.words().unwrap(), "turn 1 of 3: m1's control plane, next w1");
        turns.finished(3);
        assert_eq!(turns.words().unwrap(), "1 of 3 turns done, next w1");
        turns.started(4);
        turns.finished(4);
        assert_eq!(turns.words().unwrap(), "turn 2 of 3: w1, next w2, w3, w4 and 1 more");
        turns.finished(7);
        turns.started(12);
        for end in [11, 15, 19] {
            turns.finished(end);
            assert_eq!(turns.words().unwrap(), "turn 3 of 3: w2, w3, w4 and 1 more");
        }
        turns.finished(23);
        assert_eq!(turns.words(), None);
    }
}
