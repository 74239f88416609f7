//! `[kubernetes]`: the cluster in which agents are, and what of it may be hit.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fault::{KubernetesNamespace, ObjectName};
use serde::Deserialize;
use serde::de::Deserializer;

use super::SettingsError;
use super::groups::{Groups, WrittenEtcd, WrittenZeebe};
use super::value::{Several, anchor, path, table, text};
use crate::provider::kubernetes::ControlPlane;

/// The word for the cluster of the own pod.
const IN_CLUSTER: &str = "in-cluster";

/// How a cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// As a pod of it.
    InCluster,
    /// By a kubeconfig.
    Kubeconfig {
        /// Its file.
        path: PathBuf,
        /// Which of its contexts; `None` for the current one.
        context: Option<String>,
    },
}

impl FromStr for Access {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            IN_CLUSTER => Self::InCluster,
            path => Self::Kubeconfig { path: path.into(), context: None },
        })
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InCluster => f.write_str(IN_CLUSTER),
            Self::Kubeconfig { path, .. } => path.display().fmt(f),
        }
    }
}

/// The cluster in which agents are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// How it is reached.
    pub access: Access,
    /// The namespaces whose pods may be hit; `None` for all but the cluster's own.
    pub namespaces: Option<BTreeSet<KubernetesNamespace>>,
    /// Whether pods on nodes of the control plane may be.
    pub control_plane: ControlPlane,
    /// The namespace in which this controller is installed; `None` for that of its pod.
    pub namespace: Option<KubernetesNamespace>,
    /// The service account by whose tokens agents come; `None` where they come by certificates.
    pub agents: Option<ObjectName>,
    /// Where the store is.
    pub store: Keeping,
    /// How groups are found in a namespace.
    pub groups: Groups,
}

/// Where a controller keeps what it has to know after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// On its disk.
    Disk,
    /// In the cluster, where the next leader finds it.
    Cluster,
}

/// The service account of agents, where it is not said.
const AGENTS: &str = "schism-agent";

/// `[kubernetes]`, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Written {
    in_cluster: Option<bool>,
    #[serde(deserialize_with = "path")]
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    #[serde(deserialize_with = "namespaces")]
    namespaces: Vec<KubernetesNamespace>,
    control_plane: Option<bool>,
    #[serde(deserialize_with = "text")]
    namespace: Option<KubernetesNamespace>,
    agents_by_token: Option<bool>,
    #[serde(deserialize_with = "text")]
    agent_account: Option<ObjectName>,
    store_in_cluster: Option<bool>,
    #[serde(deserialize_with = "table")]
    etcd: WrittenEtcd,
    #[serde(deserialize_with = "table")]
    zeebe: WrittenZeebe,
}

fn namespaces<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<KubernetesNamespace>, D::Error> {
    deserializer.deserialize_any(Several {
        begin: String::new(),
        expected: "a namespace in quotes",
        kind: PhantomData,
    })
}

impl Written {
    pub(super) fn anchor(&mut self, base: &Path) {
        anchor(&mut self.kubeconfig, base);
        self.etcd.anchor(base);
    }

    /// The same, where what was typed says how the cluster is reached.
    #[must_use]
    pub fn with(mut self, typed: Option<Access>) -> Self {
        match typed {
            None => {}
            Some(Access::InCluster) => {
                (self.in_cluster, self.kubeconfig, self.context) = (Some(true), None, None);
            }
            Some(Access::Kubeconfig { path, context }) => {
                (self.in_cluster, self.kubeconfig, self.context) = (None, Some(path), context);
            }
        }
        self
    }

    /// The same, where agents come by token if that was typed.
    #[must_use]
    pub fn with_tokens(mut self, typed: Option<bool>) -> Self {
        self.agents_by_token = typed.or(self.agents_by_token);
        self
    }

    /// The same, where the store is in the cluster if that was typed.
    #[must_use]
    pub fn with_store(mut self, typed: Option<bool>) -> Self {
        self.store_in_cluster = typed.or(self.store_in_cluster);
        self
    }

