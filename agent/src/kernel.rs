//! The seam between deciding and performing: what can be asked of a kernel.
//!
//! [`Linux`] is the real one; [`crate::fake::FakeKernel`] is a model of it for tests without privilege
//! and for simulations of many nodes.

pub mod bpf;
mod cgroup;
pub mod clock;
mod elsewhere;
mod encode;
pub mod engaged;
mod entrance;
mod error;
mod execs;
mod freeze;
mod inotify;
mod instance;
mod keeper;
mod kill;
mod linux;
mod listening;
mod listing;
mod load;
mod log;
mod mapped;
pub mod netns;
mod opener;
mod owners;
mod peers;
mod pod;
pub mod priority;
mod prober;
pub mod process;
mod programs;
pub mod route;
mod sockets;
mod spare;
mod tap;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fault::{
    Aspect, BootTime, Capability, Capture, Cut, Effect, Extent, Gone, Hook, Interface, Measured,
    NamespaceCookie, OwnAddress, Prefix, ProcessIdentity, Protocol, Scheme, Selector, Side, Skew,
    Target, TargetIdentity,
};
use tokio::sync::mpsc::UnboundedReceiver;

pub use elsewhere::Elsewhere;
pub use engaged::Act;
pub use error::KernelError;
pub use inotify::FileWatch;
pub use linux::{Linux, node_name};
pub use listening::Listening;
pub use listing::Listing;
pub use log::Log;
pub use tap::Tap;

/// One of the places for faults on a target, from 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// How many there are.
    pub const COUNT: usize = agent_ebpf::abi::MAX_FAULTS;

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).take(Self::COUNT).map(Self)
    }

    /// Its number.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// Which target, and by what to find the way into it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it was named by.
    pub selector: Selector,
    /// Which one it was.
    pub identity: TargetIdentity,
}

/// One change of a target. What [`Step::undo`] gives takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Load the programs and maps for the target.
    Load,
    /// Let go of them; the kernel detaches and frees everything.
    Unload,
    /// Put the program of a side first on a device.
    Attach(Attachment),
    /// Take it off.
    Detach(Attachment),
    /// What the target owns: only traffic to and from these is judged.
    Own(BTreeSet<IpAddr>),
    /// Devices with a VLAN device above them, where tagged frames are judged.
    TaggedElsewhere(BTreeSet<u32>),
    /// TCP endpoints of the control path.
    ControlPath(BTreeSet<SocketAddr>),
    /// Write a fault's rule and zero its counts.
    Rule {
        /// Where.
        slot: Slot,
        /// What.
        cut: Cut,
    },
    /// Make the slot free again.
    Clear {
        /// Where.
        slot: Slot,
    },
    /// Add peers to a fault.
    AddPeers(PeerSet),
    /// Take peers from a fault.
    RemovePeers(PeerSet),
    /// Read off the target's sockets who opened the flows with these peers.
    ReadOpeners(BTreeSet<Peer>),
    /// Forget the openers of flows with these peers, but not of those with the others.
    ForgetOpeners {
        /// Peers that nobody observes any more.
        peers: BTreeSet<Peer>,
        /// Peers that somebody still observes.
        kept: BTreeSet<Peer>,
    },
    /// Let a fault act.
    Begin {
        /// Which.
        slot: Slot,
        /// First instant.
        start: BootTime,
        /// First instant after it.
        end: BootTime,
    },
    /// Move the end of a fault.
    Renew {
        /// Which.
        slot: Slot,
        /// First instant after it.
        end: BootTime,
    },
    /// End a fault at once.
    End {
        /// Which.
        slot: Slot,
    },
    /// Put a skew into the target's processes; they see the truth until it begins.
    Skew {
        /// Where.
        slot: Slot,
        /// What.
        skew: Skew,
    },
    /// Give the processes of a skew their own bytes back.
    Unskew {
        /// Where.
        slot: Slot,
    },
    /// Have ready what does something to the target's processes; they go on until it begins.
    Engage {
        /// Where.
        slot: Slot,
        /// What.
        act: Act,
    },
    /// Make sure that it is over.
    Disengage {
        /// Where.
        slot: Slot,
    },
    /// Reach processes that came since, let go of those that left, and see what that does.
    Cover {
        /// Where.
        slot: Slot,
    },
}

