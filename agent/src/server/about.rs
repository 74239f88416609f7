//! What an agent says of itself.

use std::fmt;
use std::path::PathBuf;

use fault::{BootId, NodeName, Remnant};
use proto::agent as wire;

/// The protocol that this agent speaks after its hello.
const PROTOCOL: u32 = 1;

/// What an agent says of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// Which node this is.
    pub node: NodeName,
    /// Which boot of the node this is.
    pub boot: BootId,
    /// Which process of the agent this is.
    pub instance: Instance,
    /// Where it listens.
    pub socket: PathBuf,
    /// Whether it ends with a command line.
    pub embedded: bool,
    /// What it found at its start.
    pub found_at_start: Vec<Remnant>,
}

impl About {
    /// What it says first on a connection that it has dialled.
    #[must_use]
    pub fn hello(&self) -> wire::Hello {
        wire::Hello {
            protocol: PROTOCOL,
            node: self.node.to_string(),
            boot_id: self.boot.get().to_be_bytes().to_vec().into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.instance.get(),
            token: String::new(),
        }
    }
}

/// One process of an agent: another one holds nothing of what this one held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance(u64);

impl Instance {
    /// A new one, by the kernel's random numbers; never 0, which on the wire means "not said".
    ///
    /// # Errors
    /// The kernel has none to give.
    pub fn random() -> Result<Self, std::io::Error> {
        let random = getrandom::u64().map_err(std::io::Error::from)?;
        Ok(Self::new(random))
    }

    /// One of a known number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(if number == 0 { 1 } else { number })
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
