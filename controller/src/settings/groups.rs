//! `[kubernetes.etcd]` and `[kubernetes.zeebe]`: how groups are found in a namespace, and how their pods are asked.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use fault::LabelSelector;
use link::ServerName;
use serde::Deserialize;
use serde::de::Deserializer;

use super::SettingsError;
use super::value::{Several, anchor, host, path};
use crate::provider::etcd::{Credentials, OwnCertificate};

/// By what pods of etcd are known: charts say so.
const ETCD: [&str; 1] = ["app.kubernetes.io/name=etcd"];

/// By what brokers of Zeebe are: the chart of Camunda, before 8.8 and after.
const BROKERS: [&str; 2] = [
    "app.kubernetes.io/component=zeebe-broker",
    "app.kubernetes.io/component in (core,orchestration),app.kubernetes.io/name=camunda-platform",
];

/// And its gateways that stand alone.
const GATEWAYS: [&str; 1] = ["app.kubernetes.io/component=zeebe-gateway"];

/// How groups are found in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Those of etcd.
    pub etcd: EtcdPods,
    /// Those of Zeebe.
    pub zeebe: ZeebePods,
}

/// How the pods of an etcd are found and asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdPods {
    /// Pods that one of these selects.
    pub labels: Vec<LabelSelector>,
    /// The port for clients.
    pub port: u16,
    /// How they are judged over TLS; `None` where they are asked in the clear.
    pub credentials: Option<Credentials>,
    /// For which name their certificates have to be; `None` for that of each pod.
    pub server_name: Option<String>,
}

/// How the pods of a Zeebe are found and asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZeebePods {
    /// Brokers: pods that one of these selects.
    pub brokers: Vec<LabelSelector>,
    /// Gateways that stand alone; where no pod is one, each broker has its own.
    pub gateways: Vec<LabelSelector>,
    /// The port of gateways for clients.
    pub gateway_port: u16,
    /// The port at which brokers are managed.
    pub management_port: u16,
}

impl Default for EtcdPods {
    fn default() -> Self {
        Self { labels: selectors(&ETCD), port: 2379, credentials: None, server_name: None }
    }
}

impl Default for ZeebePods {
    fn default() -> Self {
        let (brokers, gateways) = (selectors(&BROKERS), selectors(&GATEWAYS));
        Self { brokers, gateways, gateway_port: 26500, management_port: 9600 }
    }
}

fn selectors(texts: &[&str]) -> Vec<LabelSelector> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// `[kubernetes.etcd]`, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WrittenEtcd {
    #[serde(deserialize_with = "labels")]
    labels: Vec<LabelSelector>,
    port: Option<std::num::NonZeroU16>,
    #[serde(deserialize_with = "path")]
    ca: Option<PathBuf>,
    #[serde(deserialize_with = "path")]
    certificate: Option<PathBuf>,
    #[serde(deserialize_with = "path")]
    key: Option<PathBuf>,
    #[serde(deserialize_with = "host")]
    server_name: Option<ServerName<'static>>,
}

/// `[kubernetes.zeebe]`, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WrittenZeebe {
    #[serde(deserialize_with = "labels")]
    brokers: Vec<LabelSelector>,
    #[serde(deserialize_with = "labels")]
    gateways: Vec<LabelSelector>,
    gateway_port: Option<std::num::NonZeroU16>,
    management_port: Option<std::num::NonZeroU16>,
}

fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LabelSelector>, D::Error> {
    deserializer.deserialize_any(Several {
        begin: String::new(),
        expected: "a label selector in quotes",
        kind: PhantomData,
    })
}

/// What is written, or else what is usual.
fn or_usual(written: Vec<LabelSelector>, usual: Vec<LabelSelector>) -> Vec<LabelSelector> {
    if written.is_empty() { usual } else { written }
}

impl WrittenEtcd {
    pub(super) fn anchor(&mut self, base: &Path) {
        for path in [&mut self.ca, &mut self.certificate, &mut self.key] {
            anchor(path, base);
        }
    }

