//! What is asked of the task that drives intents, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fault::{IntentId, Limits, NodeName};
use proto::control as wire;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::asking::Draft;
use super::calls::{self, Known};
use super::clusters::Clusters;
use super::disrupting::Disrupting;
use super::driver::{self, amending::Amendment, disruptions::DisruptionWord, runs::RunWord};
use super::intent::{Intent, RecordError};
use super::wall::Wall;
use crate::admit::{Acting, AdmitError};
use crate::agents::{Agents, Notices};
use crate::archive::{Ended, Journal};
use crate::link::Link;
use crate::metrics::{Metrics, Snapshot, Standing};
use crate::sequence::Event;
use crate::sight::{GroupName, Sight};
use crate::store::{Revision, Store, StoreError};

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
    /// The request was made before, and ended; what became of it is not kept any more.
    #[error("{0} was asked for before, has ended, and is forgotten")]
    Forgotten(IntentId),
    /// Never heard of.
    #[error("there is no intent {0}")]
    Unknown(IntentId),
    /// The brake is on.
    #[error("the brake is on: {}", fault::Legible(.0))]
    Halted(String),
    /// The brake is on, and everything was told to end; but the store failed.
    #[error("the brake is on, but only for as long as this controller lives: {0}")]
    Unkept(StoreError),
    /// A guard refuses, beside what acts by now.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// What happened since a revision cannot be told.
    #[error("what happened since revision {since} is not known; it is from {earliest} to {latest}")]
    Gap {
        /// Since when it was asked.
        since: u64,
        /// The earliest revision since which it can be told.
        earliest: u64,
        /// The latest that there is.
        latest: u64,
    },
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
    Apply {
        draft: Box<Draft>,
        reply: oneshot::Sender<Answer>,
    },
    Find {
        id: IntentId,
        until: Until,
        reply: oneshot::Sender<Answer>,
    },
    Heal {
        id: IntentId,
        reason: String,
        reply: oneshot::Sender<Answer>,
    },
    List {
        reply: oneshot::Sender<wire::ListReply>,
    },
    Brake {
        brake: wire::Brake,
        /// Who else than those that are there can ever be told; everybody if that is not known.
        admitted: Option<BTreeSet<NodeName>>,
        reply: oneshot::Sender<Result<Vec<IntentId>, ControlError>>,
    },
    /// How the brake stands, and who has not confirmed that.
    ToldBrake {
        reply: oneshot::Sender<wire::Brake>,
    },
    /// One was told how the brake stands, or could not be.
    Braked {
        node: NodeName,
        known: Option<Known>,
    },
    /// These know how it stands.
    KnowBrake {
        nodes: Vec<NodeName>,
        known: Known,
    },
    /// These were told so, and have not confirmed it.
    MissBrake {
        nodes: Vec<NodeName>,
        told: Known,
    },
    /// Which nodes were to take something out, and have not confirmed it?
    Owing {
        reply: oneshot::Sender<BTreeSet<NodeName>>,
    },
    /// These nodes are not there any more.
    Removed {
        nodes: BTreeSet<NodeName>,
        reply: oneshot::Sender<()>,
    },
    Watch {
        since: u64,
        reply: oneshot::Sender<Result<Watching, ControlError>>,
    },
    Standing {
        reply: oneshot::Sender<Vec<Standing>>,
    },
    Acting {
        reply: oneshot::Sender<Acting>,
    },
    Happened {
        id: IntentId,
        event: Box<Event>,
    },
    /// How an intent is that acts, and how much is left of it; nothing of any other.
    Look {
        id: IntentId,
        reply: oneshot::Sender<Option<(Box<Intent>, Duration)>>,
    },
    /// Answered once what was to come in has, or has not.
    Amend {
        id: IntentId,
        amendment: Box<Amendment>,
        reply: oneshot::Sender<()>,
    },
    Run(RunWord),
    Disruption(DisruptionWord),
    /// Whoever else could ask, nobody is answered any more.
    End,
}

/// What a watcher is told.
#[derive(Debug)]
pub struct Watching {
    /// What has happened, by revision.
    pub standing: Vec<wire::Event>,
    /// What happens next.
    pub coming: broadcast::Receiver<wire::Event>,
}

