//! Processes that are ended: each is known by its descriptor, so that nobody else is ever hit, and is watched
//! until it is gone.

mod disposition;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fault::{
    BootTime, ClockEffect, Kill, KillEffect, Measured, ProcessIdentity, Signal, Uncovered,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal, test_kill_process};

use super::clock::{boot_now, scope};
use super::engaged::{Engaged, Inode};
use super::{Coverage, KernelError, Place, process};

/// How long somebody is waited for who is to end at once (100 ms).
const PATIENCE: Duration = Duration::from_millis(100);

/// One kill. Nobody is sent anything any more when it is dropped.
#[derive(Debug)]
pub(super) struct Killing {
    place: Place,
    kill: Kill,
    shared: Arc<Shared>,
    hand: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    kill: Kill,
    state: Mutex<State>,
    wake: EventFd,
}

#[derive(Debug, Default)]
struct State {
    lease: Option<(BootTime, BootTime)>,
    members: Vec<Member>,
    left: Vec<Uncovered>,
    /// When the last of those who were there had been sent the signal.
    sent: Option<BootTime>,
    /// It was ended by us.
    over: bool,
}

/// A process that is meant.
#[derive(Debug)]
struct Member {
    identity: ProcessIdentity,
    descriptor: Arc<OwnedFd>,
    /// When it was sent the signal.
    signalled: Option<BootTime>,
    unheeded: bool,
    forced: bool,
    ended: Option<BootTime>,
}

impl Member {
    /// Takes hold of a process; `None` if it has ended.
    fn of(identity: ProcessIdentity) -> Option<Self> {
        let pid = Pid::from_raw(identity.pid.cast_signed())?;
        let descriptor = Arc::new(pidfd_open(pid, PidfdFlags::empty()).ok()?);
        // Whoever has the number now may be another one: what is held is who is looked at after that.
        process::is_alive(identity).then_some(Self {
            identity,
            descriptor,
            signalled: None,
            unheeded: false,
            forced: false,
            ended: None,
        })
    }

    fn send(&mut self, signal: Signal) {
        let first = self.signalled.is_none();
        // Asked on both sides of the sending: afterwards alone, a handler that runs already would look like
        // a signal that is kept waiting.
        let deaf = || disposition::leaves_alone(self.identity.pid, signal);
        let deaf_before = first && deaf();
        let number = rustix_signal(signal);
        if self.ended.is_none() && pidfd_send_signal(&self.descriptor, number).is_ok() {
            self.unheeded = deaf_before && deaf();
            self.signalled.get_or_insert_with(boot_now);
        }
    }

    const fn lives(&self) -> bool {
        self.ended.is_none()
    }
}

/// Why a process cannot be sent anything; `None` for all others.
fn forbidden(process: ProcessIdentity) -> Option<String> {
    let pid = Pid::from_raw(process.pid.cast_signed())?;
    let tried = test_kill_process(pid);
    let reason =
        || format!("process {pid} is another user's, which takes CAP_KILL", pid = process.pid);
    (tried == Err(rustix::io::Errno::PERM)).then(reason)
}

const fn rustix_signal(signal: Signal) -> rustix::process::Signal {
    use rustix::process::Signal as Sent;
    match signal {
        Signal::Hangup => Sent::HUP,
        Signal::Interrupt => Sent::INT,
        Signal::Quit => Sent::QUIT,
        Signal::Abort => Sent::ABORT,
        Signal::Kill => Sent::KILL,
        Signal::User1 => Sent::USR1,
        Signal::User2 => Sent::USR2,
        Signal::Terminate => Sent::TERM,
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // It counts to 2^64 before it refuses.
        let _ = self.wake.write(1);
    }
}

impl Killing {
    /// Takes hold of the processes; nobody is sent anything before it begins. `stirred` is called when they
    /// have been sent the signal, and when all of them have ended.
    ///
    /// # Errors
    /// There is no process, or none that may be killed.
    pub(super) fn put_in(
        place: &Place,
        kill: Kill,
        inode: Inode<'_>,
        stirred: impl Fn() + Send + 'static,
    ) -> Result<Self, KernelError> {
        let there = scope::of(place, kill.extent, inode, &BTreeSet::new())?;
        let mut state = State::default();
        state.admit(there);
        if state.members.is_empty() {
            return Err(match state.left.first() {
                Some(spared) => scope::refused(spared.reason.clone()),
                None => scope::nobody(&place.selector.scheme),
            });
        }
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| KernelError::call("eventfd")(errno.into()))?;
        let shared = Arc::new(Shared { kill, state: Mutex::new(state), wake });
        let (told, meant) = (Arc::clone(&shared), place.clone());
        let hand = thread::Builder::new()
            .name("schism-kill".to_owned())
            .spawn(move || carry_out(&told, &meant, stirred))
            .map_err(KernelError::call("start a thread"))?;
        Ok(Self { place: place.clone(), kill, shared, hand: Mutex::new(Some(hand)) })
    }

    /// Who is meant by now, but for those that have ended.
    fn there(&self, inode: Inode<'_>) -> Result<BTreeSet<ProcessIdentity>, KernelError> {
        let known = self.shared.state().identities();
        let mut there = scope::of(&self.place, self.kill.extent, inode, &known)?;
        there.retain(|process| process::is_alive(*process));
        Ok(there)
    }
}

