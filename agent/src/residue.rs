//! What agents that are gone have left on this node.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fault::{BootId, ProcessIdentity, Remnant, RemnantKind};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::kernel::bpf::{self, ObjectKind};
use crate::kernel::clock::covered::is_whole;
use crate::kernel::clock::holder::{self, Holder};
use crate::kernel::clock::record::{Record, Records};
use crate::kernel::clock::skewed::{ClockError, Workshop};
use crate::kernel::clock::{boot_id, boot_now, scope};
use crate::kernel::process;

/// By what programs and maps of ours are known.
const PREFIX: &str = "schism_";
/// The kernel frees what a process held a little after the process (RCU, workqueues).
const SETTLE: Duration = Duration::from_secs(2);

/// The search could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ResidueError {
    /// No privilege to walk the kernel's objects.
    #[error("list eBPF {kind}: {source}")]
    Objects {
        /// Programs or maps.
        kind: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What was written into processes is not known, or could not be taken back.
    #[error("clocks of processes: {0}")]
    Clocks(#[from] ClockError),
    /// A file could not be removed.
    #[error("remove {path}: {source}")]
    Remove {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The lock beside an agent's socket.
#[must_use]
pub fn lock_path(socket: &Path) -> PathBuf {
    socket.with_extension("lock")
}

/// What skews processes, and records beside an agent's socket what it has written into them.
#[must_use]
pub fn workshop(boot: BootId, socket: &Path) -> Workshop {
    Workshop::new(boot, records(socket), Holder::default())
}

fn records(socket: &Path) -> Records {
    Records::of(socket.with_file_name("clock"))
}

/// A process whose clocks go through code of ours.
#[must_use]
pub fn of_clock(process: ProcessIdentity, holders: Vec<u32>, removed: bool) -> Remnant {
    let name = match scope::name(process.pid) {
        name if name.is_empty() => format!("process {}", process.pid),
        name => format!("{name} {}", process.pid),
    };
    Remnant { kind: RemnantKind::Clock, name, id: process.pid, holders, removed }
}

/// Looks for leftovers by name; with `remove` takes away what can be taken away.
///
/// What a living process holds is listed with its holders: it is in use, not left behind.
///
/// # Errors
/// The kernel's objects could not be listed, or a file not removed.
pub fn search(remove: Removal, socket: &Path) -> Result<Vec<Remnant>, ResidueError> {
    let until = Instant::now() + SETTLE;
    let look = || -> Result<Vec<Remnant>, ResidueError> {
        let mut found = objects()?;
        found.extend(strays().into_iter().map(of_stray));
        Ok(found)
    };
    let mut found = look()?;
    while found.iter().any(|remnant| remnant.holders.is_empty()) && Instant::now() < until {
        // The end of the kernel's own clean-up makes no event that could be awaited.
        thread::sleep(Duration::from_millis(10));
        found = look()?;
    }
    if remove == Removal::Remove {
        for remnant in found.iter_mut().filter(|remnant| remnant.kind == RemnantKind::Holder) {
            remnant.removed = end(remnant.id);
        }
    }
    found.extend(clocks(remove, socket)?);
    found.extend(files(remove, socket)?);
    Ok(found)
}

/// Whether leftovers are only listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Only list.
    Keep,
    /// Take away.
    Remove,
}

fn objects() -> Result<Vec<Remnant>, ResidueError> {
    let list = |kind, name| {
        bpf::objects(kind, PREFIX).map_err(|source| ResidueError::Objects { kind: name, source })
    };
    let programs = list(ObjectKind::Program, "programs")?;
    let maps = list(ObjectKind::Map, "maps")?;
    if programs.is_empty() && maps.is_empty() {
        return Ok(Vec::new());
    }
    let mut held = holders();
    through_programs(&mut held, &programs);
    let remnant = |kind, object: bpf::Object| Remnant {
        kind,
        name: object.name,
        id: object.id,
        holders: held.get(&(kind, object.id)).cloned().unwrap_or_default(),
        removed: false,
    };
    let programs = programs.into_iter().map(|object| remnant(RemnantKind::Program, object));
    let maps = maps.into_iter().map(|object| remnant(RemnantKind::Map, object));
    Ok(programs.chain(maps).collect())
}

/// Which processes hold which programs and maps, by pid.
type Holders = BTreeMap<(RemnantKind, u32), Vec<u32>>;

/// Whoever holds a program holds its maps, whether or not they have descriptors of their own.
fn through_programs(held: &mut Holders, programs: &[bpf::Object]) {
    for program in programs {
        let Some(pids) = held.get(&(RemnantKind::Program, program.id)).cloned() else { continue };
        for map in &program.maps {
            let holders = held.entry((RemnantKind::Map, *map)).or_default();
            holders.extend(&pids);
            holders.sort_unstable();
            holders.dedup();
        }
    }
}

/// Which processes have descriptors of which programs and maps.
fn holders() -> Holders {
    let mut held = Holders::new();
    for pid in process::all().unwrap_or_default() {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let Ok(link) = fs::read_link(descriptor.path()) else { continue };
            let kind = match link.to_str() {
                Some("anon_inode:bpf-prog") => (RemnantKind::Program, "prog_id:"),
                Some("anon_inode:bpf-map") => (RemnantKind::Map, "map_id:"),
                Some("anon_inode:bpf_link") => (RemnantKind::Program, "prog_id:"),
                _ => continue,
            };
            let info = format!("/proc/{pid}/fdinfo/{}", descriptor.file_name().display());
            let text = fs::read_to_string(info).unwrap_or_default();
            let id = text.lines().find_map(|line| line.strip_prefix(kind.1)?.trim().parse().ok());
            if let Some(id) = id {
                let pids = held.entry((kind.0, id)).or_default();
                if pids.last() != Some(&pid) {
                    pids.push(pid);
                }
            }
        }
    }
    held
}

/// Processes of ours that hold or load others, and to whom nobody can say anything any more: whoever started
/// them has the other ends of their pipes.
fn strays() -> Vec<u32> {
    let ours: BTreeMap<u32, Vec<PathBuf>> = process::all()
        .unwrap_or_default()
        .into_iter()
        .filter(|pid| is_holder(*pid))
        .map(|pid| (pid, (0..2).filter_map(|number| pipe(pid, number)).collect()))
        .collect();
    if ours.is_empty() {
        return Vec::new();
    }
    let mut open = BTreeSet::new();
    for pid in process::all().unwrap_or_default() {
        if ours.contains_key(&pid) {
            continue;
        }
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.extend(entries.filter_map(|entry| fs::read_link(entry.path()).ok()));
    }
    let stray = |(pid, pipes): (u32, Vec<PathBuf>)| {
        (!pipes.iter().any(|pipe| open.contains(pipe))).then_some(pid)
    };
    ours.into_iter().filter_map(stray).collect()
}

/// Whether a process is one of those that an agent starts: by its name, and by what it was started with.
fn is_holder(pid: u32) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    scope::CHILDREN.contains(&scope::name(pid).as_str())
        && words.split(|byte| *byte == 0).nth(1) == Some(holder::COMMAND.as_bytes())
}

