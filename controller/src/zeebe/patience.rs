//! Trying again until a time is over, and saying why.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use zeebe::{GatewayError, ManagementError};

use crate::failure::{Cause, Failure};
use crate::output::Output;
use crate::provider::zeebe::AskError;

/// Between two looks: no member tells of changes.
const PACE: Duration = Duration::from_millis(200);

/// How long one call of many may take, so that one that hangs leaves time for another.
const CALL: Duration = Duration::from_secs(10);

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look<T> {
    /// It holds.
    Holds(T),
    /// Not yet, and why.
    Not(String),
    /// Never, and why.
    Never(String),
}

/// What looks came to in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reached<T> {
    /// It held.
    Held(T),
    /// It did not, and why it did not the last time.
    Missed(String),
}

/// The time that a command has.
pub(crate) struct Patience {
    limit: Duration,
    deadline: Instant,
    output: Output,
    /// What was last said, so that it is not said again.
    said: Mutex<String>,
}

impl Patience {
    pub(crate) fn new(limit: Duration, output: Output) -> Self {
        let deadline = Instant::now() + limit;
        Self { limit, deadline, output, said: Mutex::default() }
    }

    /// All of it.
    pub(crate) const fn limit(&self) -> Duration {
        self.limit
    }

    /// What a single call may take.
    pub(crate) fn call(&self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        left.min(CALL).max(Duration::from_millis(1))
    }

    /// Looks until it holds, never will, or the time is over.
    pub(crate) async fn until<T>(
        &self,
        attempted: &str,
        mut look: impl AsyncFnMut() -> Look<T>,
    ) -> Reached<T> {
        let mut last = format!("nothing was heard within {} s", self.limit.as_secs_f64());
        loop {
            match timeout_at(self.deadline, look()).await {
                Err(_) => return Reached::Missed(last),
                Ok(Look::Holds(found)) => return Reached::Held(found),
                Ok(Look::Never(why)) => return Reached::Missed(why),
                Ok(Look::Not(why)) => {
                    self.tell(attempted, &why);
                    last = why;
                }
            }
            let next = Instant::now() + PACE;
            if next >= self.deadline {
                return Reached::Missed(last);
            }
            sleep_until(next).await;
        }
    }

    /// A call to a gateway, again while its failure may pass.
    pub(crate) async fn gateway<T>(
        &self,
        attempted: &str,
        mut call: impl AsyncFnMut() -> Result<T, GatewayError>,
    ) -> Result<T, Failure> {
        let mut last = None;
        let reached = self.until(attempted, async || match call().await {
            Ok(found) => Look::Holds(found),
            Err(error) => {
                let why = error.to_string();
                let passing = error.is_passing();
                last = Some(error);
                if passing { Look::Not(why) } else { Look::Never(why) }
            }
        });
        let reached = reached.await;
        match reached {
            Reached::Held(found) => Ok(found),
            Reached::Missed(why) => {
                let cause = last.as_ref().map_or(Cause::Unreachable, cause_of);
                Err(Failure::caused(cause, attempted, why))
            }
        }
    }

    /// A call to those who manage the cluster, again while nobody answers.
    pub(crate) async fn management<T>(
        &self,
        attempted: &str,
        mut call: impl AsyncFnMut() -> Result<T, ManagementError>,
    ) -> Result<T, Failure> {
        let mut cause = Cause::Unreachable;
        let reached = self.until(attempted, async || match call().await {
            Ok(found) => Look::Holds(found),
            Err(error @ ManagementError::Silent { .. }) => Look::Not(error.to_string()),
            Err(error) => {
                cause = cause_of_managed(&error);
                Look::Never(error.to_string())
            }
        });
        let reached = reached.await;
        match reached {
            Reached::Held(found) => Ok(found),
            Reached::Missed(why) => Err(Failure::caused(cause, attempted, why)),
        }
    }

    /// What members say, asked again while nobody says who they are.
    pub(crate) async fn asked<T>(
        &self,
        attempted: &str,
        mut ask: impl AsyncFnMut() -> Result<T, AskError>,
    ) -> Result<T, Failure> {
        let reached = self.until(attempted, async || match ask().await {
            Ok(found) => Look::Holds(found),
            Err(error @ AskError::Silent(_)) => Look::Not(error.to_string()),
            Err(error) => Look::Never(error.to_string()),
        });
        match reached.await {
            Reached::Held(found) => Ok(found),
            Reached::Missed(why) => Err(Failure::caused(Cause::Unreachable, attempted, why)),
        }
    }

    /// A call that is not to happen twice: once, as nobody knows what became of one without an answer.
    pub(crate) async fn once<T>(
        &self,
        attempted: &str,
        call: impl Future<Output = Result<T, ManagementError>>,
    ) -> Result<T, Failure> {
        match timeout_at(self.deadline, call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let unknown = matches!(error, ManagementError::Silent { .. });
                let doubt = if unknown { "; it may be done nevertheless" } else { "" };
                let reason = format!("{error}{doubt}");
                Err(Failure::caused(cause_of_managed(&error), attempted, reason))
            }
            Err(_) => {
                let limit = self.limit.as_secs_f64();
                let reason = format!("no answer within {limit} s; it may be done nevertheless");
                Err(Failure::caused(Cause::Unreachable, attempted, reason))
            }
        }
    }

    fn tell(&self, attempted: &str, why: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != why {
            self.output.note(format!("{attempted} yet: {why}; trying again"));
            why.clone_into(&mut said);
        }
    }
}

const fn cause_of_managed(error: &ManagementError) -> Cause {
    match error {
        ManagementError::Silent { .. } => Cause::Unreachable,
        ManagementError::Absent { .. } => Cause::Unsupported,
        ManagementError::Refused { .. } => Cause::Refused,
        ManagementError::Malformed { .. } => Cause::Other,
    }
}

const fn cause_of(error: &GatewayError) -> Cause {
    match error {
        GatewayError::Unreachable { .. }
        | GatewayError::Late(_)
        | GatewayError::Unavailable(_)
        | GatewayError::Token(_) => Cause::Unreachable,
        GatewayError::NotFound(_) => Cause::NotFound,
        GatewayError::Backpressure(_) | GatewayError::Exists(_) | GatewayError::Refused(_) => {
            Cause::Refused
        }
        GatewayError::Malformed { .. } => Cause::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(limit: u64) -> Patience {
        Patience::new(Duration::from_secs(limit), Output::new(None))
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_ends_in_time() {
        let (began, patience) = (Instant::now(), patience(3));
        let never =
            patience.until("cannot wait", async || std::future::pending::<Look<()>>().await);
        assert!(matches!(never.await, Reached::Missed(_)));
        assert_eq!(began.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_and_the_last_reason_told() {
        let (mut tries, patience) = (0, patience(3));
        let held = patience.until("cannot wait", async || {
            tries += 1;
            if tries < 4 { Look::Not(tries.to_string()) } else { Look::Holds(tries) }
        });
        assert_eq!(held.await, Reached::Held(4));
        let missed = patience.until("cannot wait", async || Look::<()>::Not("why".to_owned()));
        assert_eq!(missed.await, Reached::Missed("why".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_never_do_is_not_tried_again() {
        let (mut tries, patience) = (0, patience(60));
        let refused = patience.gateway("cannot deploy", async || {
            tries += 1;
            Err::<(), _>(GatewayError::Refused("no process".to_owned()))
        });
        let failure = refused.await.unwrap_err();
        assert_eq!((tries, failure.cause), (1, Cause::Refused));
    }
}