/// A program on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attachment {
    /// Index of the device.
    pub interface: u32,
    /// Which hook of it.
    pub side: Side,
}

/// A prefix of the other side, with the link-local scope resolved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// The addresses.
    pub prefix: Prefix,
    /// Index of the interface for link-local ones, otherwise 0.
    pub interface: u32,
}

/// Peers of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSet {
    /// Whose.
    pub slot: Slot,
    /// At which hooks: the enforcing one, and the other one too where openers are observed.
    pub sides: BTreeSet<Side>,
    /// Which.
    pub peers: BTreeSet<Peer>,
}

impl Step {
    /// What takes this step back; `None` where nothing of it outlives [`Step::Unload`].
    #[must_use]
    pub fn undo(&self) -> Option<Self> {
        match self {
            Self::Load => Some(Self::Unload),
            Self::Attach(attachment) => Some(Self::Detach(*attachment)),
            Self::Rule { slot, .. } => Some(Self::Clear { slot: *slot }),
            Self::AddPeers(set) => Some(Self::RemovePeers(set.clone())),
            Self::Begin { slot, .. } => Some(Self::End { slot: *slot }),
            Self::Skew { slot, .. } => Some(Self::Unskew { slot: *slot }),
            Self::Engage { slot, .. } => Some(Self::Disengage { slot: *slot }),
            Self::Unload
            | Self::Detach(_)
            | Self::Own(_)
            | Self::TaggedElsewhere(_)
            | Self::ControlPath(_)
            | Self::Clear { .. }
            | Self::RemovePeers(_)
            | Self::ReadOpeners(_)
            | Self::ForgetOpeners { .. }
            | Self::Renew { .. }
            | Self::End { .. }
            | Self::Unskew { .. }
            | Self::Disengage { .. }
            | Self::Cover { .. } => None,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Load => f.write_str("load programs and maps"),
            Self::Unload => f.write_str("unload programs and maps"),
            Self::Attach(Attachment { interface, side }) => {
                write!(f, "attach a tcx link, first at the {side} of interface {interface}")
            }
            Self::Detach(Attachment { interface, side }) => {
                write!(f, "detach from the {side} of interface {interface}")
            }
            Self::Own(addresses) => write!(f, "set {} own addresses", addresses.len()),
            Self::TaggedElsewhere(devices) => {
                write!(f, "leave tagged frames of {} devices to their VLANs", devices.len())
            }
            Self::ControlPath(ends) => write!(f, "exempt {} control endpoints", ends.len()),
            Self::Rule { slot, cut } => {
                write!(f, "write rule {} ({} at the {})", slot.0, cut.mode, cut.side)
            }
            Self::Clear { slot } => write!(f, "clear rule {}", slot.0),
            Self::AddPeers(set) => {
                write!(f, "add {} peers to rule {}", set.peers.len(), set.slot.0)
            }
            Self::RemovePeers(set) => {
                write!(f, "remove {} peers from rule {}", set.peers.len(), set.slot.0)
            }
            Self::ReadOpeners(_) => f.write_str("read openers off the target's sockets"),
            Self::ForgetOpeners { .. } => f.write_str("forget openers"),
            Self::Begin { slot, .. } => write!(f, "begin rule {}", slot.0),
            Self::Renew { slot, .. } => write!(f, "renew rule {}", slot.0),
            Self::End { slot } => write!(f, "end rule {}", slot.0),
            Self::Skew { skew, .. } => {
                write!(
                    f,
                    "put a detour for {} into the vDSO of {}",
                    skew.clocks,
                    whose(skew.extent)
                )
            }
            Self::Engage { act, .. } => act.fmt(f),
            Self::Disengage { .. } => f.write_str("let the target's processes go on"),
            Self::Unskew { .. } => f.write_str("give the target's processes their own bytes back"),
            Self::Cover { .. } => f.write_str("reach processes that came, and see what it does"),
        }
    }
}

