//! The stub's code.
//!
//! Everything goes through the original code, so that a read costs what the original costs, and works with
//! every clock source. Times are put together on the stack and then stored for the caller: two threads that
//! share one place for the answer, as they can with the original, never add to each other's.
//!
//! By turns (offset, step, strobe) the time that decides is CLOCK_MONOTONIC_COARSE: a few nanoseconds, a
//! tick late at most. Where the distance grows or shrinks it is the precise one, and CLOCK_REALTIME is then
//! taken from it, too: two reads with a preemption between them would make the clock jump. How far the two
//! are apart is the difference of their coarse readings of one tick, which the kernel writes together.

mod long;
mod short;

use fault::Clock;
use iced_x86::code_asm::*;
use iced_x86::{BlockEncoderOptions, IcedError};

use super::prologue::Prologue;
use super::{BASE, address, assembled, place};
use crate::clock::block;
use crate::clock::image::Function;
use crate::clock::parameters::{Pace, Parameters};
use crate::clock::patch::{Moved, PatchError, Return, Room};

/// The numbers of include/uapi/linux/time.h.
mod clock_id {
    pub(super) const REALTIME: u32 = 0;
    pub(super) const MONOTONIC: u32 = 1;
    pub(super) const REALTIME_COARSE: u32 = 5;
    pub(super) const MONOTONIC_COARSE: u32 = 6;
    pub(super) const BOOTTIME: u32 = 7;
    pub(super) const REALTIME_ALARM: u32 = 8;
    pub(super) const BOOTTIME_ALARM: u32 = 9;
    pub(super) const TAI: u32 = 11;
}

const BILLION: i32 = 1_000_000_000;

/// Fills what nobody executes.
const INT3: u8 = 0xcc;
/// Where code begins if there is room: 32 bytes are decoded at once. The way back of a slew needs the room.
const CODE_AT: usize = block::BYTES.next_multiple_of(32);

/// Where the words of [`crate::clock::parameters::Parameters`] stand in a copy.
mod word {
    pub(super) const END: i32 = 0;
    pub(super) const ORIGIN: i32 = 8;
    pub(super) const FACTOR: i32 = 16;
    /// Seconds by turns, nanoseconds where the distance grows.
    pub(super) const FIRST: i32 = 24;
    pub(super) const SECOND: i32 = 32;
    /// Of the first; those of the second are behind them.
    pub(super) const NANOS: i32 = 40;
    pub(super) const BACK: i32 = 48;
    pub(super) const BACK_FACTOR: i32 = 56;
}

/// The assembled block and code.
pub(super) struct Stub {
    pub(super) bytes: Vec<u8>,
    /// One for each prologue.
    pub(super) ways: Vec<Way>,
}

/// Where a function's parts have come to stand in the image.
pub(super) struct Way {
    /// Where the jump at its entry leads to.
    pub(super) stub: u32,
    /// Where its displaced instructions are.
    pub(super) original: Vec<u32>,
}

/// Puts everything together to stand at `block` in the image.
pub(super) fn assemble(
    block: u32,
    prologues: &[Prologue],
    moved: Moved,
    room: Room,
) -> Result<Stub, PatchError> {
    let mut assembly = Assembly::new(moved, room).map_err(assembled)?;
    let labels = assembly.write(prologues).map_err(assembled)?;
    let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let result = assembly.code.assemble_options(address(block), options).map_err(assembled)?;
    let at = |label: &CodeLabel| place(result.label_ip(label).map_err(assembled)?);
    let mut ways = Vec::new();
    for (stub, original) in &labels {
        let original = original.iter().map(at).collect::<Result<_, _>>()?;
        ways.push(Way { stub: at(stub)?, original });
    }
    let mut bytes = result.inner.code_buffer;
    bytes[..block::BYTES].copy_from_slice(&block::first(&Parameters::ended()));
    Ok(Stub { bytes, ways })
}

struct Assembly {
    code: CodeAssembler,
    moved: Moved,
    room: Room,
    block: CodeLabel,
    selector: CodeLabel,
    /// The original `clock_gettime`.
    original: CodeLabel,
    /// `clock_gettime` for a clock that is moved.
    skewed: CodeLabel,
}

