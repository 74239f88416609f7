//! What is asked of the API server and of the driver of intents, one call each.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use cluster::{ApiError, Cause, Client, NameError};
use fault::{IntentId, NodeName};
use proto::control as wire;
use serde_json::{Value, json};

use super::Means;
use crate::archive::{Audit, Deed, Node, Verdict};
use crate::control::{AskError, ControlError, ResolveError};
use crate::failure::Failure;
use crate::fleet;
use crate::objects::happening::{self, Mention};
use crate::objects::resource::{ClusterFault, FINALIZER, Fault, Kind, Object, Place};
use crate::objects::status::{Phase, Status};
use crate::provider::kubernetes::PodsError;
use crate::serve::refusal;
use crate::spec;

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
    /// Its fault was to be put in, first tried since then (Unix time, ns).
    PutIn {
        place: Place,
        uid: String,
        since: u64,
        result: Result<Box<wire::Intent>, Box<(AskError, Failure)>>,
    },
    /// An intent was to end: what became of it the driver tells.
    Healed,
    /// Pods were to be told.
    Mentioned,
    /// It is a while ago that this was told of one that acts.
    Lasted { place: Place, uid: String, status: Box<Status> },
}

/// Which part of an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Object,
    Status,
}

/// Has an object wait for its fault.
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
    let uid = object.metadata.uid.clone();
    let finalizers = json!({ "finalizers": finalizers });
    let patch = json!({ "metadata": of_that_state(&object, finalizers) });
    let result = change(&client, &place, &patch, Part::Object).await;
    Done::Changed { place, uid, result }
}

/// Writes its status, where this was its phase before.
pub(super) async fn tell(
    client: Client,
    place: Place,
    object: Object,
    before: Phase,
    status: Box<Status>,
) -> Done {
    let uid = object.metadata.uid.clone();
    let mut patch = json!({ "metadata": of_that_state(&object, json!({})) });
    let written = serde_json::to_value(&status);
    patch["status"] = written.unwrap_or_default();
    let result = change(&client, &place, &patch, Part::Status).await;
    Done::Told { place, uid, before, status, result }
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
        (Kind::Fault, Part::Object) => {
            client.merge::<Fault>(&within, &name, patch).await.map(Object::from)
        }
        (Kind::Fault, Part::Status) => {
            client.merge_status::<Fault>(&within, &name, patch).await.map(Object::from)
        }
        (Kind::ClusterFault, Part::Object) => {
            client.merge::<ClusterFault>(&within, &name, patch).await.map(Object::from)
        }
        (Kind::ClusterFault, Part::Status) => {
            client.merge_status::<ClusterFault>(&within, &name, patch).await.map(Object::from)
        }
    }
}

/// Tells pods what is done to them. It changes nothing that they cannot be told.
pub(super) async fn mention(client: Client, mentions: Vec<Mention>) -> Done {
    happening::say(&client, mentions).await;
    Done::Mentioned
}

/// Ends an intent.
pub(super) async fn heal(means: Means, id: IntentId, reason: String) -> Done {
    let entry = Audit {
        at: SystemTime::now(),
        who: reason.clone(),
        deed: Deed::Heal,
        what: id.to_string(),
        intent: Some(id.to_string()),
        nodes: Vec::new(),
        until: None,
        verdict: Verdict::Admitted,
    };
    // Healing is never refused, not even for want of a line in the log.
    if let Err(error) = means.audit.append(&entry).await {
        tracing::error!(%error, "healing all the same");
    }
    if let Err(error) = means.control.heal(id, &reason).await {
        tracing::error!(intent = %id, %error, "not healed; its lease ends it");
    }
    Done::Healed
}

/// Puts in what an object asks for. The same object again has the same answer.
pub(super) async fn put_in(
    means: Means,
    place: Place,
    object: Object,
    (id, spec): (IntentId, wire::Spec),
    since: u64,
) -> Done {
    let uid = object.metadata.uid.clone();
    let result = apply(&means, &place, &object, id, spec).await.map(Box::new).map_err(|error| {
        let attempted = format!("cannot do what {place} asks for");
        let failure = fleet::client::failure(&attempted, &refusal::refuse(&error));
        Box::new((error, failure))
    });
    Done::PutIn { place, uid, since, result }
}