    /// The cluster that is meant; `None` if none is.
    ///
    /// # Errors
    /// It is said twice, or not at all, how it is reached.
    pub fn complete(self) -> Result<Option<KubernetesSettings>, SettingsError> {
        let is_bare = self.namespaces.is_empty()
            && self.control_plane.is_none()
            && self.namespace.is_none()
            && self.agents_by_token.is_none()
            && self.agent_account.is_none()
            && self.store_in_cluster.is_none()
            && self.etcd == WrittenEtcd::default()
            && self.zeebe == WrittenZeebe::default();
        let agents = match (self.agents_by_token, self.agent_account) {
            (Some(true), Some(account)) => Some(account),
            (Some(true), None) => AGENTS.parse().ok(),
            (Some(false) | None, None) => None,
            (Some(false) | None, Some(_)) => {
                let reason =
                    "an account of agents is for agents that come by token: say agents-by-token";
                return Err(SettingsError::Contradiction {
                    key: "kubernetes.agent-account",
                    reason,
                });
            }
        };
        let access = match (self.in_cluster, self.kubeconfig, self.context) {
            (Some(true), None, None) => Access::InCluster,
            (Some(true), ..) => {
                let reason = "a pod needs neither a kubeconfig nor a context: say either";
                return Err(SettingsError::Contradiction { key: "kubernetes.in-cluster", reason });
            }
            (_, Some(path), context) => Access::Kubeconfig { path, context },
            (_, None, Some(_)) => {
                let reason = "a context is one of a kubeconfig";
                return Err(SettingsError::Missing { key: "kubernetes.kubeconfig", reason });
            }
            (_, None, None) if is_bare => return Ok(None),
            (_, None, None) => {
                let reason = "how the cluster is reached: in-cluster = true, or a kubeconfig";
                return Err(SettingsError::Missing { key: "kubernetes.kubeconfig", reason });
            }
        };
        let namespaces: BTreeSet<KubernetesNamespace> = self.namespaces.into_iter().collect();
        Ok(Some(KubernetesSettings {
            access,
            namespaces: (!namespaces.is_empty()).then_some(namespaces),
            control_plane: match self.control_plane {
                Some(true) => ControlPlane::Allowed,
                Some(false) | None => ControlPlane::Protected,
            },
            namespace: self.namespace,
            agents,
            store: match self.store_in_cluster {
                Some(true) => Keeping::Cluster,
                Some(false) | None => Keeping::Disk,
            },
            groups: Groups { etcd: self.etcd.complete()?, zeebe: self.zeebe.complete() },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn read(text: &str) -> Result<Option<KubernetesSettings>, SettingsError> {
        let text = format!("[kubernetes]\n{text}");
        let settings = Settings::parse(Path::new("/etc/schism/schism.toml"), &text)?;
        settings.kubernetes.complete()
    }

    #[test]
    fn a_cluster_is_reached_from_within_or_by_a_kubeconfig() {
        assert_eq!(read("").unwrap(), None);
        let inside = read("in-cluster = true\nnamespaces = 'camunda'").unwrap().unwrap();
        assert_eq!(inside.access, Access::InCluster);
        assert_eq!(inside.namespaces.unwrap().len(), 1);
        let text = "kubeconfig = 'admin.conf'\ncontext = 'prod'\ncontrol-plane = true\n\
                    namespaces = ['a', 'kube-system']";
        let outside = read(text).unwrap().unwrap();
        let path = PathBuf::from("/etc/schism/admin.conf");
        let context = Some("prod".to_owned());
        assert_eq!(outside.access, Access::Kubeconfig { path, context });
        assert_eq!(outside.control_plane, ControlPlane::Allowed);
        // What is typed says it anew, and what may be hit stays.
        let settings = Settings::parse(Path::new("/x.toml"), &format!("[kubernetes]\n{text}"));
        let typed = settings.unwrap().kubernetes.with(Some(Access::InCluster)).complete();
        let typed = typed.unwrap().unwrap();
        assert_eq!((typed.access, typed.namespaces.unwrap().len()), (Access::InCluster, 2));
    }

    #[test]
    fn what_is_said_twice_or_not_at_all_is_refused() {
        let table = [
            ("in-cluster = true\nkubeconfig = 'x'", "kubernetes.in-cluster"),
            ("in-cluster = true\ncontext = 'x'", "kubernetes.in-cluster"),
            ("context = 'x'", "kubernetes.kubeconfig is missing"),
            ("namespaces = ['a']", "kubernetes.kubeconfig is missing"),
            ("etcd = { port = 1 }", "kubernetes.kubeconfig is missing"),
            ("namespaces = ['A']", "a namespace of Kubernetes has"),
            ("namespaces = []", "an empty list names nothing"),
            ("kubeconfg = 'x'", "unknown field"),
            ("in-cluster = 1", "expected a boolean"),
            ("agents-by-token = true", "kubernetes.kubeconfig is missing"),
            ("in-cluster = true\nagent-account = 'a'", "kubernetes.agent-account"),
            ("in-cluster = true\nnamespace = 'A'", "a namespace of Kubernetes has"),
        ];
        for (text, said) in table {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
