//! What user space needs to load the programs and to fill their maps.
#![expect(unsafe_code, reason = "aya::Pod is a promise about bytes")]

use crate::abi::{
    Counters, EndpointKey, Flow, FlowKey, Lease, Lengths, PeerKey, PortKey, Rule, Seen, Sequence,
    Target,
};

/// The tc programs as an eBPF object (ELF, little endian), aligned for the loader.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../object/schism.o");

macro_rules! pod {
    ($($name:ty),*) => {$(
        // SAFETY: repr(C) of integers and arrays of integers, every bit pattern is a value, and
        // padding is spelled out (checked by the size assertions of `abi`).
        unsafe impl aya::Pod for $name {}
    )*};
}

pod!(
    Counters,
    EndpointKey,
    Flow,
    FlowKey,
    Lease,
    Lengths,
    PeerKey,
    PortKey,
    Rule,
    Seen,
    Sequence,
    Target
);
