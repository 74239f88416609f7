//! Packets that are looked at as they pass a target.

use std::time::Duration;

use crate::Prefix;

/// Which packets of a target are wanted, how much of each, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Only packets from or to these, at most [`Self::MOST_PEERS`]; all, if there are none.
    pub peers: Vec<Prefix>,
    /// Only packets from or to this port, of protocols that have ports.
    pub port: Option<u16>,
    /// How much of each.
    pub kept: Kept,
    /// How long, at most [`Self::LONGEST`].
    pub total: Duration,
    /// How much is told at most, counted as [`Packet::cost`] does (bytes), itself at most [`Self::MOST`]. It ends
    /// before what would be more.
    pub most: u64,
    /// Whether the network of the whole node is meant.
    pub node: NodeNetwork,
}

/// How much of each packet is kept, from its network header on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Its headers, as far as the kernel knows them, and no payload; at most [`Kept::HEADERS`].
    Headers,
    /// So many bytes, whatever they are; at least one.
    Bytes(u16),
}

/// What becomes of a target that has the network of the whole node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeNetwork {
    /// It is refused.
    Refused,
    /// It is meant.
    Meant,
}

/// A packet that has passed a device of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When, by the node's own clock (ns since 1970).
    pub time: u64,
    /// Index of the device in the target's namespace; 0 where that is not known.
    pub interface: u32,
    /// EtherType (IEEE 802 numbers).
    pub protocol: u16,
    /// Kind of the device (ARPHRD_… of linux/if_arp.h).
    pub hardware: u16,
    /// Which way.
    pub way: PacketWay,
    /// Who sent it on the link, where that has addresses of six bytes.
    pub sender: Option<[u8; 6]>,
    /// How long it was (bytes, from its network header on).
    pub length: u32,
    /// What is kept of it.
    pub bytes: Vec<u8>,
}

/// Which way a packet passes a device (packet(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketWay {
    /// It came, for the target.
    Here,
    /// It came, for everybody on the link.
    Broadcast,
    /// It came, for a group.
    Multicast,
    /// It came, for somebody else.
    Elsewhere,
    /// It was sent.
    Out,
}

impl Capture {
    /// The longest (10 min): its socket keeps the target's network namespace.
    pub const LONGEST: Duration = Duration::from_secs(600);
    /// The most that is told of one (1 GiB).
    pub const MOST: u64 = 1 << 30;
    /// The most prefixes: each is some instructions for every packet.
    pub const MOST_PEERS: usize = 64;
}

impl Kept {
    /// The most that headers may be (bytes): IPv6 with TCP and all of its options has 100, IPv4 120.
    pub const HEADERS: u16 = 128;

    /// The most that is kept of one packet (bytes).
    #[must_use]
    pub const fn most(self) -> u16 {
        match self {
            Self::Headers => Self::HEADERS,
            Self::Bytes(most) => most,
        }
    }
}

impl Packet {
    /// What it takes beside its own bytes in a file (bytes).
    pub const BESIDE: u64 = 64;

    /// What it takes in a file (bytes), where its end is filled up to the next multiple of four.
    #[must_use]
    pub fn cost(&self) -> u64 {
        Self::BESIDE + self.bytes.len().next_multiple_of(4) as u64
    }
}

impl PacketWay {
    /// Whether it came to the target's device.
    #[must_use]
    pub const fn is_inward(self) -> bool {
        match self {
            Self::Here | Self::Broadcast | Self::Multicast | Self::Elsewhere => true,
            Self::Out => false,
        }
    }
}
