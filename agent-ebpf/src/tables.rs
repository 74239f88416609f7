//! What the decision reads and writes besides the packet: the maps, the clock, the counters.

use core::ops::ControlFlow;

use crate::{
    abi::{
        Address, Counters, Device, EndpointKey, Flow, FlowKey, Lease, PeerKey, PortKey, Rule, Seen,
        Side, Target,
    },
    decide::Outcome,
    prefilter,
    sight::Sight,
};

/// A slot of the target, below [`crate::abi::MAX_FAULTS`].
pub type Slot = u32;

/// The words of the prefilter.
pub type Words = [u64; prefilter::WORDS as usize];

/// Which of a fault's two counts a number is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// Real traffic.
    Packets,
    /// Probes.
    Probes,
}

/// The maps of one loaded object, and the boot clock.
pub trait Tables {
    /// The value of `schism_target`.
    fn target(&self) -> Option<&Target>;
    /// Changes this CPU's counts of the side.
    fn seen(&self, side: Side, change: impl FnOnce(&mut Seen));
    /// The prefilter.
    fn filter(&self) -> Option<&Words>;
    /// Slots of a peer; 0 for a stranger.
    fn peer(&self, key: &PeerKey) -> u64;
    /// Whether the address is the target's own.
    fn is_local(&self, address: &Address) -> bool;
    /// Flags of a device; 0 for an unknown one.
    fn device(&self, ifindex: u32) -> Device;
    /// Whether an endpoint is of the control path.
    fn is_exempt(&self, endpoint: &EndpointKey) -> bool;
    /// Whether a probe uses the port.
    fn is_probe(&self, port: &PortKey) -> bool;
    /// `SERVED_*` of a local port; 0 for one that is not served.
    fn served(&self, port: &PortKey) -> u8;
    /// The rule of a slot.
    fn rule(&self, slot: Slot) -> Option<&Rule>;
    /// The lease of a slot.
    fn lease(&self, slot: Slot) -> Lease;
    /// Changes this CPU's counters of a slot.
    fn counters(&self, slot: Slot, change: impl FnOnce(&mut Counters));
    /// Takes the next number of a slot, across all CPUs.
    fn number(&self, slot: Slot, series: Series) -> u64;
    /// Reads or changes, in place, the flow with this key; none if there is none.
    fn flow<R>(&self, key: &FlowKey, visit: impl FnOnce(&mut Flow) -> R) -> Option<R>;
    /// Stores a flow, over the one that has its key.
    fn record(&self, key: &FlowKey, flow: &Flow);
    /// Hands `work` room for a sight, with some old one in it; passes the packet where there is none.
    /// Not on the stack: there the verifier tells 70 sights apart, and follows the verdict of each.
    fn workspace(&self, work: impl FnOnce(&mut Sight) -> Outcome) -> Outcome;
    /// Visits the slots from 0 to [`crate::abi::MAX_FAULTS`] until told to stop. A method, since the
    /// verifier follows a plain loop 64 times, along each of its paths.
    fn each_slot<V: FnMut(Slot) -> ControlFlow<()>>(&self, visit: &mut V);
    /// Boot time in ns (CLOCK_BOOTTIME).
    fn now(&self) -> u64;
}
