//! A machine of its own: network, mounts, processes and name.

use std::{
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::KubernetesError;
use crate::{process::Process, topology};

/// Where a machine finds what it is lent.
pub(super) const LENT: &str = "/var/lib/lab";

/// How often programs of Go look for memory that nobody uses: seldom, as here time is scarcer.
pub(super) const COLLECTING: (&str, &str) = ("GOGC", "400");

/// The first process of a machine. It may write beneath /run, /var/lib and /var/log, which are its own, and
/// in nothing else of this machine's files. It reaps whoever loses his parent.
const SCRIPT: &str = r#"
set -e
own=$1 name=$2
shift 2
echo "$name" >/proc/sys/kernel/hostname
umount -R -l /run/netns 2>/dev/null || :
while [ $# -gt 0 ]; do
  mount --bind "$1" "$own/lib/lab/$2"
  shift 2
done
mount --rbind "$own/lib" /var/lib
mount --bind "$own/log" /var/log
mount -t tmpfs -o mode=0755 run /run
mount -o remount,bind,ro /
mount --make-rshared /
trap 'exit 0' TERM
echo ready >&2
exec 2>/dev/null
sleep infinity &
while :; do wait; done
"#;

/// A machine; all its processes end with it.
#[derive(Debug)]
pub(super) struct Machine {
    name: String,
    directory: PathBuf,
    holder: Process,
}

/// What a machine sees of another directory, by its name beneath [`LENT`].
#[derive(Clone, Debug)]
pub(super) struct Loan {
    pub(super) name: &'static str,
    pub(super) directory: PathBuf,
}

impl Machine {
    /// Starts a machine on the network of a node, whose files go beneath a directory that is empty.
    pub(super) fn start(
        node: &topology::Node,
        directory: &Path,
        loans: &[Loan],
    ) -> Result<Self, KubernetesError> {
        let name = node.label.clone();
        for part in ["lib/lab", "log"] {
            let path = directory.join(part);
            fs::create_dir_all(&path).map_err(KubernetesError::file(&path))?;
        }
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", node.namespace.path().display()));
        command.args(["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"]);
        command.args(["--mount-proc", "sh", "-c", SCRIPT, "machine"]).arg(directory).arg(&name);
        for loan in loans {
            let place = directory.join("lib/lab").join(loan.name);
            fs::create_dir(&place).map_err(KubernetesError::file(&place))?;
            command.arg(&loan.directory).arg(loan.name);
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut holder = Process::start(&mut command)?;
        let mut said = String::new();
        for line in
            holder.take_stderr().into_iter().flat_map(|stderr| BufReader::new(stderr).lines())
        {
            match line {
                Ok(line) if line == "ready" => {
                    return Ok(Self { name, directory: directory.to_owned(), holder });
                }
                Ok(line) => said += &line,
                Err(error) => said += &error.to_string(),
            }
        }
        Err(KubernetesError::Machine { name, said })
    }

    /// Its name, which is its host name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Writes a file beneath /var/lib, and says where the machine finds it.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<String, KubernetesError> {
        let path = self.directory.join("lib").join(name);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).map_err(KubernetesError::file(above))?;
        }
        fs::write(&path, text).map_err(KubernetesError::file(&path))?;
        Ok(format!("/var/lib/{name}"))
    }

    /// Where a file of the machine can be found from outside.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside)
    }

    /// A command that runs on the machine. Its pid is that of `nsenter`, which waits for the program.
    pub(super) fn command(&self, program: &str) -> Command {
        let pid = self.holder.id();
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(pid.to_string()).args(["--mount", "--uts", "--net"]);
        command.arg(format!("--pid=/proc/{pid}/ns/pid_for_children")).arg("--").arg(program);
        let beneath = |name: &str| PathBuf::from(LENT).join(name);
        let own =
            [beneath("components"), beneath("packages/usr/bin"), beneath("packages/usr/sbin")];
        let inherited = env::var_os("PATH").unwrap_or_default();
        let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
        let all = own.into_iter().chain(env::split_paths(&inherited)).chain(system);
        if let Ok(path) = env::join_paths(all) {
            command.env("PATH", path);
        }
        command.env("TMPDIR", "/run").env(COLLECTING.0, COLLECTING.1);
        command
    }

    /// Starts something that runs on, with a log of its own in /var/log.
    pub(super) fn serve(
        &self,
        name: &'static str,
        arguments: &[String],
    ) -> Result<Component, KubernetesError> {
        self.serve_program(name, name, arguments)
    }

    /// The same for a program that is not among the components.
    pub(super) fn serve_program(
        &self,
        name: &'static str,
        program: &str,
        arguments: &[String],
    ) -> Result<Component, KubernetesError> {
        let log = self.directory.join("log").join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.map_err(KubernetesError::file(&log))?;
        let again = file.try_clone().map_err(KubernetesError::file(&log))?;
        let mut command = self.command(program);
        let process = Process::start(command.args(arguments).stdout(file).stderr(again))?;
        Ok(Component { name, log, process })
    }
}

/// A part of Kubernetes that runs.
#[derive(Debug)]
pub(super) struct Component {
    name: &'static str,
    log: PathBuf,
    pub(super) process: Process,
}

impl Component {
    /// Its name and the end of its log.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = log.lines().collect();
        format!("{} said: {}", self.name, lines[lines.len().saturating_sub(3)..].join("\n"))
    }
}
