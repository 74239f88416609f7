//! What /proc says of processes: identity, namespace, container.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fault::{BootTime, Process, ProcessIdentity};

/// Inode of a namespace: re-used at once when the namespace goes, so good for one look only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamespaceInode(u64);

/// The path of a process's network namespace.
#[must_use]
pub fn namespace_path(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/net"))
}

/// The path of the node's own network namespace: that of its first process, or ours where that one may
/// not be looked at (a sandbox around the node).
#[must_use]
pub fn host_namespace() -> &'static Path {
    let first = Path::new("/proc/1/ns/net");
    if fs::metadata(first).is_ok() { first } else { Path::new("/proc/self/ns/net") }
}

/// The inode of the namespace behind a path.
///
/// # Errors
/// No such file, or no right to it.
pub fn namespace_inode(path: &Path) -> io::Result<NamespaceInode> {
    fs::metadata(path).map(|metadata| NamespaceInode(metadata.ino()))
}

/// Whether this is what looking at, or writing into, a process comes to that has ended: there is no such
/// file, no such process (ESRCH), or an address space that nobody has any more, of which nothing is read.
#[must_use]
pub fn says_gone(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::UnexpectedEof, io::ErrorKind::WriteZero, io::ErrorKind::NotFound];
    kinds.contains(&error.kind())
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// The inode of an open namespace.
///
/// # Errors
/// It cannot be looked at.
pub fn opened_inode(namespace: &fs::File) -> io::Result<NamespaceInode> {
    namespace.metadata().map(|metadata| NamespaceInode(metadata.ino()))
}

/// The parent of every process.
///
/// # Errors
/// /proc cannot be read.
pub fn parents() -> io::Result<BTreeMap<u32, u32>> {
    let with_parent = |pid: u32| Some((pid, parent(pid)?));
    Ok(all()?.into_iter().filter_map(with_parent).collect())
}

/// A process and those that it comes from, the nearest first.
#[must_use]
pub fn line(pid: u32) -> Vec<u32> {
    /// Farther than anybody's children go.
    const FAR: usize = 64;
    let mut line = vec![pid];
    while let Some(parent) = line.last().and_then(|last| parent(*last)).filter(|pid| *pid != 0)
        && line.len() < FAR
    {
        line.push(parent);
    }
    line
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 4 (ppid).
    let (_, tail) = stat.rsplit_once(')')?;
    tail.split_whitespace().nth(1)?.parse().ok()
}

/// When a process began, as a boot time; to a hundredth of a second.
#[must_use]
pub fn began(process: ProcessIdentity) -> BootTime {
    // USER_HZ, which is 100 wherever Linux runs.
    BootTime::from_nanos(process.started.saturating_mul(10_000_000))
}

/// Who a process is.
///
/// # Errors
/// There is no such process.
pub fn identity(pid: u32) -> io::Result<ProcessIdentity> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, started) = parse_stat(&stat).ok_or_else(|| io::Error::other("stat without fields"))?;
    Ok(ProcessIdentity { pid, started })
}

/// Whether a process is still the same one, and runs.
///
/// One that has ended but was not reaped is still listed; it has left its namespaces.
#[must_use]
pub fn is_alive(process: ProcessIdentity) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", process.pid)) else { return false };
    let same = parse_stat(&stat).is_some_and(|(_, started)| started == process.started);
    same && !has_ended(&stat)
}

/// A zombie without other threads: where only the first thread has ended, the process goes on.
fn has_ended(stat: &str) -> bool {
    let Some((_, tail)) = stat.rsplit_once(')') else { return false };
    let mut fields = tail.split_whitespace();
    let zombie = fields.next().is_some_and(|state| matches!(state, "Z" | "X" | "x"));
    // Field 20 (num_threads) is 0 or 1 for what is only waiting to be reaped.
    zombie && fields.nth(16).is_some_and(|threads| matches!(threads, "0" | "1"))
}

/// Whether it is a thread of the kernel: PF_KTHREAD of include/linux/sched.h, in field 9 (flags).
fn is_kernels(stat: &str) -> bool {
    const KERNEL_THREAD: u32 = 0x0020_0000;
    let flags = stat.rsplit_once(')').and_then(|(_, tail)| tail.split_whitespace().nth(6));
    flags.and_then(|flags| flags.parse().ok()).is_some_and(|flags: u32| flags & KERNEL_THREAD != 0)
}

/// Whether a process is a thread of the kernel.
#[must_use]
pub fn is_thread_of_kernel(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| is_kernels(&stat))
}

/// A process with its name and container.
///
/// # Errors
/// There is no such process.
pub fn describe(pid: u32) -> io::Result<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (name, started) =
        parse_stat(&stat).ok_or_else(|| io::Error::other("stat without fields"))?;
    let container = fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .ok()
        .and_then(|text| cgroup_names(&text).into_iter().find(|name| is_container_id(name)));
    Ok(Process { identity: ProcessIdentity { pid, started }, name: name.to_owned(), container })
}

/// The processes whose network namespace has this inode, by pid; the kernel's own threads, which are
/// all in the host's, are none.
///
/// # Errors
/// /proc cannot be read.
pub fn in_namespace(inode: NamespaceInode) -> io::Result<Vec<u32>> {
    let matches = |pid: &u32| {
        namespace_inode(&namespace_path(*pid)).is_ok_and(|own| own == inode)
            && !is_thread_of_kernel(*pid)
    };
    Ok(all()?.into_iter().filter(matches).collect())
}

