//! From what was typed and what was found to faults. Pure: what is random comes in as numbers.

use std::collections::HashSet;
use std::time::Duration;

use fault::{
    Chance, Cut, Enforcement, Fault, FaultId, FlowAge, IntentId, Kind, LeaseTerms, Mode,
    PeerTarget, Peers, Prefix, Protocol, Scheme, Selector, Side, Target, TermsError, Verdict,
};

use crate::cli::{CutArgs, NamedError, NoPods, NoRole};
use crate::output::quantity::time;
use crate::settings::Names;
use crate::spec::{Between, OnRestart, Ways};

/// The shortest cut. Putting one in takes some tens of milliseconds; one that is shorter may be over
/// before anything has been read back of it.
const SHORTEST: Duration = Duration::from_millis(100);

/// A cut as it was asked for, checked as far as that goes without an agent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Between whom.
    pub(crate) between: Between,
    /// Where it is enforced, if that was said.
    pub(crate) enforcement: Option<Enforcement>,
    /// For how long.
    pub(crate) terms: LeaseTerms,
    /// What it loses; the side is set per fault.
    pub(crate) cut: Cut,
    /// What becomes of it when pods go, if that was said.
    pub(crate) restarts: Option<OnRestart>,
}

/// One side of a cut, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// Something that faults can be put on.
    Target(Box<Target>),
    /// Addresses, wherever they are.
    Addresses(Prefix),
}

/// What one side sends to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Direction {
    /// Who sends.
    pub(crate) from: Party,
    /// Who would receive.
    pub(crate) to: Party,
}

