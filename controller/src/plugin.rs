//! `kubectl schism`: the command line under the name `kubectl-schism`, which speaks to the API server alone. It makes
//! objects as the user of the kubeconfig, watches them, and deletes them.

mod access;
pub(crate) mod asked;
mod capture;
mod disrupting;
mod following;
mod line;
pub(crate) mod pods;
mod report;

use std::ffi::OsString;
use std::path::Path;

use cluster::{ApiError, Client, Name, Selection, Within};
use fault::IntentId;

use crate::cli::RunArgs;
use crate::connect::{Absence, Choice};
use crate::disruptions::resource::Kind as Disrupted;
use crate::experiments::job::Origin;
use crate::failure::{Cause, Failure};
use crate::interrupts::Interrupts;
use crate::objects::resource::{ClusterFault, Fault, Kind, Object};
use crate::objects::status::Phase;
use crate::objects::user::{create, delete, refused};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::run::faults::Form;
use crate::run::faults::objects::Space;
use crate::run::{Reads, Where, failed, run as run_experiments, validate};
use crate::settings::Names;
use access::Reached;
use asked::Asked;
use disrupting::record;
use following::Following;
pub use line::Line;
use line::{Deed, Ending};
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
    let reached = access::reach(&line);
    let client = reached.as_ref().ok().map(|reached| reached.client.clone());
    let done = perform(line, reached, output).await;
    // A program that is asked for a login would go on for itself.
    if let Some(client) = client {
        client.end_login().await;
    }
    done
}

async fn perform(
    line: Line,
    reached: Result<Reached, Failure>,
    output: Output,
) -> Result<Outcome, Failure> {
    let way = capture::Way::from(&line);
    match line.deed {
        Deed::Capture(typed) => {
            let Reached { client, namespace, .. } = reached?;
            capture::run(&client, &namespace, *typed, &way, output).await
        }
        Deed::PutIn(asked) => put_in(&reached?, *asked, output).await,
        Deed::Disrupt(asked) => {
            let Reached { client, namespace, .. } = reached?;
            disrupting::begin(&client, &namespace, *asked, output).await
        }
        Deed::Uncordon(node) => disrupting::uncordon(&reached?.client, &node, output).await,
        Deed::Heal(ending) => {
            let Reached { client, namespace, .. } = reached?;
            heal(&client, &namespace, ending, output).await
        }
        Deed::Status { everywhere } => {
            let Reached { client, namespace, .. } = reached?;
            status(&client, &namespace, everywhere, output).await
        }
        Deed::Run(args) => experiments(&args, reached, output).await,
        Deed::Validate(args) => {
            // That takes no cluster.
            let typed = || line.namespace.unwrap_or_else(|| access::DEFAULT.to_owned());
            let namespace = reached.map_or_else(|_| typed(), |reached| reached.namespace);
            let form = Form::Object { namespace };
            validate(&args, (&Names::default(), &form), output).await
        }
    }
}

/// Shows faults.
async fn status(
    client: &Client,
    namespace: &str,
    everywhere: line::Reach,
    output: Output,
) -> Result<Outcome, Failure> {
    let within = match everywhere {
        line::Reach::Everywhere => Within::Cluster,
        line::Reach::Namespace => space(namespace)?,
    };
    let attempted = "cannot list faults";
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, attempted, error))?;
    let listed = async {
        let (mut all, others) = standing(client, &within, attempted, output).await?;
        // Whoever may not list those of the cluster is shown those of the namespace.
        all.extend(of_cluster(client).await.unwrap_or_default());
        Ok((all, others))
    };
    let (all, disruptions) = interrupts.unless_looking(attempted, listed).await?;
    let disruptions = disruptions.iter().map(|(kind, one)| record(*kind, one)).collect();
    output.show(&FaultsReport::status(all).with(disruptions))?;
    Ok(Outcome::Effective)
}

/// Runs experiments, with faults that are objects.
async fn experiments(
    args: &RunArgs,
    reached: Result<Reached, Failure>,
    output: Output,
) -> Result<Outcome, Failure> {
    let Reached { client, namespace, kubeconfig } = match reached {
        Ok(reached) => reached,
        // Whoever reads the last words of it is told as well.
        Err(failure) => return failed(args, failure, output),
    };
    let choice = Choice { socket: None, absence: Absence::Accept, typed: Vec::new() };
    let origin = origin(kubeconfig.as_deref());
    let credentials = kubeconfig.into_iter().collect();
    let place = Where {
        names: Names::default(),
        controller: None,
        space: Some(Space { client, namespace, origin }),
        choice,
        settings: None,
        reads: Reads { settings: None, credentials },
    };
    run_experiments(args, place, output).await
}

