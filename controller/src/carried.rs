//! This very program as a file in another place: a container that has it takes it to one that has not.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The word by which it is asked for.
pub(crate) const COMMAND: &str = "copy-self";

/// Everybody executes it, and its owner writes it.
const MODE: u32 = 0o755;

/// Whether this process was started to copy itself. No command for people: it has no place in a help text.
#[must_use]
pub fn is_asked() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == COMMAND)
}

/// Copies this program to the path behind the word.
///
/// # Errors
/// No path is said, or it cannot be written.
pub fn run() -> io::Result<()> {
    let to = std::env::args_os().nth(2);
    let to = to.ok_or_else(|| io::Error::other("where to is not said"))?;
    // Not by its path: that may be another program by now.
    copy(&mut File::open("/proc/self/exe")?, Path::new(&to))
}

/// The same again is the same: a container may be started twice.
fn copy(own: &mut File, to: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut copy = options.write(true).create(true).truncate(true).mode(MODE).open(to)?;
    io::copy(own, &mut copy)?;
    // Whatever umask there is.
    copy.set_permissions(Permissions::from_mode(MODE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_executable_and_may_be_made_twice() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::write(&from, "a program").unwrap();
        std::fs::write(&to, "something that is longer than that").unwrap();
        for _ in 0..2 {
            copy(&mut File::open(&from).unwrap(), &to).unwrap();
            assert_eq!(std::fs::read(&to).unwrap(), b"a program");
            assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, MODE);
        }
    }
}
