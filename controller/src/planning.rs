//! From ends and links to faults on nodes. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fault::{
    Aspect, Cut, Enforcement, Fault, FaultId, IntentId, Kind, LeaseTerms, MemberName, NodeName,
    PeerTarget, Peers, Prefix, Scheme, Selector, Side, Target,
};

use crate::provider::kubernetes::Located;
use crate::spec::{Loss, Spec};

/// One end of a cut, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// As it was typed.
    pub selector: Selector,
    /// What it is.
    pub place: Place,
    /// How it was found, for people.
    pub evidence: Vec<String>,
    /// Its name in its group.
    pub member: Option<MemberName>,
    /// The pod that it is, or is in, where that is known.
    pub pod: Option<Box<Located>>,
    /// What keeps it from being of use to its group, as far as that is known.
    pub troubles: Vec<String>,
    /// The pods that its selector names as well and that were not picked, NAMESPACE/NAME; the same for all that were.
    pub passed_over: Arc<BTreeSet<String>>,
}

/// What an end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A target of a node.
    Target(NodeName, Box<Target>),
    /// Addresses, wherever they are, at least one.
    Addresses(Vec<Prefix>),
}

impl Place {
    /// Whether both are the same in this respect, by whatever names: one namespace of one node, or one
    /// process of it; or the same addresses.
    #[must_use]
    pub fn is_same(&self, other: &Self, aspect: Aspect) -> bool {
        match (self, other) {
            (Self::Target(here, one), Self::Target(there, two)) => {
                here == there
                    && match aspect {
                        Aspect::Network => one.identity.namespace == two.identity.namespace,
                        Aspect::Processes => one.identity == two.identity,
                    }
            }
            (Self::Addresses(one), Self::Addresses(two)) => one == two,
            (Self::Target(..), Self::Addresses(_)) | (Self::Addresses(_), Self::Target(..)) => {
                false
            }
        }
    }
}

/// One direction between two ends, by their places in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Direction {
    /// Who sends.
    pub from: usize,
    /// Who would receive.
    pub to: usize,
}

/// One direction of an intent, and the parts that make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Between whom.
    pub direction: Direction,
    /// The numbers of its faults.
    pub parts: Vec<u16>,
}

/// What would be put where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Every direction, with the numbers of its faults.
    pub directions: Vec<Planned>,
    /// The faults, each with its node.
    pub faults: Vec<(NodeName, Fault)>,
}

/// What cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No side is a target.
    #[error("both sides are addresses, so there is no node to enforce it on")]
    OnlyAddresses,
    /// One end is two.
    #[error("{0} and {1} are the same target")]
    Same(Box<Selector>, Box<Selector>),
    /// The other node cannot know it by anything.
    #[error("{0} has no address by which another node would know it")]
    NoAddress(Box<Selector>),
    /// Where it is to be enforced are only addresses.
    #[error("it cannot be enforced at {0}, which is only addresses")]
    Unenforceable(Box<Selector>),
    /// Losses would be drawn twice.
    #[error("losses of less than all at both sides would be drawn twice for every packet")]
    LossTwice,
    /// A host, whose agent would be cut off.
    #[error(
        "where agents reach this controller is not known, and {0} is a host: they might be cut off"
    )]
    NoControlPath(Box<Selector>),
    /// No processes that are its own.
    #[error(
        "{0} has no processes of its own: those of a host are everybody's, and addresses have none"
    )]
    NoProcesses(Box<Selector>),
    /// More faults than an intent has numbers for.
    #[error("it would take more than 65536 faults")]
    TooMany,
}

/// The faults that are in processes, one for each target.
///
/// # Errors
/// An end that has no processes of its own.
pub fn in_processes(
    intent: IntentId,
    kind: Kind,
    terms: LeaseTerms,
    ends: &[End],
) -> Result<Plan, PlanError> {
    let fault = |(number, end): (usize, &End)| {
        let none = || PlanError::NoProcesses(Box::new(end.selector.clone()));
        let Place::Target(node, target) = &end.place else { return Err(none()) };
        if matches!(target.selector.scheme, Scheme::Host(_)) {
            return Err(none());
        }
        let part = u16::try_from(number).map_err(|_| PlanError::TooMany)?;
        let fault = Fault {
            id: FaultId { intent, part },
            selector: target.selector.clone(),
            target: target.identity,
            kind,
            peers: Peers::default(),
            terms,
            control_path: Vec::new(),
        };
        Ok((node.clone(), fault))
    };
    let faults = ends.iter().enumerate().map(fault).collect::<Result<_, _>>()?;
    Ok(Plan { directions: Vec::new(), faults })
}

