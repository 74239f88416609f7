//! One etcd process in its namespace.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{CLIENT_PORT, Client, EtcdError};
use crate::{
    process::Process,
    topology::{Family, Node},
};

/// Between two questions to a member that is not healthy yet.
const PACE: Duration = Duration::from_millis(20);

/// How many lines of a log are shown when a member failed.
const LAST_WORDS: usize = 8;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) node: Node,
    directory: PathBuf,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Member {
    /// A member that does not run yet.
    pub(super) fn new(node: Node, parent: &Path, mut arguments: Vec<String>) -> Self {
        let directory = parent.join(&node.label);
        arguments.push(format!("--data-dir={}", directory.join("data").display()));
        Self { node, directory, arguments, process: None }
    }

    /// Starts the process; it goes on with the data that it has.
    pub(super) fn start(&mut self) -> Result<(), EtcdError> {
        let file = |path: &Path, source| EtcdError::File { path: path.to_owned(), source };
        fs::create_dir_all(&self.directory).map_err(|source| file(&self.directory, source))?;
        let path = self.log_path();
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.map_err(|source| file(&path, source))?;
        let errors = log.try_clone().map_err(|source| file(&path, source))?;
        let mut etcd = self.node.namespace.exec("etcd");
        etcd.args(&self.arguments).stdout(log).stderr(errors);
        self.process = Some(Process::start(&mut etcd)?);
        Ok(())
    }

    /// Waits until it says that it is healthy, asked by this client.
    pub(super) fn wait_healthy(
        &self,
        client: &mut Client,
        limit: Duration,
    ) -> Result<(), EtcdError> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Err(error) = client.health(left.clamp(PACE, Duration::from_secs(2))) else {
                return Ok(());
            };
            let name = self.node.label.clone();
            // etcd announces nothing, so it is asked again; its end is the event to wait for.
            if self.process()?.wait_end(PACE) {
                return Err(EtcdError::Ended { name, log: self.last_words() });
            }
            if left.is_zero() {
                let (last, log) = (error.to_string(), self.last_words());
                return Err(EtcdError::NotHealthy { name, last, log });
            }
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.wait_end(Duration::ZERO))
    }

    pub(super) fn process(&self) -> Result<&Process, EtcdError> {
        self.process.as_ref().ok_or_else(|| EtcdError::NotRunning(self.node.label.clone()))
    }

    pub(super) fn stop(&mut self) -> Result<(), EtcdError> {
        let process = self.process.take();
        process.map_or(Ok(()), |process| Ok(process.stop().map(drop)?))
    }

    pub(super) fn kill(&mut self) -> Result<(), EtcdError> {
        let process = self.process.take();
        process.map_or(Ok(()), |process| Ok(process.kill().map(drop)?))
    }

    pub(super) fn client(&self, from: &Node, family: Family) -> Client {
        let address = self.node.socket_address(family, CLIENT_PORT);
        Client::new(from.namespace.clone(), address)
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }
}
