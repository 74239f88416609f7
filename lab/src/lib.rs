//! Real systems to break: network namespaces, traffic between them, and clusters of etcd, Zeebe and
//! Kubernetes in them.
//!
//! For the demo, the tests and the benchmarks; no product code depends on it. Everything is put
//! into network namespaces named `schism-PID-N-LABEL`, which go away with their owner: by `Drop`,
//! and by a small shell that outlives a killed process for a moment (see `warden`). All of it needs
//! root and the `ip` program.
//!
//! ```no_run
//! use std::time::Duration;
//! use lab::{topology::Topology, traffic::{Protocol, delivery}};
//!
//! let topology = Topology::pair()?;
//! let (a, b) = (&topology["a"], &topology["b"]);
//! let there = delivery(a, b, Protocol::Udp, 100, Duration::from_millis(200))?;
//! assert!(there.is_whole());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
pub mod clock;
pub mod control_group;
pub mod directory;
pub mod estate;
pub mod etcd;
mod go;
mod http;
pub mod identity;
pub mod interruption;
pub mod ip;
pub mod kubernetes;
mod leftover;
mod libraries;
pub mod netns;
pub mod process;
pub mod soak;
mod store;
pub mod topology;
pub mod traffic;
mod warden;
pub mod zeebe;

pub use go::GoError;
pub use leftover::{LeftoverError, sweep};
pub use store::StoreError;
