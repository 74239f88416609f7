//! What an intent's actions ask of agents, and what their answers mean.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use experiment::hint::MARK;
use fault::{BootTime, Fault, FaultId, NodeName, Status};
use proto::control as wire;

use super::intent::Intent;
use super::remainder::start;
use crate::agents::Agents;
use crate::failure::{Cause, Failure};
use crate::link::{Link, Rehearsal, Scope, nanos};
use crate::sequence::{Action, Event, Moment, Part, PartState, Refusal};

/// How far ahead faults on several nodes begin, beyond what the clocks are off: the commits must be there
/// by then.
const LEAD: Duration = Duration::from_millis(20);
/// How much further for each node: the time that it takes to tell one.
const EACH: Duration = Duration::from_micros(150);

/// To tell more nodes than this takes longer than their clocks are off.
const FEW: usize = 32;

/// From one attempt to tell an agent of the brake to the next.
const BRAKE_AGAIN: Duration = Duration::from_secs(1);

type Calls = Pin<Box<dyn Future<Output = Vec<Event>> + Send>>;

/// How the brake stands, as somebody knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is on.
    On,
    /// It is off.
    Off,
}

impl Known {
    /// By why new faults are refused, if they are.
    pub(super) const fn of(halted: Option<&String>) -> Self {
        match halted {
            Some(_) => Self::On,
            None => Self::Off,
        }
    }
}

/// Tells an agent how the brake stands; what it knows then, or why it has not confirmed that.
pub(super) async fn brake(mut link: Link, halted: Option<String>) -> Result<Known, String> {
    let told = match &halted {
        Some(reason) => link.halt(reason).await.map(drop),
        None => link.resume().await,
    };
    match told {
        Ok(()) => Ok(Known::of(halted.as_ref())),
        Err(error) => {
            tracing::warn!(reason = error.reason, "an agent was not told how the brake stands");
            Err(error.reason)
        }
    }
}

/// The same, of one that is told again as long as it answers and has not confirmed it: not at once.
pub(super) async fn brake_again(link: Link, halted: Option<String>) -> Option<Known> {
    let known = brake(link, halted).await.ok();
    if known.is_none() {
        tokio::time::sleep(BRAKE_AGAIN).await;
    }
    known
}

/// Makes the calls of an action.
pub(super) fn call(agents: &Agents, intent: &Intent, action: Action) -> Calls {
    match action {
        Action::Record => Box::pin(std::future::ready(Vec::new())),
        Action::Prepare(node) => {
            let faults: Vec<Fault> =
                intent.sequence.of(&node).map(|part| part.fault.clone()).collect();
            let link = agents.link(&node);
            Box::pin(async move {
                let result = match link {
                    Some(mut link) => {
                        let attempted = "cannot put it in place";
                        let prepared = link.prepare(attempted, &faults, Rehearsal::No).await;
                        prepared.map(drop).map_err(|failure| refusal(failure, Absence::Refused))
                    }
                    None => Err(unconnected()),
                };
                vec![Event::Prepared(node, result)]
            })
        }
        Action::Commit(nodes) => {
            let several = nodes.len() > 1;
            let at = agents.now() + lead(agents, &nodes);
            let mut ids: BTreeMap<&NodeName, Vec<FaultId>> = BTreeMap::new();
            for part in intent.sequence.parts() {
                ids.entry(&part.node).or_default().push(part.fault.id);
            }
            let calls: Vec<_> = nodes
                .iter()
                .map(|node| {
                    let there = agents.offset(node).map(|offset| offset.there(at));
                    let ids = ids.remove(node).unwrap_or_default();
                    commit(agents.link(node), node.clone(), ids, there.filter(|_| several))
                })
                .collect();
            Box::pin(async move { futures_util::future::join_all(calls).await })
        }
        Action::Heal(node) => {
            // What has left, or never came, is nothing that a node must know of.
            let stays = |part: &&Part| {
                !part.let_go || part.state.may_be_in() || part.state == PartState::Healing
            };
            let ids = intent.sequence.of(&node).filter(stays).map(|part| part.fault.id).collect();
            let link = agents.link(&node);
            Box::pin(async move {
                let result = match link {
                    Some(mut link) => {
                        let healed = link.heal(&Scope::Faults(ids)).await;
                        healed.map_err(|failure| refusal(failure, Absence::Unknown))
                    }
                    None => Err(unconnected()),
                };
                vec![Event::Healed(node, result)]
            })
        }
        Action::Join(node, ids) => {
            let all = intent.sequence.of(&node).filter(|part| ids.contains(&part.fault.id));
            let faults: Vec<Fault> = all.map(|part| part.fault.clone()).collect();
            let longest = faults.iter().map(|fault| fault.terms.total).max();
            let ends = intent.sequence.ends_by().zip(longest).zip(agents.offset(&node));
            let start = ends.map(|((end, total), offset)| start(end, total, offset));
            let link = agents.link(&node);
            Box::pin(async move {
                let result = match (link, start) {
                    (Some(link), Some(start)) => join(link, &faults, start).await,
                    (Some(_), None) => Err(Refusal::Refused("its clock is not known".to_owned())),
                    (None, _) => Err(Refusal::Refused("its agent is not connected".to_owned())),
                };
                vec![Event::Joined(node, ids, result)]
            })
        }
        Action::Leave(node, ids) => {
            let link = agents.link(&node);
            Box::pin(async move {
                let scope = Scope::Faults(ids.iter().copied().collect());
                let result = match link {
                    Some(mut link) => {
                        let healed = link.heal(&scope).await;
                        healed.map_err(|failure| refusal(failure, Absence::Unknown))
                    }
                    None => Err(unconnected()),
                };
                vec![Event::Left(node, ids, result)]
            })
        }
        Action::List(node) => {
            let link = agents.link(&node);
            let id = intent.id;
            Box::pin(async move {
                let Some(mut link) = link else { return Vec::new() };
                let Ok(statuses) = link.list().await else { return Vec::new() };
                let own = statuses.into_iter().filter(|status| status.fault.id.intent == id);
                vec![Event::Listed(node, own.collect())]
            })
        }
    }
}

