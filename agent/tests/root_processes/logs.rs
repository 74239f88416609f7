//! Where processes write that see other mounts than the agent, or that have files of somebody who does not answer.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use agent::kernel::{Kernel as _, KernelError, Linux, Place};
use lab::directory::Directory;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::container::PATIENCE;
use crate::group::Victim;
use crate::rig::Node;

/// What a process has written so far; found within a time, whatever it has open.
fn written(node: &Node, pid: u32) -> Result<Vec<String>, String> {
    let (found, answer) = mpsc::channel();
    let kernel = Arc::clone(&node.kernel);
    // It may be left waiting.
    std::thread::spawn(move || found.send(read(&kernel, pid).map_err(|error| error.to_string())));
    answer.recv_timeout(PATIENCE).expect("it waits for nobody")
}

fn read(kernel: &Linux, pid: u32) -> Result<Vec<String>, KernelError> {
    let selector: fault::Selector = format!("pid:{pid}").parse().unwrap();
    let target = kernel.resolve(&selector, fault::Aspect::Processes)?.remove(0);
    let logs = kernel.logs(&Place { selector, identity: target.identity })?;
    let text = |mut file: &fs::File| {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    };
    Ok(logs.iter().flat_map(|log| &log.files).map(text).collect())
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A shell in a mount namespace of its own, with a file system that is mounted nowhere else. It says the number of
/// a process that writes there and sees other mounts; that one ends with this handle, too.
struct Opener {
    shell: Victim,
    writer: Pid,
}

impl Opener {
    fn start(place: &Path, starting: &str) -> Self {
        let script = format!(
            "mount -t tmpfs schism {0} && {{ {starting} }} >{0}/log && read end",
            place.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(shell.stderr.take().unwrap()).read_line(&mut said).unwrap();
        let writer = said.trim().parse().unwrap_or_else(|_| panic!("{said}"));
        Self { shell: Victim(shell), writer: Pid::from_raw(writer) }
    }

    fn writer(&self) -> u32 {
        self.writer.as_raw().unsigned_abs()
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        // Nobody else has its number before it is reaped, which whoever has taken it in does.
        let _ = kill(self.writer, Signal::SIGKILL);
    }
}

/// It sees no mounts of whoever started it, says who it is, and writes.
const WRITER: &str = r#"unshare --mount sh -c 'echo $$ >&2; echo said; exec sleep 600'"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_that_was_opened_among_other_mounts_than_writer_and_agent_see() {
    let node = Node::start();
    let directory = Directory::create("mounts").unwrap();
    for starting in [
        // By its parent.
        format!("{WRITER} &"),
        // By somebody who is none of those it comes from any more.
        format!("( {WRITER} & );"),
    ] {
        let mut opener = Opener::start(directory.path(), &starting);
        assert!(!directory.path().join("log").exists(), "it is mounted there alone");
        eventually("it has written", || {
            written(&node, opener.writer()).is_ok_and(|texts| texts == ["said\n"])
        });
        let mounts = |of: u32| fs::read_link(format!("/proc/{of}/ns/mnt")).unwrap();
        let [writer, agent, shell] =
            [opener.writer(), std::process::id(), opener.shell.0.id()].map(mounts);
        assert!(writer != agent && writer != shell && agent != shell);
        // Whoever had it mounted is gone: nobody knows what it is.
        opener.shell.0.kill().unwrap();
        opener.shell.0.wait().unwrap();
        eventually("nobody has it mounted", || {
            written(&node, opener.writer())
                .is_err_and(|why| why.contains("that nobody here has mounted"))
        });
    }
}

/// A file system whose files keep those waiting who let go of them. Whoever waits goes on when it ends.
struct Silent {
    server: Child,
    asked: BufReader<ChildStdout>,
    /// Ended after the server, for which it may wait.
    writer: Option<Victim>,
    directory: Directory,
}

impl Silent {
    fn mount() -> Self {
        let directory = Directory::create("fuse").unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", include_str!("fuse.py")]).arg(directory.path());
        let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
        let asked = BufReader::new(server.stdout.take().unwrap());
        let mut silent = Self { server, asked, writer: None, directory };
        assert_eq!(silent.heard(), "ready");
        silent
    }

    /// The next thing that it is asked.
    fn heard(&mut self) -> String {
        let mut line = String::new();
        self.asked.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        let unmounted = Command::new("umount").arg("--lazy").arg(self.directory.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_somebody_who_does_not_answer_is_refused_and_nobody_waits_for_it() {
    let node = Node::start();
    let mut silent = Silent::mount();
    // What opens it must not let go of it either.
    let script = "import os, sys, time\nos.close(1)\nos.open(sys.argv[1], os.O_WRONLY)\n\
                  os.write(2, b'open\\n')\ntime.sleep(600)";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(silent.directory.path().join("log"));
    let mut writer = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let stderr = writer.stderr.take().unwrap();
    let pid = silent.writer.insert(Victim(writer)).0.id();
    BufReader::new(stderr).read_line(&mut said).unwrap();
    assert_eq!(said, "open\n");
    assert_eq!([silent.heard(), silent.heard()], ["lookup", "open"]);
    let why = written(&node, pid).unwrap_err();
    assert!(why.contains("may keep a reader waiting"), "{why}");
    // Nothing was asked in between.
    fs::metadata(silent.directory.path().join("log")).unwrap();
    assert_eq!(silent.heard(), "lookup");
}
