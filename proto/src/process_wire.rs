//! What is done to processes, on the wire.

use std::time::Duration;

use fault::{
    CpuLoad, Extent, Freeze, FreezeEffect, Kill, KillEffect, MemoryLoad, Percent, Signal, Stress,
    StressEffect, some_workers,
};

use crate::agent as wire;
use crate::fault_wire::nanos;
use crate::invalid::{known, unspecified};
use crate::{Invalid, required};

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

impl From<Signal> for wire::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Hangup => Self::Hangup,
            Signal::Interrupt => Self::Interrupt,
            Signal::Quit => Self::Quit,
            Signal::Abort => Self::Abort,
            Signal::Kill => Self::Kill,
            Signal::User1 => Self::User1,
            Signal::User2 => Self::User2,
            Signal::Terminate => Self::Terminate,
        }
    }
}

impl TryFrom<wire::Signal> for Signal {
    type Error = Invalid;

    fn try_from(signal: wire::Signal) -> Result<Self, Invalid> {
        match signal {
            wire::Signal::Unspecified => Err(unspecified("signal")),
            wire::Signal::Hangup => Ok(Self::Hangup),
            wire::Signal::Interrupt => Ok(Self::Interrupt),
            wire::Signal::Quit => Ok(Self::Quit),
            wire::Signal::Abort => Ok(Self::Abort),
            wire::Signal::Kill => Ok(Self::Kill),
            wire::Signal::User1 => Ok(Self::User1),
            wire::Signal::User2 => Ok(Self::User2),
            wire::Signal::Terminate => Ok(Self::Terminate),
        }
    }
}

impl From<&Kill> for wire::Kill {
    fn from(kill: &Kill) -> Self {
        Self {
            extent: wire::Extent::from(kill.extent).into(),
            signal: wire::Signal::from(kill.signal).into(),
            grace_ns: kill.grace.map(nanos),
        }
    }
}

impl TryFrom<wire::Kill> for Kill {
    type Error = Invalid;

    fn try_from(kill: wire::Kill) -> Result<Self, Invalid> {
        Ok(Self {
            extent: known::<wire::Extent>(kill.extent, "extent")?.try_into()?,
            signal: known::<wire::Signal>(kill.signal, "signal")?.try_into()?,
            grace: kill.grace_ns.map(Duration::from_nanos),
        })
    }
}

fn percent(number: u32, field: &str) -> Result<Percent, Invalid> {
    let number = u8::try_from(number).ok().and_then(Percent::new);
    number.ok_or_else(|| Invalid::new(field, "is not from 1 to 100"))
}

impl From<&Stress> for wire::Stress {
    fn from(stress: &Stress) -> Self {
        use wire::memory_load::Amount;
        let cpu = stress.cpu.map(|cpu| wire::CpuLoad {
            workers: cpu.workers.get().into(),
            percent: cpu.share.number().into(),
        });
        let memory = stress.memory.map(|memory| match memory {
            MemoryLoad::Bytes(bytes) => Amount::Bytes(bytes),
            MemoryLoad::Share(share) => Amount::Percent(share.number().into()),
        });
        Self {
            cpu,
            memory: memory.map(|amount| wire::MemoryLoad { amount: Some(amount) }),
            io_workers: stress.io.map_or(0, |io| io.get().into()),
        }
    }
}

impl TryFrom<wire::Stress> for Stress {
    type Error = Invalid;

    fn try_from(stress: wire::Stress) -> Result<Self, Invalid> {
        use wire::memory_load::Amount;
        let workers = |number: u32, field| {
            some_workers(number.into()).map_err(|error| Invalid::new(field, error))
        };
        let cpu = |cpu: wire::CpuLoad| {
            Ok(CpuLoad {
                workers: workers(cpu.workers, "cpu.workers")?,
                share: percent(cpu.percent, "cpu.percent")?,
            })
        };
        let memory = |memory: wire::MemoryLoad| match required(memory.amount, "memory.amount")? {
            Amount::Bytes(0) => Err(Invalid::new("memory.bytes", "is 0")),
            Amount::Bytes(bytes) => Ok(MemoryLoad::Bytes(bytes)),
            Amount::Percent(number) => Ok(MemoryLoad::Share(percent(number, "memory.percent")?)),
        };
        let asked = Self {
            cpu: stress.cpu.map(cpu).transpose()?,
            memory: stress.memory.map(memory).transpose()?,
            io: match stress.io_workers {
                0 => None,
                number => Some(workers(number, "io_workers")?),
            },
        };
        if asked.is_nothing() { Err(Invalid::new("stress", "asks for nothing")) } else { Ok(asked) }
    }
}

impl From<KillEffect> for wire::KillEffect {
    fn from(effect: KillEffect) -> Self {
        Self {
            processes: count(effect.processes),
            signalled: count(effect.signalled),
            unheeded: count(effect.unheeded),
            ended: count(effect.ended),
            forced: count(effect.forced),
            longest_ns: nanos(effect.longest),
            uncovered: effect.uncovered.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::KillEffect> for KillEffect {
    type Error = Invalid;

    fn try_from(effect: wire::KillEffect) -> Result<Self, Invalid> {
        let uncovered = effect.uncovered.into_iter().map(TryInto::try_into);
        Ok(Self {
            processes: effect.processes as usize,
            signalled: effect.signalled as usize,
            unheeded: effect.unheeded as usize,
            ended: effect.ended as usize,
            forced: effect.forced as usize,
            longest: Duration::from_nanos(effect.longest_ns),
            uncovered: uncovered.collect::<Result<_, _>>()?,
        })
    }
}

impl From<StressEffect> for wire::StressEffect {
    fn from(effect: StressEffect) -> Self {
        Self {
            lasted_ns: nanos(effect.lasted),
            cpu_ns: nanos(effect.cpu),
            memory: effect.memory,
            memory_asked: effect.memory_asked,
            written: effect.written,
            read: effect.read,
        }
    }
}

impl From<wire::StressEffect> for StressEffect {
    fn from(effect: wire::StressEffect) -> Self {
        Self {
            lasted: Duration::from_nanos(effect.lasted_ns),
            cpu: Duration::from_nanos(effect.cpu_ns),
            memory: effect.memory,
            memory_asked: effect.memory_asked,
            written: effect.written,
            read: effect.read,
        }
    }
}
