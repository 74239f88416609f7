//! A classic BPF program (linux/filter.h) by which the kernel picks packets, and says how much of each is kept.
//!
//! It sees a packet from its network header on, as a packet socket of type SOCK_DGRAM does.

use fault::{Capture, Kept, Prefix};

/// One instruction (struct sock_filter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// What is done.
    pub(crate) code: u16,
    /// How many are skipped where it is true.
    pub(crate) jt: u8,
    /// How many are skipped where it is false.
    pub(crate) jf: u8,
    /// With what.
    pub(crate) k: u32,
}

// linux/bpf_common.h. A is the accumulator, X the index register, P the packet.
/// A = P[k..k+4], big endian, or what stands beside the packet.
const LOAD_WORD: u16 = 0x20;
/// A = P[k..k+2].
const LOAD_HALF: u16 = 0x28;
/// A = P[k].
const LOAD_BYTE: u16 = 0x30;
/// A = P[X+k..X+k+2].
const LOAD_HALF_AT_X: u16 = 0x48;
/// X = 4 × (P[k] & 15): how long an IPv4 header is.
const X_HEADER_LENGTH: u16 = 0xb1;
/// A &= k.
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ABOVE: u16 = 0x25;
const JUMP_IF_ANY_BIT: u16 = 0x45;
/// Keep k bytes; none for a packet that is not wanted.
const RETURN: u16 = 0x06;
/// Keep A bytes.
const RETURN_A: u16 = 0x16;

/// Where words stand that are no bytes of the packet (SKF_AD_OFF, −0x1000), and which.
const BESIDE: u32 = 0xffff_f000;
const ETHER_TYPE: u32 = BESIDE;
const PACKET_TYPE: u32 = BESIDE + 4;
const DEVICE_TYPE: u32 = BESIDE + 28;
/// How long all headers are together (skb_get_poff); 0 where the kernel cannot tell.
const PAYLOAD_OFFSET: u32 = BESIDE + 52;

const OUTGOING: u32 = 4;
const LOOPBACK: u32 = 772;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
/// It has no payload.
const ARP: u32 = 0x0806;
/// Protocols with a source and a destination port in their first four bytes: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u32; 5] = [6, 17, 33, 132, 136];
/// Shortest headers of a network, where the kernel cannot tell more.
const SHORTEST_IPV4: u32 = 20;
const SHORTEST_IPV6: u32 = 40;
/// What is kept of any other protocol: where its payload begins nobody knows.
const SHORTEST_OTHER: u32 = 8;

/// Where a program goes on, before it is known where that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    V4,
    V4Ports,
    V6,
    V6Ports,
    Wanted,
}

/// A program that is being written.
#[derive(Default)]
struct Draft {
    code: Vec<Instruction>,
    begun: Vec<(Part, usize)>,
    /// Jumps, by their place.
    open: Vec<(usize, Part)>,
}

