//! Traffic between nodes, counted at both ends.

mod attempts;
mod connection;
mod delivery;
mod echo;
mod pinger;
mod recording;

pub use delivery::{Delivery, Probe, Protocol, delivery};
pub use echo::{EchoConnection, EchoServer};
pub use pinger::Pinger;
pub use recording::{Outage, Recording, Sending};
