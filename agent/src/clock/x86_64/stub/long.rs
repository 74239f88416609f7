//! The long way: every moved clock, before the end of the lease and behind it.

use fault::Clock;
use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::{Assembly, BILLION, Turn, clock_id, word};
use crate::clock::block;
use crate::clock::parameters::{Pace, RATE_BITS};
use crate::clock::patch::Return;

/// Seconds that make every offset positive before it is divided; see [`fault::Offset::FARTHEST`].
const BIAS: i64 = 9_223_372_036;

/// What it keeps on the stack, from RBP; times are two words. RBX, R12 and R13 are saved above.
mod local {
    /// How often it may still try.
    pub(super) const TRIES: i32 = -32;
    /// Where the caller wants the time.
    pub(super) const WANTED: i32 = -40;
    /// What is shown, but for the distance.
    pub(super) const SHOWN: i32 = -56;
    pub(super) const COARSE: i32 = -72;
    pub(super) const OTHER: i32 = -88;
    pub(super) const AGAIN: i32 = -104;
    pub(super) const BELOW_WANTED: i32 = 64;
}

/// Which clock to ask the original for.
enum Id {
    /// The one that was asked for, in EBX.
    Asked,
    This(u32),
}

/// Where its parts are.
struct Parts {
    /// Takes a time in RCX.
    evaluate: CodeLabel,
    /// Splits nanoseconds in RDX.
    split: CodeLabel,
    /// Takes seconds in RDX and nanoseconds in RCX.
    join: CodeLabel,
    again: CodeLabel,
    growing: CodeLabel,
    out: CodeLabel,
}

impl Assembly {
    /// As `clock_gettime`.
    pub(super) fn long(&mut self) -> Result<(), IcedError> {
        let mut label = || self.code.create_label();
        let mut parts = Parts {
            evaluate: label(),
            split: label(),
            join: label(),
            again: label(),
            growing: label(),
            out: label(),
        };
        let (mut truth, mut coarse, mut own, mut ended) = (label(), label(), label(), label());
        let (mut even, mut finish) = (label(), label());
        let own_ids = self.own_ids();

        let a = &mut self.code;
        a.push(rbp)?;
        a.mov(rbp, rsp)?;
        a.push(rbx)?;
        a.push(r12)?;
        a.push(r13)?;
        a.push(block::TRIES)?;
        a.push(rsi)?;
        a.sub(rsp, local::BELOW_WANTED)?;
        a.mov(ebx, edi)?;

        a.set_label(&mut parts.again)?;
        a.dec(dword_ptr(rbp + local::TRIES))?;
        a.js(truth)?;
        a.movzx(r13d, byte_ptr(self.selector))?;
        a.lea(r12, ptr(self.block))?;
        a.test(r13b, 1)?;
        a.jz(even)?;
        a.add(r12, 64)?;
        a.set_label(&mut even)?;
        a.cmp(ebx, clock_id::REALTIME_COARSE)?;
        a.je(coarse)?;
        if own_ids != 0 {
            a.mov(eax, own_ids)?;
            a.bt(eax, ebx)?;
            a.jc(own)?;
        }
        match self.moved.pace {
            Pace::Grows => self.growing(&mut parts)?,
            Pace::Constant | Pace::Turns => self.wall_by_turns(&parts)?,
        }

        self.code.set_label(&mut parts.evaluate)?;
        self.code.mov(rax, qword_ptr(r12 + word::END))?;
        self.code.cmp(rcx, rax)?;
        self.code.jge(ended)?;
        let turn = self.acting(&mut parts)?;
        let a = &mut self.code;
        a.set_label(&mut parts.join)?;
        a.cmp(byte_ptr(self.selector), r13b)?;
        a.jne(parts.again)?;

        a.set_label(&mut finish)?;
        a.add(rdx, qword_ptr(rbp + local::SHOWN))?;
        a.add(rcx, qword_ptr(rbp + local::SHOWN + 8))?;
        self.carry()?;
        let a = &mut self.code;
        a.mov(rsi, qword_ptr(rbp + local::WANTED))?;
        a.mov(qword_ptr(rsi), rdx)?;
        a.mov(qword_ptr(rsi + 8), rcx)?;
        a.xor(eax, eax)?;
        a.set_label(&mut parts.out)?;
        a.lea(rsp, ptr(rbp - 24))?;
        a.pop(r13)?;
        a.pop(r12)?;
        a.pop(rbx)?;
        a.pop(rbp)?;
        a.ret()?;

        if let Some(turn) = turn {
            turn.write_second(&mut self.code)?;
        }
        self.code.set_label(&mut ended)?;
        self.ended(&mut parts)?;

        self.code.set_label(&mut truth)?;
        self.ask(Id::Asked, local::SHOWN)?;
        let a = &mut self.code;
        a.test(eax, eax)?;
        a.jnz(parts.out)?;
        a.xor(edx, edx)?;
        a.xor(ecx, ecx)?;
        a.jmp(finish)?;

        self.code.set_label(&mut coarse)?;
        self.coarse(&parts)?;
        if own_ids != 0 {
            self.code.set_label(&mut own)?;
            self.own(&parts)?;
        }
        if self.moved.pace != Pace::Grows && self.moved.back == Return::Slew {
            self.growing(&mut parts)?;
            self.code.jmp(parts.evaluate)?;
        }
        Ok(())
    }

