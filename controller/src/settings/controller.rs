//! `[controller]`: which controller commands ask.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use link::{Files, HostPort, HostPortError, ServerName};
use serde::Deserialize;

use super::SettingsError;
use super::value::{anchor, host, path, text};

/// Where a controller listens. Printing and parsing are inverse to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `tcp:HOST:PORT`.
    Tcp(HostPort),
}

/// A text is no address of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither form.
    #[error("write unix:PATH or tcp:HOST:PORT")]
    Form,
    /// What follows `tcp:`.
    #[error(transparent)]
    Tcp(#[from] HostPortError),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() && !path.contains('\0') => {
                Ok(Self::Unix(path.into()))
            }
            Some(("tcp", address)) => Ok(Self::Tcp(address.parse()?)),
            Some(_) | None => Err(AddressError::Form),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// `[controller]`, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ControllerSettings {
    /// Where it listens.
    #[serde(deserialize_with = "text")]
    pub address: Option<Address>,
    /// For which name its certificate must be; the address's host if it is not said.
    #[serde(deserialize_with = "host")]
    pub server_name: Option<ServerName<'static>>,
    /// The authority's certificate.
    #[serde(deserialize_with = "path")]
    pub ca: Option<PathBuf>,
    /// The own certificate.
    #[serde(deserialize_with = "path")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(deserialize_with = "path")]
    pub key: Option<PathBuf>,
}

/// A controller that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Controller {
    /// On this machine.
    Unix(PathBuf),
    /// Over mutual TLS.
    Tcp {
        /// Where.
        address: HostPort,
        /// For which name its certificate must be.
        name: ServerName<'static>,
        /// What to show it.
        files: Files,
    },
}

impl ControllerSettings {
    pub(super) fn anchor(&mut self, base: &Path) {
        if let Some(Address::Unix(path)) = &mut self.address {
            *path = base.join(&*path);
        }
        for path in [&mut self.ca, &mut self.certificate, &mut self.key] {
            anchor(path, base);
        }
    }

    /// The controller that is meant; `None` if none is.
    ///
    /// # Errors
    /// One on the network is meant, and what to show it is not said.
    pub fn complete(self) -> Result<Option<Controller>, SettingsError> {
        let address = match self.address {
            None => return Ok(None),
            Some(Address::Unix(path)) => return Ok(Some(Controller::Unix(path))),
            Some(Address::Tcp(address)) => address,
        };
        let needs = |path: Option<PathBuf>, key| {
            let reason = "a controller on the network is spoken to over mutual TLS";
            path.ok_or(SettingsError::Missing { key, reason })
        };
        let files = Files {
            ca: needs(self.ca, "controller.ca")?,
            certificate: needs(self.certificate, "controller.certificate")?,
            key: needs(self.key, "controller.key")?,
        };
        let name = self.server_name.unwrap_or_else(|| address.host().clone());
        Ok(Some(Controller::Tcp { address, name, files }))
    }
}
