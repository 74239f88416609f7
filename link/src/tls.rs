//! Mutual TLS 1.3: one authority, names in certificates, and the file of those that are admitted.

mod accept;
mod dial;
mod material;
mod open;
mod verify;

#[cfg(test)]
mod tests;

pub use accept::{AcceptError, Accepted, Acceptor};
pub use dial::{Connector, DialError, reach};
pub use material::{Files, Material, MaterialError};
pub use open::{OpenDoor, OpenDoorError, dial_without_certificate};
pub use verify::{Door, Refusal};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The cryptography, named here so that no other crate's choice of a default changes it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
