//! `[etcd]` and `[etcd.NAME]`: where clusters of etcd are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use fault::{ClusterName, Legible};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::value::Several;
use crate::provider::etcd::{Credentials, Endpoint, OwnCertificate};

/// Where a cluster is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// Client URLs of some or all members, at least one.
    pub endpoints: Vec<Endpoint>,
    /// How members over https are judged, and what they are shown.
    pub credentials: Option<Credentials>,
}

/// All clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clusters(pub(super) BTreeMap<ClusterName, EtcdSettings>);

impl Clusters {
    pub(super) fn anchor(&mut self, base: &Path) {
        for cluster in self.0.values_mut() {
            let Some(credentials) = &mut cluster.credentials else { continue };
            credentials.authority = base.join(&credentials.authority);
            if let Some(own) = &mut credentials.own {
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
    endpoints: Vec<Endpoint>,
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

fn several() -> Several<Endpoint> {
    Several { begin: String::new(), expected: "a client URL in quotes", kind: PhantomData }
}

fn urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Endpoint>, D::Error> {
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
        let https = self.endpoints.iter().any(Endpoint::is_tls);
        if https && self.ca.is_none() {
            return Err(format!("{name}: https endpoints need the ca that they are judged by"));
        }
        let own = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some(OwnCertificate { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err(format!("{name}: a certificate needs its key")),
            (None, Some(_)) => return Err(format!("{name}: a key needs its certificate")),
        };
        let credentials = match (self.ca, own) {
            (Some(authority), own) => Some(Credentials { authority, own }),
            (None, None) => None,
            (None, Some(_)) => return Err(format!("{name}: a certificate needs the ca beside it")),
        };
        Ok(EtcdSettings { endpoints: self.endpoints, credentials })
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
                            let called = ClusterName::new(name).ok_or_else(|| {
                                A::Error::custom(format!(
                                    "{}: a cluster's name has letters, digits, '.', '_' and '-', \
                                     and is no word of a role",
                                    Legible(name)
                                ))
                            })?;
                            let cluster = written.check(name).map_err(A::Error::custom)?;
                            clusters.insert(called, cluster);
                        }
                    }
                }
                let Some(written) = unnamed else { return Ok(Clusters(clusters)) };
                if !clusters.is_empty() {
                    let reason = "write [etcd] for one cluster, or [etcd.NAME] for each";
                    return Err(A::Error::custom(reason));
                }
                let name = ClusterName::new("etcd").ok_or_else(|| A::Error::custom("etcd"))?;
                let cluster = written.check(name.as_str()).map_err(A::Error::custom)?;
                Ok(Clusters(BTreeMap::from([(name, cluster)])))
            }
        }

        deserializer.deserialize_map(Table)
    }
}
