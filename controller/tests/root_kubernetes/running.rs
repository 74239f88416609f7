//! A command beside an agent, and what it says while it runs.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use lab::{kubernetes::Kubectl, process::Process};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::agents::NAMESPACE;

/// How long anything that a command does or says may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at what nothing announces here: each is a program that takes a tenth of a processor's second.
const PACE: Duration = Duration::from_millis(250);

/// A command under way. Ended with its handle, on this side only: what it has put in is to be healed.
pub(crate) struct Running {
    process: Process,
    lines: Receiver<String>,
    said: Vec<String>,
}

/// How a command ended, and all that it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Running {
    /// `schism` in a pod of the installation, beside an agent or the controller, which it asks.
    pub(crate) fn beside(kubectl: &Kubectl, pod: &str, line: &str) -> Self {
        let mut command = kubectl.command("kubectl");
        command.args(["-n", NAMESPACE, "exec", pod, "--", "schism"]).args(line.split_whitespace());
        Self::start(command)
    }

    /// Any command.
    pub(crate) fn start(mut command: Command) -> Self {
        let (pipe, output) = std::io::pipe().unwrap();
        let again = output.try_clone().unwrap();
        let process = command.stdin(Stdio::null()).stdout(output).stderr(again);
        let process = Process::start(process).unwrap();
        // Its ends of the pipe go with `command`, so that the reader sees the end of the process.
        drop(command);
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(pipe).lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        Self { process, lines, said: Vec::new() }
    }

    /// Waits until it has said this.
    pub(crate) fn says(&mut self, words: &str) -> &str {
        let began = Instant::now();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("`{words}` is not said: {:#?}", self.said)
                }
            }
            if self.said.last().is_some_and(|line| line.contains(words)) {
                return &self.said[self.said.len() - 1];
            }
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn crash(self) {
        self.process.signal_all(Signal::SIGKILL).unwrap();
        assert!(self.process.wait_end(PATIENCE));
    }

    /// Asks it to end, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.process.signal_all(Signal::SIGINT).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        assert!(self.process.wait_end(PATIENCE), "no end after {PATIENCE:?}: {:#?}", self.said);
        let code = self.process.stop().unwrap().code();
        self.said.extend(self.lines.iter());
        Ended { code, said: self.said.join("\n") }
    }
}

impl Ended {
    /// The document that it printed.
    pub(crate) fn document(&self) -> Value {
        let begin = self.said.find("\n{").map_or(0, |at| at + 1);
        let mut documents = serde_json::Deserializer::from_str(&self.said[begin..]).into_iter();
        documents.next().unwrap().unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// `schism` beside an agent, to its end.
pub(crate) fn run(kubectl: &Kubectl, agent: &str, line: &str) -> Ended {
    Running::beside(kubectl, agent, line).ended()
}

/// Has something happen that nothing announces here, and fails where it does not.
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(PACE);
    }
}
