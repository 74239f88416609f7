//! What all objects have in common, and where they are.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Name, Namespace};

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its group; empty for the core.
    pub group: &'static str,
    /// The version of the group.
    pub version: &'static str,
    /// What one of them is: `Pod`.
    pub kind: &'static str,
    /// What many of them are, which is part of their path: `pods`.
    pub plural: &'static str,
}

/// An object, as far as its fields are used.
pub trait Resource: DeserializeOwned + Send + 'static {
    /// Of which kind it is.
    const KIND: Kind;

    /// What it has in common with all others.
    fn metadata(&self) -> &Metadata;
}

/// Where objects are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Within {
    /// Everywhere: objects that have no namespace, or those of all namespaces.
    Cluster,
    /// In one namespace.
    Namespace(Namespace),
}

/// What all objects have in common. What is empty is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Its name, of which there is one in its namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its namespace; `None` for an object of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Which one it is: another object that gets its name has another one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Which state of it this is; means nothing but to the API server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// How often its specification was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Since when it is there (RFC 3339, whole seconds of UTC): an older one stands before a younger one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// What it is found by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What is told of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// When it was deleted, where it is on its way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
    /// Who has to be done with it before it goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    /// With whom it goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<Owner>,
}

/// An object with which another one goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Owner {
    /// Group and version of its kind.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Which one it is.
    pub uid: String,
    /// Whether it is the one that makes and unmakes the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
}

impl Metadata {
    /// The one that makes and unmakes it.
    #[must_use]
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }
}

impl Kind {
    /// Group and version, as objects say them.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The path of one object, or of all of them.
    pub(crate) fn path(&self, within: &Within, name: Option<&Name>) -> String {
        let root = match self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        let place = match within {
            Within::Cluster => String::new(),
            Within::Namespace(namespace) => format!("/namespaces/{namespace}"),
        };
        let name = name.map_or(String::new(), |name| format!("/{name}"));
        format!("{root}{place}/{}{name}", self.plural)
    }
}

impl fmt::Display for Within {
    /// What follows the name of what is meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => Ok(()),
            Self::Namespace(namespace) => write!(f, " of namespace {namespace}"),
        }
    }
}

/// What is safe in a query is left, everything else is encoded (RFC 3986 2.3).
pub(crate) fn encode(text: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let pods = Kind { group: "", version: "v1", kind: "Pod", plural: "pods" };
        let sets =
            Kind { group: "apps", version: "v1", kind: "StatefulSet", plural: "statefulsets" };
        let prod = Within::Namespace("prod".parse().unwrap());
        let name = "web-0".parse().unwrap();
        assert_eq!(pods.path(&Within::Cluster, None), "/api/v1/pods");
        assert_eq!(pods.path(&prod, Some(&name)), "/api/v1/namespaces/prod/pods/web-0");
        assert_eq!(sets.path(&prod, None), "/apis/apps/v1/namespaces/prod/statefulsets");
        assert_eq!((pods.api_version(), sets.api_version()), ("v1".into(), "apps/v1".into()));
        assert_eq!(encode("app in (a,b),!x/y"), "app%20in%20%28a%2Cb%29%2C%21x%2Fy");
    }
}
