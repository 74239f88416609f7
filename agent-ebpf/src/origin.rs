//! The origin of a packet: who opened its flow, and when.

use crate::{
    abi::{
        Flow, FlowKey, OPENER_LOCAL, OPENER_REMOTE, PROTOCOL_TCP, PROTOCOL_UDP, PortKey,
        SOURCE_GUESSED, STAGE_OPEN, STAGE_PENDING, Target,
    },
    address::Ip,
    flow::{self, Party},
    packet::Packet,
    sight::Sight,
    tables::Tables,
    transport::{self, Kind, Transport},
};

/// [`Origin::began`] of what is always new.
pub(crate) const ALWAYS_NEW: u64 = u64::MAX;
/// [`Origin::began`] of what began before anybody looked.
pub(crate) const BEFORE: u64 = 0;

/// How the opener is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// By what passed, or by the kernel's own sockets.
    Known,
    /// By listening ports.
    Guessed,
}

/// Who opened a packet's flow, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Boot time (ns), [`ALWAYS_NEW`] or [`BEFORE`].
    pub(crate) began: u64,
    /// `OPENER_*` bits, 0 for unknown.
    pub(crate) openers: u8,
    /// How that is known.
    pub(crate) basis: Basis,
}

impl Origin {
    /// Nobody knows.
    pub(crate) const UNKNOWN: Self = Self { began: BEFORE, openers: 0, basis: Basis::Known };

    #[inline(always)]
    fn of(flow: &Flow) -> Self {
        let basis = if flow.source == SOURCE_GUESSED { Basis::Guessed } else { Basis::Known };
        Self { began: flow.began, openers: flow.openers, basis }
    }

    /// Who opened, for a packet of this sender.
    #[inline(always)]
    pub(crate) fn opened(self, sender: Party) -> Opened {
        match self.openers & (OPENER_LOCAL | OPENER_REMOTE) {
            0 => Opened::Unknown,
            openers if openers == sender.bit() => Opened::Sender,
            _ => Opened::Receiver,
        }
    }
}

/// Finds the origin of a packet and records what the packet tells about its flow.
///
/// Age: a TCP flow without a record is established, since its SYN was not seen; ICMP messages are
/// new, but errors have the age of the flow that they quote; other protocols have no flows here and
/// count as established.
#[inline(always)]
pub(crate) fn observe<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    target: &Target,
    sight: &mut Sight,
) {
    match sight.transport.kind {
        Kind::Tcp => observe_tcp(tables, sight),
        Kind::Udp => observe_udp(tables, target, sight),
        Kind::Error => observe_error(packet, tables, sight),
        Kind::Request => sight.origin = one_off(sight.sender),
        Kind::Reply => sight.origin = one_off(sight.sender.other()),
        Kind::Discovery => sight.origin = Origin { began: ALWAYS_NEW, ..Origin::UNKNOWN },
        Kind::Other | Kind::Unreadable => {}
    }
}

// These are not inlined, so that the kernel counts the stack of the largest only, not of all.
#[inline(never)]
fn observe_tcp<T: Tables>(tables: &T, sight: &mut Sight) {
    sight.origin = tcp(tables, &key(PROTOCOL_TCP, sight), sight.transport.flags, sight);
}

#[inline(never)]
fn observe_udp<T: Tables>(tables: &T, target: &Target, sight: &mut Sight) {
    sight.origin = udp(tables, target, &key(PROTOCOL_UDP, sight), sight);
}

#[inline(never)]
fn observe_error<P: Packet, T: Tables>(packet: &P, tables: &T, sight: &mut Sight) {
    if quote(packet, sight) {
        sight.origin = error(packet, tables, sight);
    }
}

/// Reads the IP header that an ICMP error quotes.
#[inline(never)]
fn quote<P: Packet>(packet: &P, sight: &mut Sight) -> bool {
    let quoted = transport::quoted(packet, &sight.header, &sight.upper);
    if let Some(inner) = quoted {
        sight.quoted = inner;
    }
    quoted.is_some()
}

#[inline(always)]
fn one_off(opener: Party) -> Origin {
    Origin { began: ALWAYS_NEW, openers: opener.bit(), basis: Basis::Known }
}