    /// The distance at the time in RCX, which is before the end; the second turn's part is still to be
    /// written.
    fn acting(&mut self, parts: &mut Parts) -> Result<Option<Turn>, IcedError> {
        match self.moved.pace {
            Pace::Constant | Pace::Turns => Ok(Some(self.turn(r12, parts.join)?)),
            Pace::Grows => {
                let a = &mut self.code;
                a.mov(rax, rcx)?;
                a.sub(rax, qword_ptr(r12 + word::ORIGIN))?;
                a.imul(qword_ptr(r12 + word::FACTOR))?;
                a.shrd(rax, rdx, RATE_BITS)?;
                a.mov(rdx, qword_ptr(r12 + word::FIRST))?;
                a.add(rdx, rax)?;
                self.split(parts)?;
                Ok(None)
            }
        }
    }

    /// The distance at the time in RCX, which is not before the end in RAX: what is left of it, none where
    /// it has passed the truth.
    fn ended(&mut self, parts: &mut Parts) -> Result<(), IcedError> {
        let a = &mut self.code;
        match self.moved.back {
            Return::Step => {
                a.xor(edx, edx)?;
                a.xor(ecx, ecx)?;
            }
            Return::Slew => {
                self.left(r12)?;
                let a = &mut self.code;
                match self.moved.pace {
                    Pace::Grows => return a.jmp(parts.split),
                    Pace::Constant | Pace::Turns => self.split(parts)?,
                }
            }
        }
        self.code.jmp(parts.join)
    }

    /// What is left of the distance at the time in RCX, which is not before the end in RAX: to RDX.
    pub(super) fn left(&mut self, copy: AsmRegister64) -> Result<(), IcedError> {
        let a = &mut self.code;
        a.sub(rcx, rax)?;
        a.mov(rax, rcx)?;
        a.imul(qword_ptr(copy + word::BACK_FACTOR))?;
        a.shrd(rax, rdx, RATE_BITS)?;
        a.mov(rcx, qword_ptr(copy + word::BACK))?;
        a.lea(rdx, ptr(rax + rcx))?;
        a.xor(eax, eax)?;
        a.xor(rcx, rdx)?;
        a.cmovs(rdx, rax)
    }

    fn split(&mut self, parts: &mut Parts) -> Result<(), IcedError> {
        self.code.set_label(&mut parts.split)?;
        self.divided()
    }

    /// Nanoseconds in RDX, of either sign, to seconds in RDX and nanoseconds in RCX.
    pub(super) fn divided(&mut self) -> Result<(), IcedError> {
        let a = &mut self.code;
        a.mov(rcx, BIAS * i64::from(BILLION))?;
        a.add(rcx, rdx)?;
        a.mov(rdx, rcx)?;
        // Divided by 10⁹: 2⁹ of it by the shift, the rest by a reciprocal in 2⁻⁷⁵, exact for 64 bits.
        a.shr(rdx, 9)?;
        a.mov(rax, 0x0044_b82f_a09b_5a53_i64)?;
        a.mul(rdx)?;
        a.shr(rdx, 11)?;
        a.imul_3(rax, rdx, BILLION)?;
        a.sub(rcx, rax)?;
        a.mov(rax, BIAS)?;
        a.sub(rdx, rax)
    }

    /// Moves a billion of nanoseconds, 0 to 1,999,999,999 in RCX, to the seconds in RDX.
    fn carry(&mut self) -> Result<(), IcedError> {
        let a = &mut self.code;
        a.lea(rax, ptr(rcx - BILLION))?;
        a.cmp(rcx, BILLION)?;
        a.cmovae(rcx, rax)?;
        a.sbb(rdx, -1)
    }

    /// A wall clock and the coarse time in RCX, before the end or where there is nothing left behind it.
    fn wall_by_turns(&mut self, parts: &Parts) -> Result<(), IcedError> {
        self.ask(Id::Asked, local::SHOWN)?;
        self.code.test(eax, eax)?;
        self.code.jnz(parts.out)?;
        self.ask(Id::This(clock_id::MONOTONIC_COARSE), local::COARSE)?;
        self.nanoseconds(rbp + local::COARSE)?;
        match self.moved.back {
            Return::Step => Ok(()),
            Return::Slew => {
                self.code.cmp(rcx, qword_ptr(r12 + word::END))?;
                self.code.jge(parts.growing)
            }
        }
    }

