//! Which target exactly: what a name stood for when it was resolved.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::{PodUid, Selector};

/// The kernel's number for a network namespace (SO_NETNS_COOKIE, ≥ 5.14); never used twice in a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NamespaceCookie(u64);

impl NamespaceCookie {
    /// Takes the kernel's number.
    #[must_use]
    pub const fn new(cookie: u64) -> Self {
        Self(cookie)
    }

    /// The kernel's number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NamespaceCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The kernel's identifier of this boot (/proc/sys/kernel/random/boot_id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BootId(u128);

impl BootId {
    /// Takes the 128 bits of the UUID.
    #[must_use]
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// The 128 bits of the UUID.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Reads a UUID in its usual form; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok().map(Self))?
    }
}

impl Serialize for BootId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:032x}", self.0))
    }
}

/// One process and no later one with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ProcessIdentity {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot (/proc/PID/stat field 22).
    pub started: u64,
}

/// One target and no later one of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct TargetIdentity {
    /// The boot in which the rest means anything.
    pub boot: BootId,
    /// The namespace.
    pub namespace: NamespaceCookie,
    /// The process, where one was named.
    pub process: Option<ProcessIdentity>,
}

/// An address that a target owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct OwnAddress {
    /// The address.
    pub address: IpAddr,
    /// Length of its on-link prefix.
    pub length: u8,
    /// Index of its interface, in the target's namespace.
    pub interface: u32,
}

impl OwnAddress {
    /// Whether peers can send to it: not a loopback address.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        !self.address.is_loopback()
    }

    /// Whether it means something on its link only (fe80::/10).
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        match self.address {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
    }
}

/// A target as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Which one it is.
    pub identity: TargetIdentity,
    /// By what it was found.
    pub selector: Selector,
    /// What it owns.
    pub addresses: Vec<OwnAddress>,
    /// Its devices.
    pub interfaces: Vec<Interface>,
    /// Processes in its namespace, all of which a fault touches; at most [`Target::PROCESSES_NAMED`].
    pub processes: Vec<Process>,
    /// How many processes there are in all.
    pub process_count: usize,
    /// cgroup v2 path of the named process or the first one.
    pub cgroup: Option<String>,
    /// Whether it is the node's own namespace.
    pub is_host: bool,
    /// The pod in which the named process is, or else anybody in its namespace, but for the node's own; of pods
    /// within pods the innermost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodUid>,
}

impl Target {
    /// How many of a target's processes are named; the others are counted.
    pub const PROCESSES_NAMED: usize = 256;
}

/// A network device of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its index, which means something in the target's namespace only.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What the kernel calls its kind (`veth`, `bridge`, …); `None` for a physical device.
    pub kind: Option<String>,
    /// Whether it is up.
    pub up: bool,
}

/// A process in a target's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Which one.
    pub identity: ProcessIdentity,
    /// Its command name, at most 15 bytes of it (TASK_COMM_LEN).
    pub name: String,
    /// The container that its cgroup names.
    pub container: Option<String>,
}
