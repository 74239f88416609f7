//! `[zeebe]` and `[zeebe.NAME]`: where clusters of Zeebe are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fault::ClusterName;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess};
use zeebe::{GatewayUrl, ManagementUrl, Url};

use super::clusters::{self, Taken};
use super::value::Several;

/// Where a cluster is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZeebeSettings {
    /// Gateways that stand alone, at least one.
    pub gateways: Vec<GatewayUrl>,
    /// Where each broker is managed, in the order of their numbers; none where they are managed at the
    /// usual port of the hosts that gateways name.
    pub brokers: Vec<ManagementUrl>,
    /// A file of PEM of who vouches for them; `None` for those whom the machine trusts.
    pub ca: Option<PathBuf>,
    /// Who we are, where gateways want a token.
    pub oauth: Option<OAuthSettings>,
}

/// Who we are to an authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthSettings {
    /// Where tokens are given out.
    pub server: Url,
    /// Our id.
    pub id: String,
    /// A file that holds our secret.
    pub secret: PathBuf,
    /// For whom the token is to be.
    pub audience: String,
    /// A file of PEM of who vouches for the server; `None` for those whom the machine trusts.
    pub ca: Option<PathBuf>,
}

/// All clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clusters(pub(super) BTreeMap<ClusterName, ZeebeSettings>);

impl Clusters {
    pub(super) fn anchor(&mut self, base: &Path) {
        for cluster in self.0.values_mut() {
            if let Some(ca) = &mut cluster.ca {
                *ca = base.join(&ca);
            }
            if let Some(oauth) = &mut cluster.oauth {
                oauth.secret = base.join(&oauth.secret);
                if let Some(ca) = &mut oauth.ca {
                    *ca = base.join(&ca);
                }
            }
        }
    }
}

/// A cluster as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    #[serde(deserialize_with = "urls")]
    gateways: Vec<GatewayUrl>,
    #[serde(deserialize_with = "urls")]
    brokers: Vec<ManagementUrl>,
    #[serde(deserialize_with = "super::value::path")]
    ca: Option<PathBuf>,
    #[serde(deserialize_with = "super::value::text")]
    oauth_server: Option<Url>,
    #[serde(deserialize_with = "super::value::path")]
    oauth_ca: Option<PathBuf>,
    client_id: Option<String>,
    #[serde(deserialize_with = "super::value::path")]
    client_secret_file: Option<PathBuf>,
    audience: Option<String>,
}

fn several<T>() -> Several<T> {
    Several { begin: String::new(), expected: "a place in quotes", kind: PhantomData }
}

fn urls<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    deserializer.deserialize_any(several())
}

impl clusters::Written for Written {
    type Settings = ZeebeSettings;
    const SYSTEM: &'static str = "zeebe";

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<Taken, A::Error> {
        match key {
            "gateways" => self.gateways = map.next_value_seed(several())?,
            "brokers" => self.brokers = map.next_value_seed(several())?,
            "ca" => self.ca = clusters::path(map)?,
            "oauth-server" => self.oauth_server = clusters::text(map)?,
            "oauth-ca" => self.oauth_ca = clusters::path(map)?,
            "client-id" => self.client_id = map.next_value()?,
            "client-secret-file" => self.client_secret_file = clusters::path(map)?,
            "audience" => self.audience = map.next_value()?,
            _ => return Ok(Taken::Name),
        }
        Ok(Taken::Key)
    }

    fn check(self, name: &str) -> Result<ZeebeSettings, String> {
        if self.gateways.is_empty() {
            return Err(format!("{name}: gateways are missing"));
        }
        let mut seen = BTreeSet::new();
        let all = self.gateways.iter().map(ToString::to_string);
        let all = all.chain(self.brokers.iter().map(ToString::to_string));
        if let Some(twice) = all.into_iter().find(|url| !seen.insert(url.clone())) {
            return Err(format!("{name}: {twice} stands here twice"));
        }
        let oauth = match (self.oauth_server, self.client_id, self.client_secret_file) {
            (None, None, None) if self.audience.is_none() && self.oauth_ca.is_none() => None,
            (Some(server), Some(id), Some(secret)) => {
                let audience = self.audience.unwrap_or_default();
                Some(OAuthSettings { server, id, secret, audience, ca: self.oauth_ca })
            }
            _ => {
                return Err(format!(
                    "{name}: a token takes oauth-server, client-id and client-secret-file together"
                ));
            }
        };
        Ok(ZeebeSettings { gateways: self.gateways, brokers: self.brokers, ca: self.ca, oauth })
    }
}

impl<'de> Deserialize<'de> for Clusters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        clusters::read::<D, Written>(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("/etc/schism/schism.toml"), text)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_cluster_has_gateways_and_may_have_the_rest() {
        let settings =
            parse("[zeebe]\ngateways = [\"gw\"]\nbrokers = [\"b0\", \"b1:9601\"]\n").unwrap();
        let all: Vec<_> = settings.zeebe().collect();
        assert_eq!(all[0].0.as_str(), "zeebe");
        assert_eq!(all[0].1.gateways[0].to_string(), "http://gw:26500");
        assert_eq!(all[0].1.brokers[1].to_string(), "http://b1:9601");
        let settings = parse(
            "[zeebe.blue]\ngateways = [\"https://gw:443\"]\nca = \"z/ca.pem\"\n\
             oauth-server = \"https://login/token\"\noauth-ca = \"l/ca.pem\"\nclient-id = \"me\"\n\
             client-secret-file = \"z/secret\"\naudience = \"zeebe\"\n",
        );
        let settings = settings.unwrap();
        let (name, blue) = settings.zeebe().next().unwrap();
        let oauth = blue.oauth.as_ref().unwrap();
        assert_eq!(name.as_str(), "blue");
        assert_eq!(blue.ca.as_deref(), Some(Path::new("/etc/schism/z/ca.pem")));
        assert_eq!(oauth.secret, Path::new("/etc/schism/z/secret"));
        assert_eq!(oauth.ca.as_deref(), Some(Path::new("/etc/schism/l/ca.pem")));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let table = [
            ("[zeebe]\nca = \"x\"", "zeebe: gateways are missing"),
            ("[zeebe]\ngateways = []", "2:12: an empty list names nothing"),
            ("[zeebe]\ngateways = [\"gw\", \"gw:26500\"]", "http://gw:26500 stands here twice"),
            ("[zeebe]\ngateways = [\"me:secret@gw\"]", "takes no user and password"),
            ("[zeebe]\ngateways = [\"gw\"]\nclient-id = \"me\"", "a token takes oauth-server"),
            ("[zeebe]\ngateways = [\"gw\"]\noauth-ca = \"x\"", "a token takes oauth-server"),
            ("[zeebe.a]\nurls = []", "unknown field `urls`"),
            ("[zeebe.broker]\ngateways = [\"gw\"]", "broker: a cluster's name has"),
            ("[zeebe]\ngateways = [\"gw\"]\n[zeebe.b]\ngateways = [\"b\"]", "write [zeebe] for"),
        ];
        for (text, expected) in table {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret@"), "{error}");
        }
    }
}
