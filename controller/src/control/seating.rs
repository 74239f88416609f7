//! Who sees to pods that go and come while a fault is about them: one task for each intent that acts.
//!
//! What the API server tells says when to look; who sits where is decided in `seats`. What is gone leaves first, before
//! anybody is asked for anything: its address may be somebody else's at any time.

mod guarding;
mod pass;
mod word;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fault::{IntentId, Limits, Selector};
use futures_util::future::select_all;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::clusters::Clusters;
use super::driver::amending::Amendment;
use super::handle::{Command, Means};
use super::intent::{Intent, on_restart};
use super::seats::{self, Seat};
use crate::agents::Agents;
use crate::pause;
use crate::provider::kubernetes::{Attention, Expected, Kubernetes, Stirred};
use crate::sequence::Stage;
use crate::sight::GroupName;
use crate::spec::{OnRestart, Spec};

/// How long what is told is gathered: a pod that is made anew is several changes.
const GATHERED: Duration = Duration::from_millis(10);
/// The first wait after something could not be done, and the longest.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_AT_MOST: Duration = Duration::from_secs(2);

/// How long what comes in is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Those who see to intents.
pub(super) struct Keepers {
    clusters: Clusters,
    limits: Limits,
    agents: Agents,
    commands: mpsc::WeakSender<Command>,
    /// `None` for an intent that is about no pods.
    running: HashMap<IntentId, Option<Keeper>>,
}

struct Keeper {
    task: AbortHandle,
    nudged: Arc<Notify>,
    /// How many of its parts have gone with their pods.
    gone: usize,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keepers {
    pub(super) fn new(means: &Means, agents: Agents, commands: mpsc::WeakSender<Command>) -> Self {
        let (clusters, limits) = (means.clusters.clone(), means.limits);
        Self { clusters, limits, agents, commands, running: HashMap::new() }
    }

    /// Has an intent seen to as long as it acts.
    pub(super) fn mind(&mut self, intent: &Intent) {
        if intent.sequence.stage() != Stage::Active {
            self.running.remove(&intent.id);
            return;
        }
        if let Some(known) = self.running.get_mut(&intent.id) {
            if let Some(keeper) = known {
                let parts = intent.sequence.parts().iter();
                let gone = parts.filter(|part| part.gone_with_its_pod().is_some()).count();
                if gone > keeper.gone {
                    keeper.nudged.notify_one();
                }
                keeper.gone = gone;
            }
            return;
        }
        let keeper = self.keeper(intent);
        self.running.insert(intent.id, keeper);
    }

    fn keeper(&self, intent: &Intent) -> Option<Keeper> {
        let kubernetes = self.clusters.kubernetes()?.clone();
        let on_restart = on_restart(&intent.spec)?;
        let spec = Spec::try_from(intent.spec.clone()).ok()?;
        let watched = seats::watched(&intent.ends);
        if watched.is_empty() {
            return None;
        }
        let nudged = Arc::new(Notify::new());
        let attendant = Attendant {
            id: intent.id,
            spec,
            on_restart,
            kubernetes,
            clusters: self.clusters.clone(),
            limits: self.limits,
            agents: self.agents.clone(),
            commands: self.commands.clone(),
            told: Vec::new(),
            groups: BTreeMap::new(),
            apart: Vec::new(),
        };
        let task = tokio::spawn(attendant.run(watched, Arc::clone(&nudged)));
        Some(Keeper { task: task.abort_handle(), nudged, gone: 0 })
    }
}

/// Who sees to one intent.
struct Attendant {
    id: IntentId,
    spec: Spec,
    on_restart: OnRestart,
    kubernetes: Kubernetes,
    /// By these the guards are asked.
    clusters: Clusters,
    limits: Limits,
    agents: Agents,
    commands: mpsc::WeakSender<Command>,
    /// What was told already, so that it is told once.
    told: Vec<String>,
    /// Of which groups the pods at its ends are, as far as that was asked for.
    groups: BTreeMap<usize, BTreeSet<GroupName>>,
    /// Those whose pods are watched by themselves: they are asked for, as others may be told later of what is told there.
    apart: Vec<Selector>,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// All is as it should be.
    Settled,
    /// Something could not be done: it is tried again.
    Again,
    /// The intent is over.
    Over,
}

/// What a selector names, and who tells of it; `None` until it is watched.
struct Watched {
    selector: Selector,
    attention: Option<Attention>,
}

impl Attendant {
    async fn run(mut self, selectors: Vec<Selector>, nudged: Arc<Notify>) {
        let one = |selector| Watched { selector, attention: None };
        let mut watched: Vec<Watched> = selectors.into_iter().map(one).collect();
        let mut wait = AGAIN;
        loop {
            let unwatched = self.attend(&mut watched).await;
            let pass = self.pass(&watched).await;
            if pass == Pass::Over {
                return;
            }
            let again = unwatched || pass == Pass::Again;
            wait = if again { (wait * 2).min(AGAIN_AT_MOST) } else { AGAIN };
            // Others see to theirs at the same API server.
            let at = Instant::now() + pause::spread(wait / 2, pause::lot());
            tokio::select! {
                () = nudged.notified() => {}
                () = self.stirred(&mut watched) => {}
                () = tokio::time::sleep_until(at), if again => {}
            }
            let gathered = Instant::now() + GATHERED;
            while tokio::time::timeout_at(gathered, self.stirred(&mut watched)).await.is_ok() {}
        }
    }

