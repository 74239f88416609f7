//! The short way: wall clocks by turns before the end of the lease, which most reads are.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use super::{Assembly, BILLION, clock_id, word};
use crate::clock::parameters::Parameters;

/// What it keeps on the stack, from RSP.
mod local {
    /// What the original shows: two words.
    pub(super) const SHOWN: i32 = 0;
    pub(super) const COARSE: i32 = 16;
    /// Where the caller wants the time.
    pub(super) const WANTED: i32 = 32;
    /// Which clock it wants.
    pub(super) const ASKED: i32 = 40;
    pub(super) const BYTES: i32 = 56;
}

impl Assembly {
    /// As `clock_gettime`; leads on to what follows it with everything as it was where it does not suffice.
    pub(super) fn short(&mut self) -> Result<(), IcedError> {
        let mut label = || self.code.create_label();
        let (mut rare, mut out, mut carry) = (label(), label(), label());
        let (mut store, mut long) = (label(), label());
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
        self.before_end(rare)?;
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
        let a = &mut self.code;
        a.set_label(&mut rare)?;
        a.mov(edi, dword_ptr(rsp + local::ASKED))?;
        a.mov(rsi, qword_ptr(rsp + local::WANTED))?;
        a.add(rsp, local::BYTES)?;
        a.set_label(&mut long)?;
        // Something has to stand at the label; it costs nothing.
        a.nop()
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
        let mut even = self.code.create_label();
        let a = &mut self.code;
        a.mov(edi, clock_id::MONOTONIC_COARSE)?;
        a.lea(rsi, ptr(rsp + local::COARSE))?;
        a.call(self.original)?;
        a.movzx(r9d, byte_ptr(self.selector))?;
        a.lea(r8, ptr(self.block))?;
        a.test(r9b, 1)?;
        a.jz(even)?;
        a.add(r8, Parameters::BYTES as i32)?;
        a.set_label(&mut even)?;
        self.nanoseconds(rsp + local::COARSE)?;
        self.code.cmp(rcx, qword_ptr(r8 + word::END))?;
        self.code.jge(rare)
    }
}
