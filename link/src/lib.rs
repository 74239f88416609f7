//! The connection between agents, controllers and people: mutual TLS, who the other end is, and the hello.
//!
//! A certificate says in one URI who it is for ([`Principal`]), is signed by the one authority
//! ([`Material`]), and stands in the file of those that were issued ([`Issued`]), where removing it
//! revokes it. [`Acceptor`] and [`Connector`] hold all three against whoever is at the other end.

mod address;
mod fingerprint;
mod hello;
mod issued;
mod principal;
mod tls;

pub use address::{HostPort, HostPortError};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use hello::{HelloError, read, write};
pub use issued::{Entry, EntryError, Issued, Listing};
pub use principal::{
    ControllerName, NameError, Principal, PrincipalError, Role, RoleError, SCHEME, UserName,
};
pub use rustls::pki_types::{CertificateDer, ServerName};
pub use tls::{
    AcceptError, Accepted, Acceptor, Connector, DialError, Door, Files, Material, MaterialError,
    OpenDoor, OpenDoorError, Refusal, dial_without_certificate, reach,
};
