//! The memory of a process, through its mem file.
//!
//! The file keeps the address space that there was when it was opened: after an exec it leads nowhere, and
//! a re-used pid cannot be hit. Writing to code makes the pages private copies (FOLL_FORCE).

use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// Bytes of a page.
const PAGE: usize = 4096;

/// A process's memory.
#[derive(Debug)]
pub struct Memory(File);

impl Memory {
    /// Opens it for reading and writing.
    ///
    /// # Errors
    /// There is no such process, or no right to it (CAP_SYS_PTRACE).
    pub fn open(pid: u32) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem")).map(Self)
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    /// They are not there ([`io::ErrorKind::UnexpectedEof`] if the process is not).
    pub fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// Reads up to so many bytes, as far as there is memory.
    #[must_use]
    pub fn read_some(&self, at: u64, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let length = self.0.read_at(&mut bytes, at).unwrap_or(0);
        bytes.truncate(length);
        bytes
    }

    /// Reads up to so many bytes of what a thread itself may read; a stack ends where that ends. Faster than
    /// the file, which copies each page twice and reads what nobody may.
    #[must_use]
    pub fn read_readable(&self, thread: Pid, at: u64, most: usize) -> Vec<u8> {
        let Ok(start) = usize::try_from(at) else { return Vec::new() };
        // The kernel reads whole pieces or nothing of them.
        let mut pieces = Vec::with_capacity(most / PAGE + 1);
        let (mut base, end) = (start, start.saturating_add(most));
        while base < end {
            let next = (base / PAGE + 1).saturating_mul(PAGE).min(end);
            pieces.push(RemoteIoVec { base, len: next - base });
            base = next;
        }
        let mut bytes = vec![0; most];
        match process_vm_readv(thread, &mut [IoSliceMut::new(&mut bytes)], &pieces) {
            Ok(length) => {
                bytes.truncate(length);
                bytes
            }
            Err(_) => self.read_some(at, most),
        }
    }

    /// Writes, whatever the pages' protection.
    ///
    /// # Errors
    /// The kernel forbids it (≥ 6.12, `proc_mem.force_override`: EIO), or the process is not there.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }
}
