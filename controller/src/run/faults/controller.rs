//! Faults of a run that a controller holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use experiment::model::FaultLabel;
use experiment::run::{Effect, Event};
use fault::{IntentId, Selector, Status};
use proto::control as wire;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Standing;
use super::effect;
use super::words::Typed;
use crate::control::is_over;
use crate::failure::{Cause, Failure};
use crate::fleet;
use crate::fleet::client::Client;
use crate::output::Output;
use crate::settings::{Controller, Names};
use crate::spec::Spec;

type Labels = Arc<Mutex<HashMap<u64, FaultLabel>>>;

/// A controller, which renews what a run leaves to it until its deadline.
pub(super) struct AtController {
    client: Client,
    labels: Labels,
}

fn lock(labels: &Labels) -> MutexGuard<'_, HashMap<u64, FaultLabel>> {
    labels.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AtController {
    pub(super) async fn open(
        place: &Controller,
        events: mpsc::UnboundedSender<Event>,
        output: Output,
    ) -> Result<Self, Failure> {
        let mut client = fleet::connect(place, output).await?;
        let labels = Labels::default();
        let (mut told, known) = (client.watch().await?, Arc::clone(&labels));
        tokio::spawn(async move {
            while let Ok(Some(event)) = told.message().await {
                let Some(wire::event::Kind::Intent(intent)) = event.kind else { continue };
                if !is_over(&intent) {
                    continue;
                }
                let Some(label) = lock(&known).remove(&intent.id) else { continue };
                // The run may be over, too.
                let _ = events.send(Event::FaultEnded(label, effect::of(&statuses(intent))));
            }
        });
        Ok(Self { client, labels })
    }

    pub(super) async fn begin(
        &self,
        label: FaultLabel,
        typed: Typed,
        names: &Names,
        standing: &mut Option<Standing>,
    ) -> Result<Value, Failure> {
        let attempted = format!("cannot put in `{label}`");
        let spec = spec(typed, names)?;
        let id = IntentId::from_random(crate::cut::random()?).get();
        lock(&self.labels).insert(id, label);
        // From here on something of it may be there.
        *standing = Some(Standing::Controller(id));
        let applied = self.client.clone().apply(&attempted, id, (&spec).into()).await;
        let forget = || lock(&self.labels).remove(&id);
        match applied {
            Ok(intent) if intent.stage() == wire::Stage::Active || is_over(&intent) => {
                let reason = intent.reason.clone();
                let failed = intent.stage() == wire::Stage::Failed;
                let shown = IntentId::from_random(id).to_string();
                let faults = serde_json::to_value(statuses(intent)).unwrap_or_default();
                if failed {
                    forget();
                    *standing = None;
                    return Err(Failure::caused(Cause::Refused, attempted, reason));
                }
                Ok(json!({"id": shown, "faults": faults}))
            }
            Ok(intent) => Err(Failure::caused(Cause::Unreachable, attempted, intent.reason)),
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

    pub(super) async fn heal(&self, id: u64) -> Result<Effect, Failure> {
        match self.client.clone().heal(vec![id], false).await {
            Ok(healed) => {
                let intent = healed.into_iter().find(|intent| intent.id == id);
                let Some(intent) = intent else { return Ok(Effect::default()) };
                if intent.stage() == wire::Stage::Unconfirmed {
                    let attempted = "cannot confirm the heal";
                    return Err(Failure::caused(Cause::Unreachable, attempted, intent.reason));
                }
                Ok(effect::of(&statuses(intent)))
            }
            Err(failure) if failure.cause == Cause::NotFound => Ok(Effect::default()),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn effect(&self, id: u64) -> Result<Effect, Failure> {
        let intents = self.client.clone().list().await?;
        let own = intents.into_iter().find(|intent| intent.id == id);
        Ok(own.map_or_else(Effect::default, |intent| effect::of(&statuses(intent))))
    }

    pub(super) async fn targets(&self, selector: &Selector) -> Result<Vec<String>, Failure> {
        let ends = self.client.clone().resolve(selector).await?;
        Ok(fleet::names(ends))
    }
}

/// What is asked of a controller.
///
/// # Errors
/// It makes no sense.
pub(crate) fn spec(typed: Typed, names: &Names) -> Result<Spec, Failure> {
    Ok(match typed {
        Typed::Cut(args) => fleet::cut::spec(&args, names)?.1,
        Typed::Within(asked) => fleet::processes::spec(asked)?.1,
    })
}

/// The last that was heard of each part.
pub(crate) fn statuses(intent: wire::Intent) -> Vec<Status> {
    intent.parts.into_iter().filter_map(|part| Status::try_from(part.status?).ok()).collect()
}
