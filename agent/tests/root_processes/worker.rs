//! A process that works all the time, as anybody can see: every thread and fork counts in a shared file.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fault::ProcessIdentity;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

/// Arguments: the file, how many threads count, and whether it forks: each child counts once, and ends.
/// SIGUSR1 counts in the last place.
const PROGRAM: &str = "
import mmap, os, signal, struct, sys, threading, time
file = open(sys.argv[1], 'r+b')
shared = mmap.mmap(file.fileno(), 4096)
def add(place):
    at = slice(place * 8, place * 8 + 8)
    shared[at] = struct.pack('<Q', struct.unpack('<Q', shared[at])[0] + 1)
def work(place):
    while True:
        add(place)
        time.sleep(0.0002)
signal.signal(signal.SIGUSR1, lambda *_: add(511))
for place in range(int(sys.argv[2])):
    threading.Thread(target=work, args=(place,), daemon=True).start()
while True:
    if sys.argv[3] == 'forks':
        child = os.fork()
        if child == 0:
            add(100)
            time.sleep(0.01)
            os._exit(0)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]: pass
        except ChildProcessError: pass
        time.sleep(0.0005)
    else:
        time.sleep(0.01)
";

/// How long a process is watched that must not do anything (50 ms): it counts every fifth of a millisecond.
const WATCHED: Duration = Duration::from_millis(50);
/// How long to wait for what must happen (10 s).
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that counts. It is killed with its handle, with all its forks.
pub(crate) struct Worker {
    process: Child,
    file: NamedTempFile,
}

impl Worker {
    pub(crate) fn start(threads: usize) -> Self {
        Self::run(threads, "stays")
    }

    pub(crate) fn forking() -> Self {
        Self::run(1, "forks")
    }

    fn run(threads: usize, what: &str) -> Self {
        let file = NamedTempFile::new().unwrap();
        file.as_file().set_len(4_096).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", PROGRAM]).arg(file.path()).arg(threads.to_string()).arg(what);
        let process = command.stdin(Stdio::null()).spawn().unwrap();
        let worker = Self { process, file };
        worker.goes_on();
        worker
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn selector(&self) -> String {
        format!("pid:{}", self.pid())
    }

    pub(crate) fn identity(&self) -> ProcessIdentity {
        agent::kernel::process::identity(self.pid()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    fn counts(&self) -> Vec<u64> {
        let bytes = fs::read(self.file.path()).unwrap();
        bytes.chunks_exact(8).map(|some| u64::from_le_bytes(some.try_into().unwrap())).collect()
    }

    /// How often SIGUSR1 was heard.
    pub(crate) fn heard(&self) -> u64 {
        self.counts()[511]
    }

    /// Whether it counts while it is watched.
    pub(crate) fn stands_still(&self) -> bool {
        let before = self.counts();
        thread::sleep(WATCHED);
        self.counts() == before
    }

    /// Waits until it counts, and says how long that took.
    pub(crate) fn goes_on(&self) -> Duration {
        let before = self.counts();
        self.until("it goes on", || self.counts() != before)
    }

    pub(crate) fn until(&self, what: &str, is_so: impl Fn() -> bool) -> Duration {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(1));
        }
        began.elapsed()
    }

    /// The state of its first thread, as in /proc.
    pub(crate) fn state(&self) -> char {
        self.status("State:").chars().next().unwrap()
    }

    /// Who holds it.
    pub(crate) fn holder(&self) -> u32 {
        self.status("TracerPid:").parse().unwrap()
    }

    fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
