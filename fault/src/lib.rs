//! The language of Schism: faults, leases, selectors, effects.
//!
//! Pure: nothing here reads a clock, touches a file or knows the wire. Times come in as
//! [`BootTime`], randomness as a seed.

mod address;
mod blast;
mod capture;
mod chance;
mod cluster;
mod cut;
mod effect;
mod fault;
mod freeze;
mod group;
mod grudge;
mod holder;
mod id;
mod kill;
mod kubernetes;
mod lease;
mod legible;
mod log;
mod lot;
mod measured;
mod node;
mod overlap;
mod pick;
mod pod;
mod quorum;
mod role;
mod selector;
mod skew;
mod state;
mod status;
mod stress;
mod target;
mod zeebe;

pub use address::{AddressError, Prefix, Scope};
pub use blast::{Blast, BlastError, Hit, Limits, Share, ShareError};
pub use capture::{Capture, Kept, NodeNetwork, Packet, PacketWay};
pub use chance::{Chance, ChanceError};
pub use cluster::{ClusterPath, ClusterPathError};
pub use cut::{Cut, Enforcement, FlowAge, Mode, Protocol, Side, Verdict};
pub use effect::{Effect, Hook};
pub use fault::{Aspect, Fault, Kind, PeerTarget, Peers};
pub use freeze::Freeze;
pub use group::{Group, GroupError, Link, MemberName, MemberNameError, Standing};
pub use grudge::{Grudge, GrudgeError, Matrix, Preset, PresetError};
pub use holder::{ControllerId, Holder};
pub use id::{FaultId, IdError, IdPrefix, IntentId};
pub use kill::{Kill, Signal, SignalError};
pub use kubernetes::{
    KubernetesError, KubernetesNamespace, KubernetesPods, LabelError, LabelKey, LabelRequirement,
    LabelSelector, LabelTest, LabelValue, ObjectName, PodsBy,
};
pub use lease::{BootTime, Lease, LeaseTerms, Phase, RenewError, TermsError};
pub use legible::{Legible, OnOneLine};
pub use log::{LogFile, LogForm, LogMark};
pub use lot::seeds;
pub use measured::{
    ClockEffect, FreezeEffect, KillEffect, Measured, Reading, StressEffect, Uncovered,
};
pub use node::{Capability, Presence, Remnant, RemnantKind};
pub use overlap::{Composed, Obstacle, OverlapError, Replacing, obstacle};
pub use pick::Pick;
pub use pod::{ContainerName, Pod, PodError, PodUid};
pub use quorum::{Contact, Impairment, Quorum, QuorumLoss, Stop};
pub use role::{ClusterName, EtcdMembers, EtcdRole, EtcdRoleError};
pub use selector::{NodeName, Scheme, Selector, SelectorError, SelectorErrorKind, likeliest};
pub use skew::{
    Backwards, Clock, ClockTextError, Clocks, Ending, Extent, Offset, Rate, Shape, Skew, SkewError,
    Strobe,
};
pub use state::{Gone, State};
pub use status::{Drift, Status, Window};
pub use stress::{CpuLoad, LoadError, MemoryLoad, Percent, Stress, some_workers};
pub use target::{
    BootId, Interface, NamespaceCookie, OwnAddress, Process, ProcessIdentity, Target,
    TargetIdentity,
};
pub use zeebe::{PartitionNumber, ZeebeMembers, ZeebeRole, ZeebeRoleError};

/// Parses a length of time as people write it: `60s`, `1m 30s`, `250ms`.
///
/// # Errors
/// A text that is no length of time, or one of zero.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, DurationError> {
    let duration = humantime::parse_duration(text).map_err(DurationError::Form)?;
    if duration.is_zero() { Err(DurationError::Zero) } else { Ok(duration) }
}

/// A text is no usable length of time.
#[derive(Debug, thiserror::Error)]
pub enum DurationError {
    /// Not of the form `60s`.
    #[error("{}; write a number and a unit, such as 60s, 250ms or 1m30s", Legible(&.0.to_string()))]
    Form(#[source] humantime::DurationError),
    /// Zero is no time.
    #[error("must be longer than nothing")]
    Zero,
}
