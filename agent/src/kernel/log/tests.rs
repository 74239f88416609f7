use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use fault::{BootId, NamespaceCookie, TargetIdentity};
use nix::sys::stat::Mode;

use super::*;

/// A process with an output; ended with this.
struct Speaker(Child);

impl Drop for Speaker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Speaker {
    fn with(output: impl Into<Stdio>) -> Self {
        let mut command = Command::new("/bin/sleep");
        command.arg("60").stdout(output).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn logs(&self) -> Result<Vec<Log>, String> {
        let process = process::identity(self.0.id()).unwrap();
        let identity = TargetIdentity {
            boot: BootId::new(1),
            namespace: NamespaceCookie::new(1),
            process: Some(process),
        };
        let selector = format!("pid:{}", process.pid).parse().unwrap();
        let no_namespace = || Err(KernelError::Answer("nobody asks for it".to_owned()));
        of(&Place { selector, identity }, no_namespace).map_err(|error| error.to_string())
    }
}

fn text(mut file: &File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_a_process_has_open_is_read_whatever_stands_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut written = File::create(&path).unwrap();
    written.write_all(b"own\n").unwrap();
    let speaker = Speaker::with(written.try_clone().unwrap());
    fs::rename(&path, directory.path().join("log.1")).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    let logs = speaker.logs().unwrap();
    assert_eq!((logs.len(), logs[0].form, logs[0].files.len()), (1, LogForm::Plain, 1));
    assert_eq!(text(&logs[0].files[0]), "own\n");
    assert!((&logs[0].files[0]).write_all(b"x").is_err(), "it is only read");
    fs::remove_file(directory.path().join("log.1")).unwrap();
    assert_eq!(text(&speaker.logs().unwrap()[0].files[0]), "own\n");
}

/// Both ends of a terminal.
#[expect(unsafe_code, reason = "openpty(3) has no safe form")]
fn pseudoterminal() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let (no_name, unchanged, unsized_) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: both numbers are live for the call, and what may be null is.
    let opened =
        unsafe { libc::openpty(&raw mut master, &raw mut slave, no_name, unchanged, unsized_) };
    assert_eq!(opened, 0, "{}", io::Error::last_os_error());
    // SAFETY: they were opened for this, and are nobody else's.
    unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

#[test]
fn a_file_is_known_by_the_open_file_of_whoever_writes_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| File::create(directory.path().join(name)).unwrap();
    let (written, other) = (file("log"), file("other"));
    let speaker = Speaker::with(written.try_clone().unwrap());
    let process = process::identity(speaker.0.id()).unwrap();
    assert!(output::is_written(process, 1, &written).unwrap());
    assert!(!output::is_written(process, 1, &other).unwrap());
    let reader = Speaker::with(File::open(directory.path().join("log")).unwrap());
    let process = process::identity(reader.0.id()).unwrap();
    assert!(!output::is_written(process, 1, &written).unwrap(), "it only reads");
}

#[test]
fn nothing_is_read_but_a_file_that_a_process_writes_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "secret").unwrap();
    let opened = |options: &mut OpenOptions| options.open(&path).unwrap();
    let by_path = OFlag::O_PATH.bits();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let score = OpenOptions::new().write(true).open("/proc/self/oom_score_adj").unwrap();
    let (socket, _other) = UnixStream::pair().unwrap();
    let (pipe, _reader) = {
        let (reader, writer) = std::io::pipe().unwrap();
        (writer, reader)
    };
    let (_master, terminal) = pseudoterminal();
    let in_memory = nix::sys::memfd::memfd_create(c"log", nix::sys::memfd::MFdFlags::MFD_CLOEXEC);
    for (output, expected) in [
        (Stdio::from(opened(OpenOptions::new().read(true))), "was not opened to be written to"),
        (
            Stdio::from(opened(OpenOptions::new().read(true).custom_flags(by_path))),
            "was not opened to be written to",
        ),
        (
            Stdio::from(OpenOptions::new().read(true).write(true).open(&fifo).unwrap()),
            "no regular file",
        ),
        (Stdio::from(score), "may keep a reader waiting"),
        (Stdio::from(in_memory.unwrap()), "that nobody here has mounted"),
        (Stdio::from(OwnedFd::from(socket)), "goes to a socket"),
        (Stdio::from(pipe), "goes to a pipe"),
        (Stdio::from(terminal), "goes to a terminal"),
        (Stdio::null(), "no regular file"),
    ] {
        let why = Speaker::with(output).logs().unwrap_err();
        assert!(why.contains(expected) && why.contains("writes to no file"), "{expected}: {why}");
    }
}

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A node's directories, as far as runtimes have something there.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// As a kubelet names a container's log.
    fn name(&self, target: &str) {
        fs::create_dir_all(self.path(NAMED_BY_ID)).unwrap();
        symlink(target, self.path(&format!("{NAMED_BY_ID}/web_ns_c-{ID}.log"))).unwrap();
    }

    fn found(&self) -> io::Result<Option<Vec<String>>> {
        let log = of_runtime(self.0.path(), ID)?;
        Ok(log.map(|log| log.files.iter().map(text).collect()))
    }
}

