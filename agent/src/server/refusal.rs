//! Errors of the domain as gRPC statuses with a typed detail.

use fault::{Scheme, Selector};
use prost::Message;
use proto::Invalid;
use proto::agent as wire;
use proto::agent::error_detail::Kind;
use tonic::{Code, Status};

use crate::holders::HolderError;
use crate::kernel::{Elsewhere, KernelError};
use crate::log::LogError;
use crate::plan::PlanError;
use crate::worker::AgentError;

fn status(code: Code, message: impl ToString, kind: Kind, hint: &str) -> Status {
    let detail = wire::ErrorDetail { kind: Some(kind), hint: hint.to_owned() };
    Status::with_details(code, message.to_string(), detail.encode_to_vec().into())
}

/// A message that does not say what it should.
pub(super) fn invalid(error: &Invalid) -> Status {
    let field = wire::InvalidField { field: error.field.clone() };
    status(Code::InvalidArgument, error, Kind::InvalidField(field), "")
}

/// What the worker would not or could not do.
pub(super) fn refuse(error: &AgentError) -> Status {
    match error {
        AgentError::Kernel(kernel) => of_kernel(kernel, error),
        AgentError::Plan(plan) => {
            let refused = wire::Refused { reason: plan.to_string(), ..Default::default() };
            status(Code::FailedPrecondition, error, Kind::Refused(refused), plan_hint(plan))
        }
        AgentError::Gone(scheme) => gone(scheme, error),
        AgentError::Overlap(overlap) => {
            let replaceable = overlap.replaceable().map(Into::into);
            let refused = wire::Refused { reason: overlap.to_string(), replaceable };
            let hint = overlap.hint();
            status(Code::FailedPrecondition, error, Kind::Refused(refused), &hint)
        }
        AgentError::OwnBranch(_) => {
            let refused = wire::Refused { reason: error.to_string(), ..Default::default() };
            let hint = "a cut there would cut the agent off: name another target, or cut at the other end \
                        of what is to be lost";
            status(Code::FailedPrecondition, error, Kind::Refused(refused), hint)
        }
        AgentError::Conflict(id) => {
            let conflict = wire::Conflict { with: Some((*id).into()) };
            let hint = "ask again under a new id";
            status(Code::AlreadyExists, error, Kind::Conflict(conflict), hint)
        }
        AgentError::Unknown(id) | AgentError::Unprepared(id) => {
            let unknown = wire::UnknownFault { id: Some((*id).into()) };
            let hint = "faults end with their agent; `schism status` lists those that there are";
            status(Code::NotFound, error, Kind::UnknownFault(unknown), hint)
        }
        AgentError::Ended(_) => {
            let refused = wire::Refused { reason: error.to_string(), ..Default::default() };
            let hint = "its time was over, or somebody healed it, before it was in place: ask for a longer \
                        --for where the node is busy";
            status(Code::Aborted, error, Kind::Refused(refused), hint)
        }
        AgentError::Limit { what, most } => limit(what, *most, error),
        AgentError::Holder(HolderError::Superseded(by_epoch)) => {
            let superseded = wire::Superseded { by_epoch: *by_epoch };
            let hint = "ask the controller that runs by now";
            status(Code::FailedPrecondition, error, Kind::Superseded(superseded), hint)
        }
        AgentError::Holder(HolderError::Held(by)) => {
            let held = wire::Held { by_controller: by.get().to_vec().into() };
            let hint = "wait until its faults have ended, or heal them";
            status(Code::FailedPrecondition, error, Kind::Held(held), hint)
        }
        AgentError::Halted(reason) => {
            let halted = wire::Halted { reason: reason.clone() };
            let hint = "`schism resume` through a controller takes the brake off, or whoever removes the file \
                        `halt` beside the agent's socket";
            status(Code::FailedPrecondition, error, Kind::Halted(halted), hint)
        }
        AgentError::Brake(brake) => {
            let errno = brake.source.raw_os_error().unwrap_or(0);
            let refused = wire::KernelRefused { call: brake.what.to_owned(), errno };
            let hint = "put the file there, or remove it, by hand";
            status(Code::Internal, error, Kind::KernelRefused(refused), hint)
        }
        AgentError::Draining => {
            let hint = "try again once it is back";
            status(Code::Unavailable, error, Kind::Draining(wire::Draining {}), hint)
        }
        AgentError::Unverified(found) => {
            let refused = wire::Refused { reason: found.clone(), ..Default::default() };
            status(Code::Internal, error, Kind::Refused(refused), "")
        }
    }
}

