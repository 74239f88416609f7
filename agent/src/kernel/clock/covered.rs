//! The processes of one skew: who is covered, who cannot be, and what was measured.

mod roll;
mod taken_out;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use fault::{
    BootTime, Clock, ClockEffect, Ending, Extent, ProcessIdentity, Reading, Scheme, Shape, Skew,
    Uncovered,
};

use self::roll::Roll;
pub use self::taken_out::is_whole;
pub(super) use self::taken_out::{TakenOut, trouble};
use super::deputy::{self, Deputy, Urgency};
use super::skewed::{ClockError, Outcome, Skewed, Workshop};
use super::subject::Refusal;
use super::{boot_now, scope};
use crate::clock::parameters::{Distance, Parameters};
use crate::kernel::{Coverage, Place, process};

/// How far ahead a start may be that is waited for; that of several targets is (20 ms).
const SOON: Duration = Duration::from_millis(20);
/// How many processes are given their bytes back at a time.
const AT_ONCE: usize = 4;
/// How old a reading of a clock that changes may become: it is read anew at each look.
const STALE: Duration = Duration::from_millis(500);
/// By how much later than a look a stub may read its clock: the tick of coarse clocks (10 ms at worst).
const TICK: i64 = 10_000_000;
/// How often a strobe is read in vain before the next round: half of its turns may be true ones.
const TRIES: u32 = 4;

/// The processes of one skew.
#[derive(Debug)]
pub struct Covered {
    pub(super) place: Place,
    pub(super) skew: Skew,
    workshop: Workshop,
    state: Mutex<State>,
    roll: Roll,
    /// As it was last asked for.
    latest: Mutex<ClockEffect>,
    deputy: Deputy,
}

#[derive(Debug, Default)]
struct State {
    standing: Standing,
    members: BTreeMap<ProcessIdentity, Member>,
    uncovered: BTreeMap<ProcessIdentity, Uncovered>,
    readings: BTreeMap<Clock, (BootTime, Reading)>,
    longest_gap: Duration,
    /// How many there were at the end.
    covered_at_end: Option<usize>,
    way_back: Duration,
}

#[derive(Debug)]
struct Member {
    skewed: Skewed,
    /// When it was last known to have our bytes.
    seen: BootTime,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// In place; everybody sees the truth.
    #[default]
    Prepared,
    /// It acts, or will.
    Acts(BootTime, BootTime),
    /// It has ended, for good.
    Over,
}

impl Covered {
    pub(super) fn new(place: Place, skew: Skew, workshop: &Workshop) -> Self {
        let workshop = workshop.measured_anew();
        Self {
            place,
            skew,
            workshop,
            state: Mutex::default(),
            roll: Roll::default(),
            latest: Mutex::default(),
            deputy: Deputy::default(),
        }
    }

