//! Captures on the wire.

use std::time::Duration;

use fault::{Capture, Kept, NodeNetwork, Packet, PacketWay, Prefix};

use crate::Invalid;
use crate::agent as wire;
use crate::invalid::{known, unspecified};

impl From<&Capture> for wire::Capture {
    fn from(capture: &Capture) -> Self {
        Self {
            peers: capture.peers.iter().map(Into::into).collect(),
            port: capture.port.unwrap_or(0).into(),
            kept: match capture.kept {
                Kept::Headers => 0,
                Kept::Bytes(most) => most.into(),
            },
            total_ns: u64::try_from(capture.total.as_nanos()).unwrap_or(u64::MAX),
            most: capture.most,
            node: match capture.node {
                NodeNetwork::Refused => false,
                NodeNetwork::Meant => true,
            },
        }
    }
}

impl TryFrom<wire::Capture> for Capture {
    type Error = Invalid;

    fn try_from(capture: wire::Capture) -> Result<Self, Invalid> {
        let sixteen = |value: u32, field: &str| {
            u16::try_from(value).map_err(|_| Invalid::new(field, "is above 65535"))
        };
        if capture.peers.len() > Self::MOST_PEERS {
            let reason = format!("has more than {} prefixes", Self::MOST_PEERS);
            return Err(Invalid::new("peers", reason));
        }
        let peers = capture.peers.into_iter().map(Prefix::try_from);
        let peers = peers.collect::<Result<_, _>>().map_err(|error| error.within("peers"))?;
        let total = Duration::from_nanos(capture.total_ns);
        if total.is_zero() || total > Self::LONGEST {
            let reason = format!("is nothing, or more than {} s", Self::LONGEST.as_secs());
            return Err(Invalid::new("total_ns", reason));
        }
        if capture.most == 0 || capture.most > Self::MOST {
            return Err(Invalid::new("most", format!("is not from 1 to {}", Self::MOST)));
        }
        Ok(Self {
            peers,
            port: Some(sixteen(capture.port, "port")?).filter(|port| *port != 0),
            kept: match sixteen(capture.kept, "kept")? {
                0 => Kept::Headers,
                most => Kept::Bytes(most),
            },
            total,
            most: capture.most,
            node: if capture.node { NodeNetwork::Meant } else { NodeNetwork::Refused },
        })
    }
}

impl From<Packet> for wire::CapturedPacket {
    fn from(packet: Packet) -> Self {
        let way = match packet.way {
            PacketWay::Here => wire::PacketWay::Here,
            PacketWay::Broadcast => wire::PacketWay::Broadcast,
            PacketWay::Multicast => wire::PacketWay::Multicast,
            PacketWay::Elsewhere => wire::PacketWay::Elsewhere,
            PacketWay::Out => wire::PacketWay::Out,
        };
        Self {
            time: packet.time,
            interface_index: packet.interface,
            protocol: packet.protocol.into(),
            hardware: packet.hardware.into(),
            way: way.into(),
            sender: packet.sender.map(|sender| sender.to_vec()).unwrap_or_default().into(),
            length: packet.length,
            kept: packet.bytes.into(),
        }
    }
}

impl TryFrom<wire::CapturedPacket> for Packet {
    type Error = Invalid;

    fn try_from(packet: wire::CapturedPacket) -> Result<Self, Invalid> {
        let sixteen = |value: u32, field: &str| {
            u16::try_from(value).map_err(|_| Invalid::new(field, "is above 65535"))
        };
        let sender = match packet.sender.len() {
            0 => None,
            _ => {
                let six = <[u8; 6]>::try_from(packet.sender.as_ref());
                Some(six.map_err(|_| Invalid::new("sender", "has not 6 bytes"))?)
            }
        };
        if packet.kept.len() > usize::from(u16::MAX) {
            return Err(Invalid::new("kept", "has more than 65535 bytes"));
        }
        Ok(Self {
            time: packet.time,
            interface: packet.interface_index,
            protocol: sixteen(packet.protocol, "protocol")?,
            hardware: sixteen(packet.hardware, "hardware")?,
            way: match known(packet.way, "way")? {
                wire::PacketWay::Unspecified => return Err(unspecified("way")),
                wire::PacketWay::Here => PacketWay::Here,
                wire::PacketWay::Broadcast => PacketWay::Broadcast,
                wire::PacketWay::Multicast => PacketWay::Multicast,
                wire::PacketWay::Elsewhere => PacketWay::Elsewhere,
                wire::PacketWay::Out => PacketWay::Out,
            },
            sender,
            length: packet.length,
            bytes: packet.kept.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture() -> Capture {
        Capture {
            peers: vec!["10.0.0.0/24".parse().unwrap(), "fd00::1".parse().unwrap()],
            port: Some(80),
            kept: Kept::Bytes(200),
            total: Duration::from_secs(10),
            most: 1 << 20,
            node: NodeNetwork::Meant,
        }
    }

    fn packet() -> Packet {
        Packet {
            time: 1 << 60,
            interface: 2,
            protocol: 0x86dd,
            hardware: 1,
            way: PacketWay::Multicast,
            sender: Some([1, 2, 3, 4, 5, 6]),
            length: 9_000,
            bytes: vec![0x60, 0, 0],
        }
    }

    #[test]
    fn there_and_back_is_the_same() {
        let others = Capture {
            peers: Vec::new(),
            port: None,
            kept: Kept::Headers,
            node: NodeNetwork::Refused,
            ..capture()
        };
        for capture in [capture(), others] {
            assert_eq!(Capture::try_from(wire::Capture::from(&capture)), Ok(capture));
        }
        let tunnelled = Packet { way: PacketWay::Out, sender: None, bytes: Vec::new(), ..packet() };
        for packet in [packet(), tunnelled] {
            assert_eq!(Packet::try_from(wire::CapturedPacket::from(packet.clone())), Ok(packet));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_field() {
        let field = |change: fn(&mut wire::Capture)| {
            let mut message = wire::Capture::from(&capture());
            change(&mut message);
            Capture::try_from(message).unwrap_err().field
        };
        assert_eq!(field(|asked| asked.total_ns = 0), "total_ns");
        assert_eq!(field(|asked| asked.total_ns = 600_000_000_001), "total_ns");
        assert_eq!(field(|asked| asked.most = 0), "most");
        assert_eq!(field(|asked| asked.most = (1 << 30) + 1), "most");
        assert_eq!(field(|asked| asked.port = 65_536), "port");
        assert_eq!(field(|asked| asked.kept = 65_536), "kept");
        assert_eq!(field(|asked| asked.peers = vec![asked.peers[0].clone(); 65]), "peers");
        assert_eq!(field(|asked| asked.peers[0].length = 200), "peers.length");
        let field = |change: fn(&mut wire::CapturedPacket)| {
            let mut message = wire::CapturedPacket::from(packet());
            change(&mut message);
            Packet::try_from(message).unwrap_err().field
        };
        assert_eq!(field(|told| told.way = 0), "way");
        assert_eq!(field(|told| told.way = 9), "way");
        assert_eq!(field(|told| told.sender = vec![1; 5].into()), "sender");
        assert_eq!(field(|told| told.protocol = 65_536), "protocol");
        assert_eq!(field(|told| told.hardware = 65_536), "hardware");
        assert_eq!(field(|told| told.kept = vec![0; 65_536].into()), "kept");
    }
}
