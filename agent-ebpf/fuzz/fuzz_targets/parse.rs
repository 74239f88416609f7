//! Header parser: whatever the bytes are, it ends, and never reads beyond the packet.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run -s none parse` in agent-ebpf/. The first two bytes are the
//! EtherType, the others what the network header begins.
#![no_main]

use std::mem::MaybeUninit;

use agent_ebpf::{
    packet::{Addressee, Bytes, Packet, Tag},
    parse::{self, Fragment, Network},
    transport::{self, Kind},
};
use libfuzzer_sys::fuzz_target;

struct Input<'a> {
    ethertype: u16,
    bytes: &'a [u8],
}

impl Packet for Input<'_> {
    fn load<'a, const N: usize>(
        &self,
        offset: u32,
        room: &'a mut MaybeUninit<Bytes<N>>,
    ) -> Option<&'a Bytes<N>> {
        let bytes = self.bytes.get(offset as usize..)?.first_chunk()?;
        Some(room.write(Bytes(*bytes)))
    }
    fn ethertype(&self) -> u16 {
        self.ethertype
    }
    fn tag(&self) -> Tag {
        Tag::None
    }
    fn length(&self) -> u32 {
        self.bytes.len() as u32
    }
    fn segments(&self) -> u32 {
        1
    }
    fn ifindex(&self) -> u32 {
        1
    }
    fn addressee(&self) -> Addressee {
        Addressee::ThisDevice
    }
}

fuzz_target!(|data: &[u8]| {
    let [high, low, bytes @ ..] = data else { return };
    let packet = Input { ethertype: u16::from_be_bytes([*high, *low]), bytes };
    let Network::Ip(header) = parse::header(&packet) else { return };
    assert!(header.after as usize >= 20);
    let upper = parse::upper(&packet, &header);
    assert!(upper.offset >= header.after);
    let transport = transport::read(&packet, &header, &upper);
    match transport.kind {
        Kind::Tcp | Kind::Udp => assert!((upper.offset as usize) < bytes.len()),
        Kind::Error => {
            if let Some(inner) = transport::quoted(&packet, &header, &upper) {
                assert_eq!(transport::read_quoted(&packet, &inner).flags, 0);
            }
        }
        Kind::Unreadable => {}
        Kind::Request | Kind::Reply | Kind::Discovery | Kind::Other => {
            assert!(upper.fragment != Fragment::Later);
        }
    }
});