    /// Says something to its processes, by somebody else: one may have its memory locked for long. Waits for
    /// a tenth of a second at most; `None` if it is not known by then what came of it.
    pub(in crate::kernel) fn by_deputy<T: Send + 'static>(
        self: Arc<Self>,
        urgency: Urgency,
        what: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let deputy = self.deputy.clone();
        match deputy.have(urgency, move || what(&self)) {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(%error, "nothing can be said to the processes of a skew");
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it act, unless it has ended. Waits for nobody.
    ///
    /// # Errors
    /// Not one process could be told.
    pub(in crate::kernel) fn begin(
        &self,
        start: BootTime,
        end: BootTime,
    ) -> Result<(), ClockError> {
        let mut state = self.state();
        // An end that was said later may have come first.
        if state.standing == Standing::Over {
            return Ok(());
        }
        state.standing = Standing::Acts(start, end);
        state.tell(|skewed| skewed.begin(start, end))
    }

    /// Moves its end. Waits for nobody.
    ///
    /// # Errors
    /// Not one process could be told.
    pub(in crate::kernel) fn renew(&self, end: BootTime) -> Result<(), ClockError> {
        let mut state = self.state();
        let Standing::Acts(start, _) = state.standing else { return Ok(()) };
        state.standing = Standing::Acts(start, end);
        state.tell(|skewed| skewed.renew(end))
    }

    /// Ends it: at once, or by the way back that it has. Waits for nobody.
    ///
    /// # Errors
    /// Not one process could be told.
    pub(in crate::kernel) fn end(&self) -> Result<(), ClockError> {
        let mut state = self.state();
        if state.standing == Standing::Over {
            return Ok(());
        }
        state.standing = Standing::Over;
        state.covered_at_end = Some(state.members.len());
        let now = boot_now();
        let mut longest = Duration::ZERO;
        let told = state.tell(|skewed| {
            let over = skewed.go_back(now)?;
            longest = longest.max(over.map_or(Duration::ZERO, |over| over.since(now)));
            Ok(())
        });
        state.way_back = longest;
        told
    }

    /// From when to when it acts, if that stands in every process; one that has ended does not matter.
    pub(in crate::kernel) fn lease(&self) -> Option<(BootTime, BootTime)> {
        let state = self.state();
        let Standing::Acts(start, end) = state.standing else { return None };
        let stands = |member: &Member| match member.skewed.lease() {
            Ok(found) => found == Some((start, end)),
            Err(error) => error.is_gone(),
        };
        state.members.values().all(stands).then_some((start, end))
    }

    /// What was measured so far, or some time ago if one of its processes has been written to for long.
    pub(super) fn effect(&self) -> ClockEffect {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + deputy::PATIENCE;
        loop {
            match self.state.try_lock() {
                Ok(state) => *latest = self.effect_by(&state),
                Err(TryLockError::Poisoned(state)) => *latest = self.effect_by(&state.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    // A look at some processes takes a millisecond.
                    std::thread::sleep(Duration::from_micros(200));
                    continue;
                }
                Err(TryLockError::WouldBlock) => {}
            }
            return latest.clone();
        }
    }

    fn effect_by(&self, state: &State) -> ClockEffect {
        ClockEffect {
            covered: state.covered_at_end.unwrap_or(state.members.len()),
            uncovered: state.uncovered.values().take(ClockEffect::NAMED).cloned().collect(),
            readings: state.readings.values().map(|(_, reading)| *reading).collect(),
            longest_hold: self.workshop.longest_hold(),
            longest_gap: state.longest_gap,
            way_back: state.way_back,
            escaped: if self.means_children() { self.roll.escaped() } else { 0 },
        }
    }

    /// Whether whoever its processes start is meant, too.
    const fn means_children(&self) -> bool {
        matches!(self.skew.extent, Extent::Tree)
            || !matches!(self.place.selector.scheme, Scheme::Pid(_))
    }

    /// The processes that are covered. Waits for nobody.
    pub(super) fn members(&self) -> BTreeSet<ProcessIdentity> {
        self.roll.members()
    }

    /// Notes who has executed another program, and when. Waits for nobody.
    pub(super) fn note_execution(&self, pid: u32, at: BootTime) {
        self.roll.note(pid, at);
    }

    /// Compares what is covered with the processes that there are; changes nothing.
    pub(super) fn look(&self, there: &BTreeSet<ProcessIdentity>) -> Coverage {
        let mut state = self.state();
        if state.standing == Standing::Over {
            return Coverage::default();
        }
        let now = boot_now();
        let mut coverage = Coverage { processes: there.len(), ..Coverage::default() };
        for (process, member) in &mut state.members {
            match member.skewed.verify() {
                _ if !process::is_alive(*process) => coverage.left += 1,
                Ok(()) => {
                    member.seen = now;
                    // Whatever it executed before this look, it has our bytes again.
                    self.roll.settle(process.pid, now);
                }
                Err(error) if error.is_gone() => coverage.left += 1,
                Err(_) => {
                    coverage.altered.insert(*process);
                }
            }
        }
        let known = |process: &&ProcessIdentity| {
            state.members.contains_key(process) || state.uncovered.contains_key(process)
        };
        coverage.joined = there.iter().filter(|process| !known(process)).count();
        coverage.unread = self.is_unread(&state, now);
        coverage.over = scope::is_nobody_left(&self.place.selector.scheme, there);
        coverage
    }

    fn is_unread(&self, state: &State, now: BootTime) -> bool {
        let Standing::Acts(start, end) = state.standing else { return false };
        let changes = !matches!(self.skew.shape, Shape::Offset(_));
        let is_fresh = |clock| {
            state.readings.get(&clock).is_some_and(|(at, reading)| {
                reading.has_moved() && !(changes && now.since(*at) > STALE)
            })
        };
        !state.members.is_empty()
            && start <= now
            && now < end
            && !self.skew.clocks.iter().all(is_fresh)
    }

    /// Covers the processes that came, lets go of those that left, and reads the clocks.
    ///
    /// # Errors
    /// The first process that could not be covered, if none could.
    pub(super) fn cover(&self, there: &BTreeSet<ProcessIdentity>) -> Result<(), ClockError> {
        self.drop_gone();
        let mut refused = None;
        for process in there {
            if let Err(error) = self.cover_one(*process) {
                refused = refused.or(Some(error));
            }
        }
        if self.state().members.is_empty()
            && let Some(error) = refused
        {
            return Err(error);
        }
        Ok(())
    }

    fn drop_gone(&self) {
        let mut gone = Vec::new();
        {
            let mut state = self.state();
            let is_gone = |(process, member): (&ProcessIdentity, &Member)| {
                let left = !process::is_alive(*process)
                    || member.skewed.verify().is_err_and(|error| error.is_gone());
                left.then_some(*process)
            };
            let left: Vec<ProcessIdentity> = state.members.iter().filter_map(is_gone).collect();
            for process in left {
                self.roll.strike(process);
                gone.extend(state.members.remove(&process));
            }
            state.uncovered.retain(|process, _| process::is_alive(*process));
        }
        self.roll.forget_ended();
        for member in gone {
            if process::is_alive(member.skewed.process()) {
                // It executed another program, some time after it was last seen.
                let pid = member.skewed.process().pid;
                self.roll.note(pid, member.seen);
            }
            // Nothing of it is there; what was recorded is forgotten.
            let _ = self.workshop.heal(member.skewed);
        }
    }

    fn cover_one(&self, process: ProcessIdentity) -> Result<(), ClockError> {
        {
            let state = self.state();
            let known = state.members.contains_key(&process)
                || state.uncovered.contains_key(&process)
                || state.standing == Standing::Over;
            if known {
                return Ok(());
            }
        }
        let name = scope::name(process.pid);
        if let Some(reason) = scope::spared(process, &name) {
            let spared = ClockError::Spared(reason);
            self.leave(process, name, &spared);
            return Err(spared);
        }
        match self.put_in(process) {
            Ok(skewed) => {
                self.take_in(process, skewed);
                Ok(())
            }
            Err(error) if error.is_gone() => Err(error),
            Err(error) => {
                self.leave(process, name, &error);
                Err(error)
            }
        }
    }

    fn leave(&self, process: ProcessIdentity, name: String, why: &ClockError) {
        let reason = why.to_string();
        // It is named: that is enough.
        self.roll.settle(process.pid, boot_now());
        self.state().uncovered.insert(process, Uncovered { process, name, reason });
    }

    /// A fork has our bytes already, and is taken over; any other process is given them.
    fn put_in(&self, process: ProcessIdentity) -> Result<Skewed, ClockError> {
        let _claim = self.workshop.claims.wait(process);
        if let Some(left) = self.workshop.leftover(process) {
            // Of a skew that is over; what does not succeed is what is told below.
            let _ = self.workshop.restore(&left);
        }
        match self.workshop.put_in(process, &self.skew) {
            Err(ClockError::Refused(refusal @ (Refusal::Different(_) | Refusal::Skewed(_)))) => {
                let state = self.state();
                let mut tried: Vec<Range<u64>> = Vec::new();
                for member in state.members.values() {
                    let place = member.skewed.place();
                    if tried.contains(place) {
                        continue;
                    }
                    tried.push(place.clone());
                    if let Ok(joined) = self.workshop.join(process, &member.skewed) {
                        return Ok(joined);
                    }
                }
                Err(refusal.into())
            }
            other => other,
        }
    }

    fn take_in(&self, process: ProcessIdentity, mut skewed: Skewed) {
        let mut state = self.state();
        let now = boot_now();
        let is_fork = skewed.swapped.is_none();
        // Under the lock: a renewal comes before it or after it, and then reaches this one, too.
        let told = match state.standing {
            Standing::Acts(start, end) => skewed.begin(start, end),
            Standing::Prepared => Ok(()),
            Standing::Over => skewed.go_back(now).map(drop),
        };
        let executed = self.roll.admit(process);
        if let (Standing::Acts(start, _), false) = (state.standing, is_fork) {
            let since = start.max(process::began(process)).max(executed.unwrap_or_default());
            // One that was there when it was prepared is covered from the start on.
            if start < now {
                state.longest_gap = state.longest_gap.max(now.since(since));
            }
        }
        if let Err(error) = told {
            tracing::warn!(pid = process.pid, %error, "a process that came is not told");
        }
        state.members.insert(process, Member { skewed, seen: now });
    }

    /// Reads the clocks that were not read yet, or too long ago.
    pub(super) fn measure(&self) {
        let standing = self.state().standing;
        if let Standing::Acts(start, _) = standing {
            let ahead = start.since(boot_now());
            if ahead <= SOON {
                std::thread::sleep(ahead);
            }
        }
        for try_again in 0..TRIES {
            if !self.is_unread(&self.state(), boot_now()) {
                return;
            }
            if try_again > 0 {
                let Shape::Strobe { period, .. } = self.skew.shape else { return };
                // Not a part of the period, so that another turn comes.
                std::thread::sleep((period * 3 / 8).min(Duration::from_millis(100)));
            }
            for clock in self.skew.clocks.iter() {
                self.read(clock);
            }
        }
    }

    fn read(&self, clock: Clock) {
        let Some((order, before)) = self.order(clock) else { return };
        let process = order.0;
        let probed = match self.workshop.ask(order.1) {
            Ok(probed) => probed,
            Err(error) => {
                tracing::debug!(pid = process.pid, %error, "a clock could not be read");
                return;
            }
        };
        let mut state = self.state();
        let Some(member) = state.members.get(&process) else { return };
        let Some((parameters, after)) = member.skewed.expected() else { return };
        let reading = Reading {
            clock,
            process,
            offset: probed.offset,
            error: probed.error.unsigned_abs(),
            as_asked: is_as_asked(&parameters, (before, after), probed.offset, probed.error),
        };
        let better = |(_, known): &(BootTime, Reading)| reading.has_moved() || !known.has_moved();
        if state.readings.get(&clock).is_none_or(better) {
            state.readings.insert(clock, (boot_now(), reading));
        }
    }

    fn order(&self, clock: Clock) -> Option<((ProcessIdentity, super::probe::Probe), i64)> {
        let state = self.state();
        let (process, member) = state.members.first_key_value()?;
        let (_, before) = member.skewed.expected()?;
        let number = match clock {
            Clock::Realtime => libc::CLOCK_REALTIME,
            Clock::Monotonic => libc::CLOCK_MONOTONIC,
            Clock::Boottime => libc::CLOCK_BOOTTIME,
        };
        Some(((*process, member.skewed.probing(number)), before))
    }

    /// Gives all processes their bytes back, forks that nobody saw included.
    pub(super) fn take_out(&self) -> TakenOut {
        // Those that are gone need not be told.
        let _ = self.end();
        // Those that have ended since the last look count as well.
        self.roll.forget_ended();
        let members = std::mem::take(&mut self.state().members);
        self.roll.clear();
        let places: Vec<Range<u64>> =
            members.values().map(|member| member.skewed.place().clone()).collect();
        let mut out = TakenOut::default();
        self.heal(members).into_iter().for_each(|(who, what)| out.admit(who, what));
        // Those that come back by themselves have forks that do so, too.
        if matches!(self.skew.ending, Ending::Step) {
            match self.workshop.sweep(&places) {
                Ok(found) => found.into_iter().for_each(|(who, what)| out.admit(who, what)),
                Err(error) => {
                    // Forks that nobody saw have a copy of a lease that may not be over.
                    out.doubtful = true;
                    out.trouble.push(error.to_string());
                }
            }
        }
        out
    }
}

impl Covered {
    /// Several at once: each waits for its threads most of the time.
    fn heal(&self, members: BTreeMap<ProcessIdentity, Member>) -> Vec<(ProcessIdentity, Outcome)> {
        let count = members.len();
        let waiting = Mutex::new(members.into_iter());
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            let mut healed = Vec::new();
            while let Some((process, member)) = next() {
                healed.push((process, self.workshop.heal(member.skewed)));
            }
            healed
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..AT_ONCE.min(count)).map(|_| scope.spawn(work)).collect();
            let mut healed = work();
            for other in others {
                // What a thread panicked over stays recorded, and is found at the next start.
                healed.extend(other.join().unwrap_or_default());
            }
            healed
        })
    }
}

