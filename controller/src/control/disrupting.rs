//! What the API server of the controller's cluster is asked to do: pods go, or none come to a node for a while.
//!
//! A request resolves, asks the guards as a kill would, and writes down what it is about; a task of its own does it, and
//! undoes it. What is to be undone stands on the node itself, too, written by the call that makes it so.

mod cordoning;
mod departures;
mod drafting;
mod ending;
mod errand;
mod removing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fault::IntentId;
use proto::control as wire;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

pub use self::drafting::Undertaking;
use self::ending::Ending;
use self::errand::{Errand, Work};
use super::driver::disruptions::{Asked, DisruptionWord, Down};
use super::handle::{Command, Control, ControlError};
use super::wall::{Due, Wall};
use crate::disruption::{Inmates, is_over};
use crate::provider::kubernetes::{Kubernetes, Mark};

/// How long whoever ends one waits for that (30 s): a command waits longer.
const ENDING: Duration = Duration::from_secs(30);
/// From one look to the next at nodes that cannot be looked at.
const AGAIN: Duration = Duration::from_secs(5);

/// Why something is undone that was over.
const LATE: &str = "it was found on the node after it was over";

/// How a disruption stands, whenever that changes.
pub type Standing = watch::Receiver<wire::Disruption>;

/// Whoever sees to disruptions, each in a task of its own; clones are the same.
#[derive(Clone)]
pub(super) struct Disrupting(Arc<Shared>);

struct Shared {
    commands: mpsc::WeakSender<Command>,
    kubernetes: Option<Kubernetes>,
    brake: watch::Receiver<Option<String>>,
    wall: Wall,
    going: Mutex<BTreeMap<IntentId, Going>>,
}

/// One that goes on.
#[derive(Clone, Debug)]
struct Going {
    standing: Standing,
    end: watch::Sender<Option<String>>,
}

impl Disrupting {
    /// Takes over what an earlier life has left, in the store and on nodes.
    pub(super) fn start(
        commands: mpsc::WeakSender<Command>,
        kubernetes: Option<Kubernetes>,
        brake: watch::Receiver<Option<String>>,
        wall: Wall,
        stored: Vec<wire::Disruption>,
    ) -> Self {
        let going = Mutex::default();
        let own = Self(Arc::new(Shared { commands, kubernetes, brake, wall, going }));
        let Some(kubernetes) = own.0.kubernetes.clone() else { return own };
        let (over, left): (Vec<_>, Vec<_>) = stored.into_iter().partition(is_over);
        let known: BTreeSet<IntentId> =
            left.iter().map(|one| IntentId::from_random(one.id)).collect();
        for disruption in left {
            let work = Work::left(&disruption);
            own.begin(disruption, kubernetes.clone(), work);
        }
        let shared = own.clone();
        tokio::spawn(async move { shared.adopt(&kubernetes, &known, &over).await });
        own
    }

