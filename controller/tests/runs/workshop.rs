//! A directory of a test's own, and runs in it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// How long anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of a test's own.
pub(crate) struct Workshop(tempfile::TempDir);

/// How a run ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A run under way; killed with its handle.
pub(crate) struct Running(Child);

impl Workshop {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn journal(&self) -> Value {
        serde_json::from_str(&self.read("journal.json")).unwrap()
    }

    /// `schism` in this directory, and nothing from around it.
    pub(crate) fn schism(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
        command.args(line.split_whitespace()).current_dir(self.0.path());
        self.settle(&mut command);
        command
    }

    /// Has a command see nothing of whoever runs the tests.
    pub(crate) fn settle(&self, command: &mut Command) {
        command
            .env_clear()
            .env("HOME", self.0.path())
            .env("PATH", std::env::var_os("PATH").unwrap());
        command.env("SCHISM_AGENT_SOCKET", self.path("no-agent")).current_dir(self.0.path());
    }

    pub(crate) fn run(&self, line: &str) -> Ended {
        Running::start(self.schism(line)).ended()
    }

    pub(crate) fn begin(&self, line: &str) -> Running {
        Running::start(self.schism(line))
    }

    /// An experiment, and the line that runs it.
    pub(crate) fn experiment(&self, more: Value) -> &'static str {
        let mut experiment = json!({"title": "t", "description": "d", "method": []});
        experiment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.write("experiment.json", &experiment.to_string());
        "run experiment.json"
    }

    /// Waits until a file is there.
    pub(crate) fn wait_for(&self, name: &str) {
        wait(&format!("{name} is not there"), || self.path(name).exists());
    }
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    /// The process that ends its programs where it cannot. One that has only just begun has no command line yet.
    pub(crate) fn reaper(&self) -> Pid {
        let mut found = None;
        wait("nobody ends its programs", || {
            found = self.seen_reaper();
            found.is_some()
        });
        found.unwrap()
    }

    fn seen_reaper(&self) -> Option<Pid> {
        let own = self.0.id();
        let is_one = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat.rsplit_once(") ").and_then(|(_, tail)| tail.split(' ').nth(1));
            line.starts_with(b"schism-reaper") && parent == Some(own.to_string().as_str())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(is_one).map(Pid::from_raw)
    }

    pub(crate) fn ended(mut self) -> Ended {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            sleep(Duration::from_millis(10));
        };
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Ended { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so.
pub(crate) fn wait(otherwise: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{otherwise}");
        sleep(Duration::from_millis(20));
    }
}

/// Whether somebody runs with this in the command line.
pub(crate) fn runs(sought: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| String::from_utf8_lossy(&line).contains(sought))
}

/// A time to sleep (s) that nobody else asks for.
pub(crate) fn own_sleep(number: u32) -> String {
    format!("6{number}.{}", std::process::id())
}

/// A step that is a script.
pub(crate) fn script(name: &str, script: &str) -> Value {
    json!({"type": "action", "name": name, "provider": {"type": "process", "path": "sh",
        "arguments": ["-c", script]}})
}

/// Whether a file is the whole journal of a run.
pub(crate) fn is_journal(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str::<Value>(&text).is_ok_and(|journal| journal["schism"].is_object())
}
