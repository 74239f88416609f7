//! Control groups: where a process is, and what it may have there (cgroups(7)).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::netns;

/// The file in which a group of version 2 bounds memory.
const SECOND: &str = "memory.max";
/// Hierarchies of version 1 that share out what a load takes.
const SHARING: [&str; 6] = ["cpu", "cpuacct", "cpuset", "memory", "blkio", "pids"];

/// The control groups of a process that bound what it takes, as directories.
///
/// # Errors
/// /proc cannot be read, or there is no such process.
pub(super) fn of(pid: u32) -> io::Result<Vec<Group>> {
    netns::with_groups_of_node(|| {
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        Ok(parse(&mounts, &groups))
    })?
}

/// A control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Where its hierarchy is mounted.
    mount: PathBuf,
    /// Its own directory.
    pub(super) directory: PathBuf,
    /// Whether it bounds memory, and in which file.
    memory: Option<&'static str>,
}

fn parse<'a>(mounts: &'a str, groups: &'a str) -> Vec<Group> {
    let group = |line: &'a str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let names: Vec<&str> = controllers.split(',').collect();
        let second = controllers.is_empty();
        if !second && !names.iter().any(|name| SHARING.contains(name)) {
            return None;
        }
        let has = |mount: &Mount<'_>| match second {
            true => mount.kind == "cgroup2",
            false => mount.kind == "cgroup" && names.iter().all(|name| mount.has(name)),
        };
        // A mount may show a part of the hierarchy, as in a container, and another one all of it.
        let shows = |mount: Mount<'a>| {
            let below = Path::new(path).strip_prefix(mount.root).ok()?;
            Some((mount, below))
        };
        let all = mounts.lines().filter_map(Mount::parse).filter(has);
        let (mount, below) = all.filter_map(shows).next()?;
        let memory = if second {
            Some(SECOND)
        } else {
            names.contains(&"memory").then_some("memory.limit_in_bytes")
        };
        let directory = Path::new(mount.point).join(below);
        Some(Group { mount: PathBuf::from(mount.point), directory, memory })
    };
    groups.lines().filter_map(group).collect()
}

struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// A line of mountinfo (proc_pid_mountinfo(5)).
    fn parse(line: &'a str) -> Option<Self> {
        let (first, second) = line.split_once(" - ")?;
        let mut first = first.split(' ').skip(3);
        let mut second = second.split(' ');
        Some(Self {
            root: first.next()?,
            point: first.next()?,
            kind: second.next()?,
            options: second.nth(1)?,
        })
    }

    fn has(&self, controller: &str) -> bool {
        self.options.split(',').any(|option| option == controller)
    }
}

/// How much memory a process in these groups may have (bytes): the least that any of them or those above
/// them allows, or all of the node's.
///
/// # Errors
/// /proc cannot be read.
pub(super) fn memory_limit(groups: &[Group]) -> io::Result<u64> {
    let mut least = memory_of_node()?;
    for group in groups {
        let Some(file) = group.memory else { continue };
        let above = group.directory.ancestors().take_while(|one| one.starts_with(&group.mount));
        for directory in above {
            // `max`, or nothing at the root of a hierarchy.
            let limit = fs::read_to_string(directory.join(file)).unwrap_or_default();
            least = limit.trim().parse().map_or(least, |limit: u64| least.min(limit));
        }
    }
    Ok(least)
}

/// How much memory processes in these groups may take before it runs short, where that would end all
/// processes of a group at once (memory.oom.group, cgroup v2); `None` where the kernel picks one.
///
/// # Errors
/// /proc cannot be read.
pub(super) fn room_in_common(groups: &[Group]) -> io::Result<Option<u64>> {
    let mut room = None;
    for group in groups.iter().filter(|group| group.memory == Some(SECOND)) {
        let above = group.directory.ancestors().take_while(|one| one.starts_with(&group.mount));
        // A limit ends a group in common if it is that group's or of one above it, the node's included.
        for directory in above {
            let in_common = fs::read_to_string(directory.join("memory.oom.group"));
            if room.is_none() && in_common.is_ok_and(|text| text.trim() == "1") {
                room = Some(of_node("MemAvailable:")?);
            }
            room = room.map(|room| left(directory).map_or(room, |left| room.min(left)));
        }
    }
    Ok(room)
}

