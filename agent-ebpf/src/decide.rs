//! The decision over a packet.
//!
//! In the order of cost: nearly all packets concern no fault, and are passed after one read of the
//! IP header and one look at the prefilter per prefix length in use.

use core::ops::ControlFlow;

use crate::{
    abi::{
        DEVICE_TAGGED_ELSEWHERE, EndpointKey, Lengths, MAX_LENGTHS, PROTOCOL_ICMP, PROTOCOL_TCP,
        PROTOCOL_UDP, PeerKey, PortKey, Side, Target,
    },
    address::Ip,
    origin,
    packet::{Addressee, Packet, Tag},
    parse::{self, Family, Network},
    prefilter,
    sight::{Exemption, Sight},
    tables::{Series, Tables, Words},
    transport::{self, Kind, Transport},
    verdict::{self, Verdict},
};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Pass,
    /// It is lost.
    Lose,
}

/// Decides over a packet at one side of the target, and counts.
#[inline(always)]
pub fn decide<P: Packet, T: Tables>(packet: &P, tables: &T, side: Side) -> Outcome {
    tables.seen(side, |seen| seen.packets += 1);
    let header = match parse::header(packet) {
        Network::Other => return Outcome::Pass,
        Network::Broken => {
            tables.seen(side, |seen| seen.unparsable += 1);
            return Outcome::Pass;
        }
        Network::Ip(header) => header,
    };
    let (Some(target), Some(filter)) = (tables.target(), tables.filter()) else {
        return Outcome::Pass;
    };
    let remote = match side {
        Side::Ingress => header.source,
        Side::Egress => header.destination,
    };
    let [v4, v6] = &target.lengths[side as usize];
    let slots = match header.family {
        // In IPv4's form the upper half is zero, which the compiler is told once for all lengths.
        Family::V4 => {
            let remote = Ip { high: 0, low: remote.low };
            candidates(packet, tables, filter, v4, side, |length| remote.masked_v4(length))
        }
        Family::V6 => candidates(packet, tables, filter, v6, side, |length| remote.masked(length)),
    };
    if slots == 0 {
        return Outcome::Pass;
    }
    meet(packet, tables, side, slots)
}

/// The slots that the remote address concerns, of which `network` gives the network by length.
#[inline(always)]
fn candidates<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    filter: &Words,
    lengths: &Lengths,
    side: Side,
    network: impl Fn(u8) -> Ip,
) -> u64 {
    let mut slots = 0;
    for position in 0..MAX_LENGTHS {
        if position as u32 >= lengths.count {
            break;
        }
        let length = lengths.values[position];
        let network = network(length);
        let bit = prefilter::index_of(side, length, network);
        if filter[bit as usize / 64] >> (bit % 64) & 1 != 0 {
            // A network of fe80::/10 is of link-local peers, or so wide that an index is no help.
            slots |= tables.peer(&PeerKey {
                address: network.to_bytes(),
                ifindex: if network.is_link_local() { packet.ifindex() } else { 0 },
                length,
                side: side as u8,
                pad: 0,
            });
        }
    }
    slots
}

/// Decides over a packet from or to a peer. Not inlined, and it reads the header again: what it
/// keeps would be kept for every stranger, too.
///
/// Nor are its parts: in the kernel each gives its stack back before the next one, since a chain of
/// calls has 512 bytes, and the verifier goes on from one state of the registers.
#[inline(never)]
fn meet<P: Packet, T: Tables>(packet: &P, tables: &T, side: Side, slots: u64) -> Outcome {
    tables.workspace(|sight| {
        if !recognise(packet, tables, side, sight) {
            return Outcome::Pass;
        }
        examine(packet, tables, sight);
        observe(packet, tables, slots, sight);
        sentence(packet, tables, slots, sight)
    })
}

/// Whether the packet is the target's own; then the sight begins with what the IP header tells.
#[inline(never)]
fn recognise<P: Packet, T: Tables>(packet: &P, tables: &T, side: Side, sight: &mut Sight) -> bool {
    let Network::Ip(header) = parse::header(packet) else { return false };
    *sight = Sight::of(side, header);
    is_for_target(packet, tables, sight)
}

