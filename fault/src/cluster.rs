//! Whose members play a role.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::{ClusterName, KubernetesNamespace};

/// `NAME[/INSTANCE]`: a cluster of the settings, or the one that is in a namespace of Kubernetes, and which of several
/// there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterPath {
    /// What the settings call it, or its namespace.
    pub name: ClusterName,
    /// Boxed, as selectors are part of errors, and seldom have one.
    instance: Option<Box<ClusterName>>,
}

/// A text names no cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write NAMESPACE or NAMESPACE/INSTANCE, of letters, digits, '.', '_' and '-', and no word of a role"
)]
pub struct ClusterPathError;

impl ClusterPath {
    /// The cluster in the namespace of this name, and which of several there.
    #[must_use]
    pub fn new(name: ClusterName, instance: Option<ClusterName>) -> Self {
        Self { name, instance: instance.map(Box::new) }
    }

    /// Which installation in that namespace; `None` for the only one. A cluster of the settings has none.
    #[must_use]
    pub fn instance(&self) -> Option<&ClusterName> {
        self.instance.as_deref()
    }

    /// The cluster that the settings call so, or that is alone in the namespace of this name.
    #[must_use]
    pub const fn of(name: ClusterName) -> Self {
        Self { name, instance: None }
    }

    /// The namespace that may be meant; `None` where no namespace is called so.
    #[must_use]
    pub fn namespace(&self) -> Option<KubernetesNamespace> {
        self.name.as_str().parse().ok()
    }

    /// Takes what stands before a role, and the role; no cluster where the text begins with the role. Of a cluster
    /// that cannot be named so nothing is taken, so that whoever reads the role sees it.
    pub(crate) fn before(text: &str) -> (Option<Self>, &str) {
        let Some((name, rest)) = named(text) else { return (None, text) };
        match named(rest) {
            Some((instance, role)) => (Some(Self::new(name, Some(instance))), role),
            None => (Some(Self::of(name)), rest),
        }
    }
}

/// The name before the first slash, and what follows.
fn named(text: &str) -> Option<(ClusterName, &str)> {
    let (name, rest) = text.split_once('/')?;
    Some((ClusterName::new(name)?, rest))
}

impl FromStr for ClusterPath {
    type Err = ClusterPathError;

    fn from_str(text: &str) -> Result<Self, ClusterPathError> {
        let name = |name: &str| ClusterName::new(name).ok_or(ClusterPathError);
        match text.split_once('/') {
            Some((first, rest)) => Ok(Self::new(name(first)?, Some(name(rest)?))),
            None => Ok(Self::of(name(text)?)),
        }
    }
}

impl fmt::Display for ClusterPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instance {
            Some(instance) => write!(f, "{}/{instance}", self.name),
            None => self.name.fmt(f),
        }
    }
}

impl Serialize for ClusterPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_name_and_may_say_which_of_several() {
        for text in ["camunda", "camunda/blue", "A.b_c-1/x"] {
            assert_eq!(
                text.parse::<ClusterPath>().map(|path| path.to_string()),
                Ok(text.to_owned())
            );
        }
        for wrong in ["", "/", "a/", "/a", "a/b/c", "a b", "leader", "a/broker", "partition/1"] {
            assert_eq!(wrong.parse::<ClusterPath>(), Err(ClusterPathError), "{wrong}");
        }
        let namespace = |text: &str| text.parse::<ClusterPath>().unwrap().namespace();
        assert_eq!(namespace("prod/x"), "prod".parse().ok());
        assert_eq!(namespace("Prod"), None);
    }
}
