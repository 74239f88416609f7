//! The files to which a target's processes write what they say.
//!
//! A target is not trusted with the choice: nothing is read but what a process has open for writing as its
//! standard output or error, and what a runtime keeps of a container. A path is never followed that a target
//! could have a part in, and nothing is asked of a file system that may let its reader wait.

mod mounts;
mod output;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use fault::{Extent, LogFile, LogForm, Process, Scheme};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use self::output::{Behind, behind};
use super::clock::scope;
use super::process::{self, NamespaceInode};
use super::{KernelError, Place};

/// The most processes that are looked at.
const MOST_PROCESSES: usize = 256;
/// The most files that they may write to.
const MOST_FILES: usize = 16;
/// The most files that were rotated, of one log.
const MOST_ROTATED: usize = 8;
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
            match behind(process.identity, output) {
                Ok(Behind::File(file)) => {
                    self.add(Log { form: LogForm::Plain, files: vec![file] })?
                }
                Ok(Behind::Taken(what)) => match &process.container {
                    Some(id) => self.of_container(id)?,
                    None => instead(what),
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
    let current = match kept(&root, &path) {
        // It is being rotated: until a runtime has the next one, it writes to the latest of the former ones.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        file => Some(file?),
    };
    let files = in_order(rotated(&root, &path)?, current)?;
    Ok((!files.is_empty()).then_some(Log { form, files }))
}

/// The file that is written to now behind those from which it was rotated, each once: it may have become one of
/// them since it was opened.
fn in_order(mut former: Vec<File>, current: Option<File>) -> io::Result<Vec<File>> {
    if let Some(current) = current {
        let number = Log::number(&current)?;
        former.retain(|file| Log::number(file).is_ok_and(|other| other != number));
        former.push(current);
    }
    Ok(former)
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