    pub(super) fn complete(self) -> Result<EtcdPods, SettingsError> {
        let usual = EtcdPods::default();
        let wrong = |key, reason| Err(SettingsError::Contradiction { key, reason });
        let own = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some(OwnCertificate { certificate, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return wrong(
                    "kubernetes.etcd.certificate",
                    "a certificate and its key go together",
                );
            }
        };
        let credentials = match (self.ca, own) {
            (Some(authority), own) => Some(Credentials { authority, own }),
            (None, None) if self.server_name.is_none() => None,
            (None, _) => {
                return wrong("kubernetes.etcd.ca", "over TLS members are judged by a ca: say it");
            }
        };
        Ok(EtcdPods {
            labels: or_usual(self.labels, usual.labels),
            port: self.port.map_or(usual.port, std::num::NonZeroU16::get),
            credentials,
            server_name: self.server_name.map(|name| name.to_str().into_owned()),
        })
    }
}

impl WrittenZeebe {
    pub(super) fn complete(self) -> ZeebePods {
        let usual = ZeebePods::default();
        let port = |port: Option<std::num::NonZeroU16>, usual| {
            port.map_or(usual, std::num::NonZeroU16::get)
        };
        ZeebePods {
            brokers: or_usual(self.brokers, usual.brokers),
            gateways: or_usual(self.gateways, usual.gateways),
            gateway_port: port(self.gateway_port, usual.gateway_port),
            management_port: port(self.management_port, usual.management_port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn read(text: &str) -> Result<Groups, SettingsError> {
        let text = format!("[kubernetes]\nin-cluster = true\n{text}");
        let settings = Settings::parse(Path::new("/etc/schism/schism.toml"), &text)?;
        Ok(settings.kubernetes.complete()?.unwrap().groups)
    }

    #[test]
    fn what_is_usual_need_not_be_said() {
        let usual = read("").unwrap();
        assert_eq!(usual, Groups::default());
        let counts =
            [&usual.etcd.labels, &usual.zeebe.brokers, &usual.zeebe.gateways].map(Vec::len);
        assert_eq!(counts, [ETCD.len(), BROKERS.len(), GATEWAYS.len()], "each is a label selector");
        let said = read(
            "[kubernetes.etcd]\nlabels = 'app=store'\nport = 23790\nca = 'e/ca.pem'\n\
             server-name = 'etcd.prod.svc'\n\
             [kubernetes.zeebe]\nbrokers = ['app=zeebe', 'app in (a,b)']\nmanagement-port = 9601\n",
        );
        let Groups { etcd, zeebe } = said.unwrap();
        assert_eq!((etcd.labels[0].to_string().as_str(), etcd.port), ("app=store", 23790));
        let authority = PathBuf::from("/etc/schism/e/ca.pem");
        assert_eq!(etcd.credentials, Some(Credentials { authority, own: None }));
        assert_eq!(etcd.server_name.as_deref(), Some("etcd.prod.svc"));
        assert_eq!((zeebe.brokers.len(), zeebe.gateways), (2, ZeebePods::default().gateways));
        assert_eq!((zeebe.gateway_port, zeebe.management_port), (26500, 9601));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let table = [
            ("[kubernetes.etcd]\nport = 0", "invalid value"),
            ("[kubernetes.etcd]\nlabels = []", "an empty list names nothing"),
            ("[kubernetes.etcd]\nlabels = '='", "a label"),
            ("[kubernetes.etcd]\nkey = 'k'", "a certificate and its key go together"),
            ("[kubernetes.etcd]\nserver-name = 'x'", "kubernetes.etcd.ca"),
            // Whoever has a pod in a namespace would be shown it.
            ("[kubernetes.zeebe]\nclient-id = 'x'", "unknown field"),
            ("[kubernetes.zeebe]\nbroker = 'x'", "unknown field"),
        ];
        for (text, said) in table {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