/// A cut that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error(transparent)]
    Name(#[from] NamedError),
    #[error(transparent)]
    NoRole(#[from] NoRole),
    #[error(transparent)]
    NoPods(#[from] NoPods),
    #[error("both sides are addr:, so there is no side on this machine to enforce it at")]
    OnlyAddresses,
    #[error("--port selects by a port, and icmp has none")]
    PortOfIcmp,
    #[error("--loss {0} with --enforce both would draw twice for every packet")]
    LossTwice(Chance),
    #[error("--enforce {asked} does not go with {selector}, which is only addresses")]
    Unenforceable { asked: Enforcement, selector: String },
    #[error("--for {} is too short: a cut lasts at least {}", time(*.0), time(SHORTEST))]
    TooShort(Duration),
    #[error("{0}")]
    Terms(TermsError),
    #[error("{from} and {to} are the same network namespace")]
    SameTarget { from: String, to: String },
    #[error("addr:{address} is an address of {target} itself")]
    OwnAddress { address: Prefix, target: String },
    #[error("the cut has more than 65536 parts")]
    TooMany,
}

impl RequestError {
    /// One thing to do about it.
    pub(crate) fn hint(&self) -> String {
        let hint = match self {
            Self::Name(error) => return error.hint(),
            Self::NoRole(error) => return error.hint(),
            Self::NoPods(_) => "leave it out",
            Self::OnlyAddresses => "name a target of this machine on one side, such as netns:NAME",
            Self::PortOfIcmp => "leave --port out, or select --proto tcp or udp",
            Self::LossTwice(_) => "enforce it at one side",
            Self::Unenforceable { .. } => "leave --enforce out: the other side is then used",
            Self::TooShort(_) => "ask for a longer --for",
            Self::Terms(TermsError::Lease) => "ask for a longer --lease",
            Self::Terms(TermsError::Total) => "it lasts 7 days at most",
            Self::SameTarget { .. } => {
                "what stays inside of one namespace does not pass a network; name another one"
            }
            Self::OwnAddress { .. } => {
                "what stays inside of one namespace does not pass a network; name an address of the \
                 other side"
            }
            Self::TooMany => "pick fewer targets",
        };
        hint.to_owned()
    }
}

impl Request {
    /// Checks what was typed.
    ///
    /// # Errors
    /// It makes no sense, whatever the names stand for.
    pub(crate) fn new(
        args: &CutArgs,
        names: &Names,
        random_seed: u64,
    ) -> Result<Self, RequestError> {
        let between = between(args, names)?;
        let restarts = args.restart.of(between.lists().into_iter().flatten())?;
        let enforcement = args.enforce.map(Enforcement::from);
        let protocol = args.proto.map(Protocol::from);
        if args.port.is_some() && protocol == Some(Protocol::Icmp) {
            return Err(RequestError::PortOfIcmp);
        }
        if enforcement == Some(Enforcement::Both) && !args.loss.is_certain() {
            return Err(RequestError::LossTwice(args.loss));
        }
        check_places(&between, enforcement)?;
        if args.total < SHORTEST {
            return Err(RequestError::TooShort(args.total));
        }
        let lease = if args.detach { args.total } else { args.lease };
        Ok(Self {
            between,
            restarts,
            enforcement,
            terms: LeaseTerms::new(lease, args.total).map_err(RequestError::Terms)?,
            cut: Cut {
                mode: Mode::from(args.mode),
                protocol,
                port: args.port,
                flows: FlowAge::from(args.flows),
                loss: args.loss,
                seed: args.seed.unwrap_or(random_seed),
                verdict: if args.shadow { Verdict::Count } else { Verdict::Drop },
                side: Side::Ingress,
            },
        })
    }

    /// One direction or both.
    pub(crate) const fn ways(&self) -> Ways {
        match self.between {
            Between::Pair { ways, .. } => ways,
            Between::Partition { .. } | Between::Groups(_) => Ways::One,
        }
    }

    /// Every direction of the cut: each FROM to each TO, and then the other way.
    ///
    /// # Errors
    /// A FROM and a TO are the same target.
    pub(crate) fn directions(
        &self,
        from: &[Party],
        to: &[Party],
    ) -> Result<Vec<Direction>, RequestError> {
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
        let mut directions = Vec::new();
        let mut seen = HashSet::new();
        for (from, to) in pairs {
            if let (Party::Target(from), Party::Target(to)) = (from, to) {
                let ends = (from.identity.namespace, to.identity.namespace);
                if ends.0 == ends.1 {
                    let (from, to) = (from.selector.to_string(), to.selector.to_string());
                    return Err(RequestError::SameTarget { from, to });
                }
                // Two names of one namespace (containers of a pod) are one target.
                if !seen.insert(ends) {
                    continue;
                }
            }
            let direction = Direction { from: from.clone(), to: to.clone() };
            direction.check_addresses()?;
            directions.push(direction);
        }
        if self.ways() == Ways::Both {
            let back: Vec<Direction> = directions.iter().map(Direction::reversed).collect();
            directions.extend(back);
        }
        Ok(directions)
    }

    /// The faults that make the cut.
    ///
    /// # Errors
    /// Too many of them.
    pub(crate) fn faults(
        &self,
        intent: IntentId,
        directions: &[Direction],
    ) -> Result<Vec<Fault>, RequestError> {
        let mut faults = Vec::new();
        for direction in directions {
            for side in direction.sides(self.enforcement) {
                let part = u16::try_from(faults.len()).map_err(|_| RequestError::TooMany)?;
                let (target, peer) = match side {
                    Side::Ingress => (&direction.to, &direction.from),
                    Side::Egress => (&direction.from, &direction.to),
                };
                let Party::Target(target) = target else { continue };
                // Each part draws its own losses, and the same ones again for the same --seed.
                let seed = self.cut.seed.wrapping_add(part.into());
                faults.push(Fault {
                    id: FaultId { intent, part },
                    selector: target.selector.clone(),
                    target: target.identity,
                    kind: Kind::Cut(Cut { side, seed, ..self.cut }),
                    peers: peer.peers(),
                    terms: self.terms,
                    control_path: Vec::new(),
                });
            }
        }
        Ok(faults)
    }
}

fn between(args: &CutArgs, names: &Names) -> Result<Between, RequestError> {
    let mut from = args.from.stands_for(names)?;
    let mut to = args.to.as_ref().map(|to| to.stands_for(names)).transpose()?;
    let mut around = args.around.as_ref().map(|around| around.stands_for(names)).transpose()?;
    let others = to.iter_mut().chain(&mut around).flatten();
    args.within.apply(from.iter_mut().chain(others))?;
    Ok(match args.preset {
        Some(preset) => {
            Between::Partition { preset, group: from, around: around.unwrap_or_default() }
        }
        None => Between::Pair {
            from,
            to: to.unwrap_or_default(),
            ways: if args.both_ways { Ways::Both } else { Ways::One },
        },
    })
}

/// Refuses what could not be enforced anywhere, or not where it was asked.
fn check_places(between: &Between, enforcement: Option<Enforcement>) -> Result<(), RequestError> {
    let Between::Pair { from, to, ways } = between else { return Ok(()) };
    let of_addresses = |selector: &Selector| matches!(selector.scheme, Scheme::Addr(_));
    if from.iter().any(of_addresses) && to.iter().any(of_addresses) {
        return Err(RequestError::OnlyAddresses);
    }
    let Some(asked) = enforcement else { return Ok(()) };
    let needs: &[&[Selector]] = match (asked, ways) {
        (Enforcement::Receiver, Ways::One) => &[to],
        (Enforcement::Sender, Ways::One) => &[from],
        (Enforcement::Both, _) | (_, Ways::Both) => &[from, to],
    };
    match needs.iter().flat_map(|side| side.iter()).find(|selector| of_addresses(selector)) {
        Some(selector) => {
            Err(RequestError::Unenforceable { asked, selector: selector.to_string() })
        }
        None => Ok(()),
    }
}

impl Party {
    fn peers(&self) -> Peers {
        match self {
            Self::Target(target) => Peers {
                fixed: Vec::new(),
                followed: Some(PeerTarget {
                    selector: target.selector.clone(),
                    identity: target.identity,
                }),
            },
            Self::Addresses(prefix) => Peers { fixed: vec![prefix.clone()], followed: None },
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Target(target) => target.selector.to_string(),
            Self::Addresses(prefix) => format!("addr:{prefix}"),
        }
    }
}

impl Direction {
    /// The other way.
    pub(crate) fn reversed(&self) -> Self {
        Self { from: self.to.clone(), to: self.from.clone() }
    }

    /// Refuses a single address that the target has itself. A prefix may well hold both sides.
    fn check_addresses(&self) -> Result<(), RequestError> {
        let (target, prefix) = match (&self.from, &self.to) {
            (Party::Target(target), Party::Addresses(prefix))
            | (Party::Addresses(prefix), Party::Target(target)) => (target, prefix),
            (Party::Target(_), Party::Target(_)) | (Party::Addresses(_), Party::Addresses(_)) => {
                return Ok(());
            }
        };
        let is_own = target.addresses.iter().any(|own| prefix.contains(own.address));
        if prefix.length() == 128 && is_own {
            let (address, target) = (prefix.clone(), target.selector.to_string());
            return Err(RequestError::OwnAddress { address, target });
        }
        Ok(())
    }

    fn sides(&self, enforcement: Option<Enforcement>) -> Vec<Side> {
        let usual = match self.to {
            Party::Target(_) => Enforcement::Receiver,
            Party::Addresses(_) => Enforcement::Sender,
        };
        match enforcement.unwrap_or(usual) {
            Enforcement::Receiver => vec![Side::Ingress],
            Enforcement::Sender => vec![Side::Egress],
            Enforcement::Both => vec![Side::Egress, Side::Ingress],
        }
    }
}

#[cfg(test)]
mod tests;
