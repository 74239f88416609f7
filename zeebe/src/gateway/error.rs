//! Why a gateway did not do what it was asked, as far as that can be told.

use tonic::{Code, Status};

use crate::{GatewayUrl, TokenError, http::causes};

/// Why a gateway did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// No connection, or one that broke.
    #[error("{at} cannot be reached: {why}")]
    Unreachable {
        /// The gateway.
        at: GatewayUrl,
        /// Why.
        why: String,
    },
    /// Nothing in time: from the gateway, or to it from a broker. It may be done nevertheless.
    #[error("no answer in time: {0}")]
    Late(String),
    /// The gateway has no broker for it, or lost it.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The broker has too much to do already, and did not do this.
    #[error("backpressure: {0}")]
    Backpressure(String),
    /// What was named is not there, on the partition that was asked.
    #[error("not found: {0}")]
    NotFound(String),
    /// What was to be made is there already.
    #[error("it exists already: {0}")]
    Exists(String),
    /// Refused for good: to ask again has the same answer.
    #[error("refused: {0}")]
    Refused(String),
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It answered something that is not understood.
    #[error("{at} answered what is no answer of Zeebe's: {why}")]
    Malformed {
        /// The gateway.
        at: GatewayUrl,
        /// What is wrong.
        why: String,
    },
}

impl GatewayError {
    /// Whether it may go well another time.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Late(_)
            | Self::Unavailable(_)
            | Self::Backpressure(_)
            | Self::NotFound(_)
            | Self::Token(TokenError::Silent(_)) => true,
            Self::Token(TokenError::Refused(_) | TokenError::Malformed)
            | Self::Exists(_)
            | Self::Refused(_)
            | Self::Malformed { .. } => false,
        }
    }

    /// What sort it is, in a word, to count by.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Late(_) => "late",
            Self::Unavailable(_) => "unavailable",
            Self::Backpressure(_) => "backpressure",
            Self::NotFound(_) => "not-found",
            Self::Exists(_) => "exists",
            Self::Refused(_) => "refused",
            Self::Token(_) => "no-token",
            Self::Malformed { .. } => "malformed",
        }
    }
}

pub(super) fn error(at: &GatewayUrl, status: &Status) -> GatewayError {
    let said = status.message().to_owned();
    // What never came to the gateway has its cause; what the gateway answers has none.
    if let Some(source) = std::error::Error::source(status) {
        let why = causes(source);
        // tonic's own clock, which runs for the same time as ours.
        let late = status.code() == Code::DeadlineExceeded || why.contains("Timeout");
        if late {
            return GatewayError::Late(format!("{at} did not answer: {why}"));
        }
        return GatewayError::Unreachable { at: at.clone(), why };
    }
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => GatewayError::Late(said),
        Code::Unavailable => GatewayError::Unavailable(said),
        // The same code for a message that is too long, which no waiting makes shorter.
        Code::ResourceExhausted if said.contains("maximum size") => GatewayError::Refused(said),
        Code::ResourceExhausted => GatewayError::Backpressure(said),
        Code::NotFound => GatewayError::NotFound(said),
        Code::AlreadyExists => GatewayError::Exists(said),
        Code::Internal | Code::Unknown | Code::DataLoss | Code::Aborted => {
            GatewayError::Unreachable { at: at.clone(), why: said }
        }
        Code::Ok
        | Code::InvalidArgument
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => GatewayError::Refused(format!("{:?}: {said}", status.code())),
    }
}
