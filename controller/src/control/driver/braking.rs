//! The brake as the driver keeps it, with the nodes that have not confirmed yet that they know how it stands.

use std::collections::BTreeSet;

use fault::{IntentId, NodeName};
use prost::Message as _;
use proto::control as wire;

use super::{Driver, calls};
use crate::control::calls::Known;
use crate::control::handle::{Command, ControlError};
use crate::control::intent::Intent;
use crate::metrics::Written;
use crate::sequence::{Event, Moment};
use crate::store::{Expected, Key, PutError};

/// Who is to be told.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Those that have not confirmed it.
    nodes: BTreeSet<NodeName>,
    /// Those that have confirmed that it is on, and keep to that until they are told otherwise.
    braked: BTreeSet<NodeName>,
    /// Those of them that are being told.
    asked: BTreeSet<NodeName>,
    /// When it last changed, or was confirmed by anybody: who was asked before may have answered before, too.
    settled: Moment,
}

impl Behind {
    /// As it stands in the store.
    pub(super) fn stored(brake: &wire::Brake) -> Self {
        let nodes =
            |names: &[String]| names.iter().filter_map(|name| NodeName::new(name)).collect();
        Self { nodes: nodes(&brake.behind), braked: nodes(&brake.told), ..Self::default() }
    }

    fn names(&self) -> Vec<String> {
        self.nodes.iter().map(ToString::to_string).collect()
    }

    /// A brake as it is stored. Who knows that it is on is told of another reason as soon as it is there, which need
    /// not be written down: otherwise each of a thousand nodes that connect would be written twice.
    fn store(&self, brake: &wire::Brake) -> wire::Brake {
        let names = |nodes: Vec<&NodeName>| nodes.into_iter().map(ToString::to_string).collect();
        let behind = names(self.nodes.difference(&self.braked).collect());
        wire::Brake { behind, told: names(self.braked.iter().collect()), ..brake.clone() }
    }
}

/// What everybody may know of a brake: who knows it is asked for by itself.
pub(in crate::control) fn published(brake: wire::Brake) -> wire::Brake {
    wire::Brake { behind: Vec::new(), told: Vec::new(), ..brake }
}

impl Driver {
    /// Puts the brake on or takes it off, durably. On it is at once, whatever becomes of that.
    pub(super) async fn set_brake(
        &mut self,
        brake: wire::Brake,
        admitted: Option<&BTreeSet<NodeName>>,
    ) -> Result<Vec<IntentId>, ControlError> {
        let mut ending = Vec::new();
        let known = self.agents.seen().into_iter().map(|agent| agent.node);
        // Also those that were there in an earlier life alone.
        let mut owed: BTreeSet<NodeName> = known.chain(self.behind.nodes.iter().cloned()).collect();
        let settled = self.agents.now();
        if let Some(admitted) = admitted {
            let comes =
                |node: &NodeName| admitted.contains(node) || self.agents.link(node).is_some();
            owed.retain(comes);
            self.behind.braked.retain(comes);
        }
        if brake.on {
            (self.behind.nodes, self.behind.settled) = (owed, settled);
            let living = self.intents.iter().filter(|(_, one)| !one.sequence.stage().is_final());
            ending.extend(living.map(|(id, _)| *id));
            // First of all, and whatever the store says of it.
            self.brake.send_replace(Some(brake.reason.clone()));
            let reason = format!("halted: {}", brake.reason);
            self.everybody(|_| Some(Event::Heal(reason.clone()))).await;
            self.write_unwritten().await;
            let kept = self.behind.store(&brake);
            self.kept_brake = kept.clone();
            self.keep_brake(&kept).await?;
        } else {
            // Until each has confirmed it.
            owed.append(&mut self.behind.braked.clone());
            let (braked, asked) = (BTreeSet::new(), self.behind.asked.clone());
            let behind = Behind { nodes: owed, braked, asked, settled };
            let kept = behind.store(&brake);
            self.keep_brake(&kept).await?;
            (self.behind, self.kept_brake) = (behind, kept);
            self.brake.send_replace(None);
        }
        self.say(wire::event::Kind::Brake(published(brake)));
        Ok(ending)
    }

    async fn keep_brake(&mut self, brake: &wire::Brake) -> Result<(), ControlError> {
        match self.store.put(Key::brake(), Expected::Any, brake.encode_to_vec()).await {
            Ok(revision) => {
                self.revision = revision.0;
                Ok(())
            }
            Err(PutError::Store(error)) => {
                self.tally.failed(Written::Store);
                Err(if brake.on { ControlError::Unkept(error) } else { error.into() })
            }
            // Whatever stood there was expected.
            Err(PutError::Conflict { .. } | PutError::Gone) => Err(ControlError::Ending),
        }
    }

    /// How it stands, and who has not confirmed that.
    pub(super) fn told_brake(&self) -> wire::Brake {
        let halted = self.brake.borrow().clone();
        let (on, behind) = (halted.is_some(), self.behind.names());
        let who = if on { self.kept_brake.who.clone() } else { String::new() };
        wire::Brake { on, reason: halted.unwrap_or_default(), who, behind, told: Vec::new() }
    }