/// Whether the packet is one that the target itself receives or sends here, and not one that it
/// forwards or that another device of it will show again.
#[inline(always)]
fn is_for_target<P: Packet, T: Tables>(packet: &P, tables: &T, sight: &Sight) -> bool {
    if packet.tag() == Tag::Beside && tables.device(packet.ifindex()) & DEVICE_TAGGED_ELSEWHERE != 0
    {
        return false;
    }
    let for_many = match sight.side {
        Side::Ingress if packet.addressee() == Addressee::OtherDevice => return false,
        Side::Ingress => sight.local.is_for_many(),
        Side::Egress => false,
    };
    for_many || tables.is_local(&sight.local.to_bytes())
}

/// Reads what stands behind the IP header.
#[inline(never)]
fn examine<P: Packet, T: Tables>(packet: &P, tables: &T, sight: &mut Sight) {
    let Some(target) = tables.target() else { return };
    sight.upper = parse::upper(packet, &sight.header);
    sight.transport = transport::read(packet, &sight.header, &sight.upper);
    sight.exemption = exemption(tables, target, sight);
    sight.series = series(tables, target, sight);
}

/// Finds and records who opened the packet's flow, on whichever side and whatever the lease: an
/// observer that began with the lease would take the middle of a flow for its beginning.
#[inline(never)]
fn observe<P: Packet, T: Tables>(packet: &P, tables: &T, slots: u64, sight: &mut Sight) {
    let Some(target) = tables.target() else { return };
    if target.flow_slots & slots != 0 {
        origin::observe(packet, tables, target, sight);
    }
}

#[inline(always)]
fn exemption<T: Tables>(tables: &T, target: &Target, sight: &Sight) -> Exemption {
    let granted = match sight.transport.kind {
        Kind::Discovery => true,
        Kind::Tcp if target.exempting != 0 => {
            let is_exempt = |end: &Ip, port| {
                tables.is_exempt(&EndpointKey { address: end.to_bytes(), port, pad: 0 })
            };
            // An agent that dials from here, or the controller that others dial.
            is_exempt(&sight.remote, sight.remote_port())
                || is_exempt(&sight.local, sight.local_port())
        }
        Kind::Tcp
        | Kind::Udp
        | Kind::Request
        | Kind::Reply
        | Kind::Error
        | Kind::Other
        | Kind::Unreadable => false,
    };
    if granted { Exemption::Granted } else { Exemption::None }
}

#[inline(always)]
fn series<T: Tables>(tables: &T, target: &Target, sight: &Sight) -> Series {
    if target.probing == 0 {
        return Series::Packets;
    }
    let is_probe = |protocol, port| tables.is_probe(&PortKey { port, protocol, pad: 0 });
    let Transport { kind, source, destination, identifier, .. } = sight.transport;
    let probes = match kind {
        Kind::Tcp => is_probe(PROTOCOL_TCP, source) || is_probe(PROTOCOL_TCP, destination),
        Kind::Udp => is_probe(PROTOCOL_UDP, source) || is_probe(PROTOCOL_UDP, destination),
        Kind::Request | Kind::Reply => identifier != 0 && is_probe(PROTOCOL_ICMP, identifier),
        Kind::Error | Kind::Discovery | Kind::Other | Kind::Unreadable => false,
    };
    if probes { Series::Probes } else { Series::Packets }
}

/// Judges by one slot after the other until one loses the packet.
#[inline(never)]
fn sentence<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    slots: u64,
    sight: &mut Sight,
) -> Outcome {
    let mut rest = slots;
    let mut unreadable = 0;
    let mut outcome = Outcome::Pass;
    tables.each_slot(&mut |slot| {
        if rest == 0 {
            return ControlFlow::Break(());
        }
        let concerned = rest & 1 != 0;
        rest >>= 1;
        if !concerned {
            return ControlFlow::Continue(());
        }
        match verdict::judge(packet, tables, sight, slot) {
            Verdict::Pass => {}
            Verdict::Unreadable => unreadable = 1,
            Verdict::Lose => {
                outcome = Outcome::Lose;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    if unreadable != 0 {
        tables.seen(sight.side, |seen| seen.unparsable += 1);
    }
    outcome
}