/// Has faults come in beside others that act, which is all at once or nothing. What that takes does not prolong them:
/// they count from a start that was chosen before.
async fn join(mut link: Link, faults: &[Fault], start: BootTime) -> Result<Vec<Status>, Refusal> {
    let attempted = "cannot put it in place again";
    let prepared = link.prepare(attempted, faults, Rehearsal::No).await;
    prepared.map_err(|failure| refusal(failure, Absence::Refused))?;
    let ids: Vec<FaultId> = faults.iter().map(|fault| fault.id).collect();
    match link.commit("cannot let it act again", &ids, Some(start)).await {
        Ok(statuses) => Ok(statuses),
        // They are in place: whoever hears of this takes them out.
        Err(failure) => Err(Refusal::Unreachable(failure.reason)),
    }
}

async fn commit(
    link: Option<Link>,
    node: NodeName,
    ids: Vec<FaultId>,
    start: Option<BootTime>,
) -> Event {
    let result = match link {
        Some(mut link) => {
            let committed = link.commit("cannot let it act", &ids, start).await;
            committed.map_err(|failure| refusal(failure, Absence::Refused))
        }
        None => Err(unconnected()),
    };
    Event::Committed(node, result)
}

/// What it means that an agent does not know something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absence {
    /// A target that is gone: it has said no.
    Refused,
    /// The fault itself.
    Unknown,
}

fn unconnected() -> Refusal {
    Refusal::Unreachable("its agent is not connected".to_owned())
}

fn refusal(failure: Failure, absence: Absence) -> Refusal {
    match failure.cause {
        Cause::NotFound if absence == Absence::Unknown => Refusal::Unknown,
        Cause::NotFound
        | Cause::WrongUsage
        | Cause::Refused
        | Cause::Unsupported
        | Cause::Kernel => Refusal::Refused(match failure.hint {
            Some(hint) => format!("{}{MARK}{hint}", failure.reason),
            None => failure.reason,
        }),
        Cause::Unreachable | Cause::Interrupted | Cause::Other => {
            Refusal::Unreachable(failure.reason)
        }
    }
}

/// How far ahead these nodes begin: all of them must have been told by then, whatever their clocks say.
fn lead(agents: &Agents, nodes: &BTreeSet<NodeName>) -> Duration {
    let errors = nodes.iter().filter_map(|node| agents.offset(node)).map(|offset| offset.error);
    let each = EACH.saturating_mul(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
    LEAD + each + errors.max().unwrap_or_default()
}

/// Asks for the clocks of nodes that are to begin at one time, while they prepare.
pub(super) fn ask_clocks(agents: &Agents, parts: &[Part]) {
    let nodes: BTreeSet<&NodeName> = parts.iter().map(|part| &part.node).collect();
    if (2..=FEW).contains(&nodes.len()) {
        nodes.into_iter().for_each(|node| agents.ask_clock(node));
    }
}

/// From the first start to the last, as the nodes have read it back, on this controller's clock.
pub(super) fn spread(agents: &Agents, parts: &[Part]) -> Option<wire::Spread> {
    let mut starts: Vec<Moment> = Vec::new();
    let mut errors: Vec<Duration> = Vec::new();
    for part in parts {
        let lease = part.status.as_ref()?.lease?;
        let offset = agents.offset(&part.node)?;
        starts.push(offset.here(lease.start));
        errors.push(offset.error);
    }
    let (first, last) = (starts.iter().min()?, starts.iter().max()?);
    errors.sort_unstable();
    let worst: Duration = errors.iter().rev().take(2).sum();
    Some(wire::Spread { achieved_ns: nanos(*last - *first), error_ns: nanos(worst) })
}

/// When the first part began to act, as its node has read it back, on this controller's clock.
pub(super) fn began(agents: &Agents, parts: &[Part]) -> Option<Moment> {
    let start = |part: &Part| {
        let lease = part.status.as_ref()?.lease?;
        Some(agents.offset(&part.node)?.here(lease.start))
    };
    parts.iter().filter_map(start).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_about_a_refusal_goes_with_it() {
        let failure = |cause| Failure::caused(cause, "cannot put it in place", "no room");
        let told = refusal(failure(Cause::Refused).hint("make some"), Absence::Refused);
        assert_eq!(told, Refusal::Refused("no room\n  hint: make some".to_owned()));
        let plain = refusal(failure(Cause::Kernel), Absence::Refused);
        assert_eq!(plain, Refusal::Refused("no room".to_owned()));
    }
}
