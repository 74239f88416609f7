//! What became of what was asked.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::{
    BootTime, Effect, Fault, Holder, Hook, Kind, Lease, Measured, Prefix, ProcessIdentity, Side,
    State,
};

/// A fault on its node, at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What was asked.
    pub fault: Fault,
    /// What has become of it.
    pub state: State,
    /// When it acts; `None` before it is committed.
    pub lease: Option<Window>,
    /// What the kernel counted of packets; nothing where a fault has to do with none.
    pub effect: Effect,
    /// What was measured of a fault that has nothing to do with packets; `None` before it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// What passed the target's hook at all.
    pub hook: Hook,
    /// The peers as the kernel has them.
    pub peers: Vec<Prefix>,
    /// What differs from what was asked.
    pub drifts: Vec<Drift>,
    /// On whose behalf it stands; `None` for a command on the node itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// When this was read.
    pub now: BootTime,
}

/// What is not before a moment but at it (1 ms).
const CLEARLY: Duration = Duration::from_millis(1);

/// From when to when a fault acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// First instant.
    pub start: BootTime,
    /// First instant after it, unless renewed.
    pub end: BootTime,
    /// First instant after it in any case.
    pub deadline: BootTime,
}

impl From<&Lease> for Window {
    fn from(lease: &Lease) -> Self {
        Self { start: lease.start(), end: lease.end(), deadline: lease.deadline() }
    }
}

impl Status {
    /// Whether the fault had any effect, as far as that was measured.
    #[must_use]
    pub fn happened(&self) -> bool {
        match (&self.fault.kind, &self.measured) {
            (Kind::Cut(_), _) => self.effect.happened(),
            (Kind::Skew(_), Some(Measured::Clock(clocks))) => clocks.happened(),
            (Kind::Freeze(_), Some(Measured::Freeze(freeze))) => freeze.happened(),
            (Kind::Kill(kill), Some(Measured::Kill(effect))) => {
                // Who ignores it is not told anything by it either.
                let told = !kill.signal.ends() && effect.signalled > effect.unheeded;
                effect.ended > 0 || told
            }
            (Kind::Stress(asked), Some(Measured::Stress(took))) => took.happened(asked),
            (Kind::Skew(_) | Kind::Freeze(_) | Kind::Kill(_) | Kind::Stress(_), _) => false,
        }
    }

    /// The state as people take it: what is committed for a later start does not act yet, and so is no
    /// more than [`State::Prepared`].
    #[must_use]
    pub fn standing(&self) -> State {
        if self.until_start().is_some() { State::Prepared } else { self.state }
    }

    /// How long it is, from when this was read, until the start for which it is committed; `None` for one
    /// that acts, or is not committed, or is on its way out.
    #[must_use]
    pub fn until_start(&self) -> Option<Duration> {
        match self.state {
            State::Active | State::Shadowed => {
                let ahead = self.lease.filter(|window| self.now < window.start);
                ahead.map(|window| window.start.since(self.now))
            }
            State::Prepared
            | State::Healing
            | State::Healed
            | State::Expired
            | State::Gone(_)
            | State::Failed => None,
        }
    }

    /// As it is so much later, as far as that can be told without asking again: leases run on.
    #[must_use]
    pub fn later(mut self, by: Duration) -> Self {
        self.now = self.now + by;
        self
    }

