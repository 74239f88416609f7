//! What is done on a target, one task after the other: look, decide, apply.

use std::time::Duration;

use fault::{Aspect, Cut, Drift, FaultId, Kind, Measured, NamespaceCookie, Scheme, State, Status};

use super::deciding::{Worker, prepared};
use super::target::{Preparing, Start, Task, followed, place, tracks};
use super::{AgentError, Earnest, Prepared, Reply};
use crate::executor::{Job, Outcome};
use crate::kernel::{Act, Chain, KernelError, Observed, Place, Sight, Step, unbound};
use crate::ledger::Record;
use crate::plan::{self, Remaining};

/// How far ahead a start may be for which an answer waits (20 ms): faults on several targets begin together.
const SOON: Duration = Duration::from_millis(20);

impl Worker {
    pub(super) fn enqueue(&mut self, target: NamespaceCookie, task: Task) {
        if let Some(target) = self.targets.get_mut(&target) {
            target.queue.push_back(task);
        }
        self.advance(target);
    }

    /// Begins the next task of a target, if none is under way.
    pub(super) fn advance(&mut self, cookie: NamespaceCookie) {
        let Some(target) = self.targets.get_mut(&cookie) else { return };
        if target.current.is_some() {
            return;
        }
        let Some(task) = target.queue.pop_front() else {
            if self.ledger.living(cookie).next().is_some() {
                return;
            }
            if target.holdings.loaded {
                // The fault for which the last one left it in place never came.
                let place = target.place.clone();
                self.go_on(cookie, Task::Leave, Job::TakeOut { place, steps: vec![Step::Unload] });
            } else {
                self.targets.remove(&cookie);
                self.answer_drain();
            }
            return;
        };
        let place = target.place.clone();
        let job = match &task {
            Task::Prepare(preparing) => {
                let peers = followed(&preparing.fault).map(|peer| (preparing.fault.id, peer));
                Job::Look {
                    place: self::place(&preparing.fault),
                    peers: peers.into_iter().collect(),
                }
            }
            Task::Commit { id, .. } => {
                // Its own way in: a process that was named must still be the one that it was.
                let own = self.ledger.get(*id).map(|record| self::place(&record.fault));
                Job::Look { place: own.unwrap_or(place), peers: Vec::new() }
            }
            Task::Compare => {
                let living = self.ledger.living(cookie);
                let peers =
                    living.filter_map(|record| Some((record.fault.id, followed(&record.fault)?)));
                let place = self.way_in(cookie).unwrap_or(place);
                Job::Look { place, peers: peers.collect() }
            }
            Task::Leave => Job::TakeOut { place, steps: vec![Step::Unload] },
            Task::Measure { id, .. } => {
                let slot = self.ledger.get(*id).map(|record| record.slot);
                let steps = slot.map(|slot| Step::Cover { slot });
                Job::TakeOut { place, steps: steps.into_iter().collect() }
            }
            Task::TakeOut { id, .. } => {
                let done = self.ledger.get(*id).map(|record| record.done.clone());
                let others = || {
                    let cuts = |record: &&Record| record.fault.kind.cut().is_some();
                    let living = self.ledger.living(cookie).filter(cuts);
                    living.filter(|record| record.fault.id != *id)
                };
                let remaining = if others().next().is_none() {
                    Remaining::Nobody
                } else {
                    let observed = others().filter(|record| tracks(&record.fault));
                    Remaining::Observed(observed.flat_map(|record| record.peers.clone()).collect())
                };
                // The counts go with the rule: they are read while it is still there.
                self.keep_effect(*id);
                Job::TakeOut { place, steps: plan::heal(&done.unwrap_or_default(), remaining) }
            }
        };
        let Some(target) = self.targets.get_mut(&cookie) else { return };
        target.current = Some(task);
        if !target.executor.submit(job) {
            tracing::error!(target = %target.place.selector, "the target's thread is gone");
        }
    }

