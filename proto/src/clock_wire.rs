//! Skews, and what they did, on the wire.

use std::time::Duration;

use fault::{
    Aspect, Clock, ClockEffect, Clocks, Ending, Measured, Offset, Rate, Reading, Shape, Skew,
    Uncovered,
};

use crate::agent as wire;
use crate::fault_wire::nanos;
use crate::invalid::{known, unspecified};
use crate::{Invalid, required};

impl From<Clock> for wire::Clock {
    fn from(clock: Clock) -> Self {
        match clock {
            Clock::Realtime => Self::Realtime,
            Clock::Monotonic => Self::Monotonic,
            Clock::Boottime => Self::Boottime,
        }
    }
}

impl TryFrom<wire::Clock> for Clock {
    type Error = Invalid;

    fn try_from(clock: wire::Clock) -> Result<Self, Invalid> {
        match clock {
            wire::Clock::Unspecified => Err(unspecified("clock")),
            wire::Clock::Realtime => Ok(Self::Realtime),
            wire::Clock::Monotonic => Ok(Self::Monotonic),
            wire::Clock::Boottime => Ok(Self::Boottime),
        }
    }
}

fn clock(number: i32, field: &str) -> Result<Clock, Invalid> {
    known::<wire::Clock>(number, field)?.try_into()
}

fn offset(nanos: i64, field: &str) -> Result<Offset, Invalid> {
    Offset::from_nanos(nanos).ok_or_else(|| Invalid::new(field, "is beyond 9.2e18"))
}

fn rate(billionths: i32, field: &str) -> Result<Rate, Invalid> {
    Rate::from_billionths(billionths).ok_or_else(|| Invalid::new(field, "is 0 or beyond 1e9"))
}

impl From<&Skew> for wire::Skew {
    fn from(skew: &Skew) -> Self {
        use wire::skew::Shape as Wire;
        let shape = match skew.shape {
            Shape::Offset(offset) => Wire::Offset(offset.nanos()),
            Shape::Step { offset, after } => {
                Wire::Step(wire::ClockStep { offset: offset.nanos(), after_ns: nanos(after) })
            }
            Shape::Strobe { first, second, period } => Wire::Strobe(wire::ClockStrobe {
                first: first.nanos(),
                second: second.nanos(),
                period_ns: nanos(period),
            }),
            Shape::Drift { offset, rate } => {
                Wire::Drift(wire::ClockDrift { offset: offset.nanos(), rate: rate.billionths() })
            }
        };
        Self {
            shape: Some(shape),
            clocks: skew.clocks.iter().map(|clock| wire::Clock::from(clock).into()).collect(),
            slew: match skew.ending {
                Ending::Step => 0,
                Ending::Slew(rate) => rate.billionths().unsigned_abs(),
            },
            extent: wire::Extent::from(skew.extent).into(),
        }
    }
}

impl TryFrom<wire::Skew> for Skew {
    type Error = Invalid;

    fn try_from(skew: wire::Skew) -> Result<Self, Invalid> {
        use wire::skew::Shape as Wire;
        let shape = match required(skew.shape, "shape")? {
            Wire::Offset(nanos) => Shape::Offset(offset(nanos, "offset")?),
            Wire::Step(step) => Shape::Step {
                offset: offset(step.offset, "step.offset")?,
                after: Duration::from_nanos(step.after_ns),
            },
            Wire::Strobe(strobe) => Shape::Strobe {
                first: offset(strobe.first, "strobe.first")?,
                second: offset(strobe.second, "strobe.second")?,
                period: Duration::from_nanos(strobe.period_ns),
            },
            Wire::Drift(drift) => Shape::Drift {
                offset: offset(drift.offset, "drift.offset")?,
                rate: rate(drift.rate, "drift.rate")?,
            },
        };
        let clocks = skew.clocks.into_iter().map(|number| clock(number, "clocks"));
        let ending = match i32::try_from(skew.slew) {
            Ok(0) => Ending::Step,
            Ok(billionths) => Ending::Slew(rate(billionths, "slew")?),
            Err(_) => return Err(Invalid::new("slew", "is beyond 1e9")),
        };
        let extent = known::<wire::Extent>(skew.extent, "extent")?.try_into()?;
        Ok(Self { shape, clocks: clocks.collect::<Result<Clocks, _>>()?, ending, extent })
    }
}

