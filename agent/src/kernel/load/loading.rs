//! One load: its worker, and what that has taken.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fault::{
    BootTime, Extent, Measured, MemoryLoad, Pod, ProcessIdentity, Scheme, Stress, StressEffect,
};

use super::account::Account;
use super::worker::{self, Order, Report, Set};
use crate::kernel::clock::{boot_now, scope};
use crate::kernel::engaged::{Engaged, Inode};
use crate::kernel::keeper::{Keeper, KeeperError};
use crate::kernel::{Coverage, KernelError, Place, Release, cgroup, pod, process};

/// How long a worker may take to get ready (2 s).
const PATIENCE: Duration = Duration::from_secs(2);
/// Where a control group is ended as a whole, this part of what is free is left alone.
const MARGIN: u64 = 10;
/// How long the first that it takes is waited for (300 ms), and from one look to the next (10 ms).
const AT_FIRST: Duration = Duration::from_millis(300);
const AGAIN: Duration = Duration::from_millis(10);

/// One load. It is over when it is dropped.
#[derive(Debug)]
pub(in crate::kernel) struct Load {
    place: Place,
    asked: Stress,
    memory_asked: u64,
    groups: Vec<cgroup::Group>,
    /// How many processes the kernel had ended there for lack of memory before this one came.
    ended_before: u64,
    worker: Keeper,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    report: Option<Report>,
    lease: Option<(BootTime, BootTime)>,
    /// When it was ended by us.
    over: Option<BootTime>,
    /// When the worker was found to have ended.
    gone: Option<BootTime>,
    /// What it had before it began.
    own: Account,
    took: Account,
    memory: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<KeeperError> for KernelError {
    fn from(error: KeeperError) -> Self {
        Self::Answer(error.to_string())
    }
}

impl Load {
    /// Starts a worker, by a thread that has to live as long as it; it takes nothing until it begins.
    ///
    /// # Errors
    /// There is no process whose control group it could join, or it cannot.
    pub(in crate::kernel) fn put_in(
        program: &Path,
        place: &Place,
        asked: Stress,
        inode: Inode<'_>,
    ) -> Result<Self, KernelError> {
        let read = || KernelError::call("read the target's control group");
        let process = whom(place, inode)?;
        let groups = cgroup::of(process.pid).map_err(read())?;
        let memory_asked = match asked.memory {
            None => 0,
            Some(MemoryLoad::Bytes(bytes)) => bytes,
            Some(MemoryLoad::Share(share)) => {
                let read = KernelError::call("read the target's memory limit");
                share.of(cgroup::memory_limit(&groups).map_err(read)?)
            }
        };
        if let Some(room) = cgroup::room_in_common(&groups).map_err(read())?
            && memory_asked > room - room / MARGIN
        {
            return Err(ends_in_common(room - room / MARGIN));
        }
        let ended_before = cgroup::ended_for_memory(&groups);
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let heard = move |report: Option<Report>| {
            match report {
                Some(report) => told.state().report = Some(report),
                None => told.state().gone = Some(boot_now()),
            }
            told.changed.notify_all();
        };
        let worker = Keeper::start(program, worker::COMMAND, heard)?;
        worker.tell(&Order::Set(Set {
            groups: groups.iter().map(|group| group.directory.clone()).collect(),
            cpu: asked.cpu.map_or((0, 0), |cpu| (cpu.workers.get(), cpu.share.number())),
            memory: memory_asked,
            io: asked.io.map_or(0, std::num::NonZeroU16::get),
            root: PathBuf::from(format!("/proc/{}/root", process.pid)),
        }))?;
        let place = place.clone();
        let load = Self { place, asked, memory_asked, groups, ended_before, worker, shared };
        load.await_ready(process)?;
        Ok(load)
    }

    /// Waits until the worker is ready, and looks whether it is where the process is that was named.
    fn await_ready(&self, whom: ProcessIdentity) -> Result<(), KernelError> {
        let open = |state: &mut State| state.report.is_none() && state.gone.is_none();
        let waited = self.shared.changed.wait_timeout_while(self.shared.state(), PATIENCE, open);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &state.report {
            Some(Report::Ready) => {}
            Some(Report::Refused(reason)) => return Err(scope::refused(reason.clone())),
            None if state.gone.is_some() => return Err(KeeperError::Ended.into()),
            None => {
                let late = "the process that is to load the target is not ready in time";
                return Err(KernelError::Answer(late.to_owned()));
            }
        }
        let read = || KernelError::call("read the control group of the load");
        let theirs = cgroup::of(whom.pid);
        // As long as it lives nobody else has its number: what was read is of it.
        if !process::is_alive(whom) {
            return Err(KernelError::Gone(self.place.selector.scheme.clone()));
        }
        let ours = cgroup::of(self.worker.pid()).map_err(read())?;
        if ours != self.groups || theirs.map_err(read())? != self.groups {
            let elsewhere = "the process that is to load the target is in another control group";
            return Err(KernelError::Answer(elsewhere.to_owned()));
        }
        state.own = Account::of(self.worker.pid()).unwrap_or_default();
        Ok(())
    }

    /// Whether a process is in the control groups that it takes from.
    pub(super) fn is_beside(&self, pid: u32) -> bool {
        cgroup::of(pid).is_ok_and(|groups| groups == self.groups)
    }