    /// Begins to watch what is not watched yet; whether something of it still is not.
    async fn attend(&mut self, watched: &mut [Watched]) -> bool {
        if watched.iter().all(|one| one.attention.is_some()) {
            return false;
        }
        let Some((intent, _)) = self.look().await else { return false };
        let seats = Seat::all(&intent.ends);
        let mut unwatched = false;
        for one in watched.iter_mut().filter(|one| one.attention.is_none()) {
            let fault::Scheme::Kubernetes(pods) = &one.selector.scheme else { continue };
            let taken = seats.iter().filter(|seat| !seat.vacant && seat.selector == one.selector);
            let expected: Vec<Expected> =
                taken.map(|seat| (seat.uid.as_str().to_owned(), seat.addresses.clone())).collect();
            match self.kubernetes.attend(pods, &expected).await {
                Ok(attention) => {
                    if attention.is_of_its_own() {
                        self.apart.push(one.selector.clone());
                    }
                    one.attention = Some(attention);
                }
                Err(error) => {
                    unwatched = true;
                    // It is tried again as long as the fault acts: what is gone may stay gone.
                    let what = format!("{} is not watched: {error}", one.selector);
                    if !self.told.contains(&what) {
                        tracing::warn!(intent = %self.id, what, "pods");
                        self.told.push(what);
                    }
                }
            }
        }
        unwatched
    }

    /// Waits until something has changed of what is watched.
    async fn stirred(&mut self, watched: &mut [Watched]) {
        loop {
            let all: Vec<_> = watched
                .iter_mut()
                .filter_map(|one| one.attention.as_mut())
                .map(|attention| Box::pin(attention.stirred()))
                .collect();
            if all.is_empty() {
                return std::future::pending().await;
            }
            match select_all(all).await.0 {
                Stirred::Changed => return,
                Stirred::Trouble(error) => {
                    let what = format!("what is known of pods may be old: {error}");
                    if !self.told.contains(&what) {
                        tracing::warn!(intent = %self.id, what, "pods");
                        self.told.push(what);
                    }
                }
            }
        }
    }

    /// The intent as it is, and how much is left of it; `None` where it does not act any more.
    async fn look(&self) -> Option<(Box<Intent>, Duration)> {
        let (reply, answer) = oneshot::channel();
        let id = self.id;
        self.commands.upgrade()?.send(Command::Look { id, reply }).await.ok()?;
        answer.await.ok()?
    }

    /// Has the intent changed, and waits until what was to come in has, or has not; not for long.
    async fn amend(&self, amendment: Amendment) -> Option<()> {
        let (reply, answer) = oneshot::channel();
        let (id, amendment) = (self.id, Box::new(amendment));
        self.commands.upgrade()?.send(Command::Amend { id, amendment, reply }).await.ok()?;
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.ok(),
            // It comes in or it does not: others may go meanwhile.
            Err(_) => Some(()),
        }
    }
}
