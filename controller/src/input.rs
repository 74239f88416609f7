//! What somebody names as a file to be read: a file, or whatever is behind a pipe or a device. Nobody waits for good
//! for that.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long is waited for somebody who writes to a pipe (1 s): who is started beside this needs a moment.
const WRITER: Duration = Duration::from_secs(1);
/// How long whoever writes may say nothing (30 s), as long as a file may take over the network.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much is read at once (bytes).
const PART: usize = 64 << 10;

/// All of it, and one byte more than `longest` (bytes) where it is longer.
///
/// # Errors
/// It cannot be read, or is a pipe to which nobody writes, or nobody goes on writing.
pub(crate) fn read(path: &Path, longest: usize) -> io::Result<Vec<u8>> {
    read_within(path, longest, PATIENCE)
}

fn read_within(path: &Path, longest: usize, patience: Duration) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    // Otherwise a pipe is opened when somebody writes to it, whenever that is (fifo(7)).
    options.read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    let file = options.open(path)?;
    let mut bytes = Vec::new();
    let mut part = vec![0; PART];
    let mut is_written = wait(&file, WRITER.min(patience))?;
    while bytes.len() <= longest {
        let left = part.len().min(longest + 1 - bytes.len());
        match (&file).read(&mut part[..left]) {
            // A pipe ends when it had a writer: that is told apart by what was waited for.
            Ok(0) if !is_written => return Err(silent("it is a pipe that nobody writes")),
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if !wait(&file, patience)? {
                    return Err(silent("whoever writes it does not go on"));
                }
            }
            Err(error) => return Err(error),
        }
        is_written = true;
    }
    Ok(bytes)
}

fn silent(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, why)
}

/// Whether there is something to be read within a time, or the end.
fn wait(file: &File, patience: Duration) -> io::Result<bool> {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], left) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::thread;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_pipe_is_read_to_its_end_and_nobody_waits_for_one_without() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let short = Duration::from_millis(50);
        let why = read_within(&path, 100, short).unwrap_err().to_string();
        assert_eq!(why, "it is a pipe that nobody writes");
        // Somebody has it open, and says a part of it, and no more.
        let mut writer = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        for said in [&b""[..], b"part"] {
            writer.write_all(said).unwrap();
            let why = read_within(&path, 100, short).unwrap_err().to_string();
            assert_eq!(why, "whoever writes it does not go on");
        }
        drop(writer);
        let long = "x".repeat(200_000);
        let (place, said) = (path.clone(), long.clone());
        let writer = thread::spawn(move || fs::write(place, said));
        assert_eq!(read(&path, 1 << 20).unwrap(), long.as_bytes());
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn a_file_is_read_as_far_as_it_may_be_long() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"");
        fs::write(&path, "abc").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"abc");
        fs::write(&path, "abcdefgh").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"abcd");
        assert_eq!(read(Path::new("/dev/zero"), 3).unwrap(), [0; 4]);
        assert_eq!(read(Path::new("/dev/null"), 3).unwrap(), b"");
        assert!(read(directory.path(), 3).is_err());
        assert_eq!(read(&path.join("x"), 3).unwrap_err().kind(), ErrorKind::NotADirectory);
    }
}
