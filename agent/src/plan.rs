//! From a fault and what was observed to steps. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use fault::{Cut, Fault, Kind, OwnAddress, Prefix, Scope, Side};

use crate::kernel::{Attachment, Device, Observed, Peer, PeerSet, Slot, Step};

/// What a target has of ours, as far as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Whether programs and maps are loaded.
    pub loaded: bool,
    /// Where they are attached.
    pub attached: BTreeSet<Attachment>,
    /// What it was told to own.
    pub own: BTreeSet<IpAddr>,
    /// Devices whose tagged frames are judged elsewhere.
    pub tagged: BTreeSet<u32>,
    /// Endpoints that are exempt.
    pub control_path: BTreeSet<SocketAddr>,
}

impl Holdings {
    /// Notes a step that was performed.
    pub fn note(&mut self, step: &Step) {
        match step {
            Step::Load => self.loaded = true,
            Step::Unload => *self = Self::default(),
            Step::Attach(attachment) => {
                self.attached.insert(*attachment);
            }
            Step::Detach(attachment) => {
                self.attached.remove(attachment);
            }
            Step::Own(addresses) => self.own.clone_from(addresses),
            Step::TaggedElsewhere(devices) => self.tagged.clone_from(devices),
            Step::ControlPath(ends) => self.control_path.clone_from(ends),
            Step::Rule { .. }
            | Step::Clear { .. }
            | Step::AddPeers(_)
            | Step::RemovePeers(_)
            | Step::ReadOpeners(_)
            | Step::ForgetOpeners { .. }
            | Step::Begin { .. }
            | Step::Renew { .. }
            | Step::End { .. } => {}
        }
    }
}

/// Why no plan can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The other side has no address that traffic could come from.
    #[error("the other side has no address that it could send from or receive at")]
    NoPeers,
    /// A device of a scope that the target does not have.
    #[error("the target has no interface {0}")]
    NoInterface(String),
    /// The target has no device that could receive.
    #[error("the target has no network device but loopback")]
    NoDevice,
    /// The peers would be the target itself.
    #[error("every address of the other side belongs to the target itself")]
    OnlyItself,
}

/// The peers of a fault, and what of the other side is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Who is meant.
    pub peers: BTreeSet<Peer>,
    /// What is not cut though one might expect it, for people.
    pub notes: Vec<String>,
}

/// Which addresses are the peers of a fault, for a target as observed.
///
/// `followed` are the addresses of the peer target, if the fault has one.
///
/// # Errors
/// Nothing is left that could be a peer.
pub fn resolve_peers(
    fault: &Fault,
    target: &Observed,
    followed: &[OwnAddress],
) -> Result<Resolved, PlanError> {
    let mut resolved = Resolved::default();
    for prefix in &fault.peers.fixed {
        let interface = match prefix.scope() {
            None => 0,
            Some(Scope::Index(index)) => *index,
            Some(Scope::Name(name)) => target
                .devices
                .iter()
                .find(|device| &device.interface.name == name)
                .map(|device| device.interface.index)
                .ok_or_else(|| PlanError::NoInterface(name.clone()))?,
        };
        resolved.peers.insert(Peer { prefix: prefix.clone(), interface });
    }
    let own: BTreeSet<IpAddr> = target.addresses.iter().map(|own| own.address).collect();
    let links: Vec<u32> = judged(target).map(|device| device.interface.index).collect();
    let mut shared = 0_usize;
    for address in followed.iter().filter(|address| address.is_reachable()) {
        if own.contains(&address.address) {
            shared += 1;
            resolved
                .notes
                .push(format!("{} belongs to both sides and is not cut", address.address));
        } else if !address.is_link_local() {
            let prefix = Prefix::host(address.address);
            resolved.peers.insert(Peer { prefix, interface: 0 });
        } else if let ([link], IpAddr::V6(v6)) = (links.as_slice(), address.address) {
            let prefix = Prefix::scoped(v6, Scope::Index(*link));
            resolved.peers.insert(Peer { prefix, interface: *link });
        } else {
            resolved.notes.push(format!(
                "link-local {} is not cut: the target has {} links, and the address means a host \
                 on one of them",
                address.address,
                links.len()
            ));
        }
    }
    match (resolved.peers.is_empty(), shared) {
        (false, _) => Ok(resolved),
        (true, 0) => Err(PlanError::NoPeers),
        (true, _) => Err(PlanError::OnlyItself),
    }
}

