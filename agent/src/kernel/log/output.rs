//! What stands behind an output of a process.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fault::ProcessIdentity;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::mounts::{self, Answers, MountId, Numbers};
use crate::kernel::process;

/// What stands behind a process's output.
#[derive(Debug)]
pub(super) enum Behind {
    /// A file, opened to be read.
    File(File),
    /// Somebody else takes it, and may keep it; what that is, in a few words.
    Taken(&'static str),
    /// Nothing that can be read, in a few words.
    Other(&'static str),
}

/// What stands behind an output of a process.
///
/// A file that was opened as a path only (O_PATH) or for reading is refused: whoever has that need not have been
/// allowed to read it, or to write to it.
///
/// Until it is known that it will answer, a file system is asked for nothing. Therefore the process's own open
/// file is not taken (pidfd_getfd): to let go of that again has it flushed, which on some file systems is an
/// answer of somebody else's that no signal ends the wait for. What is taken is a path without a name (O_PATH),
/// and what the process has then says whether it writes there.
///
/// # Errors
/// It has ended, or may not be looked at.
pub(super) fn behind(process: ProcessIdentity, output: i32) -> io::Result<Behind> {
    let outputs = Outputs::of(process)?;
    let theirs = outputs.path(&format!("fd/{output}"));
    let shown = match fs::read_link(&theirs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && process::is_alive(process) => {
            return Ok(Behind::Other("is closed"));
        }
        shown => shown?,
    };
    let shown = shown.to_string_lossy();
    // The kernel's own names begin with no slash, and every path does.
    if shown.starts_with("pipe:") {
        return Ok(Behind::Taken("goes to a pipe"));
    }
    if shown.starts_with("socket:") {
        return Ok(Behind::Other("goes to a socket, as that of a unit of systemd does"));
    }
    let info = outputs.path(&format!("fdinfo/{output}"));
    let opened = Opened::read(&info)?;
    if !opened.is_to_be_written() {
        return Ok(Behind::Other("was not opened to be written to"));
    }
    match mounts::answers(opened.mount, process.pid)? {
        Answers::Promptly(_) => {}
        Answers::Terminal => return Ok(Behind::Taken("goes to a terminal")),
        Answers::Somebody => {
            return Ok(Behind::Other(
                "goes to a file system whose files may keep a reader waiting",
            ));
        }
        Answers::Unknown => {
            return Ok(Behind::Other("goes to a file system that nobody here has mounted"));
        }
    }
    let path = OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(&theirs)?;
    let way = PathBuf::from(format!("/proc/self/fd/{}", path.as_raw_fd()));
    // From here on neither the mount nor the file can become another one.
    let taken = Opened::read(Path::new(&format!("/proc/self/fdinfo/{}", path.as_raw_fd())))?;
    let Answers::Promptly(numbers) = mounts::answers(taken.mount, process.pid)? else {
        return Ok(REPLACED);
    };
    let now = Opened::read(&info)?;
    if !now.is_to_be_written() || (now.mount, now.inode) != (taken.mount, taken.inode) {
        return Ok(REPLACED);
    }
    if numbers == Numbers::Repeated && !is_written(process, output, &path)? {
        return Ok(REPLACED);
    }
    Ok(reopened(&way)?.map_or(Behind::Other("goes to no regular file"), Behind::File))
}

/// It was not what it had been a moment ago.
const REPLACED: Behind = Behind::Other("is replaced while it is looked at");

/// A file by one that is open, to be read; `None` if it is none.
fn reopened(way: &Path) -> io::Result<Option<File>> {
    if !fs::metadata(way)?.is_file() {
        return Ok(None);
    }
    // A lease that somebody has taken on it would be waited for.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(way).map(Some)
}

/// Whether it is this file that a process has open to be written to, by its own open file (`pidfd_getfd`, 5.6).
pub(super) fn is_written(process: ProcessIdentity, output: i32, path: &File) -> io::Result<bool> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let pidfd = pidfd_open(pid.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
    if !process::is_alive(process) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let theirs = File::from(pidfd_getfd(&pidfd, output, PidfdGetfdFlags::empty())?);
    let flags = OFlag::from_bits_truncate(fcntl(&theirs, FcntlArg::F_GETFL)?);
    let (one, other) = (path.metadata()?, theirs.metadata()?);
    Ok(is_to_be_written(flags) && (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

fn is_to_be_written(flags: OFlag) -> bool {
    !flags.contains(OFlag::O_PATH) && flags & OFlag::O_ACCMODE != OFlag::O_RDONLY
}

/// The directory of a process in /proc: of whoever has its number later it shows nothing.
struct Outputs(File);

impl Outputs {
    fn of(process: ProcessIdentity) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(format!("/proc/{}", process.pid))?;
        if process::is_alive(process) {
            Ok(Self(directory))
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn path(&self, within: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{within}", self.0.as_raw_fd()))
    }
}

/// What the kernel tells of an open file without asking anybody (proc_pid_fdinfo(5)), all at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opened {
    flags: OFlag,
    mount: MountId,
    inode: u64,
}

impl Opened {
    fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        // `ino` is told since 5.14.
        Self::parse(&text).ok_or_else(|| io::Error::other("fdinfo without fields"))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            fields.find_map(|(field, value)| (field == name).then(|| value.trim()))
        };
        Some(Self {
            flags: OFlag::from_bits_truncate(i32::from_str_radix(field("flags")?, 8).ok()?),
            mount: MountId(field("mnt_id")?.parse().ok()?),
            inode: field("ino")?.parse().ok()?,
        })
    }

    fn is_to_be_written(&self) -> bool {
        is_to_be_written(self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_an_open_file_is_read() {
        let text = |flags: &str| format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t27\nino:\t4711\n");
        let opened = Opened::parse(&text("02100001")).unwrap();
        assert_eq!((opened.mount, opened.inode), (MountId(27), 4711));
        for (flags, written) in
            [("02100001", true), ("0100002", true), ("0100000", false), ("012000001", false)]
        {
            assert_eq!(Opened::parse(&text(flags)).unwrap().is_to_be_written(), written, "{flags}");
        }
        assert_eq!(Opened::parse("pos:\t0\nflags:\t0100001\nmnt_id:\t27\n"), None, "before 5.14");
    }
}
