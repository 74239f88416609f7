//! Kernel side of Schism: the decision over a packet, host-testable, and the types of its maps.
//!
//! The library knows neither aya nor the kernel: [`decide::decide`] is generic over a
//! [`packet::Packet`] and over [`tables::Tables`], so that the same code runs in the kernel (the
//! bin `schism`), in unit tests and in the fuzzer.
#![cfg_attr(target_arch = "bpf", no_std)]

pub mod abi;
pub mod address;
pub mod decide;
pub mod flow;
pub mod loss;
mod origin;
pub mod packet;
pub mod parse;
pub mod prefilter;
pub mod sight;
pub mod tables;
pub mod transport;
#[cfg(feature = "user")]
mod user;
mod verdict;

#[cfg(feature = "user")]
pub use user::OBJECT;
