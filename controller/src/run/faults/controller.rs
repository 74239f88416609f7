//! Faults of a run that a controller holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use experiment::model::FaultLabel;
use experiment::run::{Effect, Event, Healing, NamedFault};
use fault::{Aspect, Selector, Status};
use futures_util::StreamExt as _;
use proto::control as wire;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tonic::Streaming;

use super::super::logs::Telling;
use super::acting;
use super::effect;
use super::telling::Teller;
use super::words::Typed;
use super::{Standing, ended, id};
use crate::control::is_over;
use crate::failure::{Cause, Failure};
use crate::fleet;
use crate::fleet::client::{Client, LOG};
use crate::log::Wanted;
use crate::output::Output;
use crate::settings::{Controller, Names};
use crate::spec::Spec;

/// How long a controller may be gone before its faults are lost to the run (15 s, a lease).
const LOST: Duration = Duration::from_secs(15);
/// How long an attempt to reach it may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// From one attempt to the next.
const AGAIN: Duration = Duration::from_millis(500);

type Labels = Arc<Mutex<HashMap<u64, FaultLabel>>>;

/// A controller, which renews what a run leaves to it until its deadline.
pub(super) struct AtController {
    place: Controller,
    client: Client,
    labels: Labels,
}

fn lock(labels: &Labels) -> MutexGuard<'_, HashMap<u64, FaultLabel>> {
    labels.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AtController {
    pub(super) async fn open(
        place: &Controller,
        teller: Teller,
        output: Output,
    ) -> Result<Self, Failure> {
        let mut client = fleet::connect(place, output).await?;
        let labels = Labels::default();
        let told = client.watch().await?;
        let watch = Watch { place: place.clone(), labels: Arc::clone(&labels), teller, output };
        tokio::spawn(watch.follow(told));
        Ok(Self { place: place.clone(), client, labels })
    }

    /// The controller: another connection to it, where the first one is lost.
    async fn client(&self) -> Result<Client, Failure> {
        let mut client = self.client.clone();
        match client.describe().await {
            // What a connection that is closed says has no cause of its own.
            Err(failure) if matches!(failure.cause, Cause::Unreachable | Cause::Other) => {
                Client::open(&self.place).await
            }
            Ok(_) | Err(_) => Ok(client),
        }
    }

    pub(super) async fn begin(
        &self,
        fault: &NamedFault,
        typed: Typed,
        names: &Names,
        standing: &mut Option<Standing>,
    ) -> Result<Value, Failure> {
        let attempted = format!("cannot put in `{}`", fault.label);
        let spec = spec(typed, names)?;
        let id = id(fault.key).get();
        lock(&self.labels).insert(id, fault.label.clone());
        // From here on something of it may be there.
        *standing = Some(Standing::Controller(id));
        let applied = match self.client().await {
            Ok(mut client) => client.apply(&attempted, id, (&spec).into()).await,
            Err(failure) => Err(failure),
        };
        let forget = || lock(&self.labels).remove(&id);
        match applied {
            Ok(intent) if intent.stage() == wire::Stage::Active || is_over(&intent) => {
                let failed = intent.stage() == wire::Stage::Failed;
                if failed {
                    // What could not be taken out again is asked for once more, and told.
                    if fleet::unconfirmed(&intent).is_none() {
                        forget();
                        *standing = None;
                    }
                    let refused = Failure::caused(Cause::Refused, attempted, intent.reason);
                    return Err(refused.hint(intent.hint));
                }
                Ok(fleet::record(&intent))
            }
            Ok(intent) => {
                let failure = Failure::caused(Cause::Unreachable, attempted, intent.reason);
                Err(failure.hint(intent.hint))
            }
            Err(failure) => {
                let refused =
                    matches!(failure.cause, Cause::Refused | Cause::WrongUsage | Cause::NotFound);
                if refused {
                    forget();
                    *standing = None;
                }
                Err(failure)
            }
        }
    }

    pub(super) async fn heal(&self, id: u64) -> Result<Healing, Failure> {
        let nothing = || Healing::Out(Effect::default());
        match self.client().await?.heal(vec![id], false).await {
            Ok(healed) => {
                let intent = healed.iter().find(|intent| intent.id == id);
                Ok(intent.map_or_else(nothing, ended::healing_of))
            }
            Err(failure) if failure.cause == Cause::NotFound => Ok(nothing()),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn effect(&self, id: u64) -> Result<Effect, Failure> {
        let intents = self.client().await?.list().await?;
        let own = intents.into_iter().find(|intent| intent.id == id);
        Ok(own.map_or_else(Effect::default, |intent| effect::of_intent(&intent)))
    }

    pub(super) async fn statuses(&self) -> Result<Vec<Status>, Failure> {
        let intents = self.client.clone().list().await?;
        Ok(acting::living(&intents))
    }

    /// What targets write, as their agents read it for the controller.
    pub(super) async fn logs(
        &self,
        selectors: &[Selector],
        since: Vec<wire::TargetLog>,
        (wanted, seed): (Wanted, u64),
    ) -> Result<Telling, Failure> {
        let pieces = self.client().await?.read_log(selectors, since, (wanted, seed)).await?;
        let said = |status| fleet::client::failure(LOG, &status).text();
        Ok(Box::pin(pieces.map(move |piece| piece.map_err(said))))
    }

    pub(super) async fn targets(
        &self,
        selectors: &[(Selector, Aspect)],
        seed: u64,
    ) -> Result<Vec<String>, Failure> {
        let mut client = self.client().await?;
        let mut names = Vec::new();
        for (selector, aspect) in selectors {
            let found = fleet::names(client.resolve(selector, *aspect, seed).await?).into_iter();
            let new: Vec<String> = found.filter(|name| !names.contains(name)).collect();
            names.extend(new);
        }
        Ok(names)
    }
}

/// Whoever hears of the ends of faults, also over the death of the controller: agents hold them meanwhile,
/// and its next life tells of them.
struct Watch {
    place: Controller,
    labels: Labels,
    teller: Teller,
    output: Output,
}

impl Watch {
    async fn follow(self, mut told: Streaming<wire::Event>) {
        loop {
            while let Ok(Some(event)) = told.message().await {
                if let Some(wire::event::Kind::Intent(intent)) = event.kind {
                    self.hear(intent);
                }
            }
            match self.again().await {
                Some(again) => told = again,
                None => return,
            }
        }
    }

    fn hear(&self, intent: wire::Intent) {
        if !is_over(&intent) {
            return;
        }
        let Some(label) = lock(&self.labels).remove(&intent.id) else { return };
        for event in ended::over_of(&label, &intent) {
            self.teller.tell(&label, event);
        }
    }

    /// The next connection. What cannot be asked for as long as a lease may have ended is told as lost.
    async fn again(&self) -> Option<Streaming<wire::Event>> {
        self.output.note("the connection to the controller is lost; asking again");
        let mut until = Some(Instant::now() + LOST);
        while !self.teller.is_closed() {
            if let Ok(Ok(told)) = timeout(PATIENCE, self.ask()).await {
                self.output.note("the controller answers again");
                return Some(told);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                until = None;
                for label in lock(&self.labels).values() {
                    let why = "the connection to the controller is lost".to_owned();
                    self.teller.tell(label, Event::FaultLost(label.clone(), why));
                }
            }
            sleep(AGAIN).await;
        }
        None
    }

    async fn ask(&self) -> Result<Streaming<wire::Event>, Failure> {
        let mut client = Client::open(&self.place).await?;
        // What happened from here on is told; what happened before is asked for.
        let told = client.watch().await?;
        client.list().await?.into_iter().for_each(|intent| self.hear(intent));
        Ok(told)
    }
}

/// What is asked of a controller.
///
/// # Errors
/// It makes no sense.
pub(crate) fn spec(typed: Typed, names: &Names) -> Result<Spec, Failure> {
    Ok(match typed {
        Typed::Cut(args) => fleet::cut::spec(&args, names)?.1,
        Typed::Within(asked) | Typed::Replacing(asked) => fleet::processes::spec(asked)?.1,
    })
}
