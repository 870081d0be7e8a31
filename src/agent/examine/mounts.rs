//! The file systems below the paths that grow.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags};

use crate::facts::preflight::{Mount, parse};
use crate::step::Machine;

/// The file system below each path, whether the path is there yet or not.
pub(super) fn below(machine: &Machine<'_>, mountinfo: &str, paths: &[String]) -> BTreeMap<String, Mount> {
    let look = |path: &String| {
        let (mut mount, device) = parse::mount_of(mountinfo, path)?;
        mount.thin = is_thin(machine, &device);
        mount.tells_kinds = tells_kinds(&machine.path(nearest(machine, path)));
        Some((path.clone(), mount))
    };
    paths.iter().filter_map(look).collect()
}

/// The path itself, or the nearest folder above it that exists.
fn nearest<'a>(machine: &Machine<'_>, path: &'a str) -> &'a str {
    let found =
        Path::new(path).ancestors().find(|above| above.to_str().is_some_and(|above| machine.path(above).is_dir()));
    found.and_then(Path::to_str).unwrap_or("/")
}

/// Whether entries of a folder come with their kind; none if it has no entries.
fn tells_kinds(folder: &Path) -> Option<bool> {
    let opened = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let entries = Dir::read_from(opened).ok()?.flatten();
    let mut kinds = entries.filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."));
    kinds.next().map(|first| first.file_type() != FileType::Unknown)
}

/// device-mapper names what a volume lies on: a thin volume lies on a thing whose UUID ends so (lvmthin(7)).
fn is_thin(machine: &Machine<'_>, device: &str) -> bool {
    let slaves = fs_err::read_dir(machine.path(&format!("/sys/dev/block/{device}/slaves"))).into_iter().flatten();
    let uuid = |slave: std::path::PathBuf| fs_err::read_to_string(slave.join("dm/uuid")).unwrap_or_default();
    slaves.flatten().any(|entry| uuid(entry.path()).trim().ends_with("-tpool"))
}
