//! What is done to processes, on the wire.

use std::time::Duration;

use fault::{Extent, Freeze, FreezeEffect};

use crate::Invalid;
use crate::agent as wire;
use crate::fault_wire::nanos;
use crate::invalid::{known, unspecified};

impl From<Extent> for wire::Extent {
    fn from(extent: Extent) -> Self {
        match extent {
            Extent::Named => Self::Named,
            Extent::Tree => Self::Tree,
        }
    }
}

impl TryFrom<wire::Extent> for Extent {
    type Error = Invalid;

    fn try_from(extent: wire::Extent) -> Result<Self, Invalid> {
        match extent {
            wire::Extent::Unspecified => Err(unspecified("extent")),
            wire::Extent::Named => Ok(Self::Named),
            wire::Extent::Tree => Ok(Self::Tree),
        }
    }
}

impl From<&Freeze> for wire::Freeze {
    fn from(freeze: &Freeze) -> Self {
        Self { extent: wire::Extent::from(freeze.extent).into() }
    }
}

impl TryFrom<wire::Freeze> for Freeze {
    type Error = Invalid;

    fn try_from(freeze: wire::Freeze) -> Result<Self, Invalid> {
        Ok(Self { extent: known::<wire::Extent>(freeze.extent, "extent")?.try_into()? })
    }
}

fn count(number: usize) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

impl From<FreezeEffect> for wire::FreezeEffect {
    fn from(effect: FreezeEffect) -> Self {
        Self {
            processes: count(effect.processes),
            threads: count(effect.threads),
            stopped: count(effect.stopped),
            reached_ns: nanos(effect.reached),
            held_ns: nanos(effect.held),
            uncovered: effect.uncovered.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::FreezeEffect> for FreezeEffect {
    type Error = Invalid;

    fn try_from(effect: wire::FreezeEffect) -> Result<Self, Invalid> {
        let uncovered = effect.uncovered.into_iter().map(TryInto::try_into);
        Ok(Self {
            processes: effect.processes as usize,
            threads: effect.threads as usize,
            stopped: effect.stopped as usize,
            reached: Duration::from_nanos(effect.reached_ns),
            held: Duration::from_nanos(effect.held_ns),
            uncovered: uncovered.collect::<Result<_, _>>()?,
        })
    }
}
