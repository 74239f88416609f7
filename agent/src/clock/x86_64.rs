//! Patches of x86-64 images.

mod prologue;
mod stub;

use iced_x86::IcedError;

use super::block;
use super::image::Image;
use super::patch::{Moved, Patch, PatchError, Room, Site};
use prologue::Prologue;

/// Where images are thought to lie while their code is put together: far enough from zero that what lies
/// before an image has an address, too.
const BASE: u64 = 0x7000_0000_0000;
/// Bytes of a jump with 32 bits of distance.
pub(super) const JUMP: usize = 5;

fn address(place: u32) -> u64 {
    BASE + u64::from(place)
}

fn place(address: u64) -> Result<u32, PatchError> {
    u32::try_from(address.wrapping_sub(BASE))
        .map_err(|_| PatchError::Assemble(format!("{address:#x} is outside of the image")))
}

fn assembled(error: IcedError) -> PatchError {
    PatchError::Assemble(error.to_string())
}

/// Plans a patch.
///
/// # Errors
/// Why there can be none.
pub(super) fn patch(image: &Image, moved: Moved, room: Room) -> Result<Patch, PatchError> {
    let mut prologues = Vec::new();
    for function in moved.functions() {
        // An image without gettimeofday or time has nothing there to move.
        if let Some(range) = image.function(*function) {
            prologues.push(Prologue::read(image, *function, range)?);
        }
    }
    prologue::check_entered(image, &prologues)?;

    let slack = image.slack();
    let block = slack.start.next_multiple_of(block::ALIGNMENT);
    let stub = stub::assemble(block, &prologues, moved, room)?;
    let there = slack.len();
    let needed = stub.bytes.len() + (block - slack.start) as usize;
    if needed > there {
        return Err(PatchError::NoRoom { there, needed });
    }

    let mut sites = Vec::new();
    for (prologue, way) in prologues.iter().zip(&stub.ways) {
        let jump = jump(prologue.entry, way.stub)?;
        let inside = prologue.entry + 1..prologue.entry + JUMP as u32;
        let froms = prologue.instructions.iter().map(|instruction| place(instruction.ip()));
        let mut moved = Vec::new();
        for (from, to) in froms.zip(&way.original) {
            let from = from?;
            if inside.contains(&from) {
                moved.push((from, *to));
            }
        }
        let original = image.bytes()[prologue.entry as usize..][..JUMP].to_vec();
        sites.push(Site {
            function: prologue.function,
            entry: prologue.entry,
            original,
            jump,
            moved,
        });
    }
    Ok(Patch { block, slack: stub.bytes, sites, pace: moved.pace })
}

fn jump(from: u32, to: u32) -> Result<Vec<u8>, PatchError> {
    let distance = i64::from(to) - i64::from(from) - JUMP as i64;
    let distance =
        i32::try_from(distance).map_err(|error| PatchError::Assemble(error.to_string()))?;
    let mut bytes = vec![0xe9];
    bytes.extend(distance.to_le_bytes());
    Ok(bytes)
}

/// Where a jump at a place leads to; `None` for what is no jump.
pub(super) fn target(from: u32, jump: &[u8]) -> Option<u32> {
    let [0xe9, distance @ ..] = jump else { return None };
    let distance = i32::from_le_bytes(distance.try_into().ok()?);
    from.checked_add(JUMP as u32)?.checked_add_signed(distance)
}
