//! A control group that a test made, of the name of a container, and that goes away with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lab::control_group::remove_until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

static NEXT: AtomicU64 = AtomicU64::new(1);
/// How long to wait for what must happen (10 s).
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A container, as far as the kernel knows of any: its control group, in all hierarchies that are mounted.
pub(crate) struct Group {
    pub(crate) id: String,
    directories: Vec<PathBuf>,
}

impl Group {
    /// With bounds, as in `cpu.cfs_quota_us` 20000: those of version 1, or their like of version 2.
    pub(crate) fn new(processor_share: u64, memory: u64) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) << 32 | u64::from(std::process::id());
        let id = format!("5c15{number:060x}");
        let root = Path::new("/sys/fs/cgroup");
        let second = root.join("cgroup.controllers").exists();
        let mut group = Self { id: id.clone(), directories: Vec::new() };
        let hierarchies: &[&str] = if second { &[""] } else { &["cpu", "memory", "unified"] };
        for hierarchy in hierarchies {
            let directory = root.join(hierarchy).join(&id);
            fs::create_dir(&directory).unwrap();
            group.directories.push(directory);
        }
        let quota = processor_share * 1_000;
        if second {
            fs::write(root.join("cgroup.subtree_control"), "+cpu +memory").unwrap();
            group.set("cpu.max", &format!("{quota} 100000"));
            group.set("memory.max", &memory.to_string());
        } else {
            group.set("cpu.cfs_quota_us", &quota.to_string());
            group.set("memory.limit_in_bytes", &memory.to_string());
        }
        group
    }

    fn set(&self, file: &str, value: &str) {
        let has = |directory: &&PathBuf| directory.join(file).exists();
        let directory = self.directories.iter().find(has).unwrap();
        fs::write(directory.join(file), value).unwrap();
    }

    /// Who is in it.
    pub(crate) fn members(&self) -> Vec<u32> {
        let read = |directory: &PathBuf| {
            fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default()
        };
        let all = read(&self.directories[0]);
        all.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Moves a process into it.
    pub(crate) fn admit(&self, pid: u32) {
        for directory in &self.directories {
            fs::write(directory.join("cgroup.procs"), pid.to_string()).unwrap();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for pid in self.members() {
            // It may be on its way out.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        let end = Instant::now() + PATIENCE;
        for directory in &self.directories {
            if let Err(error) = remove_until(directory, end) {
                eprintln!("{}: {error}", directory.display());
            }
        }
    }
}
