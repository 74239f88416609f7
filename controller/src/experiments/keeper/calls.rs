//! What is asked of the API server and of the runs, one call each.

use cluster::{ApiError, Client, ConfigMap, Job, Reason};
use experiment::line::Asked;
use fault::IntentId;
use proto::control as wire;
use serde_json::json;

use crate::control::ControlError;
use crate::experiments::job::{Plan, is_of};
use crate::experiments::resource::{Object, Place};
use crate::failure::{Cause, Failure};
use crate::fleet::client;
use crate::keeping::{Passing, Refusal, cannot};
use crate::runs::{Runs, RunsError};
use crate::serve::running;

/// What runs an experiment from now on.
pub(super) enum Begun {
    /// The controller.
    Run(Box<wire::Run>),
    /// A Job.
    Job(Box<Job>),
}

/// Begins what an object asks for. The same object again has the same answer.
pub(super) async fn begin(
    runs: Runs,
    place: Place,
    object: Object,
    (id, asked): (IntentId, Asked),
) -> Result<Begun, Box<Refusal>> {
    let (asker, of) = (object.asker(&place), object.wire(place.kind));
    let begun = runs.begin_of(id, asked, &asker, of).await;
    begun.map(|run| Begun::Run(Box::new(run))).map_err(|error| {
        let mut refusal = no(&place, &error);
        if let RunsError::Busy | RunsError::Share(_) = error {
            // Others go on, and come to their ends.
            let taken = runs.taken_by(&place.namespace);
            refusal.passing = Passing::Always(format!("it waits for a place: {error}; {taken}"));
        }
        refusal
    })
}

fn no(place: &Place, error: &RunsError) -> Box<Refusal> {
    let failure = client::failure(&cannot(place), &running::refuse(error));
    Box::new(Refusal { passing: passes(error), failure })
}

/// Makes the Job that an object asks for. The same object again has the same answer.
pub(super) async fn make(
    (client, runs): (Client, Runs),
    place: Place,
    object: Object,
    (id, plan): (IntentId, Plan),
) -> Result<Begun, Box<Refusal>> {
    let made = made((&client, &runs), &place, &object, (id, &plan)).await?;
    Ok(Begun::Job(Box::new(made)))
}

async fn made(
    (client, runs): (&Client, &Runs),
    place: &Place,
    object: &Object,
    (id, plan): (IntentId, &Plan),
) -> Result<Job, Box<Refusal>> {
    let Plan { within, name, config, job } = plan;
    let failed = |error: ApiError| {
        let passing = if error.is_passing() { Passing::Soon } else { Passing::Never };
        let cause = match error.reason() {
            Some(Reason::Forbidden | Reason::AlreadyExists) => Cause::Refused,
            Some(Reason::Invalid) => Cause::WrongUsage,
            Some(_) | None => Cause::Unreachable,
        };
        Box::new(Refusal { passing, failure: Failure::caused(cause, cannot(place), error) })
    };
    let taken = || {
        let reason = format!("somebody else has made {name}{within}");
        let failure = Failure::caused(Cause::Refused, cannot(place), reason);
        Box::new(Refusal { passing: Passing::Never, failure })
    };
    // Nothing is done that nobody can look up.
    let what = format!("Job {name}{within}");
    runs.note(id, &object.asker(place), what).await.map_err(|error| no(place, &error))?;
    if let Err(error) = client.create(within, config).await {
        let there = other(error, client.get::<ConfigMap>(within, name)).await.map_err(failed)?;
        // Nobody else's experiment is run as somebody's account.
        let is_it = there.data == config.data && there.immutable == config.immutable;
        if !is_of(&there.metadata, object) || !is_it {
            return Err(taken());
        }
    }
    match client.create(within, job).await {
        Ok(made) => Ok(made),
        Err(error) => {
            let there = other(error, client.get::<Job>(within, name)).await.map_err(failed)?;
            if !is_of(&there.metadata, object) {
                return Err(taken());
            }
            Ok(there)
        }
    }
}

/// What is there where something could not be made because of that.
async fn other<R>(
    error: ApiError,
    get: impl Future<Output = Result<R, ApiError>>,
) -> Result<R, ApiError> {
    match error.reason() {
        Some(Reason::AlreadyExists) => get.await,
        Some(_) | None => Err(error),
    }
}

/// Has the pod of a Job end as by a signal, and none come after it.
pub(super) async fn suspend(client: &Client, plan: &Plan) -> Result<(), ApiError> {
    let patch = json!({ "spec": { "suspend": true } });
    client.merge::<Job>(&plan.within, &plan.name, &patch).await.map(drop)
}

const fn passes(error: &RunsError) -> Passing {
    match error {
        RunsError::Busy
        | RunsError::Share(_)
        | RunsError::Archive(_)
        | RunsError::GoesOn(_)
        | RunsError::Control(ControlError::Store(_) | ControlError::Ending) => Passing::Soon,
        RunsError::Control(
            ControlError::Record(_)
            | ControlError::Conflict(_)
            | ControlError::Forgotten(_)
            | ControlError::Unknown(_)
            | ControlError::Halted(_)
            | ControlError::Unkept(_)
            | ControlError::Admit(_)
            | ControlError::Gap { .. },
        )
        | RunsError::Invalid(_)
        | RunsError::Line(_)
        | RunsError::TooLong { .. }
        | RunsError::OwesNothing(_) => Passing::Never,
    }
}
