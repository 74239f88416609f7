//! What the tc programs and the agent share: names, keys and values of the maps.
//!
//! Addresses are 16 bytes in network order, IPv4 as `::ffff:a.b.c.d` ([RFC 4291 2.5.5.2]).
//! Ports, lengths and times are in host order. Every struct has explicit padding, which is zero.
//!
//! One loaded object serves one target (one network namespace) with up to [`MAX_FAULTS`] faults.
//! A fault occupies one slot; a peer's entry is a bit mask of the slots that it concerns, so that
//! the number of faults costs nothing for a packet that concerns none.
//!
//! [RFC 4291 2.5.5.2]: https://www.rfc-editor.org/rfc/rfc4291

/// Faults that can be active on one target at a time (the width of a peer's slot mask).
pub const MAX_FAULTS: usize = 64;
/// Prefix lengths in use at a time, per side and family.
pub const MAX_LENGTHS: usize = 16;
/// Bits of the prefilter, a power of two. 10,000 peers fill 4 % of it.
pub const PREFILTER_BITS: u32 = 1 << 18;
/// A UDP flow that was idle for longer is forgotten: its next datagram opens a new one (30 s).
pub const UDP_IDLE_NS: u64 = 30_000_000_000;
/// A SYN without an answer counts as an attempt under way for this long (64 s, beyond the sixth retry).
pub const SYN_PENDING_NS: u64 = 64_000_000_000;
/// Size of `schism_execs`: room for 256 processes (4 kB, a page on x86-64).
pub const EXECS_BYTES: u32 = 4_096;
/// Value of [`Rule::chance`] that loses every packet: probabilities are in 1/2³².
pub const CERTAIN: u64 = 1 << 32;

/// An IP address in its one form.
pub type Address = [u8; 16];

/// Which hook of the target sees the packet, and where a fault is enforced.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// tcx ingress: the target receives, peers are sources.
    Ingress = 0,
    /// tcx egress: the target sends, peers are destinations.
    Egress = 1,
}

/// Key of `schism_peers`; the value is a `u64` mask of slots.
///
/// For a fault of mode [`MODE_INITIATOR`] or with an [`AGE_ALL`] other than all, the peers stand under
/// both sides: the side that is not [`Rule::side`] only observes openers.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PeerKey {
    /// Network address, host bits zero.
    pub address: Address,
    /// Interface index for link-local IPv6 peers (fe80::/10), else 0.
    pub ifindex: u32,
    /// Prefix length in the 16-byte form (an IPv4 /24 is 120).
    pub length: u8,
    /// A [`Side`].
    pub side: u8,
    /// Zero.
    pub pad: u16,
}

/// The one value of `schism_target` (mmap-able array): what the programs need for every packet.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Prefix lengths in use: `lengths[side][family][..count]`, family 0 = IPv4, 1 = IPv6, longest first.
    pub lengths: [[Lengths; 2]; 2],
    /// Boot time (ns) since when flows are observed; 0 while they are not.
    pub observed_since: u64,
    /// Non-zero while `schism_probes` has entries.
    pub probing: u32,
    /// Non-zero while `schism_exempt` has entries.
    pub exempting: u32,
    /// Mask of the slots whose rules need to know flows ([`Rule::needs_flows`]).
    pub flow_slots: u64,
}

/// The prefix lengths of one side and family.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Lengths {
    /// How many of `values` are in use; written after them.
    pub count: u32,
    /// Lengths in the 16-byte form.
    pub values: [u8; MAX_LENGTHS],
}

/// One element of `schism_leases` (mmap-able array, one per slot): the fault acts while
/// `start ≤ now < end`, in boot time (CLOCK_BOOTTIME, ns). Both words are aligned and stored at once.
/// Written in the order start, end at commit; `end = 0` heals.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// First nanosecond.
    pub start: u64,
    /// First nanosecond after it.
    pub end: u64,
}

/// [`Rule::mode`]: every packet from the peers.
pub const MODE_PACKET: u8 = 0;
/// [`Rule::mode`]: packets of flows that the sending side opened.
pub const MODE_INITIATOR: u8 = 1;
/// [`Rule::verdict`]: lose the packet.
pub const VERDICT_DROP: u8 = 0;
/// [`Rule::verdict`]: count it as lost and let it pass (shadow).
pub const VERDICT_COUNT: u8 = 1;
/// [`Rule::age`]: flows of any age.
pub const AGE_ALL: u8 = 0;
/// [`Rule::age`]: flows that began at or after the lease's start.
pub const AGE_NEW: u8 = 1;
/// [`Rule::age`]: flows that began before it.
pub const AGE_ESTABLISHED: u8 = 2;
/// [`Rule::protocol`]: any.
pub const PROTOCOL_ANY: u8 = 0;
/// [`Rule::protocol`]: ICMP of the packet's family (1 and 58).
pub const PROTOCOL_ICMP: u8 = 1;
/// TCP, as in the IP header.
pub const PROTOCOL_TCP: u8 = 6;
/// UDP, as in the IP header.
pub const PROTOCOL_UDP: u8 = 17;

