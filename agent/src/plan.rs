//! From a fault and what was observed to steps. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fault::{Cut, Fault, OwnAddress, Prefix, Scheme, Scope, Side, Skew};

use crate::kernel::{Act, Attachment, Device, Observed, Peer, PeerSet, Slot, Step};

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
            | Step::End { .. }
            | Step::Skew { .. }
            | Step::Unskew { .. }
            | Step::Engage { .. }
            | Step::Disengage { .. }
            | Step::Cover { .. } => {}
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
    let networks = target.addresses.iter().filter_map(broadcast_of);
    own.chain(networks).chain(target.broadcasts.iter().copied()).collect()
}

/// The last address of an IPv4 network is a broadcast for the kernel, whether or not the address was
/// given one (`IFA_BROADCAST`, which `ip addr add` leaves out): fib_add_ifaddr, net/ipv4/fib_frontend.c.
fn broadcast_of(own: &OwnAddress) -> Option<IpAddr> {
    match own.address {
        IpAddr::V4(v4) if own.length < 31 => {
            let hosts = u32::MAX.checked_shr(own.length.into()).unwrap_or(0);
            Some(Ipv4Addr::from(u32::from(v4) | hosts).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// At which hooks a cut's peers stand: the enforcing one, and the other one where openers are observed.
#[must_use]
pub fn sides(cut: &Cut) -> BTreeSet<Side> {
    if cut.tracks_flows() { [Side::Ingress, Side::Egress].into() } else { [cut.side].into() }
}

/// The steps that put a skew in place, but for its lease.
#[must_use]
pub fn prepare_skew(skew: &Skew, slot: Slot) -> Vec<Step> {
    vec![Step::Skew { slot, skew: *skew }]
}

/// The steps that put in place what is done to processes, but for its lease.
#[must_use]
pub fn prepare_act(act: Act, slot: Slot) -> Vec<Step> {
    vec![Step::Engage { slot, act }]
}

/// The steps that put a cut in place, but for its lease: maps first, then programs, then openers,
/// which are read only after everything newer is observed.
///
/// # Errors
/// The target has no device to act on.
pub fn prepare(
    fault: &Fault,
    cut: Cut,
    slot: Slot,
    peers: &BTreeSet<Peer>,
    target: &Observed,
    holdings: &Holdings,
) -> Result<Vec<Step>, PlanError> {
    let sides = sides(&cut);
    let mut steps = Vec::new();
    if !holdings.loaded {
        steps.push(Step::Load);
    }
    steps.extend(refresh(target, holdings));
    // The step replaces what was there, and the faults before this one are exempt from theirs, too.
    let mut control_path = holdings.control_path.clone();
    // A pod that is cut from the controller's address still loses its own traffic.
    if matches!(fault.selector.scheme, Scheme::Host(_)) {
        control_path.extend(&fault.control_path);
    }
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

/// The steps that take a fault out again: what put it in, backwards. With the last cut of a target
/// everything goes that cuts need.
#[must_use]
pub fn heal(done: &[Step], remaining: Remaining) -> Vec<Step> {
    let undone = done.iter().rev().filter_map(Step::undo);
    // Programs and maps have nothing to do with it.
    if done.iter().any(|step| matches!(step, Step::Skew { .. } | Step::Engage { .. })) {
        return undone.collect();
    }
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

/// Which cuts stay on a target when a fault leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// No other one.
    Nobody,
    /// Others, and these are the peers whose openers they observe.
    Observed(BTreeSet<Peer>),
}

#[cfg(test)]
mod tests {
    use fault::Interface;

    use super::*;
    use crate::fake::sample::{self, Node, plain_cut};

    fn device(index: u32, kind: &str, above: Option<u32>, below: Option<u32>) -> Device {
        Device {
            interface: Interface {
                index,
                name: format!("eth{index}"),
                kind: Some(kind.to_owned()),
                up: true,
            },
            loopback: index == 1,
            controller: above,
            parent: below,
        }
    }

    fn own(interface: u32, address: &str) -> OwnAddress {
        OwnAddress { address: address.parse().unwrap(), length: 64, interface }
    }

    fn target(devices: Vec<Device>, addresses: Vec<OwnAddress>) -> Observed {
        Observed { devices, addresses, ..Observed::default() }
    }

    fn fault(fixed: &[&str]) -> Fault {
        let mut fault = sample::fault(1, &Node::new().place, &(plain_cut(), BTreeSet::new()));
        fault.peers.fixed = fixed.iter().map(|prefix| prefix.parse().unwrap()).collect();
        fault
    }

    fn peers(
        fixed: &[&str],
        links: &[u32],
        owns: &[&str],
        followed: &[&str],
    ) -> Result<(Vec<(String, u32)>, usize), PlanError> {
        let mut devices = vec![device(1, "", None, None)];
        devices.extend(links.iter().map(|link| device(*link, "veth", None, None)));
        let target = target(devices, owns.iter().map(|address| own(2, address)).collect());
        let followed: Vec<OwnAddress> = followed.iter().map(|address| own(9, address)).collect();
        let resolved = resolve_peers(&fault(fixed), &target, &followed)?;
        let printed = |peer: &Peer| (peer.prefix.to_string(), peer.interface);
        Ok((resolved.peers.iter().map(printed).collect(), resolved.notes.len()))
    }

    fn only(
        peer: &str,
        interface: u32,
        notes: usize,
    ) -> Result<(Vec<(String, u32)>, usize), PlanError> {
        Ok((vec![(peer.to_owned(), interface)], notes))
    }

    #[test]
    fn who_the_peers_are() {
        let one = &[2][..];
        assert_eq!(peers(&["10.0.0.0/8"], one, &[], &[]), only("10.0.0.0/8", 0, 0));
        assert_eq!(peers(&[], one, &[], &["10.0.0.7"]), only("10.0.0.7", 0, 0));
        // Loopback addresses name nobody else.
        assert_eq!(peers(&[], one, &[], &["127.0.0.1", "::1"]), Err(PlanError::NoPeers));
        assert_eq!(peers(&[], one, &[], &[]), Err(PlanError::NoPeers));
        // Who has the address of the target cannot be told from it.
        assert_eq!(
            peers(&[], one, &["10.0.0.7"], &["10.0.0.7", "10.0.0.8"]),
            only("10.0.0.8", 0, 1)
        );
        assert_eq!(peers(&[], one, &["10.0.0.7"], &["10.0.0.7"]), Err(PlanError::OnlyItself));
        assert_eq!(peers(&["10.0.0.9"], one, &["10.0.0.7"], &["10.0.0.7"]), only("10.0.0.9", 0, 1));
    }

    #[test]
    fn a_link_local_peer_needs_its_link() {
        assert_eq!(peers(&[], &[2], &[], &["fe80::7"]), only("fe80::7%2", 2, 0));
        assert_eq!(peers(&[], &[2, 3], &[], &["fe80::7"]), Err(PlanError::NoPeers));
        assert_eq!(peers(&[], &[2, 3], &[], &["fe80::7", "fd00::7"]), only("fd00::7", 0, 1));
        assert_eq!(peers(&["fe80::7%eth3"], &[2, 3], &[], &[]), only("fe80::7%eth3", 3, 0));
        assert_eq!(peers(&["fe80::7%3"], &[2, 3], &[], &[]), only("fe80::7%3", 3, 0));
        let unknown = Err(PlanError::NoInterface("eth9".to_owned()));
        assert_eq!(peers(&["fe80::7%eth9"], &[2, 3], &[], &[]), unknown);
    }

    fn judges(devices: Vec<Device>, addressed: &[u32]) -> Vec<u32> {
        let addresses = addressed.iter().map(|index| own(*index, "10.0.0.1")).collect();
        let target = target(devices, addresses);
        judged(&target).map(|device| device.interface.index).collect()
    }

    #[test]
    fn a_packet_is_judged_once() {
        let lo = || device(1, "", None, None);
        // A port or slave leaves it to its controller.
        for kind in ["bridge", "bond", "team"] {
            let devices = vec![lo(), device(2, "veth", Some(3), None), device(3, kind, None, None)];
            assert_eq!(judges(devices, &[3]), [3], "{kind}");
        }
        // A VRF's member receives itself.
        let vrf = vec![lo(), device(2, "veth", Some(3), None), device(3, "vrf", None, None)];
        assert!(judges(vrf, &[2]).contains(&2));
        // A controller in another namespace is not seen: the device is enslaved all the same.
        assert_eq!(judges(vec![lo(), device(2, "veth", Some(77), None)], &[2]), [0; 0]);
        let vlan = || vec![lo(), device(2, "veth", None, None), device(3, "vlan", None, Some(2))];
        assert_eq!(judges(vlan(), &[3]), [3]);
        assert_eq!(judges(vlan(), &[2, 3]), [2, 3]);
        let addressed = target(vlan(), vec![own(2, "10.0.0.1")]);
        let tagged = refresh(&addressed, &Holdings::default());
        assert!(tagged.contains(&Step::TaggedElsewhere([2].into())), "{tagged:?}");
        assert_eq!(judges(vec![lo()], &[1]), [0; 0]);
    }

    #[test]
    fn a_target_without_a_device_is_refused() {
        let bare = target(vec![device(1, "", None, None)], Vec::new());
        let peers = [Peer { prefix: "10.0.0.7".parse().unwrap(), interface: 0 }].into();
        let planned =
            prepare(&fault(&[]), plain_cut(), sample::slot(0), &peers, &bare, &Holdings::default());
        assert_eq!(planned, Err(PlanError::NoDevice));
    }

    #[test]
    fn control_paths_add_up() {
        let bare = target(vec![device(2, "veth", None, None)], Vec::new());
        let peers: BTreeSet<Peer> =
            [Peer { prefix: "10.0.0.7".parse().unwrap(), interface: 0 }].into();
        let (first, second) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let mut holdings = Holdings::default();
        for (end, all) in [(first, vec![first]), (second, vec![first, second])] {
            let selector = "host:here".parse().unwrap();
            let fault = Fault { control_path: vec![end], selector, ..fault(&[]) };
            let steps =
                prepare(&fault, plain_cut(), sample::slot(0), &peers, &bare, &holdings).unwrap();
            steps.iter().for_each(|step| holdings.note(step));
            assert_eq!(holdings.control_path, all.into_iter().collect());
            let again =
                prepare(&fault, plain_cut(), sample::slot(0), &peers, &bare, &holdings).unwrap();
            assert!(!again.iter().any(|step| matches!(step, Step::ControlPath(_))));
        }
    }

    #[test]
    fn a_control_path_is_exempt_for_the_host_alone() {
        let bare = target(vec![device(2, "veth", None, None)], Vec::new());
        let peers = [Peer { prefix: "10.0.0.7".parse().unwrap(), interface: 0 }].into();
        let end = "10.0.0.7:1".parse().unwrap();
        let fault = Fault { control_path: vec![end], ..fault(&[]) };
        let steps =
            prepare(&fault, plain_cut(), sample::slot(0), &peers, &bare, &Holdings::default())
                .unwrap();
        assert!(!steps.iter().any(|step| matches!(step, Step::ControlPath(_))));
    }
}
