//! What a case sets up, and the decision's tables over it in plain memory.

use std::{collections::HashMap, net::IpAddr};

use agent_ebpf::{abi::*, address::Ip, prefilter, tables::Slot};

/// A second in ns.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// An address in its one form.
pub(crate) fn address(text: &str) -> Address {
    match text.parse::<IpAddr>().unwrap() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// A peer: `address/length`, both of its own family.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) length: u8,
    pub(crate) ifindex: u32,
}

pub(crate) fn peer(text: &str) -> Peer {
    let (network, length) = text.split_once('/').unwrap_or((text, ""));
    let v4 = !network.contains(':');
    let length = match (length, v4) {
        ("", _) => 128,
        (length, true) => length.parse::<u8>().unwrap() + 96,
        (length, false) => length.parse().unwrap(),
    };
    Peer { address: prefilter::mask(&address(network), length), length, ifindex: 0 }
}

/// Everything that user space writes. Times are seconds from now.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) rules: Vec<(Slot, Rule, (i64, i64))>,
    pub(crate) peers: Vec<(Peer, u64)>,
    pub(crate) local: Vec<Address>,
    pub(crate) devices: Vec<(u32, u32)>,
    pub(crate) exempt: Vec<EndpointKey>,
    pub(crate) probes: Vec<PortKey>,
    pub(crate) served: Vec<(PortKey, u8)>,
    pub(crate) flows: Vec<(FlowKey, Flow, i64, i64)>,
    pub(crate) observed: i64,
}

impl World {
    /// Peers of every packet mode rule that loses all, active, in slot 0.
    pub(crate) fn new() -> Self {
        Self {
            rules: Vec::new(),
            peers: Vec::new(),
            local: vec![address("10.0.0.1"), address("fd00::1"), address("fe80::1")],
            devices: Vec::new(),
            exempt: Vec::new(),
            probes: Vec::new(),
            served: Vec::new(),
            flows: Vec::new(),
            observed: -100,
        }
    }

    /// With a fault in `slot`, active from 10 s ago for another 1000 s.
    pub(crate) fn fault(self, slot: Slot, rule: Rule, peers: &[&str]) -> Self {
        self.leased(slot, rule, peers, (-10, 1000))
    }

    /// With a fault and its lease; (0, 0) is none.
    pub(crate) fn leased(
        mut self,
        slot: Slot,
        rule: Rule,
        peers: &[&str],
        lease: (i64, i64),
    ) -> Self {
        self.rules.push((slot, rule, lease));
        self.peers.extend(peers.iter().map(|text| (peer(text), 1 << slot)));
        self
    }

    pub(crate) fn served(mut self, protocol: u8, port: u16, how: u8) -> Self {
        self.served.push((PortKey { port, protocol, pad: 0 }, how));
        self
    }

    /// With flows observed for `seconds`.
    pub(crate) fn observed(mut self, seconds: i64) -> Self {
        self.observed = -seconds;
        self
    }

    /// With a known flow of 10.0.0.1 and 10.0.0.2.
    pub(crate) fn flow(
        mut self,
        protocol: u8,
        ports: (u16, u16),
        flow: Flow,
        began: i64,
        latest: i64,
    ) -> Self {
        let key = FlowKey {
            local: address("10.0.0.1"),
            remote: address("10.0.0.2"),
            local_port: ports.0,
            remote_port: ports.1,
            protocol,
            pad: [0; 3],
        };
        self.flows.push((key, flow, began, latest));
        self
    }

    /// Masks by key, both sides: an observer needs the peers on either.
    pub(crate) fn masks(&self) -> HashMap<PeerKey, u64> {
        let mut masks = HashMap::new();
        for (peer, mask) in &self.peers {
            for side in [Side::Ingress, Side::Egress] {
                let key = PeerKey {
                    address: peer.address,
                    ifindex: peer.ifindex,
                    length: peer.length,
                    side: side as u8,
                    pad: 0,
                };
                *masks.entry(key).or_default() |= mask;
            }
        }
        masks
    }

    pub(crate) fn filter(&self) -> Vec<u64> {
        let mut words = vec![0; prefilter::WORDS as usize];
        for key in self.masks().keys() {
            let side = if key.side == 0 { Side::Ingress } else { Side::Egress };
            let bit = prefilter::index(side, key.length, &key.address);
            words[bit as usize / 64] |= 1 << (bit % 64);
        }
        words
    }

    pub(crate) fn target(&self, now: u64) -> Target {
        let mut families = [Lengths::default(); 2];
        for (peer, _) in &self.peers {
            let v4 = peer.length >= 96 && Ip::from_bytes(&peer.address).masked(96) == Ip::v4(0);
            let lengths = &mut families[usize::from(!v4)];
            let known = &lengths.values[..lengths.count as usize];
            if !known.contains(&peer.length) {
                lengths.values[lengths.count as usize] = peer.length;
                lengths.count += 1;
            }
        }
        Target {
            lengths: [families; 2],
            observed_since: at(now, self.observed),
            probing: u32::from(!self.probes.is_empty()),
            exempting: u32::from(!self.exempt.is_empty()),
            flow_slots: self
                .rules
                .iter()
                .filter(|(_, rule, _)| rule.needs_flows())
                .fold(0, |mask, (slot, _, _)| mask | 1 << slot),
        }
    }

    pub(crate) fn flow_at(&self, index: usize, now: u64) -> (FlowKey, Flow) {
        let (key, flow, began, latest) = self.flows[index];
        let began = if began == 0 { 0 } else { at(now, began) };
        (key, Flow { began, latest: at(now, latest), ..flow })
    }
}

/// The boot time `seconds` from now.
pub(crate) fn at(now: u64, seconds: i64) -> u64 {
    now.checked_add_signed(seconds * SECOND).unwrap()
}

/// A lease from seconds from now; (0, 0) is none.
pub(crate) fn lease(now: u64, (start, end): (i64, i64)) -> Lease {
    if (start, end) == (0, 0) {
        return Lease::default();
    }
    Lease { start: at(now, start), end: at(now, end) }
}
