//! What is asked of the driver of intents, and told to pods, one call each.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use cluster::Client;
use fault::{IntentId, NodeName};
use proto::control as wire;

use super::Means;
use crate::archive::{Audit, Deed, Node, Verdict};
use crate::control::{AskError, ControlError, ResolveError};
use crate::fleet;
use crate::keeping::{Passing, Refusal, asker, cannot};
use crate::objects::happening::{self, Mention};
use crate::objects::resource::{Object, Place};
use crate::provider::kubernetes::PodsError;
use crate::serve::refusal;
use crate::spec;

/// Tells pods what is done to them. It changes nothing that they cannot be told.
pub(super) async fn mention(client: Client, mentions: Vec<Mention>) {
    happening::say(&client, mentions).await;
}

/// Ends an intent.
pub(super) async fn heal(means: Means, id: IntentId, reason: String) {
    let entry = Audit::ending(SystemTime::now(), &reason, id);
    // Healing is never refused, not even for want of a line in the log.
    if let Err(error) = means.audit.append(&entry).await {
        tracing::error!(%error, "healing all the same");
    }
    if let Err(error) = means.control.heal(id, &reason).await {
        tracing::error!(intent = %id, %error, "not healed; its lease ends it");
    }
}

/// Puts in what an object asks for. The same object again has the same answer.
pub(super) async fn put_in(
    means: Means,
    place: Place,
    object: Object,
    (id, spec): (IntentId, wire::Spec),
) -> Result<Box<wire::Intent>, Box<Refusal>> {
    apply(&means, &place, &object, id, spec).await.map(Box::new).map_err(|error| {
        let passing = if is_passing(&error) { Passing::Soon } else { Passing::Never };
        let failure = fleet::client::failure(&cannot(&place), &refusal::refuse(&error));
        Box::new(Refusal { passing, failure })
    })
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
    let who = asker(object.spec.requested_by.as_deref(), place);
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
