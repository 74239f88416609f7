//! What a lab left whose process and warden were both killed.

use std::fs;

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use thiserror::Error;

use crate::{
    control_group::{ControlGroupError, remove_named},
    ip::{IpError, ip},
    netns::PREFIX,
};

/// Something that a dead lab left can't be removed.
#[derive(Debug, Error)]
pub enum LeftoverError {
    /// A network namespace.
    #[error(transparent)]
    Namespace(#[from] IpError),
    /// A control group.
    #[error(transparent)]
    ControlGroup(#[from] ControlGroupError),
}

/// Removes the network namespaces of labs whose process is dead, with the processes inside them, and their
/// control groups, and returns the names of all.
///
/// A namespace `schism-PID-…` belongs to the lab of that process; nothing but what that lab
/// started runs in it. Labs of living processes are left alone.
///
/// # Errors
/// When a namespace or a control group of a dead lab can't be removed.
pub fn sweep() -> Result<Vec<String>, LeftoverError> {
    let mut swept = sweep_namespaces()?;
    swept.extend(remove_named(|name| owner(name).is_some_and(|pid| !is_alive(pid)))?);
    Ok(swept)
}

fn sweep_namespaces() -> Result<Vec<String>, IpError> {
    let mut swept = Vec::new();
    let Ok(entries) = fs::read_dir("/run/netns") else {
        return Ok(swept);
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name).is_none_or(is_alive) {
            continue;
        }
        for pid in ip(&["netns", "pids", &name])?.split_whitespace() {
            if let Ok(pid) = pid.parse() {
                // One that has ended meanwhile is what was wanted.
                let _: Result<(), Errno> = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        ip(&["netns", "del", &name])?;
        swept.push(name);
    }
    Ok(swept)
}

fn owner(name: &str) -> Option<Pid> {
    let pid = name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()?;
    (pid > 0).then(|| Pid::from_raw(pid))
}

fn is_alive(pid: Pid) -> bool {
    kill(pid, None) != Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_from_names() {
        assert_eq!(owner("schism-4711-0-a"), Some(Pid::from_raw(4711)));
        assert_eq!(owner("schism-0-0-a"), None);
        assert_eq!(owner("schism-db0"), None);
        assert_eq!(owner("db0"), None);
        assert!(is_alive(nix::unistd::getpid()));
    }
}
