//! Why a call came to nothing.

use std::{fmt, time::Duration};

use serde::Deserialize;

use crate::config::ConfigError;

/// A call that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {attempted}: {cause}")]
pub struct ApiError {
    /// What: `list pods of namespace camunda`.
    pub attempted: String,
    /// Why not.
    pub cause: Cause,
}

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// There is nothing that could be shown to the API server, or nobody by whom it could be judged.
    #[error("{0}")]
    Login(String),
    /// No connection.
    #[error("no connection to the API server at {server}: {reason}")]
    Connect {
        /// Where it should be.
        server: String,
        /// Why not.
        reason: String,
    },
    /// No TLS, or a certificate that nobody vouches for.
    #[error("no TLS with the API server at {server}: {reason}")]
    Tls {
        /// Where it is.
        server: String,
        /// Why not.
        reason: String,
    },
    /// Nothing in time.
    #[error("the API server did not answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// The connection broke, or what came is not HTTP. Whether anything was done is not known.
    #[error("the answer of the API server broke off: {0}")]
    Broken(String),
    /// More than any answer of use.
    #[error("the API server's answer is longer than {0} bytes")]
    TooLong(usize),
    /// The API server said no.
    #[error("the API server says: {message} ({code} {reason})")]
    Refused {
        /// The status of HTTP.
        code: u16,
        /// What kind of no.
        reason: Reason,
        /// Its own words.
        message: String,
        /// When it may be asked again.
        retry_after: Option<Duration>,
    },
    /// Not what an API server says.
    #[error("not an answer of an API server: {0}")]
    Malformed(String),
}

/// The word by which an API server says why not (`metav1.StatusReason`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no such object, or no such kind of objects.
    NotFound,
    /// There is one of this name.
    AlreadyExists,
    /// It was changed meanwhile, or a precondition does not hold.
    Conflict,
    /// What happened since then is not known any more.
    Expired,
    /// Not with these rights.
    Forbidden,
    /// Nobody whom it knows.
    Unauthorized,
    /// The object is not valid.
    Invalid,
    /// A PodDisruptionBudget forbids it: which and why is the message.
    Budget,
    /// Another word, or none.
    Other(String),
}

/// `metav1.Status`, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    message: String,
    reason: String,
    pub(crate) code: u16,
    details: Option<Details>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    retry_after_seconds: Option<u64>,
    causes: Vec<StatusCause>,
}

/// `metav1.StatusCause`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct StatusCause {
    reason: String,
    message: String,
}

/// The cause of a refusal to evict a pod (`policy/v1`).
const BUDGET: &str = "DisruptionBudget";

/// For how long an API server is left alone at most, whatever is said: it may be somebody in between who says it.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// How much is repeated of what is no answer of an API server.
const SHOWN: usize = 1_000;

impl Cause {
    /// The refusal that a `Status` is; `code` counts where it has none.
    pub(crate) fn of_status(status: Status, code: u16) -> Self {
        Self::refused(status, code, None)
    }

    /// The refusal that an answer of this status is, whoever gave it.
    pub(crate) fn of_answer(code: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let status = serde_json::from_slice::<Status>(body).ok();
        let status = status.filter(|status| !status.message.is_empty()).unwrap_or_else(|| {
            // Of somebody before the API server, who does not speak its language.
            let message = String::from_utf8_lossy(body).trim().to_owned();
            let message = if message.is_empty() { "nothing".to_owned() } else { message };
            Status { message, ..Status::default() }
        });
        Self::refused(status, code, retry_after)
    }

    fn refused(status: Status, code: u16, retry_after: Option<Duration>) -> Self {
        let details = status.details.unwrap_or_default();
        let waits = details.retry_after_seconds;
        let code = if status.code == 0 { code } else { status.code };
        // Which budget it is stands there alone.
        let budget = details.causes.into_iter().find(|cause| cause.reason == BUDGET);
        let (reason, message) = match budget {
            Some(cause) => (Reason::Budget, cause.message),
            None => (Reason::of(&status.reason, code), status.message),
        };
        Self::Refused {
            code,
            reason,
            message: shown(&message),
            retry_after: retry_after.or(waits.map(Duration::from_secs)),
        }
    }
}

fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(|c| {
            let kept = (!c.is_control()).then_some(c);
            let escaped = c.is_control().then(|| c.escape_default());
            kept.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect();
    if text.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}

impl Reason {
    fn of(word: &str, code: u16) -> Self {
        match (word, code) {
            ("NotFound", _) | ("", 404) => Self::NotFound,
            ("AlreadyExists", _) => Self::AlreadyExists,
            ("Conflict", _) | ("", 409) => Self::Conflict,
            ("Expired" | "Gone", _) | ("", 410) => Self::Expired,
            ("Forbidden", _) | ("", 403) => Self::Forbidden,
            ("Unauthorized", _) | ("", 401) => Self::Unauthorized,
            ("Invalid", _) | ("", 422) => Self::Invalid,
            (other, _) => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Expired => "Expired",
            Self::Forbidden => "Forbidden",
            Self::Unauthorized => "Unauthorized",
            Self::Invalid => "Invalid",
            Self::Budget => "DisruptionBudget",
            Self::Other(word) if word.is_empty() => "without a reason",
            Self::Other(word) => word,
        })
    }
}

