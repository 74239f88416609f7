//! What a capture comes to: what its agent tells, as bytes of a file and as figures. Pure.

use std::time::Duration;

use fault::{Kept, Packet};
use proto::Invalid;
use proto::agent as wire;
use proto::agent::capture_piece::Kind;
use serde::Serialize;

use super::pcapng;

/// What was told so far.
#[derive(Debug)]
pub(crate) struct Recording {
    /// What is captured, for people.
    target: String,
    kept: Kept,
    devices: Vec<Device>,
    end: Option<End>,
    /// Of the last packet (ns since 1970).
    latest: u64,
}

/// A device of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Device {
    /// Its name, or its index where it was gone before anybody could ask.
    pub(crate) name: String,
    #[serde(skip)]
    index: u32,
    /// Packets that came.
    pub(crate) received: u64,
    /// Packets that were sent.
    pub(crate) sent: u64,
}

/// How a capture has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct End {
    /// How many wanted packets have passed that are not in it.
    pub(crate) missed: u64,
    /// Why.
    pub(crate) why: Why,
}

/// Why a capture has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Why {
    /// Its time was over.
    Time,
    /// It has become as large as it may.
    Full,
    /// The agent has ended.
    AgentEnded,
    /// Somebody has ended the command.
    Interrupted,
    /// Nothing more was heard of it.
    Lost,
}

impl Recording {
    pub(crate) const fn new(target: String, kept: Kept) -> Self {
        Self { target, kept, devices: Vec::new(), end: None, latest: 0 }
    }

    /// What stands first in a file.
    pub(crate) fn beginning(&self, comments: &[String]) -> Vec<u8> {
        let writer = concat!("schism ", env!("CARGO_PKG_VERSION"));
        pcapng::section(writer, comments)
    }

    /// What a piece adds to a file.
    ///
    /// # Errors
    /// It makes no sense.
    pub(crate) fn take(&mut self, piece: wire::CapturePiece) -> Result<Vec<u8>, Invalid> {
        let mut bytes = Vec::new();
        match proto::required(piece.kind, "kind")? {
            Kind::Packets(wire::CapturedPackets { devices, packets }) => {
                for device in devices {
                    bytes.extend(self.device(device.index, &device.name));
                }
                for packet in packets {
                    let packet = Packet::try_from(packet).map_err(|e| e.within("packets"))?;
                    let index = packet.interface;
                    if self.number(index).is_none() {
                        bytes.extend(self.device(index, ""));
                    }
                    let number = self.number(index).unwrap_or_default();
                    bytes.extend(self.packet(number, &packet));
                }
            }
            Kind::End(end) => {
                let why = match end.why() {
                    wire::CaptureEnding::Unspecified => {
                        return Err(Invalid::new("why", "is missing"));
                    }
                    wire::CaptureEnding::Time => Why::Time,
                    wire::CaptureEnding::Full => Why::Full,
                    wire::CaptureEnding::Draining => Why::AgentEnded,
                };
                self.end = Some(End { missed: end.missed, why });
            }
        }
        Ok(bytes)
    }

    /// What stands last in a file: how many packets are not in it, if that is known, and what is to be said of it by
    /// then. Nothing, where no packet has passed.
    pub(crate) fn ending(&self, comments: &[String]) -> Vec<u8> {
        if self.devices.is_empty() {
            return Vec::new();
        }
        let missed = self.end.map(|end| end.missed);
        pcapng::statistics(0, self.latest, missed, comments)
    }

    /// How it has ended; `None` where that was not told.
    pub(crate) const fn end(&self) -> Option<End> {
        self.end
    }

    /// The devices of which packets were told.
    pub(crate) fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// How many packets were told.
    pub(crate) fn packets(&self) -> u64 {
        self.devices.iter().map(|device| device.received + device.sent).sum()
    }

    fn number(&self, index: u32) -> Option<usize> {
        self.devices.iter().position(|device| device.index == index)
    }

    /// A device that was not told before; one that was tells nothing new.
    fn device(&mut self, index: u32, name: &str) -> Vec<u8> {
        if self.number(index).is_some() {
            return Vec::new();
        }
        // Whoever is in the pod names its devices.
        let name = match name {
            "" => format!("if{index}"),
            name => fault::Legible(name).to_string(),
        };
        let bytes = pcapng::interface(&name, &self.target, self.kept.most());
        self.devices.push(Device { name, index, received: 0, sent: 0 });
        bytes
    }