async fn apply(
    means: &Means,
    place: &Place,
    object: &Object,
    id: IntentId,
    spec: wire::Spec,
) -> Result<wire::Intent, AskError> {
    match means.control.find(id).await {
        Ok(known) => {
            // A later version may ask for the same in other words.
            let is_its = known.object.as_ref().is_some_and(|of| of.uid == object.metadata.uid);
            let is_same = is_its || known.spec.as_ref() == Some(&spec);
            return if is_same { Ok(known) } else { Err(ControlError::Conflict(id).into()) };
        }
        Err(ControlError::Unknown(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let who = match &object.spec.requested_by {
        Some(who) => format!("{who}, by {place}"),
        None => format!("whoever created {place}"),
    };
    let asked = Audit {
        at: SystemTime::now(),
        who: who.clone(),
        deed: Deed::Apply,
        what: spec::typed(&spec),
        intent: Some(id.to_string()),
        nodes: Vec::new(),
        until: Some(SystemTime::now() + Duration::from_nanos(spec.total_ns)),
        verdict: Verdict::Admitted,
    };
    // The nodes are known once it is planned, which touches nothing.
    let mut draft = match means.control.draft(id, spec, &who, &means.limits).await {
        Ok(draft) => draft,
        Err(error) => {
            if !is_passing(&error) {
                refused(means, asked, &error).await;
            }
            return Err(error);
        }
    };
    draft.intent.object = Some(object.wire(place.kind));
    let nodes: BTreeSet<NodeName> = draft.intent.faults().into_keys().collect();
    let asked = Audit { nodes: nodes.into_iter().map(Node).collect(), ..asked };
    // Nothing is done that nobody can look up.
    means.audit.append(&asked).await.map_err(|error| {
        tracing::error!(%error, "the audit log cannot be written, so nothing is done");
        AskError::Control(ControlError::Ending)
    })?;
    match means.control.apply(draft).await {
        Ok(intent) => Ok(intent),
        Err(error) => {
            let error = AskError::from(error);
            refused(means, asked, &error).await;
            Err(error)
        }
    }
}

async fn refused(means: &Means, asked: Audit, error: &AskError) {
    let refused = Audit { verdict: Verdict::Refused(error.to_string()), ..asked };
    // It is refused whether or not that can be written.
    if let Err(error) = means.audit.append(&refused).await {
        tracing::error!(%error, "a refusal is not written down");
    }
}

/// Whether the same may be possible a little later, without anybody changing anything: agents are on their way to a
/// leader that is new, and pods to their nodes.
pub(crate) fn is_passing(error: &AskError) -> bool {
    match error {
        AskError::Resolve(error) => match error {
            ResolveError::Unreachable(_)
            | ResolveError::Away { .. }
            | ResolveError::Agent { .. } => true,
            ResolveError::Pods { error, .. } => match error.as_ref() {
                PodsError::NoAgent { .. }
                | PodsError::Unknown { .. }
                | PodsError::NotOnNode { .. }
                | PodsError::OtherAddresses { .. } => true,
                PodsError::Api(error) => error.is_passing(),
                PodsError::NoCluster
                | PodsError::Name(_)
                | PodsError::NoObject { .. }
                | PodsError::NoNamespace { .. }
                | PodsError::NoNode { .. }
                | PodsError::Node { .. }
                | PodsError::NoContainer { .. }
                | PodsError::ExternalName { .. }
                | PodsError::Service { .. }
                | PodsError::Unusable { .. } => false,
            },
            ResolveError::Nothing { .. }
            | ResolveError::Ambiguous { .. }
            | ResolveError::TooFew { .. }
            | ResolveError::Refused { .. }
            | ResolveError::Other { .. }
            | ResolveError::Service(_)
            | ResolveError::Sight { .. } => false,
        },
        AskError::Control(error) => matches!(error, ControlError::Store(_) | ControlError::Ending),
        AskError::Invalid(_)
        | AskError::Plan(_)
        | AskError::Grudge(_)
        | AskError::Around { .. }
        | AskError::Admit(_) => false,
    }
}
