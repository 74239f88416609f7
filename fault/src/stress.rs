//! The load: workers of ours take processor time, memory and disk from a target, within its own limits.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// What a load takes; at least one of the three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Stress {
    /// Processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuLoad>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryLoad>,
    /// How many workers write and read a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<NonZeroU16>,
}

impl Stress {
    /// More workers of a kind than this (4,096) are a mistake.
    pub const WORKERS: u16 = 4_096;

    /// Whether it asks for nothing.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.cpu.is_none() && self.memory.is_none() && self.io.is_none()
    }
}

impl fmt::Display for Stress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.cpu.map(|cpu| format!("cpu {cpu}"));
        let memory = self.memory.map(|memory| format!("memory {memory}"));
        let io = self.io.map(|io| format!("io {io}"));
        let all: Vec<String> = [cpu, memory, io].into_iter().flatten().collect();
        f.write_str(&all.join(", "))
    }
}

/// A share in percent, from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u8);

impl Percent {
    /// All of it.
    pub const ALL: Self = Self(100);

    /// Takes a number from 1 to 100.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number == 0 || number > 100 { None } else { Some(Self(number)) }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// So much of a whole.
    #[must_use]
    pub fn of(self, whole: u64) -> u64 {
        // What remains is small; the product of the rest cannot overflow.
        whole / 100 * u64::from(self.0) + whole % 100 * u64::from(self.0) / 100
    }
}

/// Workers that are busy for a share of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CpuLoad {
    /// How many.
    pub workers: NonZeroU16,
    /// For how much of the time each.
    pub share: Percent,
}

/// How much memory is taken and kept resident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryLoad {
    /// So many bytes.
    Bytes(u64),
    /// So much of what the target may have: of its own limit, or of the node's memory where it has none.
    Share(Percent),
}

/// A text is no load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not of the form `2` or `2@50%`.
    #[error(
        "write a number of workers, and the share of the time for which each is busy: 2 or 2@50%"
    )]
    Cpu,
    /// Not of the form `256MiB` or `80%`.
    #[error("write a size such as 256MiB or 1GB, or a share of the target's limit such as 80%")]
    Memory,
    /// A size without a unit: what was meant is hardly so many bytes.
    #[error(
        "say in what it is counted: {0}MiB, {0}GB, {0}B for bytes, or a share of the target's limit such as 80%"
    )]
    Unit(u64),
    /// Out of reason.
    #[error("must be from 1 to {most}", most = Stress::WORKERS)]
    Workers,
}

fn percent(text: &str) -> Option<Percent> {
    text.strip_suffix('%')?.parse().ok().and_then(Percent::new)
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl fmt::Display for CpuLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.workers)?;
        if self.share == Percent::ALL { Ok(()) } else { write!(f, "@{}", self.share) }
    }
}

impl FromStr for CpuLoad {
    type Err = LoadError;

    fn from_str(text: &str) -> Result<Self, LoadError> {
        let (number, share) = match text.split_once('@') {
            Some((number, share)) => (number, percent(share).ok_or(LoadError::Cpu)?),
            None => (text, Percent::ALL),
        };
        let workers = number.parse::<u64>().map_err(|_| LoadError::Cpu)?;
        Ok(Self { workers: some_workers(workers)?, share })
    }
}

/// Takes a number of workers within reason.
///
/// # Errors
/// None, or too many.
pub fn some_workers(number: u64) -> Result<NonZeroU16, LoadError> {
    let number = u16::try_from(number).ok().filter(|number| *number <= Stress::WORKERS);
    number.and_then(NonZeroU16::new).ok_or(LoadError::Workers)
}

impl fmt::Display for MemoryLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => {
                const UNITS: [(&str, u64); 6] = [
                    ("GiB", 1 << 30),
                    ("GB", 1_000_000_000),
                    ("MiB", 1 << 20),
                    ("MB", 1_000_000),
                    ("KiB", 1 << 10),
                    ("kB", 1_000),
                ];
                // The fewest digits are what was typed, most likely.
                let whole = UNITS.iter().filter(|(_, size)| *bytes > 0 && bytes % size == 0);
                match whole.min_by_key(|(_, size)| bytes / size) {
                    Some((unit, size)) => write!(f, "{}{unit}", bytes / size),
                    None => write!(f, "{bytes}B"),
                }
            }
            Self::Share(share) => share.fmt(f),
        }
    }
}

impl FromStr for MemoryLoad {
    type Err = LoadError;

    fn from_str(text: &str) -> Result<Self, LoadError> {
        if text.ends_with('%') {
            return percent(text).map(Self::Share).ok_or(LoadError::Memory);
        }
        if let Ok(number) = text.parse() {
            return Err(if number == 0 { LoadError::Memory } else { LoadError::Unit(number) });
        }
        let size: bytesize::ByteSize = text.parse().map_err(|_| LoadError::Memory)?;
        // What has no place in 64 bits comes as the most that has.
        if size.as_u64() == u64::MAX {
            return Err(LoadError::Memory);
        }
        if size.as_u64() == 0 { Err(LoadError::Memory) } else { Ok(Self::Bytes(size.as_u64())) }
    }
}

impl Serialize for CpuLoad {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for MemoryLoad {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn loads_as_people_write_them() {
        for (text, workers, share) in [("2", 2, 100), ("2@50%", 2, 50), ("1@1%", 1, 1)] {
            let load: CpuLoad = text.parse().unwrap();
            assert_eq!((load.workers.get(), load.share.number()), (workers, share), "{text}");
        }
        for text in ["", "@50%", "2@", "2@0%", "2@101%", "2@50", "-1", "two"] {
            assert_eq!(text.parse::<CpuLoad>(), Err(LoadError::Cpu), "{text}");
        }
        for text in ["0", "4097", "70000", "99999999999"] {
            assert_eq!(text.parse::<CpuLoad>(), Err(LoadError::Workers), "{text}");
        }
        let sizes =
            [("256MiB", 256 << 20), ("1GB", 1_000_000_000), ("4096B", 4_096), ("1 KiB", 1_024)];
        for (text, bytes) in sizes {
            assert_eq!(text.parse(), Ok(MemoryLoad::Bytes(bytes)), "{text}");
        }
        for (text, said) in
            [("1000G", "1000GB"), ("300MB", "300MB"), ("4096B", "4KiB"), ("7B", "7B")]
        {
            assert_eq!(text.parse::<MemoryLoad>().unwrap().to_string(), said);
        }
        assert_eq!("80%".parse(), Ok(MemoryLoad::Share(Percent(80))));
        assert_eq!("50".parse::<MemoryLoad>(), Err(LoadError::Unit(50)));
        for text in ["", "0", "0%", "101%", "many", "-1MiB", "%", "99999999999999999999G"] {
            assert_eq!(text.parse::<MemoryLoad>(), Err(LoadError::Memory), "{text}");
        }
    }

    #[test]
    fn a_share_of_a_whole() {
        assert_eq!(Percent(50).of(u64::MAX), u64::MAX / 2);
        assert_eq!((Percent(1).of(99), Percent(1).of(100), Percent(33).of(10)), (0, 1, 3));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_what_was_read(bytes in 1_u64.., workers in 1_u16..=4_096, share in 1_u8..=100) {
            let memory = MemoryLoad::Bytes(bytes);
            prop_assert_eq!(memory.to_string().parse(), Ok(memory));
            let cpu = CpuLoad { workers: workers.try_into().unwrap(), share: Percent(share) };
            prop_assert_eq!(cpu.to_string().parse(), Ok(cpu));
        }
    }
}
