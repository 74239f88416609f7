//! The short way: wall clocks by turns before the end of the lease, which most reads are.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::{Assembly, BILLION, clock_id, word};
use crate::clock::parameters::Parameters;
use crate::clock::patch::{Return, Room};

/// What it keeps on the stack, from RSP.
mod local {
    /// What the original shows: two words.
    pub(super) const SHOWN: i32 = 0;
    pub(super) const COARSE: i32 = 16;
    pub(super) const OTHER: i32 = 32;
    pub(super) const AGAIN: i32 = 48;
    /// Where the caller wants the time.
    pub(super) const WANTED: i32 = 64;
    /// Which clock it wants.
    pub(super) const ASKED: i32 = 72;
    pub(super) const BYTES: i32 = 88;
}

/// How long after a tick a time may be for the tick to be that of the time (ns): longer than any tick, and
/// more than anybody notices if the wall clock was set back by less in between.
const NEAR: i32 = 1 << 27;

impl Assembly {
    /// As `clock_gettime`; leads on to what follows it with everything as it was where it does not suffice.
    pub(super) fn short(&mut self) -> Result<(), IcedError> {
        let mut label = || self.code.create_label();
        let (mut rare, mut out, mut carry) = (label(), label(), label());
        let (mut store, mut long, mut ended) = (label(), label(), label());
        let own_ids = self.own_ids();
        let a = &mut self.code;
        if own_ids != 0 {
            a.mov(eax, own_ids)?;
            a.bt(eax, edi)?;
            a.jc(long)?;
        }
        a.sub(rsp, local::BYTES)?;
        a.mov(dword_ptr(rsp + local::ASKED), edi)?;
        a.mov(qword_ptr(rsp + local::WANTED), rsi)?;
        a.mov(rsi, rsp)?;
        a.call(self.original)?;
        a.test(eax, eax)?;
        a.jnz(out)?;
        let slews_here = self.moved.back == Return::Slew && self.room == Room::Ample;
        self.before_end(if slews_here { ended } else { rare })?;
        let mut chosen = self.code.create_label();
        let turn = self.turn(r8, chosen)?;
        let a = &mut self.code;
        a.set_label(&mut chosen)?;
        a.cmp(byte_ptr(self.selector), r9b)?;
        a.jne(rare)?;
        a.mov(rsi, qword_ptr(rsp + local::WANTED))?;
        a.add(rdx, qword_ptr(rsp + local::SHOWN))?;
        a.add(rcx, qword_ptr(rsp + local::SHOWN + 8))?;
        a.cmp(rcx, BILLION)?;
        a.jae(carry)?;
        a.set_label(&mut store)?;
        a.mov(qword_ptr(rsi), rdx)?;
        a.mov(qword_ptr(rsi + 8), rcx)?;
        a.set_label(&mut out)?;
        a.add(rsp, local::BYTES)?;
        a.ret()?;
        a.set_label(&mut carry)?;
        a.inc(rdx)?;
        a.sub(rcx, BILLION)?;
        a.jmp(store)?;
        turn.write_second(&mut self.code)?;
        if slews_here {
            self.code.set_label(&mut ended)?;
            self.slewing(rare)?;
            // What is returned.
            self.code.xor(eax, eax)?;
            self.code.jmp(chosen)?;
        }
        let a = &mut self.code;
        a.set_label(&mut rare)?;
        a.mov(edi, dword_ptr(rsp + local::ASKED))?;
        a.mov(rsi, qword_ptr(rsp + local::WANTED))?;
        a.add(rsp, local::BYTES)?;
        a.set_label(&mut long)?;
        // Something has to stand at the label; it costs nothing.
        a.nop()
    }

