//! Which namespaces let faults in. Pure.
//!
//! The policy of the API server refuses objects about others; what it did not see (its binding is gone, the label was
//! taken away since) is refused here.

use std::collections::BTreeSet;

use cluster::NamespaceObject;

/// The label of a namespace whose pods may be hit by objects.
pub(crate) const LABEL: &str = "schism.dev/faults";

/// And its value.
pub(crate) const ALLOWED: &str = "allowed";

/// The namespaces that have the label, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Consent {
    allowed: BTreeSet<String>,
    is_known: bool,
}

/// Why nothing is put in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Withheld {
    /// Nobody has told of namespaces yet.
    #[error("which namespaces let faults in is not known yet")]
    Unknown,
    /// One has no label.
    #[error("namespace {0} does not let faults in")]
    Namespace(String),
    /// A cluster that may be anywhere.
    #[error(
        "{0} is a cluster of the controller's settings, wherever that is, and not the namespace's own"
    )]
    Elsewhere(String),
}

impl Withheld {
    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Unknown => String::new(),
            Self::Elsewhere(_) => "a ClusterFault or a ClusterExperiment may name it".to_owned(),
            Self::Namespace(name) => {
                format!(
                    "whoever it belongs to may: kubectl label namespace {name} {LABEL}={ALLOWED}"
                )
            }
        }
    }
}

impl Consent {
    /// All that there are.
    pub(crate) fn listed(&mut self, namespaces: &[NamespaceObject]) {
        self.allowed.clear();
        self.is_known = true;
        namespaces.iter().for_each(|namespace| self.applied(namespace));
    }

    /// One that is new, or has changed.
    pub(crate) fn applied(&mut self, namespace: &NamespaceObject) {
        let metadata = &namespace.metadata;
        if metadata.labels.get(LABEL).is_some_and(|value| value == ALLOWED) {
            self.allowed.insert(metadata.name.clone());
        } else {
            self.allowed.remove(&metadata.name);
        }
    }

    /// One that is gone.
    pub(crate) fn deleted(&mut self, namespace: &NamespaceObject) {
        self.allowed.remove(&namespace.metadata.name);
    }

    /// Whether anybody has told of namespaces.
    pub(crate) const fn is_known(&self) -> bool {
        self.is_known
    }

    /// Makes sure that all of these let faults in.
    ///
    /// # Errors
    /// One does not, or that is not known.
    pub(crate) fn check(&self, namespaces: &[String]) -> Result<(), Withheld> {
        match namespaces.iter().find(|name| !self.allowed.contains(*name)) {
            None => Ok(()),
            Some(_) if !self.is_known => Err(Withheld::Unknown),
            Some(name) => Err(Withheld::Namespace(name.clone())),
        }
    }
}
