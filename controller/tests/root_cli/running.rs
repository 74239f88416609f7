//! A command that runs, and what it says while it does.

use std::io::{PipeReader, Read as _};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lab::process::Process;
use nix::sys::signal::Signal;

/// How long anything that a command does or says may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A command under way; ended with its handle.
pub(crate) struct Running {
    process: Process,
    out: Stream,
    err: Stream,
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let (out, stdout) = std::io::pipe().unwrap();
        let (err, stderr) = std::io::pipe().unwrap();
        command.stdout(stdout).stderr(stderr);
        let process = Process::start(&mut command).unwrap();
        // Its ends of the pipes go with `command`, so that the readers see the end of the process.
        Self { process, out: Stream::read(out), err: Stream::read(err) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal).unwrap();
    }

    /// Waits until it has said this to people.
    pub(crate) fn says(&self, words: &str) {
        self.err.wait(words);
    }

    /// Waits until its results contain this.
    pub(crate) fn prints(&self, words: &str) {
        self.out.wait(words);
    }

    /// What it has printed as a result so far.
    pub(crate) fn printed(&self) -> String {
        self.out.text.0.lock().unwrap().clone()
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&self) -> bool {
        !self.process.wait_end(Duration::ZERO)
    }

    /// Waits for its end.
    pub(crate) fn ended(self) -> Ended {
        assert!(self.process.wait_end(PATIENCE), "no end after {PATIENCE:?}: {:?}", self.err.text);
        let code = self.process.stop().unwrap().code();
        Ended { code, stdout: self.out.finish(), stderr: self.err.finish() }
    }
}

/// One of its outputs.
struct Stream {
    text: Arc<(Mutex<String>, Condvar)>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn read(mut pipe: PipeReader) -> Self {
        let text = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let shared = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            let mut whole = Vec::new();
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                whole.extend_from_slice(&bytes[..count]);
                *shared.0.lock().unwrap() = String::from_utf8_lossy(&whole).into_owned();
                shared.1.notify_all();
            }
        });
        Self { text, reader }
    }

    fn wait(&self, words: &str) {
        let (text, changed) = &*self.text;
        let text = text.lock().unwrap();
        let missing = |text: &mut String| !text.contains(words);
        let (text, waited) = changed.wait_timeout_while(text, PATIENCE, missing).unwrap();
        assert!(!waited.timed_out(), "`{words}` is not said: {text}");
    }

    fn finish(self) -> String {
        self.reader.join().unwrap();
        self.text.0.lock().unwrap().clone()
    }
}
