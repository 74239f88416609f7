//! The files to which a target's processes write what they say.
//!
//! A target is not trusted with the choice: nothing is read but what a process has open for writing as its
//! standard output or error, and what a runtime keeps of a container. A path is never followed that a target
//! could have a part in, and nothing is asked of a file system that may let its reader wait.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use fault::{Extent, LogFile, LogForm, Process, Scheme};
use nix::fcntl::{FcntlArg, OFlag, OpenHow, ResolveFlag, fcntl, openat2};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::clock::scope;
use super::process::{self, NamespaceInode};
use super::{KernelError, Place};

/// The most processes that are looked at.
const MOST_PROCESSES: usize = 256;
/// The most files that they may write to.
const MOST_FILES: usize = 16;
/// The most files that were rotated, of one log.
const MOST_ROTATED: usize = 8;
/// File systems whose files are read without anybody being asked who may not answer.
const PROMPT: [&str; 16] = [
    "9p", "bcachefs", "btrfs", "devpts", "devtmpfs", "ext2", "ext3", "ext4", "f2fs", "jfs",
    "overlay", "ramfs", "tmpfs", "virtiofs", "xfs", "zfs",
];
/// Where a kubelet names the logs of containers by their ids, and where these are.
const NAMED_BY_ID: &str = "var/log/containers";
const OF_PODS: &str = "/var/log/pods";
/// Where Docker has a directory for each container.
const OF_DOCKER: &str = "var/lib/docker/containers";

/// What a target writes to one place.
#[derive(Debug)]
pub struct Log {
    /// How it is written.
    pub form: LogForm,
    /// The file that is written to now, and before it those from which it was rotated, the oldest first.
    pub files: Vec<File>,
}

