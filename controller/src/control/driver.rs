//! The one task that drives every intent, and the handle on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fault::{FaultId, IntentId, NodeName};
use prost::Message as _;
use proto::control as wire;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::calls;
use super::intent::{Intent, RecordError};
use super::wall::Wall;
use crate::agents::{Agents, Notice, Renewals};
use crate::link::{Link, nanos};
use crate::sequence::{Action, Event, Stage};
use crate::store::{Expected, Key, Kind, PutError, Store, StoreError};

/// How often time is looked at while anything is on its way.
const TICK: Duration = Duration::from_millis(250);
/// How long what nodes say of their parts is gathered before it is told: of a thousand nodes each says
/// something within moments.
const GATHERED: Duration = Duration::from_millis(50);
/// Ended intents that are kept for `status --all`.
const KEPT: usize = 200;
/// Events that a watcher may be behind.
const BACKLOG: usize = 1024;

/// What a controller says to a request about an intent.
pub type Answer = Result<wire::Intent, ControlError>;

/// Why a controller did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The store failed before anything was touched.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored record of an earlier life.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Another request with this id.
    #[error("{0} is the id of another intent")]
    Conflict(IntentId),
    /// Never heard of.
    #[error("there is no intent {0}")]
    Unknown(IntentId),
    /// The brake is on.
    #[error("the brake is on: {0}")]
    Halted(String),
    /// The controller ends.
    #[error("the controller ends")]
    Ending,
}

/// Until when a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// It acts, or is over.
    Acting,
    /// It is over.
    Over,
}

pub(super) enum Command {
    Apply { intent: Box<Intent>, reply: oneshot::Sender<Answer> },
    Find { id: IntentId, until: Until, reply: oneshot::Sender<Answer> },
    Heal { id: IntentId, reason: String, reply: oneshot::Sender<Answer> },
    List { reply: oneshot::Sender<(Vec<wire::Intent>, u64)> },
    Brake { brake: wire::Brake, reply: oneshot::Sender<Result<(), ControlError>> },
    Faults { reply: oneshot::Sender<Vec<(NodeName, fault::Fault)>> },
    Happened { id: IntentId, event: Box<Event> },
}

/// The handle on the task.
#[derive(Clone)]
pub struct Control {
    commands: mpsc::Sender<Command>,
    agents: Agents,
    events: broadcast::Sender<wire::Event>,
    brake: watch::Receiver<Option<String>>,
    wall: Wall,
}

impl Control {
    /// Takes over what an earlier life has left in the store, and begins.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start(
        store: Arc<dyn Store>,
        agents: Agents,
        notices: mpsc::UnboundedReceiver<Notice>,
    ) -> Result<Self, ControlError> {
        Self::start_at(store, agents, notices, Wall::System).await
    }

    /// As [`Self::start`], with another wall clock.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start_at(
        store: Arc<dyn Store>,
        agents: Agents,
        notices: mpsc::UnboundedReceiver<Notice>,
        wall: Wall,
    ) -> Result<Self, ControlError> {
        let (commands, inbox) = mpsc::channel(256);
        let (events, _) = broadcast::channel(BACKLOG);
        let stored = match store.get(Key::brake()).await? {
            Some(record) => {
                wire::Brake::decode(record.value.as_slice()).map_err(RecordError::from)?
            }
            None => wire::Brake::default(),
        };
        let (halted, brake) = watch::channel(stored.on.then_some(stored.reason));
        let mut driver = Driver {
            store: Arc::clone(&store),
            agents: agents.clone(),
            commands: commands.downgrade(),
            events: events.clone(),
            intents: BTreeMap::new(),
            revision: 0,
            waiting: HashMap::new(),
            brake: halted,
            wall,
            untold: BTreeSet::new(),
            tell_at: None,
        };
        let (revision, records) = store.list(Kind::Intent).await?;
        driver.revision = revision.0;
        for record in records {
            let intent = Intent::restore(&record.value, agents.now(), wall.now())?;
            driver.intents.insert(intent.id, intent);
        }
        tokio::spawn(driver.run(inbox, notices));
        Ok(Self { commands, agents, events, brake, wall })
    }

    /// The agents that it asks.
    #[must_use]
    pub const fn agents(&self) -> &Agents {
        &self.agents
    }

    pub(super) const fn wall(&self) -> Wall {
        self.wall
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<wire::Event> {
        self.events.subscribe()
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ControlError::Ending)?;
        answer.await.map_err(|_| ControlError::Ending)
    }

    /// Writes an intent, and waits until it acts everywhere or is out everywhere.
    ///
    /// # Errors
    /// Nothing was touched.
    pub async fn apply(&self, intent: Intent) -> Answer {
        self.ask(|reply| Command::Apply { intent: Box::new(intent), reply }).await?
    }

    /// Waits for an intent that was asked for before.
    ///
    /// # Errors
    /// There is none.
    pub async fn find(&self, id: IntentId) -> Answer {
        self.ask(|reply| Command::Find { id, until: Until::Acting, reply }).await?
    }

    /// Ends an intent, and waits until every node has confirmed or could not be asked.
    ///
    /// # Errors
    /// There is none.
    pub async fn heal(&self, id: IntentId, reason: &str) -> Answer {
        let reason = reason.to_owned();
        self.ask(|reply| Command::Heal { id, reason, reply }).await?
    }

    /// Intents that have not ended and those that ended lately, and the revision of that.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn list(&self) -> Result<(Vec<wire::Intent>, u64), ControlError> {
        self.ask(|reply| Command::List { reply }).await
    }

    /// Why new faults are refused, if they are.
    #[must_use]
    pub fn halted(&self) -> Option<String> {
        self.brake.borrow().clone()
    }

    /// Puts the brake on or takes it off, durably, and passes it on to every agent that is connected;
    /// which of them could not be told comes back. The brake also heals everything.
    ///
    /// # Errors
    /// The store failed: nothing was changed.
    pub async fn brake(&self, brake: wire::Brake) -> Result<Vec<NodeName>, ControlError> {
        let (on, reason) = (brake.on, brake.reason.clone());
        self.ask(|reply| Command::Brake { brake, reply }).await??;
        let tell = |(node, mut link): (NodeName, Link)| {
            let reason = reason.clone();
            async move {
                let told = if on { link.halt(&reason).await } else { link.resume().await };
                told.err().map(|_| node)
            }
        };
        let told = futures_util::future::join_all(self.agents.links().into_iter().map(tell)).await;
        Ok(told.into_iter().flatten().collect())
    }

    /// Every fault that may act or is on its way, with its node.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn faults(&self) -> Result<Vec<(NodeName, fault::Fault)>, ControlError> {
        self.ask(|reply| Command::Faults { reply }).await
    }
}

