//! The brake as the driver keeps it, with the nodes that have not heard yet that it is off.

use std::collections::BTreeSet;

use fault::{IntentId, NodeName};
use prost::Message as _;
use proto::control as wire;

use super::{Driver, calls};
use crate::control::handle::{Command, ControlError};
use crate::metrics::Written;
use crate::sequence::Event;
use crate::store::{Expected, Key, PutError};

impl Driver {
    /// Puts the brake on or takes it off, durably. On it is at once, whatever becomes of that.
    pub(super) async fn set_brake(
        &mut self,
        mut brake: wire::Brake,
    ) -> Result<Vec<IntentId>, ControlError> {
        let mut ending = Vec::new();
        if brake.on {
            let living = self.intents.iter().filter(|(_, one)| !one.sequence.stage().is_final());
            ending.extend(living.map(|(id, _)| *id));
            // First of all, and whatever the store says of it.
            self.brake.send_replace(Some(brake.reason.clone()));
            let reason = format!("halted: {}", brake.reason);
            self.everybody(|_| Some(Event::Heal(reason.clone()))).await;
        } else {
            // Until each has confirmed it.
            let known = self.agents.seen().into_iter().map(|agent| agent.node.to_string());
            brake.behind = known.collect::<BTreeSet<String>>().into_iter().collect();
        }
        self.keep_brake(&brake).await?;
        self.brake.send_replace(brake.on.then(|| brake.reason.clone()));
        self.say(wire::event::Kind::Brake(wire::Brake { behind: Vec::new(), ..brake.clone() }));
        self.kept_brake = brake;
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

    /// An agent is there: it is told how the brake stands, where it was away when that changed.
    pub(super) fn tell_of_brake(&self, node: &NodeName) {
        let Some(mut link) = self.agents.link(node) else { return };
        if self.kept_brake.on
            || !self.kept_brake.behind.iter().any(|behind| behind == node.as_str())
        {
            tokio::spawn(calls::brake(link, self.brake.subscribe()));
            return;
        }
        let (commands, brake, node) = (self.commands.clone(), self.brake.subscribe(), node.clone());
        tokio::spawn(async move {
            let is_off = brake.borrow().is_none();
            if is_off
                && link.resume().await.is_ok()
                && let Some(commands) = commands.upgrade()
            {
                // A controller that ends knows it in its next life.
                let _ = commands.send(Command::Resumed { nodes: vec![node] }).await;
            }
        });
    }

    /// These know that the brake is off.
    pub(super) async fn resumed(&mut self, nodes: &[NodeName]) {
        let mut brake = self.kept_brake.clone();
        brake.behind.retain(|behind| !nodes.iter().any(|node| node.as_str() == behind));
        if brake.on || brake.behind == self.kept_brake.behind {
            return;
        }
        if let Err(error) = self.keep_brake(&brake).await {
            // They are told once more, which changes nothing.
            tracing::warn!(%error, "which agents know that the brake is off is not written down");
        }
        self.kept_brake = brake;
    }
}