fn whose(extent: Extent) -> &'static str {
    match extent {
        Extent::Named => "the target's processes",
        Extent::Tree => "the target's processes and their descendants",
    }
}

/// What a look at a target found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is not there any more.
    Gone(Gone),
    /// It is there.
    Present(Observed),
}

/// A target as the kernel has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Its devices.
    pub devices: Vec<Device>,
    /// Its addresses, loopback ones included.
    pub addresses: Vec<OwnAddress>,
    /// IPv4 broadcast addresses of its networks.
    pub broadcasts: BTreeSet<IpAddr>,
    /// Our place in the chain of every hook where we are or should be.
    pub chains: BTreeMap<Attachment, Chain>,
    /// Lease ends in the kernel, by slot; empty while nothing is loaded.
    pub leases: BTreeMap<Slot, (BootTime, BootTime)>,
    /// How the faults stand that are in the target's processes.
    pub coverage: BTreeMap<Slot, Coverage>,
}

/// How the processes of a fault are covered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How many processes there are in all.
    pub processes: usize,
    /// How many of them are new.
    pub joined: usize,
    /// How many that were covered have ended, or execute another program.
    pub left: usize,
    /// Those that have other bytes than were written.
    pub altered: BTreeSet<ProcessIdentity>,
    /// Whether what it does is still to be seen, or again.
    pub unread: bool,
    /// Why what held or loaded them has ended, if that was before its time.
    pub released: Option<Release>,
    /// Whether nobody is left on whom it could act.
    pub over: bool,
}

/// Why a process of ours that held or loaded others has ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Somebody ended it, or it failed.
    Ended,
    /// The kernel ended it, as memory ran short where it was.
    OutOfMemory,
}

/// A network device as rtnetlink tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What people see of it.
    pub interface: Interface,
    /// Whether it is a loopback device.
    pub loopback: bool,
    /// The device that it is a port or slave of.
    pub controller: Option<u32>,
    /// The device below it, if that is in the same namespace.
    pub parent: Option<u32>,
}

impl Device {
    /// Whether it is a VLAN device.
    #[must_use]
    pub fn is_vlan(&self) -> bool {
        self.interface.kind.as_deref() == Some("vlan")
    }
}

/// Our place in a hook's chain of programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// First.
    First,
    /// Behind these programs, by their ids.
    Behind(Vec<u32>),
    /// Not in it.
    Absent,
}

/// What to probe.
#[derive(Clone, Debug)]
pub struct ProbeOrder {
    /// Who sends.
    pub from: Place,
    /// Who receives.
    pub to: Place,
    /// By which protocol.
    pub protocol: Protocol,
    /// Port of the receiver; one of our own if `None`.
    pub port: Option<u16>,
    /// How many.
    pub count: u32,
    /// From one to the next.
    pub interval: Duration,
    /// How long to wait for each.
    pub timeout: Duration,
}

/// What came of probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// Sent.
    pub sent: u32,
    /// Arrived (TCP: connections that opened).
    pub delivered: u32,
}

/// Something changed in a namespace, as rtnetlink told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stir {
    /// In this one.
    In(NamespaceCookie),
    /// In an unknown one, or events were lost: look everywhere.
    Anywhere,
}

