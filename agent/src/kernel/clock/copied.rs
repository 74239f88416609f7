//! A patched copy of this process's own vDSO, to be called like the real one.
//!
//! Its code is executable in one mapping and its parameters are written through another, so that a test is
//! both the target and whoever writes into it. What the code reads from the kernel's pages, it reads where
//! they are: operands that lead out of the image are bent to there.
#![expect(unsafe_code, reason = "code is put together and called")]

use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use iced_x86::{Decoder, DecoderOptions};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::clock::block::{Replacement, Selector};
use crate::clock::image::{Function, Image};
use crate::clock::parameters::Parameters;
use crate::clock::patch::{Moved, Patch};
use crate::kernel::clock::vdso;

/// What `clock_gettime` and its like gave back: the result, and the two words that it wrote.
pub(super) type Answer = (i64, [i64; 2]);

/// A patched copy.
pub(super) struct Copied {
    image: Image,
    patch: Patch,
    code: NonNull<u8>,
    data: NonNull<u8>,
    length: NonZeroUsize,
}

// SAFETY: the mappings belong to the process; the parameters are written atomically.
unsafe impl Send for Copied {}
// SAFETY: as above.
unsafe impl Sync for Copied {}

impl Copied {
    /// Patches a copy.
    pub(super) fn new(moved: Moved) -> Self {
        let (place, bytes) = vdso::own().unwrap();
        let image = Image::parse(bytes).unwrap();
        let patch = Patch::plan(&image, moved).unwrap();
        let length = NonZeroUsize::new(image.bytes().len()).unwrap();
        let base = usize::try_from(place.start).unwrap();

        let file = memfd_create("vdso", MFdFlags::MFD_CLOEXEC).unwrap();
        let mut file = File::from(file);
        file.set_len(length.get() as u64).unwrap();
        let map = |hint: Option<usize>, protection, flags| {
            // SAFETY: a new mapping, at a free place.
            let mapped = unsafe {
                mmap(hint.and_then(NonZeroUsize::new), length, protection, flags, file.as_fd(), 0)
            };
            mapped.ok().map(NonNull::cast::<u8>)
        };
        // Operands reach 2 GiB.
        let near = (1..64).find_map(|step| {
            let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED_NOREPLACE;
            let hint = base - step * (16 << 20);
            map(Some(hint), ProtFlags::PROT_READ | ProtFlags::PROT_EXEC, flags)
        });
        let code = near.unwrap();
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let data = map(None, protection, MapFlags::MAP_SHARED).unwrap();

        let mut bytes = patch.apply(&image);
        let distance = i64::try_from(base).unwrap() - i64::try_from(code.addr().get()).unwrap();
        for range in [image.code(), patch.stub()] {
            bend(&mut bytes, range, i32::try_from(distance).unwrap());
        }
        file.write_all(&bytes).unwrap();
        Self { image, patch, code, data, length }
    }

    fn call(&self, function: Function, first: i64, second: i64) -> i64 {
        let entry = self.image.function(function).unwrap().start as usize;
        // SAFETY: inside of the mapping. Every function here takes up to two words and gives one.
        let function: extern "C" fn(i64, i64) -> i64 =
            unsafe { std::mem::transmute(self.code.as_ptr().add(entry)) };
        function(first, second)
    }

    /// `clock_gettime`; whoever asks for what may fault, faults.
    pub(super) fn clock_gettime(&self, id: i32) -> Answer {
        let mut time = [-1; 2];
        let to = time.as_mut_ptr().expose_provenance() as i64;
        let result = self.call(Function::ClockGettime, i64::from(id), to);
        // An int.
        (i64::from(result as i32), time)
    }

    /// `gettimeofday`, with the zone.
    pub(super) fn gettimeofday(&self) -> (Answer, [i32; 2]) {
        let (mut time, mut zone) = ([-1; 2], [-1; 2]);
        let to = time.as_mut_ptr().expose_provenance() as i64;
        let zone_to = zone.as_mut_ptr().expose_provenance() as i64;
        let result = self.call(Function::Gettimeofday, to, zone_to);
        let plain = self.call(Function::Gettimeofday, 0, zone_to);
        assert_eq!(result as i32, plain as i32);
        let result = self.call(Function::Gettimeofday, to, 0);
        ((i64::from(result as i32), time), zone)
    }

    /// `time`, both ways in which it answers.
    pub(super) fn time(&self) -> i64 {
        let mut time = -1_i64;
        let to = (&raw mut time).expose_provenance() as i64;
        let result = self.call(Function::Time, to, 0);
        // SAFETY: it was written by code that the compiler does not know.
        assert_eq!(result, unsafe { (&raw const time).read_volatile() });
        result
    }

    /// `time` without a place for the answer.
    pub(super) fn bare_time(&self) -> i64 {
        self.call(Function::Time, 0, 0)
    }

    fn selector(&self) -> &AtomicU8 {
        let at = (self.patch.block + Selector::AT) as usize;
        // SAFETY: inside of the mapping, and only accessed as an atomic here.
        unsafe { AtomicU8::from_ptr(self.data.as_ptr().add(at)) }
    }

    fn word(&self, at: u32, index: usize) -> &AtomicU64 {
        let at = (self.patch.block + at) as usize + index * 8;
        // SAFETY: as above; copies are aligned to their size.
        unsafe { AtomicU64::from_ptr(self.data.as_ptr().add(at).cast()) }
    }

    /// Replaces the parameters, as the agent does.
    pub(super) fn set(&self, parameters: &Parameters) {
        let replacement = self.fill(parameters);
        self.selector().store(replacement.selector.0, Ordering::SeqCst);
    }

    /// Fills the copy that is not selected, as an agent does that is killed then.
    pub(super) fn fill(&self, parameters: &Parameters) -> Replacement {
        let selector = Selector(self.selector().load(Ordering::SeqCst));
        let replacement = Replacement::after(selector, &parameters.paced(self.patch.pace));
        for (index, word) in replacement.copy.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().unwrap());
            self.word(replacement.copy_at, index).store(word, Ordering::SeqCst);
        }
        replacement
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        for mapping in [self.code, self.data] {
            // SAFETY: ours, and nobody is in it any more: calls borrow `self`.
            unsafe { munmap(mapping.cast(), self.length.get()) }.unwrap();
        }
    }
}

fn bend(bytes: &mut [u8], range: std::ops::Range<u32>, distance: i32) {
    // Far from zero, so that what lies before the image has an address.
    const BASE: u64 = 1 << 40;
    let image = BASE..BASE + bytes.len() as u64;
    let (start, end) = (range.start as usize, range.end as usize);
    let code = bytes[start..end].to_vec();
    let mut decoder = Decoder::with_ip(64, &code, BASE + start as u64, DecoderOptions::NONE);
    while decoder.can_decode() {
        let at = start + decoder.position();
        let instruction = decoder.decode();
        let outside = !image.contains(&instruction.ip_rel_memory_address());
        if instruction.is_ip_rel_memory_operand() && outside {
            let at = at + decoder.get_constant_offsets(&instruction).displacement_offset();
            let old = i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            bytes[at..at + 4].copy_from_slice(&(old + distance).to_le_bytes());
        }
    }
}
