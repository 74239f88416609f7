//! `[serve]`: what `schism serve` listens on and where it keeps things.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use link::Files;
use serde::Deserialize;

use super::SettingsError;
use super::value::{anchor, path, text};
use crate::runs::Execution;

/// Where people's commands find the controller of their machine.
const SOCKET: &str = "/run/schism/control.sock";
/// Where it keeps what it has to know after a restart.
const STATE: &str = "/var/lib/schism";

/// `IP:PORT`, where to listen; port 0 is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

/// A text is no `IP:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write IP:PORT, such as 10.0.0.1:7070 or [::]:7070")]
pub struct ListenError;

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        text.parse().map(Self).map_err(|_| ListenError)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `[serve]`, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServeSettings {
    /// The unix socket for commands on this machine.
    #[serde(deserialize_with = "path")]
    pub socket: Option<PathBuf>,
    /// Where agents dial.
    #[serde(deserialize_with = "text")]
    pub listen_agents: Option<Listen>,
    /// Where commands on other machines dial.
    #[serde(deserialize_with = "text")]
    pub listen_control: Option<Listen>,
    /// Where metrics are read.
    #[serde(deserialize_with = "text")]
    pub metrics: Option<Listen>,
    /// The authority's certificate.
    #[serde(deserialize_with = "path")]
    pub ca: Option<PathBuf>,
    /// The controller's certificate.
    #[serde(deserialize_with = "path")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(deserialize_with = "path")]
    pub key: Option<PathBuf>,
    /// The certificates that are admitted.
    #[serde(deserialize_with = "path")]
    pub issued: Option<PathBuf>,
    /// The directory of the store and the archive.
    #[serde(deserialize_with = "path")]
    pub state: Option<PathBuf>,
    /// Whether steps of experiments are performed by it.
    pub allow_exec: Option<bool>,
}

/// How agents show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AgentsBy {
    /// By a certificate.
    Certificate,
    /// By a token of their service account.
    Token,
}

/// What `schism serve` needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// The unix socket for commands on this machine; `/run/schism/control.sock` if it is not said.
    pub socket: PathBuf,
    /// Where agents dial.
    pub listen_agents: Listen,
    /// Where commands on other machines dial; nowhere if it is not said.
    pub listen_control: Option<Listen>,
    /// Where metrics are read; nowhere if it is not said.
    pub metrics: Option<Listen>,
    /// What to show those who dial; `None` where nobody comes by certificate.
    pub files: Option<Files>,
    /// The certificates that are admitted.
    pub issued: PathBuf,
    /// The directory of the store and the archive; `/var/lib/schism` if it is not said.
    pub state: PathBuf,
    /// Whether steps of experiments are performed by it; not if it is not said.
    pub execution: Execution,
}

impl ServeSettings {
    pub(super) fn anchor(&mut self, base: &Path) {
        for path in [
            &mut self.socket,
            &mut self.ca,
            &mut self.certificate,
            &mut self.key,
            &mut self.issued,
            &mut self.state,
        ] {
            anchor(path, base);
        }
    }

    /// Where something is said here, it wins over what is said `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            socket: self.socket.or(below.socket),
            listen_agents: self.listen_agents.or(below.listen_agents),
            listen_control: self.listen_control.or(below.listen_control),
            metrics: self.metrics.or(below.metrics),
            ca: self.ca.or(below.ca),
            certificate: self.certificate.or(below.certificate),
            key: self.key.or(below.key),
            issued: self.issued.or(below.issued),
            state: self.state.or(below.state),
            allow_exec: self.allow_exec.or(below.allow_exec),
        }
    }

    /// All that is needed.
    ///
    /// # Errors
    /// Something that has no default is not said.
    pub fn complete(self, agents: AgentsBy) -> Result<Serve, SettingsError> {
        let by_certificate = match agents {
            AgentsBy::Certificate => true,
            AgentsBy::Token => self.listen_control.is_some(),
        };
        let needs = |path: Option<PathBuf>, key| {
            let reason = "agents are spoken to over mutual TLS; `schism certs` makes the files";
            path.ok_or(SettingsError::Missing { key, reason })
        };
        let reason = "agents must have where to dial";
        Ok(Serve {
            socket: self.socket.unwrap_or_else(|| SOCKET.into()),
            listen_agents: self
                .listen_agents
                .ok_or(SettingsError::Missing { key: "serve.listen-agents", reason })?,
            listen_control: self.listen_control,
            metrics: self.metrics,
            files: match by_certificate {
                true => Some(Files {
                    ca: needs(self.ca, "serve.ca")?,
                    certificate: needs(self.certificate, "serve.certificate")?,
                    key: needs(self.key, "serve.key")?,
                }),
                false => None,
            },
            issued: match by_certificate {
                true => needs(self.issued, "serve.issued")?,
                false => PathBuf::new(),
            },
            state: self.state.unwrap_or_else(|| STATE.into()),
            execution: match self.allow_exec {
                Some(true) => Execution::Allowed,
                Some(false) | None => Execution::Refused,
            },
        })
    }
}