    /// CLOCK_REALTIME_COARSE: where the distance changes all the time, of one tick with what decides, or
    /// it would step back between ticks.
    fn coarse(&mut self, parts: &Parts) -> Result<(), IcedError> {
        self.ask(Id::This(clock_id::MONOTONIC_COARSE), local::COARSE)?;
        self.ask(Id::Asked, local::SHOWN)?;
        self.ask(Id::This(clock_id::MONOTONIC_COARSE), local::AGAIN)?;
        self.same_tick(parts.again)?;
        self.nanoseconds(rbp + local::COARSE)?;
        self.code.jmp(parts.evaluate)
    }

    /// A wall clock whose distance changes all the time, and the time in RCX.
    fn growing(&mut self, parts: &mut Parts) -> Result<(), IcedError> {
        let mut other = self.code.create_label();
        let a = &mut self.code;
        a.set_label(&mut parts.growing)?;
        a.test(ebx, ebx)?;
        a.jnz(other)?;
        self.ask(Id::This(clock_id::MONOTONIC), local::SHOWN)?;
        self.code.test(eax, eax)?;
        self.code.jnz(parts.out)?;
        self.ask(Id::This(clock_id::MONOTONIC_COARSE), local::COARSE)?;
        self.ask(Id::This(clock_id::REALTIME_COARSE), local::OTHER)?;
        self.ask(Id::This(clock_id::MONOTONIC_COARSE), local::AGAIN)?;
        self.same_tick(parts.again)?;
        let a = &mut self.code;
        a.mov(rdx, qword_ptr(rbp + local::OTHER))?;
        a.sub(rdx, qword_ptr(rbp + local::COARSE))?;
        a.mov(rcx, qword_ptr(rbp + local::OTHER + 8))?;
        a.sub(rcx, qword_ptr(rbp + local::COARSE + 8))?;
        // Less than 0 if it has to borrow.
        a.lea(rax, ptr(rcx + BILLION))?;
        a.cmovs(rcx, rax)?;
        a.sbb(rdx, 0)?;
        a.add(rcx, qword_ptr(rbp + local::SHOWN + 8))?;
        a.add(rdx, qword_ptr(rbp + local::SHOWN))?;
        self.carry()?;
        // The time that decides is still to be made of what is overwritten.
        let a = &mut self.code;
        a.mov(r8, rcx)?;
        self.nanoseconds(rbp + local::SHOWN)?;
        let a = &mut self.code;
        a.mov(qword_ptr(rbp + local::SHOWN), rdx)?;
        a.mov(qword_ptr(rbp + local::SHOWN + 8), r8)?;
        a.jmp(parts.evaluate)?;

        a.set_label(&mut other)?;
        self.ask(Id::Asked, local::SHOWN)?;
        self.code.test(eax, eax)?;
        self.code.jnz(parts.out)?;
        self.ask(Id::This(clock_id::MONOTONIC), local::OTHER)?;
        self.nanoseconds(rbp + local::OTHER)
    }

    /// A clock that decides by itself.
    fn own(&mut self, parts: &Parts) -> Result<(), IcedError> {
        self.ask(Id::Asked, local::SHOWN)?;
        self.code.test(eax, eax)?;
        self.code.jnz(parts.out)?;
        self.nanoseconds(rbp + local::SHOWN)?;
        if self.moved.clocks.contains(Clock::Boottime) {
            let a = &mut self.code;
            a.cmp(ebx, clock_id::BOOTTIME)?;
            a.jb(parts.evaluate)?;
            a.mov(rax, self.moved.boottime_ahead)?;
            a.sub(rcx, rax)?;
        }
        self.code.jmp(parts.evaluate)
    }

    /// Calls the original for a clock.
    fn ask(&mut self, id: Id, to: i32) -> Result<(), IcedError> {
        let a = &mut self.code;
        match id {
            Id::Asked => a.mov(edi, ebx)?,
            Id::This(id) => a.mov(edi, id)?,
        }
        a.lea(rsi, ptr(rbp + to))?;
        a.call(self.original)
    }

    /// Tries anew where a tick went by. Its nanoseconds would tell, but for one a whole second long.
    fn same_tick(&mut self, again: CodeLabel) -> Result<(), IcedError> {
        self.same(rbp + local::COARSE, rbp + local::AGAIN, again)
    }

    /// Goes elsewhere where two times differ.
    pub(super) fn same(
        &mut self,
        one: AsmMemoryOperand,
        other: AsmMemoryOperand,
        elsewhere: CodeLabel,
    ) -> Result<(), IcedError> {
        let a = &mut self.code;
        for half in [8, 0] {
            a.mov(rax, qword_ptr(one + half))?;
            a.cmp(rax, qword_ptr(other + half))?;
            a.jne(elsewhere)?;
        }
        Ok(())
    }
}
