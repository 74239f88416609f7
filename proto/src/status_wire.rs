//! What became of faults, on the wire.

use fault::{BootTime, Drift, Effect, Gone, Hook, State, Status, Window};

use crate::agent as wire;
use crate::invalid::{known, unspecified};
use crate::{Invalid, required};

impl From<State> for wire::State {
    fn from(state: State) -> Self {
        match state {
            State::Prepared => Self::Prepared,
            State::Active => Self::Active,
            State::Shadowed => Self::Shadowed,
            State::Healing => Self::Healing,
            State::Healed => Self::Healed,
            State::Expired => Self::Expired,
            State::Gone(Gone::Namespace) => Self::GoneNamespace,
            State::Gone(Gone::Process) => Self::GoneProcess,
            State::Gone(Gone::Peer) => Self::GonePeer,
            State::Failed => Self::Failed,
        }
    }
}

impl TryFrom<wire::State> for State {
    type Error = Invalid;

    fn try_from(state: wire::State) -> Result<Self, Invalid> {
        Ok(match state {
            wire::State::Unspecified => return Err(unspecified("state")),
            wire::State::Prepared => Self::Prepared,
            wire::State::Active => Self::Active,
            wire::State::Shadowed => Self::Shadowed,
            wire::State::Healing => Self::Healing,
            wire::State::Healed => Self::Healed,
            wire::State::Expired => Self::Expired,
            wire::State::GoneNamespace => Self::Gone(Gone::Namespace),
            wire::State::GoneProcess => Self::Gone(Gone::Process),
            wire::State::GonePeer => Self::Gone(Gone::Peer),
            wire::State::Failed => Self::Failed,
        })
    }
}

/// 0 on the wire stands for a time that there is not.
fn boot_time(nanos: u64) -> Option<BootTime> {
    (nanos != 0).then(|| BootTime::from_nanos(nanos))
}

fn nanos(time: Option<BootTime>) -> u64 {
    time.map_or(0, BootTime::nanos)
}

impl From<Effect> for wire::Effect {
    fn from(effect: Effect) -> Self {
        Self {
            matched: effect.matched,
            lost: effect.lost,
            lost_segments: effect.lost_segments,
            lost_bytes: effect.lost_bytes,
            spared: effect.spared,
            expired: effect.expired,
            not_begun: effect.not_begun,
            exempt: effect.exempt,
            other_opener: effect.other_opener,
            opener_guessed: effect.opener_guessed,
            opener_unknown: effect.opener_unknown,
            other_age: effect.other_age,
            fragment: effect.fragment,
            probes_matched: effect.probes_matched,
            probes_lost: effect.probes_lost,
            first_loss: nanos(effect.first_loss),
            last_loss: nanos(effect.last_loss),
        }
    }
}

impl From<wire::Effect> for Effect {
    fn from(effect: wire::Effect) -> Self {
        Self {
            matched: effect.matched,
            lost: effect.lost,
            lost_segments: effect.lost_segments,
            lost_bytes: effect.lost_bytes,
            spared: effect.spared,
            expired: effect.expired,
            not_begun: effect.not_begun,
            exempt: effect.exempt,
            other_opener: effect.other_opener,
            opener_guessed: effect.opener_guessed,
            opener_unknown: effect.opener_unknown,
            other_age: effect.other_age,
            fragment: effect.fragment,
            probes_matched: effect.probes_matched,
            probes_lost: effect.probes_lost,
            first_loss: boot_time(effect.first_loss),
            last_loss: boot_time(effect.last_loss),
        }
    }
}