    /// The way into a target that lasts longest of those that its faults were named by: a name outlives
    /// the processes inside.
    pub(super) fn way_in(&self, cookie: NamespaceCookie) -> Option<Place> {
        let lasts = |record: &&Record| match record.fault.selector.scheme {
            Scheme::Host(_) => 4,
            Scheme::Netns(_) => 3,
            Scheme::Pod(_) => 2,
            Scheme::Container(_) => 1,
            Scheme::Pid(_)
            | Scheme::Addr(_)
            | Scheme::Etcd(_)
            | Scheme::Zeebe(_)
            | Scheme::Kubernetes(_) => 0,
        };
        let longest = self.ledger.living(cookie).max_by_key(lasts)?;
        Some(unbound(&self::place(&longest.fault)))
    }

    pub(super) fn keep_effect(&mut self, id: FaultId) {
        let Some(record) = self.ledger.get(id) else { return };
        let status = self.status(record);
        if let Some(record) = self.ledger.get_mut(id) {
            record.effect = status.effect;
            record.measured = status.measured;
            record.hook = status.hook;
        }
    }

    pub(super) fn done(&mut self, cookie: NamespaceCookie, outcome: Outcome) {
        let Some(task) = self.targets.get_mut(&cookie).and_then(|target| target.current.take())
        else {
            return;
        };
        match (task, outcome) {
            (Task::Prepare(preparing), Outcome::Looked { target, mut peers }) => {
                let peer = peers.pop().map(|(_, sight)| sight);
                self.planned(cookie, preparing, target, peer);
            }
            (Task::Prepare(preparing), Outcome::Applied(steps, result)) => {
                self.applied(cookie, *preparing, steps, result);
            }
            (Task::Commit { id, start, reply }, Outcome::Looked { target, .. }) => {
                match self.committed(id, start, target) {
                    // What it does can be read at once; an answer without that would say less.
                    Ok(status) if self.is_to_be_read(&status) => {
                        self.put_first(cookie, Task::Measure { id, reply });
                    }
                    result => drop(reply.send(result)),
                }
            }
            (Task::Measure { id, reply }, Outcome::TakenOut(steps, failed)) => {
                self.corrected(cookie, &steps, &failed);
                let record = self.ledger.get(id).ok_or(AgentError::Unknown(id));
                drop(reply.send(record.map(|record| self.status(record))));
            }
            (Task::TakeOut { id, fate }, Outcome::TakenOut(steps, failed)) => {
                self.taken_out(cookie, id, fate, &steps, &failed);
            }
            (Task::Compare, Outcome::Looked { target, peers }) => {
                self.compared(cookie, target, peers);
            }
            (Task::Compare, Outcome::TakenOut(steps, failed)) => {
                self.corrected(cookie, &steps, &failed);
            }
            (Task::Leave, Outcome::TakenOut(_, failed)) => self.left(cookie, &failed),
            (
                Task::Prepare(_)
                | Task::Commit { .. }
                | Task::Measure { .. }
                | Task::TakeOut { .. }
                | Task::Compare
                | Task::Leave,
                Outcome::Looked { .. } | Outcome::Applied(..) | Outcome::TakenOut(..),
            ) => unreachable!("an executor answers the job that it was given"),
        }
        self.advance(cookie);
    }

    /// Goes on with a task by another job.
    pub(super) fn go_on(&mut self, cookie: NamespaceCookie, task: Task, job: Job) {
        if let Some(target) = self.targets.get_mut(&cookie) {
            target.current = Some(task);
            if !target.executor.submit(job) {
                tracing::error!(target = %target.place.selector, "the target's thread is gone");
            }
        }
    }