fn pipe(pid: u32, number: u8) -> Option<PathBuf> {
    let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()?;
    link.to_str().is_some_and(|text| text.starts_with("pipe:")).then_some(link)
}

fn of_stray(pid: u32) -> Remnant {
    let name = format!("{} {pid}", scope::name(pid));
    Remnant { kind: RemnantKind::Holder, name, id: pid, holders: Vec::new(), removed: false }
}

/// Ends a stray: whoever it holds goes on.
fn end(pid: u32) -> bool {
    let Some(number) = Pid::from_raw(pid.cast_signed()) else { return false };
    let Ok(descriptor) = pidfd_open(number, PidfdFlags::empty()) else { return true };
    // Whoever has the number now may be another one.
    is_holder(pid) && pidfd_send_signal(&descriptor, Signal::KILL).is_ok()
}

fn clocks(remove: Removal, socket: &Path) -> Result<Vec<Remnant>, ResidueError> {
    let records = records(socket).all().map_err(ClockError::from)?;
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let agent = match free_lock(&lock_path(socket)) {
        Some(_) => None,
        // Whoever holds the lock is the agent; which one that is, only its socket tells.
        None => Some(served_by(socket).unwrap_or_else(std::process::id)),
    };
    if agent.is_none() && remove == Removal::Remove {
        let boot = boot_id().map_err(|source| ResidueError::Objects { kind: "boot", source })?;
        let recovered = workshop(boot, socket).recover()?;
        let remnant = |(process, restored)| of_clock(process, Vec::new(), is_whole(&restored));
        return Ok(recovered.into_iter().map(remnant).collect());
    }
    let now = boot_now().nanos();
    let remnant = |record: &Record| {
        if record.left {
            // Of a skew that is over. Its agent tries to take it back, and nobody else at the same time.
            return of_clock(record.process(), Vec::new(), false);
        }
        // Its own code brings the clock back to the truth, and nobody else is needed for that.
        let returning = (record.returning_until > now).then_some(record.process().pid);
        let holders = agent.or(returning).into_iter().collect();
        of_clock(record.process(), holders, false)
    };
    Ok(records.iter().map(remnant).collect())
}

