//! Why a command did nothing, in words.

use experiment::hint::MARK;
use fault::{FaultId, IntentId};
use nix::errno::Errno;
use prost::Message;
use proto::agent::ErrorDetail;
use proto::agent::error_detail::Kind;
use serde::Serialize;
use tonic::{Code, Status};

use crate::outcome::Outcome;

/// Of which kind a failure is, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// What was typed makes no sense, whatever there is on the machine.
    WrongUsage,
    /// A target, a fault or a node that was named is not there.
    NotFound,
    /// A guard or a limit.
    Refused,
    /// The kernel or the agent is too old for it, or has no such feature.
    Unsupported,
    /// No agent, or one that does not answer.
    Unreachable,
    /// A call of the kernel failed.
    Kernel,
    /// Somebody asked the command to end before it was done.
    Interrupted,
    /// Anything else.
    Other,
}

impl From<Outcome> for Cause {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::WrongUsage => Self::WrongUsage,
            Outcome::Refused => Self::Refused,
            Outcome::Interrupted => Self::Interrupted,
            Outcome::Effective
            | Outcome::Deviated
            | Outcome::NothingMatched
            | Outcome::Unconfirmed => Self::Other,
        }
    }
}

impl Cause {
    /// What a command comes to by it.
    const fn outcome(self) -> Outcome {
        match self {
            Self::WrongUsage => Outcome::WrongUsage,
            Self::Refused => Outcome::Refused,
            Self::Interrupted => Outcome::Interrupted,
            Self::NotFound | Self::Unsupported | Self::Unreachable | Self::Kernel | Self::Other => {
                Outcome::Unconfirmed
            }
        }
    }
}

/// What was attempted, why it did not happen, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{attempted}: {reason}")]
pub struct Failure {
    /// What was attempted and on what, such as `cannot prepare the cut netns:a → netns:b`.
    pub attempted: String,
    /// Why it did not happen.
    pub reason: String,
    /// One thing to do about it.
    pub hint: Option<String>,
    /// What the command came to.
    pub outcome: Outcome,
    /// Of which kind it is.
    pub cause: Cause,
    /// What it would take the place of, if that is all that is in its way.
    pub replaceable: Option<IntentId>,
}

/// A failure as a document.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    schema: &'static str,
    kind: Cause,
    message: String,
    hint: Option<&'a str>,
    exit_code: u8,
}

impl Failure {
    /// A failure without a hint.
    #[must_use]
    pub fn new(
        outcome: Outcome,
        attempted: impl Into<String>,
        reason: impl std::fmt::Display,
    ) -> Self {
        let (attempted, reason) = (attempted.into(), reason.to_string());
        let cause = outcome.into();
        Self { attempted, reason, hint: None, outcome, cause, replaceable: None }
    }

    /// A failure because something that was named is not there.
    #[must_use]
    pub fn not_found(attempted: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::caused(Cause::NotFound, attempted, reason)
    }

    /// A failure of a kind, which says what the command came to.
    #[must_use]
    pub fn caused(
        cause: Cause,
        attempted: impl Into<String>,
        reason: impl std::fmt::Display,
    ) -> Self {
        Self { cause, ..Self::new(cause.outcome(), attempted, reason) }
    }

    /// What programs read.
    pub(crate) fn document(&self) -> Document<'_> {
        Document {
            schema: "schism.error/v1",
            kind: self.cause,
            message: self.to_string(),
            hint: self.hint.as_deref(),
            exit_code: self.outcome.code(),
        }
    }

    /// The same with one thing to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        self
    }

    /// What an agent answered instead of doing `attempted`.
    #[must_use]
    pub fn answered(attempted: impl Into<String>, status: &Status) -> Self {
        // A detail that cannot be read is a newer agent's: the code and the sentence remain.
        let detail = ErrorDetail::decode(status.details()).unwrap_or_default();
        let mut reason = match status.message() {
            "" => sentence(status.code()).to_owned(),
            message => message.to_owned(),
        };
        let attempted = attempted.into();
        // The agent begins with what it is about, as `attempted` may do as well.
        if let Some((about, rest)) = reason.split_once(": ")
            && attempted.ends_with(about)
        {
            reason = rest.to_owned();
        }
        if let Some(fact) = detail.kind.as_ref().and_then(|kind| fact(kind, &reason))
            && !reason.contains(&fact)
        {
            reason = format!("{reason} ({fact})");
        }
        let cause = cause(detail.kind.as_ref(), status.code());
        let hint = match (detail.hint.is_empty(), status.code()) {
            (false, _) => detail.hint,
            (true, Code::Unimplemented) => {
                "the agent is of another version than this command".to_owned()
            }
            (true, _) => String::new(),
        };
        let mut failure = Self::caused(cause, attempted, reason).hint(hint);
        if let Some(Kind::Refused(refused)) = detail.kind {
            let fault = refused.replaceable.and_then(|fault| FaultId::try_from(fault).ok());
            failure.replaceable = fault.map(|fault| fault.intent);
        }
        failure
    }

    /// What people read.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{self}{MARK}{hint}"),
            None => self.to_string(),
        }
    }
}