/// Does it, until it is over. Whoever is found later is told by whoever finds it, and watched here.
fn carry_out(shared: &Shared, place: &Place, stirred: impl Fn()) {
    let mut told = Stage::default();
    loop {
        let next = shared.state().next(&shared.kill, boot_now());
        let until = match next {
            Next::Over => return,
            Next::Wait(until) => until,
            Next::Send => {
                // Those who were born since they were looked for; of a namespace, only the next look tells.
                let elsewhere = || Err(scope::of_node());
                let known = shared.state().identities();
                let there = scope::of(place, shared.kill.extent, elsewhere, &known);
                shared.state().fire(there.unwrap_or_default(), &shared.kill, boot_now);
                continue;
            }
        };
        let (stage, descriptors) = {
            let state = shared.state();
            (state.stage(), state.living())
        };
        if stage != told {
            told = stage;
            stirred();
        }
        let mut awaited = vec![PollFd::new(shared.wake.as_fd(), PollFlags::POLLIN)];
        awaited.extend(descriptors.iter().map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)));
        let patience = until.map_or(PollTimeout::NONE, |until| {
            let left = until.since(boot_now()).as_millis().saturating_add(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        // Whatever came of it is read off the processes.
        let _ = poll(&mut awaited, patience);
        let _ = shared.wake.read();
        shared.state().note_ends();
    }
}

/// How far a kill has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nobody was sent anything.
    #[default]
    Ahead,
    /// They were, and some go on.
    Sent,
    /// All have ended.
    Done,
}

enum Next {
    /// The signal is due.
    Send,
    /// Until then, at the latest.
    Wait(Option<BootTime>),
    /// Its time is over.
    Over,
}

impl State {
    fn admit(&mut self, there: impl IntoIterator<Item = ProcessIdentity>) {
        for process in there {
            let known = |one: &Member| one.identity == process;
            if self.members.iter().any(known) || self.left.iter().any(|one| one.process == process)
            {
                continue;
            }
            let name = scope::name(process.pid);
            match scope::indispensable(process, &name).or_else(|| forbidden(process)) {
                Some(reason) => self.left.push(Uncovered { process, name, reason }),
                None => self.members.extend(Member::of(process)),
            }
        }
    }

    /// Sends all of them, and these, the signal, if it is due still: looking for them takes its time, in which
    /// it may have been ended, or its own time have run out.
    fn fire(
        &mut self,
        there: BTreeSet<ProcessIdentity>,
        kill: &Kill,
        now: impl FnOnce() -> BootTime,
    ) {
        self.admit(there);
        if matches!(self.next(kill, now()), Next::Send) {
            self.send(kill.signal);
        }
    }

    /// Sends all of them the signal.
    fn send(&mut self, signal: Signal) {
        self.members.iter_mut().for_each(|member| member.send(signal));
        // Whoever was born before the last of them got it is meant, too.
        self.sent = Some(boot_now());
        // Those who are gone by now have not ended by this.
        self.members.retain(|member| member.signalled.is_some());
    }

    /// Takes in who was missed, and sends them the signal if the others have it.
    fn catch_up(&mut self, there: BTreeSet<ProcessIdentity>, signal: Signal) {
        let missed: Vec<ProcessIdentity> =
            there.into_iter().filter(|one| self.misses(*one, signal)).collect();
        self.admit(missed);
        if self.sent.is_some() {
            let new = self.members.iter_mut().filter(|member| member.signalled.is_none());
            new.for_each(|member| member.send(signal));
            self.members.retain(|member| member.signalled.is_some());
        }
    }

    /// Sends SIGKILL where it is due, and says what is next.
    fn next(&mut self, kill: &Kill, now: BootTime) -> Next {
        if self.over {
            return Next::Over;
        }
        let Some((start, end)) = self.lease else { return Next::Wait(None) };
        if now < start {
            return Next::Wait(Some(start));
        }
        if now >= end {
            return Next::Over;
        }
        if self.sent.is_none() {
            return Next::Send;
        }
        let mut until = end;
        for member in self.members.iter_mut().filter(|member| member.lives() && !member.forced) {
            let due = member.signalled.zip(kill.grace).map(|(sent, grace)| sent + grace);
            match due {
                Some(due) if due <= now => {
                    member.send(Signal::Kill);
                    member.forced = true;
                }
                Some(due) => until = until.min(due),
                None => {}
            }
        }
        Next::Wait(Some(until))
    }