/// One element of `schism_rules` (array, one per slot); written while the slot's lease is empty.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Loss probability in 1/2³²; [`CERTAIN`] loses all.
    pub chance: u64,
    /// Seed of the loss.
    pub seed: u64,
    /// `MODE_*`.
    pub mode: u8,
    /// The [`Side`] that enforces.
    pub side: u8,
    /// `VERDICT_*`.
    pub verdict: u8,
    /// `PROTOCOL_*`.
    pub protocol: u8,
    /// Destination port (TO's port), 0 for any.
    pub port: u16,
    /// `AGE_*`.
    pub age: u8,
    /// Zero.
    pub pad: u8,
}

impl Rule {
    /// Whether judging by this rule needs to know flows.
    #[inline(always)]
    pub const fn needs_flows(&self) -> bool {
        self.mode == MODE_INITIATOR || self.age != AGE_ALL
    }
}

/// One element of `schism_sequence` (mmap-able array, one per slot): atomic counts from which the
/// loss is drawn. Probes have their own, so that they never change a verdict of real traffic.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Number of the next matched packet.
    pub packets: u64,
    /// Number of the next matched probe.
    pub probes: u64,
}

/// One element of `schism_counters` (per-CPU array, one per slot): the effect of a fault.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets (skbs) that the fault would judge: addresses, selection and opener fit, lease active.
    pub matched: u64,
    /// Of these, lost (or, with [`VERDICT_COUNT`], counted as such).
    pub lost: u64,
    /// Segments in the lost skbs (GSO).
    pub lost_segments: u64,
    /// Bytes in the lost skbs, link-layer header included where there is one.
    pub lost_bytes: u64,
    /// Matched, but the draw of [`Rule::chance`] let it pass.
    pub spared: u64,
    /// Passed: addresses and selection fit, but the lease had ended.
    pub expired: u64,
    /// Passed: the lease had not begun.
    pub not_begun: u64,
    /// Passed: IPv6 neighbour discovery or the control path.
    pub exempt: u64,
    /// Passed: the other side opened the flow.
    pub other_opener: u64,
    /// Judged (either way) by listening ports, because nothing better was known.
    pub opener_guessed: u64,
    /// Passed: nobody knows who opened the flow.
    pub opener_unknown: u64,
    /// Passed: the flow is of the other age.
    pub other_age: u64,
    /// Passed: a later fragment, which has no ports to judge by.
    pub fragment: u64,
    /// Probes that matched; they are in no other count.
    pub probes_matched: u64,
    /// Probes that were lost.
    pub probes_lost: u64,
    /// Boot time (ns) of the first loss on this CPU, 0 for none.
    pub first_loss: u64,
    /// Boot time (ns) of the last loss on this CPU, 0 for none.
    pub last_loss: u64,
}

/// One element of `schism_seen` (per-CPU array, one per [`Side`]): once per target.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Packets that passed the hook.
    pub packets: u64,
    /// IP packets whose headers could not be read; they pass.
    pub unparsable: u64,
}

/// [`Device`] flag: frames with a VLAN tag are judged at the VLAN device above, not here.
pub const DEVICE_TAGGED_ELSEWHERE: u32 = 1;

/// Value of `schism_devices` (hash by interface index, `u32`): `DEVICE_*` flags. A device that is not in
/// the map has none.
pub type Device = u32;

/// Key of `schism_exempt` (hash, value `u8`): an endpoint of the control path, on whichever side.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EndpointKey {
    /// Its address.
    pub address: Address,
    /// Its TCP port.
    pub port: u16,
    /// Zero.
    pub pad: u16,
}

/// Key of `schism_probes` and `schism_served` (hashes, value `u8`).
///
/// In `schism_probes` it is the port of a probe's socket (either end), for ICMP its echo identifier.
/// In `schism_served` it is a local port; the value is `SERVED_*`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// Port.
    pub port: u16,
    /// `PROTOCOL_*`.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
}

/// Value of `schism_served`: a TCP listener, or a UDP socket bound outside the ephemeral range.
pub const SERVED_SURE: u8 = 1;
/// Value of `schism_served`: a UDP socket bound inside the ephemeral range, maybe by the kernel.
pub const SERVED_MAYBE: u8 = 2;

