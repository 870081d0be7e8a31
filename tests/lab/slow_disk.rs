//! A disk that takes few writes a second: the kernel's own limit for one container.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::node::{docker, process};

/// As long as it lives the container's writes wait.
pub struct SlowDisk {
    file: PathBuf,
    /// What the file takes before and after the number; cgroup 1 has a file a limit, and 0 for none.
    words: (String, &'static str),
}

impl SlowDisk {
    /// So many writes a second. Err says what this machine lacks.
    pub fn begin(container: &str, writes: u32) -> Result<SlowDisk, String> {
        let text = fs_err::read_to_string(format!("/proc/{}/cgroup", process(container)))
            .map_err(|error| error.to_string())?;
        let group = |of: &str| text.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(of));
        let template = "{{range .Mounts}}{{if eq .Destination \"/var\"}}{{.Source}}{{end}}{{end}}";
        let volume = docker(&["inspect", "-f", template, container], "").text();
        let device = whole_disk(Path::new(&volume))?;
        // systemd inside moved itself into a child of what Docker made.
        let below = |folder: &str, group: &str, file: &str| {
            let group = group.trim_start_matches('/').trim_end_matches("/init.scope");
            Path::new("/sys/fs/cgroup").join(folder).join(group).join(file)
        };
        let disk = match (group("blkio:"), group(":")) {
            (Some(group), _) => SlowDisk {
                file: below("blkio", group, "blkio.throttle.write_iops_device"),
                words: (format!("{device} "), "0"),
            },
            (None, Some(group)) => {
                SlowDisk { file: below("", group, "io.max"), words: (format!("{device} wiops="), "max") }
            }
            (None, None) => return Err("no cgroup limits its disks".to_string()),
        };
        disk.set(&writes.to_string()).map_err(|error| format!("{}: {error}", disk.file.display()))?;
        Ok(disk)
    }

    fn set(&self, writes: &str) -> std::io::Result<()> {
        std::fs::write(&self.file, format!("{}{writes}", self.words.0))
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // The container may be gone, and its limit with it.
        let _ = self.set(self.words.1);
    }
}

/// The disk below a path as `major:minor`; limits are for disks, not for their partitions.
fn whole_disk(path: &Path) -> Result<String, String> {
    let device = fs_err::metadata(path).map_err(|error| error.to_string())?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let shown = fs_err::canonicalize(format!("/sys/dev/block/{major}:{minor}")).map_err(|error| error.to_string())?;
    let disk = if shown.join("partition").exists() { shown.parent().unwrap_or(&shown) } else { &shown };
    let device = fs_err::read_to_string(disk.join("dev")).map_err(|error| error.to_string())?;
    Ok(device.trim().to_string())
}
