//! What is asked of the API server and of the runs, one call each.

use cluster::{ApiError, Cause, Client, ConfigMap, Job, NameError, Reason};
use experiment::line::Asked;
use fault::IntentId;
use proto::control as wire;
use serde_json::{Value, json};

use crate::control::ControlError;
use crate::experiments::job::{Plan, is_of};
use crate::experiments::resource::{ClusterExperiment, Experiment, Kind, Object, Place};
use crate::experiments::status::{Phase, Status};
use crate::failure::{self, Failure};
use crate::fleet::client;
use crate::objects::resource::FINALIZER;
use crate::runs::{Runs, RunsError};
use crate::serve::running;

/// What came of a call.
pub(super) enum Done {
    /// An object was to be held, or let go of.
    Changed { place: Place, uid: String, result: Result<Object, ApiError> },
    /// Its status was to be written, where another phase was told before.
    Told {
        place: Place,
        uid: String,
        before: Phase,
        status: Box<Status>,
        result: Result<Object, ApiError>,
    },
    /// It was to be run, first tried since then (Unix time, ns).
    Begun { place: Place, uid: String, since: u64, result: Result<Begun, Box<(Passing, Failure)>> },
    /// A run was to end: what became of it is told by the driver.
    Ended,
    /// An object was to be told.
    Mentioned,
    /// A Job was to end: what became of it its pod tells.
    Suspended { place: Place, uid: String, result: Result<(), ApiError> },
}

/// What runs an experiment from now on.
pub(super) enum Begun {
    /// The controller.
    Run(Box<wire::Run>),
    /// A Job.
    Job(Box<Job>),
}

/// Which part of an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Object,
    Status,
}

/// Has an object wait for its run.
pub(super) async fn hold(client: Client, place: Place, object: Object) -> Done {
    let mut finalizers = object.metadata.finalizers.clone();
    finalizers.push(FINALIZER.to_owned());
    keep(client, place, object, finalizers).await
}

/// Has it wait no longer.
pub(super) async fn release(client: Client, place: Place, object: Object) -> Done {
    let mut finalizers = object.metadata.finalizers.clone();
    finalizers.retain(|one| one != FINALIZER);
    keep(client, place, object, finalizers).await
}

async fn keep(client: Client, place: Place, object: Object, finalizers: Vec<String>) -> Done {
    let finalizers = json!({ "finalizers": finalizers });
    let patch = json!({ "metadata": of_that_state(&object, finalizers) });
    let result = change(&client, &place, &patch, Part::Object).await;
    Done::Changed { place, uid: object.metadata.uid, result }
}

/// Writes its status, where this was its phase before.
pub(super) async fn tell(
    client: Client,
    place: Place,
    object: Object,
    before: Phase,
    status: Box<Status>,
) -> Done {
    let written = serde_json::to_value(&status).unwrap_or_default();
    let patch = json!({ "metadata": of_that_state(&object, json!({})), "status": all_of(written) });
    let result = change(&client, &place, &patch, Part::Status).await;
    Done::Told { place, uid: object.metadata.uid, before, status, result }
}

/// What a status may have said before, and does not say any more: a run that is taken over goes on.
const PASSING: [&str; 9] =
    ["part", "endedAt", "deviated", "reasons", "owes", "owed", "message", "exitCode", "journal"];

/// A status as it is written.
fn all_of(mut status: Value) -> Value {
    for key in PASSING {
        if status.get(key).is_none() {
            status[key] = Value::Null;
        }
    }
    status
}

/// What changes an object in the very state that is known, and no later one of its name.
fn of_that_state(object: &Object, mut metadata: Value) -> Value {
    metadata["resourceVersion"] = object.metadata.resource_version.clone().into();
    metadata
}