struct Driver {
    store: Arc<dyn Store>,
    agents: Agents,
    commands: mpsc::WeakSender<Command>,
    events: broadcast::Sender<wire::Event>,
    intents: BTreeMap<IntentId, Intent>,
    revision: u64,
    waiting: HashMap<IntentId, Vec<(Until, oneshot::Sender<Answer>)>>,
    brake: watch::Sender<Option<String>>,
    wall: Wall,
    /// Of whose parts something was heard, and when that is told.
    untold: BTreeSet<IntentId>,
    tell_at: Option<Instant>,
}

impl Driver {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Command>,
        mut notices: mpsc::UnboundedReceiver<Notice>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let busy = self.intents.values().any(|intent| !intent.sequence.stage().is_final());
            tokio::select! {
                biased;
                _ = tick.tick(), if busy => {
                    // Behind a slow disk they may have waited: who was heard is not silent.
                    for _ in 0..notices.len() {
                        let Ok(notice) = notices.try_recv() else { break };
                        self.noticed(notice).await;
                    }
                    self.everybody(|_| Some(Event::Tick)).await;
                }
                () = at(self.tell_at) => self.tell_untold(),
                command = inbox.recv() => match command {
                    Some(command) => self.handle(command).await,
                    None => return,
                },
                Some(notice) = notices.recv() => self.noticed(notice).await,
            }
        }
    }

    async fn handle(&mut self, command: Command) {
        match command {
            Command::Apply { intent, reply } => self.apply(*intent, reply).await,
            Command::Find { id, until, reply } => self.wait(id, until, reply),
            Command::Heal { id, reason, reply } => {
                self.step(id, Event::Heal(reason)).await;
                self.wait(id, Until::Over, reply);
            }
            Command::List { reply } => {
                let all = self.intents.values().map(|intent| intent.wire(self.revision)).collect();
                // The asker may have gone.
                let _ = reply.send((all, self.revision));
            }
            Command::Brake { brake, reply } => {
                let _ = reply.send(self.set_brake(brake).await);
            }
            Command::Faults { reply } => {
                let living = self.intents.values().filter(|one| !one.sequence.stage().is_final());
                let parts = living.flat_map(|intent| intent.sequence.parts());
                let faults = parts.map(|part| (part.node.clone(), part.fault.clone())).collect();
                let _ = reply.send(faults);
            }
            Command::Happened { id, event } => self.step(id, *event).await,
        }
    }

    async fn set_brake(&mut self, brake: wire::Brake) -> Result<(), ControlError> {
        let put = self.store.put(Key::brake(), Expected::Any, brake.encode_to_vec()).await;
        match put {
            Ok(revision) => self.revision = revision.0,
            Err(PutError::Store(error)) => return Err(error.into()),
            // Whatever stood there was expected.
            Err(PutError::Conflict { .. }) => return Err(ControlError::Ending),
        }
        self.brake.send_replace(brake.on.then(|| brake.reason.clone()));
        if brake.on {
            let reason = format!("halted: {}", brake.reason);
            self.everybody(|_| Some(Event::Heal(reason.clone()))).await;
        }
        let (revision, at) = (self.revision, self.wall.now());
        let kind = Some(wire::event::Kind::Brake(brake));
        // Nobody may be watching.
        let _ = self.events.send(wire::Event { revision, at, kind });
        Ok(())
    }

    async fn apply(&mut self, intent: Intent, reply: oneshot::Sender<Answer>) {
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
        // Before anything is touched: what is lost now is not owed to anybody.
        match self.store.put(Key::intent(id), Expected::Absent, intent.record()).await {
            Ok(revision) => self.revision = revision.0,
            Err(PutError::Conflict { .. }) => {
                return drop(reply.send(Err(ControlError::Conflict(id))));
            }
            Err(PutError::Store(error)) => return drop(reply.send(Err(error.into()))),
        }
        self.intents.insert(id, intent);
        self.waiting.entry(id).or_default().push((Until::Acting, reply));
        let Some(intent) = self.intents.get_mut(&id) else { return };
        let actions = intent.sequence.begin();
        calls::ask_clocks(&self.agents, intent.sequence.parts());
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
        let Some(waiting) = self.waiting.remove(&id) else { return };
        let (ready, still): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(until, _)| match until {
                Until::Acting => acts,
                Until::Over => stage.is_final(),
            });
        for (_, reply) in ready {
            let _ = reply.send(Ok(intent.wire(self.revision)));
        }
        if !still.is_empty() {
            self.waiting.insert(id, still);
        }
    }

    async fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Found(node) => {
                let halted = self.brake.borrow().clone();
                if let (Some(reason), Some(mut link)) = (halted, self.agents.link(&node)) {
                    // It was not there when the brake was put on.
                    tokio::spawn(async move { link.halt(&reason).await });
                }
                self.everybody(|intent| {
                    let has = intent.sequence.parts().iter().any(|part| part.node == node);
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
            Notice::Renewed(node, ids) => {
                let intents: BTreeSet<IntentId> = ids.iter().map(|id| id.intent).collect();
                for id in intents {
                    self.step(id, Event::Renewed(node.clone())).await;
                }
                // It answers: what it could not be asked for may have failed without its link being lost.
                let owes = |intent: &Intent| intent.sequence.owes(&node);
                self.everybody(|intent| owes(intent).then(|| Event::Found(node.clone()))).await;
            }
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
        let heard = matches!(event, Event::Heard(_));
        // Its renewals may never have been wanted of this connection.
        let found = matches!(event, Event::Found(_));
        // Nothing else is renewed, and of a thousand parts a look costs something.
        let acting = (before == Stage::Active).then(|| intent.sequence.acting());
        // These come several times a second, and mostly change nothing that is told or renewed.
        let quiet = matches!(event, Event::Renewed(_) | Event::Tick);
        let actions = intent.sequence.on(event, now);
        let after = intent.sequence.stage();
        if after == Stage::Active && before != after {
            let left =
                intent.sequence.deadline().map_or(Duration::ZERO, |end| end.saturating_sub(now));
            intent.deadline = self.wall.now().saturating_add(nanos(left));
            intent.spread = calls::spread(&self.agents, intent.sequence.parts());
        }
        if quiet && actions.is_empty() && before == after {
            return;
        }
        let changed = before != after;
        if changed || found || acting.is_some_and(|count| count != intent.sequence.acting()) {
            self.renew(id);
        }
        self.perform(id, actions).await;
        if changed {
            self.tell(id);
            self.forget();
        } else if heard {
            self.untold.insert(id);
            self.tell_at.get_or_insert_with(|| Instant::now() + GATHERED);
        }
    }

    async fn perform(&mut self, id: IntentId, actions: Vec<Action>) {
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

    async fn record(&mut self, id: IntentId) {
        let Some(intent) = self.intents.get_mut(&id) else { return };
        match self.store.put(Key::intent(id), Expected::Any, intent.record()).await {
            Ok(revision) => self.revision = revision.0,
            Err(error) => {
                // What acts is bounded by its lease, whatever stands in the store; an earlier record of it
                // is there, by which a next life takes it out.
                let note = format!("what became of it could not be stored: {error}");
                tracing::error!(intent = %id, %error, "not stored");
                if !intent.notes.contains(&note) {
                    intent.notes.push(note);
                }
            }
        }
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
        if self.events.receiver_count() == 0 {
            return;
        }
        let Some(intent) = self.intents.get(&id) else { return };
        let kind = wire::event::Kind::Intent(intent.wire(self.revision));
        // Nobody may be watching.
        let _ = self.events.send(wire::Event {
            revision: self.revision,
            at: self.wall.now(),
            kind: Some(kind),
        });
    }

    /// Lets go of the oldest that have ended.
    fn forget(&mut self) {
        let mut ended: Vec<(u64, IntentId)> = self
            .intents
            .values()
            .filter(|one| {
                one.sequence.stage().is_final() && one.sequence.stage() != Stage::Unconfirmed
            })
            .map(|intent| (intent.asked, intent.id))
            .collect();
        if ended.len() <= KEPT {
            return;
        }
        ended.sort_unstable();
        for (_, id) in ended.drain(..ended.len() - KEPT) {
            self.intents.remove(&id);
            let store = Arc::clone(&self.store);
            tokio::spawn(async move {
                let key = Key::intent(id);
                if let Ok(Some(record)) = store.get(key.clone()).await {
                    // It stays for the next life to forget.
                    let _ = store.delete(key, record.revision).await;
                }
            });
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
