//! Selectors over all agents, right before the injection.

use std::collections::BTreeMap;
use std::time::Duration;

use fault::{Aspect, NodeName, Pick, Scheme, Selector};

use super::clusters::Clusters;
use super::{pods, services};
use crate::agents::Agents;
use crate::failure::{Cause, Failure};
use crate::link::Link;
use crate::planning::{End, Place};
use crate::provider::kubernetes::{GroupsError, Kubernetes, PodsError};
use crate::sight::{AskError, Members, Player, Sight, SightError};
use crate::spec::IsService;

/// How long all agents together may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a selector does not name what was meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No agent finds it.
    #[error("{selector} names nothing on {asked}")]
    Nothing {
        /// What was asked for.
        selector: Selector,
        /// Who was asked.
        asked: String,
    },
    /// Several, and no pick.
    #[error("{selector} names {} targets: {}", matches.len(), matches.join(", "))]
    Ambiguous {
        /// What was asked for.
        selector: Selector,
        /// What it names.
        matches: Vec<String>,
    },
    /// Fewer than picked.
    #[error("{selector} asks for more than the {found} that there are")]
    TooFew {
        /// What was asked for.
        selector: Selector,
        /// How many there are.
        found: usize,
    },
    /// The node that is meant has no agent here.
    #[error("the agent of node {0} is not connected")]
    Unreachable(NodeName),
    /// Whether there are more is not known.
    #[error("{selector} may name more: the agent of {} is not connected", list(away))]
    Away {
        /// What was asked for.
        selector: Selector,
        /// The nodes that could not be asked.
        away: Vec<NodeName>,
    },
    /// An agent could not say.
    #[error("{node}: {reason}")]
    Agent {
        /// Which.
        node: NodeName,
        /// What it said.
        reason: String,
    },
    /// An agent will not have it touched.
    #[error("{node}: {reason}")]
    Refused {
        /// Which.
        node: NodeName,
        /// Why not.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// Other targets than were meant before.
    #[error("{selector}: {other}")]
    Other {
        /// What was asked for.
        selector: Selector,
        /// Which.
        other: String,
    },
    /// A role that leads to no target.
    #[error("{selector}: {error}")]
    Sight {
        /// What was asked for.
        selector: Selector,
        /// Why.
        error: Box<SightError>,
    },
    /// A service where only targets make sense.
    #[error(transparent)]
    Service(#[from] IsService),
    /// Pods that are not found, or cannot be hit.
    #[error("{selector}: {error}")]
    Pods {
        /// What was asked for.
        selector: Selector,
        /// Why.
        error: Box<PodsError>,
    },
}

/// As what something is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// What it sends is lost.
    Sender,
    /// What is sent to it is lost.
    Receiver,
    /// One of those between which something is lost.
    Member,
    /// Something is done to its processes.
    Processes,
}

impl Role {
    /// Where nothing is said but what of it is meant.
    pub(super) const fn of(aspect: Aspect) -> Self {
        match aspect {
            Aspect::Network => Self::Receiver,
            Aspect::Processes => Self::Processes,
        }
    }

    pub(super) const fn aspect(self) -> Aspect {
        match self {
            Self::Sender | Self::Receiver | Self::Member => Aspect::Network,
            Self::Processes => Aspect::Processes,
        }
    }
}

/// What a selector names over all agents, after its pick.
///
/// # Errors
/// Nothing, several without a pick, what is left alone, or an agent that must be asked and cannot be.
pub(super) async fn ends(
    agents: &Agents,
    clusters: &Clusters,
    selector: &Selector,
    role: Role,
    seed: u64,
    sight: &Sight,
) -> Result<Vec<End>, ResolveError> {
    let (aspect, kubernetes) = (role.aspect(), clusters.kubernetes());
    let found = match &selector.scheme {
        // Of those it was looked at who may be hit before anybody was asked for them.
        Scheme::Kubernetes(pods) => match pods.service() {
            Some(name) => {
                return services::ends(kubernetes, agents, selector, (pods, name), role).await;
            }
            None => return pods::ends(kubernetes, agents, selector, pods, aspect, seed).await,
        },
        Scheme::Addr(prefix) => {
            let place = Place::Addresses(vec![prefix.clone()]);
            let (selector, evidence) = (selector.clone(), Vec::new());
            return Ok(vec![End::found(selector, place, evidence)]);
        }
        Scheme::Etcd(members) => {
            let found = of_group(selector, seed, sight, Members::Etcd(members))?;
            return at_home(agents, kubernetes, selector, found, aspect).await;
        }
        Scheme::Zeebe(members) => {
            let found = of_group(selector, seed, sight, Members::Zeebe(members))?;
            return at_home(agents, kubernetes, selector, found, aspect).await;
        }
        Scheme::Netns(_)
        | Scheme::Pid(_)
        | Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Host(_) => of_nodes(agents, selector, aspect, seed).await?,
    };
    pods::admit(kubernetes, selector, found).await
}

