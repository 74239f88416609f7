//! Reading the stack of a thread that stands still.
//!
//! A thread that was interrupted by a signal goes on where the signal's frame says, and one that was called
//! returns to where its caller's frame says: both stand on the stack as plain words. What is left over of
//! earlier calls stands there, too.

use std::ops::Range;

/// Where a thread goes on: now, or when a signal's handler returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The next instruction.
    pub instruction: u64,
    /// Where its stack begins.
    pub stack: u64,
}

/// Words of a ucontext and its sigcontext (arch/x86/include/uapi/asm/sigcontext.h), from its beginning.
mod frame {
    pub(super) const LINK: usize = 1;
    pub(super) const RSP: usize = 20;
    pub(super) const RIP: usize = 21;
    /// CS, GS, FS and SS, 16 bits each.
    pub(super) const SEGMENTS: usize = 23;
    pub(super) const WORDS: usize = 24;
    /// UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS: there are no other flags.
    pub(super) const FLAGS: u64 = 7;
    /// The code segment of 64-bit programs.
    pub(super) const CODE: u64 = 0x33;
}

/// The words of a piece of a stack, which begins at a multiple of 8.
#[must_use]
pub fn words(piece: &[u8]) -> Vec<u64> {
    piece.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// Whether one of these words leads to where nobody may go on.
#[must_use]
pub fn leads(words: &[u64], forbidden: &[Range<u64>]) -> bool {
    let start = forbidden.iter().map(|range| range.start).min().unwrap_or(0);
    let length = forbidden.iter().map(|range| range.end).max().unwrap_or(0).saturating_sub(start);
    // One comparison is enough for nearly all of them.
    let mut near = words.iter().filter(|word| word.wrapping_sub(start) < length);
    near.any(|word| forbidden.iter().any(|range| range.contains(word)))
}

/// What signals have interrupted, as their frames among these words say.
pub fn interrupted(words: &[u64]) -> impl Iterator<Item = Context> {
    let frames = words.windows(frame::WORDS).filter(|words| {
        words[0] <= frame::FLAGS
            && words[frame::LINK] == 0
            && words[frame::SEGMENTS] & 0xffff == frame::CODE
    });
    frames.map(|words| Context { instruction: words[frame::RIP], stack: words[frame::RSP] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn a_word_that_leads_inside_is_found() {
        let forbidden = [0x1001..0x1005, 0x2000..0x2100];
        let leads = |all: &[u64]| leads(&words(&bytes(all)), &forbidden);
        assert!(!leads(&[1, 2, 0x1000, 0x1005]));
        assert!(leads(&[1, 2, 0x1004]));
        assert!(leads(&[0x20ff, 2]));
        assert!(!leads(&[]));
        assert_eq!(words(&[1, 2, 0, 0, 0, 0, 0, 0x80, 9]), [0x8000_0000_0000_0201], "whole words");
    }

    #[test]
    fn a_signals_frame_tells_what_it_interrupted() {
        let mut context = vec![0; frame::WORDS];
        context[0] = 7;
        context[frame::RSP] = 0x9000;
        context[frame::RIP] = 0x1234;
        context[frame::SEGMENTS] = 0x002b_0000_0000_0033;
        let all = [vec![5, 6], context.clone(), vec![9]].concat();
        let expected = Context { instruction: 0x1234, stack: 0x9000 };
        assert_eq!(interrupted(&all).collect::<Vec<_>>(), [expected]);
        // A 32-bit program's segment; a link, which the kernel never sets.
        context[frame::SEGMENTS] = 0x23;
        assert_eq!(interrupted(&context).count(), 0);
        context[frame::SEGMENTS] = 0x33;
        context[frame::LINK] = 1;
        assert_eq!(interrupted(&context).count(), 0);
    }
}
