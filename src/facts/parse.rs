//! Reads the kernel's and systemd's texts. Pure, so that odd machines are test cases.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::UnitFacts;
use crate::known::names;

/// Name servers of a resolv.conf that pods could use: no loopback address, since in a pod that is the pod itself.
pub fn nameservers(resolv_conf: &str) -> Vec<IpAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().parse::<IpAddr>().ok())
        .filter(|address| !address.is_loopback())
        .collect()
}

/// Devices and files in /proc/swaps.
pub fn swaps(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(unescape).collect()
}

/// A path as the kernel's tables write it: blanks, line feeds and backslashes are octal there.
pub(super) fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Module names in /proc/modules and in modules.builtin, with `-` as `_`, as the kernel has them.
pub fn modules(proc_modules: &str, builtin: &str) -> BTreeSet<String> {
    let loaded = proc_modules.lines().filter_map(|line| line.split_whitespace().next());
    let built_in = builtin.lines().filter_map(|line| line.rsplit('/').next()?.strip_suffix(".ko"));
    loaded.chain(built_in).map(|name| name.replace('-', "_")).collect()
}

/// `MemTotal` of /proc/meminfo in bytes.
pub fn memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// PRETTY_NAME of os-release.
pub fn system(os_release: &str) -> String {
    let line = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.unwrap_or("unknown").trim_matches('"').to_string()
}

/// Is CAP_SYS_RESOURCE (bit 24, capability(7)) in the bounding set of /proc/self/status?
pub fn may_raise_limits(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let set = line.and_then(|rest| u64::from_str_radix(rest.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << 24) != 0)
}

/// Units in the output of `systemctl show --property=Id,ActiveState,UnitFileState`: one paragraph a unit.
pub fn units(text: &str) -> BTreeMap<String, UnitFacts> {
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.lines().filter_map(|line| line.split_once('=')).collect::<BTreeMap<&str, &str>>());
    paragraphs
        .filter_map(|fields| {
            let facts = UnitFacts {
                active: fields.get("ActiveState") == Some(&"active"),
                enabled: fields.get("UnitFileState") == Some(&"enabled"),
            };
            Some((fields.get("Id")?.to_string(), facts))
        })
        .collect()
}

/// Names and manifest digests of the pinned images in the output of `ctr images list`. One that is not pinned does not
/// count: an import that was cut off left it, and kubelet may delete it when the disk fills.
pub fn images(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| line.contains(names::PINNED_LABEL))
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (name, _kind, digest) = (fields.next()?, fields.next()?, fields.next()?);
            Some((name.to_string(), digest.to_string()))
        })
        .collect()
}

/// Major and minor of `uname -r`.
pub fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|character: char| !character.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Value of `--initial-cluster` in an etcd manifest.
pub fn initial_cluster(manifest: &str) -> Option<String> {
    let line =
        manifest.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("--initial-cluster="));
    line.map(|value| value.trim_matches(|character| character == '"' || character == '\'').to_string())
}

/// The tag of the first image in a manifest.
pub fn image_tag(manifest: &str) -> Option<String> {
    let image = manifest.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix("image:"))?;
    let (_, tag) = image.trim().trim_matches('"').rsplit_once(':')?;
    Some(tag.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_a_manifest_is_its_images_tag() {
        let tag = |text: &str| image_tag(text);
        assert_eq!(
            tag("  containers:\n  - name: a\n    image: barque.local:5000/barque:v1.37.2\n").unwrap(),
            "v1.37.2"
        );
        assert_eq!(tag("  - image: \"barque:v1.36.4\"\n").unwrap(), "v1.36.4");
        assert_eq!(tag("spec: {}\n"), None);
    }

    #[test]
    fn a_stub_resolver_is_no_name_server_for_pods() {
        let text = "# x\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver\t::1\noptions edns0\n";
        assert_eq!(nameservers(text), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn modules_count_built_in_or_loaded() {
        let found = modules("br_netfilter 32768 0 - Live 0x0\n", "kernel/fs/overlayfs/overlay.ko\nkernel/x/nf-y.ko\n");
        assert_eq!(found, ["br_netfilter", "nf_y", "overlay"].map(String::from).into());
    }

    #[test]
    fn units_are_told_apart() {
        let text = "Id=a.service\nActiveState=active\nUnitFileState=enabled\n\n\
                    Id=b.service\nActiveState=failed\nUnitFileState=\n";
        let found = units(text);
        assert_eq!(found["a.service"], UnitFacts { active: true, enabled: true });
        assert_eq!(found["b.service"], UnitFacts { active: false, enabled: false });
    }

    #[test]
    fn the_kernel_s_texts() {
        assert_eq!(memory("MemTotal:  2048 kB\n"), 2 << 20);
        assert_eq!(kernel_version("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(kernel_version("weird"), None);
        assert_eq!(swaps("Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n"), ["/dev/sda2"]);
        let odd = "Filename Type Size Used Priority\n/my\\040swap\\0111\\134040 file 1 0 -2\n";
        assert_eq!(swaps(odd), ["/my swap\t1\\040"]);
        assert!(may_raise_limits("CapBnd:\t000001ffffffffff\n"));
        assert!(!may_raise_limits("CapBnd:\t000001fffeffffff\n"));
        assert_eq!(system("ID=debian\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
    }

    #[test]
    fn images_and_flags() {
        let text = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n\
                    barque:v1 application/x sha256:ab 1 MiB linux/amd64 a=b,io.cri-containerd.pinned=pinned \n\
                    barque:v2 application/x sha256:cd 1 MiB linux/amd64 io.cri-containerd.image=managed \n";
        assert_eq!(images(text), BTreeMap::from([("barque:v1".to_string(), "sha256:ab".to_string())]));
        assert_eq!(
            initial_cluster("    - --initial-cluster=m1=https://a:2380\n").as_deref(),
            Some("m1=https://a:2380")
        );
    }
}
