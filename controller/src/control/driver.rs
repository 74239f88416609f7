//! The one task that drives every intent.

pub(super) mod amending;
pub(super) mod braking;
pub(super) mod disruptions;
mod recording;
pub(super) mod runs;
mod unheard;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fault::{FaultId, IntentId, NodeName};
use prost::Message as _;
use proto::control as wire;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::asking::Draft;
use super::calls;
use super::ending::Endings;
use super::handle::{Answer, Command, ControlError, Means, Until, Watching};
use super::intent::{At, Intent, RecordError};
use super::kept::{Ended, surplus};
use super::past::Past;
use super::seating::Keepers;
use super::tally::Tally;
use super::wall::Wall;
use crate::admit::Acting;
use crate::agents::{Agents, Notice, Notices, Renewals};
use crate::link::nanos;
use crate::metrics::{Metrics, Standing, Written};
use crate::provider::kubernetes::PodName;
use crate::sequence::{Action, Event, Part, Stage};
use crate::store::{Key, Kind, PutError, Revision, Store};
use amending::Joining;
use braking::Behind;
use disruptions::Disruptions;
use recording::Unwritten;
use runs::Runs;
use unheard::{asks_same, put_new};

/// How often time is looked at while anything is on its way.
const TICK: Duration = Duration::from_millis(250);
/// How long what nodes say of their parts is gathered before it is told: of a thousand nodes each says
/// something within moments.
const GATHERED: Duration = Duration::from_millis(50);
/// Events that a watcher may be behind.
const BACKLOG: usize = 1024;

/// A driver that has taken over, and what it tells.
pub(super) struct Begun {
    pub(super) driver: Driver,
    pub(super) metrics: Metrics,
    pub(super) brake: watch::Receiver<Option<String>>,
}

/// Takes over what an earlier life has left in the store.
pub(super) async fn begin(
    means: &Means,
    agents: Agents,
    commands: mpsc::WeakSender<Command>,
) -> Result<Begun, ControlError> {
    let (store, wall) = (Arc::clone(&means.store), means.wall);
    let (events, _) = broadcast::channel(BACKLOG);
    let stored = match store.get(Key::brake()).await? {
        Some(record) => wire::Brake::decode(record.value.as_slice()).map_err(RecordError::from)?,
        None => wire::Brake::default(),
    };
    let (halted, brake) = watch::channel(stored.on.then(|| stored.reason.clone()));
    let (revision, records) = store.list(Kind::Intent).await?;
    let mut intents = BTreeMap::new();
    for record in records {
        match Intent::restore(&record.value, agents.now(), wall.now()) {
            Ok(mut intent) => {
                intent.revision = record.revision.0;
                intents.insert(intent.id, intent);
            }
            // What it has put in ends with its lease, since nobody renews it; all others are taken over.
            Err(error) => tracing::error!(key = ?record.key, %error, "an intent is left aside"),
        }
    }
    let runs = runs::stored(store.as_ref()).await?;
    let disruptions = disruptions::stored(store.as_ref()).await?;
    let without = intents.values().filter(|intent| !intent.archived).map(|intent| intent.id);
    let endings = Endings::open(means.ended.clone(), without.collect()).await;
    let metrics = Metrics::default();
    let driver = Driver {
        keepers: Keepers::new(means, agents.clone(), commands.clone()),
        joining: Joining::default(),
        tally: Tally::new(metrics.clone(), intents.values()),
        store,
        endings,
        agents,
        commands,
        events,
        intents,
        runs,
        disruptions,
        revision: revision.0,
        waiting: HashMap::new(),
        brake: halted,
        behind: Behind::stored(&stored),
        kept_brake: stored,
        wall,
        unwritten: Unwritten::default(),
        untold: BTreeSet::new(),
        tell_at: None,
    };
    Ok(Begun { driver, metrics, brake })
}

