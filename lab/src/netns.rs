//! Network namespaces that go away with their handle.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use nix::sched::{CloneFlags, setns};
use thiserror::Error;

use crate::{
    ip::{IpError, batch, ip},
    warden,
};

/// What the name of every namespace of a lab begins with.
pub const PREFIX: &str = "schism-";

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// Why something with a namespace failed.
#[derive(Error)]
pub enum NetnsError {
    /// Only root makes and enters network namespaces.
    #[error("network namespaces need root: run this in a root shell")]
    NotRoot,
    /// `ip` failed.
    #[error(transparent)]
    Ip(#[from] IpError),
    /// A file of the namespace could not be opened or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The namespace could not be entered.
    #[error("the namespace {name} could not be entered: {source}")]
    Enter {
        /// Its name.
        name: String,
        /// Why.
        source: nix::Error,
    },
    /// What `ip` printed was not understood.
    #[error("`ip -j link` in {name} printed what is not understood: {said}")]
    Links {
        /// The namespace's name.
        name: String,
        /// The text.
        said: String,
    },
}

impl fmt::Debug for NetnsError {
    /// As the sentence, because tests show it when they unwrap.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A network namespace of our own; the last clone of a handle deletes it.
///
/// Its name is `schism-PID-N-LABEL`: unique on this machine, and it tells whose it is. `lo` is up,
/// and IPv6 addresses are usable at once (no duplicate address detection).
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    name: String,
}

/// A network device as `ip` sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its interface index inside the namespace.
    pub index: u32,
    /// Its hardware address as text.
    pub address: String,
    /// Whether it is up and has a carrier.
    pub running: bool,
    /// As a bridge's port: whether the bridge forwards on it. `None` where it is no port.
    pub forwarding: Option<bool>,
}

impl Namespace {
    /// Creates a namespace; the label is for people and becomes the end of its name.
    ///
    /// # Errors
    /// Without root, or when `ip netns add` fails.
    pub fn create(label: &str) -> Result<Self, NetnsError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(NetnsError::NotRoot);
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{label}", std::process::id());
        warden::watch_namespace(&name);
        ip(&["netns", "add", &name])?;
        let namespace = Self(Arc::new(Owned { name }));
        namespace.batch("link set lo up\n")?;
        for conf in ["all", "default"] {
            namespace.sysctl(&format!("net/ipv6/conf/{conf}/accept_dad"), "0")?;
        }
        Ok(namespace)
    }

    /// Its name, as in `ip netns exec NAME` and in the selector `netns:NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(self.name())
    }

    /// A command that runs the program inside; start it with [`crate::process::Process::start`] to
    /// have it ended too. The command's pid is the program's, since `ip netns exec` execs.
    #[must_use]
    pub fn exec(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name(), program]);
        command
    }

    /// A command that runs the program as on a machine of its own: this namespace is its host's, there
    /// are no names of other namespaces, and no processes but its own.
    ///
    /// The command's pid is that of a parent, `unshare`, with which the program is killed. As the first
    /// process of its pid namespace it gets only the signals that it handles.
    #[must_use]
    pub fn machine(&self, program: &str) -> Command {
        let mut command = self.exec("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        let alone = r#"mount -t tmpfs schism /run/netns && exec "$0" "$@""#;
        command.args(["sh", "-c", alone, program]);
        command
    }

    /// Runs `ip` commands inside, one a line.
    ///
    /// # Errors
    /// At the first one that fails.
    pub fn batch(&self, lines: &str) -> Result<(), NetnsError> {
        Ok(batch(self.name(), lines)?)
    }

    /// Runs one `ip` command inside and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn ip(&self, arguments: &[&str]) -> Result<String, NetnsError> {
        Ok(ip(&[&["-n", self.name()], arguments].concat())?)
    }

    /// Sets a network sysctl of this namespace, by its path under /proc/sys.
    ///
    /// # Errors
    /// When the namespace can't be entered or the file can't be written.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<(), NetnsError> {
        // /proc/sys/net shows the namespace of the thread that looks at it.
        let path = Path::new("/proc/sys").join(path);
        self.inside(|| fs::write(&path, value))?.map_err(|source| NetnsError::File { path, source })
    }

    /// Runs a closure on a fresh thread inside the namespace and returns its result.
    ///
    /// Sockets that it opens stay in the namespace and work from every thread; threads that it
    /// starts are inside too. A panic inside goes on in the caller.
    ///
    /// # Errors
    /// When the namespace can't be entered; the closure is not run then.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        let path = self.path();
        let file = File::open(&path).map_err(|source| NetnsError::File { path, source })?;
        let enter = || {
            #[expect(clippy::disallowed_methods, reason = "the lab's only door to a namespace")]
            let entered = setns(&file, CloneFlags::CLONE_NEWNET);
            entered.map_err(|source| NetnsError::Enter { name: self.name().to_owned(), source })?;
            Ok(work())
        };
        // The thread dies with the closure, so no thread is ever in the wrong namespace.
        thread::scope(|scope| scope.spawn(enter).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// All its network devices.
    ///
    /// # Errors
    /// When `ip` fails or prints something unknown.
    pub fn links(&self) -> Result<Vec<Link>, NetnsError> {
        let text = self.ip(&["-j", "-d", "link", "show"])?;
        let parsed: Option<Vec<Link>> = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|links| links.as_array()?.iter().map(link).collect());
        parsed.ok_or_else(|| NetnsError::Links { name: self.name().to_owned(), said: text })
    }
}

fn link(value: &serde_json::Value) -> Option<Link> {
    let flags = value["flags"].as_array()?;
    let port = &value["linkinfo"]["info_slave_data"]["state"];
    Some(Link {
        name: value["ifname"].as_str()?.to_owned(),
        index: u32::try_from(value["ifindex"].as_u64()?).ok()?,
        address: value["address"].as_str().unwrap_or_default().to_owned(),
        running: ["UP", "LOWER_UP"].iter().all(|flag| flags.iter().any(|is| is == flag)),
        forwarding: port.as_str().map(|state| state == "forwarding"),
    })
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("lab: {error}");
        }
    }
}