/// By what name a process's cgroup names this container, if it does.
fn container_name(pid: u32, id: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    cgroup_names(&text).into_iter().find(|name| names_container(name, id))
}

/// Whether a process's cgroup names this container, as [`in_container`] reads it.
#[must_use]
pub fn is_in_container(pid: u32, id: &str) -> bool {
    container_name(pid, id).is_some()
}

/// The processes whose cgroup names this container, by pid.
///
/// An id of 64 hexadecimal digits may be shortened; any other name must be whole.
///
/// # Errors
/// /proc cannot be read.
pub fn in_container(id: &str) -> io::Result<Vec<(String, u32)>> {
    let mut found = Vec::new();
    for pid in all()? {
        found.extend(container_name(pid, id).map(|name| (name, pid)));
    }
    Ok(found)
}

/// The path of a process in the cgroup v2 hierarchy; `None` if there is none.
#[must_use]
pub fn cgroup(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(ToOwned::to_owned)
}

/// Every process, by pid.
///
/// # Errors
/// /proc cannot be read.
pub fn all() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = pids.collect();
    pids.sort_unstable();
    Ok(pids)
}

/// Command name and start time of /proc/PID/stat. The name may hold anything, spaces and `)` included, so
/// fields are counted from the last `)`.
fn parse_stat(stat: &str) -> Option<(&str, u64)> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    // Field 22 (starttime); the first one behind the name is field 3.
    let started = tail.split_whitespace().nth(19)?.parse().ok()?;
    Some((name, started))
}

/// By what the paths in /proc/PID/cgroup may name a container: the last part of each, without what runtimes put
/// around an id, and the innermost id where that is above it. A runtime, or what runs in a container, may have
/// groups of its own below the container's (CRI-O `crio-ID.scope/container`, systemd `docker-ID.scope/init.scope`).
fn cgroup_names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for path in text.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        let mut parts = path.rsplit('/').map(bare);
        names.extend(parts.next().filter(|last| !last.is_empty()).map(ToOwned::to_owned));
        if !names.last().is_some_and(|last| is_container_id(last)) {
            names.extend(parts.find(|part| is_container_id(part)).map(ToOwned::to_owned));
        }
    }
    names.dedup();
    names
}

/// A part of a path without what a runtime puts around an id.
fn bare(part: &str) -> &str {
    // containerd that was told the wrong driver has `SLICE:cri-containerd:ID` in one.
    let bare = part.strip_suffix(".scope").unwrap_or(part).rsplit(':').next().unwrap_or(part);
    let prefixes = ["cri-containerd-", "docker-", "crio-", "libpod-"];
    let within = prefixes.iter().find_map(|prefix| bare.strip_prefix(prefix));
    within.unwrap_or(if is_container_id(bare) { bare } else { part })
}

fn is_container_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn names_container(name: &str, id: &str) -> bool {
    name == id || (is_container_id(name) && name.starts_with(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_a_hostile_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let stat = format!("42 (a) b (c)) {fields}");
        assert_eq!(parse_stat(&stat), Some(("a) b (c)", 4711)));
        assert!(!has_ended(&stat));
        let zombie = "42 (a) Z 2) Z 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 1 0 4711 20";
        assert!(has_ended(zombie));
        assert!(!has_ended(&zombie.replace(" 1 0 4711", " 2 0 4711")), "its threads go on");
        assert_eq!(parse_stat("42 (short) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn threads_of_the_kernel() {
        let of_kernel = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0";
        let of_user = "1 (init) S 0 1 1 0 -1 4194560 3 4 5 6 0 0 0 0 20 0 1 0 1 0";
        assert!(is_kernels(of_kernel) && !is_kernels(of_user) && !is_kernels(""));
    }

    #[test]
    fn containers_of_the_usual_runtimes() {
        let id = "0123456789abcdef".repeat(4);
        let table = [
            format!("0::/system.slice/docker-{id}.scope"),
            format!("0::/kubepods.slice/pod1.slice/cri-containerd-{id}.scope"),
            format!("4:memory:/docker/{id}\n0::/docker/{id}"),
            format!("0::/machine.slice/libpod-{id}.scope"),
            format!("0::/kubepods/besteffort/poda/{id}"),
            format!("0::/kubepods.slice/kubepods-poda.slice/crio-{id}.scope/container"),
            format!("0::/system.slice/docker-{id}.scope/system.slice/sshd.service"),
            format!("0::/kubepods/poda/{}/docker/{id}/init.scope", "f".repeat(64)),
            format!("0::/system.slice/containerd.service/kubepods-poda.slice:cri-containerd:{id}"),
        ];
        for text in table {
            let names = cgroup_names(&text);
            assert!(names.iter().any(|name| names_container(name, &id[..12])), "{text}: {names:?}");
            assert!(!names.iter().any(|name| name.starts_with('f')), "the inner one: {names:?}");
        }
        let named = cgroup_names("0::/default/web");
        assert!(named.iter().any(|name| names_container(name, "web")));
        assert!(!named.iter().any(|name| names_container(name, "we")));
        let unit = cgroup_names("0::/system.slice/cron.service");
        assert!(!unit.iter().any(|name| names_container(name, "cron")));
    }
}
