//! Refusals as the wire has them: a status with a typed detail.

use fault::{IntentId, Selector};
use link::Role;
use prost::Message as _;
use proto::Invalid;
use proto::control as wire;
use proto::control::error_detail::Kind;
use proto::control::guarded::Guard;
use tonic::{Code, Status};

use crate::admit::AdmitError;
use crate::control::{AskError, ControlError, ResolveError};
use crate::provider::kubernetes::{PodsError, Unusable};

pub(super) fn status(code: Code, reason: String, kind: Kind, hint: String) -> Status {
    let detail = wire::ErrorDetail { kind: Some(kind), hint };
    Status::with_details(code, reason, detail.encode_to_vec().into())
}

pub(super) fn role(role: Role) -> wire::description::Role {
    match role {
        Role::Viewer => wire::description::Role::Viewer,
        Role::Operator => wire::description::Role::Operator,
        Role::Capturer => wire::description::Role::Capturer,
        Role::Admin => wire::description::Role::Admin,
    }
}

pub(super) fn invalid(invalid: &Invalid) -> Status {
    let field = proto::agent::InvalidField { field: invalid.field.clone() };
    status(Code::InvalidArgument, invalid.to_string(), Kind::InvalidField(field), String::new())
}

pub(crate) fn refuse(error: &AskError) -> Status {
    let reason = error.to_string();
    match error {
        AskError::Invalid(error) => invalid(error),
        AskError::Resolve(error) => refuse_resolve(error),
        AskError::Control(error) => refuse_control(error),
        AskError::Plan(_) | AskError::Grudge(_) | AskError::Around { .. } => {
            let field = proto::agent::InvalidField { field: "spec".to_owned() };
            status(Code::InvalidArgument, reason, Kind::InvalidField(field), String::new())
        }
        AskError::Admit(error) => refuse_admit(error),
    }
}

fn refuse_admit(error: &AdmitError) -> Status {
    let guard = match error {
        AdmitError::Quorum { .. } | AdmitError::Unseen(_) => Guard::Quorum,
        AdmitError::Budget(_) => Guard::Disruption,
        AdmitError::Blast(_) => Guard::BlastRadius,
        AdmitError::Overlap { .. } => Guard::Overlap,
    };
    let replaceable = error.replaceable().map_or(0, IntentId::get);
    let kind = Kind::Guarded(wire::Guarded { guard: guard.into(), replaceable });
    status(Code::FailedPrecondition, error.to_string(), kind, error.hint())
}

pub(crate) fn refuse_resolve(error: &ResolveError) -> Status {
    let reason = error.to_string();
    let (code, kind, hint) = match error {
        ResolveError::Nothing { selector, .. } => {
            let kind = Kind::Nothing(wire::Nothing { selector: selector.to_string() });
            (Code::NotFound, kind, "`schism targets` lists what can be named".to_owned())
        }
        ResolveError::Ambiguous { selector, matches } => {
            let kind = Kind::Ambiguous(wire::Ambiguous { matches: matches.clone() });
            (Code::InvalidArgument, kind, format!("write {selector}@NODE, or one:{selector}"))
        }
        ResolveError::TooFew { selector, .. } => {
            let kind = Kind::Nothing(wire::Nothing { selector: selector.to_string() });
            (Code::NotFound, kind, String::new())
        }
        ResolveError::Unreachable(node) => {
            let kind = Kind::Unreachable(wire::Unreachable { node: node.to_string() });
            (Code::Unavailable, kind, "`schism agents` lists the nodes that are there".to_owned())
        }
        ResolveError::Agent { node, .. } => {
            let kind = Kind::Unreachable(wire::Unreachable { node: node.to_string() });
            (Code::Unavailable, kind, String::new())
        }
        ResolveError::Refused { node, hint, .. } => {
            let refused = wire::AgentRefused { node: node.to_string(), detail: None };
            (Code::FailedPrecondition, Kind::AgentRefused(refused), hint.clone())
        }
        ResolveError::Away { selector, away } => {
            let node = away.first().map(ToString::to_string).unwrap_or_default();
            let hint = format!("name the nodes that are there, such as {selector}@NODE");
            (Code::Unavailable, Kind::Unreachable(wire::Unreachable { node }), hint)
        }
        ResolveError::Other { selector, .. } => {
            let kind = Kind::Unclear(wire::Unclear { selector: selector.to_string() });
            let hint = "look at all that may be meant, such as etcd:member, or at one by its name";
            (Code::FailedPrecondition, kind, hint.to_owned())
        }
        ResolveError::Service(_) => {
            let field = proto::agent::InvalidField { field: "spec".to_owned() };
            let hint =
                "name its pods, such as k8s:NAMESPACE/label:SELECTOR or k8s:NAMESPACE/sts/NAME";
            (Code::InvalidArgument, Kind::InvalidField(field), hint.to_owned())
        }
        ResolveError::Pods { selector, error } => return refuse_pods(selector, error, reason),
        ResolveError::Sight { selector, error } => {
            let kind = Kind::Unclear(wire::Unclear { selector: selector.to_string() });
            (Code::FailedPrecondition, kind, error.hint())
        }
    };
    status(code, reason, kind, hint)
}