    /// Behind the end: what is left of the distance of the CLOCK_REALTIME that was read, in seconds in RDX and
    /// nanoseconds in RCX. The time that decides is made of it, by the coarse readings of a tick, so that
    /// the precise clock is read once.
    fn slewing(&mut self, rare: CodeLabel) -> Result<(), IcedError> {
        let a = &mut self.code;
        a.cmp(dword_ptr(rsp + local::ASKED), clock_id::REALTIME)?;
        a.jne(rare)?;
        for (id, to) in
            [(clock_id::REALTIME_COARSE, local::OTHER), (clock_id::MONOTONIC_COARSE, local::AGAIN)]
        {
            a.mov(edi, id)?;
            a.lea(rsi, ptr(rsp + to))?;
            a.call(self.original)?;
        }
        self.same(rsp + local::COARSE, rsp + local::AGAIN, rare)?;
        self.selected()?;
        let a = &mut self.code;
        a.mov(rcx, qword_ptr(rsp + local::SHOWN))?;
        a.sub(rcx, qword_ptr(rsp + local::OTHER))?;
        a.imul_3(rcx, rcx, BILLION)?;
        a.add(rcx, qword_ptr(rsp + local::SHOWN + 8))?;
        a.sub(rcx, qword_ptr(rsp + local::OTHER + 8))?;
        // Read before that tick, or long after it: unsigned, both are far.
        a.cmp(rcx, NEAR)?;
        a.jae(rare)?;
        a.imul_3(rax, qword_ptr(rsp + local::COARSE), BILLION)?;
        a.add(rcx, rax)?;
        a.add(rcx, qword_ptr(rsp + local::COARSE + 8))?;
        a.mov(rax, qword_ptr(r8 + word::END))?;
        a.cmp(rcx, rax)?;
        a.jl(rare)?;
        self.left(r8)?;
        self.divided()
    }

    /// As `time`, where the distance is of whole seconds: those are added to what the original shows.
    pub(super) fn short_time(&mut self, original: CodeLabel) -> Result<(), IcedError> {
        let mut label = || self.code.create_label();
        let (mut rare, mut unstored) = (label(), label());
        let a = &mut self.code;
        a.sub(rsp, local::BYTES)?;
        a.mov(qword_ptr(rsp + local::WANTED), rdi)?;
        self.before_end(rare)?;
        let mut chosen = self.code.create_label();
        let turn = self.turn(r8, chosen)?;
        let a = &mut self.code;
        a.set_label(&mut chosen)?;
        a.cmp(byte_ptr(self.selector), r9b)?;
        a.jne(rare)?;
        a.test(ecx, ecx)?;
        a.jnz(rare)?;
        a.mov(qword_ptr(rsp + local::SHOWN), rdx)?;
        a.xor(edi, edi)?;
        a.call(original)?;
        a.add(rax, qword_ptr(rsp + local::SHOWN))?;
        a.mov(rdi, qword_ptr(rsp + local::WANTED))?;
        a.add(rsp, local::BYTES)?;
        a.test(rdi, rdi)?;
        a.jz(unstored)?;
        a.mov(qword_ptr(rdi), rax)?;
        a.set_label(&mut unstored)?;
        a.ret()?;
        turn.write_second(&mut self.code)?;
        let a = &mut self.code;
        a.set_label(&mut rare)?;
        a.mov(rdi, qword_ptr(rsp + local::WANTED))?;
        a.add(rsp, local::BYTES)
    }

    /// The coarse time to RCX, the copy to R8, its selector to R9B; to `rare` behind the end. EAX is then 0.
    fn before_end(&mut self, rare: CodeLabel) -> Result<(), IcedError> {
        let a = &mut self.code;
        a.mov(edi, clock_id::MONOTONIC_COARSE)?;
        a.lea(rsi, ptr(rsp + local::COARSE))?;
        a.call(self.original)?;
        self.selected()?;
        self.nanoseconds(rsp + local::COARSE)?;
        self.code.cmp(rcx, qword_ptr(r8 + word::END))?;
        self.code.jge(rare)
    }

    /// The copy that is selected to R8, its selector to R9B. That it is a branch lets the processor go on
    /// before it has seen the selector.
    fn selected(&mut self) -> Result<(), IcedError> {
        let mut even = self.code.create_label();
        let a = &mut self.code;
        a.movzx(r9d, byte_ptr(self.selector))?;
        a.lea(r8, ptr(self.block))?;
        a.test(r9b, 1)?;
        a.jz(even)?;
        a.add(r8, Parameters::BYTES as i32)?;
        a.set_label(&mut even)
    }
}
