//! What is known of one packet, in the target's terms.

use crate::{
    abi::Side,
    address::Ip,
    flow::Party,
    origin::Origin,
    parse::{Fragment, HIDDEN, Header, Upper},
    tables::{Series, Tables},
    transport::{Kind, Transport},
};

/// Why a packet passes whatever the rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exemption {
    /// It does not.
    None,
    /// Neighbour discovery, or the control path.
    Granted,
}

/// What is known of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Address of the target, or of many.
    pub(crate) local: Ip,
    /// Address of the peer.
    pub(crate) remote: Ip,
    /// Boot time (ns), 0 until it is asked for: reading the clock costs as much as all the rest.
    pub(crate) clock: u64,
    /// Who sent it.
    pub(crate) sender: Party,
    /// The hook.
    pub(crate) side: Side,
    /// The IP header.
    pub(crate) header: Header,
    /// ICMP errors: the IP header that is quoted.
    pub(crate) quoted: Header,
    /// What stands behind its own.
    pub(crate) upper: Upper,
    /// Transport header.
    pub(crate) transport: Transport,
    /// Whether it is exempt.
    pub(crate) exemption: Exemption,
    /// Real traffic or a probe.
    pub(crate) series: Series,
    /// Who opened its flow.
    pub(crate) origin: Origin,
}

impl Sight {
    /// The sight of no packet.
    pub const NONE: Self = Self::of(Side::Ingress, Header::NONE);

    /// What the IP header tells.
    #[inline(always)]
    pub(crate) const fn of(side: Side, header: Header) -> Self {
        let (sender, local, remote) = match side {
            Side::Ingress => (Party::Remote, header.destination, header.source),
            Side::Egress => (Party::Local, header.source, header.destination),
        };
        Self {
            local,
            remote,
            clock: 0,
            sender,
            side,
            upper: Upper { offset: 0, fragment: Fragment::Whole, protocol: HIDDEN },
            header,
            quoted: Header::NONE,
            transport: Transport::bare(Kind::Unreadable),
            exemption: Exemption::None,
            series: Series::Packets,
            origin: Origin::UNKNOWN,
        }
    }

    /// Port of the target, 0 for none.
    #[inline(always)]
    pub(crate) fn local_port(&self) -> u16 {
        match self.side {
            Side::Ingress => self.transport.destination,
            Side::Egress => self.transport.source,
        }
    }

    /// Port of the peer, 0 for none.
    #[inline(always)]
    pub(crate) fn remote_port(&self) -> u16 {
        match self.side {
            Side::Ingress => self.transport.source,
            Side::Egress => self.transport.destination,
        }
    }

    /// Boot time (ns), read once per packet.
    #[inline(always)]
    pub(crate) fn now<T: Tables>(&mut self, tables: &T) -> u64 {
        if self.clock == 0 {
            self.clock = tables.now();
        }
        self.clock
    }
}