/// The devices whose packets are judged: not loopback, no port of a bridge or bond (its controller judges),
/// no bare carrier of VLANs (these judge). A packet is judged once.
pub fn judged(target: &Observed) -> impl Iterator<Item = &Device> {
    let vlans = vlan_parents(target);
    target.devices.iter().filter(move |device| {
        let index = device.interface.index;
        let enslaved = device.controller.is_some_and(|above| !is_vrf(target, above));
        let addressed = target.addresses.iter().any(|own| own.interface == index);
        !device.loopback && !enslaved && (addressed || !vlans.contains(&index))
    })
}

/// A VRF is a controller only in name: its members keep their addresses and receive themselves.
fn is_vrf(target: &Observed, index: u32) -> bool {
    target.devices.iter().any(|device| {
        device.interface.index == index && device.interface.kind.as_deref() == Some("vrf")
    })
}

fn vlan_parents(target: &Observed) -> BTreeSet<u32> {
    target
        .devices
        .iter()
        .filter(|device| device.is_vlan())
        .filter_map(|device| device.parent)
        .collect()
}

fn own_addresses(target: &Observed) -> BTreeSet<IpAddr> {
    let own = target.addresses.iter().map(|own| own.address);
    own.chain(target.broadcasts.iter().copied()).collect()
}

/// At which hooks a cut's peers stand: the enforcing one, and the other one where openers are observed.
#[must_use]
pub fn sides(cut: &Cut) -> BTreeSet<Side> {
    if cut.tracks_flows() { [Side::Ingress, Side::Egress].into() } else { [cut.side].into() }
}

/// The steps that put a fault in place, but for its lease: maps first, then programs, then openers,
/// which are read only after everything newer is observed.
///
/// # Errors
/// The target has no device to act on.
pub fn prepare(
    fault: &Fault,
    slot: Slot,
    peers: &BTreeSet<Peer>,
    target: &Observed,
    holdings: &Holdings,
) -> Result<Vec<Step>, PlanError> {
    let Kind::Cut(cut) = fault.kind;
    let sides = sides(&cut);
    let mut steps = Vec::new();
    if !holdings.loaded {
        steps.push(Step::Load);
    }
    steps.extend(refresh(target, holdings));
    // The step replaces what was there, and the faults before this one are exempt from theirs, too.
    let mut control_path = holdings.control_path.clone();
    control_path.extend(&fault.control_path);
    if control_path != holdings.control_path {
        steps.push(Step::ControlPath(control_path));
    }
    steps.push(Step::Rule { slot, cut });
    let wanted = wanted(target, &sides);
    if wanted.is_empty() {
        return Err(PlanError::NoDevice);
    }
    steps.push(Step::AddPeers(PeerSet { slot, sides, peers: peers.clone() }));
    steps.extend(wanted.difference(&holdings.attached).copied().map(Step::Attach));
    if cut.tracks_flows() {
        steps.push(Step::ReadOpeners(peers.clone()));
    }
    Ok(steps)
}

/// Where programs belong.
#[must_use]
pub fn wanted(target: &Observed, sides: &BTreeSet<Side>) -> BTreeSet<Attachment> {
    judged(target)
        .flat_map(|device| {
            let interface = device.interface.index;
            sides.iter().map(move |side| Attachment { interface, side: *side })
        })
        .collect()
}

/// The steps that tell the programs what the target owns by now.
#[must_use]
pub fn refresh(target: &Observed, holdings: &Holdings) -> Vec<Step> {
    let mut steps = Vec::new();
    let own = own_addresses(target);
    if own != holdings.own {
        steps.push(Step::Own(own));
    }
    let tagged = vlan_parents(target);
    if tagged != holdings.tagged {
        steps.push(Step::TaggedElsewhere(tagged));
    }
    steps
}

/// The steps that take a fault out again: what put it in, backwards. With the last fault of a target
/// everything goes.
#[must_use]
pub fn heal(done: &[Step], remaining: Remaining) -> Vec<Step> {
    let undone = done.iter().rev().filter_map(Step::undo);
    match remaining {
        Remaining::Nobody => vec![Step::Unload],
        Remaining::Observed(kept) => {
            let mut steps: Vec<Step> =
                undone.filter(|step| !matches!(step, Step::Unload | Step::Detach(_))).collect();
            let mut peers = BTreeSet::new();
            for step in done {
                if let Step::ReadOpeners(observed) = step {
                    peers.extend(observed.iter().cloned());
                }
            }
            if !peers.is_empty() {
                steps.push(Step::ForgetOpeners { peers, kept });
            }
            steps
        }
    }
}

/// Who stays on a target when a fault leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// No other fault.
    Nobody,
    /// Others, and these are the peers whose openers they observe.
    Observed(BTreeSet<Peer>),
}
