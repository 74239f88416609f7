//! Who knows which members play a role: one module for each kind of system that can be asked.

pub mod etcd;
pub mod kubernetes;
pub mod zeebe;

use std::{collections::BTreeSet, net::IpAddr};

use fault::MemberName;

/// A member of a group that a selector names, as its system told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// Its name in its group.
    pub member: MemberName,
    /// Where it is; at least one address.
    pub addresses: BTreeSet<IpAddr>,
    /// How that is known, for people: who was asked, and what was said.
    pub evidence: Vec<String>,
}
