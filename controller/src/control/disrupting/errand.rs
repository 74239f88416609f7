//! One disruption on its way: done, and undone.

use fault::NodeName;
use proto::control as wire;
use tokio::sync::{mpsc, oneshot, watch};

use super::departures::{Departures, Leaving, Until};
use super::ending::{Ending, Word};
use super::removing::{CameTo, Removing};
use crate::control::driver::disruptions::DisruptionWord;
use crate::control::handle::Command;
use crate::control::wall::{Due, Wall};
use crate::disruption::{Disruption, Inmates, Manner, What};
use crate::provider::kubernetes::Kubernetes;

/// What has broken off with the controller that did it.
const BROKEN_OFF: &str = "it broke off: the controller that did it has ended";

/// What is to be done.
#[derive(Debug)]
pub(super) enum Work {
    /// Pods go.
    Remove(Box<Disruption>, Vec<Leaving>),
    /// A node is cordoned, these pods are evicted, and all is undone in time.
    Cordon(Box<Disruption>, Vec<Leaving>),
    /// A node is cordoned, and that is undone in time.
    Stand,
    /// It is undone, and why.
    Undo(String),
    /// Nothing more, and why.
    Fail(String),
}

impl Work {
    /// What is left of one that an earlier life has begun.
    pub(super) fn left(disruption: &wire::Disruption) -> Self {
        let of_node = node(disruption).is_some();
        match disruption.stage() {
            wire::DisruptionStage::Standing => Self::Stand,
            wire::DisruptionStage::Undoing => Self::Undo(disruption.reason.clone()),
            wire::DisruptionStage::UnderWay if of_node => Self::Undo(BROKEN_OFF.to_owned()),
            wire::DisruptionStage::Unspecified
            | wire::DisruptionStage::UnderWay
            | wire::DisruptionStage::Done
            | wire::DisruptionStage::Failed
            | wire::DisruptionStage::Idle => Self::Fail(BROKEN_OFF.to_owned()),
        }
    }
}

/// The node that one is about, if it is about one.
pub(super) fn node(disruption: &wire::Disruption) -> Option<NodeName> {
    match disruption.spec.as_ref()?.what.as_ref()? {
        wire::disruption_spec::What::Cordon(cordon) => NodeName::new(&cordon.node),
        wire::disruption_spec::What::Removal(_) => None,
    }
}

/// Asks the task that writes everything down; `None` where it has ended.
pub(super) async fn ask<T>(
    commands: &mpsc::WeakSender<Command>,
    word: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    // Held only while it is sent: it would keep the controller from its end.
    commands.upgrade()?.send(word(reply)).await.ok()?;
    answer.await.ok()
}

/// One on its way.
pub(super) struct Errand {
    pub(super) kubernetes: Kubernetes,
    pub(super) state: watch::Sender<wire::Disruption>,
    pub(super) ending: Ending,
    pub(super) commands: mpsc::WeakSender<Command>,
    pub(super) wall: Wall,
    /// When what stands is undone.
    pub(super) due: Due,
}

impl Errand {
    /// Does it, to its end or to that of the controller.
    pub(super) async fn run(mut self, work: Work) {
        match work {
            Work::Remove(asked, leaving) => self.remove(&asked, leaving).await,
            Work::Cordon(asked, leaving) => self.cordon(&asked, leaving).await,
            Work::Stand => self.stand().await,
            Work::Undo(why) => self.undo(why).await,
            Work::Fail(why) => self.fail(why, Refused::No).await,
        }
    }

    /// Writes down what it has become, and tells it.
    pub(super) async fn become_of(&mut self, change: impl FnOnce(&mut wire::Disruption)) {
        let mut disruption = self.state.borrow().clone();
        change(&mut disruption);
        let written = disruption.clone();
        let disruption = Box::new(disruption);
        let word = |reply| Command::Disruption(DisruptionWord::Changed { disruption, reply });
        let written = ask(&self.commands, word).await.unwrap_or(written);
        self.state.send_replace(written);
    }