/// What can be asked of a kernel.
pub trait Kernel: Send + Sync + 'static {
    /// CLOCK_BOOTTIME.
    fn now(&self) -> BootTime;

    /// What can be done with it, and what is missing. Takes some milliseconds.
    fn capabilities(&self) -> Vec<Capability>;

    /// Makes one change of a target.
    ///
    /// [`Step::Begin`], [`Step::Renew`] and [`Step::End`] never wait: they are one store each, or one in
    /// each process of a skew.
    ///
    /// # Errors
    /// What was attempted and why it failed; then nothing of the step is left.
    fn perform(&self, place: &Place, step: &Step) -> Result<(), KernelError>;

    /// Looks at a target; says whether it is still the one that was named.
    ///
    /// # Errors
    /// It is there but could not be read.
    fn inspect(&self, place: &Place) -> Result<Sight, KernelError>;

    /// The network namespace that the agent itself is in, where that is not the node's.
    fn own_network(&self) -> Option<NamespaceCookie>;

    /// Whether a process is still the one that it was.
    fn lives(&self, process: ProcessIdentity) -> bool;

    /// What a selector names on this node, with picks and nodes left aside, for a fault that acts on this
    /// aspect of it.
    ///
    /// # Errors
    /// What it names may not be a target, or could not be read.
    fn resolve(&self, selector: &Selector, aspect: Aspect) -> Result<Vec<Target>, KernelError>;

    /// The targets of this node that own any of these addresses, each once.
    ///
    /// # Errors
    /// The node's namespaces could not be looked through.
    fn owners(&self, addresses: &[IpAddr]) -> Result<Vec<Target>, KernelError>;

    /// What can be named on this node.
    fn listing(&self) -> Listing;

    /// Where the processes of a target write to, opened.
    ///
    /// # Errors
    /// They write to no file, or to none that may be read.
    fn logs(&self, place: &Place) -> Result<Vec<Log>, KernelError>;

    /// Begins to hear the packets of a target that are wanted.
    ///
    /// # Errors
    /// It is gone, or has the node's network and that is not meant, or there is no privilege for it.
    fn capture(&self, place: &Place, capture: &Capture) -> Result<Box<dyn Tap>, KernelError>;

    /// What a fault has done so far.
    ///
    /// # Errors
    /// The counters could not be read.
    fn effect(&self, target: NamespaceCookie, slot: Slot) -> Result<Effect, KernelError>;

    /// What was measured of a fault that has nothing to do with packets; `None` if nothing was. Never waits.
    fn measured(&self, target: NamespaceCookie, slot: Slot) -> Option<Measured>;

    /// What passed a target's hook.
    ///
    /// # Errors
    /// The counters could not be read.
    fn hook(&self, target: NamespaceCookie, side: Side) -> Result<Hook, KernelError>;

    /// From when to when a fault acts, as the kernel has it; `None` if it has none.
    fn lease(&self, target: NamespaceCookie, slot: Slot) -> Option<(BootTime, BootTime)>;

    /// Asks for word whenever something stirs in this target's namespace.
    ///
    /// # Errors
    /// The namespace could not be entered.
    fn follow(&self, place: &Place) -> Result<(), KernelError>;

    /// Where that word arrives; `None` after the first call.
    fn stirs(&self) -> Option<UnboundedReceiver<Stir>>;

    /// Sends probes; waits for as long as they take.
    ///
    /// # Errors
    /// They could not be sent at all.
    fn probe(&self, order: &ProbeOrder) -> Result<ProbeResult, KernelError>;
}

/// A target as one that ends with its namespace, not with a process in it.
#[must_use]
pub fn unbound(place: &Place) -> Place {
    match place.selector.scheme {
        Scheme::Pid(_) => {
            let identity = TargetIdentity { process: None, ..place.identity };
            Place { identity, selector: place.selector.clone() }
        }
        Scheme::Netns(_)
        | Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Host(_)
        | Scheme::Addr(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_)
        | Scheme::Kubernetes(_) => place.clone(),
    }
}

/// The identity of a process that a place goes through, where its end is the target's end.
#[must_use]
pub fn bound_process(place: &Place) -> Option<ProcessIdentity> {
    match place.selector.scheme {
        Scheme::Pid(_) => place.identity.process,
        Scheme::Netns(_)
        | Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Host(_)
        | Scheme::Addr(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_)
        | Scheme::Kubernetes(_) => None,
    }
}
