//! A store for backups that speaks S3 and keeps what it is given in memory. Built with Go, once.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{
    cache::{self, CacheError},
    go::{self, GoError},
    netns::NetnsError,
    process::{Process, ProcessError},
    topology::{Family, Node},
};

/// Where it listens.
const PORT: u16 = 9000;

/// How long it may take until it does.
const START: Duration = Duration::from_secs(10);

/// Between two attempts to reach it.
const PACE: Duration = Duration::from_millis(20);

/// Why there is no store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Go.
    #[error(transparent)]
    Go(#[from] GoError),
    /// A source can't be read.
    #[error("{path}: {source}")]
    Source {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Its process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Nobody answers.
    #[error("the store for backups does not listen at {at}: {source}")]
    Silent {
        /// Where.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A store with one bucket. It ends, and what it has is gone, with its handle.
#[derive(Debug)]
pub(crate) struct Store {
    _process: Process,
}

impl Store {
    /// Where the store of a node listens.
    #[must_use]
    pub(crate) fn address(node: &Node) -> SocketAddr {
        node.socket_address(Family::V4, PORT)
    }

    /// Starts one on a node, and waits until it listens.
    ///
    /// # Errors
    /// It is not built, or does not listen in ten seconds.
    pub(crate) fn start(node: &Node, bucket: &str) -> Result<Self, StoreError> {
        let (program, at) = (program()?, Self::address(node));
        let mut command = node.namespace.exec(&program.display().to_string());
        command.arg(at.to_string()).arg(bucket).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(&mut command)?;
        let began = Instant::now();
        loop {
            match node.namespace.inside(|| TcpStream::connect(at))? {
                Ok(_) => return Ok(Self { _process: process }),
                Err(source) if began.elapsed() > START => {
                    return Err(StoreError::Silent { at, source });
                }
                // A process that begins to listen makes no event here.
                Err(_) => thread::sleep(PACE),
            }
        }
    }
}

/// That of `lab/store`, which is built if the cache has not got it; that takes a minute of two processors.
fn program() -> Result<PathBuf, StoreError> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("store");
    let read = |name: &str| {
        let path = home.join(name);
        fs::read_to_string(&path).map_err(|source| StoreError::Source { path, source })
    };
    let (main, module, sums) = (read("main.go")?, read("go.mod")?, read("go.sum")?);
    let mut build = go::program("-s -w");
    let (version, words) = (go::version(&home)?, build.join(" "));
    let made_of = [&main, &module, &sums, &version, &words].map(|part| part.as_bytes());
    let directory = cache::entry(&cache::name("store", &made_of), |work| {
        eprintln!("building a store for backups, a minute of two processors …");
        build.extend(["-o".to_owned(), work.join("store").display().to_string(), ".".to_owned()]);
        Ok::<(), StoreError>(go::build(&home, &build)?)
    })?;
    Ok(directory.join("store"))
}