#[test]
fn a_containers_log_is_found_with_those_from_which_it_was_rotated() {
    let node = Node::new();
    assert_eq!(node.found().unwrap(), None);
    for (name, text) in [
        ("0.log", "now"),
        ("0.log.20260102-000000", "before"),
        ("0.log.20260101-000000", "first"),
        ("0.log.20251231-000000.gz", "compressed"),
        ("1.log", "of another one"),
    ] {
        node.write(&format!("var/log/pods/ns_web_uid/c/{name}"), text);
    }
    node.name("/var/log/pods/ns_web_uid/c/0.log");
    assert_eq!(node.found().unwrap().unwrap(), ["first", "before", "now"]);
    assert_eq!(of_runtime(node.0.path(), ID).unwrap().unwrap().form, LogForm::Cri);

    let node = Node::new();
    let own = |ending: &str| format!("{OF_DOCKER}/{ID}/{ID}-json.log{ending}");
    for (ending, text) in [("", "now"), (".1", "before"), (".10", "oldest"), (".2", "old")] {
        node.write(&own(ending), text);
    }
    assert_eq!(node.found().unwrap().unwrap(), ["oldest", "old", "before", "now"]);
    assert_eq!(of_runtime(node.0.path(), ID).unwrap().unwrap().form, LogForm::Json);
}

#[test]
fn a_log_that_is_being_rotated_is_found_and_nothing_of_it_twice() {
    let node = Node::new();
    let path = |ending: &str| format!("var/log/pods/ns_web_uid/c/0.log{ending}");
    node.write(&path(".20260101-000000"), "before");
    node.write(&path(""), "now");
    node.name("/var/log/pods/ns_web_uid/c/0.log");
    // Renamed, and the runtime has no next one yet.
    fs::rename(node.path(&path("")), node.path(&path(".20260102-000000"))).unwrap();
    assert_eq!(node.found().unwrap().unwrap(), ["before", "now"]);
    // Renamed between two looks: the file that is open has that name, too.
    let now = File::open(node.path(&path(".20260102-000000"))).unwrap();
    let former = rotated(&File::open(node.0.path()).unwrap(), Path::new(&path(""))).unwrap();
    let files = in_order(former, Some(now)).unwrap();
    assert_eq!(files.iter().map(text).collect::<Vec<_>>(), ["before", "now"]);
    node.write(&path(""), "next");
    assert_eq!(node.found().unwrap().unwrap(), ["before", "now", "next"]);
}

#[test]
fn nothing_is_read_that_somebody_has_put_among_the_logs_of_containers() {
    let elsewhere = |target: &str, plant: &dyn Fn(&Node)| {
        let node = Node::new();
        node.write("etc/shadow", "secret");
        node.write("var/log/pods/ns_web_uid/c/1.log", "own");
        plant(&node);
        node.name(target);
        node.found()
    };
    let nothing = |_: &Node| ();
    for target in ["/etc/shadow", "/var/log/pods/../../../etc/shadow", "etc/shadow"] {
        assert_eq!(elsewhere(target, &nothing).unwrap(), None, "{target}");
    }
    let link = |node: &Node| {
        symlink("/etc/shadow", node.path("var/log/pods/ns_web_uid/c/0.log")).unwrap();
    };
    assert!(elsewhere("/var/log/pods/ns_web_uid/c/0.log", &link).is_err());
    let directory = |node: &Node| symlink("/etc", node.path("var/log/pods/planted")).unwrap();
    assert!(elsewhere("/var/log/pods/planted/shadow", &directory).is_err());
    let name = |node: &Node| {
        let own = node.path("var/log/pods/ns_web_uid/c/0.log");
        fs::hard_link(node.path("etc/shadow"), own).unwrap();
    };
    assert!(elsewhere("/var/log/pods/ns_web_uid/c/0.log", &name).is_err());
    let fifo = |node: &Node| {
        let own = node.path("var/log/pods/ns_web_uid/c/0.log");
        nix::unistd::mkfifo(&own, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    };
    assert!(elsewhere("/var/log/pods/ns_web_uid/c/0.log", &fifo).is_err());
}