    pub(super) fn planned(
        &mut self,
        cookie: NamespaceCookie,
        mut preparing: Box<Preparing>,
        target: Result<Sight, KernelError>,
        peer: Option<Result<Sight, KernelError>>,
    ) {
        if self.is_healing(preparing.fault.id) && preparing.earnest == Earnest::Real {
            // Taking out waits behind this task: there is to be nothing to take out.
            return self.give_up(&mut preparing);
        }
        match self.plan(cookie, &mut preparing, target, peer) {
            Err(error) => self.not_prepared(&mut preparing, &error),
            Ok(steps) if preparing.earnest == Earnest::DryRun => {
                let prepared = Prepared {
                    id: preparing.fault.id,
                    steps: steps.iter().map(ToString::to_string).collect(),
                    peers: preparing.peers.iter().map(|peer| peer.prefix.clone()).collect(),
                    notes: preparing.notes.clone(),
                };
                for reply in preparing.replies.drain(..) {
                    drop(reply.send(Ok(prepared.clone())));
                }
            }
            Ok(steps) => {
                let place = place(&preparing.fault);
                self.go_on(cookie, Task::Prepare(preparing), Job::Apply { place, steps });
            }
        }
    }

    pub(super) fn plan(
        &self,
        cookie: NamespaceCookie,
        preparing: &mut Preparing,
        target: Result<Sight, KernelError>,
        peer: Option<Result<Sight, KernelError>>,
    ) -> Result<Vec<Step>, AgentError> {
        let fault = &preparing.fault;
        let gone = || AgentError::Gone(fault.selector.scheme.clone());
        let Sight::Present(observed) = target? else { return Err(gone()) };
        let addresses = match (peer, &fault.peers.followed) {
            (None, _) | (_, None) => Vec::new(),
            (Some(sight), Some(followed)) => match sight? {
                Sight::Present(peer) => peer.addresses,
                Sight::Gone(_) => {
                    return Err(AgentError::Gone(followed.selector.scheme.clone()));
                }
            },
        };
        let act = |act| Ok(plan::prepare_act(act, preparing.slot));
        let cut = match fault.kind {
            Kind::Cut(cut) => cut,
            Kind::Skew(skew) => return Ok(plan::prepare_skew(&skew, preparing.slot)),
            Kind::Freeze(freeze) => return act(Act::Freeze(freeze)),
            Kind::Kill(kill) => return act(Act::Kill(kill)),
            Kind::Stress(stress) => return act(Act::Stress(stress)),
        };
        let resolved = plan::resolve_peers(fault, &observed, &addresses)?;
        let nothing = plan::Holdings::default();
        let holdings = self.targets.get(&cookie).map_or(&nothing, |target| &target.holdings);
        let steps =
            plan::prepare(fault, cut, preparing.slot, &resolved.peers, &observed, holdings)?;
        preparing.peers = resolved.peers;
        preparing.notes = resolved.notes;
        Ok(steps)
    }

    pub(super) fn not_prepared(&mut self, preparing: &mut Preparing, error: &AgentError) {
        // One that was healed meanwhile stays known, so that a replay does not put it in again.
        if preparing.earnest == Earnest::Real && !self.is_healing(preparing.fault.id) {
            self.ledger.remove(preparing.fault.id);
        }
        for reply in preparing.replies.drain(..) {
            drop(reply.send(Err(error.clone())));
        }
    }

    pub(super) fn applied(
        &mut self,
        cookie: NamespaceCookie,
        mut preparing: Preparing,
        steps: Vec<Step>,
        result: Result<(), KernelError>,
    ) {
        if let Some(target) = self.targets.get_mut(&cookie) {
            target.note(&steps);
        }
        let id = preparing.fault.id;
        if let Err(error) = result {
            if let Some(target) = self.targets.get_mut(&cookie).filter(|_| !steps.is_empty()) {
                target.spoiled.insert(preparing.slot);
            }
            return self.not_prepared(&mut preparing, &error.into());
        }
        let now = self.kernel.now();
        let Some(record) = self.ledger.get_mut(id) else { return };
        record.peers = preparing.peers;
        record.notes = preparing.notes;
        if is_in_processes(record)
            && let Some(measured) = self.kernel.measured(cookie, record.slot)
        {
            record.notes.extend(notes(&measured));
        }
        record.done = steps;
        record.changed = now;
        let prepared = prepared(record);
        for reply in preparing.replies.drain(..) {
            drop(reply.send(Ok(prepared.clone())));
        }
        self.tell(id);
    }