/// What the kernel would not or could not do for a selector.
pub(super) fn refuse_kernel(error: KernelError, selector: &Selector) -> Status {
    let message = format!("{selector}: {error}");
    match error {
        KernelError::Gone(scheme) => gone(&scheme, message),
        KernelError::Limit { what, most } => limit(what, most, message),
        KernelError::Elsewhere(elsewhere) => absent(&elsewhere, selector, message),
        error @ (KernelError::Call { .. }
        | KernelError::Object(_)
        | KernelError::Map { .. }
        | KernelError::Answer(_)
        | KernelError::Inert(_)
        | KernelError::Refused { .. }) => of_kernel(&error, message),
    }
}

/// A log could not be read, or is not told.
pub(super) fn refuse_log(error: &LogError, selector: &Selector) -> Status {
    let message = format!("{selector}: {error}");
    match error {
        LogError::Read(source) => {
            let call = wire::KernelRefused {
                call: "read".to_owned(),
                errno: source.raw_os_error().unwrap_or(0),
            };
            status(Code::Internal, message, Kind::KernelRefused(call), "")
        }
        LogError::Long(_) => {
            let refused = wire::Refused { reason: error.to_string(), ..Default::default() };
            let hint =
                "begin where it ends: the first look with `since: now`, the next since that one";
            status(Code::FailedPrecondition, message, Kind::Refused(refused), hint)
        }
    }
}

/// This agent hands over no packets.
pub(super) fn uncaptured() -> Status {
    let reason = "this agent hands over no packets: what is in them is private";
    let refused = wire::Refused { reason: reason.to_owned(), ..Default::default() };
    let hint = "start it with --allow-capture, which also takes CAP_NET_RAW";
    status(Code::FailedPrecondition, reason, Kind::Refused(refused), hint)
}

/// As many as may are at it already.
pub(super) fn busy(what: &str, most: usize) -> Status {
    let limit = wire::Limit { what: what.to_owned(), most: most as u64 };
    let message = format!("no more than {most} {what} at once");
    status(Code::ResourceExhausted, message, Kind::Limit(limit), "try again when they are")
}

/// The node could not be looked through.
pub(super) fn refuse_look(error: &KernelError) -> Status {
    of_kernel(error, error)
}

fn of_kernel(error: &KernelError, message: impl ToString) -> Status {
    match error {
        KernelError::Refused { reason, hint } => {
            let refused = wire::Refused { reason: reason.clone(), ..Default::default() };
            status(Code::FailedPrecondition, message, Kind::Refused(refused), hint)
        }
        KernelError::Call { call, .. } => refused_call(call, error, message),
        KernelError::Map { map, .. } => refused_call(map, error, message),
        KernelError::Object(_)
        | KernelError::Answer(_)
        | KernelError::Inert(_)
        | KernelError::Gone(_)
        | KernelError::Elsewhere(_)
        | KernelError::Limit { .. } => refused_call("bpf", error, message),
    }
}

fn refused_call(call: &str, error: &KernelError, message: impl ToString) -> Status {
    let errno = error.errno().unwrap_or(0);
    let (code, hint) = match errno {
        libc::ENOMEM | libc::ENOSPC | libc::E2BIG => {
            (Code::ResourceExhausted, "the agent has no memory left for it: raise its limit")
        }
        libc::EPERM | libc::EACCES => {
            (Code::PermissionDenied, "run `schism doctor` to see which capability is missing")
        }
        _ => (Code::Internal, ""),
    };
    let refused = wire::KernelRefused { call: call.to_owned(), errno };
    status(code, message, Kind::KernelRefused(refused), hint)
}

fn gone(scheme: &Scheme, message: impl ToString) -> Status {
    let selector = Selector { pick: None, scheme: scheme.clone(), node: None };
    let gone = wire::TargetGone { selector: Some((&selector).into()) };
    let hint = "name it again: what was resolved has ended, or another one has its name";
    status(Code::NotFound, message, Kind::TargetGone(gone), hint)
}

fn absent(elsewhere: &Elsewhere, selector: &Selector, message: String) -> Status {
    let (code, kind) = match elsewhere {
        Elsewhere::Node { .. } => {
            let gone = wire::TargetGone { selector: Some(selector.into()) };
            (Code::NotFound, Kind::TargetGone(gone))
        }
        Elsewhere::Role(members) => {
            let unsupported = wire::Unsupported { what: members.to_string() };
            (Code::Unimplemented, Kind::Unsupported(unsupported))
        }
    };
    status(code, message, kind, &elsewhere.hint())
}

fn limit(what: &str, most: u64, message: impl ToString) -> Status {
    let limit = wire::Limit { what: what.to_owned(), most };
    status(Code::ResourceExhausted, message, Kind::Limit(limit), "heal one first")
}

const fn plan_hint(error: &PlanError) -> &'static str {
    match error {
        PlanError::NoPeers => "give it an address, or name its peers by addr:",
        PlanError::NoInterface(_) => "a zone is the name or index of an interface of the target",
        PlanError::NoDevice => "traffic over loopback stays inside of one target",
        PlanError::OnlyItself => "two sides that share their addresses cannot be told apart",
    }
}