impl Log {
    /// The number of a file.
    ///
    /// # Errors
    /// The kernel's.
    pub fn number(file: &File) -> io::Result<LogFile> {
        let metadata = file.metadata()?;
        Ok(LogFile { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// What stands behind a process's output.
enum Behind {
    File(File),
    /// Somebody else takes it, and may keep it.
    Pipe,
    /// Nothing that can be read, in a few words.
    Other(&'static str),
}

/// Where the processes of a place write, each file once.
///
/// # Errors
/// There is no such file, and what there is instead.
pub(super) fn of(
    place: &Place,
    inode: impl FnOnce() -> Result<NamespaceInode, KernelError>,
) -> Result<Vec<Log>, KernelError> {
    let scheme = &place.selector.scheme;
    if matches!(scheme, Scheme::Host(_)) {
        let reason = "a node has no output of its own".to_owned();
        return Err(refused(reason, "name a process, a container or a namespace on it"));
    }
    let processes = scope::of(place, Extent::Named, inode, &BTreeSet::new())?;
    if processes.is_empty() {
        return Err(scope::nobody(scheme));
    }
    let mut found = Found::default();
    for identity in processes.iter().take(MOST_PROCESSES) {
        // One that has ended meanwhile writes nothing any more.
        let Ok(process) = process::describe(identity.pid) else { continue };
        if process.identity == *identity {
            found.look(&process)?;
        }
    }
    if processes.len() > MOST_PROCESSES {
        let most = MOST_PROCESSES as u64;
        return Err(KernelError::Limit { what: "processes may write to a log", most });
    }
    if found.logs.is_empty() {
        let instead: Vec<String> = found.instead.into_iter().take(3).collect();
        let instead =
            if instead.is_empty() { "it has ended".to_owned() } else { instead.join("; ") };
        return Err(refused(
            format!("{scheme} writes to no file that can be read here: {instead}"),
            "`command` looks for lines elsewhere: [\"journalctl\", \"-u\", UNIT, \"-o\", \"cat\"]",
        ));
    }
    Ok(found.logs)
}

#[derive(Default)]
struct Found {
    logs: Vec<Log>,
    known: BTreeSet<LogFile>,
    containers: BTreeSet<String>,
    instead: BTreeSet<String>,
}

impl Found {
    fn look(&mut self, process: &Process) -> Result<(), KernelError> {
        for (output, named) in [(1, "output"), (2, "error")] {
            let (pid, name) = (process.identity.pid, fault::Legible(&process.name));
            let mut instead = |what: &str| {
                self.instead.insert(format!("standard {named} of process {pid} ({name}) {what}"));
            };
            match behind(process, output) {
                Ok(Behind::File(file)) => {
                    self.add(Log { form: LogForm::Plain, files: vec![file] })?
                }
                Ok(Behind::Pipe) => match &process.container {
                    Some(id) => self.of_container(id)?,
                    None => instead("goes to a pipe"),
                },
                Ok(Behind::Other(what)) => instead(what),
                // It has ended meanwhile.
                Err(error) if process::says_gone(&error) => {}
                Err(error) => instead(&format!("cannot be looked at: {error}")),
            }
        }
        Ok(())
    }

    fn of_container(&mut self, id: &str) -> Result<(), KernelError> {
        if !self.containers.insert(id.to_owned()) {
            return Ok(());
        }
        match of_runtime(&node_root(), id) {
            Ok(Some(log)) => self.add(log)?,
            Ok(None) => {
                self.instead.insert(format!("no log of container {id:.12} is known here"));
            }
            Err(error) => {
                self.instead.insert(format!("the log of container {id:.12}: {error}"));
            }
        }
        Ok(())
    }

    fn add(&mut self, log: Log) -> Result<(), KernelError> {
        let Some(last) = log.files.last() else { return Ok(()) };
        let number = Log::number(last).map_err(KernelError::call("fstat"))?;
        if !self.known.insert(number) {
            return Ok(());
        }
        if self.logs.len() == MOST_FILES {
            let most = MOST_FILES as u64;
            return Err(KernelError::Limit { what: "files may be a target's log", most });
        }
        self.logs.push(log);
        Ok(())
    }
}

/// What stands behind an output of a process.
///
/// Its own open file is taken (`pidfd_getfd`, 5.6), so that what is looked at is what is opened then. One that
/// was opened as a path only (O_PATH) or for reading is refused: whoever has that need not have been allowed to
/// read the file, or to write to it.
fn behind(process: &Process, output: i32) -> io::Result<Behind> {
    let pid = i32::try_from(process.identity.pid).ok().and_then(Pid::from_raw);
    let pidfd = pidfd_open(pid.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
    if !process::is_alive(process.identity) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let theirs = match pidfd_getfd(&pidfd, output, PidfdGetfdFlags::empty()) {
        Err(rustix::io::Errno::BADF) => return Ok(Behind::Other("is closed")),
        theirs => theirs?,
    };
    let flags = OFlag::from_bits_truncate(fcntl(&theirs, FcntlArg::F_GETFL)?);
    let way = PathBuf::from(format!("/proc/self/fd/{}", theirs.as_raw_fd()));
    let shown = fs::read_link(&way)?;
    let shown = shown.to_string_lossy();
    // The kernel's own names begin with no slash, and every path does.
    if shown.starts_with("pipe:") {
        return Ok(Behind::Pipe);
    }
    if shown.starts_with("socket:") {
        return Ok(Behind::Other("goes to a socket, as that of a unit of systemd does"));
    }
    if flags.contains(OFlag::O_PATH) || flags & OFlag::O_ACCMODE == OFlag::O_RDONLY {
        return Ok(Behind::Other("was not opened to be written to"));
    }
    // Before anything is asked of the file: on some file systems the answer is somebody's who may not give it.
    if !is_prompt(process.identity.pid, &theirs)? {
        return Ok(Behind::Other("goes to a file system whose files may keep a reader waiting"));
    }
    reopened(&way).map(|file| file.map_or(Behind::Other("goes to no regular file"), Behind::File))
}

/// A file by one that is open, to be read; `None` if it is none.
fn reopened(way: &Path) -> io::Result<Option<File>> {
    if !fs::metadata(way)?.is_file() {
        return Ok(None);
    }
    // A lease that somebody has taken on it would be waited for.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(way).map(Some)
}

/// Whether an open file is on a file system that answers by itself.
fn is_prompt(pid: u32, file: &OwnedFd) -> io::Result<bool> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    let Some(mount) = mount else { return Ok(false) };
    // It may have been opened by somebody who sees other mounts.
    for mounts in [format!("/proc/{pid}/mountinfo"), "/proc/self/mountinfo".to_owned()] {
        let mounts = fs::read_to_string(mounts)?;
        if let Some(kind) = mounts.lines().find_map(|line| kind_of(line, mount)) {
            return Ok(PROMPT.contains(&kind));
        }
    }
    Ok(false)
}

/// The kind of the file system of a mount, if a line of mountinfo is of it (proc_pid_mountinfo(5)).
fn kind_of<'a>(line: &'a str, mount: &str) -> Option<&'a str> {
    let (first, second) = line.split_once(" - ")?;
    (first.split(' ').next()? == mount).then(|| second.split(' ').next())?
}

/// The node's root directory: that of its first process, or ours where that one may not be looked at.
fn node_root() -> PathBuf {
    let first = Path::new("/proc/1/root");
    let root = if fs::read_dir(first).is_ok() { first } else { Path::new("/") };
    root.to_owned()
}

/// What a runtime keeps of what a container says; `None` where that is not known.
fn of_runtime(root: &Path, id: &str) -> io::Result<Option<Log>> {
    let root = File::open(root)?;
    let docker = format!("{OF_DOCKER}/{id}/{id}-json.log");
    let (path, form) = match of_pod(&root, id)? {
        Some(path) => (path, LogForm::Cri),
        None => (PathBuf::from(docker), LogForm::Json),
    };
    let file = match kept(&root, &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut files = rotated(&root, &path)?;
    files.push(file);
    Ok(Some(Log { form, files }))
}

/// Where a kubelet has the log of a container: it keeps a link for each, whose name ends with the id.
fn of_pod(root: &File, id: &str) -> io::Result<Option<PathBuf>> {
    let ending = format!("-{id}.log");
    for name in names(root, Path::new(NAMED_BY_ID))? {
        if !name.ends_with(&ending) {
            continue;
        }
        let link = format!("/proc/self/fd/{}/{NAMED_BY_ID}/{name}", root.as_raw_fd());
        let target = fs::read_link(link)?;
        let is_plain = target.starts_with(OF_PODS)
            && target
                .components()
                .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        return Ok(target.strip_prefix("/").ok().filter(|_| is_plain).map(Path::to_owned));
    }
    Ok(None)
}

/// The names in a directory of the node; none if there is no such directory.
fn names(root: &File, directory: &Path) -> io::Result<Vec<String>> {
    let directory = match beneath(root, directory, OFlag::O_DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        directory => directory?,
    };
    let entries = fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

/// A file that a runtime has written. A link there, or a file that has other names as well, may be somebody's who
/// has a part of the node's directories.
fn kept(root: &File, path: &Path) -> io::Result<File> {
    let file = beneath(root, path, OFlag::empty())?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.nlink() == 1 {
        Ok(file)
    } else {
        Err(io::Error::other("it is no file of the runtime's alone"))
    }
}

/// Those from which a log was rotated, the oldest first: a kubelet adds the time to their names, Docker a number
/// that grows with their age. What was compressed is left out.
fn rotated(root: &File, path: &Path) -> io::Result<Vec<File>> {
    let (Some(directory), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(Vec::new());
    };
    let prefix = format!("{name}.");
    let endings = |found: String| found.strip_prefix(&prefix).map(str::to_owned);
    let mut endings: Vec<String> =
        names(root, directory)?.into_iter().filter_map(endings).collect();
    let number = |ending: &String| ending.parse::<u32>().unwrap_or_default();
    endings.retain(|ending| ending.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'));
    endings.sort_by(|one, other| number(other).cmp(&number(one)).then_with(|| one.cmp(other)));
    let latest = endings.len().saturating_sub(MOST_ROTATED);
    let files = endings.into_iter().skip(latest);
    // One that was rotated once more meanwhile is missed, which is told where it matters.
    Ok(files
        .filter_map(|ending| kept(root, &directory.join(format!("{prefix}{ending}"))).ok())
        .collect())
}

/// Opens something of the node's, by no link.
fn beneath(root: &File, path: &Path, more: OFlag) -> io::Result<File> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | more)
        .resolve(
            ResolveFlag::RESOLVE_IN_ROOT
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS,
        );
    Ok(File::from(openat2(root, path, how)?))
}

fn refused(reason: String, hint: &str) -> KernelError {
    KernelError::Refused { reason, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests;
