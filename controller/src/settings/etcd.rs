//! `[etcd]` and `[etcd.NAME]`: where clusters of etcd are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use fault::ClusterName;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess};

use super::clusters::{self, Taken};
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

fn several() -> Several<Endpoint> {
    Several { begin: String::new(), expected: "a client URL in quotes", kind: PhantomData }
}

fn urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Endpoint>, D::Error> {
    deserializer.deserialize_any(several())
}

impl clusters::Written for Written {
    type Settings = EtcdSettings;
    const SYSTEM: &'static str = "etcd";

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<Taken, A::Error> {
        match key {
            "endpoints" => self.endpoints = map.next_value_seed(several())?,
            "ca" => self.ca = clusters::path(map)?,
            "certificate" => self.certificate = clusters::path(map)?,
            "key" => self.key = clusters::path(map)?,
            _ => return Ok(Taken::Name),
        }
        Ok(Taken::Key)
    }

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
        clusters::read::<D, Written>(deserializer).map(Self)
    }
}
