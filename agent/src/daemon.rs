//! A running agent: lock, socket, server.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fault::{NodeName, Remnant};
use nix::fcntl::{Flock, FlockArg};
use proto::agent::agent_server::AgentServer;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;

use crate::brake::Brake;
use crate::doctor;
use crate::kernel::{Kernel, Linux, node_name};
use crate::residue::{self, Removal};
use crate::server::{About, Captures, Instance, Service};
use crate::uplink::{self, Controller, Stop, Uplink};
use crate::worker::Agent;

/// How long healing may take at the end (4 s), so that the whole end takes less than 5.
const HEAL_LIMIT: Duration = Duration::from_secs(4);
/// How long open streams may take to end after that.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);
/// The largest request (1 MiB): 10,000 peers take a third of it.
const LARGEST_REQUEST: usize = 1 << 20;

/// Where the agent of a machine is found.
#[must_use]
pub fn default_socket() -> PathBuf {
    PathBuf::from("/run/schism/agent.sock")
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub socket: PathBuf,
    /// Whether it is a command line's own agent, which ends with it.
    pub embedded: bool,
    /// By what name this node is known.
    pub node: NodeName,
    /// Whom to dial; nobody else is ever asked over the network.
    pub controller: Option<Controller>,
    /// Whether packets of targets are handed over.
    pub captures: Captures,
}

impl Options {
    /// The agent of a machine, without a controller.
    #[must_use]
    pub fn daemon(socket: PathBuf) -> Self {
        let captures = Captures::Refused;
        Self { socket, embedded: false, node: node_name(), controller: None, captures }
    }

    /// A command line's own agent. Only its own user can ask it, who can read packets without it, too.
    #[must_use]
    pub fn embedded(socket: PathBuf) -> Self {
        Self { embedded: true, captures: Captures::Allowed, ..Self::daemon(socket) }
    }
}

/// An agent that serves. Dropped without [`Daemon::stop`] it takes its files away and serves no more, but
/// what it has in the kernel stays until this process ends.
pub struct Daemon {
    agent: Agent,
    files: Files,
    stop: watch::Sender<bool>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    uplink: Option<JoinHandle<()>>,
}

/// The agent could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another agent serves this socket.
    #[error("another agent of this machine holds {0}")]
    Busy(PathBuf),
    /// Capabilities are missing.
    #[error("this needs {0}; run it as root")]
    Unprivileged(String),
    /// The kernel cannot do it.
    #[error("this kernel cannot carry a cut: {0}")]
    Unsupported(String),
    /// A file of ours could not be made.
    #[error("{what} {path}: {source}")]
    File {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel could not be listened to.
    #[error("{0}")]
    Kernel(#[from] crate::kernel::KernelError),
}

/// Takes the lock, binds the socket and serves. Dropped before it is done, it takes away what it made.
///
/// # Errors
/// Another agent is there, privilege or kernel do not suffice, or a file cannot be made.
pub async fn start(options: Options) -> Result<Daemon, StartError> {
    doctor::preflight()?;
    if options.captures == Captures::Allowed && !options.embedded {
        // Before anybody waits for it; a command that is its own agent has other uses.
        doctor::can_capture()?;
    }
    let mut files = Files::take(&options.socket)?;
    let (socket, stale) = (options.socket.clone(), files.found_stale);
    let found = tokio::task::spawn_blocking(move || leftovers(&socket, stale)).await;
    let found = found.unwrap_or_default();
    let listener = files.listen()?;
    let linux = Arc::new(with_records(Linux::new(options.node.clone())?, &options.socket));
    let clocks = Arc::clone(&linux);
    let mut found = found;
    // Threads of a holder are let go of with the thread that asks for them: one that waits.
    found.extend(tokio::task::spawn_blocking(move || recovered(&clocks)).await.unwrap_or_default());
    if !options.embedded {
        // A command that is its own agent puts its cuts in at once, and then ends.
        linux.keep_spare();
    }
    let about = About {
        node: options.node,
        boot: linux.boot(),
        instance: Instance::random()
            .map_err(failed("ask for random numbers of", &options.socket))?,
        socket: options.socket.clone(),
        embedded: options.embedded,
        found_at_start: found,
    };
    let kernel: Arc<dyn Kernel> = linux;
    let agent = Agent::start(kernel, Brake::beside(&options.socket));
    let (stop, asked) = Stop::new();
    let uplink = options.controller.map(|controller| {
        let service = Service::for_controllers(agent.clone(), about.clone());
        let service = service.with_captures(options.captures);
        let hello = about.hello();
        let uplink = Uplink {
            agent: agent.clone(),
            hello,
            token: controller.token(),
            service: limited(service),
            chance: Arc::new(uplink::by_lot),
        };
        tracing::info!(controller = %controller.address(), "agent dials");
        tokio::spawn(uplink::keep(uplink, controller, asked.clone()))
    });
    let mut asked = asked;
    let service = Service::new(agent.clone(), about).with_captures(options.captures);
    let server = tonic::transport::Server::builder()
        .add_service(limited(service))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), async move {
            asked.asked().await;
        });
    tracing::info!(socket = %options.socket.display(), "agent serves");
    Ok(Daemon { agent, files, stop, server: tokio::spawn(server), uplink })
}

