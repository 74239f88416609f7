//! `[etcd]` and `[etcd.NAME]`: where clusters of etcd are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fault::{Legible, NodeName};
use link::{HostPort, HostPortError};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::value::{Several, anchor};

/// What a cluster is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(NodeName);

impl ClusterName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `http://HOST:PORT` or `https://HOST:PORT`. Printing and parsing are inverse to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EtcdUrl {
    /// In the clear.
    Http(HostPort),
    /// Over TLS.
    Https(HostPort),
}

/// A text is no client URL. The text is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EtcdUrlError {
    /// Neither scheme.
    #[error("write a client URL without user and path, such as http://10.0.0.1:2379")]
    Form,
    /// What follows the scheme.
    #[error(transparent)]
    Address(#[from] HostPortError),
}

impl FromStr for EtcdUrl {
    type Err = EtcdUrlError;

    fn from_str(text: &str) -> Result<Self, EtcdUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(EtcdUrlError::Form)?;
        let address = rest.strip_suffix('/').unwrap_or(rest);
        match scheme {
            "http" => Ok(Self::Http(address.parse()?)),
            "https" => Ok(Self::Https(address.parse()?)),
            _ => Err(EtcdUrlError::Form),
        }
    }
}

impl fmt::Display for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(address) => write!(f, "http://{address}"),
            Self::Https(address) => write!(f, "https://{address}"),
        }
    }
}

/// Where a cluster is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// Client URLs of some or all members, at least one.
    pub endpoints: Vec<EtcdUrl>,
    /// The authority that signed the members' certificates; given if any URL is https.
    pub ca: Option<PathBuf>,
    /// The own certificate and its key, for members that ask for one.
    pub own: Option<OwnFiles>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// All clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clusters(pub(super) BTreeMap<ClusterName, EtcdSettings>);

impl Clusters {
    pub(super) fn anchor(&mut self, base: &Path) {
        for cluster in self.0.values_mut() {
            anchor(&mut cluster.ca, base);
            if let Some(own) = &mut cluster.own {
                own.certificate = base.join(&own.certificate);
                own.key = base.join(&own.key);
            }
        }
    }
}

/// A cluster as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(deserialize_with = "urls")]
    endpoints: Vec<EtcdUrl>,
    #[serde(deserialize_with = "super::value::path")]
    ca: Option<PathBuf>,
    #[serde(deserialize_with = "super::value::path")]
    certificate: Option<PathBuf>,
    #[serde(deserialize_with = "super::value::path")]
    key: Option<PathBuf>,
}

/// A cluster's table.
#[derive(Deserialize)]
#[serde(transparent)]
struct WrittenTable(#[serde(deserialize_with = "super::value::table")] Written);

/// A path in a table that is read key by key.
#[derive(Deserialize)]
#[serde(transparent)]
struct WrittenPath(#[serde(deserialize_with = "super::value::path")] Option<PathBuf>);

fn several() -> Several<EtcdUrl> {
    Several { begin: String::new(), expected: "a client URL in quotes", kind: PhantomData }
}

fn urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EtcdUrl>, D::Error> {
    deserializer.deserialize_any(several())
}

impl Written {
    /// What is written, where it makes sense together; `name` stands before what does not.
    fn check(self, name: &str) -> Result<EtcdSettings, String> {
        if self.endpoints.is_empty() {
            return Err(format!("{name}: endpoints are missing"));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.endpoints.iter().find(|url| !seen.insert(url.to_string())) {
            return Err(format!("{name}: the endpoint {twice} stands here twice"));
        }
        let https = self.endpoints.iter().any(|url| matches!(url, EtcdUrl::Https(_)));
        if https && self.ca.is_none() {
            return Err(format!("{name}: https endpoints need the ca that they are judged by"));
        }
        let own = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some(OwnFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err(format!("{name}: a certificate needs its key")),
            (None, Some(_)) => return Err(format!("{name}: a key needs its certificate")),
        };
        Ok(EtcdSettings { endpoints: self.endpoints, ca: self.ca, own })
    }
}

impl<'de> Deserialize<'de> for Clusters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = Clusters;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of a cluster, or of clusters by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Clusters, A::Error> {
                let mut clusters = BTreeMap::new();
                let mut unnamed: Option<Written> = None;
                while let Some(key) = map.next_key::<String>()? {
                    let of_unnamed = &mut unnamed;
                    match key.as_str() {
                        "endpoints" => {
                            let urls = map.next_value_seed(several())?;
                            of_unnamed.get_or_insert_default().endpoints = urls;
                        }
                        "ca" => {
                            let WrittenPath(path) = map.next_value()?;
                            of_unnamed.get_or_insert_default().ca = path;
                        }
                        "certificate" => {
                            let WrittenPath(path) = map.next_value()?;
                            of_unnamed.get_or_insert_default().certificate = path;
                        }
                        "key" => {
                            let WrittenPath(path) = map.next_value()?;
                            of_unnamed.get_or_insert_default().key = path;
                        }
                        name => {
                            let WrittenTable(written) = map.next_value()?;
                            let node = NodeName::new(name).ok_or_else(|| {
                                A::Error::custom(format!(
                                    "{}: a cluster's name has letters, digits, '.', '_' and '-'",
                                    Legible(name)
                                ))
                            })?;
                            let cluster = written.check(name).map_err(A::Error::custom)?;
                            clusters.insert(ClusterName(node), cluster);
                        }
                    }
                }
                let Some(written) = unnamed else { return Ok(Clusters(clusters)) };
                if !clusters.is_empty() {
                    let reason = "write [etcd] for one cluster, or [etcd.NAME] for each";
                    return Err(A::Error::custom(reason));
                }
                let node = NodeName::new("etcd").ok_or_else(|| A::Error::custom("etcd"))?;
                let cluster = written.check("etcd").map_err(A::Error::custom)?;
                Ok(Clusters(BTreeMap::from([(ClusterName(node), cluster)])))
            }
        }

        deserializer.deserialize_map(Table)
    }
}