    /// Connected nodes that take no faults.
    pub(super) fn halted(&self) -> Vec<wire::HaltedNode> {
        let seen = self.agents.seen().into_iter();
        let halted = seen.filter(|agent| agent.connected && !agent.halted.is_empty());
        let told = |agent: crate::agents::Seen| wire::HaltedNode {
            node: agent.node.to_string(),
            reason: agent.halted,
        };
        halted.map(told).collect()
    }

    /// An agent is there, which may have been away when the brake was put on: it is told.
    pub(super) fn found_braked(&mut self, node: &NodeName) {
        if self.brake.borrow().is_some() {
            self.behind.nodes.insert(node.clone());
        }
        self.tell_of_brake(node);
    }

    /// An agent has answered what it was sent then: it is told how the brake stands if it has not confirmed yet
    /// that it knows, or takes faults all the same. One that takes none while the brake is off may be held by
    /// somebody on its node.
    pub(super) fn heard_of_brake(&mut self, node: &NodeName, sent: Moment) {
        let is_on = self.brake.borrow().is_some();
        if is_on && sent > self.behind.settled && self.agents.takes_faults(node) == Some(true) {
            self.behind.nodes.insert(node.clone());
            self.behind.braked.remove(node);
        }
        self.tell_of_brake(node);
    }

    /// An agent is there: it is told how the brake stands, if it has not confirmed yet that it knows.
    fn tell_of_brake(&mut self, node: &NodeName) {
        if !self.behind.nodes.contains(node) || self.behind.asked.contains(node) {
            return;
        }
        let Some(link) = self.agents.link(node) else { return };
        self.behind.asked.insert(node.clone());
        let halted = self.brake.borrow().clone();
        let (commands, node) = (self.commands.clone(), node.clone());
        tokio::spawn(async move {
            let known = calls::brake_again(link, halted).await;
            // A controller that ends knows it in its next life.
            if let Some(commands) = commands.upgrade() {
                let _ = commands.send(Command::Braked { node, known }).await;
            }
        });
    }

    /// One has been told, or could not be.
    pub(super) async fn braked(&mut self, node: NodeName, known: Option<Known>) {
        self.behind.asked.remove(&node);
        let stands = Known::of(self.brake.borrow().as_ref());
        match known {
            // It is told again, unless it has confirmed something else meanwhile: then this may come to it still.
            None if self.behind.nodes.contains(&node) => {}
            None => self.doubt_brake(&[node]).await,
            Some(known) if known == stands => self.know_brake(known, &[node]).await,
            Some(_) => self.doubt_brake(&[node]).await,
        }
    }

    /// These have confirmed that they know how the brake stands.
    pub(super) async fn know_brake(&mut self, known: Known, nodes: &[NodeName]) {
        if known != Known::of(self.brake.borrow().as_ref()) {
            return self.doubt_brake(nodes).await;
        }
        self.behind.settled = self.agents.now();
        let halted = self.brake.borrow().clone();
        for node in nodes {
            self.agents.confirmed_brake(node, halted.as_deref());
            self.behind.nodes.remove(node);
            if known == Known::On {
                self.behind.braked.insert(node.clone());
            }
        }
        self.keep_behind().await;
    }

    /// These were told so, and have not confirmed it: it may come to them still.
    pub(super) async fn miss_brake(&mut self, told: Known, nodes: &[NodeName]) {
        if told != Known::of(self.brake.borrow().as_ref()) {
            self.doubt_brake(nodes).await;
        }
    }

    /// These were told something while it changed, and what was said later may have come to them first: they are
    /// told once more, whatever they have confirmed.
    async fn doubt_brake(&mut self, nodes: &[NodeName]) {
        for node in nodes {
            self.behind.braked.remove(node);
            self.behind.nodes.insert(node.clone());
        }
        self.keep_behind().await;
        nodes.iter().for_each(|node| self.tell_of_brake(node));
    }

    /// These nodes are not there any more. Those on which something may act are named until it cannot any more.
    pub(super) async fn removed(&mut self, mut nodes: BTreeSet<NodeName>) {
        nodes.retain(|node| self.agents.link(node).is_none());
        for node in &nodes {
            let owes = |intent: &Intent| intent.sequence.owes(node);
            self.everybody(|intent| owes(intent).then(|| Event::Removed(node.clone()))).await;
        }
        let now = self.agents.now();
        nodes.retain(|node| {
            let is_owed = |intent: &Intent| {
                let sequence = &intent.sequence;
                sequence.owes(node)
                    || sequence.of(node).any(|part| sequence.part_may_act(part, now))
            };
            !self.intents.values().any(is_owed)
        });
        for node in &nodes {
            self.behind.nodes.remove(node);
            self.behind.braked.remove(node);
        }
        self.keep_behind().await;
        self.agents.forget(&nodes);
    }

    /// Writes down who has not confirmed how the brake stands, where that has changed.
    async fn keep_behind(&mut self) {
        let brake = self.behind.store(&self.kept_brake);
        if brake == self.kept_brake {
            return;
        }
        if let Err(error) = self.keep_brake(&brake).await {
            // They are told once more, which changes nothing.
            tracing::warn!(%error, "which agents know how the brake stands is not written down");
        }
        self.kept_brake = brake;
    }
}
