//! The first instructions of a function, which a jump displaces.

use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};

use super::{JUMP, address, place};
use crate::clock::image::{Function, Image};
use crate::clock::patch::PatchError;

/// What a jump at the entry of a function displaces.
#[derive(Clone, Debug)]
pub(super) struct Prologue {
    pub(super) function: Function,
    pub(super) entry: u32,
    /// Whole instructions, at least as long as a jump.
    pub(super) instructions: Vec<Instruction>,
    /// Where the first one lies that stays.
    pub(super) rest: u32,
}

impl Prologue {
    /// Reads a function's first instructions, and makes sure that they work elsewhere.
    pub(super) fn read(
        image: &Image,
        function: Function,
        range: Range<u32>,
    ) -> Result<Self, PatchError> {
        let code = &image.bytes()[range.start as usize..range.end as usize];
        let mut decoder = Decoder::with_ip(64, code, address(range.start), DecoderOptions::NONE);
        let mut instructions = Vec::new();
        while decoder.position() < JUMP {
            let instruction = decoder.decode();
            if !can_be_moved(&instruction) {
                let instruction = format!("{:?}", instruction.code());
                return Err(PatchError::Unmovable { function, instruction });
            }
            instructions.push(instruction);
        }
        let rest = place(decoder.ip())?;
        Ok(Self { function, entry: range.start, instructions, rest })
    }
}

/// What neither goes elsewhere nor pushes where it is. Operands relative to RIP are encoded anew.
fn can_be_moved(instruction: &Instruction) -> bool {
    !instruction.is_invalid() && instruction.flow_control() == FlowControl::Next
}

/// Makes sure that no code of the image goes to a displaced instruction, nor calls a function through its
/// entry: that call would be skewed twice.
pub(super) fn check_entered(image: &Image, prologues: &[Prologue]) -> Result<(), PatchError> {
    let code = image.code();
    let bytes = &image.bytes()[code.start as usize..code.end as usize];
    for instruction in &mut Decoder::with_ip(64, bytes, address(code.start), DecoderOptions::NONE) {
        let branches = instruction.is_jcc_short_or_near()
            || instruction.is_jmp_short_or_near()
            || instruction.is_call_near();
        if !branches {
            continue;
        }
        let target = instruction.near_branch_target();
        let entered = |prologue: &&Prologue| {
            (address(prologue.entry)..address(prologue.rest)).contains(&target)
        };
        if let Some(prologue) = prologues.iter().find(entered) {
            let from = place(instruction.ip())?;
            return Err(PatchError::Entered { function: prologue.function, from });
        }
    }
    Ok(())
}