const fn instruction(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

impl Draft {
    fn add(&mut self, code: u16, k: u32) {
        self.code.push(instruction(code, k));
    }

    /// Skips so many where the test holds, and so many where it does not.
    fn test(&mut self, code: u16, k: u32, jt: u8, jf: u8) {
        self.code.push(Instruction { code, jt, jf, k });
    }

    fn jump(&mut self, part: Part) {
        self.open.push((self.code.len(), part));
        self.add(JUMP, 0);
    }

    /// Goes there where A is this.
    fn jump_if(&mut self, value: u32, part: Part) {
        self.test(JUMP_IF_EQUAL, value, 0, 1);
        self.jump(part);
    }

    fn begin(&mut self, part: Part) {
        self.begun.push((part, self.code.len()));
    }

    fn end(mut self) -> Vec<Instruction> {
        for (place, part) in self.open {
            let begun = self.begun.iter().find(|(known, _)| *known == part);
            let target = begun.map_or(place + 1, |(_, target)| *target);
            // Only forward: a part begins behind whatever leads there.
            self.code[place].k = u32::try_from(target - place - 1).unwrap_or(u32::MAX);
        }
        self.code
    }
}

/// The program for a capture; at most about 2,000 instructions, of the 4,096 that a kernel takes.
pub(crate) fn program(capture: &Capture) -> Vec<Instruction> {
    let mut draft = Draft::default();
    // What a loopback device sends comes back to it: told once, as something that came.
    draft.add(LOAD_WORD, DEVICE_TYPE);
    draft.test(JUMP_IF_EQUAL, LOOPBACK, 0, 3);
    draft.add(LOAD_WORD, PACKET_TYPE);
    draft.test(JUMP_IF_EQUAL, OUTGOING, 0, 1);
    draft.add(RETURN, 0);
    if !capture.peers.is_empty() || capture.port.is_some() {
        draft.add(LOAD_WORD, ETHER_TYPE);
        draft.jump_if(IPV4, Part::V4);
        draft.jump_if(IPV6, Part::V6);
        draft.add(RETURN, 0);
        let (v4, v6): (Vec<&Prefix>, Vec<&Prefix>) =
            capture.peers.iter().partition(|prefix| prefix.is_ipv4());
        let of = |prefixes| (!capture.peers.is_empty()).then_some(prefixes);
        draft.begin(Part::V4);
        addresses(&mut draft, of(v4), V4_ADDRESSES, Part::V4Ports);
        draft.begin(Part::V4Ports);
        v4_ports(&mut draft, capture.port);
        draft.begin(Part::V6);
        addresses(&mut draft, of(v6), V6_ADDRESSES, Part::V6Ports);
        draft.begin(Part::V6Ports);
        v6_ports(&mut draft, capture.port);
        draft.begin(Part::Wanted);
    }
    keep(&mut draft, capture.kept);
    draft.end()
}

/// Where addresses stand in a header, and which words of the 16-byte form they are.
#[derive(Clone, Copy)]
struct Addresses {
    source: u32,
    destination: u32,
    first_word: u8,
}

const V4_ADDRESSES: Addresses = Addresses { source: 12, destination: 16, first_word: 3 };
const V6_ADDRESSES: Addresses = Addresses { source: 8, destination: 24, first_word: 0 };

/// Goes on where the source or the destination is one of these; else the packet is not wanted. All are, where
/// nobody named any.
fn addresses(draft: &mut Draft, prefixes: Option<Vec<&Prefix>>, at: Addresses, then: Part) {
    let Some(prefixes) = prefixes else { return draft.jump(then) };
    for prefix in prefixes {
        for place in [at.source, at.destination] {
            let tests = tests(prefix, place, at.first_word);
            // Each word has its test at the end; behind the last word is the jump.
            let whole = tests.len() + 1;
            for (index, mut test) in tests.into_iter().enumerate() {
                if test.code == JUMP_IF_EQUAL {
                    test.jf = u8::try_from(whole - index - 1).unwrap_or(u8::MAX);
                }
                draft.code.push(test);
            }
            draft.jump(then);
        }
    }
    draft.add(RETURN, 0);
}

/// What compares the words of an address with those of a prefix.
fn tests(prefix: &Prefix, place: u32, first_word: u8) -> Vec<Instruction> {
    let network = u128::from_be_bytes(prefix.network());
    let mut tests = Vec::new();
    for word in first_word..4 {
        let before = 32 * u32::from(word);
        let bits = u32::from(prefix.length()).saturating_sub(before).min(32);
        let Some(mask) = u32::MAX.checked_shl(32 - bits) else { break };
        let value = (network >> (96 - before)) as u32;
        tests.push(instruction(LOAD_WORD, place + 4 * u32::from(word - first_word)));
        if bits < 32 {
            tests.push(instruction(AND, mask));
        }
        tests.push(instruction(JUMP_IF_EQUAL, value));
    }
    tests
}

fn v4_ports(draft: &mut Draft, port: Option<u16>) {
    let Some(port) = port else { return draft.jump(Part::Wanted) };
    draft.add(LOAD_BYTE, 9);
    with_ports(draft);
    // What follows the first fragment has no ports.
    draft.add(LOAD_HALF, 6);
    draft.test(JUMP_IF_ANY_BIT, 0x1fff, 0, 1);
    draft.add(RETURN, 0);
    draft.add(X_HEADER_LENGTH, 0);
    for place in [0, 2] {
        draft.add(LOAD_HALF_AT_X, place);
        draft.jump_if(port.into(), Part::Wanted);
    }
    draft.add(RETURN, 0);
}

/// Ports right behind the fixed header: a program without loops cannot walk along others.
fn v6_ports(draft: &mut Draft, port: Option<u16>) {
    let Some(port) = port else { return draft.jump(Part::Wanted) };
    draft.add(LOAD_BYTE, 6);
    with_ports(draft);
    for place in [40, 42] {
        draft.add(LOAD_HALF, place);
        draft.jump_if(port.into(), Part::Wanted);
    }
    draft.add(RETURN, 0);
}

/// Goes on where A is a protocol with ports.
fn with_ports(draft: &mut Draft) {
    for (index, protocol) in (0_u8..).zip(WITH_PORTS) {
        let behind = 5 - index;
        draft.test(JUMP_IF_EQUAL, protocol, behind, 0);
    }
    draft.add(RETURN, 0);
}

fn keep(draft: &mut Draft, kept: Kept) {
    let most = u32::from(kept.most());
    match kept {
        Kept::Bytes(_) => draft.add(RETURN, most),
        Kept::Headers => {
            draft.add(LOAD_WORD, PAYLOAD_OFFSET);
            draft.test(JUMP_IF_EQUAL, 0, 3, 0);
            draft.test(JUMP_IF_ABOVE, most, 0, 1);
            draft.add(RETURN, most);
            draft.add(RETURN_A, 0);
            draft.add(LOAD_WORD, ETHER_TYPE);
            draft.test(JUMP_IF_EQUAL, IPV4, 0, 1);
            draft.add(RETURN, SHORTEST_IPV4);
            draft.test(JUMP_IF_EQUAL, IPV6, 0, 1);
            draft.add(RETURN, SHORTEST_IPV6);
            draft.test(JUMP_IF_EQUAL, ARP, 0, 1);
            draft.add(RETURN, most);
            draft.add(RETURN, SHORTEST_OTHER);
        }
    }
}

#[cfg(test)]
mod tests;