    /// Whether it has done all that it was to do before its time was over: everybody is killed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let complete = matches!(&self.measured, Some(Measured::Kill(kill)) if kill.is_complete());
        matches!(self.state, State::Gone(_)) && complete
    }

    /// Whether it ended by itself, and at its deadline, not clearly before because its lease ran out.
    #[must_use]
    pub fn ran_its_time(&self) -> bool {
        let early = |window: Window| window.deadline.since(window.end) > CLEARLY;
        self.is_done() || self.state == State::Expired && !self.lease.is_some_and(early)
    }

    /// Whether it had begun and is over clearly before its deadline, and has not done all that it was to do: it
    /// failed, lost its target, was not renewed, or was healed.
    #[must_use]
    pub fn ended_early(&self) -> bool {
        match self.state {
            State::Expired => !self.ran_its_time(),
            State::Healed | State::Gone(_) | State::Failed => {
                !self.is_done() && self.time_left().is_some_and(|left| left > CLEARLY)
            }
            State::Prepared | State::Active | State::Shadowed | State::Healing => false,
        }
    }

    /// Whether something of it is known to be there still: a failure of anything else has left nothing.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.state == State::Failed && self.drifts.iter().any(Drift::is_left)
    }

    /// Whether what stays of it is known to do nothing any more: a process that has not got its own bytes back when
    /// its skew ended, but the end itself, has true time.
    #[must_use]
    pub fn is_inert(&self) -> bool {
        let may_act = |drift: &Drift| matches!(drift, Drift::NotTakenOut(_));
        self.stays() && !self.drifts.iter().any(may_act)
    }

    /// How much of the lease is left.
    #[must_use]
    pub fn lease_left(&self) -> Option<Duration> {
        self.lease.map(|window| window.end.since(self.now))
    }

    /// How much of the time asked for is left.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.lease.map(|window| window.deadline.since(self.now))
    }
}

/// A difference between what stands recorded and what the kernel has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// Other programs stand before ours.
    ShadowedBy {
        /// Index of the device.
        interface: u32,
        /// The hook.
        side: Side,
        /// The kernel's ids of these programs.
        programs: Vec<u32>,
    },
    /// A device has left the target; our program was taken off it.
    DeviceLeft(u32),
    /// A device came to the target; our program was put on it.
    DeviceJoined(u32),
    /// Our program was taken off a device by somebody else.
    Detached(u32),
    /// The lease in the kernel is not the recorded one.
    LeaseDiffers {
        /// What stands recorded.
        recorded: BootTime,
        /// What the kernel has.
        found: BootTime,
    },
    /// The process of ours that held the target's, or loads it, has ended before its time.
    HolderEnded,
    /// The process of ours that loads the target was ended by the kernel, as memory ran short there.
    OutOfMemory,
    /// A step of taking out that failed; what it was about may act still.
    NotTakenOut(String),
    /// A step of taking out that failed after what it was about was disarmed: that does nothing any more.
    Inert(String),
    /// A process of the target has other bytes than were written; its clocks are whatever these make them.
    Altered(ProcessIdentity),
}

impl Drift {
    /// Whether it says that something of the fault stays.
    #[must_use]
    pub const fn is_left(&self) -> bool {
        matches!(self, Self::NotTakenOut(_) | Self::Inert(_))
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShadowedBy { interface, side, programs } => {
                write!(f, "shadowed at the {side} of interface {interface} by program")?;
                programs.iter().try_for_each(|id| write!(f, " {id}"))
            }
            Self::DeviceLeft(index) => write!(f, "interface {index} left the target"),
            Self::DeviceJoined(index) => write!(f, "interface {index} joined the target"),
            Self::Detached(index) => write!(f, "somebody detached us from interface {index}"),
            Self::LeaseDiffers { recorded, found } => {
                let apart = |late: &BootTime, early: &BootTime| {
                    humantime::format_duration(Duration::from_millis(
                        u64::try_from(late.since(*early).as_millis()).unwrap_or(u64::MAX),
                    ))
                };
                if found.nanos() == 0 {
                    f.write_str("no lease stands where one was recorded")
                } else if found > recorded {
                    write!(f, "its lease ends {} later than recorded", apart(found, recorded))
                } else {
                    write!(f, "its lease ends {} earlier than recorded", apart(recorded, found))
                }
            }
            Self::HolderEnded => {
                f.write_str("the process of ours that held or loaded it ended before its time")
            }
            Self::OutOfMemory => f.write_str(
                "memory ran short in the target's control group, and the kernel ended the process of \
                 ours that loaded it",
            ),
            Self::NotTakenOut(step) | Self::Inert(step) => write!(f, "not taken out: {step}"),
            Self::Altered(process) => {
                write!(f, "somebody has changed the clocks of process {}", process.pid)
            }
        }
    }
}
