//! What is asked of the API server for such objects: to make one, to delete it, and what becomes of it.

use std::time::Duration;

use cluster::{ApiError, Cause as Why, Client, NameError, Precondition, Selection, Within};
use fault::NodeName;

use super::Asked;
use super::following::Following;
use super::report::record;
use crate::disruptions::asked::asked;
use crate::disruptions::resource::{ClusterDisruption, Disruption, Kind, Object, OfKind, Place};
use crate::disruptions::status::Phase;
use crate::failure::Failure;
use crate::fleet::disrupted::DisruptionReport;
use crate::interrupts::{Interrupts, interrupted};
use crate::objects::user::refused;
use crate::outcome::Outcome;
use crate::output::Output;

/// How long an object may take to go that was deleted: a controller holds it for a minute at most.
pub(super) const GOING: Duration = Duration::from_secs(80);

/// What undoes what nobody has confirmed.
pub(super) const IN_TIME: &str = "the controller that leads undoes in time what is to be undone";

/// Objects, each with its kind.
pub(in crate::plugin) type List = Vec<(Kind, Object)>;

/// Those of a namespace, or of all, and of the cluster; none where the cluster knows none, or the user may not look.
pub(in crate::plugin) async fn standing(client: &Client, within: &Within) -> List {
    let mut all = list::<Disruption>(client, within).await.unwrap_or_default();
    all.extend(list::<ClusterDisruption>(client, &Within::Cluster).await.unwrap_or_default());
    all
}

async fn list<R: OfKind>(client: &Client, within: &Within) -> Result<List, ApiError> {
    let all = client.list::<R>(within, &Selection::default()).await?.items;
    Ok(all.into_iter().map(|one| (R::OWN, one.into())).collect())
}

/// Makes an object, and stays with it to its end.
pub(in crate::plugin) async fn begin(
    client: &Client,
    namespace: &str,
    typed: Asked,
    output: Output,
) -> Result<Outcome, Failure> {
    match typed.deed.kind() {
        Kind::Disruption => make::<Disruption>(client, namespace, &typed, output).await,
        Kind::ClusterDisruption => {
            make::<ClusterDisruption>(client, namespace, &typed, output).await
        }
    }
}

async fn make<R: OfKind>(
    client: &Client,
    namespace: &str,
    typed: &Asked,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = &typed.attempted;
    let mut interrupts = listen(attempted)?;
    let mut object = typed.object(namespace, crate::cut::random()?)?;
    // What makes no sense is told before anybody is asked.
    asked(R::OWN, &object)?;
    let user = interrupts.unless(attempted, async {
        client.who_am_i().await.map_err(|error| refused(attempted, &error))
    });
    object.spec.requested_by = Some(user.await?.username);
    let place = object.place(R::OWN);
    let made = tokio::select! {
        made = create::<R>(client, &place, object) => made,
        _ = interrupts.next() => {
            // Nobody knows whether it was made.
            let deleted = delete::<R>(client, &place, None).await;
            deleted.map_err(|error| refused(attempted, &error))?;
            return Err(interrupted(attempted));
        }
    };
    let made = made.map_err(|error| refused(attempted, &error))?;
    let asker = made.spec.requested_by.clone().unwrap_or_default();
    let drawn = match R::OWN {
        Kind::Disruption => format!(", seed {}", made.seed()),
        Kind::ClusterDisruption => String::new(),
    };
    let id = made.id().map(|id| id.to_string()).unwrap_or_default();
    output.note(format!("{place}, as {}: {id}{drawn}", fault::Legible(&asker)));
    if output.is_for_names() {
        output.print(&place.name)?;
    }
    let following = Following::<R>::new(client.clone(), place, made, output);
    following.stay_to_its_end(typed.after, &mut interrupts).await
}

/// Undoes what keeps pods from a node, where objects have asked for it.
pub(in crate::plugin) async fn uncordon(
    client: &Client,
    node: &NodeName,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = format!("cannot uncordon {node}");
    let mut interrupts = listen(&attempted)?;
    let listed = async {
        let all = list::<ClusterDisruption>(client, &Within::Cluster).await;
        all.map_err(|error| refused(&attempted, &error))
    };
    let all = interrupts.unless_looking(&attempted, listed).await?;
    let is_its = |object: &Object| {
        object.spec.node() == Some(node.as_str()) && !object.status.phase.is_final()
    };
    let meant: List = all.into_iter().filter(|(_, object)| is_its(object)).collect();
    if meant.is_empty() {
        return Err(Failure::not_found(attempted, "no object has cordoned it").hint(
            "what was cordoned through a controller `schism node uncordon` undoes, and what somebody else has cordoned \
             `kubectl uncordon`",
        ));
    }
    let mut outcome = Outcome::Effective;
    for one in meant {
        let ((kind, last), own) = end(client, one, output, &mut interrupts).await?;
        outcome = outcome.worst(own);
        output.show(&DisruptionReport::new(record(kind, &last), own))?;
    }
    Ok(outcome)
}

/// Deletes one, which undoes it, and waits until it is gone: how it was last, and what that comes to.
pub(in crate::plugin) async fn end(
    client: &Client,
    (kind, object): (Kind, Object),
    output: Output,
    interrupts: &mut Interrupts,
) -> Result<((Kind, Object), Outcome), Failure> {
    let last = match kind {
        Kind::Disruption => ended::<Disruption>(client, object, output, interrupts).await?,
        Kind::ClusterDisruption => {
            ended::<ClusterDisruption>(client, object, output, interrupts).await?
        }
    };
    let outcome = undone(last.status.phase);
    Ok(((kind, last), outcome))
}

/// The same of one kind.
pub(super) async fn ended<R: OfKind>(
    client: &Client,
    object: Object,
    output: Output,
    interrupts: &mut Interrupts,
) -> Result<Object, Failure> {
    let place = object.place(R::OWN);
    let uid = object.metadata.uid.clone();
    delete::<R>(client, &place, Some(&uid))
        .await
        .map_err(|error| refused(&format!("cannot end {place}"), &error).hint(IN_TIME))?;
    Following::<R>::new(client.clone(), place, object, output).gone(interrupts).await
}

/// What ending one comes to: it is confirmed once nothing more comes of it.
pub(super) const fn undone(phase: Phase) -> Outcome {
    match phase {
        // What a word of the future says nobody here knows.
        Phase::UnderWay | Phase::Standing | Phase::Undoing | Phase::Unknown => Outcome::Unconfirmed,
        Phase::Pending | Phase::Refused | Phase::Done | Phase::Failed | Phase::Idle => {
            Outcome::Effective
        }
    }
}

fn listen(attempted: &str) -> Result<Interrupts, Failure> {
    Interrupts::listen().map_err(|error| Failure::new(Outcome::Unconfirmed, attempted, error))
}

async fn create<R: OfKind>(
    client: &Client,
    place: &Place,
    object: Object,
) -> Result<Object, ApiError> {
    let (within, _) = place.path().map_err(|error| misnamed(place, &error))?;
    client.create(&within, &R::from(object)).await.map(Into::into)
}

async fn delete<R: OfKind>(
    client: &Client,
    place: &Place,
    uid: Option<&str>,
) -> Result<(), ApiError> {
    let (within, name) = place.path().map_err(|error| misnamed(place, &error))?;
    let that = Precondition { uid: uid.map(ToOwned::to_owned), resource_version: None };
    client.delete::<R>(&within, &name, &that).await
}

fn misnamed(place: &Place, error: &NameError) -> ApiError {
    ApiError { attempted: format!("name {place}"), cause: Why::Malformed(error.to_string()) }
}
