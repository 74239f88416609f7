//! Pods of a Kubernetes cluster: its API server says which there are, where they are, and how.

mod asking;
mod budget;
mod catalogue;
mod deeds;
mod file;
mod group;
mod guard;
mod inmates;
mod likeness;
mod listing;
mod mark;
#[cfg(test)]
pub(crate) mod mock;
mod roll;
mod selection;
mod service;
#[cfg(test)]
mod tests;
mod watching;

use cluster::{ApiError, Client, KubeconfigError, Programs};

pub use self::{
    asking::PodsError,
    budget::{BudgetError, Disruptions},
    deeds::{Cordoned, DeedError, Inmates, Undone},
    file::FileError,
    group::{GroupsError, Home, Homes, Housed},
    guard::{ControlPlane, Guard, Protected},
    listing::Purpose,
    mark::{CORDON, Mark},
    selection::{Excluded, Found, Located, PodName, Unusable},
    service::Led,
    watching::{Attention, Expected, Fact, Presence, Stirred},
};
use crate::settings::{Access, Groups, KubernetesSettings};
use catalogue::Catalogue;

/// A cluster that can be asked.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    client: Client,
    guard: Guard,
    groups: Groups,
    /// What is told of it without being asked for; `None` where nothing is.
    catalogue: Option<Catalogue>,
}

/// Why a cluster cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Who or where is not known.
    #[error(transparent)]
    Config(#[from] cluster::ConfigError),
    /// The kubeconfig cannot be read.
    #[error("cannot read the kubeconfig {path}: {source}")]
    Read {
        /// Its path.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no kubeconfig.
    #[error("the kubeconfig {path}: {error}")]
    File {
        /// Its path.
        path: std::path::PathBuf,
        /// Why not.
        error: FileError,
    },
    /// It leads to no API server.
    #[error("{path}: {error}")]
    Kubeconfig {
        /// Its path.
        path: std::path::PathBuf,
        /// Why not.
        error: KubeconfigError,
    },
}

/// Who is asked in a cluster that is reached like this, and as whom. Reads files; asks nobody yet, and runs no program.
///
/// # Errors
/// Files that can't be read or make no sense, or no pod to be in.
pub fn config(access: &Access) -> Result<cluster::Config, ConnectError> {
    config_with(access, Programs::Refused)
}

/// The same, where it is said whether a kubeconfig may name a program for a login.
///
/// # Errors
/// As there.
pub fn config_with(access: &Access, programs: Programs) -> Result<cluster::Config, ConnectError> {
    let (path, context) = match access {
        Access::InCluster => {
            return Ok(cluster::Config::in_cluster(|name| std::env::var(name).ok())?);
        }
        Access::Kubeconfig { path, context } => (path, context),
    };
    let failed = |source| ConnectError::Read { path: path.clone(), source };
    let bytes = crate::input::read(path, file::LONGEST).map_err(failed)?;
    let file = file::read(&bytes);
    let file = file.map_err(|error| ConnectError::File { path: path.clone(), error })?;
    let directory = path.parent().unwrap_or(std::path::Path::new(""));
    file.config_with(context.as_deref(), directory, programs)
        .map_err(|error| ConnectError::Kubeconfig { path: path.clone(), error })
}

impl Kubernetes {
    /// A cluster as the settings have it. Reads files; asks nobody yet.
    ///
    /// # Errors
    /// Files that can't be read or make no sense, or no pod to be in.
    pub fn new(settings: &KubernetesSettings) -> Result<Self, ConnectError> {
        let config = config(&settings.access)?;
        let own = match (&settings.namespace, &settings.access) {
            (Some(named), _) => Some(named.to_string()),
            (None, Access::InCluster) => config.namespace.as_ref().map(ToString::to_string),
            (None, Access::Kubeconfig { .. }) => None,
        };
        let guard = Guard {
            own,
            allowed: settings.namespaces.clone(),
            control_plane: settings.control_plane,
        };
        let (client, groups) = (Client::new(config), settings.groups.clone());
        Ok(Self { client, guard, groups, catalogue: None })
    }

    /// A cluster by a client of it.
    #[must_use]
    pub fn of(client: Client, guard: Guard) -> Self {
        Self { client, guard, groups: Groups::default(), catalogue: None }
    }

    /// The same, where pods and nodes are watched from now on, by tasks of this runtime, until the last clone is gone:
    /// what they tell is not asked for.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.catalogue = Some(Catalogue::open(&self.client));
        self
    }

    /// Whether what is watched is how things are, but for the last moments.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.current().is_some()
    }

    /// What is told, while that is how things are.
    fn current(&self) -> Option<&Catalogue> {
        self.catalogue.as_ref().filter(|catalogue| catalogue.is_current())
    }

    /// The same, where groups are found like this.
    #[must_use]
    pub fn finding(mut self, groups: Groups) -> Self {
        self.groups = groups;
        self
    }

    /// The namespace in which this controller is installed; empty if it is in none.
    pub(crate) fn installation(&self) -> &str {
        self.guard.own.as_deref().unwrap_or_default()
    }

    /// Asks it directly.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes sure that it answers.
    ///
    /// # Errors
    /// It does not, or will not tell of pods.
    pub async fn probe(&self) -> Result<(), ApiError> {
        let one = self.client.clone().in_pages_of(1);
        let of_one =
            cluster::Selection { labels: None, fields: Some("metadata.name=-".to_owned()) };
        one.list::<cluster::Pod>(&cluster::Within::Cluster, &of_one).await.map(drop)
    }
}
