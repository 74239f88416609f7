//! `schism.toml`: read once, validated whole, before anything is bound or touched.
//!
//! Flags win over the environment, which wins over the file: the sections hold what the file says, and
//! what a command needs is asked of them by `complete` after flags were laid over them.

mod capture;
mod clusters;
mod controller;
mod etcd;
mod groups;
mod kubernetes;
mod names;
mod place;
mod serve;
mod value;
mod zeebe;

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use fault::{ClusterName, Limits};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use self::zeebe::{OAuthSettings, ZeebeSettings};
pub use capture::CaptureSettings;
pub use controller::{Address, AddressError, Controller, ControllerSettings};
pub use etcd::EtcdSettings;
pub use groups::{EtcdPods, Groups, ZeebePods};
pub use kubernetes::{Access, Keeping, KubernetesSettings};
pub use names::{Names, StaticName, StaticNameError};
pub use place::Places;
pub use serve::{AgentsBy, Listen, ListenError, Serve, ServeSettings};

use crate::failure::{Cause, Failure};
use crate::input;

/// The longest file that is read (1 MiB).
const LONGEST: usize = 1 << 20;
/// How much of a message is shown: it may repeat what is in the file.
const SHOWN: usize = 400;

/// What `schism.toml` says. Paths in it that are not absolute begin at its directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which controller commands ask.
    #[serde(deserialize_with = "value::table")]
    pub controller: ControllerSettings,
    /// What `schism serve` does.
    #[serde(deserialize_with = "value::table")]
    pub serve: ServeSettings,
    /// Whether packets of targets are handed over.
    #[serde(deserialize_with = "value::table")]
    pub capture: CaptureSettings,
    /// How much may be hit at once.
    #[serde(deserialize_with = "value::table")]
    pub limits: Limits,
    /// Names that stand for selectors.
    pub names: Names,
    /// The Kubernetes cluster in which agents are.
    #[serde(deserialize_with = "value::table")]
    pub kubernetes: kubernetes::Written,
    /// Clusters of etcd.
    etcd: etcd::Clusters,
    /// Clusters of Zeebe.
    zeebe: zeebe::Clusters,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The file is longer than any such file.
    #[error("{} is longer than 1 MiB", .0.display())]
    TooLong(PathBuf),
    /// The file is not text.
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// Something in it is wrong.
    #[error("{}:{line}:{column}: {message}", .path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Something is not said anywhere.
    #[error("{key} is missing, neither an option nor schism.toml says it: {reason}")]
    Missing {
        /// The section and key.
        key: &'static str,
        /// What for.
        reason: &'static str,
    },
    /// Something is said that does not go together.
    #[error("{key} in schism.toml: {reason}")]
    Contradiction {
        /// The section and key.
        key: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Settings {
    /// Reads the file that was named by flag or environment, else the first of [`Places`] that is there,
    /// else none: then nothing is set.
    ///
    /// # Errors
    /// The named file cannot be read, or a file is no valid settings.
    pub fn load(named: Option<&Path>, places: &Places) -> Result<Self, SettingsError> {
        match find(named, places)? {
            Some((path, text)) => Self::parse(&path, &text),
            None => Ok(Self::default()),
        }
    }

    /// Reads a file's text. The path is for messages, and where relative paths begin.
    ///
    /// # Errors
    /// The text is no valid settings; the first thing that is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let mut settings: Self = parse(path, text)?;
        let base = base(path);
        settings.controller.anchor(base);
        settings.serve.anchor(base);
        settings.kubernetes.anchor(base);
        settings.etcd.anchor(base);
        settings.zeebe.anchor(base);
        Ok(settings)
    }

    /// The clusters of etcd by name; one without a name, `[etcd]`, is called etcd.
    pub fn etcd(&self) -> impl Iterator<Item = (&ClusterName, &EtcdSettings)> {
        self.etcd.0.iter()
    }

    /// The files that these settings name for whoever asks controllers and clusters: certificates, keys, secrets.
    #[must_use]
    pub fn credentials(&self) -> Vec<PathBuf> {
        let ControllerSettings { ca, certificate, key, .. } = &self.controller;
        let of_zeebe = self.zeebe().flat_map(|(_, zeebe)| {
            let oauth = zeebe.oauth.iter();
            let oauth = oauth.flat_map(|oauth| oauth.ca.iter().chain([&oauth.secret]));
            zeebe.ca.iter().chain(oauth)
        });
        [ca, certificate, key].into_iter().flatten().chain(of_zeebe).cloned().collect()
    }

    /// The clusters of Zeebe by name; one without a name, `[zeebe]`, is called zeebe.
    pub fn zeebe(&self) -> impl Iterator<Item = (&ClusterName, &ZeebeSettings)> {
        self.zeebe.0.iter()
    }
}

/// Which file is read as settings: the one that was named, else the first that is there.
#[must_use]
pub fn file(named: Option<&Path>, places: &Places) -> Option<PathBuf> {
    let first = || places.paths().into_iter().find(|path| path.exists());
    named.map(Path::to_owned).or_else(first)
}

/// What the same file says of the controller alone, whatever else is wrong in it: who ends faults must not
/// have to spell a name right first.
///
/// # Errors
/// The file cannot be read, is no TOML, or its `[controller]` is wrong.
pub fn controller_alone(
    named: Option<&Path>,
    places: &Places,
) -> Result<ControllerSettings, SettingsError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Alone {
        #[serde(deserialize_with = "value::table")]
        controller: ControllerSettings,
    }
    let Some((path, text)) = find(named, places)? else { return Ok(ControllerSettings::default()) };
    let Alone { mut controller } = parse(&path, &text)?;
    controller.anchor(base(&path));
    Ok(controller)
}

/// The file that was named, else the first that is there.
fn find(named: Option<&Path>, places: &Places) -> Result<Option<(PathBuf, String)>, SettingsError> {
    if let Some(path) = named {
        return Ok(Some((path.to_owned(), read(path)?)));
    }
    for path in places.paths() {
        match read(&path) {
            Err(SettingsError::Read { error, .. })
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            text => return Ok(Some((path, text?))),
        }
    }
    Ok(None)
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, SettingsError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let (line, column) = position(text, at);
        let message = plain(error.message());
        SettingsError::Invalid { path: path.to_owned(), line, column, message }
    })
}

/// Where relative paths in a file begin.
fn base(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn read(path: &Path) -> Result<String, SettingsError> {
    let fail = |error| SettingsError::Read { path: path.to_owned(), error };
    let bytes = input::read(path, LONGEST).map_err(fail)?;
    if bytes.len() > LONGEST {
        return Err(SettingsError::TooLong(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| SettingsError::NotText(path.to_owned()))
}

/// Line and column of a byte.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// A message in one line that does not move the cursor.
fn plain(message: &str) -> String {
    let mut shown: String = message
        .trim_end()
        .chars()
        .take(SHOWN)
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_debug());
            let kept = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect();
    if message.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        let cause = match &error {
            SettingsError::Read { .. } => Cause::Other,
            SettingsError::TooLong(_)
            | SettingsError::NotText(_)
            | SettingsError::Invalid { .. }
            | SettingsError::Missing { .. }
            | SettingsError::Contradiction { .. } => Cause::WrongUsage,
        };
        Self::caused(cause, "cannot use the settings", error)
    }
}
