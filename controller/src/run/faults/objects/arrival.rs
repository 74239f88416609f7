//! From an object that was made to a fault that acts, or to why it does not.

use std::time::Duration;

use cluster::{ApiError, Reason};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::seen::{Presence, Seen};
use crate::failure::{Cause, Failure};
use crate::objects::status::{Phase, Status};
use crate::outcome::Outcome;

/// How long an object may be there without a controller that takes it up (20 s): one that dies is followed within 15 s.
const SILENCE: Duration = Duration::from_secs(20);

/// How long a fault may take until it acts, or is refused, once it is taken up (45 s): what is in its way may pass.
const PATIENCE: Duration = Duration::from_secs(45);

/// Whether the API server has said that it does not do it: everything else it may have done.
pub(super) fn is_no(error: &ApiError) -> bool {
    let is_there = error.reason() == Some(&Reason::AlreadyExists);
    matches!(error.cause, cluster::Cause::Refused { code: 400..500, .. }) && !is_there
}

/// Waits until a fault acts, or is over by what it does.
///
/// # Errors
/// It was refused, has failed, or nobody says a word.
pub(super) async fn acts(seen: &mut watch::Receiver<Seen>, attempted: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    let failed = |cause, reason: &str| Failure::caused(cause, attempted, reason);
    loop {
        let (phase, presence, held) = {
            let seen = seen.borrow_and_update();
            (seen.status().phase, seen.presence, seen.object.is_held())
        };
        match (phase, presence) {
            (Phase::Active, Presence::There) | (Phase::Healed | Phase::Expired, _) => return Ok(()),
            (Phase::Refused, _) => return Err(not_put_in(seen.borrow().status(), attempted)),
            (Phase::Failed | Phase::Unconfirmed, _) => {
                return Err(failed(Cause::Refused, &seen.borrow().status().message));
            }
            (Phase::Pending | Phase::Active | Phase::Healing | Phase::Unknown, Presence::Gone) => {
                let why = "somebody else has deleted its object";
                return Err(failed(Cause::Unreachable, why));
            }
            (Phase::Pending | Phase::Healing | Phase::Unknown, Presence::There) => {}
        }
        let (limit, why) = if held {
            (PATIENCE, "it does not act yet, and nobody says why: it is taken out again")
        } else {
            (SILENCE, "no controller takes it up")
        };
        if !matches!(timeout_at(begun + limit, seen.changed()).await, Ok(Ok(()))) {
            let failure = failed(Cause::Unreachable, why);
            return Err(failure.hint("`kubectl get pods -n schism` shows the controllers"));
        }
    }
}

/// Why a fault was refused, as the controller says it.
fn not_put_in(status: &Status, attempted: &str) -> Failure {
    let code = status.exit_code;
    let is = |outcome: Outcome| code == Some(outcome.code());
    let cause = if is(Outcome::WrongUsage) {
        Cause::WrongUsage
    } else if is(Outcome::Refused) {
        Cause::Refused
    } else {
        Cause::Unreachable
    };
    Failure::caused(cause, attempted, &status.message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::objects::resource::Object;

    fn object(finalizers: &[&str], status: &Value) -> Object {
        let metadata = json!({"name": "run-7", "uid": "a", "finalizers": finalizers});
        serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_without_an_end() {
        let table: [(&[&str], Duration, &str); 2] =
            [(&[], SILENCE, "no controller"), (&["schism.dev/heal"], PATIENCE, "act yet")];
        for (finalizers, limit, said) in table {
            let pending = Seen::new(object(finalizers, &json!({})));
            let (_sender, mut seen) = watch::channel(pending);
            let began = Instant::now();
            let failure = acts(&mut seen, "cannot cut").await.unwrap_err();
            assert_eq!(
                (began.elapsed().as_secs(), failure.cause),
                (limit.as_secs(), Cause::Unreachable)
            );
            assert!(failure.reason.contains(said), "{failure}");
        }
    }

    #[tokio::test]
    async fn what_is_told_decides_whether_a_fault_acts() {
        let told = async |status: Value, presence: Presence| {
            let seen = Seen { object: object(&[], &status), presence };
            let (_sender, mut seen) = watch::channel(seen);
            acts(&mut seen, "cannot cut").await.map_err(|failure| (failure.cause, failure.reason))
        };
        let (there, gone) = (Presence::There, Presence::Gone);
        assert_eq!(told(json!({"phase": "Active"}), there).await, Ok(()));
        // A kill is over by what it does.
        assert_eq!(told(json!({"phase": "Expired"}), gone).await, Ok(()));
        let said =
            |cause, said: &str| -> Result<(), (Cause, String)> { Err((cause, said.to_owned())) };
        let refused = |code: u8| json!({"phase": "Refused", "message": "no", "exitCode": code});
        let table = [(2, Cause::WrongUsage), (4, Cause::Refused), (5, Cause::Unreachable)];
        for (code, cause) in table {
            assert_eq!(told(refused(code), gone).await, said(cause, "no"));
        }
        let failed = json!({"phase": "Failed", "message": "n1: no room"});
        assert_eq!(told(failed, there).await, said(Cause::Refused, "n1: no room"));
        let deleted = "somebody else has deleted its object";
        assert_eq!(told(json!({}), gone).await, said(Cause::Unreachable, deleted));
    }

    #[test]
    fn what_the_api_server_may_have_done_is_no_refusal() {
        let error = |code, reason| ApiError {
            attempted: "create".to_owned(),
            cause: cluster::Cause::Refused {
                code,
                reason,
                message: String::new(),
                retry_after: None,
            },
        };
        assert!(is_no(&error(403, Reason::Forbidden)) && is_no(&error(422, Reason::Invalid)));
        assert!(!is_no(&error(409, Reason::AlreadyExists)));
        assert!(!is_no(&error(504, Reason::Other("Timeout".to_owned()))));
        let late = cluster::Cause::Late(Duration::from_secs(10));
        assert!(!is_no(&ApiError { attempted: "create".to_owned(), cause: late }));
    }
}
