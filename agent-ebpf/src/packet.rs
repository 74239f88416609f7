//! What the decision reads of a packet.

use core::mem::MaybeUninit;

/// Bytes of a packet, aligned so that a number at its natural offset is one load.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Bytes<const N: usize>(pub [u8; N]);

impl<const N: usize> Bytes<N> {
    /// Room for N bytes. Not zeros: clearing it would cost as much as reading the packet.
    pub const ROOM: MaybeUninit<Self> = MaybeUninit::uninit();

    /// The 16 bits at `at`, from network order.
    #[inline(always)]
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    /// The 32 bits at `at`, from network order.
    #[inline(always)]
    pub fn u32(&self, at: usize) -> u32 {
        (u32::from(self.u16(at)) << 16) | u32::from(self.u16(at + 2))
    }

    /// The 64 bits at `at`, from network order.
    #[inline(always)]
    pub fn u64(&self, at: usize) -> u64 {
        (u64::from(self.u32(at)) << 32) | u64::from(self.u32(at + 4))
    }
}

/// Whose packet the kernel takes it for (`skb->pkt_type`, linux/if_packet.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// PACKET_OTHERHOST: its link-layer destination is another device's, for example a macvlan's
    /// above this one.
    OtherDevice,
    /// Everything else.
    ThisDevice,
}

/// Where a VLAN tag of the packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Beside the packet, as the kernel keeps the outermost one (`skb->vlan_present`).
    Beside,
    /// Nowhere, or in the bytes.
    None,
}

/// A packet at a hook of the target: an skb in the kernel, bytes in a test.
pub trait Packet {
    /// Copies N bytes from `offset`, counted from the network header; none if the packet is shorter.
    fn load<'a, const N: usize>(
        &self,
        offset: u32,
        room: &'a mut MaybeUninit<Bytes<N>>,
    ) -> Option<&'a Bytes<N>>;
    /// The EtherType of what the network header begins (`skb->protocol`), host order.
    fn ethertype(&self) -> u16;
    /// Whether a tag stands beside the packet.
    fn tag(&self) -> Tag;
    /// Bytes, with the link-layer header where there is one.
    fn length(&self) -> u32;
    /// Segments on the wire: `gso_segs`, at least 1.
    fn segments(&self) -> u32;
    /// Index of the device.
    fn ifindex(&self) -> u32;
    /// Whose it is.
    fn addressee(&self) -> Addressee;
}