pub(super) struct Driver {
    /// Who sees to pods that go and come.
    keepers: Keepers,
    joining: Joining,
    endings: Endings,
    tally: Tally,
    store: Arc<dyn Store>,
    agents: Agents,
    commands: mpsc::WeakSender<Command>,
    events: broadcast::Sender<wire::Event>,
    intents: BTreeMap<IntentId, Intent>,
    runs: Runs,
    disruptions: Disruptions,
    revision: u64,
    waiting: HashMap<IntentId, Vec<(Until, oneshot::Sender<Answer>)>>,
    brake: watch::Sender<Option<String>>,
    behind: Behind,
    /// As it stands in the store, or is to.
    kept_brake: wire::Brake,
    wall: Wall,
    /// What is not written yet.
    unwritten: Unwritten,
    /// What has changed in a way that can wait to be told and counted, and until when.
    untold: BTreeSet<IntentId>,
    tell_at: Option<Instant>,
}

impl Driver {
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>, mut notices: Notices) {
        self.conclude().await;
        for intent in self.intents.values() {
            self.keepers.mind(intent);
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let busy = self.intents.values().any(|intent| !intent.sequence.stage().is_final());
            tokio::select! {
                biased;
                _ = tick.tick(), if busy => {
                    // Behind a slow disk they may have waited: who was heard is not silent.
                    for _ in 0..notices.waiting() {
                        let Some(notice) = notices.take() else { break };
                        self.noticed(notice).await;
                    }
                    self.fell_behind(notices.merged());
                    self.everybody(|_| Some(Event::Tick)).await;
                }
                () = passed(self.tell_at) => self.tell_untold(),
                () = passed(self.unwritten.due()) => self.write_due().await,
                command = inbox.recv() => match command {
                    Some(Command::End) | None => return self.write_unwritten().await,
                    Some(command) => self.handle(command).await,
                },
                notice = notices.next() => self.noticed(notice).await,
            }
        }
    }

    fn fell_behind(&self, merged: u64) {
        if merged > 0 {
            self.tally.merged(merged);
            tracing::warn!(merged, "what agents told was merged: the controller is behind");
        }
    }

    async fn handle(&mut self, command: Command) {
        match command {
            Command::Apply { draft, reply } => self.apply(*draft, reply).await,
            Command::Find { id, until, reply } => self.wait(id, until, reply),
            Command::Heal { id, reason, reply } => {
                self.step(id, Event::Heal(reason)).await;
                self.wait(id, Until::Over, reply);
            }
            Command::List { reply } => {
                self.write_unwritten().await;
                let at = self.at();
                let mut intents: Vec<_> =
                    self.intents.values().map(|intent| intent.told(at)).collect();
                intents.iter_mut().for_each(|intent| self.mark_unheard(intent));
                let runs = self.runs.values().map(runs::told).collect();
                // The asker may have gone.
                let revision = self.revision;
                let (brake, halted) = (Some(self.told_brake()), self.halted());
                let disruptions = self.disruptions.values().map(|held| held.disruption.clone());
                let disruptions = disruptions.collect();
                let told = wire::ListReply { intents, revision, runs, brake, halted, disruptions };
                let _ = reply.send(told);
            }
            Command::Brake { brake, admitted, reply } => {
                let _ = reply.send(self.set_brake(brake, admitted.as_ref()).await);
            }
            Command::ToldBrake { reply } => drop(reply.send(self.told_brake())),
            Command::Braked { node, known } => self.braked(node, known).await,
            Command::KnowBrake { nodes, known } => self.know_brake(known, &nodes).await,
            Command::MissBrake { nodes, told } => self.miss_brake(told, &nodes).await,
            Command::Owing { reply } => {
                let nodes = self.intents.values().flat_map(|one| one.sequence.owing().cloned());
                let _ = reply.send(nodes.collect());
            }
            Command::Removed { nodes, reply } => {
                self.removed(nodes).await;
                let _ = reply.send(());
            }
            Command::Watch { since, reply } => {
                self.write_unwritten().await;
                // First the subscription: whatever is stored from here on is told by it.
                let coming = self.events.subscribe();
                let standing = self.past().since(since).await;
                let _ = reply.send(standing.map(|standing| Watching { standing, coming }));
            }
            Command::Standing { reply } => {
                let _ = reply.send(self.standing());
            }
            Command::Acting { reply } => {
                let _ = reply.send(self.acting());
            }
            Command::Happened { id, event } => {
                let joined = event.joined().clone();
                self.step(id, *event).await;
                self.joining.answered(id, &joined);
            }
            Command::Look { id, reply } => drop(reply.send(self.look(id))),
            Command::Amend { id, amendment, reply } => self.amend(id, *amendment, reply).await,
            Command::Run(word) => self.about_run(word).await,
            Command::Disruption(word) => self.about_disruption(word).await,
            Command::End => unreachable!("it ends the task"),
        }
    }

    async fn apply(&mut self, draft: Draft, reply: oneshot::Sender<Answer>) {
        let Draft { mut intent, guards, .. } = draft;
        let id = intent.id;
        if let Some(known) = self.intents.get(&id) {
            if known.spec != intent.spec {
                return drop(reply.send(Err(ControlError::Conflict(id))));
            }
            return self.wait(id, Until::Acting, reply);
        }
        let halted = self.brake.borrow().clone();
        if let Some(reason) = halted {
            return drop(reply.send(Err(ControlError::Halted(reason))));
        }
        let parts = intent.sequence.parts().iter();
        let asked: Vec<_> = parts.map(|part| (part.node.clone(), part.fault.clone())).collect();
        if let Err(refusal) = guards.admit(&asked, &self.acting()) {
            return drop(reply.send(Err(refusal.into())));
        }
        let actions = intent.sequence.begin();
        // Before anything is touched: what is lost now is not owed to anybody.
        let now = (self.agents.now(), self.wall.now());
        let same = |there: &[u8]| asks_same(there, &intent, now);
        match put_new(self.store.as_ref(), Key::intent(id), intent.record(), same).await {
            Ok(revision) => {
                self.revision = revision.0;
                intent.revision = revision.0;
            }
            Err(PutError::Conflict { .. }) => {
                return drop(reply.send(Err(ControlError::Conflict(id))));
            }
            Err(PutError::Gone) => return drop(reply.send(Err(ControlError::Forgotten(id)))),
            Err(PutError::Store(error)) => {
                self.tally.failed(Written::Store);
                return drop(reply.send(Err(error.into())));
            }
        }
        self.intents.insert(id, intent);
        self.tally.begun(id, self.agents.now());
        self.waiting.entry(id).or_default().push((Until::Acting, reply));
        let Some(intent) = self.intents.get(&id) else { return };
        calls::ask_clocks(&self.agents, intent.sequence.parts());
        self.tell(id);
        self.perform(id, actions).await;
    }

    fn wait(&mut self, id: IntentId, until: Until, reply: oneshot::Sender<Answer>) {
        if !self.intents.contains_key(&id) {
            return drop(reply.send(Err(ControlError::Unknown(id))));
        }
        self.waiting.entry(id).or_default().push((until, reply));
        self.answer(id);
    }

    fn answer(&mut self, id: IntentId) {
        let Some(intent) = self.intents.get(&id) else { return };
        let stage = intent.sequence.stage();
        let acts = stage == Stage::Active || stage.is_final();
        let at = self.at();
        let Some(waiting) = self.waiting.remove(&id) else { return };
        let (ready, still): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(until, _)| match until {
                Until::Acting => acts,
                Until::Over => stage.is_final(),
            });
        for (_, reply) in ready {
            let _ = reply.send(Ok(intent.told(at)));
        }
        if !still.is_empty() {
            self.waiting.insert(id, still);
        }
    }

    async fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Found(node) => {
                self.found_braked(&node);
                self.everybody(|intent| {
                    let has = intent.sequence.of(&node).next().is_some();
                    has.then(|| Event::Found(node.clone()))
                })
                .await;
            }
            Notice::Lost(_) => {}
            Notice::Status(node, status) => {
                let id = status.fault.id;
                // An agent speaks for its own node alone.
                if self.is_on(id, &node) {
                    self.step(id.intent, Event::Heard(status)).await;
                }
            }
            Notice::Renewed(node, ids, sent) => {
                let mut renewed: BTreeMap<IntentId, Vec<FaultId>> = BTreeMap::new();
                for id in ids.into_iter().filter(|id| self.is_on(*id, &node)) {
                    renewed.entry(id.intent).or_default().push(id);
                }
                for (id, parts) in renewed {
                    self.step(id, Event::Renewed(parts, sent)).await;
                }
                // It answers: what it could not be asked for may have failed without its link being lost.
                self.heard_of_brake(&node, sent);
                let owes = |intent: &Intent| intent.sequence.owes(&node);
                self.everybody(|intent| owes(intent).then(|| Event::Found(node.clone()))).await;
            }
        }
    }

    /// Says which parts may act of which nothing is heard.
    fn mark_unheard(&self, intent: &mut wire::Intent) {
        for part in intent.parts.iter_mut().filter(|part| part.owed) {
            let node = NodeName::new(&part.node);
            part.unheard = node.is_none_or(|node| self.agents.link(&node).is_none());
        }
    }

    fn is_on(&self, id: FaultId, node: &NodeName) -> bool {
        let part = self.intents.get(&id.intent).and_then(|intent| intent.sequence.part(id));
        part.is_some_and(|part| part.node == *node)
    }

    async fn everybody(&mut self, event: impl Fn(&Intent) -> Option<Event>) {
        let events: Vec<(IntentId, Event)> =
            self.intents.iter().filter_map(|(id, intent)| Some((*id, event(intent)?))).collect();
        for (id, event) in events {
            self.step(id, event).await;
        }
    }

    async fn step(&mut self, id: IntentId, event: Event) {
        let now = self.agents.now();
        let Some(intent) = self.intents.get_mut(&id) else { return };
        let before = intent.sequence.stage();
        // Its renewals may never have been wanted of this connection.
        let found = matches!(event, Event::Found(_));
        // Nothing else is renewed, and of a thousand parts a look costs something.
        let acting = (before == Stage::Active).then(|| intent.sequence.acting());
        // These come several times a second, and mostly change nothing that is told or renewed.
        let quiet = matches!(event, Event::Renewed(..) | Event::Tick);
        let actions = intent.sequence.on(event, now);
        let after = intent.sequence.stage();
        if quiet && actions.is_empty() && before == after {
            return;
        }
        self.keepers.mind(intent);
        if after == Stage::Active && before != after {
            let left =
                intent.sequence.deadline().map_or(Duration::ZERO, |end| end.saturating_sub(now));
            intent.deadline = self.wall.now().saturating_add(nanos(left));
            intent.spread = calls::spread(&self.agents, intent.sequence.parts());
        }
        if before != after && intent.began == 0 {
            let began = calls::began(&self.agents, intent.sequence.parts());
            // The start that was agreed on may lie ahead.
            intent.began = began.map_or(0, |at| {
                (self.wall.now() + nanos(at.saturating_sub(now)))
                    .saturating_sub(nanos(now.saturating_sub(at)))
            });
        }
        self.tally.moved(intent, before, now);
        let changed = before != after;
        // What is recorded is told by that.
        let recorded = actions.contains(&Action::Record);
        if changed || found || acting.is_some_and(|count| count != intent.sequence.acting()) {
            self.renew(id);
        }
        self.perform(id, actions).await;
        if changed && !recorded {
            self.tell(id);
        } else if !recorded {
            self.untold.insert(id);
            self.tell_at.get_or_insert_with(|| Instant::now() + GATHERED);
        }
        if changed {
            self.forget().await;
        }
    }

    async fn perform(&mut self, id: IntentId, mut actions: Vec<Action>) {
        // What it has become by all of them is written at once.
        actions.dedup();
        for action in actions {
            let Some(intent) = self.intents.get(&id) else { return };
            if action == Action::Record {
                self.record(id).await;
                continue;
            }
            let Some(commands) = self.commands.upgrade() else { return };
            let call = calls::call(&self.agents, intent, action);
            tokio::spawn(async move {
                for event in call.await {
                    let event = Box::new(event);
                    // A controller that ends asks nobody any more.
                    let _ = commands.send(Command::Happened { id, event }).await;
                }
            });
        }
        self.answer(id);
    }

    /// What may act or is on its way.
    fn acting(&self) -> Acting {
        let now = self.agents.now();
        let parts = self.intents.values().flat_map(|intent| intent.sequence.may_act(now));
        let own = parts.map(|part| (part.node.clone(), part.fault.clone()));
        let under_way = self.under_way().flat_map(|held| held.down.faults.iter().cloned());
        Acting { faults: own.chain(under_way).collect(), ending: self.ending() }
    }

    /// The pods whose processes are being ended, or that are to go.
    fn ending(&self) -> BTreeSet<PodName> {
        let now = self.agents.now();
        let by_faults = self.intents.values().flat_map(|intent| intent.ending(now));
        let removed = self.under_way().flat_map(|held| held.down.pods.iter().cloned());
        by_faults.chain(removed).collect()
    }

    /// Every fault that has not ended.
    fn standing(&self) -> Vec<Standing> {
        let now = self.agents.now();
        let living = self.intents.values().filter(|one| !one.sequence.stage().is_final());
        let parts = living.flat_map(|intent| {
            let (sequence, stage) = (&intent.sequence, intent.sequence.stage());
            // What has left an intent that acts does not stand with it.
            let stands = |part: &&Part| !part.let_go || part.state.may_be_in();
            sequence.parts().iter().filter(stands).map(move |part| Standing {
                id: part.fault.id,
                node: part.node.clone(),
                stage,
                lease_left: sequence.lease_left(part, now),
            })
        });
        parts.collect()
    }

    /// What heartbeats to the nodes of an intent renew, of all intents.
    fn renew(&self, id: IntentId) {
        let Some(changed) = self.intents.get(&id) else { return };
        let nodes = changed.sequence.parts().iter().map(|part| &part.node);
        let mut wanted: BTreeMap<&NodeName, Renewals> =
            nodes.map(|node| (node, Renewals::default())).collect();
        for part in self.intents.values().flat_map(|intent| intent.sequence.renewed()) {
            let Some(renewals) = wanted.get_mut(&part.node) else { continue };
            let every = part.fault.terms.heartbeat();
            renewals.every = Some(renewals.every.map_or(every, |other| other.min(every)));
            renewals.faults.push(part.fault.id);
        }
        for (node, renewals) in wanted {
            self.agents.renew(node, renewals);
        }
    }

    fn tell_untold(&mut self) {
        self.tell_at = None;
        for id in std::mem::take(&mut self.untold) {
            self.tell(id);
        }
    }

    fn tell(&mut self, id: IntentId) {
        self.untold.remove(&id);
        // It is told when it is written.
        if self.unwritten.has(id) {
            return;
        }
        let Some(intent) = self.intents.get(&id) else { return };
        self.tally.heard(intent);
        if self.events.receiver_count() == 0 {
            return;
        }
        let told = intent.told(self.at());
        self.say(wire::event::Kind::Intent(told));
    }

    /// Tells watchers. Each write to the store is told right after it: who has read up to a revision has
    /// heard of everything that was stored up to it.
    fn say(&self, kind: wire::event::Kind) {
        let (revision, at) = (self.revision, self.wall.now());
        // Nobody may be watching.
        let _ = self.events.send(wire::Event { revision, at, kind: Some(kind) });
    }

    fn past(&self) -> Past<'_> {
        let (intents, runs, disruptions) = (&self.intents, &self.runs, &self.disruptions);
        let (revision, at) = (self.revision, self.at());
        Past { store: self.store.as_ref(), intents, runs, disruptions, revision, at }
    }

    fn at(&self) -> At {
        At { here: self.agents.now(), wall: self.wall.now() }
    }

    /// Lets go of the oldest that have ended.
    async fn forget(&mut self) {
        let ended = self.intents.values().filter(|one| {
            let stage = one.sequence.stage();
            // What is owed is not forgotten.
            let is_owed = one.sequence.owing().next().is_some();
            stage.is_final() && !is_owed && one.archived
        });
        let ended = ended.map(|intent| Ended {
            asked: intent.asked,
            id: intent.id,
            parts: intent.sequence.parts().len(),
        });
        for id in surplus(ended.collect()) {
            let at = self.intents.get(&id).map(|intent| Revision(intent.revision));
            let Some(at) = at else { continue };
            match self.store.delete(Key::intent(id), at).await {
                Ok(revision) => {
                    self.revision = revision.0;
                    if let Some(intent) = self.intents.remove(&id) {
                        self.tally.forgotten(&intent);
                    }
                    self.say(wire::event::Kind::Forgotten(wire::Forgotten { id: id.get() }));
                }
                // It stays until the next one ends.
                Err(error) => return tracing::warn!(intent = %id, %error, "not forgotten"),
            }
        }
    }
}

async fn passed(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