#[inline(always)]
fn key(protocol: u8, sight: &Sight) -> FlowKey {
    FlowKey {
        local: sight.local.to_bytes(),
        remote: sight.remote.to_bytes(),
        local_port: sight.local_port(),
        remote_port: sight.remote_port(),
        protocol,
        pad: [0; 3],
    }
}

#[inline(always)]
fn tcp<T: Tables>(tables: &T, key: &FlowKey, flags: u8, sight: &mut Sight) -> Origin {
    if !flow::synchronises(flags) {
        let known = tables.flow(key, |known| {
            if known.stage == STAGE_PENDING {
                known.stage = STAGE_OPEN;
            }
            Origin::of(known)
        });
        return match known {
            Some(origin) => origin,
            None => tcp_without_record(tables, key.local_port),
        };
    }
    let (now, sender) = (sight.now(tables), sight.sender);
    let known = tables.flow(key, |known| {
        *known = flow::synchronise(Some(*known), sender, flags, now);
        Origin::of(known)
    });
    match known {
        Some(origin) => origin,
        None => {
            let fresh = flow::synchronise(None, sender, flags, now);
            tables.record(key, &fresh);
            Origin::of(&fresh)
        }
    }
}

/// A flow from before the observation that the socket dump does not know: who connects to a port on
/// which the target listens has opened, and of any other nobody knows.
#[inline(always)]
fn tcp_without_record<T: Tables>(tables: &T, local_port: u16) -> Origin {
    if tables.served(&PortKey { port: local_port, protocol: PROTOCOL_TCP, pad: 0 }) == 0 {
        Origin::UNKNOWN
    } else {
        Origin { began: BEFORE, openers: OPENER_REMOTE, basis: Basis::Guessed }
    }
}

#[inline(always)]
fn udp<T: Tables>(tables: &T, target: &Target, key: &FlowKey, sight: &mut Sight) -> Origin {
    let now = sight.now(tables);
    let known = tables.flow(key, |known| {
        if flow::is_idle(known, now) {
            return None;
        }
        known.latest = now;
        Some(Origin::of(known))
    });
    if let Some(Some(origin)) = known {
        return origin;
    }
    let served = tables.served(&PortKey { port: key.local_port, protocol: PROTOCOL_UDP, pad: 0 });
    match flow::datagram(sight.sender, served, now, target.observed_since) {
        Some(fresh) => {
            tables.record(key, &fresh);
            Origin::of(&fresh)
        }
        None => Origin::UNKNOWN,
    }
}

/// The origin of what an ICMP error quotes, which its receiver sent (or forwarded). The quoted
/// flow's far end may be another host than the error's sender, which may be a router.
#[inline(always)]
fn error<P: Packet, T: Tables>(packet: &P, tables: &T, sight: &Sight) -> Origin {
    let sender = sight.sender;
    let quoted = &sight.quoted;
    let Transport { kind, source: from, destination: to, .. } =
        transport::read_quoted(packet, quoted);
    let protocol = match kind {
        Kind::Tcp => PROTOCOL_TCP,
        Kind::Udp => PROTOCOL_UDP,
        Kind::Request => return one_off(sender.other()),
        Kind::Reply => return one_off(sender),
        Kind::Error | Kind::Discovery | Kind::Other | Kind::Unreadable => return Origin::UNKNOWN,
    };
    let (local, local_port, remote, remote_port): (Ip, u16, Ip, u16) = match sender {
        Party::Remote => (quoted.source, from, quoted.destination, to),
        Party::Local => (quoted.destination, to, quoted.source, from),
    };
    let key = FlowKey {
        local: local.to_bytes(),
        remote: remote.to_bytes(),
        local_port,
        remote_port,
        protocol,
        pad: [0; 3],
    };
    match tables.flow(&key, |known| Origin::of(known)) {
        Some(origin) => origin,
        None => Origin::UNKNOWN,
    }
}

/// What an opener means for a rule that loses what one end sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// The sender opened, alone.
    Sender,
    /// The receiver did, or both at once (RFC 9293 3.5, simultaneous open).
    Receiver,
    /// Nobody knows.
    Unknown,
}