/// What came of the brake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Braked {
    /// Agents that have not confirmed it, also those that are away: they are told when they are there again.
    pub untold: Vec<NodeName>,
    /// Of those that are there, why.
    pub reasons: BTreeMap<NodeName, String>,
    /// Intents that had not ended, and are on their way out by it.
    pub ending: Vec<IntentId>,
}

/// What a controller works with.
pub struct Means {
    /// Where intents stand.
    pub store: Arc<dyn Store>,
    /// Where what has ended gets its line, once; nowhere in a simulation.
    pub ended: Option<Journal<Ended>>,
    /// The clusters that can be asked.
    pub clusters: Clusters,
    /// How much may be hit at once, once pods have come that take the place of others.
    pub limits: Limits,
    /// The time of day.
    pub wall: Wall,
}

/// The handle on the task.
#[derive(Clone)]
pub struct Control {
    commands: mpsc::Sender<Command>,
    agents: Agents,
    clusters: Clusters,
    brake: watch::Receiver<Option<String>>,
    metrics: Metrics,
    wall: Wall,
    latest: watch::Receiver<Revision>,
    disrupting: Disrupting,
}

impl Control {
    /// Takes over what an earlier life has left in the store, and begins.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start(
        means: Means,
        agents: Agents,
        notices: Notices,
    ) -> Result<Self, ControlError> {
        let (commands, inbox) = mpsc::channel(256);
        let begun = driver::begin(&means, agents.clone(), commands.downgrade()).await?;
        let metrics = begun.metrics;
        let stored = begun.driver.disruptions();
        tokio::spawn(begun.driver.run(inbox, notices));
        let latest = means.store.watch();
        let Means { clusters, wall, .. } = means;
        let kubernetes = clusters.kubernetes().cloned();
        let (words, brake) = (commands.downgrade(), begun.brake);
        let disrupting = Disrupting::start(words, kubernetes, brake.clone(), wall, stored);
        Ok(Self { commands, agents, clusters, brake, metrics, wall, latest, disrupting })
    }

    /// Ends the task, whoever has a handle on it; returns when it has let go of the store. What is asked from
    /// then on is not answered ([`ControlError::Ending`]).
    pub async fn end(&self) {
        let over = self.over();
        // It may have ended by itself.
        let _ = self.commands.send(Command::End).await;
        over.await;
    }

    /// When the task has ended and let go of the store, which it does once the last handle on it is gone.
    pub fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut brake = self.brake.clone();
        async move { while brake.changed().await.is_ok() {} }
    }

    pub(crate) const fn wall(&self) -> Wall {
        self.wall
    }

    /// The agents that it asks.
    #[must_use]
    pub const fn agents(&self) -> &Agents {
        &self.agents
    }

    /// The clusters that it can ask.
    pub(super) const fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    /// Whoever asks its API server for something.
    pub(super) const fn disrupting(&self) -> &Disrupting {
        &self.disrupting
    }

    /// How they stand right now, those of namespaces as far as they are meant.
    pub(super) async fn sight(&self, meant: &BTreeSet<GroupName>) -> Sight {
        self.clusters.sight(&self.agents, meant).await
    }

    /// Whether the settings call a cluster so.
    pub(crate) fn has_cluster(&self, group: &GroupName) -> bool {
        self.clusters.has(group)
    }

    /// Of everything that was stored after a revision the last state, then whatever happens; with 0 what
    /// stands, then whatever happens. Nothing falls in between.
    ///
    /// # Errors
    /// [`ControlError::Gap`]: what was forgotten since then is not remembered, or the revision is none of
    /// this store's.
    pub async fn watch(&self, since: u64) -> Result<Watching, ControlError> {
        self.ask(|reply| Command::Watch { since, reply }).await?
    }

    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ControlError::Ending)?;
        answer.await.map_err(|_| ControlError::Ending)
    }

    /// Asks the guards once more, writes an intent, and waits until it acts everywhere or is out
    /// everywhere.
    ///
    /// # Errors
    /// Nothing was touched.
    pub async fn apply(&self, draft: Draft) -> Answer {
        self.ask(|reply| Command::Apply { draft: Box::new(draft), reply }).await?
    }

    /// Waits for an intent that was asked for before.
    ///
    /// # Errors
    /// There is none.
    pub async fn find(&self, id: IntentId) -> Answer {
        self.ask(|reply| Command::Find { id, until: Until::Acting, reply }).await?
    }

    /// Waits until nothing more comes of an intent.
    ///
    /// # Errors
    /// There is none.
    pub async fn ended(&self, id: IntentId) -> Answer {
        self.ask(|reply| Command::Find { id, until: Until::Over, reply }).await?
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
        let all = self.listing().await?;
        Ok((all.intents, all.revision))
    }

    /// The same with the runs.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn listing(&self) -> Result<wire::ListReply, ControlError> {
        self.ask(|reply| Command::List { reply }).await
    }

    /// Every run that is kept, whole.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn runs(&self) -> Result<Vec<wire::Run>, ControlError> {
        self.ask(|reply| Command::Run(RunWord::All { reply })).await
    }

    /// Writes down a run that nobody knows yet.
    ///
    /// # Errors
    /// Its id is taken, the brake is on, or the store failed: nothing is there.
    pub(crate) async fn begin_run(&self, run: wire::Run) -> Result<(), ControlError> {
        let run = Box::new(run);
        self.ask(|reply| Command::Run(RunWord::New { run, reply })).await?
    }

    /// Writes down what a run has become, and tells it.
    ///
    /// # Errors
    /// The store failed; it is told all the same.
    pub(crate) async fn record_run(&self, run: wire::Run) -> Result<(), ControlError> {
        let run = Box::new(run);
        self.ask(|reply| Command::Run(RunWord::Changed { run, reply })).await?
    }

    /// Tells whoever watches what happened in a run.
    pub(crate) async fn tell_run(&self, id: u64, news: Vec<u8>) {
        // A controller that ends tells nobody any more.
        let _ = self.commands.send(Command::Run(RunWord::News { id, news })).await;
    }

    /// Why new faults are refused, now and whenever that changes.
    pub(crate) fn brakes(&self) -> watch::Receiver<Option<String>> {
        self.brake.clone()
    }

    /// The revision of the last that was written.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.latest.borrow().0
    }

    /// Why new faults are refused, if they are.
    #[must_use]
    pub fn halted(&self) -> Option<String> {
        self.brake.borrow().clone()
    }

    /// Puts the brake on or takes it off, durably, and passes it on to every agent that is connected. It
    /// also has everything healed, which is not waited for.
    ///
    /// # Errors
    /// The store failed. The brake is on all the same ([`ControlError::Unkept`]); it is not taken off.
    pub async fn brake(&self, brake: wire::Brake) -> Result<Braked, ControlError> {
        self.brake_among(None, brake).await
    }

    /// The same where it is known whose agents are let in: others that are away are owed nothing, as nobody will
    /// hear of them again.
    ///
    /// # Errors
    /// As those of [`Self::brake`].
    pub async fn brake_among(
        &self,
        admitted: Option<BTreeSet<NodeName>>,
        brake: wire::Brake,
    ) -> Result<Braked, ControlError> {
        let halted = brake.on.then(|| brake.reason.clone());
        let kept = self.ask(|reply| Command::Brake { brake, admitted, reply });
        let (ending, mut reasons) = match &halted {
            None => {
                let ending = kept.await??;
                (ending, self.tell_brake(None).await)
            }
            // At once: the agents' own brakes wait for no disk of ours.
            Some(_) => {
                let (kept, reasons) = tokio::join!(kept, self.tell_brake(halted.clone()));
                (kept??, reasons)
            }
        };
        // What was confirmed by now has been taken in by then.
        let behind = self.told_brake().await?.behind;
        let untold: Vec<_> = behind.iter().filter_map(|name| NodeName::new(name)).collect();
        reasons.retain(|node, _| untold.contains(node));
        Ok(Braked { untold, reasons, ending })
    }

    /// How the brake stands, and who has not confirmed that.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn told_brake(&self) -> Result<wire::Brake, ControlError> {
        self.ask(|reply| Command::ToldBrake { reply }).await
    }

    /// The nodes whose agents have been away for as long as that, or have not come in this life.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn away(&self, time: Duration) -> Result<BTreeSet<NodeName>, ControlError> {
        let seen = self.agents.seen();
        let behind = self.told_brake().await?.behind;
        // Also those that were there in an earlier life alone.
        let mut away = self.ask(|reply| Command::Owing { reply }).await?;
        away.extend(behind.iter().filter_map(|name| NodeName::new(name)));
        away.extend(seen.iter().map(|agent| agent.node.clone()));
        for agent in seen.iter().filter(|agent| agent.connected || agent.heard_ago < time) {
            away.remove(&agent.node);
        }
        Ok(away)
    }

    /// Names nodes no longer that are not there any more: those that are away, and on which nothing may act any more.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn removed(&self, nodes: BTreeSet<NodeName>) -> Result<(), ControlError> {
        self.ask(|reply| Command::Removed { nodes, reply }).await
    }

    /// Passes the brake on to every agent that is connected, on with a reason; says who has not confirmed it, and why.
    async fn tell_brake(&self, halted: Option<String>) -> BTreeMap<NodeName, String> {
        let tell = |(node, link): (NodeName, Link)| {
            let halted = halted.clone();
            async move { (node, calls::brake(link, halted).await) }
        };
        let told = futures_util::future::join_all(self.agents.links().into_iter().map(tell)).await;
        let (mut nodes, mut reasons) = (Vec::new(), BTreeMap::new());
        for (node, known) in told {
            match known {
                Ok(_) => nodes.push(node),
                Err(reason) => drop(reasons.insert(node, reason)),
            }
        }
        let known = Known::of(halted.as_ref());
        // A controller that ends knows it in its next life.
        let _ = self.commands.send(Command::KnowBrake { nodes, known }).await;
        if !reasons.is_empty() {
            let nodes = reasons.keys().cloned().collect();
            let _ = self.commands.send(Command::MissBrake { nodes, told: known }).await;
        }
        reasons
    }

    /// What is counted.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How everything stands.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn snapshot(&self) -> Result<Snapshot, ControlError> {
        let faults = self.ask(|reply| Command::Standing { reply }).await?;
        Ok(Snapshot { faults, agents: self.agents.seen(), halted: self.halted() })
    }

    /// What may act or is on its way.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn acting(&self) -> Result<Acting, ControlError> {
        self.ask(|reply| Command::Acting { reply }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Memory, incarnate};

    async fn control() -> Control {
        let store = Arc::new(Memory::new());
        let (agents, notices) = Agents::new(incarnate(store.as_ref()).await.unwrap().into());
        let (clusters, limits) = (Clusters::default(), Limits::default());
        let means = Means { store, ended: None, clusters, limits, wall: Wall::System };
        Control::start(means, agents, notices).await.unwrap()
    }

    async fn behind(control: &Control) -> Vec<String> {
        control.listing().await.unwrap().brake.unwrap().behind
    }

    #[tokio::test]
    async fn who_is_not_there_any_more_is_owed_no_word_of_the_brake() {
        let control = control().await;
        let [a, b] = ["a", "b"].map(|name| NodeName::new(name).unwrap());
        let nodes = vec![a.clone(), b.clone()];
        let late = Command::KnowBrake { nodes, known: Known::On };
        assert!(control.commands.send(late).await.is_ok());
        assert_eq!(control.away(Duration::ZERO).await.unwrap(), [a, b.clone()].into());
        control.removed([b].into()).await.unwrap();
        assert_eq!(behind(&control).await, ["a"]);
    }

    #[tokio::test]
    async fn who_confirms_what_does_not_stand_any_more_has_not_heard_of_what_does() {
        let control = control().await;
        let node = NodeName::new("a").unwrap();
        let say = async |command| assert!(control.commands.send(command).await.is_ok());
        let nodes = vec![node];
        // The brake is off: what put it on was told before, and came late.
        say(Command::KnowBrake { nodes: nodes.clone(), known: Known::On }).await;
        assert_eq!(behind(&control).await, ["a"]);
        say(Command::KnowBrake { nodes: nodes.clone(), known: Known::Off }).await;
        assert_eq!(behind(&control).await, [""; 0]);
        // Nor does one that has not answered: it may come still.
        say(Command::MissBrake { nodes: nodes.clone(), told: Known::On }).await;
        assert_eq!(behind(&control).await, ["a"]);
        say(Command::KnowBrake { nodes: nodes.clone(), known: Known::Off }).await;
        say(Command::MissBrake { nodes, told: Known::Off }).await;
        assert_eq!(behind(&control).await, [""; 0], "who takes it off is told of these");
    }
}