/// Key of `schism_flows` (LRU hash), from the target's point of view. ICMP echo has no entry.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Address of the target.
    pub local: Address,
    /// Address of the peer.
    pub remote: Address,
    /// Port of the target.
    pub local_port: u16,
    /// Port of the peer.
    pub remote_port: u16,
    /// [`PROTOCOL_TCP`] or [`PROTOCOL_UDP`].
    pub protocol: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// [`Flow::openers`]: the target opened it.
pub const OPENER_LOCAL: u8 = 1;
/// [`Flow::openers`]: the peer opened it. Both bits: a simultaneous open.
pub const OPENER_REMOTE: u8 = 2;
/// [`Flow::source`]: seen on the wire.
pub const SOURCE_SEEN: u8 = 0;
/// [`Flow::source`]: from the socket dump, sure.
pub const SOURCE_DUMPED: u8 = 1;
/// [`Flow::source`]: from the socket dump, by listening ports.
pub const SOURCE_GUESSED: u8 = 2;
/// [`Flow::stage`]: a SYN without an answer so far.
pub const STAGE_PENDING: u8 = 1;
/// [`Flow::stage`]: more than that.
pub const STAGE_OPEN: u8 = 0;

/// Value of `schism_flows`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Boot time (ns) of the flow's first packet; 0 when it began before it was observed.
    pub began: u64,
    /// Boot time (ns) of its latest packet; for TCP, of the latest one with SYN.
    pub latest: u64,
    /// `OPENER_*` bits.
    pub openers: u8,
    /// `SOURCE_*`.
    pub source: u8,
    /// `STAGE_*`.
    pub stage: u8,
    /// Zero.
    pub pad: [u8; 5],
}

// Bytes of the keys and values, so that none has padding that is not spelled out.
const _: () = {
    assert!(size_of::<PeerKey>() == 24);
    assert!(size_of::<Lengths>() == 20);
    assert!(size_of::<Target>() == 104);
    assert!(size_of::<Lease>() == 16);
    assert!(size_of::<Rule>() == 24);
    assert!(size_of::<Sequence>() == 16);
    assert!(size_of::<Counters>() == 136);
    assert!(size_of::<Seen>() == 16);
    assert!(size_of::<EndpointKey>() == 20);
    assert!(size_of::<PortKey>() == 4);
    assert!(size_of::<FlowKey>() == 40);
    assert!(size_of::<Flow>() == 24);
};

/// Names of the maps and programs in the object; all begin with `schism_`, by which residue is found.
pub mod names {
    /// Hash: [`super::PeerKey`] → `u64` slot mask.
    pub const PEERS: &str = "schism_peers";
    /// mmap-able array of one value, `u64` words: [`super::PREFILTER_BITS`] bits.
    pub const PREFILTER: &str = "schism_filter";
    /// Hash: [`super::Address`] → `u8`; the target's own unicast and broadcast addresses.
    pub const LOCAL: &str = "schism_local";
    /// Hash: `u32` → [`super::Device`].
    pub const DEVICES: &str = "schism_devices";
    /// Hash: [`super::EndpointKey`] → `u8`.
    pub const EXEMPT: &str = "schism_exempt";
    /// Hash: [`super::PortKey`] → `u8`.
    pub const PROBES: &str = "schism_probes";
    /// Hash: [`super::PortKey`] → `SERVED_*`.
    pub const SERVED: &str = "schism_served";
    /// LRU hash: [`super::FlowKey`] → [`super::Flow`].
    pub const FLOWS: &str = "schism_flows";
    /// mmap-able array of one [`super::Target`].
    pub const TARGET: &str = "schism_target";
    /// mmap-able array of [`super::Lease`].
    pub const LEASES: &str = "schism_leases";
    /// Array of [`super::Rule`].
    pub const RULES: &str = "schism_rules";
    /// mmap-able array of [`super::Sequence`].
    pub const SEQUENCE: &str = "schism_sequence";
    /// Per-CPU array of [`super::Counters`].
    pub const COUNTERS: &str = "schism_counters";
    /// Per-CPU array of [`super::Seen`].
    pub const SEEN: &str = "schism_seen";
    /// Per-CPU array of [`crate::sight::Sight`]: room to think in.
    pub const SIGHT: &str = "schism_sight";
    /// Ring of `u32`: processes that have executed a program.
    pub const EXECS: &str = "schism_execs";
    /// Raw tracepoint program that fills it.
    pub const EXEC: &str = "schism_exec";
    /// tc program of [`super::Side::Ingress`].
    pub const INGRESS: &str = "schism_ingress";
    /// tc program of [`super::Side::Egress`].
    pub const EGRESS: &str = "schism_egress";
}
