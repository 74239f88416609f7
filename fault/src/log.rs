//! Places in the files to which targets write.

/// The number of a file: of its device, and its inode there. Whoever removes a file makes its number free for
/// another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogFile {
    /// Which device.
    pub device: u64,
    /// Which inode of it.
    pub inode: u64,
}

/// A place in a file, which is known again by what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMark {
    /// Which file.
    pub file: LogFile,
    /// How far from its beginning (bytes).
    pub offset: u64,
    /// Of what stands before it.
    print: u64,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogForm {
    /// Lines, as the target has written them.
    Plain,
    /// A time, a stream and a tag before each line: as runtimes write it for a kubelet.
    Cri,
    /// An object of JSON for each line, as Docker writes it.
    Json,
}

impl LogMark {
    /// How much of what stands before a mark tells it again (bytes).
    pub const PRINTED: u64 = 256;

    /// A mark, by what stands before it: the last [`Self::PRINTED`] bytes, or as many as there are.
    #[must_use]
    pub fn new(file: LogFile, offset: u64, before: &[u8]) -> Self {
        Self { file, offset, print: print(before) }
    }

    /// One that was made before.
    #[must_use]
    pub const fn restored(file: LogFile, offset: u64, print: u64) -> Self {
        Self { file, offset, print }
    }

    /// Of what stands before it.
    #[must_use]
    pub const fn print(&self) -> u64 {
        self.print
    }

    /// Where what tells it begins.
    #[must_use]
    pub const fn printed_from(offset: u64) -> u64 {
        offset.saturating_sub(Self::PRINTED)
    }

    /// Whether this is what stood before it: a file that was emptied and written anew has something else there.
    #[must_use]
    pub fn stands_behind(&self, before: &[u8]) -> bool {
        self.print == print(before)
    }
}

/// FNV-1a, of 64 bits.
fn print(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |print, byte| {
        (print ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_known_by_what_stands_before_it() {
        assert_eq!(print(b"foobar"), 0x8594_4171_f739_67e8, "the published value");
        let file = LogFile { device: 1, inode: 2 };
        let mark = LogMark::new(file, 6, b"foobar");
        assert!(mark.stands_behind(b"foobar") && !mark.stands_behind(b"foobaz"));
        assert_eq!(LogMark::restored(file, 6, mark.print()), mark);
        assert_eq!([0, 256, 300].map(LogMark::printed_from), [0, 0, 44]);
    }
}