impl From<Measured> for wire::Measured {
    fn from(measured: Measured) -> Self {
        let kind = match measured {
            Measured::Clock(clock) => wire::measured::Kind::Clock(clock.into()),
            Measured::Freeze(freeze) => wire::measured::Kind::Freeze(freeze.into()),
            Measured::Kill(kill) => wire::measured::Kind::Kill(kill.into()),
            Measured::Stress(stress) => wire::measured::Kind::Stress(stress.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::measured::Kind> for Measured {
    type Error = Invalid;

    fn try_from(kind: wire::measured::Kind) -> Result<Self, Invalid> {
        match kind {
            wire::measured::Kind::Clock(clock) => Ok(Self::Clock(clock.try_into()?)),
            wire::measured::Kind::Freeze(freeze) => Ok(Self::Freeze(freeze.try_into()?)),
            wire::measured::Kind::Kill(kill) => Ok(Self::Kill(kill.try_into()?)),
            wire::measured::Kind::Stress(stress) => Ok(Self::Stress(stress.into())),
        }
    }
}

impl From<ClockEffect> for wire::ClockEffect {
    fn from(effect: ClockEffect) -> Self {
        Self {
            covered: effect.covered.try_into().unwrap_or(u32::MAX),
            uncovered: effect.uncovered.into_iter().map(Into::into).collect(),
            readings: effect.readings.into_iter().map(Into::into).collect(),
            longest_hold_ns: nanos(effect.longest_hold),
            longest_gap_ns: nanos(effect.longest_gap),
            way_back_ns: nanos(effect.way_back),
            escaped: effect.escaped.try_into().unwrap_or(u32::MAX),
        }
    }
}

impl TryFrom<wire::ClockEffect> for ClockEffect {
    type Error = Invalid;

    fn try_from(effect: wire::ClockEffect) -> Result<Self, Invalid> {
        Ok(Self {
            covered: effect.covered as usize,
            uncovered: effect
                .uncovered
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            readings: effect
                .readings
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            longest_hold: Duration::from_nanos(effect.longest_hold_ns),
            longest_gap: Duration::from_nanos(effect.longest_gap_ns),
            way_back: Duration::from_nanos(effect.way_back_ns),
            escaped: effect.escaped.try_into().unwrap_or(usize::MAX),
        })
    }
}

impl From<Uncovered> for wire::Uncovered {
    fn from(uncovered: Uncovered) -> Self {
        Self {
            process: Some(uncovered.process.into()),
            name: uncovered.name,
            reason: uncovered.reason,
        }
    }
}

impl TryFrom<wire::Uncovered> for Uncovered {
    type Error = Invalid;

    fn try_from(uncovered: wire::Uncovered) -> Result<Self, Invalid> {
        Ok(Self {
            process: required(uncovered.process, "uncovered.process")?.into(),
            name: uncovered.name,
            reason: uncovered.reason,
        })
    }
}

impl From<Reading> for wire::Reading {
    fn from(reading: Reading) -> Self {
        Self {
            clock: wire::Clock::from(reading.clock).into(),
            process: Some(reading.process.into()),
            offset: reading.offset,
            error: reading.error,
            as_asked: reading.as_asked,
        }
    }
}

impl TryFrom<wire::Reading> for Reading {
    type Error = Invalid;

    fn try_from(reading: wire::Reading) -> Result<Self, Invalid> {
        Ok(Self {
            clock: clock(reading.clock, "readings.clock")?,
            process: required(reading.process, "readings.process")?.into(),
            offset: reading.offset,
            error: reading.error,
            as_asked: reading.as_asked,
        })
    }
}

impl From<Aspect> for wire::Aspect {
    fn from(aspect: Aspect) -> Self {
        match aspect {
            Aspect::Network => Self::Unspecified,
            Aspect::Processes => Self::Processes,
        }
    }
}

impl From<wire::Aspect> for Aspect {
    fn from(aspect: wire::Aspect) -> Self {
        match aspect {
            wire::Aspect::Unspecified => Self::Network,
            wire::Aspect::Processes => Self::Processes,
        }
    }
}