impl ApiError {
    /// Why the API server said no, where it did.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match &self.cause {
            Cause::Refused { reason, .. } => Some(reason),
            Cause::Login(_)
            | Cause::Connect { .. }
            | Cause::Tls { .. }
            | Cause::Late(_)
            | Cause::Broken(_)
            | Cause::TooLong(_)
            | Cause::Malformed(_) => None,
        }
    }

    /// What a PodDisruptionBudget has against it, where one has: which it is, in the words of the API server.
    #[must_use]
    pub fn budget(&self) -> Option<&str> {
        match &self.cause {
            Cause::Refused { reason: Reason::Budget, message, .. } => Some(message),
            Cause::Refused { .. }
            | Cause::Login(_)
            | Cause::Connect { .. }
            | Cause::Tls { .. }
            | Cause::Late(_)
            | Cause::Broken(_)
            | Cause::TooLong(_)
            | Cause::Malformed(_) => None,
        }
    }

    /// Whether the same call may succeed later, without anybody changing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match &self.cause {
            Cause::Connect { .. } | Cause::Late(_) | Cause::Broken(_) => true,
            Cause::Refused { code, .. } => matches!(code, 429 | 500 | 502 | 503 | 504),
            Cause::Login(_) | Cause::Tls { .. } | Cause::TooLong(_) | Cause::Malformed(_) => false,
        }
    }

    /// For how long nobody is to ask again, where that was said; a minute at most.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.cause {
            Cause::Refused { retry_after, .. } => retry_after.map(|said| said.min(LEFT_ALONE)),
            Cause::Login(_)
            | Cause::Connect { .. }
            | Cause::Tls { .. }
            | Cause::Late(_)
            | Cause::Broken(_)
            | Cause::TooLong(_)
            | Cause::Malformed(_) => None,
        }
    }

    /// What to do about it; empty where that is said already, or waiting is all there is.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.reason() {
            Some(Reason::Forbidden) => {
                "the role of the controller's service account, or of the kubeconfig's user, has to allow it"
            }
            Some(Reason::Unauthorized) => {
                "its token or certificate has expired, or is of another cluster"
            }
            Some(
                Reason::NotFound
                | Reason::AlreadyExists
                | Reason::Conflict
                | Reason::Expired
                | Reason::Invalid
                | Reason::Budget
                | Reason::Other(_),
            )
            | None => "",
        }
    }
}

impl From<ConfigError> for Cause {
    fn from(error: ConfigError) -> Self {
        Self::Login(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_in_the_words_of_the_api_server() {
        let body = br#"{"kind":"Status","message":"pods \"web\" not found","reason":"NotFound","code":404}"#;
        let error = ApiError {
            attempted: "get pod web".to_owned(),
            cause: Cause::of_answer(404, body, None),
        };
        assert_eq!(
            error.to_string(),
            "cannot get pod web: the API server says: pods \"web\" not found (404 NotFound)"
        );
        assert_eq!(error.reason(), Some(&Reason::NotFound));
        assert!(!error.is_passing());
    }

    #[test]
    fn a_budget_that_forbids_an_eviction_is_told_by_its_name() {
        let body = br#"{"kind":"Status","reason":"TooManyRequests","code":429,
            "message":"Cannot evict pod as it would violate the pod's disruption budget.",
            "details":{"causes":[{"reason":"DisruptionBudget",
                "message":"The disruption budget web needs 2 healthy pods and has 2 currently"}]}}"#;
        let cause = Cause::of_answer(429, body, None);
        let error = ApiError { attempted: "evict Pod web-0".to_owned(), cause };
        let said = "The disruption budget web needs 2 healthy pods and has 2 currently";
        assert_eq!(error.budget(), Some(said));
        assert!(error.is_passing());
        let busy = Cause::of_answer(429, br#"{"message":"too many","code":429}"#, None);
        let error = ApiError { attempted: String::new(), cause: busy };
        assert_eq!(error.budget(), None);
    }

    #[test]
    fn who_stands_before_it_is_quoted_on_one_line_and_not_whole() {
        let page = format!("<html>\r\n\u{1b}[31m{}", "x".repeat(10_000));
        let cause = Cause::of_answer(502, page.as_bytes(), None);
        let said = cause.to_string();
        assert!(said.len() < 1_200 && !said.contains('\n') && !said.contains('\u{1b}'), "{said}");
        assert!(ApiError { attempted: String::new(), cause }.is_passing());
        let told = Cause::of_answer(429, b"", Some(Duration::from_secs(2)));
        assert!(
            matches!(told, Cause::Refused { retry_after: Some(time), .. } if time.as_secs() == 2)
        );
    }
}
