//! `kubectl schism`: the command line under the name `kubectl-schism`, which speaks to the API server alone. It makes
//! objects as the user of the kubeconfig, watches them, and deletes them.

mod access;
mod following;
mod line;
mod report;

use std::ffi::OsString;
use std::path::Path;

use cluster::{ApiError, Client, Name, Precondition, Reason, Selection, Within};
use fault::IntentId;

use crate::failure::{Cause, Failure};
use crate::interrupts::Interrupts;
use crate::objects::asked;
use crate::objects::resource::{ClusterFault, Fault, Kind, Object, Place};
use crate::objects::status::Phase;
use crate::outcome::Outcome;
use crate::output::Output;
use following::Following;
pub use line::Line;
use line::{Asked, Deed, Ending};
use report::FaultsReport;

/// The name under which `kubectl` finds it.
const NAME: &str = "kubectl-schism";

/// Whether this program was started as the plugin of `kubectl`.
#[must_use]
pub fn is_asked(words: &[OsString]) -> bool {
    let name = words.first().map(|word| Path::new(word).file_name());
    name.flatten().is_some_and(|name| name == NAME)
}

/// Does what was asked.
///
/// # Errors
/// It was not done, and why.
pub async fn run(line: Line) -> Result<Outcome, Failure> {
    let output = Output::new(line.format());
    let (client, namespace) = access::client(&line)?;
    match line.deed {
        Deed::PutIn(asked) => put_in(&client, &namespace, *asked, output).await,
        Deed::Heal(ending) => heal(&client, &namespace, ending, output).await,
        Deed::Status { everywhere } => {
            let within = match everywhere {
                line::Reach::Everywhere => Within::Cluster,
                line::Reach::Namespace => space(&namespace)?,
            };
            let mut all = faults(&client, &within, "cannot list faults").await?;
            // Whoever may not list those of the cluster is shown those of the namespace.
            all.extend(of_cluster(&client).await.unwrap_or_default());
            output.show(&FaultsReport::status(all))?;
            Ok(Outcome::Effective)
        }
    }
}

fn space(namespace: &str) -> Result<Within, Failure> {
    let parsed = namespace.parse().map_err(|error: cluster::NameError| {
        Failure::new(Outcome::WrongUsage, format!("cannot look into {namespace}"), error)
    });
    parsed.map(Within::Namespace)
}

async fn faults(
    client: &Client,
    within: &Within,
    attempted: &str,
) -> Result<Vec<(Kind, Object)>, Failure> {
    let all = client.list::<Fault>(within, &Selection::default()).await;
    let all = all.map_err(|error| refused(attempted, &error))?.items;
    Ok(all.into_iter().map(|one| (Kind::Fault, one.0)).collect())
}

async fn of_cluster(client: &Client) -> Result<Vec<(Kind, Object)>, ApiError> {
    let all = client.list::<ClusterFault>(&Within::Cluster, &Selection::default()).await?.items;
    Ok(all.into_iter().map(|one| (Kind::ClusterFault, one.0)).collect())
}

/// Makes an object, and stays with it to its end.
async fn put_in(
    client: &Client,
    namespace: &str,
    asked: Asked,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = asked.attempted.clone();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::caused(Cause::Other, attempted.clone(), error.to_string())
    };
    let mut interrupts = Interrupts::listen().map_err(|error| failed(&error))?;
    let mut object = asked.object(namespace, crate::cut::random()?)?;
    let kind = asked.kind();
    // What makes no sense is told before anybody is asked.
    asked::asked(kind, &object)?;
    let user = interrupts.unless(&attempted, async {
        client.who_am_i().await.map_err(|error| refused(&attempted, &error))
    });
    let user = user.await?;
    object.spec.requested_by = Some(user.username.clone());
    let place = object.place(kind);
    let made = tokio::select! {
        made = create(client, &place, &object) => made,
        _ = interrupts.next() => {
            // Nobody knows whether it was made.
            delete(client, &place, None).await.map_err(|error| refused(&attempted, &error))?;
            output.note("interrupted before anything was put in");
            return Ok(Outcome::Interrupted);
        }
    };
    let made = made.map_err(|error| refused(&attempted, &error))?;
    let id = made.intent().unwrap_or(IntentId::from_random(0));
    output.note(format!(
        "{place}, as {}: {id}, seed {}",
        fault::Legible(&user.username),
        made.seed()
    ));
    if output.is_for_names() {
        output.print(&place.name)?;
    }
    let following = Following::new(client.clone(), place, made, output);
    following.stay_to_its_end(asked.after, &mut interrupts).await
}

