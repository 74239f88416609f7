//! An array map of the kernel as memory of ours: one store is one change.
#![expect(unsafe_code, reason = "shared memory with the kernel")]

use std::io;
use std::marker::PhantomData;
use std::mem::size_of;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// An array map with BPF_F_MMAPABLE (≥ 5.5), whose elements are `T`.
///
/// `T` is `repr(C)`, of whole `u64` words, and everything in it may be any bits.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    base: NonNull<u64>,
    elements: usize,
    length: usize,
    /// Says to whoever looks for residue that the map is in use.
    _map: OwnedFd,
    element: PhantomData<T>,
}

// SAFETY: all access goes through atomic words; the mapping belongs to the process, not to a thread.
unsafe impl<T> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    /// Maps `elements` elements of the map behind the descriptor.
    pub(super) fn new(map: OwnedFd, elements: usize) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8), "elements are of whole words") };
        let length = elements * size_of::<T>();
        let length = NonZeroUsize::new(length.next_multiple_of(page_size()))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a map of nothing"))?;
        // SAFETY: a new mapping at an address of the kernel's choice, of a length that is checked by the
        // kernel against the map's.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length.get(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Self { base, elements, length: length.get(), _map: map, element: PhantomData })
    }

    /// The `word`-th word of an element.
    pub(super) fn word(&self, element: usize, word: usize) -> &AtomicU64 {
        let words = size_of::<T>() / 8;
        assert!(element < self.elements && word < words, "beyond the map");
        // SAFETY: inside of the mapping by the assertion, aligned as the mapping is page-aligned, and the
        // kernel's programs access the words only by whole loads and stores or atomics.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(element * words + word)) }
    }

    /// Stores one word.
    pub(super) fn store(&self, element: usize, word: usize, value: u64) {
        self.word(element, word).store(value, Ordering::SeqCst);
    }

    /// Loads one word.
    pub(super) fn load(&self, element: usize, word: usize) -> u64 {
        self.word(element, word).load(Ordering::SeqCst)
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it outlives `self`. It cannot fail for a
        // range that was mapped.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

fn page_size() -> usize {
    // SAFETY: takes an integer, returns one.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