impl State {
    /// Tells every process; those that have ended are found by the next look.
    fn tell(
        &mut self,
        mut tell: impl FnMut(&mut Skewed) -> Result<(), ClockError>,
    ) -> Result<(), ClockError> {
        let (mut told, mut failed) = (0_usize, None);
        for member in self.members.values_mut() {
            match tell(&mut member.skewed) {
                Ok(()) => told += 1,
                Err(error) if error.is_gone() => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) if told == 0 => Err(error),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether a distance that was read between two times (of the target's CLOCK_MONOTONIC) is what the stub
/// should have shown at some time between them.
fn is_as_asked(parameters: &Parameters, (from, to): (i64, i64), offset: i64, error: i64) -> bool {
    let is_near = |expected: i64| offset.abs_diff(expected) <= error.unsigned_abs();
    let (first, last) = (parameters.offset(from - TICK), parameters.offset(to));
    match parameters.distance {
        // Before the origin it is the truth.
        Distance::Grows(_) => {
            let (least, most) = (first.min(last), first.max(last));
            least.saturating_sub(error) <= offset && offset <= most.saturating_add(error)
        }
        Distance::Turns(..) if parameters.factor == 0 => is_near(first) || is_near(last),
        Distance::Turns(one, other) => {
            is_near(first) || is_near(last) || is_near(one.nanos()) || is_near(other.nanos())
        }
    }
}