fn limited(service: Service) -> AgentServer<Service> {
    AgentServer::new(service).max_decoding_message_size(LARGEST_REQUEST)
}

impl Daemon {
    /// Whether the worker, which ends faults and renews leases, does its work: it answers this in its turn.
    pub async fn answers(&self) -> bool {
        self.agent.standing().await.is_ok()
    }

    /// Refuses new work, heals everything, answers what is under way, on the socket and to the controller,
    /// and takes the files away; in less than 5 s.
    ///
    /// # Errors
    /// Healing took too long (the kernel ends what is left with this process), or a file stayed.
    pub async fn stop(self) -> Result<(), StopError> {
        let healed = tokio::time::timeout(HEAL_LIMIT, self.agent.drain()).await;
        // The server may have ended already.
        let _ = self.stop.send(true);
        let mut abort = vec![self.server.abort_handle()];
        abort.extend(self.uplink.as_ref().map(JoinHandle::abort_handle));
        let closed = async {
            // How they ended changes nothing any more.
            let _ = self.server.await;
            if let Some(uplink) = self.uplink {
                let _ = uplink.await;
            }
        };
        if tokio::time::timeout(CLOSE_LIMIT, closed).await.is_err() {
            abort.iter().for_each(tokio::task::AbortHandle::abort);
        }
        self.files.remove()?;
        healed.map_err(|_| StopError::Slow)
    }
}

/// The agent ended, but not as it should.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Not everything was confirmed healed.
    #[error("healing took more than 4 s; what is left ends with this process")]
    Slow,
    /// A file stayed.
    #[error("remove {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Socket and lock. The lock is held for as long as this lives.
struct Files {
    socket: PathBuf,
    found_stale: bool,
    /// Before the lock: what goes away with it does so while the lock is still held.
    made: Made,
    _lock: Flock<File>,
}

/// What is to be taken away again, also by a start that fails or is given up half-way.
#[derive(Default)]
struct Made {
    directory: Option<PathBuf>,
    files: Vec<PathBuf>,
}