/// What agents know by the name of a selector, after its pick.
async fn of_nodes(
    agents: &Agents,
    selector: &Selector,
    aspect: Aspect,
    seed: u64,
) -> Result<Vec<End>, ResolveError> {
    let end = |place, evidence| End::found(selector.clone(), place, evidence);
    let (asked, away) = whom(agents, selector)?;
    // How many there are is part of what was asked.
    let counts = matches!(selector.pick, Some(Pick::All | Pick::Percent(_)));
    if counts && !away.is_empty() {
        return Err(ResolveError::Away { selector: selector.clone(), away });
    }
    let names: Vec<String> = asked.keys().map(ToString::to_string).collect();
    let mut questions = tokio::task::JoinSet::new();
    for (node, mut link) in asked {
        let plain = Selector { pick: None, node: None, ..selector.clone() };
        questions.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, link.resolve(&plain, aspect)).await;
            (node, answer)
        });
    }
    let mut found = Vec::new();
    while let Some(answered) = questions.join_next().await {
        // One that ends without an answer has panicked, which is told with its place.
        let Ok((node, answer)) = answered else { continue };
        let late =
            || ResolveError::Agent { node: node.clone(), reason: "no answer in time".to_owned() };
        match answer.map_err(|_| late())? {
            Ok(targets) => {
                let mut evidence = vec![format!("the agent of {node} found it")];
                if !away.is_empty() {
                    evidence.push(format!("not asked, for they are away: {}", list(&away)));
                }
                let ends = targets.into_iter().map(|target| {
                    end(Place::Target(node.clone(), Box::new(target)), evidence.clone())
                });
                found.extend(ends);
            }
            Err(failure) if is_absence(&failure) => {}
            Err(Failure { cause: Cause::Refused, reason, hint, .. }) => {
                let hint = hint.unwrap_or_default();
                return Err(ResolveError::Refused { node, reason, hint });
            }
            Err(failure) => {
                return Err(ResolveError::Agent { node, reason: failure.reason });
            }
        }
    }
    // By name, not by arrival: the same seed must pick the same.
    found.sort_by_key(name);
    pick(selector, found, seed, name, || names.join(", "))
}

fn of_group(
    selector: &Selector,
    seed: u64,
    sight: &Sight,
    members: Members<'_>,
) -> Result<Vec<Player>, ResolveError> {
    let found = sight.players(selector, members);
    let mut found = found.map_err(|error| unseen(selector, error))?;
    found.retain(|one| selector.node.is_none() || one.end.node() == selector.node.as_ref());
    let asked = || selector.node.as_ref().map_or("any node".to_owned(), ToString::to_string);
    pick(selector, found, seed, |one| name(&one.end), asked)
}

/// Why a role leads nowhere; where that is due to pods, as it is of pods.
fn unseen(selector: &Selector, error: SightError) -> ResolveError {
    let selector = selector.clone();
    match error {
        SightError::Pods(error) | SightError::Ask(AskError::Groups(GroupsError::Pods(error))) => {
            ResolveError::Pods { selector, error }
        }
        SightError::Away { pod, node, reason } => {
            ResolveError::Agent { node, reason: format!("pod {pod} is there: {reason}") }
        }
        error @ (SightError::NoCluster(_)
        | SightError::Unnamed { .. }
        | SightError::Unknown { .. }
        | SightError::Ask(_)
        | SightError::Select(_)
        | SightError::Unowned { .. }
        | SightError::Owned { .. }) => ResolveError::Sight { selector, error: Box::new(error) },
    }
}

/// Who was picked: of pods of a namespace it was looked at who may be hit before anybody was asked for them.
async fn at_home(
    agents: &Agents,
    kubernetes: Option<&Kubernetes>,
    selector: &Selector,
    found: Vec<Player>,
    aspect: Aspect,
) -> Result<Vec<End>, ResolveError> {
    let elsewhere = found.iter().all(|player| player.home.is_none());
    let found = pods::members(agents, selector, found, aspect).await?;
    if elsewhere { pods::admit(kubernetes, selector, found).await } else { Ok(found) }
}

/// Another node's own name is not found on this one, which is no trouble.
fn is_absence(failure: &Failure) -> bool {
    matches!(failure.cause, Cause::NotFound)
}

/// Who is asked, and who would be but is away.
fn whom(
    agents: &Agents,
    selector: &Selector,
) -> Result<(BTreeMap<NodeName, Link>, Vec<NodeName>), ResolveError> {
    let named = match (&selector.node, &selector.scheme) {
        (Some(node), _) | (None, Scheme::Host(node)) => Some(node),
        (None, Scheme::Netns(_) | Scheme::Pid(_) | Scheme::Container(_) | Scheme::Pod(_)) => None,
        (None, Scheme::Addr(_) | Scheme::Etcd(_) | Scheme::Zeebe(_) | Scheme::Kubernetes(_)) => {
            None
        }
    };
    match named {
        None => {
            let away = agents.seen().into_iter().filter(|agent| !agent.connected);
            Ok((agents.links(), away.map(|agent| agent.node).collect()))
        }
        Some(node) => {
            let link = agents.link(node).ok_or_else(|| ResolveError::Unreachable(node.clone()))?;
            Ok((BTreeMap::from([(node.clone(), link)]), Vec::new()))
        }
    }
}

fn list(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

fn name(end: &End) -> String {
    match &end.place {
        Place::Target(node, target) => match &end.member {
            Some(member) => format!("{member} ({}@{node})", target.selector),
            None => format!("{}@{node}", target.selector),
        },
        Place::Addresses(prefixes) => {
            let all: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
            format!("addr:{}", all.join(","))
        }
    }
}

/// Those of what was found, in the order of its names, that are meant.
pub(crate) fn pick<T>(
    selector: &Selector,
    found: Vec<T>,
    seed: u64,
    name: impl Fn(&T) -> String,
    asked: impl FnOnce() -> String,
) -> Result<Vec<T>, ResolveError> {
    let count = found.len();
    if count == 0 {
        let asked = match asked() {
            nobody if nobody.is_empty() => "any node: no agent is connected".to_owned(),
            nodes => nodes,
        };
        return Err(ResolveError::Nothing { selector: selector.clone(), asked });
    }
    match selector.pick {
        Some(pick) => pick
            .choose(found, seed)
            .ok_or_else(|| ResolveError::TooFew { selector: selector.clone(), found: count }),
        None if count == 1 => Ok(found),
        None => Err(ResolveError::Ambiguous {
            selector: selector.clone(),
            matches: found.iter().map(name).collect(),
        }),
    }
}