/// What the detail says beyond the sentence.
fn fact(kind: &Kind, sentence: &str) -> Option<String> {
    match kind {
        Kind::InvalidField(invalid) => Some(invalid.field.clone()),
        // It was no call that failed: the sentence is all that there is.
        Kind::KernelRefused(refusal) if refusal.errno == 0 => None,
        Kind::KernelRefused(refusal) => {
            let errno = Errno::from_raw(refusal.errno);
            let told = sentence.contains(&refusal.call) && sentence.contains(errno.desc());
            Some(match told {
                true => format!("{errno:?}"),
                false => format!("{}: {errno:?}, {}", refusal.call, errno.desc()),
            })
        }
        Kind::Limit(limit) => Some(format!("at most {} {}", limit.most, limit.what)),
        Kind::Unsupported(_)
        | Kind::TargetGone(_)
        | Kind::Conflict(_)
        | Kind::UnknownFault(_)
        | Kind::Draining(_)
        | Kind::Superseded(_)
        | Kind::Held(_)
        | Kind::Halted(_)
        | Kind::Refused(_) => None,
    }
}

fn cause(kind: Option<&Kind>, code: Code) -> Cause {
    match kind {
        Some(Kind::InvalidField(_)) => Cause::WrongUsage,
        Some(Kind::UnknownFault(_) | Kind::TargetGone(_)) => Cause::NotFound,
        Some(
            Kind::Conflict(_)
            | Kind::Limit(_)
            | Kind::Refused(_)
            | Kind::Superseded(_)
            | Kind::Held(_)
            | Kind::Halted(_),
        ) => Cause::Refused,
        Some(Kind::Unsupported(_)) => Cause::Unsupported,
        Some(Kind::KernelRefused(_)) => Cause::Kernel,
        Some(Kind::Draining(_)) => Cause::Unreachable,
        None if code == Code::InvalidArgument => Cause::WrongUsage,
        None if matches!(code, Code::Unavailable | Code::DeadlineExceeded) => Cause::Unreachable,
        None if code == Code::Unimplemented => Cause::Unsupported,
        None => Cause::Other,
    }
}

const fn sentence(code: Code) -> &'static str {
    match code {
        Code::Unavailable => "the agent cannot be reached",
        Code::DeadlineExceeded => "the agent did not answer in time",
        Code::Cancelled => "the agent broke the call off",
        Code::Unimplemented => "the agent does not know this call",
        Code::PermissionDenied => "the agent does not allow it",
        Code::NotFound => "the agent does not know it",
        Code::ResourceExhausted => "the agent has no room for it",
        Code::InvalidArgument => "the agent does not understand it",
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => "the agent refused it",
        Code::Ok
        | Code::Unknown
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => "the agent failed at it",
    }
}

#[cfg(test)]
mod tests {
    use proto::agent::{KernelRefused, Limit, Refused};

    use super::*;

    fn status(code: Code, message: &str, kind: Option<Kind>, hint: &str) -> Status {
        let detail = ErrorDetail { hint: hint.to_owned(), kind };
        Status::with_details(code, message, detail.encode_to_vec().into())
    }

    #[test]
    fn answers_become_sentences() {
        let refused = Kind::KernelRefused(KernelRefused {
            call: "bpf(BPF_LINK_CREATE)".to_owned(),
            errno: 1,
        });
        let limit = Kind::Limit(Limit { what: "faults on one target".to_owned(), most: 64 });
        let host = Kind::Refused(Refused {
            reason: "shares the host's namespace".to_owned(),
            ..Refused::default()
        });
        let table = [
            (
                status(Code::Internal, "eth0 was not attached to", Some(refused), "run as root"),
                "x: eth0 was not attached to (bpf(BPF_LINK_CREATE): EPERM, Operation not permitted)\n  \
                 hint: run as root",
                5,
            ),
            (
                status(Code::ResourceExhausted, "netns:b is full", Some(limit), ""),
                "x: netns:b is full (at most 64 faults on one target)",
                4,
            ),
            (
                status(
                    Code::FailedPrecondition,
                    "pid:7 shares the host's namespace",
                    Some(host),
                    "",
                ),
                "x: pid:7 shares the host's namespace",
                4,
            ),
            (status(Code::Unavailable, "", None, ""), "x: the agent cannot be reached", 5),
            (status(Code::InvalidArgument, "what?", None, ""), "x: what?", 2),
        ];
        for (status, text, code) in table {
            let failure = Failure::answered("x", &status);
            assert_eq!((failure.text().as_str(), failure.outcome.code()), (text, code));
        }
    }

    #[test]
    fn what_is_not_there_is_no_wrong_usage() {
        let gone = Kind::TargetGone(proto::agent::TargetGone::default());
        let unknown = Kind::UnknownFault(proto::agent::UnknownFault::default());
        for kind in [gone, unknown] {
            let failure = Failure::answered("x", &status(Code::NotFound, "no", Some(kind), ""));
            assert_eq!((failure.cause, failure.outcome.code()), (Cause::NotFound, 5));
        }
    }

    #[test]
    fn a_failure_is_a_document() {
        let failure = Failure::not_found("cannot resolve netns:x", "there is none").hint("look");
        let expected = r#"{"schema":"schism.error/v1","kind":"not-found","message":"cannot resolve netns:x: there is none","hint":"look","exit_code":5}"#;
        assert_eq!(serde_json::to_string(&failure.document()).unwrap(), expected);
    }

    #[test]
    fn a_detail_that_cannot_be_read_is_no_panic() {
        let status = Status::with_details(Code::Internal, "no", vec![0xff; 9].into());
        assert_eq!(Failure::answered("x", &status).text(), "x: no");
    }
}