/// How much of a group's limit is left; what of files has not been used lately makes room.
fn left(directory: &Path) -> Option<u64> {
    let number = |file: &str| fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok();
    let (limit, used): (u64, u64) = (number(SECOND)?, number("memory.current")?);
    let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
    let idle = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok());
    Some(limit.saturating_sub(used.saturating_sub(idle.unwrap_or(0))))
}

/// How many processes of these groups the kernel has ended as memory ran short.
pub(super) fn ended_for_memory(groups: &[Group]) -> u64 {
    let ended = |group: &Group| {
        let file = if group.memory? == SECOND { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(group.directory.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
    };
    groups.iter().filter_map(ended).sum()
}

fn memory_of_node() -> io::Result<u64> {
    of_node("MemTotal:")
}

/// A line of meminfo (proc_meminfo(5)), in bytes.
fn of_node(name: &str) -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes
        .map(|kib| kib << 10)
        .ok_or_else(|| io::Error::other(format!("meminfo without {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
29 24 0:25 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
30 29 0:26 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate
34 29 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:16 - cgroup cgroup rw,cpu,cpuacct
33 29 0:31 /elsewhere /sys/fs/cgroup/memory rw shared:17 - cgroup cgroup rw,memory
35 29 0:31 /pods /sys/fs/cgroup/memory rw shared:17 - cgroup cgroup rw,memory
36 29 0:32 / /sys/fs/cgroup/freezer rw shared:18 - cgroup cgroup rw,freezer
";

    #[test]
    fn groups_of_both_versions() {
        let groups =
            "9:freezer:/a\n5:memory:/pods/a\n4:cpu,cpuacct:/a\n1:name=systemd:/a\n0::/a/b\n";
        let found = parse(HYBRID, groups);
        let directories: Vec<_> = found.iter().filter_map(|one| one.directory.to_str()).collect();
        let expected = [
            "/sys/fs/cgroup/memory/a",
            "/sys/fs/cgroup/cpu,cpuacct/a",
            "/sys/fs/cgroup/unified/a/b",
        ];
        assert_eq!(directories, expected);
        assert_eq!(found[0].memory, Some("memory.limit_in_bytes"));
        assert_eq!((found[1].memory, found[2].memory), (None, Some(SECOND)));
    }

    #[test]
    fn the_least_of_all_limits_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("a/memory.max"), "4096\n").unwrap();
        let mount = root.path().to_owned();
        let group = Group { mount, directory, memory: Some("memory.max") };
        assert_eq!(memory_limit(&[group]).unwrap(), 4_096);
        assert_eq!(memory_limit(&[]).unwrap(), memory_of_node().unwrap());
    }

    #[test]
    fn what_is_left_counts_where_a_group_ends_in_common() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("pod/container");
        fs::create_dir_all(&directory).unwrap();
        let write = |file: &str, text: &str| fs::write(root.path().join(file), text).unwrap();
        for (group, limit, used) in [("pod", "9000", "2000"), ("pod/container", "4096", "3000")] {
            write(&format!("{group}/memory.max"), limit);
            write(&format!("{group}/memory.current"), used);
            write(&format!("{group}/memory.stat"), "anon 7\ninactive_file 1000\n");
        }
        write("pod/container/memory.events", "oom 2\noom_kill 3\noom_group_kill 1\n");
        let group = Group { mount: root.path().to_owned(), directory, memory: Some(SECOND) };
        let groups = [group];
        assert_eq!(room_in_common(&groups).unwrap(), None, "the kernel picks one");
        write("pod/memory.oom.group", "1\n");
        assert_eq!(room_in_common(&groups).unwrap(), Some(8_000), "only what is above it counts");
        write("pod/container/memory.oom.group", "1\n");
        assert_eq!(room_in_common(&groups).unwrap(), Some(2_096));
        assert_eq!(ended_for_memory(&groups), 3);
    }
}
