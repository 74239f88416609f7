//! The worker itself: messages in, jobs and answers out. It never waits for a kernel.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fault::{
    Effect, Fault, FaultId, Gone, Holder, Hook, Kind, NamespaceCookie, State, Status, Window,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::target::{Preparing, Start, Target, Task, place};
use super::{AgentError, Commit, Earnest, Message, Prepared, Reach, Reply, Transition};
use crate::brake::{Brake, Standing};
use crate::executor::Executor;
use crate::hands::Hands;
use crate::holders::{Holders, is_own};
use crate::kernel::{FileWatch, Kernel, KernelError, Step, Stir, unbound};
use crate::ledger::{Ledger, Record};
use crate::plan;

/// How often the kernel is read again though nothing stirred: a foreign program makes no event.
const SLOW_TIMER: Duration = Duration::from_secs(1);
/// How far ahead faults on several targets begin, so that all of them are in place by then.
const TOGETHER: Duration = Duration::from_millis(1);
/// How far ahead a fault may be told to begin (1 min): until then it holds its slot for nothing.
const FARTHEST_START: Duration = Duration::from_secs(60);

pub(super) struct Worker {
    pub(super) kernel: Arc<dyn Kernel>,
    pub(super) messages: mpsc::WeakSender<Message>,
    pub(super) transitions: broadcast::Sender<Transition>,
    pub(super) ledger: Ledger,
    pub(super) holders: Holders,
    pub(super) brake: Brake,
    pub(super) hands: Hands,
    /// Why the brake is on although it could not be kept.
    pub(super) unkept: Option<String>,
    /// How the brake stood when it was last looked at.
    pub(super) braked: Standing,
    pub(super) targets: HashMap<NamespaceCookie, Target>,
    pub(super) healing: HashMap<FaultId, Vec<Reply<Status>>>,
    pub(super) draining: Option<Vec<oneshot::Sender<()>>>,
    /// Whether there are faults that have not ended, for who dials.
    pub(super) holding: watch::Sender<bool>,
}

