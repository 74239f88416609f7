//! Control groups that go away with their handle.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::warden;

/// How long the kernel may take to let go of processes that are gone (5 s).
const LIMIT: Duration = Duration::from_secs(5);

/// Between two looks at what announces nothing.
const LOOK: Duration = Duration::from_millis(20);

/// Something with a control group failed.
#[derive(Debug, Error)]
#[error("{path}: {source}")]
pub struct ControlGroupError {
    /// Which file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl ControlGroupError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

/// One directory in every hierarchy of this machine, all of which go with the handle.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    name: String,
    directories: Vec<PathBuf>,
}

impl ControlGroup {
    /// Makes it, where the name is as namespaces have it, so that leftovers tell whose they are.
    pub(crate) fn create(name: &str) -> Result<Self, ControlGroupError> {
        let mut group = Self { name: name.to_owned(), directories: Vec::new() };
        for hierarchy in hierarchies()? {
            let directory = hierarchy.join(name);
            warden::watch_control_group(&directory);
            fs::create_dir(&directory).map_err(ControlGroupError::at(&directory))?;
            group.directories.push(directory.clone());
            // Of version 1 a group that is not given any is allowed no processor.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let (own, parent) = (directory.join(file), hierarchy.join(file));
                if parent.exists() {
                    let all = fs::read(&parent).map_err(ControlGroupError::at(&parent))?;
                    fs::write(&own, all).map_err(ControlGroupError::at(&own))?;
                }
            }
        }
        Ok(group)
    }

    /// Its path in every hierarchy.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.name)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let end = Instant::now() + LIMIT;
        for directory in &self.directories {
            if let Err(error) = remove_until(directory, end) {
                eprintln!("lab: {}: {error}", directory.display());
            }
        }
    }
}

/// Removes a group with all groups within, and waits until then for processes that are about to leave them. One
/// that is not there needs nothing.
///
/// # Errors
/// A process is in one of them.
pub fn remove_until(directory: &Path, end: Instant) -> io::Result<()> {
    loop {
        let removed = remove(directory);
        if removed.is_ok() || Instant::now() >= end {
            return removed;
        }
        // Whoever ended leaves the group a moment after it was reaped.
        thread::sleep(LOOK);
    }
}

/// Removes a group with all groups within; one that is not there needs nothing.
fn remove(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return unless_gone(error),
    };
    for entry in entries {
        let within = match entry {
            Ok(entry) => entry.path(),
            Err(error) => return unless_gone(error),
        };
        // Files of the kernel go with their group.
        if within.is_dir() {
            remove(&within)?;
        }
    }
    fs::remove_dir(directory).or_else(unless_gone)
}

/// Somebody else who removes it does what was wanted. (ENODEV is what reading a group that goes comes to.)
fn unless_gone(error: io::Error) -> io::Result<()> {
    let gone = error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32);
    if gone { Ok(()) } else { Err(error) }
}

/// Removes the groups in all hierarchies whose names are found wanting, and returns those names. Processes
/// that were killed are waited for.
///
/// # Errors
/// A process is in one of them.
pub(crate) fn remove_named(
    wanting: impl Fn(&str) -> bool,
) -> Result<Vec<String>, ControlGroupError> {
    let (mut removed, end) = (Vec::new(), Instant::now() + LIMIT);
    for hierarchy in hierarchies()? {
        let entries = fs::read_dir(&hierarchy).map_err(ControlGroupError::at(&hierarchy))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if wanting(&name) {
                remove_until(&entry.path(), end).map_err(ControlGroupError::at(&entry.path()))?;
                removed.push(name);
            }
        }
    }
    removed.sort();
    removed.dedup();
    Ok(removed)
}

/// Where the hierarchies are mounted, of both versions.
fn hierarchies() -> Result<Vec<PathBuf>, ControlGroupError> {
    let path = Path::new("/proc/self/mountinfo");
    Ok(mounted(&fs::read_to_string(path).map_err(ControlGroupError::at(path))?))
}

/// From proc_pid_mountinfo(5): the fifth field is where, the first behind the dash what.
fn mounted(mountinfo: &str) -> Vec<PathBuf> {
    let place = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let (root, place) = (before.split(' ').nth(3)?, before.split(' ').nth(4)?);
        let kind = after.split(' ').next()?;
        // A part of a hierarchy that is mounted somewhere is seen in the whole.
        (matches!(kind, "cgroup" | "cgroup2") && root == "/").then(|| PathBuf::from(place))
    };
    let mut places: Vec<PathBuf> = mountinfo.lines().filter_map(place).collect();
    places.sort();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let text = "24 1 254:0 / / rw - ext4 /dev/vda rw\n\
                    31 24 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                    32 24 0:28 /a /mnt/part rw,relatime - cgroup2 cgroup2 rw\n\
                    33 24 0:28 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n";
        let found = mounted(text);
        assert_eq!(found, ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"].map(PathBuf::from));
    }
}
