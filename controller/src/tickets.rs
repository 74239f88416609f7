//! Captures as objects of a Kubernetes cluster: whoever may create one, and knows the secret of which it has a hash,
//! gets the packets from the controller's own pod.
//!
//! The API server decides who may, and sees no packet and no secret. Pure: what an object asks for (`asked`), which
//! tickets are good (`book`). `keeper` alone asks the API server.

mod asked;
pub(crate) mod book;
mod definition;
pub(crate) mod keeper;
mod policy;
pub(crate) mod resource;

use std::net::{Ipv4Addr, SocketAddr};

pub(crate) use definition::definition;
pub(crate) use policy::{VERB, policy};

/// Where tickets are good: in the controller's pod, for whoever may forward ports to it, and for nobody outside.
pub(crate) const PORT: u16 = 7072;

/// The same, to be listened at.
pub(crate) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);