impl From<Drift> for wire::Drift {
    fn from(drift: Drift) -> Self {
        use wire::drift::Kind as Wire;
        let memory_ran_short = drift == Drift::OutOfMemory;
        let disarmed = matches!(drift, Drift::Inert(_));
        let kind = match drift {
            Drift::ShadowedBy { interface, side, programs } => Wire::ShadowedBy(wire::ShadowedBy {
                interface_index: interface,
                side: wire::Side::from(side).into(),
                program_ids: programs,
            }),
            Drift::DeviceLeft(index) => Wire::DeviceLeft(index),
            Drift::DeviceJoined(index) => Wire::DeviceJoined(index),
            Drift::Detached(index) => Wire::Detached(index),
            Drift::LeaseDiffers { recorded, found } => Wire::LeaseDiffers(wire::LeaseDiffers {
                recorded_end: recorded.nanos(),
                found_end: found.nanos(),
            }),
            Drift::NotTakenOut(step) | Drift::Inert(step) => Wire::NotTakenOut(step),
            Drift::Altered(process) => Wire::Altered(process.into()),
            Drift::HolderEnded | Drift::OutOfMemory => Wire::HolderEnded(true),
        };
        Self { kind: Some(kind), memory_ran_short, disarmed }
    }
}

impl TryFrom<wire::Drift> for Drift {
    type Error = Invalid;

    fn try_from(drift: wire::Drift) -> Result<Self, Invalid> {
        use wire::drift::Kind as Wire;
        Ok(match required(drift.kind, "kind")? {
            Wire::ShadowedBy(shadowed) => Self::ShadowedBy {
                interface: shadowed.interface_index,
                side: known::<wire::Side>(shadowed.side, "side")?.try_into()?,
                programs: shadowed.program_ids,
            },
            Wire::DeviceLeft(index) => Self::DeviceLeft(index),
            Wire::DeviceJoined(index) => Self::DeviceJoined(index),
            Wire::Detached(index) => Self::Detached(index),
            Wire::LeaseDiffers(differs) => Self::LeaseDiffers {
                recorded: BootTime::from_nanos(differs.recorded_end),
                found: BootTime::from_nanos(differs.found_end),
            },
            Wire::NotTakenOut(step) if drift.disarmed => Self::Inert(step),
            Wire::NotTakenOut(step) => Self::NotTakenOut(step),
            Wire::Altered(process) => Self::Altered(process.into()),
            Wire::HolderEnded(_) if drift.memory_ran_short => Self::OutOfMemory,
            Wire::HolderEnded(_) => Self::HolderEnded,
        })
    }
}

impl From<Status> for wire::Status {
    fn from(status: Status) -> Self {
        let window = status.lease;
        Self {
            fault: Some((&status.fault).into()),
            state: wire::State::from(status.state).into(),
            start: nanos(window.map(|window| window.start)),
            lease_end: nanos(window.map(|window| window.end)),
            deadline: nanos(window.map(|window| window.deadline)),
            effect: Some(status.effect.into()),
            hook: Some(wire::Hook { seen: status.hook.seen, unparsable: status.hook.unparsable }),
            peers: status.peers.iter().map(Into::into).collect(),
            drifts: status.drifts.into_iter().map(Into::into).collect(),
            now: status.now.nanos(),
            holder: status.holder.map(Into::into),
            measured: status.measured.map(Into::into),
        }
    }
}

impl TryFrom<wire::Status> for Status {
    type Error = Invalid;

    fn try_from(status: wire::Status) -> Result<Self, Invalid> {
        let window = boot_time(status.start).map(|start| Window {
            start,
            end: BootTime::from_nanos(status.lease_end),
            deadline: BootTime::from_nanos(status.deadline),
        });
        let hook = status.hook.unwrap_or_default();
        Ok(Self {
            fault: required(status.fault, "fault")?.try_into()?,
            state: known::<wire::State>(status.state, "state")?.try_into()?,
            lease: window,
            effect: status.effect.unwrap_or_default().into(),
            hook: Hook { seen: hook.seen, unparsable: hook.unparsable },
            peers: status.peers.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            drifts: status.drifts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            holder: status
                .holder
                .map(TryInto::try_into)
                .transpose()
                .map_err(|error: Invalid| error.within("holder"))?,
            // Of a kind that is not known here: an effect that was not measured as far as anybody can tell.
            measured: match status.measured.and_then(|measured| measured.kind) {
                Some(kind) => Some(kind.try_into().map_err(|e: Invalid| e.within("measured"))?),
                None => None,
            },
            now: BootTime::from_nanos(status.now),
        })
    }
}
