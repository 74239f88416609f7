//! Where a process has its vDSO, and what stands there.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Where a process has its vDSO; `None` if it has none.
///
/// # Errors
/// There is no such process, or no right to read of it.
pub fn locate(pid: u32) -> io::Result<Option<Range<u64>>> {
    Ok(in_maps(&fs::read_to_string(format!("/proc/{pid}/maps"))?))
}

/// The vDSO's mapping in the text of a maps file. Its name is the kernel's own: files have a path, and
/// memory that a process names itself is called `[anon:…]`.
///
/// A patch does not split it, as its protection stays.
fn in_maps(maps: &str) -> Option<Range<u64>> {
    let line = maps.lines().find(|line| line.ends_with(" [vdso]"))?;
    let (start, rest) = line.split_once('-')?;
    let (end, _) = rest.split_once(' ')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    (start < end).then_some(start..end)
}

/// This process's own: where, and what.
///
/// # Errors
/// It has none, or /proc is not there.
pub fn own() -> io::Result<(Range<u64>, Vec<u8>)> {
    let place = locate(std::process::id())?;
    let place = place.ok_or_else(|| io::Error::other("the kernel gives no vDSO (vdso=0)"))?;
    let length = usize::try_from(place.end - place.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    File::open("/proc/self/mem")?.read_exact_at(&mut bytes, place.start)?;
    Ok((place, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping_is_found_by_its_name() {
        let maps = "55d0-55e0 r--p 00000000 08:01 1 /tmp/a [vdso]x\n\
            7ff1000-7ff3000 r-xp 00000000 00:00 0                          [vdso]\n";
        assert_eq!(in_maps(maps), Some(0x7ff_1000..0x7ff_3000));
        assert_eq!(in_maps("7ff1000-7ff3000 r--p 00000000 00:00 0   [vvar]\n"), None);
        assert_eq!(in_maps(""), None);
    }

    #[test]
    fn this_process_has_one() {
        let (place, bytes) = own().unwrap();
        assert_eq!(usize::try_from(place.end - place.start).unwrap(), bytes.len());
        assert_eq!(bytes[..4], *b"\x7fELF");
    }
}