impl Worker {
    pub(super) fn new(
        kernel: Arc<dyn Kernel>,
        brake: Brake,
        hands: Hands,
        messages: mpsc::WeakSender<Message>,
        transitions: broadcast::Sender<Transition>,
    ) -> Self {
        Self {
            braked: brake.read(),
            kernel,
            messages,
            transitions,
            ledger: Ledger::default(),
            holders: Holders::default(),
            brake,
            hands,
            unkept: None,
            targets: HashMap::new(),
            healing: HashMap::new(),
            draining: None,
            holding: watch::Sender::new(false),
        }
    }

    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Message>,
        mut watch: Option<FileWatch>,
    ) {
        let mut slow = tokio::time::interval(SLOW_TIMER);
        slow.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let until_due = self.ledger.next_due().map(|due| due.since(self.kernel.now()));
            let busy = !self.targets.is_empty();
            tokio::select! {
                biased;
                changed = change(watch.as_mut()) => {
                    if let Err(error) = changed {
                        tracing::warn!(%error, "the brake's file is not watched any more");
                        watch = None;
                    }
                    self.obey();
                }
                message = inbox.recv() => match message {
                    Some(message) => self.handle(message),
                    None => return,
                },
                () = sleep(until_due), if until_due.is_some() => {}
                _ = slow.tick(), if busy => {
                    self.ledger.forget(self.kernel.now());
                    self.stir(Stir::Anywhere);
                    self.obey();
                }
            }
            for id in self.ledger.due(self.kernel.now()) {
                self.end(id, State::Expired);
            }
            let holds = self.ledger.iter().any(|record| !record.state.is_final());
            self.holding.send_if_modified(|held| std::mem::replace(held, holds) != holds);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Prepare { fault, earnest, asker, reply } => {
                self.prepare(*fault, earnest, asker, reply);
            }
            Message::Commit { wish, asker, replies } => self.commit(&wish, asker, replies),
            Message::Heal { id, reach, reply } => self.heal(id, reach, reply),
            Message::Renew { ids, asker, reply } => drop(reply.send(self.renew(ids, asker))),
            Message::Hear { asker, reply } => {
                drop(reply.send(self.holders.hear(Some(asker)).map_err(Into::into)));
            }
            Message::List { reply } => {
                drop(reply.send(self.ledger.iter().map(|record| self.status(record)).collect()));
            }
            Message::Halt { unkept, reply } => drop(reply.send(self.halt(unkept))),
            Message::Resume => {
                self.unkept = None;
                self.obey();
            }
            Message::Brake { reply } => drop(reply.send(self.obey())),
            Message::Drain { reply } => self.drain(reply),
            Message::Done { target, outcome } => self.done(target, outcome),
            Message::Stir(stir) => self.stir(stir),
        }
    }

    fn prepare(
        &mut self,
        fault: Fault,
        earnest: Earnest,
        asker: Option<Holder>,
        reply: Reply<Prepared>,
    ) {
        let admitted = match earnest {
            Earnest::Real => self.admit(asker),
            // It changes nothing, and so is anybody's.
            Earnest::DryRun if self.draining.is_some() => Err(AgentError::Draining),
            Earnest::DryRun => Ok(()),
        };
        if let Err(error) = admitted {
            return drop(reply.send(Err(error)));
        }
        if let Some(record) = self.ledger.get_mut(fault.id) {
            let own = earnest == Earnest::DryRun || is_own(asker, record.holder);
            if record.fault != fault || !own {
                return drop(reply.send(Err(AgentError::Conflict(fault.id))));
            }
            if earnest == Earnest::Real {
                record.holder = asker;
            }
            if !record.done.is_empty() {
                return drop(reply.send(Ok(prepared(record))));
            }
            if record.state.is_final() {
                return drop(reply.send(Err(AgentError::Ended(fault.id))));
            }
            // The same request while the first one is under way gets its answer.
            let waiting = self.targets.get_mut(&fault.target.namespace);
            match waiting.and_then(|target| target.preparing(fault.id)) {
                Some(preparing) => preparing.replies.push(reply),
                // It has been given up, and is on its way out.
                None => drop(reply.send(Err(AgentError::Ended(fault.id)))),
            }
            return;
        }
        if let Err(error) = self.spare_own_branch(&fault).and_then(|()| self.admit_beside(&fault)) {
            return drop(reply.send(Err(error)));
        }
        let cookie = fault.target.namespace;
        let none = BTreeSet::new();
        let spoiled = self.targets.get(&cookie).map_or(&none, |target| &target.spoiled);
        let Some(slot) = self.ledger.free_slot(cookie, spoiled) else {
            let limit = AgentError::Limit {
                what: "faults on one target",
                most: crate::kernel::Slot::COUNT as u64,
            };
            return drop(reply.send(Err(limit)));
        };
        if let Err(error) = self.admit_target(&fault) {
            return drop(reply.send(Err(error)));
        }
        if earnest == Earnest::Real {
            self.ledger.insert(Record {
                fault: fault.clone(),
                holder: asker,
                state: State::Prepared,
                slot,
                lease: None,
                peers: BTreeSet::new(),
                done: Vec::new(),
                notes: Vec::new(),
                drifts: Vec::new(),
                effect: Effect::default(),
                measured: None,
                hook: Hook::default(),
                changed: self.kernel.now(),
            });
        }
        let task = Task::Prepare(Box::new(Preparing {
            fault,
            earnest,
            slot,
            replies: vec![reply],
            peers: BTreeSet::new(),
            notes: Vec::new(),
        }));
        self.enqueue(cookie, task);
    }

    /// The control path is exempt in the node's own network alone: elsewhere a cut would be one from whoever
    /// could end it.
    fn spare_own_branch(&self, fault: &Fault) -> Result<(), AgentError> {
        let is_own = self.kernel.own_network() == Some(fault.target.namespace);
        if fault.kind.cut().is_some() && is_own {
            return Err(AgentError::OwnBranch(fault.selector.scheme.clone()));
        }
        Ok(())
    }

    /// A clock cannot be at two distances, and nobody be held twice. Cuts that say the same are the business of whoever asks.
    fn admit_beside(&self, fault: &Fault) -> Result<(), AgentError> {
        match fault.kind {
            Kind::Cut(_) => Ok(()),
            Kind::Skew(_) | Kind::Freeze(_) | Kind::Kill(_) | Kind::Stress(_) => {
                let living = self.ledger.iter().filter(|record| !record.state.is_final());
                fault.beside(living.map(|record| &record.fault))?;
                Ok(())
            }
        }
    }

    fn admit_target(&mut self, fault: &Fault) -> Result<(), AgentError> {
        let cookie = fault.target.namespace;
        if self.targets.contains_key(&cookie) {
            return Ok(());
        }
        let (messages, hands) = (self.messages.clone(), self.hands.clone());
        let report = move |target, outcome| {
            let Some(messages) = messages.upgrade() else { return };
            let done = Message::Done { target, outcome };
            // A worker that is gone needs no report.
            match hands {
                Hands::Threads => drop(messages.blocking_send(done)),
                Hands::Tasks(_) => drop(tokio::spawn(async move { messages.send(done).await })),
            }
        };
        let executor = Executor::start(Arc::clone(&self.kernel), &self.hands, cookie, report)
            .map_err(KernelError::call("start a thread"))?;
        self.targets.insert(
            cookie,
            Target {
                place: unbound(&place(fault)),
                holdings: plan::Holdings::default(),
                executor,
                queue: std::collections::VecDeque::new(),
                current: None,
                spoiled: BTreeSet::new(),
            },
        );
        Ok(())
    }

    fn commit(
        &mut self,
        Commit { ids, start }: &Commit,
        asker: Option<Holder>,
        replies: Vec<Reply<Status>>,
    ) {
        let refuse = |replies: Vec<Reply<Status>>, error: AgentError| {
            replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
        };
        if let Err(error) = self.admit(asker) {
            return refuse(replies, error);
        }
        let now = self.kernel.now();
        let targets: BTreeSet<_> =
            ids.iter().filter_map(|id| self.ledger.get(*id)).map(Record::target).collect();
        let soon = if targets.len() > 1 { now + TOGETHER } else { now };
        let start = start.map_or(Start::Own(soon), Start::Agreed);
        if start.at() > now + FARTHEST_START {
            let limit = AgentError::Limit {
                what: "seconds ahead of a start",
                most: FARTHEST_START.as_secs(),
            };
            return refuse(replies, limit);
        }
        for (id, reply) in ids.iter().zip(replies) {
            let answer = match self.ledger.get(*id) {
                None => Err(AgentError::Unknown(*id)),
                Some(record) if record.state == State::Prepared && record.done.is_empty() => {
                    Err(AgentError::Unprepared(*id))
                }
                Some(record) if record.state == State::Prepared && record.lease.is_none() => {
                    let target = record.target();
                    self.enqueue(target, Task::Commit { id: *id, start, reply });
                    continue;
                }
                Some(record) if self.has_begun(record) => {
                    let target = record.target();
                    self.measure(target, *id, reply);
                    continue;
                }
                Some(record) => self.was_committed(record),
            };
            drop(reply.send(answer));
        }
    }

    /// The answer to a commit that comes again, or too late: only a fault that acted was committed.
    pub(super) fn was_committed(&self, record: &Record) -> Result<Status, AgentError> {
        match (record.lease, record.state) {
            (Some(_), _) => Ok(self.status(record)),
            (None, State::Gone(Gone::Namespace | Gone::Process)) => {
                Err(AgentError::Gone(record.fault.selector.scheme.clone()))
            }
            (None, _) => Err(AgentError::Ended(record.fault.id)),
        }
    }

    fn heal(&mut self, id: FaultId, reach: Reach, reply: Reply<Status>) {
        match self.ledger.get(id) {
            None => drop(reply.send(Err(AgentError::Unknown(id)))),
            Some(record) if record.state.is_final() => drop(reply.send(Ok(self.status(record)))),
            Some(record) if reach == Reach::Uncommitted && record.lease.is_some() => {
                drop(reply.send(Ok(self.status(record))));
            }
            Some(_) => {
                self.healing.entry(id).or_default().push(reply);
                self.end(id, State::Healed);
            }
        }
    }

    fn drain(&mut self, reply: oneshot::Sender<()>) {
        self.draining.get_or_insert_default().push(reply);
        drop(self.transitions.send(Transition::Draining));
        self.end_everything();
        self.answer_drain();
    }

    pub(super) fn end_everything(&mut self) -> Vec<FaultId> {
        let living: Vec<FaultId> = self
            .ledger
            .iter()
            .filter(|record| !record.state.is_final())
            .map(|record| record.fault.id)
            .collect();
        for id in &living {
            self.end(*id, State::Healed);
        }
        living
    }

    pub(super) fn answer_drain(&mut self) {
        let empty = self.targets.is_empty();
        if let Some(replies) = self.draining.as_mut().filter(|_| empty) {
            for reply in replies.drain(..) {
                // Nobody may wait any more.
                let _ = reply.send(());
            }
        }
    }

    fn stir(&mut self, stir: Stir) {
        let concerned: BTreeSet<NamespaceCookie> = match stir {
            Stir::Anywhere => self.targets.keys().copied().collect(),
            Stir::In(cookie) => {
                let follows = |record: &&Record| {
                    let peer = record.fault.peers.followed.as_ref();
                    record.target() == cookie
                        || peer.is_some_and(|peer| peer.identity.namespace == cookie)
                };
                let living = self.ledger.iter().filter(|record| !record.state.is_final());
                living.filter(follows).map(Record::target).collect()
            }
        };
        for cookie in concerned {
            if self.targets.get(&cookie).is_some_and(|target| !target.will_compare()) {
                self.enqueue(cookie, Task::Compare);
            }
        }
    }

    /// Ends a fault: at once in the kernel, then everything of it is taken out, before all else that
    /// waits for this target.
    pub(super) fn end(&mut self, id: FaultId, fate: State) {
        let now = self.kernel.now();
        let Some(record) = self.ledger.get_mut(id) else { return };
        if record.state.is_final() || record.state == State::Healing {
            return;
        }
        let step = Step::End { slot: record.slot };
        let target = record.target();
        let place = place(&record.fault);
        record.state = State::Healing;
        record.changed = now;
        // One store; it fails only where nothing is loaded, and so nothing acts.
        let _ = self.kernel.perform(&place, &step);
        self.tell(id);
        let Some(waiting) = self.targets.get_mut(&target) else { return };
        if let Some(mut preparing) = waiting.withdraw(id) {
            // Nothing of it is there, and it must not come in after its end.
            self.give_up(&mut preparing);
            return self.finish(id, fate);
        }
        waiting.queue.push_front(Task::TakeOut { id, fate });
        self.advance(target);
    }

    /// Tells those who asked for a fault that it ended before it was in place.
    pub(super) fn give_up(&self, preparing: &mut Preparing) {
        let id = preparing.fault.id;
        for reply in preparing.replies.drain(..) {
            let draining = self.draining.is_some();
            let error = if draining { AgentError::Draining } else { AgentError::Ended(id) };
            drop(reply.send(Err(error)));
        }
    }

    /// A fault is out: its fate is told, and whoever asked for its end gets an answer.
    pub(super) fn finish(&mut self, id: FaultId, fate: State) {
        let now = self.kernel.now();
        if let Some(record) = self.ledger.get_mut(id) {
            record.state = fate;
            record.changed = now;
        }
        self.tell(id);
        let status = self.ledger.get(id).map(|record| self.status(record));
        for reply in self.healing.remove(&id).unwrap_or_default() {
            drop(reply.send(status.clone().ok_or(AgentError::Unknown(id))));
        }
    }

    pub(super) fn tell(&self, id: FaultId) {
        if let Some(record) = self.ledger.get(id) {
            let status = self.status(record);
            tracing::info!(fault = %id, target = %record.fault.selector, state = %status.state, "fault");
            // Nobody may be listening.
            let _ = self.transitions.send(Transition::Changed(Box::new(status)));
        }
    }

    pub(super) fn status(&self, record: &Record) -> Status {
        let (target, slot) = (record.target(), record.slot);
        let (mut effect, mut hook) = (record.effect, record.hook);
        let mut measured = record.measured.clone();
        if !record.state.is_final() {
            match &record.fault.kind {
                Kind::Cut(cut) => {
                    effect = self.kernel.effect(target, slot).unwrap_or(effect);
                    hook = self.kernel.hook(target, cut.side).unwrap_or(hook);
                }
                // Before it is in place, its place is that of an earlier one.
                Kind::Skew(_) | Kind::Freeze(_) | Kind::Kill(_) | Kind::Stress(_)
                    if record.done.is_empty() => {}
                Kind::Skew(_) | Kind::Freeze(_) | Kind::Kill(_) | Kind::Stress(_) => {
                    measured = self.kernel.measured(target, slot).or(measured)
                }
            }
        }
        Status {
            fault: record.fault.clone(),
            state: record.state,
            lease: record.lease.as_ref().map(Window::from),
            effect,
            measured,
            hook,
            peers: record.peers.iter().map(|peer| peer.prefix.clone()).collect(),
            drifts: record.drifts.clone(),
            holder: record.holder,
            now: self.kernel.now(),
        }
    }
}

pub(super) fn prepared(record: &Record) -> Prepared {
    Prepared {
        id: record.fault.id,
        steps: record.done.iter().map(ToString::to_string).collect(),
        peers: record.peers.iter().map(|peer| peer.prefix.clone()).collect(),
        notes: record.notes.clone(),
    }
}

async fn change(watch: Option<&mut FileWatch>) -> std::io::Result<()> {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