/// The pod of the Job that this command is a part of, if it is of one.
fn origin(kubeconfig: Option<&Path>) -> Option<Origin> {
    match kubeconfig {
        None => Origin::read(|name| std::env::var(name).ok()),
        // It may lead to another cluster, in which nothing goes with a pod of this one.
        Some(_) => None,
    }
}

fn space(namespace: &str) -> Result<Within, Failure> {
    let parsed = namespace.parse().map_err(|error: cluster::NameError| {
        Failure::new(Outcome::WrongUsage, format!("cannot look into {namespace}"), error)
    });
    parsed.map(Within::Namespace)
}

/// Faults, and disruptions beside them. Who may have pods go need not be let look at faults, and is told so.
async fn standing(
    client: &Client,
    within: &Within,
    attempted: &str,
    output: Output,
) -> Result<(Vec<(Kind, Object)>, disrupting::List), Failure> {
    let others = disrupting::standing(client, within).await;
    match faults(client, within, attempted).await {
        Err(failure) if failure.cause == Cause::Refused && !others.is_empty() => {
            output.note(format!("note: faults are left out: {}", failure.reason));
            Ok((Vec::new(), others))
        }
        known => Ok((known?, others)),
    }
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
async fn put_in(reached: &Reached, asked: Asked, output: Output) -> Result<Outcome, Failure> {
    let Reached { client, namespace, kubeconfig } = reached;
    let attempted = asked.attempted.clone();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::caused(Cause::Other, attempted.clone(), error.to_string())
    };
    let mut interrupts = Interrupts::listen().map_err(|error| failed(&error))?;
    let mut object = asked.object(namespace, crate::cut::random()?)?;
    let kind = asked.kind();
    // What makes no sense is told before anybody is asked.
    crate::objects::asked::asked(kind, &object)?;
    let user = interrupts.unless(&attempted, async {
        client.who_am_i().await.map_err(|error| refused(&attempted, &error))
    });
    let user = user.await?;
    object.spec.requested_by = Some(user.username.clone());
    // It may be a program of an experiment, and what that has put in goes with it.
    if let Some(origin) = origin(kubeconfig.as_deref()) {
        origin.mark(&mut object.metadata);
    }
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
    let id = made.id().unwrap_or(IntentId::from_random(0));
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

/// Deletes objects, which heals or undoes them, and waits until they are gone.
async fn heal(
    client: &Client,
    namespace: &str,
    ending: Ending,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = "cannot heal";
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, attempted, error))?;
    let within = space(namespace)?;
    let listed = standing(client, &within, attempted, output);
    let (mut known, others) = interrupts.unless_looking(attempted, listed).await?;
    let named = match &ending {
        Ending::All => None,
        Ending::Named(names) => Some(names),
    };
    if let Some(names) = named {
        known.extend(of_cluster(client).await.unwrap_or_default());
        let is_there = |name: &Name| {
            known.iter().any(|(_, one)| one.metadata.name == name.as_str())
                || others.iter().any(|(_, one)| one.metadata.name == name.as_str())
        };
        if let Some(missing) = names.iter().find(|name| !is_there(name)) {
            let reason = format!(
                "neither namespace {namespace} nor the cluster has a fault or a disruption {missing}"
            );
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
    let is_meant = |(kind, object): &(Disrupted, disrupting::Object)| match named {
        Some(names) => names.iter().any(|name| object.metadata.name == name.as_str()),
        // As of faults, none of the cluster is of the namespace.
        None => *kind == Disrupted::Disruption && !object.status.phase.is_final(),
    };
    let mut undone = Vec::new();
    for one in others.into_iter().filter(is_meant) {
        let ((kind, last), own) = disrupting::end(client, one, output, &mut interrupts).await?;
        outcome = outcome.worst(own);
        undone.push(record(kind, &last));
    }
    output.show(&FaultsReport::healed(healed).with(undone).coming_to(outcome))?;
    Ok(outcome)
}
