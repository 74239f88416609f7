//! Kernel side of Schism: the decision over a packet, host-testable, and the types of its maps.
#![cfg_attr(target_arch = "bpf", no_std)]

pub mod abi;
