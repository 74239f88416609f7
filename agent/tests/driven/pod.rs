//! A pod as a node has it: control groups of its name, and the kubelet's file among the mounts of each container.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use lab::control_group::remove_until;
use lab::directory::Directory;

use crate::container::PATIENCE;

/// A pod of this test, which goes with its processes.
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) group: PathBuf,
    directory: Directory,
}

impl Pod {
    pub(crate) fn new() -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("unified");
        let root = if unified.is_dir() { unified.as_path() } else { root };
        let uid = format!("5c150000-0000-4000-8000-{:012x}", std::process::id());
        let group = root.join(format!("schism-{}-pods/pod{uid}", std::process::id()));
        fs::create_dir_all(&group).unwrap();
        Self { uid, group, directory: Directory::create("pod").unwrap() }
    }

    /// Runs a shell's words in a container of this id, that the kubelet has given this name to; none for the
    /// sandbox's own.
    pub(crate) fn run(
        &self,
        id: &str,
        name: Option<&str>,
        words: &str,
    ) -> (Child, BufReader<ChildStdout>) {
        let group = self.group.join(id);
        fs::create_dir_all(&group).unwrap();
        let last_words = self.directory.path().join("pods").join(&self.uid).join("containers");
        let place = self.directory.path().join("termination-log");
        fs::write(&place, "").unwrap();
        let mount = name.map_or("true".to_owned(), |name| {
            let last_words = last_words.join(name).join(id);
            fs::create_dir_all(last_words.parent().unwrap()).unwrap();
            fs::write(&last_words, "").unwrap();
            format!("mount --bind {} {}", last_words.display(), place.display())
        });
        let script = format!(
            "echo $$ >{}/cgroup.procs && {mount} && echo ready && {words}",
            group.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut container = command.spawn().unwrap();
        let mut stdout = BufReader::new(container.stdout.take().unwrap());
        let mut said = String::new();
        stdout.read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        (container, stdout)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let all = self.group.parent().unwrap();
        if let Err(error) = remove_until(all, Instant::now() + PATIENCE) {
            eprintln!("{}: {error}", all.display());
        }
    }
}