    fn stage(&self) -> Stage {
        match self.sent {
            None => Stage::Ahead,
            Some(_) if self.members.iter().any(Member::lives) => Stage::Sent,
            Some(_) => Stage::Done,
        }
    }

    /// Whether somebody who is there is to be sent the signal and was not: everybody before it is due, then
    /// those who were there before it and were not seen, as they were born meanwhile.
    fn misses(&self, process: ProcessIdentity, signal: Signal) -> bool {
        let known = self.members.iter().any(|member| member.identity == process)
            || self.left.iter().any(|one| one.process == process);
        let meant = self.sent.is_none_or(|sent| signal.ends() && process::began(process) <= sent);
        !known && meant
    }

    fn identities(&self) -> BTreeSet<ProcessIdentity> {
        self.members.iter().map(|member| member.identity).collect()
    }

    fn living(&self) -> Vec<Arc<OwnedFd>> {
        let living = self.members.iter().filter(|member| member.lives());
        living.map(|member| Arc::clone(&member.descriptor)).collect()
    }

    fn note_ends(&mut self) {
        let now = boot_now();
        for member in self.members.iter_mut().filter(|member| member.lives()) {
            if !process::is_alive(member.identity) {
                member.ended = Some(now);
            }
        }
    }

    fn effect(&self) -> KillEffect {
        let count = |of: fn(&Member) -> bool| self.members.iter().filter(|one| of(one)).count();
        let took = |member: &Member| Some(member.ended?.since(member.signalled?));
        let took = self.members.iter().filter_map(took);
        KillEffect {
            processes: self.members.len(),
            signalled: count(|member| member.signalled.is_some()),
            unheeded: count(|member| member.unheeded && member.lives()),
            ended: count(|member| member.signalled.is_some() && !member.lives()),
            forced: count(|member| member.forced && !member.lives()),
            longest: took.max().unwrap_or_default(),
            uncovered: self.left.iter().take(ClockEffect::NAMED).cloned().collect(),
        }
    }
}

impl Engaged for Killing {
    fn begin(&self, start: BootTime, end: BootTime) -> Result<(), KernelError> {
        self.shared.state().lease = Some((start, end));
        self.shared.wake();
        Ok(())
    }

    fn renew(&self, end: BootTime) -> Result<(), KernelError> {
        if let Some((_, until)) = &mut self.shared.state().lease {
            *until = end;
        }
        self.shared.wake();
        Ok(())
    }

    fn end(&self) {
        self.shared.state().over = true;
        self.shared.wake();
    }

    fn lease(&self) -> Option<(BootTime, BootTime)> {
        let state = self.shared.state();
        state.lease.filter(|_| !state.over)
    }

    /// Whoever was there before the signal and was not seen, since it was born meanwhile, is sent it, too.
    fn follow(&self, inode: Inode<'_>) -> Result<(), KernelError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let there = self.there(inode)?;
            let mut state = self.shared.state();
            if !state.over && state.lease.is_none_or(|(_, end)| boot_now() < end) {
                state.catch_up(there, self.kill.signal);
                self.shared.wake();
            }
            state.note_ends();
            let busy = state.members.iter().any(Member::lives);
            let soon = |(start, _)| start <= boot_now() + PATIENCE;
            let waits = match state.sent {
                None => state.lease.is_some_and(soon),
                Some(_) => self.kill.signal == Signal::Kill,
            };
            drop(state);
            if !(busy && waits) || Instant::now() >= until {
                return Ok(());
            }
            // Nothing else tells when all of several have ended.
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn look(&self, inode: Inode<'_>) -> Result<Coverage, KernelError> {
        let there = self.there(inode)?;
        let mut state = self.shared.state();
        state.note_ends();
        let acts = state.lease.is_some_and(|(start, _)| start <= boot_now()) && !state.over;
        let missed = there.iter().filter(|process| state.misses(**process, self.kill.signal));
        let joined = missed.count();
        Ok(Coverage {
            processes: there.len(),
            joined,
            left: 0,
            altered: BTreeSet::new(),
            unread: acts && state.sent.is_none(),
            released: None,
            over: state.stage() == Stage::Done && joined == 0,
        })
    }

    fn measured(&self) -> Measured {
        let mut state = self.shared.state();
        state.note_ends();
        Measured::Kill(state.effect())
    }

    fn take_out(&self) -> Result<(), KernelError> {
        self.end();
        let hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It sends nothing any more.
        hand.map_or(Ok(()), JoinHandle::join)
            .map_err(|_| KernelError::Answer("the thread that kills has panicked".to_owned()))
    }
}

impl Drop for Killing {
    fn drop(&mut self) {
        self.end();
    }
}