/// The faults of every direction, each with its node.
///
/// # Errors
/// A direction that makes no sense, or that cannot be enforced where it was asked.
pub fn plan(
    intent: IntentId,
    spec: &Spec,
    loss: &Loss,
    ends: &[End],
    directions: &BTreeSet<Direction>,
    control_path: &BTreeSet<SocketAddr>,
) -> Result<Plan, PlanError> {
    if loss.enforcement == Some(Enforcement::Both) && !loss.cut.loss.is_certain() {
        return Err(PlanError::LossTwice);
    }
    let (mut planned, mut faults) = (Vec::new(), Vec::new());
    for direction in directions {
        let (from, to) = (&ends[direction.from], &ends[direction.to]);
        from.check_other(to)?;
        let mut parts = Vec::new();
        for side in sides(loss, from, to)? {
            let (at, other) = match side {
                Side::Ingress => (to, from),
                Side::Egress => (from, to),
            };
            let Place::Target(node, target) = &at.place else {
                return Err(PlanError::Unenforceable(Box::new(at.selector.clone())));
            };
            let part = u16::try_from(faults.len()).map_err(|_| PlanError::TooMany)?;
            parts.push(part);
            if target.is_host && control_path.is_empty() {
                return Err(PlanError::NoControlPath(Box::new(at.selector.clone())));
            }
            // Those of all agents: the host may be the one where the controller is.
            let exempt = control_path.iter().copied().filter(|_| target.is_host);
            let fault = Fault {
                id: FaultId { intent, part },
                selector: target.selector.clone(),
                target: target.identity,
                // Each part draws its own losses, and the same ones again for the same seed.
                kind: Kind::Cut(Cut {
                    side,
                    seed: spec.seed.wrapping_add(part.into()),
                    ..loss.cut
                }),
                peers: other.peers(node)?,
                terms: spec.terms,
                control_path: exempt.collect(),
            };
            faults.push((node.clone(), fault));
        }
        planned.push(Planned { direction: *direction, parts });
    }
    Ok(Plan { directions: planned, faults })
}

/// Where a direction is enforced. Between two nodes addresses may be translated, and nobody at either end
/// sees by whom: behind a masquerading router the receiver does not see FROM's address, behind a virtual
/// one the sender does not see TO's. Each side finds what the other one cannot, so both are taken where
/// that draws no losses twice.
fn sides(loss: &Loss, from: &End, to: &End) -> Result<Vec<Side>, PlanError> {
    let is_target = |end: &End| matches!(end.place, Place::Target(..));
    let apart = from.node() != to.node() && loss.cut.loss.is_certain();
    match (loss.enforcement, is_target(from), is_target(to)) {
        (_, false, false) => Err(PlanError::OnlyAddresses),
        (None, true, true) if apart => Ok(vec![Side::Ingress, Side::Egress]),
        (None | Some(Enforcement::Receiver), _, true) => Ok(vec![Side::Ingress]),
        (None | Some(Enforcement::Sender), true, _) => Ok(vec![Side::Egress]),
        (Some(Enforcement::Both), true, true) => Ok(vec![Side::Ingress, Side::Egress]),
        (Some(Enforcement::Receiver), _, false) | (Some(Enforcement::Both), true, false) => {
            Err(PlanError::Unenforceable(Box::new(to.selector.clone())))
        }
        (Some(Enforcement::Sender | Enforcement::Both), false, true) => {
            Err(PlanError::Unenforceable(Box::new(from.selector.clone())))
        }
    }
}

impl End {
    /// One of which nothing else is known.
    #[must_use]
    pub fn found(selector: Selector, place: Place, evidence: Vec<String>) -> Self {
        let (member, pod, troubles) = (None, None, Vec::new());
        let passed_over = Arc::default();
        Self { selector, place, evidence, member, pod, troubles, passed_over }
    }

    fn check_other(&self, other: &Self) -> Result<(), PlanError> {
        let same =
            || PlanError::Same(Box::new(self.selector.clone()), Box::new(other.selector.clone()));
        if self.place.is_same(&other.place, Aspect::Network) { Err(same()) } else { Ok(()) }
    }

    /// Its addresses as the node of the other end knows them.
    fn peers(&self, node: &NodeName) -> Result<Peers, PlanError> {
        match &self.place {
            Place::Addresses(prefixes) => Ok(Peers { fixed: prefixes.clone(), followed: None }),
            Place::Target(own, target) if own == node => Ok(Peers {
                fixed: Vec::new(),
                followed: Some(PeerTarget {
                    selector: target.selector.clone(),
                    identity: target.identity,
                }),
            }),
            Place::Target(_, target) => {
                let fixed: Vec<Prefix> = target
                    .addresses
                    .iter()
                    .map(|own| own.address)
                    .filter(travels)
                    .map(Prefix::from)
                    .collect();
                if fixed.is_empty() {
                    return Err(PlanError::NoAddress(Box::new(self.selector.clone())));
                }
                Ok(Peers { fixed, followed: None })
            }
        }
    }

    /// Where it is; `None` for addresses.
    #[must_use]
    pub fn node(&self) -> Option<&NodeName> {
        match &self.place {
            Place::Target(node, _) => Some(node),
            Place::Addresses(_) => None,
        }
    }
}

/// Whether packets with this source can come from another node and mean the same there.
fn travels(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}