    fn going(&self) -> MutexGuard<'_, BTreeMap<IntentId, Going>> {
        self.0.going.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: IntentId) -> Option<Going> {
        self.going().get(&id).cloned()
    }

    /// Has one go on that is written down.
    fn begin(&self, disruption: wire::Disruption, kubernetes: Kubernetes, work: Work) -> Standing {
        let id = IntentId::from_random(disruption.id);
        let (state, standing) = watch::channel(disruption);
        let (end, ended) = watch::channel(None);
        self.going().insert(id, Going { standing: standing.clone(), end });
        let ending = Ending::new(ended, self.0.brake.clone());
        let (commands, wall) = (self.0.commands.clone(), self.0.wall);
        let due = Due::at(state.borrow().deadline, wall.now(), Instant::now());
        let errand = Errand { kubernetes, state, ending, commands, wall, due };
        let own = self.clone();
        tokio::spawn(async move {
            errand.run(work).await;
            own.going().remove(&id);
        });
        standing
    }

    /// Sees to what nodes say that we have done to them, and of which nothing is written down here, or that it is over.
    async fn adopt(
        &self,
        kubernetes: &Kubernetes,
        known: &BTreeSet<IntentId>,
        over: &[wire::Disruption],
    ) {
        let mut ending = Ending::new(watch::channel(None).1, self.0.brake.clone());
        let marked = loop {
            let error = match kubernetes.marked().await {
                Ok(marked) => break marked,
                Err(error) => error,
            };
            tracing::warn!(%error, "which nodes are cordoned by Schism is not known");
            tokio::select! {
                () = sleep(AGAIN) => {}
                () = ending.leave() => return,
            }
        };
        for (node, mark) in marked.into_iter().filter(|(_, mark)| !known.contains(&mark.id)) {
            if let Some(old) = over.iter().find(|one| one.id == mark.id.get()) {
                let disruption = wire::Disruption { deadline: mark.until, ..old.clone() };
                self.begin(disruption, kubernetes.clone(), Work::Undo(LATE.to_owned()));
                continue;
            }
            // Whoever leads there would find it undone before its time.
            if !mark.is_for(kubernetes.installation(), self.0.wall.now()) {
                tracing::info!(%node, id = %mark.id, of = %mark.installation, "of another Schism");
                continue;
            }
            let disruption = self.of_mark(node.to_string(), &mark);
            let (down, guards) = (Down::default(), None);
            let asked = Box::new(Asked { disruption, down, guards });
            // One that was begun meanwhile is known already.
            let word = |reply| Command::Disruption(DisruptionWord::New { asked, reply });
            if let Some(Ok(disruption)) = errand::ask(&self.0.commands, word).await {
                tracing::info!(%node, id = %mark.id, "cordoned by Schism before this life");
                self.begin(disruption, kubernetes.clone(), Work::Stand);
            }
        }
    }

    /// What a node says of itself, as it is kept.
    fn of_mark(&self, node: String, mark: &Mark) -> wire::Disruption {
        let now = self.0.wall.now();
        let total_ns = mark.until.saturating_sub(now).max(1);
        let cordon = wire::Cordon { node, total_ns, ..wire::Cordon::default() };
        let what = Some(wire::disruption_spec::What::Cordon(cordon));
        wire::Disruption {
            id: mark.id.get(),
            spec: Some(wire::DisruptionSpec { what, ..wire::DisruptionSpec::default() }),
            stage: wire::DisruptionStage::Standing.into(),
            asker: mark.asker.clone(),
            asked: now,
            deadline: mark.until,
            notes: vec!["it was found on the node".to_owned()],
            ..wire::Disruption::default()
        }
    }
}

impl Control {
    /// Writes one down, and has it done.
    ///
    /// # Errors
    /// Nothing was touched, and why.
    pub async fn disrupt(&self, undertaking: Undertaking) -> Result<Standing, ControlError> {
        let Undertaking { disruption, asked, down, guards, leaving, kubernetes } = undertaking;
        let begun = Asked { disruption, down, guards: Some(guards) };
        let begun = Box::new(begun);
        let word = |reply| Command::Disruption(DisruptionWord::New { asked: begun, reply });
        let disruption = self.ask(word).await??;
        let work = match &asked.what {
            crate::disruption::What::Removal { .. } => Work::Remove(Box::new(asked), leaving),
            crate::disruption::What::Cordon { inmates: Inmates::Stay, .. } => {
                Work::Cordon(Box::new(asked), Vec::new())
            }
            crate::disruption::What::Cordon { inmates: Inmates::Evicted(_), .. } => {
                Work::Cordon(Box::new(asked), leaving)
            }
        };
        Ok(self.disrupting().begin(disruption, kubernetes, work))
    }

    /// How one stands that was asked for before, if it was.
    ///
    /// # Errors
    /// Another request has this id.
    pub async fn known_disruption(
        &self,
        id: IntentId,
        asked: &wire::DisruptionSpec,
    ) -> Result<Option<Standing>, ControlError> {
        let Some(standing) = self.standing(id).await? else { return Ok(None) };
        if standing.borrow().spec.as_ref() != Some(asked) {
            return Err(ControlError::Conflict(id));
        }
        Ok(Some(standing))
    }

    /// How one stands that is kept, and what becomes of it.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn standing(&self, id: IntentId) -> Result<Option<Standing>, ControlError> {
        if let Some(going) = self.disrupting().find(id) {
            return Ok(Some(going.standing));
        }
        // One that is over stands as it does.
        Ok(self.disruption(id).await?.map(|known| watch::channel(known).1))
    }

    /// One that is kept.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn disruption(&self, id: IntentId) -> Result<Option<wire::Disruption>, ControlError> {
        self.ask(|reply| Command::Disruption(DisruptionWord::Find { id, reply })).await
    }

    /// Ends one and has it undone, and waits for that, but not for ever; `None` if there is none.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn end_disruption(
        &self,
        id: IntentId,
        reason: &str,
    ) -> Result<Option<wire::Disruption>, ControlError> {
        let Some(mut going) = self.disrupting().find(id) else {
            return self.disruption(id).await;
        };
        going.end.send_replace(Some(reason.to_owned()));
        // What takes longer is told as it stands.
        let _ = timeout(ENDING, going.standing.wait_for(is_over)).await;
        self.disruption(id).await
    }
}
