//! What is read from Vault, and how it is asked. Nothing here asks it.

use serde_json::{Map, Value};

/// Something that is kept in Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    /// Where.
    pub path: String,
    /// Which part of it; all of it if unset.
    pub key: Option<String>,
}

/// How Vault is asked, by the configuration of an experiment.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// `vault_addr`
    pub address: String,
    /// As whom.
    pub login: Login,
    /// Where the store of keys and values is mounted.
    pub mount: String,
    /// Which of the two kinds of store it is.
    pub version: Version,
}

/// As whom Vault is asked.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// `vault_token`
    Token(String),
    /// `vault_role_id` and `vault_role_secret`
    AppRole {
        /// Which role.
        id: String,
        /// Its secret.
        secret: String,
    },
    /// `vault_sa_role`
    ServiceAccount {
        /// Which role.
        role: String,
        /// The file that holds the account's token.
        token: String,
        /// Where this kind of login is mounted.
        mount: String,
    },
    /// The configuration says nothing.
    Nobody,
}

/// The kind of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Without versions.
    One,
    /// With versions of each secret.
    Two,
}

/// Where a pod finds its own token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl Access {
    /// What a configuration says; `None` without `vault_addr`.
    #[must_use]
    pub fn read(configuration: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| configuration.get(key).and_then(Value::as_str).map(str::to_owned);
        let or = |key: &str, default: &str| {
            text(key).filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        let role = (text("vault_role_id"), text("vault_role_secret"));
        let login = if let Some(token) = text("vault_token") {
            Login::Token(token)
        } else if let (Some(id), Some(secret)) = role {
            Login::AppRole { id, secret }
        } else if let Some(role) = text("vault_sa_role") {
            let token = or("vault_sa_token_path", TOKEN);
            let mount = or("vault_k8s_mount_point", "kubernetes");
            Login::ServiceAccount { role, token, mount }
        } else {
            Login::Nobody
        };
        let version = configuration.get("vault_kv_version");
        let is_one = version.is_some_and(|version| *version == 1 || *version == "1");
        Some(Self {
            address: text("vault_addr")?,
            login,
            mount: or("vault_secrets_mount_point", "secret"),
            version: if is_one { Version::One } else { Version::Two },
        })
    }

    /// What is asked for below the address of Vault.
    #[must_use]
    pub fn path(&self, read: &Read) -> String {
        let path = read.path.trim_matches('/');
        match self.version {
            Version::One => format!("v1/{}/{path}", self.mount),
            Version::Two => format!("v1/{}/data/{path}", self.mount),
        }
    }

    /// The secret in an answer.
    #[must_use]
    pub fn secret(&self, read: &Read, answer: &Value) -> Option<Value> {
        let data = match self.version {
            Version::One => answer.get("data")?,
            Version::Two => answer.get("data")?.get("data")?,
        };
        match &read.key {
            Some(key) => data.get(key).cloned(),
            None => Some(data.clone()),
        }
    }
}