    /// The last that is told of it.
    async fn over(&mut self, stage: wire::DisruptionStage, reason: String, refused: Refused) {
        let now = self.wall.now();
        self.become_of(|one| {
            one.set_stage(stage);
            (one.reason, one.ended) = (reason, now);
            one.refused = refused == Refused::Yes;
        })
        .await;
    }

    pub(super) async fn done(&mut self, reason: String) {
        self.over(wire::DisruptionStage::Done, reason, Refused::No).await;
    }

    pub(super) async fn idle(&mut self, reason: String) {
        self.over(wire::DisruptionStage::Idle, reason, Refused::No).await;
    }

    pub(super) async fn fail(&mut self, reason: String, refused: Refused) {
        self.over(wire::DisruptionStage::Failed, reason, refused).await;
    }

    async fn remove(&mut self, asked: &Disruption, leaving: Vec<Leaving>) {
        let What::Removal { manner, grace, .. } = &asked.what else { return };
        let until = match manner {
            Manner::Restart => Until::Replaced,
            Manner::Terminate => Until::Asked,
            Manner::Evict => Until::Gone,
        };
        let mut namespaces: Vec<&str> =
            leaving.iter().map(|one| one.pod.namespace.as_str()).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        let mut watches = Vec::new();
        if until != Until::Asked {
            let all = namespaces.into_iter().map(|namespace| self.kubernetes.pods_of(namespace));
            match all.collect::<Result<Vec<_>, _>>() {
                Ok(all) => watches = all,
                Err(error) => return self.fail(error.to_string(), Refused::No).await,
            }
        }
        let mut all = Departures::new(leaving, until, watches.len());
        let kubernetes = self.kubernetes.clone();
        let (manner, grace) = (*manner, *grace);
        let (patience, insistence) = (asked.patience, asked.insistence);
        let removing =
            Removing { kubernetes: &kubernetes, watches, manner, grace, patience, insistence };
        if self.see_off(removing, &mut all).await == CameTo::Left {
            return;
        }
        match all.trouble() {
            None => self.done(String::new()).await,
            Some(trouble) => self.fail(trouble, Refused::of(&all)).await,
        }
    }

    /// Has pods go, and tells what becomes of them.
    pub(super) async fn see_off(
        &mut self,
        mut removing: Removing<'_>,
        all: &mut Departures,
    ) -> CameTo {
        let Self { state, ending, .. } = self;
        // While nothing ends nothing is stored: it would be one call of the API server for each pod.
        let tell = |all: &Departures| {
            state.send_if_modified(|one| {
                let pods = all.told();
                let changed = one.pods != pods;
                one.pods = pods;
                changed
            });
        };
        let came_to = removing.carry_out(all, ending, tell).await;
        if let CameTo::GivenUp(why) = &came_to {
            all.give_up(why);
        }
        tell(all);
        came_to
    }

    /// Waits until the deadline, or until it is to end before that, and undoes it.
    pub(super) async fn stand(&mut self) {
        let due = self.due;
        let why = tokio::select! {
            () = due.come() => String::new(),
            word = self.ending.come() => match word {
                Word::End(why) => why,
                Word::Leave => return,
            },
        };
        self.undo(why).await;
    }
}

/// Whether it failed because it is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Yes,
    No,
}

impl Refused {
    pub(super) fn of(all: &Departures) -> Self {
        if all.is_refused() { Self::Yes } else { Self::No }
    }
}

/// What is to become of the pods of a node.
pub(super) const fn grace(asked: &Disruption) -> Option<Option<cluster::Grace>> {
    match &asked.what {
        What::Cordon { inmates: Inmates::Evicted(grace), .. } => Some(*grace),
        What::Cordon { inmates: Inmates::Stay, .. } | What::Removal { .. } => None,
    }
}
