//! A packet as the kernel hands it to a tc program.

use core::mem::MaybeUninit;

use agent_ebpf::packet::{Addressee, Bytes, Packet, Tag};
use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, bpf_hdr_start_off::BPF_HDR_START_NET},
    helpers::{bpf_skb_load_bytes_relative, bpf_skb_pull_data},
    programs::TcContext,
};

/// PACKET_OTHERHOST of linux/if_packet.h.
const OTHER_HOST: u32 = 3;
/// Bytes that headers are looked for in, from the link-layer header.
const HEADERS: u32 = 512;

/// An skb.
pub(crate) struct Skb(*mut __sk_buff);

impl Skb {
    /// The skb of a program's context.
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        Self(context.as_ptr().cast())
    }

    #[inline(always)]
    fn field(&self) -> &__sk_buff {
        // SAFETY: the kernel gives a valid context for the time of the call, and turns reads of its
        // fields into reads of the skb; none of the fields read here is ever written.
        unsafe { &*self.0 }
    }

    #[inline(always)]
    fn copy<const N: usize>(&self, offset: u32, room: &mut MaybeUninit<Bytes<N>>) -> bool {
        // SAFETY: `room` has room for the N bytes that the helper is asked to write.
        let copied = unsafe {
            bpf_skb_load_bytes_relative(
                self.0.cast(),
                offset,
                room.as_mut_ptr().cast(),
                N as u32,
                BPF_HDR_START_NET,
            )
        };
        copied == 0
    }

    /// Brings the headers into the linear part, which is all that the load helper reads (kernel
    /// 6.18, bpf_skb_load_bytes_relative); false if they were there.
    #[inline(never)]
    fn pull(&self) -> bool {
        // SAFETY: no pointer into the packet is kept across the call, which may move it.
        unsafe { bpf_skb_pull_data(self.0, self.length().min(HEADERS)) == 0 }
    }
}

impl Packet for Skb {
    #[inline(always)]
    fn load<'a, const N: usize>(
        &self,
        offset: u32,
        room: &'a mut MaybeUninit<Bytes<N>>,
    ) -> Option<&'a Bytes<N>> {
        if self.copy(offset, room) || (self.pull() && self.copy(offset, room)) {
            // SAFETY: the helper has written all N bytes.
            Some(unsafe { room.assume_init_ref() })
        } else {
            None
        }
    }

    #[inline(always)]
    fn ethertype(&self) -> u16 {
        u16::from_be(self.field().protocol as u16)
    }

    #[inline(always)]
    fn tag(&self) -> Tag {
        if self.field().vlan_present == 0 { Tag::None } else { Tag::Beside }
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        self.field().len
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        self.field().gso_segs.max(1)
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.field().ifindex
    }

    #[inline(always)]
    fn addressee(&self) -> Addressee {
        if self.field().pkt_type == OTHER_HOST {
            Addressee::OtherDevice
        } else {
            Addressee::ThisDevice
        }
    }
}