fn refuse_pods(selector: &Selector, error: &PodsError, reason: String) -> Status {
    let nothing = || Kind::Nothing(wire::Nothing { selector: selector.to_string() });
    let unclear = || Kind::Unclear(wire::Unclear { selector: selector.to_string() });
    let (code, kind) = match error {
        PodsError::NoObject { .. }
        | PodsError::NoNamespace { .. }
        | PodsError::NoNode { .. }
        | PodsError::NoContainer { .. }
        | PodsError::NotOnNode { .. } => (Code::NotFound, nothing()),
        PodsError::Unusable { why: Unusable::Protected(_), .. }
        | PodsError::Service { .. }
        | PodsError::Node { .. }
        | PodsError::Unknown { .. } => {
            let guard = Guard::Protected.into();
            (Code::FailedPrecondition, Kind::Guarded(wire::Guarded { guard, replaceable: 0 }))
        }
        PodsError::Unusable { pod, .. } => {
            let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
            let unusable = wire::PodUnusable { namespace, name };
            (Code::FailedPrecondition, Kind::PodUnusable(unusable))
        }
        PodsError::NoCluster
        | PodsError::Name(_)
        | PodsError::ExternalName { .. }
        | PodsError::OtherAddresses { .. } => (Code::FailedPrecondition, unclear()),
        PodsError::Api(_) => (Code::Unavailable, unclear()),
        PodsError::NoAgent { node, .. } => {
            (Code::Unavailable, Kind::Unreachable(wire::Unreachable { node: node.to_string() }))
        }
    };
    status(code, reason, kind, error.hint())
}

pub(super) fn refuse_control(error: &ControlError) -> Status {
    let reason = error.to_string();
    let (code, kind) = match error {
        ControlError::Store(_) | ControlError::Record(_) | ControlError::Unkept(_) => {
            (Code::Unavailable, Kind::StoreFailed(wire::StoreFailed {}))
        }
        ControlError::Conflict(id) | ControlError::Forgotten(id) => {
            (Code::AlreadyExists, Kind::Unknown(wire::Unknown { id: id.get() }))
        }
        ControlError::Unknown(id) => {
            (Code::NotFound, Kind::Unknown(wire::Unknown { id: id.get() }))
        }
        ControlError::Halted(why) => {
            (Code::FailedPrecondition, Kind::Halted(wire::Halted { reason: why.clone() }))
        }
        ControlError::Gap { earliest, latest, .. } => {
            (Code::OutOfRange, Kind::Gap(wire::Gap { earliest: *earliest, latest: *latest }))
        }
        ControlError::Admit(error) => return refuse_admit(error),
        ControlError::Ending => return Status::unavailable(reason),
    };
    let hint = match error {
        ControlError::Halted(_) => "`schism resume` takes the brake off".to_owned(),
        ControlError::Forgotten(_) => "ask again under a new id".to_owned(),
        ControlError::Gap { .. } => "list, and watch from the revision of the list".to_owned(),
        ControlError::Store(_)
        | ControlError::Unkept(_)
        | ControlError::Admit(_)
        | ControlError::Record(_)
        | ControlError::Conflict(_)
        | ControlError::Unknown(_)
        | ControlError::Ending => String::new(),
    };
    status(code, reason, kind, hint)
}
