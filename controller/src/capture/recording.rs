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
    /// How large a file of it is, and how large it may become (bytes).
    size: u64,
    most: u64,
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
    /// How many wanted packets have passed that are not in it; nothing where that is not known.
    pub(crate) missed: Option<u64>,
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
    /// The target is gone.
    TargetGone,
    /// Whoever read it has gone.
    Unread,
    /// Somebody has ended the command.
    Interrupted,
    /// Nothing more was heard of it.
    Lost,
}

impl Recording {
    /// Nothing yet; a file of it may become as large as `most` (bytes).
    pub(crate) const fn new(target: String, kept: Kept, most: u64) -> Self {
        Self { target, kept, size: 0, most, devices: Vec::new(), end: None, latest: 0 }
    }

    /// What stands first in a file, with as many of the comments as leave room for packets and an end.
    pub(crate) fn beginning(&mut self, comments: &[String]) -> Vec<u8> {
        let writer = concat!("schism ", env!("CARGO_PKG_VERSION"));
        let bytes = fitting(comments, beside(self.most) / 2, |some| pcapng::section(writer, some));
        self.size += bytes.len() as u64;
        bytes
    }

    /// What a piece adds to a file. What has no room is none of it, and the recording has ended then.
    ///
    /// # Errors
    /// It makes no sense.
    pub(crate) fn take(&mut self, piece: wire::CapturePiece) -> Result<Vec<u8>, Invalid> {
        let mut bytes = Vec::new();
        match proto::required(piece.kind, "kind")? {
            Kind::Packets(wire::CapturedPackets { devices, packets }) => {
                for device in devices {
                    self.device(device.index, &device.name, &mut bytes);
                }
                for packet in packets {
                    let packet = Packet::try_from(packet).map_err(|e| e.within("packets"))?;
                    self.device(packet.interface, "", &mut bytes);
                    self.packet(&packet, &mut bytes);
                }
            }
            Kind::End(end) => {
                let why = match end.why() {
                    wire::CaptureEnding::Unspecified => {
                        return Err(Invalid::new("why", "is missing"));
                    }
                    wire::CaptureEnding::Time if end.gone => Why::TargetGone,
                    wire::CaptureEnding::Time => Why::Time,
                    wire::CaptureEnding::Full => Why::Full,
                    wire::CaptureEnding::Draining => Why::AgentEnded,
                };
                self.end = Some(End { missed: Some(end.missed), why });
            }
        }
        Ok(bytes)
    }