    /// Reads what it has taken by now.
    pub(super) fn measure(&self) -> StressEffect {
        let mut state = self.shared.state();
        if let Some(took) = Account::of(self.worker.pid()) {
            state.memory = state.memory.max(took.memory.saturating_sub(state.own.memory));
            state.took = took;
        }
        let now = boot_now();
        let until = [state.over, state.gone, Some(now)].into_iter().flatten().min().unwrap_or(now);
        let lasted = state.lease.map_or(Duration::ZERO, |(start, end)| until.min(end).since(start));
        let (own, took) = (&state.own, &state.took);
        StressEffect {
            lasted,
            cpu: took.cpu.saturating_sub(own.cpu),
            memory: if self.asked.memory.is_some() { state.memory } else { 0 },
            memory_asked: self.memory_asked,
            written: took.written.saturating_sub(own.written),
            read: took.read.saturating_sub(own.read),
        }
    }

    fn acts(&self) -> bool {
        self.lease().is_some_and(|(start, end)| start <= boot_now() && boot_now() < end)
    }
}

/// Whether a process is one that we started to hold or load others.
pub(super) fn is_ours(pid: u32) -> bool {
    scope::CHILDREN.contains(&scope::name(pid).as_str())
}

/// The target's control group is ended as a whole where memory runs short.
fn ends_in_common(most: u64) -> KernelError {
    let reason = "where memory runs short in the target's control group the kernel ends all processes \
                  there, not the load alone (memory.oom.group)";
    let mebibytes = most >> 20;
    let hint = format!("ask for no more than is free there: --memory {mebibytes}MiB at most");
    KernelError::Refused { reason: reason.to_owned(), hint }
}

/// The process whose control group is joined: that which is named, or the first of a container.
fn whom(place: &Place, inode: Inode<'_>) -> Result<ProcessIdentity, KernelError> {
    if let Scheme::Netns(name) = &place.selector.scheme {
        return Err(scope::refused(format!(
            "the processes of the namespace {name} may be in several control groups; name a pid: or a \
             container:"
        )));
    }
    if let Scheme::Pod(Pod { uid, container: None }) = &place.selector.scheme {
        let there = pod::in_pod(uid).map_err(KernelError::call("read /proc"))?;
        let names: Vec<String> =
            there.names(uid).iter().map(|name| format!("pod:{uid}/{name}")).collect();
        if names.len() > 1 {
            return Err(KernelError::Refused {
                reason: format!("each container of pod {uid} has a control group of its own"),
                hint: format!("name one of them: {}", names.join(", ")),
            });
        }
    }
    let there = scope::of(place, Extent::Named, inode, &BTreeSet::new())?;
    let mut reason = None;
    for process in there {
        match scope::indispensable(process, &scope::name(process.pid)) {
            None => return Ok(process),
            Some(spared) => reason = Some(spared),
        }
    }
    Err(match reason {
        Some(reason) => scope::refused(reason),
        None => scope::nobody(&place.selector.scheme),
    })
}

impl Engaged for Load {
    fn begin(&self, start: BootTime, end: BootTime) -> Result<(), KernelError> {
        self.worker.tell(&Order::Begin { start: start.nanos(), end: end.nanos() })?;
        self.shared.state().lease = Some((start, end));
        Ok(())
    }

    fn renew(&self, end: BootTime) -> Result<(), KernelError> {
        let Some((start, _)) = self.lease() else { return Ok(()) };
        self.worker.tell(&Order::Renew { end: end.nanos() })?;
        self.shared.state().lease = Some((start, end));
        Ok(())
    }

    fn end(&self) {
        let now = boot_now();
        self.shared.state().over.get_or_insert(now);
        self.worker.kill();
    }

    fn lease(&self) -> Option<(BootTime, BootTime)> {
        let state = self.shared.state();
        state.lease.filter(|_| state.over.is_none() && state.gone.is_none())
    }

    fn follow(&self, _: Inode<'_>) -> Result<(), KernelError> {
        let until = Instant::now() + AT_FIRST;
        while self.acts() && !self.measure().happened(&self.asked) && Instant::now() < until {
            // The kernel's accounts make no event that could be awaited.
            thread::sleep(AGAIN);
        }
        Ok(())
    }

    fn look(&self, inode: Inode<'_>) -> Result<Coverage, KernelError> {
        let there = scope::of(&self.place, Extent::Named, inode, &BTreeSet::new())?;
        // Two loads do not keep each other there.
        let others = there.iter().filter(|process| !is_ours(process.pid)).count();
        let unread = self.acts() && !self.measure().happened(&self.asked);
        let state = self.shared.state();
        let now = boot_now();
        let end = state.lease.map_or(now, |(_, end)| end);
        let early = |gone: BootTime| state.lease.is_none() || (gone < end && now < end);
        let released = state.over.is_none() && state.gone.is_some_and(early);
        let release = || {
            let for_memory = cgroup::ended_for_memory(&self.groups) > self.ended_before;
            if for_memory { Release::OutOfMemory } else { Release::Ended }
        };
        Ok(Coverage {
            processes: others,
            joined: 0,
            left: 0,
            altered: BTreeSet::new(),
            unread,
            released: released.then(release),
            over: state.over.is_none() && others == 0,
        })
    }

    fn measured(&self) -> Measured {
        Measured::Stress(self.measure())
    }

    fn take_out(&self) -> Result<(), KernelError> {
        self.end();
        // What it took stands in the kernel's accounts until somebody waits for it.
        self.measure();
        self.worker.wait().map_err(KernelError::from)
    }
}