    fn is_healing(&self, id: FaultId) -> bool {
        self.ledger.get(id).is_some_and(|record| record.state == State::Healing)
    }

    fn left(&mut self, cookie: NamespaceCookie, failed: &[(Step, KernelError)]) {
        for (step, error) in failed {
            // The next fault here loads anew, which lets go of what was there.
            tracing::warn!(%step, %error, "not left");
        }
        if let Some(target) = self.targets.get_mut(&cookie) {
            target.note(&[Step::Unload]);
        }
    }

    pub(super) fn committed(
        &mut self,
        id: FaultId,
        start: Start,
        target: Result<Sight, KernelError>,
    ) -> Result<Status, AgentError> {
        let Some(record) = self.ledger.get(id) else { return Err(AgentError::Unknown(id)) };
        if record.state != State::Prepared {
            return self.was_committed(record);
        }
        let cookie = record.target();
        let mut observed = match target? {
            Sight::Present(observed) => observed,
            Sight::Gone(gone) => {
                let scheme = record.fault.selector.scheme.clone();
                self.end(id, State::Gone(gone));
                return Err(AgentError::Gone(scheme));
            }
        };
        let slot = record.slot;
        let place = place(&record.fault);
        let now = self.kernel.now();
        let terms = record.fault.terms;
        // Told late, it begins now: what is recorded is when it really began.
        let lease = start.lease(now, terms);
        if start.at() + terms.lease <= now {
            self.end(id, State::Expired);
            return Err(AgentError::Ended(id));
        }
        if let Some(missing) = missing(record, &observed) {
            self.end(id, State::Failed);
            return Err(AgentError::Unverified(missing));
        }
        let step = Step::Begin { slot, start: lease.start(), end: lease.end() };
        if let Err(error) = self.kernel.perform(&place, &step) {
            // It may come to act still: what is said to a process that is not to be had arrives late.
            self.end(id, State::Failed);
            return Err(error.into());
        }
        let found = self.kernel.lease(cookie, slot);
        if found != Some((lease.start(), lease.end())) {
            self.end(id, State::Failed);
            return Err(AgentError::Unverified(format!("lease {found:?}")));
        }
        let now = self.kernel.now();
        if let Some(record) = self.ledger.get_mut(id) {
            record.lease = Some(lease);
            record.state = State::Active;
            record.changed = now;
        }
        // What is over by now is ended by the next comparison.
        let (corrections, _) = self.judge(cookie, &mut observed);
        self.tell(id);
        if let Some(target) = self.targets.get_mut(&cookie).filter(|t| !t.will_compare())
            && !corrections.is_empty()
        {
            target.queue.push_back(Task::Compare);
        }
        let record = self.ledger.get(id).ok_or(AgentError::Unknown(id))?;
        Ok(self.status(record))
    }