    fn packet(&mut self, number: usize, packet: &Packet) -> Vec<u8> {
        if let Some(device) = self.devices.get_mut(number) {
            let count =
                if packet.way.is_inward() { &mut device.received } else { &mut device.sent };
            *count += 1;
        }
        self.latest = self.latest.max(packet.time);
        pcapng::packet(u32::try_from(number).unwrap_or(u32::MAX), packet)
    }
}

/// How long after its time an agent may still be heard of (15 s).
pub(crate) const GRACE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use fault::PacketWay;

    use super::*;

    fn packet(interface: u32, way: PacketWay, time: u64) -> Packet {
        Packet {
            time,
            interface,
            protocol: 0x0800,
            hardware: 1,
            way,
            sender: None,
            length: 28,
            bytes: vec![0x45; 28],
        }
    }

    fn packets(devices: &[(u32, &str)], packets: &[Packet]) -> wire::CapturePiece {
        let device = |(index, name): &(u32, &str)| wire::CaptureDevice {
            index: *index,
            name: (*name).to_owned(),
        };
        let packets = wire::CapturedPackets {
            devices: devices.iter().map(device).collect(),
            packets: packets.iter().cloned().map(Into::into).collect(),
        };
        wire::CapturePiece { kind: Some(Kind::Packets(packets)) }
    }

    fn end(missed: u64, why: wire::CaptureEnding) -> wire::CapturePiece {
        let end = wire::CaptureEnd { told: 3, missed, why: why.into() };
        wire::CapturePiece { kind: Some(Kind::End(end)) }
    }

    /// The kinds of blocks, each as long as it says at both ends.
    fn blocks(mut bytes: &[u8]) -> Vec<u32> {
        let mut kinds = Vec::new();
        while !bytes.is_empty() {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let length = usize::try_from(word(4)).unwrap();
            assert_eq!(word(length - 4), word(4));
            kinds.push(word(0));
            bytes = &bytes[length..];
        }
        kinds
    }

    #[test]
    fn a_device_stands_before_its_packets_and_is_counted() {
        let mut recording = Recording::new("netns:a".to_owned(), Kept::Headers);
        let mut file = recording.beginning(&[]);
        let eth0 = packets(
            &[(2, "eth0")],
            &[packet(2, PacketWay::Here, 9), packet(2, PacketWay::Out, 10)],
        );
        file.extend(recording.take(eth0).unwrap());
        // It was not told, and another one was told twice.
        let others = packets(&[(2, "eth0")], &[packet(7, PacketWay::Multicast, 5)]);
        file.extend(recording.take(others).unwrap());
        file.extend(recording.take(end(4, wire::CaptureEnding::Full)).unwrap());
        file.extend(recording.ending(&["a cut".to_owned()]));
        assert_eq!(blocks(&file), [0x0a0d_0d0a, 1, 6, 6, 1, 6, 5]);
        let counted = recording.devices().iter();
        let counted: Vec<_> =
            counted.map(|one| (one.name.as_str(), one.received, one.sent)).collect();
        assert_eq!(counted, [("eth0", 1, 1), ("if7", 1, 0)]);
        assert_eq!(recording.packets(), 3);
        assert_eq!(recording.end(), Some(End { missed: 4, why: Why::Full }));
        assert_eq!(recording.latest, 10);
    }

    #[test]
    fn a_device_is_told_on_one_line_whatever_it_is_named() {
        let mut recording = Recording::new("netns:a".to_owned(), Kept::Headers);
        recording.take(packets(&[(2, "a\u{1b}[2J")], &[])).unwrap();
        assert_eq!(recording.devices()[0].name, r"a\u{1b}[2J");
    }

    #[test]
    fn where_nothing_passed_there_is_only_a_beginning() {
        let mut recording = Recording::new("netns:a".to_owned(), Kept::Headers);
        assert!(recording.take(end(0, wire::CaptureEnding::Time)).unwrap().is_empty());
        assert!(recording.ending(&[]).is_empty());
        assert_eq!((recording.packets(), recording.end().unwrap().missed), (0, 0));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut recording = Recording::new("netns:a".to_owned(), Kept::Headers);
        let nothing = wire::CapturePiece { kind: None };
        assert_eq!(recording.take(nothing).unwrap_err().field, "kind");
        let endless = end(0, wire::CaptureEnding::Unspecified);
        assert_eq!(recording.take(endless).unwrap_err().field, "why");
        let mut odd = packets(&[], &[packet(2, PacketWay::Here, 1)]);
        if let Some(Kind::Packets(packets)) = &mut odd.kind {
            packets.packets[0].way = 9;
        }
        assert_eq!(recording.take(odd).unwrap_err().field, "packets.way");
    }
}
