//! As much of POSIX.1-1988 ustar as an image needs: nobody's files from 1970.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
};

const BLOCK: usize = 512;

/// What may be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Read and run by everybody.
    Program,
    /// Read by everybody.
    Data,
}

impl Mode {
    fn bits(self) -> u64 {
        match self {
            Self::Program => 0o755,
            Self::Data => 0o644,
        }
    }
}

/// An archive that is written.
pub(super) struct Archive<W> {
    output: W,
    directories: BTreeSet<String>,
}

struct Header<'a> {
    name: &'a str,
    mode: u64,
    length: u64,
    kind: u8,
    target: &'a str,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, directories: BTreeSet::new() }
    }

    /// Adds the directories in which an entry lies, unless they are there.
    pub(super) fn parents(&mut self, name: &str) -> io::Result<()> {
        for (at, _) in name.match_indices('/') {
            let directory = &name[..=at];
            if self.directories.insert(directory.to_owned()) {
                self.header(&Header {
                    name: directory,
                    mode: 0o755,
                    length: 0,
                    kind: b'5',
                    target: "",
                })?;
            }
        }
        Ok(())
    }

    /// Adds a file of exactly this length.
    pub(super) fn file(
        &mut self,
        name: &str,
        mode: Mode,
        length: u64,
        content: &mut impl Read,
    ) -> io::Result<()> {
        self.header(&Header { name, mode: mode.bits(), length, kind: b'0', target: "" })?;
        let copied = io::copy(&mut content.take(length), &mut self.output)?;
        if copied != length {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{name} became shorter"),
            ));
        }
        let rest = usize::try_from(length % BLOCK as u64).unwrap_or(0);
        self.output.write_all(&[0; BLOCK][..(BLOCK - rest) % BLOCK])
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.header(&Header { name, mode: 0o777, length: 0, kind: b'2', target })
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        Ok(self.output)
    }

    fn header(&mut self, header: &Header<'_>) -> io::Result<()> {
        let mut block = [0; BLOCK];
        text(&mut block[..100], header.name)?;
        octal(&mut block[100..108], header.mode)?;
        octal(&mut block[108..116], 0)?;
        octal(&mut block[116..124], 0)?;
        octal(&mut block[124..136], header.length)?;
        octal(&mut block[136..148], 0)?;
        // The checksum is of a header whose own field is of spaces.
        block[148..156].fill(b' ');
        block[156] = header.kind;
        text(&mut block[157..257], header.target)?;
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum = block.iter().map(|byte| u64::from(*byte)).sum();
        octal(&mut block[148..155], sum)?;
        self.output.write_all(&block)
    }
}

fn text(field: &mut [u8], value: &str) -> io::Result<()> {
    let Some(place) = field.get_mut(..value.len()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{value} is too long")));
    };
    place.copy_from_slice(value.as_bytes());
    Ok(())
}

/// Digits that fill all of the field but its last byte.
fn octal(field: &mut [u8], value: u64) -> io::Result<()> {
    let (width, written) = (field.len() - 1, format!("{value:o}"));
    if written.len() > width {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{value} is too large")));
    }
    text(field, &format!("{value:0width$o}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut archive = Archive::new(Vec::new());
        let long = "x".repeat(101);
        assert!(archive.link(&long, "y").is_err());
        assert!(archive.file("x", Mode::Data, 1 << 33, &mut io::empty()).is_err());
        assert!(archive.file("x", Mode::Data, 1, &mut io::empty()).is_err());
    }
}