    pub(super) fn taken_out(
        &mut self,
        cookie: NamespaceCookie,
        id: FaultId,
        fate: State,
        steps: &[Step],
        failed: &[(Step, KernelError)],
    ) {
        if let Some(target) = self.targets.get_mut(&cookie) {
            target.note(steps);
            if let Some(record) = self.ledger.get(id).filter(|_| !failed.is_empty()) {
                // The next fault in this place would act on what stayed.
                target.spoiled.insert(record.slot);
            }
        }
        let seen = |record: &&mut Record| !record.done.is_empty() && is_in_processes(record);
        if let Some(record) = self.ledger.get_mut(id).filter(seen)
            && let Some(measured) = self.kernel.measured(cookie, record.slot)
        {
            // Taking out holds processes, too.
            record.measured = Some(measured);
        }
        if let Some(record) = self.ledger.get_mut(id) {
            record.drifts.extend(failed.iter().map(|(step, error)| {
                let what = format!("{step}: {error}");
                match error {
                    KernelError::Inert(_) => Drift::Inert(what),
                    KernelError::Call { .. }
                    | KernelError::Object(_)
                    | KernelError::Map { .. }
                    | KernelError::Answer(_)
                    | KernelError::Gone(_)
                    | KernelError::Elsewhere(_)
                    | KernelError::Limit { .. }
                    | KernelError::Refused { .. } => Drift::NotTakenOut(what),
                }
            }));
        }
        self.finish(id, if failed.is_empty() { fate } else { State::Failed });
    }
}

impl Worker {
    /// Whether a fault that was just committed acts by now, and what it does is read and not counted.
    fn is_to_be_read(&self, status: &Status) -> bool {
        let soon = self.kernel.now() + SOON;
        status.lease.is_some_and(|window| window.start <= soon)
            && status.fault.kind.aspect() == Aspect::Processes
    }

    /// Whether a fault acts, and what it does is read and not counted.
    pub(super) fn has_begun(&self, record: &Record) -> bool {
        record.state == State::Active
            && record.fault.kind.aspect() == Aspect::Processes
            && record.lease.as_ref().is_some_and(|lease| lease.start() <= self.kernel.now())
    }

    /// Reads what a fault does, and answers with it.
    pub(super) fn measure(&mut self, cookie: NamespaceCookie, id: FaultId, reply: Reply<Status>) {
        self.put_first(cookie, Task::Measure { id, reply });
        self.advance(cookie);
    }

    /// Before everything else that waits, but for what takes out.
    fn put_first(&mut self, cookie: NamespaceCookie, task: Task) {
        if let Some(target) = self.targets.get_mut(&cookie) {
            let out = |task: &Task| matches!(task, Task::TakeOut { .. });
            let at = target.queue.iter().take_while(|task| out(task)).count();
            target.queue.insert(at, task);
        }
    }
}

/// What the kernel has not of a fault that is to act; `None` if it has all.
/// Whether anything is measured in processes: the place of a cut may be that of an earlier fault which was.
fn is_in_processes(record: &Record) -> bool {
    record.fault.kind.aspect() == Aspect::Processes
}

fn missing(record: &Record, observed: &Observed) -> Option<String> {
    match &record.fault.kind {
        Kind::Cut(Cut { side, .. }) => {
            let stands = |attachment| {
                matches!(observed.chains.get(attachment), Some(Chain::First | Chain::Behind(_)))
            };
            let placed = plan::wanted(observed, &[*side].into()).iter().any(stands);
            (!placed).then(|| "no program of ours on any device".to_owned())
        }
        Kind::Skew(_) => match observed.coverage.get(&record.slot) {
            Some(coverage) => coverage.altered.first().map(|process| {
                format!("somebody has changed what was written into process {}", process.pid)
            }),
            None => Some("no process has our code".to_owned()),
        },
        Kind::Freeze(_) | Kind::Kill(_) | Kind::Stress(_) => {
            let held = observed.coverage.get(&record.slot).is_some_and(|it| it.released.is_none());
            (!held).then(|| "nothing is there that could act on the processes".to_owned())
        }
    }
}

/// What is to be known of a fault that is in place.
fn notes(measured: &Measured) -> Vec<String> {
    let uncovered = match measured {
        Measured::Clock(effect) => &effect.uncovered,
        Measured::Freeze(effect) => &effect.uncovered,
        Measured::Kill(effect) => &effect.uncovered,
        Measured::Stress(_) => return Vec::new(),
    };
    let note = |one: &fault::Uncovered| {
        format!("{} {} is not covered: {}", one.name, one.process.pid, one.reason)
    };
    uncovered.iter().map(note).collect()
}