impl Made {
    fn remove(&mut self) -> Result<(), StopError> {
        while let Some(path) = self.files.pop() {
            remove(&path).map_err(|source| StopError::File { path, source })?;
        }
        if let Some(directory) = self.directory.take() {
            // Somebody else may use it by now.
            let _ = fs::remove_dir(directory);
        }
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        while let Err(error) = self.remove() {
            tracing::warn!(%error, "a file stays behind");
        }
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::File { what, path: path.to_owned(), source }
}

impl Files {
    fn take(socket: &Path) -> Result<Self, StartError> {
        let mut made = Made::default();
        // A bare name has an empty parent, which stands for the current directory.
        let parent = socket.parent().filter(|directory| !directory.as_os_str().is_empty());
        if let Some(directory) = parent.filter(|directory| !directory.exists()) {
            // One level: what lies above it is somebody else's.
            DirBuilder::new().mode(0o700).create(directory).map_err(failed("make", directory))?;
            made.directory = Some(directory.to_owned());
        }
        let path = residue::lock_path(socket);
        let found_stale = path.exists();
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(failed("open", &path))?;
            let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
                return Err(StartError::Busy(socket.to_owned()));
            };
            // An agent that ended in between has taken the name of the file away.
            let same =
                |found: fs::Metadata| lock.metadata().is_ok_and(|ours| ours.ino() == found.ino());
            if fs::metadata(&path).is_ok_and(same) {
                if !found_stale {
                    made.files.push(path);
                }
                return Ok(Self { socket: socket.to_owned(), found_stale, made, _lock: lock });
            }
        }
    }

    /// Binds under another name, closes it to others, then gives it its name.
    fn listen(&mut self) -> Result<UnixListener, StartError> {
        // Only the socket of an agent that is gone may be replaced.
        if let Ok(found) = fs::symlink_metadata(&self.socket)
            && !found.file_type().is_socket()
        {
            let kind = io::Error::new(io::ErrorKind::AlreadyExists, "it is there and is no socket");
            return Err(failed("listen at", &self.socket)(kind));
        }
        let fresh = self.socket.with_extension("new");
        remove(&fresh).map_err(failed("remove", &fresh))?;
        self.made.files.push(fresh.clone());
        let listener = UnixListener::bind(&fresh).map_err(failed("bind", &fresh))?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o600))
            .map_err(failed("close to others", &fresh))?;
        fs::rename(&fresh, &self.socket).map_err(failed("name", &self.socket))?;
        // From here on the files of an agent that is gone are this one's, too.
        self.made.files = vec![residue::lock_path(&self.socket), self.socket.clone()];
        Ok(listener)
    }

    fn remove(mut self) -> Result<(), StopError> {
        self.made.remove()
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What is written into processes is recorded beside the socket.
fn with_records(linux: Linux, socket: &Path) -> Linux {
    let workshop = residue::workshop(linux.boot(), socket);
    linux.with_workshop(workshop)
}

/// Gives processes back what another life of the agent wrote over.
fn recovered(linux: &Linux) -> Vec<Remnant> {
    let recovered = match linux.clocks().recover() {
        Ok(recovered) => recovered,
        Err(error) => {
            tracing::warn!(%error, "cannot read what was written into processes");
            return Vec::new();
        }
    };
    for (process, trouble) in &recovered {
        match trouble {
            None => {
                tracing::warn!(pid = process.pid, "its clocks were skewed by an agent that is gone")
            }
            Some(trouble) => tracing::error!(%trouble, "clocks are not as they were"),
        }
    }
    let remnant = |(process, trouble): (fault::ProcessIdentity, Option<String>)| {
        residue::of_clock(process, Vec::new(), trouble.is_none())
    };
    recovered.into_iter().map(remnant).collect()
}

/// A restarted agent starts clean, and says what it found.
fn leftovers(socket: &Path, stale_lock: bool) -> Vec<Remnant> {
    let mut found = match residue::search(Removal::Keep, socket) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "cannot look for leftovers");
            Vec::new()
        }
    };
    found.retain(|remnant| remnant.holders.is_empty());
    if stale_lock && socket.exists() {
        found.push(Remnant {
            kind: fault::RemnantKind::Socket,
            name: socket.display().to_string(),
            id: 0,
            holders: Vec::new(),
            removed: true,
        });
    }
    for remnant in &found {
        tracing::warn!(name = %remnant.name, id = remnant.id, "left by an agent that is gone");
    }
    found
}

#[cfg(test)]
mod tests {
    use lab::directory::Directory;

    use super::*;

    #[tokio::test]
    async fn the_end_takes_its_files_away_and_leaves_the_brake_on() {
        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("schism/agent.sock");
        let mut files = Files::take(&socket).unwrap();
        drop(files.listen().unwrap());
        Brake::beside(&socket).put_on("storm").unwrap();
        files.remove().unwrap();
        let directory = fs::read_dir(root.path().join("schism")).unwrap();
        let left: Vec<_> = directory.map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["halt"]);
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().display().to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_start_that_is_given_up_leaves_nothing() {
        let above = Directory::create("files").unwrap();
        let directory = above.path().join("made");
        let socket = directory.join("agent.sock");
        let files = Files::take(&socket).unwrap();
        assert_eq!(names(&directory), ["agent.lock"]);
        drop(files);
        assert!(names(above.path()).is_empty());
    }

    #[tokio::test]
    async fn what_an_agent_that_is_gone_left_is_taken_over_by_listening() {
        let directory = Directory::create("files").unwrap();
        let socket = directory.path().join("agent.sock");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        fs::write(directory.path().join("agent.lock"), "").unwrap();
        let files = Files::take(&socket).unwrap();
        assert!(files.found_stale);
        drop(files);
        assert_eq!(names(directory.path()), ["agent.lock", "agent.sock"], "still to be found");
        let mut files = Files::take(&socket).unwrap();
        let listener = files.listen().unwrap();
        assert_eq!(names(directory.path()), ["agent.lock", "agent.sock"]);
        drop(listener);
        files.remove().unwrap();
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn a_file_of_somebody_else_stays() {
        let directory = Directory::create("files").unwrap();
        let socket = directory.path().join("agent.sock");
        fs::write(&socket, "precious").unwrap();
        let mut files = Files::take(&socket).unwrap();
        assert!(files.listen().is_err());
        drop(files);
        assert_eq!(names(directory.path()), ["agent.sock"]);
    }
}