/// The process that serves a socket.
fn served_by(socket: &Path) -> Option<u32> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = getsockopt(&stream, PeerCredentials).ok()?;
    u32::try_from(peer.pid()).ok()
}

fn files(remove: Removal, socket: &Path) -> Result<Vec<Remnant>, ResidueError> {
    let lock = lock_path(socket);
    let mut found = Vec::new();
    // Whoever holds the lock uses the socket, or is about to.
    let Some(_held) = free_lock(&lock) else { return Ok(found) };
    if socket.exists() && UnixStream::connect(socket).is_err() {
        found.push(file(RemnantKind::Socket, socket, remove)?);
    }
    if lock.exists() {
        found.push(file(RemnantKind::Lock, &lock, remove)?);
    }
    Ok(found)
}

/// `None` if somebody holds the lock; otherwise it is held until the value goes.
fn free_lock(path: &Path) -> Option<Option<Flock<fs::File>>> {
    match fs::File::open(path) {
        Err(_) => Some(None),
        Ok(file) => Flock::lock(file, FlockArg::LockExclusiveNonblock).ok().map(Some),
    }
}

fn file(kind: RemnantKind, path: &Path, remove: Removal) -> Result<Remnant, ResidueError> {
    let removed = match remove {
        Removal::Keep => false,
        Removal::Remove => {
            fs::remove_file(path)
                .map_err(|source| ResidueError::Remove { path: path.to_owned(), source })?;
            true
        }
    };
    let name = path.display().to_string();
    Ok(Remnant { kind, name, id: 0, holders: Vec::new(), removed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_an_agent_that_is_gone_are_left_behind_and_its_brake_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent.sock");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        fs::write(lock_path(&socket), "").unwrap();
        fs::write(directory.path().join("halt"), "storm").unwrap();
        let kinds = |found: Vec<Remnant>| found.iter().map(|one| one.kind).collect::<Vec<_>>();
        let found = kinds(files(Removal::Remove, &socket).unwrap());
        assert_eq!(found, [RemnantKind::Socket, RemnantKind::Lock]);
        let left: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["halt"]);
    }

    #[test]
    fn a_map_is_held_by_whoever_holds_a_program_that_uses_it() {
        let program = |id, maps: &[u32]| bpf::Object {
            id,
            name: "schism_ingress".to_owned(),
            maps: maps.to_vec(),
        };
        let mut held = Holders::from([
            ((RemnantKind::Program, 1), vec![30]),
            ((RemnantKind::Program, 2), vec![20, 30]),
            ((RemnantKind::Map, 11), vec![10]),
        ]);
        through_programs(&mut held, &[program(1, &[11, 12]), program(2, &[12]), program(3, &[13])]);
        assert_eq!(held[&(RemnantKind::Map, 11)], [10, 30]);
        assert_eq!(held[&(RemnantKind::Map, 12)], [20, 30]);
        assert_eq!(held.get(&(RemnantKind::Map, 13)), None, "nobody holds its program");
    }
}