    /// What stands last in a file: how many packets are not in it, if that is known, and of what is to be said of it by
    /// then as much as has room. Nothing, where no packet has passed.
    pub(crate) fn ending(&self, comments: &[String]) -> Vec<u8> {
        if self.devices.is_empty() {
            return Vec::new();
        }
        let missed = self.end.and_then(|end| end.missed);
        fitting(comments, self.most.saturating_sub(self.size), |some| {
            pcapng::statistics(0, self.latest, missed, some)
        })
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
    fn device(&mut self, index: u32, name: &str, bytes: &mut Vec<u8>) {
        if self.number(index).is_some() {
            return;
        }
        // Whoever is in the pod names its devices.
        let name = match name {
            "" => format!("if{index}"),
            name => fault::Legible(name).to_string(),
        };
        if self.add(&pcapng::interface(&name, &self.target, self.kept.most()), bytes) {
            self.devices.push(Device { name, index, received: 0, sent: 0 });
        }
    }

    /// A packet of a device that was told; of one that had no room there is none.
    fn packet(&mut self, packet: &Packet, bytes: &mut Vec<u8>) {
        let Some(number) = self.number(packet.interface) else { return };
        let block = pcapng::packet(u32::try_from(number).unwrap_or(u32::MAX), packet);
        if !self.add(&block, bytes) {
            return;
        }
        let device = &mut self.devices[number];
        let count = if packet.way.is_inward() { &mut device.received } else { &mut device.sent };
        *count += 1;
        self.latest = self.latest.max(packet.time);
    }

    /// Adds a block, if there is room for it and an end; where there is none there is no more for any other.
    fn add(&mut self, block: &[u8], bytes: &mut Vec<u8>) -> bool {
        let size = self.size + block.len() as u64;
        if self.end.is_some() || size + END > self.most {
            // Its agent has not ended it, and so how many more there are is not known.
            self.end.get_or_insert(End { missed: None, why: Why::Full });
            return false;
        }
        self.size = size;
        bytes.extend(block);
        true
    }
}

/// How much the shortest end takes (bytes).
const END: u64 = 40;
/// The most that is left for what is no packet (bytes).
const BESIDE: u64 = 16 << 10;

/// How much of a file of this size is for what is no packet: its beginning, its devices, its end (bytes).
fn beside(most: u64) -> u64 {
    (most / 4).min(BESIDE)
}

/// How much of a file that may become as large as this is for packets (bytes): for so much an agent is asked.
pub(crate) fn for_packets(most: u64) -> u64 {
    most - beside(most)
}

/// A block with as many of these comments, from the first on, as have room (bytes).
fn fitting(comments: &[String], room: u64, block: impl Fn(&[String]) -> Vec<u8>) -> Vec<u8> {
    let mut some = comments;
    loop {
        let bytes = block(some);
        match some.split_last() {
            Some((_, fewer)) if bytes.len() as u64 > room => some = fewer,
            Some(_) | None => return bytes,
        }
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

    fn recording(most: u64) -> Recording {
        Recording::new("netns:a".to_owned(), Kept::Headers, most)
    }

    fn end(missed: u64, why: wire::CaptureEnding) -> wire::CapturePiece {
        let end = wire::CaptureEnd { told: 3, missed, why: why.into(), gone: false };
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
        let mut recording = recording(1 << 20);
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
        assert_eq!(recording.end(), Some(End { missed: Some(4), why: Why::Full }));
        assert_eq!(recording.latest, 10);
    }

    #[test]
    fn a_device_is_told_on_one_line_whatever_it_is_named() {
        let mut recording = recording(1 << 20);
        recording.take(packets(&[(2, "a\u{1b}[2J")], &[])).unwrap();
        assert_eq!(recording.devices()[0].name, r"a\u{1b}[2J");
    }

    #[test]
    fn where_nothing_passed_there_is_only_a_beginning() {
        let mut recording = recording(1 << 20);
        assert!(recording.take(end(0, wire::CaptureEnding::Time)).unwrap().is_empty());
        assert!(recording.ending(&[]).is_empty());
        assert_eq!((recording.packets(), recording.end().unwrap().missed), (0, Some(0)));
    }

    #[test]
    fn it_is_never_larger_than_it_may_be() {
        let comments: Vec<String> = (0..9).map(|number| format!("{number} ").repeat(30)).collect();
        for most in 1_000..1_400 {
            let mut recording = recording(most);
            let mut file = recording.beginning(&comments);
            let mut told = 0;
            while recording.end().is_none() {
                let one = packet(2 + told % 3, PacketWay::Here, told.into());
                file.extend(recording.take(packets(&[], &[one])).unwrap());
                told += 1;
                assert!(told < 100, "{most}: it has no end");
            }
            assert_eq!(recording.end(), Some(End { missed: None, why: Why::Full }), "{most}");
            // Also after an agent that did not know.
            assert!(
                recording.take(packets(&[], &[packet(2, PacketWay::Out, 1)])).unwrap().is_empty()
            );
            assert_eq!(recording.packets(), u64::from(told) - 1, "{most}");
            file.extend(recording.ending(&comments));
            let size = file.len() as u64;
            assert!(size <= most && size + 200 > most, "{size} of {most}");
            assert_eq!(blocks(&file).last(), Some(&5));
        }
    }

    #[test]
    fn an_agent_is_asked_for_what_has_room() {
        for (most, packets) in [(1_000, 750), (64 << 20, (64 << 20) - (16 << 10))] {
            assert_eq!(for_packets(most), packets);
        }
        assert_eq!(pcapng::statistics(0, 0, Some(0), &[]).len() as u64, END);
    }

    #[test]
    fn the_end_of_a_target_is_told_as_that() {
        let mut recording = recording(1 << 20);
        let mut gone = end(0, wire::CaptureEnding::Time);
        if let Some(Kind::End(end)) = &mut gone.kind {
            end.gone = true;
        }
        recording.take(gone).unwrap();
        assert_eq!(recording.end().unwrap().why, Why::TargetGone);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut recording = recording(1 << 20);
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