async fn change(
    client: &Client,
    place: &Place,
    patch: &Value,
    part: Part,
) -> Result<Object, ApiError> {
    let failed = |error: NameError| ApiError {
        attempted: format!("change {place}"),
        cause: Cause::Malformed(error.to_string()),
    };
    let (within, name) = place.path().map_err(failed)?;
    match (place.kind, part) {
        (Kind::Experiment, Part::Object) => {
            client.merge::<Experiment>(&within, &name, patch).await.map(Object::from)
        }
        (Kind::Experiment, Part::Status) => {
            client.merge_status::<Experiment>(&within, &name, patch).await.map(Object::from)
        }
        (Kind::ClusterExperiment, Part::Object) => {
            client.merge::<ClusterExperiment>(&within, &name, patch).await.map(Object::from)
        }
        (Kind::ClusterExperiment, Part::Status) => {
            client.merge_status::<ClusterExperiment>(&within, &name, patch).await.map(Object::from)
        }
    }
}

/// Begins what an object asks for. The same object again has the same answer.
pub(super) async fn begin(
    runs: Runs,
    place: Place,
    object: Object,
    (id, asked): (IntentId, Asked),
    since: u64,
) -> Done {
    let (asker, of) = (object.asker(&place), object.wire(place.kind));
    let begun = runs.begin_of(id, asked, &asker, of).await;
    let result = begun.map(|run| Begun::Run(Box::new(run))).map_err(|error| no(&place, &error));
    Done::Begun { place, uid: object.metadata.uid, since, result }
}

fn no(place: &Place, error: &RunsError) -> Box<(Passing, Failure)> {
    let attempted = format!("cannot run what {place} asks for");
    Box::new((passes(error), client::failure(&attempted, &running::refuse(error))))
}

/// Makes the Job that an object asks for. The same object again has the same answer.
pub(super) async fn make(
    (client, runs): (Client, Runs),
    place: Place,
    object: Object,
    (id, plan): (IntentId, Plan),
    since: u64,
) -> Done {
    let result = made((&client, &runs), &place, &object, (id, &plan)).await;
    let result = result.map(|job| Begun::Job(Box::new(job)));
    Done::Begun { place, uid: object.metadata.uid, since, result }
}

async fn made(
    (client, runs): (&Client, &Runs),
    place: &Place,
    object: &Object,
    (id, plan): (IntentId, &Plan),
) -> Result<Job, Box<(Passing, Failure)>> {
    let Plan { within, name, config, job } = plan;
    let attempted = || format!("cannot run what {place} asks for");
    let failed = |error: ApiError| {
        let passing = if error.is_passing() { Passing::Soon } else { Passing::Never };
        let cause = match error.reason() {
            Some(Reason::Forbidden | Reason::AlreadyExists) => failure::Cause::Refused,
            Some(Reason::Invalid) => failure::Cause::WrongUsage,
            Some(_) | None => failure::Cause::Unreachable,
        };
        Box::new((passing, Failure::caused(cause, attempted(), error)))
    };
    let taken = || {
        let reason = format!("somebody else has made {name}{within}");
        Box::new((Passing::Never, Failure::caused(failure::Cause::Refused, attempted(), reason)))
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
pub(super) async fn suspend(client: Client, place: Place, object: Object, plan: Plan) -> Done {
    let patch = json!({ "spec": { "suspend": true } });
    let result = client.merge::<Job>(&plan.within, &plan.name, &patch).await.map(drop);
    Done::Suspended { place, uid: object.metadata.uid, result }
}

/// Ends a run in rollback.
pub(super) async fn end(runs: Runs, id: IntentId, reason: String) -> Done {
    runs.end_of(id, &reason).await;
    Done::Ended
}

/// Whether a run may begin a little later, without anybody changing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    /// Others go on, and come to their ends.
    Always,
    /// It is a matter of moments, or of somebody who repairs something.
    Soon,
    /// It may not.
    Never,
}

const fn passes(error: &RunsError) -> Passing {
    match error {
        RunsError::Busy => Passing::Always,
        RunsError::Archive(_)
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
