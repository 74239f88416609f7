//! Who knows which members play a role: one module for each kind of system that can be asked.

mod directory;
pub mod etcd;
pub mod kubernetes;
pub mod zeebe;

use std::{collections::BTreeSet, fmt, net::IpAddr};

use fault::MemberName;

pub use self::directory::Directory;

/// A sort of system whose members play roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// etcd.
    Etcd,
    /// Zeebe.
    Zeebe,
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Etcd => "etcd",
            Self::Zeebe => "zeebe",
        })
    }
}

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