impl Assembly {
    fn new(moved: Moved, room: Room) -> Result<Self, IcedError> {
        let mut code = CodeAssembler::new(64)?;
        let mut label = || code.create_label();
        let (block, selector, original, skewed) = (label(), label(), label(), label());
        Ok(Self { code, moved, room, block, selector, original, skewed })
    }

    /// Writes all; gives the labels of each prologue's stub and displaced instructions.
    fn write(
        &mut self,
        prologues: &[Prologue],
    ) -> Result<Vec<(CodeLabel, Vec<CodeLabel>)>, IcedError> {
        self.code.set_label(&mut self.block)?;
        self.code.db(&[0; block::Selector::AT as usize])?;
        self.code.set_label(&mut self.selector)?;
        self.code.db(&[0])?;
        if self.room == Room::Ample && self.moved.back == Return::Step {
            // What is read most begins where the processor fetches from.
            self.code.db(&[INT3; CODE_AT - block::BYTES])?;
        }

        let mut labels = Vec::new();
        for prologue in prologues {
            let mut stub = self.code.create_label();
            let mut original = match prologue.function {
                Function::ClockGettime => self.original,
                Function::Gettimeofday | Function::Time => self.code.create_label(),
            };
            self.code.set_label(&mut stub)?;
            match prologue.function {
                Function::ClockGettime => self.clock_gettime()?,
                Function::Gettimeofday => self.gettimeofday(original)?,
                Function::Time => self.time(original)?,
            }
            labels.push((stub, self.original(prologue, &mut original)?));
        }
        Ok(labels)
    }

    /// The displaced instructions, and a jump to those that stayed.
    fn original(
        &mut self,
        prologue: &Prologue,
        entry: &mut CodeLabel,
    ) -> Result<Vec<CodeLabel>, IcedError> {
        let mut labels = Vec::new();
        for (index, instruction) in prologue.instructions.iter().enumerate() {
            let mut label = if index == 0 { *entry } else { self.code.create_label() };
            self.code.set_label(&mut label)?;
            self.code.add_instruction(*instruction)?;
            labels.push(label);
        }
        self.code.jmp(BASE + u64::from(prologue.rest))?;
        Ok(labels)
    }

    /// Clocks that stay as they are go straight to the original.
    fn clock_gettime(&mut self) -> Result<(), IcedError> {
        let a = &mut self.code;
        if self.moved.clocks.contains(Clock::Realtime) {
            // Most reads are of this one: three instructions less.
            a.test(edi, edi)?;
            a.jz(self.skewed)?;
        }
        a.mov(eax, ids(self.moved, &Clock::ALL))?;
        // Ids of devices and of other processes' clocks are negative.
        a.cmp(edi, 31)?;
        a.ja(self.original)?;
        a.bt(eax, edi)?;
        a.jnc(self.original)?;
        a.set_label(&mut self.skewed)?;
        if self.moved.pace != Pace::Grows && self.moved.clocks.contains(Clock::Realtime) {
            self.short()?;
        }
        self.long()
    }

    /// The original fills in the time zone; the time is CLOCK_REALTIME in microseconds.
    fn gettimeofday(&mut self, original: CodeLabel) -> Result<(), IcedError> {
        let mut label = || self.code.create_label();
        let (mut timed, mut failed) = (label(), label());
        let a = &mut self.code;
        a.test(rdi, rdi)?;
        a.jz(original)?;
        a.push(rbx)?;
        a.mov(rbx, rdi)?;
        a.sub(rsp, 16)?;
        a.test(rsi, rsi)?;
        a.jz(timed)?;
        a.xor(edi, edi)?;
        a.call(original)?;
        a.test(eax, eax)?;
        a.jnz(failed)?;
        a.set_label(&mut timed)?;
        a.xor(edi, edi)?;
        a.mov(rsi, rsp)?;
        a.call(self.skewed)?;
        a.test(eax, eax)?;
        a.jnz(failed)?;
        a.mov(rdx, qword_ptr(rsp))?;
        a.mov(qword_ptr(rbx), rdx)?;
        // Divided by 1,000: exact for 32 bits.
        a.imul_3(rcx, qword_ptr(rsp + 8), 0x1062_4dd3)?;
        a.shr(rcx, 38)?;
        a.mov(qword_ptr(rbx + 8), rcx)?;
        a.set_label(&mut failed)?;
        a.add(rsp, 16)?;
        a.pop(rbx)?;
        a.ret()
    }

