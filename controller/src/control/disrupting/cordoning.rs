//! A node to which no pods come for a while, and what undoes that.

use std::time::Duration;

use fault::{IntentId, NodeName};
use proto::control as wire;
use tokio::time::sleep;

use super::departures::{Departures, Leaving, Until};
use super::errand::{Errand, Refused, grace, node};
use super::removing::{CameTo, Removing};
use crate::disruption::{Disruption, Manner};
use crate::provider::kubernetes::{Cordoned, DeedError, Mark, Undone};

/// From one attempt to undo it to the next: at first, and at most.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(30);

impl Errand {
    /// Cordons a node, and evicts what is on it.
    pub(super) async fn cordon(&mut self, asked: &Disruption, leaving: Vec<Leaving>) {
        let Some((node, mark)) = self.mark() else { return };
        match self.kubernetes.cordon(&node, &mark).await {
            Ok(Cordoned::Ours) => {}
            Ok(Cordoned::Foreign) => return self.within_foreign(asked, &node, leaving).await,
            Ok(Cordoned::Taken(other)) => {
                let by = if other.asker.is_empty() { "" } else { ", asked for by " };
                let reason = format!("{} has cordoned it already{by}{}", other.id, other.asker);
                return self.fail(reason, Refused::Yes).await;
            }
            // Nothing was changed.
            Err(error @ DeedError::Forbidden { .. }) => {
                return self.fail(error.to_string(), Refused::Yes).await;
            }
            // Whether it was changed is not known.
            Err(error) => return self.undo(error.to_string()).await,
        }
        match self.drain(asked, &node, leaving).await {
            Drained::Left => return,
            Drained::All => {}
            Drained::Not(trouble, refused) => {
                self.become_of(|one| one.refused = refused == Refused::Yes).await;
                return self.undo(trouble).await;
            }
        }
        self.become_of(|one| one.set_stage(wire::DisruptionStage::Standing)).await;
        self.stand().await;
    }

    /// The node, and what is written on it.
    fn mark(&self) -> Option<(NodeName, Mark)> {
        let own = self.state.borrow();
        let id = IntentId::from_random(own.id);
        let installation = self.kubernetes.installation().to_owned();
        let mark = Mark { id, until: own.deadline, asker: own.asker.clone(), installation };
        node(&own).map(|node| (node, mark))
    }

    /// Evicts what is on a node that somebody else has cordoned, and leaves it so.
    async fn within_foreign(&mut self, asked: &Disruption, node: &NodeName, leaving: Vec<Leaving>) {
        let note = format!("somebody else had cordoned {node} before, and it stays so");
        if grace(asked).is_none() {
            return self.idle(note).await;
        }
        self.become_of(|one| {
            // There will be nothing to undo.
            one.deadline = 0;
            one.notes.push(note);
        })
        .await;
        match self.drain(asked, node, leaving).await {
            Drained::Left => {}
            Drained::All => self.done(String::new()).await,
            Drained::Not(trouble, refused) => self.fail(trouble, refused).await,
        }
    }

    async fn drain(
        &mut self,
        asked: &Disruption,
        node: &NodeName,
        leaving: Vec<Leaving>,
    ) -> Drained {
        let Some(grace) = grace(asked) else { return Drained::All };
        let watches = vec![self.kubernetes.pods_on(node)];
        let mut all = Departures::new(leaving, Until::Gone, watches.len());
        let kubernetes = self.kubernetes.clone();
        // Once it is to be undone nothing is waited for.
        let patience = asked.patience.min(asked.total().unwrap_or_default());
        let (manner, insistence) = (Manner::Evict, asked.insistence);
        let removing =
            Removing { kubernetes: &kubernetes, watches, manner, grace, patience, insistence };
        if self.see_off(removing, &mut all).await == CameTo::Left {
            return Drained::Left;
        }
        match all.trouble() {
            None => Drained::All,
            Some(trouble) => Drained::Not(trouble, Refused::of(&all)),
        }
    }

    /// Whether what is undone was never whole.
    fn has_failed(&self) -> bool {
        let own = self.state.borrow();
        own.failed || own.refused || own.stage() == wire::DisruptionStage::UnderWay
    }

    /// Has pods come to the node again, however often that has to be tried.
    pub(super) async fn undo(&mut self, why: String) {
        let Some((node, mark)) = self.mark() else { return self.fail(why, Refused::No).await };
        let failed = self.has_failed();
        self.become_of(|one| {
            one.set_stage(wire::DisruptionStage::Undoing);
            // Whoever leads next has it end as what it was.
            (one.reason, one.failed) = (why, failed);
        })
        .await;
        let mut pause = SOON;
        let undone = loop {
            let error = match self.kubernetes.uncordon(&node, mark.id).await {
                Ok(undone) => break undone,
                Err(error) => error,
            };
            tracing::error!(%node, id = %mark.id, %error, "not uncordoned");
            let note = format!("{node} is not uncordoned yet: {error}");
            if self.state.borrow().notes.last() != Some(&note) {
                self.become_of(|one| one.notes.push(note)).await;
            }
            tokio::select! {
                () = sleep(pause) => pause = LATER.min(pause * 2),
                () = self.ending.leave() => return,
            }
        };
        let note = match undone {
            Undone::Uncordoned => None,
            Undone::Open => Some(format!("somebody had uncordoned {node} before")),
            Undone::Nothing => Some(format!("{node} was not cordoned by this any more")),
        };
        if let Some(note) = note.filter(|_| !failed) {
            self.become_of(|one| one.notes.push(note)).await;
        }
        let reason = self.state.borrow().reason.clone();
        let refused = if self.state.borrow().refused { Refused::Yes } else { Refused::No };
        if failed { self.fail(reason, refused).await } else { self.done(reason).await }
    }
}

/// What came of evicting the pods of a node.
enum Drained {
    /// There is nothing more on it that was to go.
    All,
    /// Not all have gone, and why.
    Not(String, Refused),
    /// The controller ends.
    Left,
}
