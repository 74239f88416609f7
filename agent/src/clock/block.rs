//! Where the parameters stand in a target, and how they are replaced under its readers.
//!
//! Two copies, and one byte behind them: an even number selects the first copy, an odd one the second. A
//! writer fills the copy that is not selected, then counts the byte on. A reader takes the byte, the copy,
//! the byte again; if it has changed, it tries twice more, then shows the truth. The byte counts, rather
//! than only turning over, so that a reader which stood still during two replacements notices them.
//!
//! Nothing that a killed or stopped writer leaves behind makes a reader wait: until the byte is written
//! everybody reads the old copy.

use super::parameters::Parameters;

/// Bytes of both copies and the selector.
pub const BYTES: usize = 2 * Parameters::BYTES + 1;
/// Where a block has to begin. Slack is scarce (992 bytes in Debian's 6.12): half a cache line, so that a
/// copy lies in two of them at most.
pub const ALIGNMENT: u32 = 32;
/// How often a reader tries before it shows the truth.
pub const TRIES: i32 = 3;

/// The byte behind the copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub u8);

impl Selector {
    /// Where it stands in a block.
    pub const AT: u32 = 2 * Parameters::BYTES as u32;

    /// What comes after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Where the copy that it selects stands in a block.
    #[must_use]
    pub const fn copy(self) -> u32 {
        (self.0 as u32 & 1) * Parameters::BYTES as u32
    }
}

/// One replacement: what to write, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Where the new copy goes, from the block's beginning.
    pub copy_at: u32,
    /// The new copy.
    pub copy: [u8; Parameters::BYTES],
    /// What selects it, once it stands.
    pub selector: Selector,
}

impl Replacement {
    /// Replaces what `selector` selects.
    #[must_use]
    pub fn after(selector: Selector, parameters: &Parameters) -> Self {
        let next = selector.next();
        Self { copy_at: next.copy(), copy: parameters.to_bytes(), selector: next }
    }
}

/// A block before its first replacement: both copies hold these parameters.
#[must_use]
pub fn first(parameters: &Parameters) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let (copies, _) = bytes.split_at_mut(2 * Parameters::BYTES);
    for copy in copies.chunks_exact_mut(Parameters::BYTES) {
        copy.copy_from_slice(&parameters.to_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_leaves_the_selected_copy_alone() {
        let mut selector = Selector::default();
        for _ in 0..600 {
            let replacement = Replacement::after(selector, &Parameters::default());
            assert_ne!(replacement.copy_at, selector.copy());
            assert_ne!(replacement.selector, selector);
            selector = replacement.selector;
        }
    }

    #[test]
    fn a_first_block_has_two_copies() {
        let block = first(&Parameters::ended());
        assert_eq!(block[..64], Parameters::ended().to_bytes());
        assert_eq!(block[64..128], Parameters::ended().to_bytes());
        assert_eq!(block[128], 0);
    }
}