async fn create(client: &Client, place: &Place, object: &Object) -> Result<Object, ApiError> {
    let within = match place.kind {
        Kind::Fault => Within::Namespace(named(place.namespace.parse(), place)?),
        Kind::ClusterFault => Within::Cluster,
    };
    match place.kind {
        Kind::Fault => client.create(&within, &Fault(object.clone())).await.map(Object::from),
        Kind::ClusterFault => {
            client.create(&within, &ClusterFault(object.clone())).await.map(Object::from)
        }
    }
}

fn named<T>(name: Result<T, cluster::NameError>, place: &Place) -> Result<T, ApiError> {
    name.map_err(|error| ApiError {
        attempted: format!("name {place}"),
        cause: cluster::Cause::Malformed(error.to_string()),
    })
}

/// Deletes an object: that one, where it is known which.
async fn delete(client: &Client, place: &Place, uid: Option<&str>) -> Result<(), ApiError> {
    let (within, name) = named(place.path(), place)?;
    let that = Precondition { uid: uid.map(ToOwned::to_owned), resource_version: None };
    match place.kind {
        Kind::Fault => client.delete::<Fault>(&within, &name, &that).await,
        Kind::ClusterFault => client.delete::<ClusterFault>(&within, &name, &that).await,
    }
}

/// Deletes objects, which heals them, and waits until they are gone.
async fn heal(
    client: &Client,
    namespace: &str,
    ending: Ending,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = "cannot heal";
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, attempted, error))?;
    let mut known = faults(client, &space(namespace)?, attempted).await?;
    let named = match &ending {
        Ending::All => None,
        Ending::Named(names) => Some(names),
    };
    if let Some(names) = named {
        known.extend(of_cluster(client).await.unwrap_or_default());
        let is_there =
            |name: &Name| known.iter().any(|(_, one)| one.metadata.name == name.as_str());
        if let Some(missing) = names.iter().find(|name| !is_there(name)) {
            let reason =
                format!("namespace {namespace} has no fault {missing}, nor has the cluster");
            return Err(Failure::not_found(attempted, reason)
                .hint("`kubectl schism status` lists those that there are"));
        }
    }
    let is_meant = |object: &Object| match named {
        Some(names) => names.iter().any(|name| object.metadata.name == name.as_str()),
        None => !object.status.phase.is_final(),
    };
    let mut healed = Vec::new();
    let mut outcome = Outcome::Effective;
    for (kind, object) in known.into_iter().filter(|(_, object)| is_meant(object)) {
        let place = object.place(kind);
        let uid = object.metadata.uid.clone();
        delete(client, &place, Some(&uid)).await.map_err(|error| refused(attempted, &error))?;
        let following = Following::new(client.clone(), place, object, output);
        let last = following.gone(&mut interrupts).await?;
        outcome = outcome.worst(match last.status.phase {
            Phase::Unconfirmed | Phase::Active | Phase::Healing => Outcome::Unconfirmed,
            Phase::Pending
            | Phase::Refused
            | Phase::Healed
            | Phase::Expired
            | Phase::Failed
            | Phase::Unknown => Outcome::Effective,
        });
        healed.push((kind, last));
    }
    output.show(&FaultsReport::healed(healed).coming_to(outcome))?;
    Ok(outcome)
}

/// Why an API server did not do something, for people.
fn refused(attempted: &str, error: &ApiError) -> Failure {
    let cluster::Cause::Refused { code, reason, message, .. } = &error.cause else {
        return Failure::caused(Cause::Unreachable, attempted, &error.cause);
    };
    // Its own sentence, and not by whom it was found.
    let message =
        message.rsplit_once("denied request: ").map_or(message.as_str(), |(_, said)| said);
    let failure = |cause| Failure::caused(cause, attempted, message);
    match reason {
        Reason::Forbidden => failure(Cause::Refused),
        Reason::Unauthorized => failure(Cause::Refused).hint(error.hint()),
        Reason::Invalid => failure(Cause::WrongUsage),
        Reason::NotFound if message.contains("requested resource") => failure(Cause::Unsupported)
            .hint("this cluster knows no faults: `schism install | kubectl apply -f -` tells it of them"),
        Reason::NotFound => failure(Cause::NotFound),
        Reason::Other(_) if *code == 400 => failure(Cause::WrongUsage),
        Reason::AlreadyExists | Reason::Conflict | Reason::Expired | Reason::Other(_) => {
            failure(Cause::Unreachable)
        }
    }
}
