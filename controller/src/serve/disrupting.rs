//! What is asked of the API server of the controller's cluster: written down, guarded, begun, and told as it goes.

use std::pin::Pin;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::stream::{self, Stream};
use proto::control as wire;
use proto::required;
use tonic::Status;

use super::caller::Caller;
use super::refusal::{self, refuse, refuse_control};
use super::service::{Service, entry, id};
use crate::archive::{Audit, Deed, Node, Verdict};
use crate::control::Standing;
use crate::disruption::is_over;

/// How it stands, whenever that changes.
pub(super) type States = Pin<Box<dyn Stream<Item = Result<wire::Disruption, Status>> + Send>>;

/// Begins what is asked for, or says what it would be.
pub(super) async fn begin(
    service: &Service,
    caller: &Caller,
    what: String,
    request: wire::DisruptRequest,
) -> Result<States, Status> {
    let wire::DisruptRequest { id: number, spec, rehearse } = request;
    let id = id(number)?;
    let spec = required(spec, "spec").map_err(|error| refusal::invalid(&error))?;
    let control = &service.control;
    let mut asked = Audit {
        intent: Some(id.to_string()),
        ..entry(caller, Deed::Disrupt, what, Verdict::Admitted)
    };
    if !rehearse {
        match control.known_disruption(id, &spec).await {
            Ok(None) => {}
            Ok(Some(known)) => {
                service.audit(asked).await?;
                return Ok(told(known));
            }
            Err(error) => {
                asked.verdict = Verdict::Refused(error.to_string());
                service.audit(asked).await?;
                return Err(refuse_control(&error));
            }
        }
    }
    let undertaking = match control.undertake(id, spec, &caller.name, &service.limits).await {
        Ok(undertaking) => undertaking,
        Err(error) => {
            if !rehearse {
                asked.verdict = Verdict::Refused(error.to_string());
                service.audit(asked).await?;
            }
            return Err(refuse(&error));
        }
    };
    if rehearse {
        let mut planned = undertaking.disruption;
        planned.set_stage(wire::DisruptionStage::Unspecified);
        return Ok(Box::pin(stream::iter([Ok(planned)])));
    }
    asked.nodes = undertaking.nodes().into_iter().map(Node).collect();
    let deadline = undertaking.disruption.deadline;
    asked.until = (deadline != 0).then(|| UNIX_EPOCH + Duration::from_nanos(deadline));
    service.audit(asked.clone()).await?;
    match control.disrupt(undertaking).await {
        Ok(standing) => Ok(told(standing)),
        Err(error) => {
            asked.verdict = Verdict::Refused(error.to_string());
            service.audit(asked).await?;
            Err(refuse_control(&error))
        }
    }
}

/// How one stands and whenever that changes, until nothing more comes of it.
fn told(standing: Standing) -> States {
    let next = |standing: Option<(Standing, First)>| async move {
        let (mut standing, first) = standing?;
        if first == First::No {
            // It was not written down to its end: the controller ends.
            standing.changed().await.ok()?;
        }
        let one = standing.borrow_and_update().clone();
        let rest = (!is_over(&one)).then_some((standing, First::No));
        Some((Ok(one), rest))
    };
    Box::pin(stream::unfold(Some((standing, First::Yes)), next))
}

/// Whether anything was told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Yes,
    No,
}