    /// Whole seconds of CLOCK_REALTIME_COARSE, which the original shows as well.
    fn time(&mut self, original: CodeLabel) -> Result<(), IcedError> {
        if self.moved.pace != Pace::Grows {
            self.short_time(original)?;
        }
        let mut unstored = self.code.create_label();
        let a = &mut self.code;
        a.push(rdi)?;
        a.sub(rsp, 16)?;
        a.mov(edi, clock_id::REALTIME_COARSE)?;
        a.mov(rsi, rsp)?;
        a.call(self.skewed)?;
        // The coarse clocks never fail.
        a.pop(rax)?;
        a.pop(rdx)?;
        a.pop(rdi)?;
        a.test(rdi, rdi)?;
        a.jz(unstored)?;
        a.mov(qword_ptr(rdi), rax)?;
        a.set_label(&mut unstored)?;
        a.ret()
    }

    /// Nanoseconds of a time in memory, to RCX.
    fn nanoseconds(&mut self, time: AsmMemoryOperand) -> Result<(), IcedError> {
        self.code.imul_3(rcx, qword_ptr(time), BILLION)?;
        self.code.add(rcx, qword_ptr(time + 8))
    }

    /// From a time in RCX, not behind the end, to whose turn it is: seconds in RDX, nanoseconds in RCX.
    /// The first's part falls into what follows; the second's goes to `chosen`: write it with
    /// [`Turn::write_second`] where nothing falls into it.
    ///
    /// That it is a branch, not a conditional move, lets the processor add a distance without waiting for
    /// the coarse clock: whose turn it is can be foreseen.
    fn turn(&mut self, copy: AsmRegister64, chosen: CodeLabel) -> Result<Turn, IcedError> {
        let pace = self.moved.pace;
        let turn = Turn { pace, copy, second: self.code.create_label(), chosen };
        let a = &mut self.code;
        if self.moved.pace == Pace::Turns {
            a.sub(rcx, qword_ptr(copy + word::ORIGIN))?;
            a.imul_2(rcx, qword_ptr(copy + word::FACTOR))?;
            a.test(rcx, rcx)?;
            a.js(turn.second)?;
        }
        a.mov(rdx, qword_ptr(copy + word::FIRST))?;
        a.mov(ecx, dword_ptr(copy + word::NANOS))?;
        Ok(turn)
    }

    fn own_ids(&self) -> u32 {
        ids(self.moved, &[Clock::Monotonic, Clock::Boottime])
    }
}

/// Where the parts of a turn are.
struct Turn {
    pace: Pace,
    copy: AsmRegister64,
    second: CodeLabel,
    chosen: CodeLabel,
}

impl Turn {
    fn write_second(mut self, code: &mut CodeAssembler) -> Result<(), IcedError> {
        if self.pace != Pace::Turns {
            return Ok(());
        }
        code.set_label(&mut self.second)?;
        code.mov(rdx, qword_ptr(self.copy + word::SECOND))?;
        code.mov(ecx, dword_ptr(self.copy + word::NANOS + 4))?;
        code.jmp(self.chosen)
    }
}

/// Those of these clocks that are moved, with what follows them, as bits by id.
fn ids(moved: Moved, clocks: &[Clock]) -> u32 {
    let chosen = clocks.iter().filter(|clock| moved.clocks.contains(**clock));
    chosen.fold(0, |bits, clock| {
        let ids: &[u32] = match clock {
            Clock::Realtime => &[
                clock_id::REALTIME,
                clock_id::REALTIME_COARSE,
                clock_id::REALTIME_ALARM,
                clock_id::TAI,
            ],
            Clock::Monotonic => &[clock_id::MONOTONIC, clock_id::MONOTONIC_COARSE],
            Clock::Boottime => &[clock_id::BOOTTIME, clock_id::BOOTTIME_ALARM],
        };
        ids.iter().fold(bits, |bits, id| bits | 1 << id)
    })
}
