//! From an image to a patch of it: what to write where, and what stood there.

use std::ops::Range;

use fault::{Clock, Clocks, Ending, Skew};

use super::image::{Function, Image};
use super::parameters::Pace;
use super::{block, x86_64};

/// Everything that changes in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where the slack that is used begins, from the image's beginning: the block.
    pub block: u32,
    /// The block before its first parameters, then the stub's code.
    pub slack: Vec<u8>,
    /// The entries that lead into the stub.
    pub sites: Vec<Site>,
    /// Of which pace its parameters have to be.
    pub pace: Pace,
}

/// The entry of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Whose.
    pub function: Function,
    /// Where, from the image's beginning.
    pub entry: u32,
    /// What stands there.
    pub original: Vec<u8>,
    /// What is to stand there: as many bytes.
    pub jump: Vec<u8>,
    /// Where instructions between the entry and the end of the jump have gone to: a thread that stands at
    /// the first is to go on at the second.
    pub moved: Vec<(u32, u32)>,
}

impl Site {
    /// The bytes that change, without the first: nobody may stand at these.
    #[must_use]
    pub fn inside(&self) -> Range<u32> {
        self.entry + 1..self.entry + u32::try_from(self.jump.len()).unwrap_or(u32::MAX)
    }
}

/// An image cannot be patched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// No stub was written for this processor.
    #[error("clocks cannot be skewed on this architecture yet, only on x86-64")]
    Architecture,
    /// A function is shorter than a jump, or begins with something that only works where it stands.
    #[error("the vDSO's {function} begins with what cannot be moved: {instruction}")]
    Unmovable {
        /// Which.
        function: Function,
        /// What.
        instruction: String,
    },
    /// Code of the image goes to where a jump would be.
    #[error("code of the vDSO at {from:#x} leads into the beginning of {function}")]
    Entered {
        /// Which function.
        function: Function,
        /// From where.
        from: u32,
    },
    /// The stub does not fit.
    #[error("the vDSO has {there} unused bytes at its end, and the stub needs {needed}")]
    NoRoom {
        /// How many there are.
        there: usize,
        /// How many it takes.
        needed: usize,
    },
    /// The stub could not be put together.
    #[error("assemble the stub: {0}")]
    Assemble(String),
}

/// What a stub has to know that does not change while it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which clocks it moves.
    pub clocks: Clocks,
    /// How far the target's CLOCK_BOOTTIME is ahead of its CLOCK_MONOTONIC (ns).
    pub boottime_ahead: i64,
    /// How its distance changes.
    pub pace: Pace,
    /// How it comes back.
    pub back: Return,
}

/// How a skew comes back; the same for all of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// At once.
    Step,
    /// Bit by bit.
    Slew,
}

/// How much of it a stub may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// As much as makes it fast.
    Ample,
    /// As little as it can.
    Scarce,
}

impl Return {
    /// That of an ending.
    #[must_use]
    pub const fn of(ending: &Ending) -> Self {
        match ending {
            Ending::Step => Self::Step,
            Ending::Slew(_) => Self::Slew,
        }
    }
}

impl Moved {
    /// What a stub for this skew has to know.
    #[must_use]
    pub const fn by(skew: &Skew, boottime_ahead: i64) -> Self {
        let (pace, back) = (Pace::of(&skew.shape), Return::of(&skew.ending));
        Self { clocks: skew.clocks, boottime_ahead, pace, back }
    }

    /// The functions that have to lead into the stub.
    pub(super) fn functions(self) -> &'static [Function] {
        if self.clocks.contains(Clock::Realtime) {
            &Function::ALL
        } else {
            &[Function::ClockGettime]
        }
    }
}

/// A processor, as far as stubs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// One for which there is a stub.
    X86_64,
    /// Any other.
    Other,
}

impl Machine {
    /// That for which this program was built.
    pub const HERE: Self = if cfg!(target_arch = "x86_64") { Self::X86_64 } else { Self::Other };
}

impl Patch {
    /// Plans one for this processor. Where there is little room, the way back from a constant distance or
    /// from turns is the long one; where there is less, a constant distance is treated as one that grows
    /// ([`Self::pace`] says so): slower, but shorter.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn plan(image: &Image, moved: Moved) -> Result<Self, PatchError> {
        Self::plan_for(Machine::HERE, image, moved)
    }

    /// The same for a processor.
    ///
    /// # Errors
    /// As of [`Self::plan`].
    pub fn plan_for(machine: Machine, image: &Image, moved: Moved) -> Result<Self, PatchError> {
        match machine {
            Machine::X86_64 => {}
            Machine::Other => return Err(PatchError::Architecture),
        }
        let tries = [
            (moved.pace, Room::Ample),
            (moved.pace, Room::Scarce),
            (if moved.pace == Pace::Constant { Pace::Grows } else { moved.pace }, Room::Scarce),
        ];
        let mut planned = Err(PatchError::Architecture);
        for (pace, room) in tries {
            planned = x86_64::patch(image, Moved { pace, ..moved }, room);
            if !matches!(planned, Err(PatchError::NoRoom { .. })) {
                break;
            }
        }
        planned
    }

    /// The bytes of the slack that it uses, from the image's beginning.
    #[must_use]
    pub fn used(&self) -> Range<u32> {
        self.block..self.block + u32::try_from(self.slack.len()).unwrap_or(u32::MAX)
    }

    /// Where the stub's code stands, from the image's beginning.
    #[must_use]
    pub fn stub(&self) -> Range<u32> {
        let used = self.used();
        used.start + u32::try_from(block::BYTES).unwrap_or(u32::MAX)..used.end
    }

    /// The whole image as it is to be, with a block that shows the truth.
    #[must_use]
    pub fn apply(&self, image: &Image) -> Vec<u8> {
        let mut bytes = image.bytes().to_vec();
        let mut put = |at: u32, what: &[u8]| {
            bytes[at as usize..][..what.len()].copy_from_slice(what);
        };
        put(self.block, &self.slack);
        self.sites.iter().for_each(|site| put(site.entry, &site.jump));
        bytes
    }
}

/// An entry that leads into slack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redirected {
    /// Where, from the image's beginning.
    pub entry: u32,
    /// What stood there.
    pub original: Vec<u8>,
    /// What stands there.
    pub jump: Vec<u8>,
}

/// Entries of functions in a copy of an image that lead into its slack. `None` if the copy is the image itself, or differs in any other way.
#[must_use]
pub fn redirected(image: &Image, copy: &[u8]) -> Option<Vec<Redirected>> {
    let comparable = copy.len() == image.bytes().len() && Machine::HERE == Machine::X86_64;
    if !comparable || copy == image.bytes() {
        return None;
    }
    let mut expected = image.bytes().to_vec();
    let slack = image.slack().start as usize..image.slack().end as usize;
    expected[slack.clone()].copy_from_slice(&copy[slack]);
    let mut entries = Vec::new();
    for function in Function::ALL {
        let Some(range) = image.function(function) else { continue };
        let place = range.start as usize..range.start as usize + x86_64::JUMP;
        let (stood, stands) = (image.bytes().get(place.clone())?, copy.get(place.clone())?);
        let leads = x86_64::target(range.start, stands);
        if stood != stands && leads.is_some_and(|target| image.slack().contains(&target)) {
            entries.push(Redirected {
                entry: range.start,
                original: stood.to_vec(),
                jump: stands.to_vec(),
            });
            expected[place].copy_from_slice(stands);
        }
    }
    (expected == copy).then_some(entries)
}
