//! Files of packets: pcapng (draft-ietf-opsawg-pcapng), little endian, with times in nanoseconds.
//!
//! Packets stand in the form LINUX_SLL2 of tcpdump.org/linktypes: what is known of the link, then the packet from
//! its network header on. So devices of every kind fit in.

use fault::{Packet, PacketWay};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
/// By which a reader knows the order of bytes.
const ORDER: u32 = 0x1a2b_3c4d;
/// LINKTYPE_LINUX_SLL2.
const LINK_TYPE: u16 = 276;
/// How long the header of that form is (bytes).
const LINK_HEADER: u32 = 20;

// Options.
const END: u16 = 0;
const COMMENT: u16 = 1;
const SECTION_WRITER: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_DESCRIPTION: u16 = 3;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const STATISTICS_DROPPED: u16 = 7;
/// The longest text of one (bytes), which has 16 bits for its length.
const LONGEST: usize = 60_000;

/// One block.
struct Block(Vec<u8>);

impl Block {
    fn new(kind: u32) -> Self {
        let mut block = Self(Vec::new());
        block.word(kind);
        // Its length, which is not known yet.
        block.word(0);
        block
    }

    fn half(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    fn word(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    /// In two words, the higher one first.
    fn time(&mut self, nanos: u64) {
        self.word((nanos >> 32) as u32);
        self.word(nanos as u32);
    }

    /// Up to the next multiple of four.
    fn fill(&mut self) {
        let length = self.0.len().next_multiple_of(4);
        self.0.resize(length, 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.half(code);
        // No longer than LONGEST.
        self.half(u16::try_from(value.len()).unwrap_or(u16::MAX));
        self.0.extend(value);
        self.fill();
    }

    fn text(&mut self, code: u16, text: &str) {
        let end = text.floor_char_boundary(LONGEST);
        self.option(code, &text.as_bytes()[..end]);
    }

    fn end(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() + 4).unwrap_or(u32::MAX).to_le_bytes();
        self.0[4..8].copy_from_slice(&length);
        self.0.extend(length);
        self.0
    }
}

/// The beginning of a file, with what is to be said of all of it.
pub(crate) fn section(writer: &str, comments: &[String]) -> Vec<u8> {
    let mut block = Block::new(SECTION);
    block.word(ORDER);
    // Version 1.0; how long the section is is not said.
    block.half(1);
    block.half(0);
    block.0.extend([0xff; 8]);
    for comment in comments {
        block.text(COMMENT, comment);
    }
    block.text(SECTION_WRITER, writer);
    block.option(END, &[]);
    block.end()
}

/// A device; the first of a file is number 0. `kept` is how much there is of each packet at most (bytes).
pub(crate) fn interface(name: &str, description: &str, kept: u16) -> Vec<u8> {
    let mut block = Block::new(INTERFACE);
    block.half(LINK_TYPE);
    block.half(0);
    block.word(LINK_HEADER + u32::from(kept));
    block.text(INTERFACE_NAME, name);
    block.text(INTERFACE_DESCRIPTION, description);
    block.option(INTERFACE_RESOLUTION, &[9]);
    block.option(END, &[]);
    block.end()
}

/// A packet of the device of this number.
pub(crate) fn packet(number: u32, packet: &Packet) -> Vec<u8> {
    let mut block = Block::new(PACKET);
    let kept = u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX);
    block.word(number);
    block.time(packet.time);
    block.word(LINK_HEADER.saturating_add(kept));
    block.word(LINK_HEADER.saturating_add(packet.length));
    block.0.extend(link_header(packet));
    block.0.extend(&packet.bytes);
    block.fill();
    block.option(PACKET_FLAGS, &flags(packet.way).to_le_bytes());
    block.option(END, &[]);
    block.end()
}

/// What is known at the end of the device of this number: how many packets of all devices were not seen.
pub(crate) fn statistics(
    number: u32,
    time: u64,
    missed: Option<u64>,
    comments: &[String],
) -> Vec<u8> {
    let mut block = Block::new(STATISTICS);
    block.word(number);
    block.time(time);
    for comment in comments {
        block.text(COMMENT, comment);
    }
    if let Some(missed) = missed {
        block.option(STATISTICS_DROPPED, &missed.to_le_bytes());
    }
    block.option(END, &[]);
    block.end()
}

/// How much of the beginning of these bytes is whole blocks.
pub(super) fn whole(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(length) = bytes.get(end + 4..end + 8) {
        let length = length.try_into().map_or(0, u32::from_le_bytes);
        let next = usize::try_from(length).ok().and_then(|length| end.checked_add(length));
        match next.filter(|next| (end + 1..=bytes.len()).contains(next)) {
            Some(next) => end = next,
            None => break,
        }
    }
    end
}

/// In network byte order.
fn link_header(packet: &Packet) -> [u8; 20] {
    let mut header = [0; 20];
    header[0..2].copy_from_slice(&packet.protocol.to_be_bytes());
    header[4..8].copy_from_slice(&packet.interface.to_be_bytes());
    header[8..10].copy_from_slice(&packet.hardware.to_be_bytes());
    header[10] = match packet.way {
        PacketWay::Here => 0,
        PacketWay::Broadcast => 1,
        PacketWay::Multicast => 2,
        PacketWay::Elsewhere => 3,
        PacketWay::Out => 4,
    };
    if let Some(sender) = packet.sender {
        header[11] = 6;
        header[12..18].copy_from_slice(&sender);
    }
    header
}

/// Direction (bits 0 and 1), and to whom (bits 2 to 4).
const fn flags(way: PacketWay) -> u32 {
    match way {
        PacketWay::Here => 0b0_0101,
        PacketWay::Multicast => 0b0_1001,
        PacketWay::Broadcast => 0b0_1101,
        PacketWay::Elsewhere => 0b1_0001,
        PacketWay::Out => 0b0_0010,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Packet {
        Packet {
            time: 0x0000_0001_0000_0002,
            interface: 7,
            protocol: 0x0800,
            hardware: 1,
            way: PacketWay::Out,
            sender: Some([2, 0, 0, 0, 0, 9]),
            length: 1_000,
            bytes: vec![0x45, 0, 3],
        }
    }

    #[test]
    fn blocks_are_these_bytes() {
        let table: [(&str, Vec<u8>, &[u8]); 4] = [
            (
                "section",
                section("schism", &["a cut".to_owned()]),
                &[
                    0x0a, 0x0d, 0x0d, 0x0a, 56, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 0xff,
                    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 5, 0, b'a', b' ', b'c', b'u',
                    b't', 0, 0, 0, 4, 0, 6, 0, b's', b'c', b'h', b'i', b's', b'm', 0, 0, 0, 0, 0,
                    0, 56, 0, 0, 0,
                ],
            ),
            (
                "interface",
                interface("eth0", "a", 128),
                &[
                    1, 0, 0, 0, 48, 0, 0, 0, 0x14, 1, 0, 0, 148, 0, 0, 0, 2, 0, 4, 0, b'e', b't',
                    b'h', b'0', 3, 0, 1, 0, b'a', 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 48,
                    0, 0, 0,
                ],
            ),
            (
                "packet",
                packet(1, &sent()),
                &[
                    6, 0, 0, 0, 68, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 23, 0, 0, 0, 0xfc,
                    3, 0, 0, 8, 0, 0, 0, 0, 0, 0, 7, 0, 1, 4, 6, 2, 0, 0, 0, 0, 9, 0, 0, 0x45, 0,
                    3, 0, 2, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0, 68, 0, 0, 0,
                ],
            ),
            (
                "statistics",
                statistics(1, 0x0000_0001_0000_0002, Some(3), &[]),
                &[
                    5, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 0, 8, 0, 3, 0,
                    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0,
                ],
            ),
        ];
        for (name, block, expected) in table {
            assert_eq!(block, expected, "{name}");
            assert_eq!(block.len() % 4, 0, "{name}");
        }
    }

    #[test]
    fn a_packet_takes_what_it_is_said_to() {
        for length in 0..5 {
            let packet_of = Packet { bytes: vec![1; length], ..sent() };
            assert_eq!(packet(0, &packet_of).len() as u64, packet_of.cost(), "{length}");
        }
    }

    #[test]
    fn whole_blocks_are_told_from_the_beginning_of_one() {
        let first = section("schism", &[]);
        let both = [first.clone(), packet(0, &sent())].concat();
        for cut in 0..=both.len() {
            let expected = match cut {
                _ if cut == both.len() => both.len(),
                _ if cut >= first.len() => first.len(),
                _ => 0,
            };
            assert_eq!(whole(&both[..cut]), expected, "{cut}");
        }
        // It would never end.
        assert_eq!(whole(&[0; 64]), 0);
    }

    #[test]
    fn a_text_that_is_too_long_is_shortened_between_two_letters() {
        let long = "é".repeat(40_000);
        let block = section("schism", &[long]);
        assert_eq!(block[26..28], 60_000_u16.to_le_bytes());
        assert_eq!(block[4..8], block[block.len() - 4..]);
        let text = std::str::from_utf8(&block[28..60_028]).unwrap();
        assert!(text.chars().all(|letter| letter == 'é'));
    }

    #[test]
    fn readers_learn_which_way_a_packet_went() {
        let ways = [
            (PacketWay::Here, 0, 1),
            (PacketWay::Broadcast, 1, 1),
            (PacketWay::Multicast, 2, 1),
            (PacketWay::Elsewhere, 3, 1),
            (PacketWay::Out, 4, 2),
        ];
        for (way, kind, direction) in ways {
            let header = link_header(&Packet { way, ..sent() });
            assert_eq!((header[10], flags(way) & 3), (kind, direction), "{way:?}");
            assert_eq!(way.is_inward(), direction == 1);
        }
        let header = link_header(&Packet { sender: None, ..sent() });
        assert_eq!(header[11..], [0; 9]);
    }
}
