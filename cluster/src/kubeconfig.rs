//! The file by which `kubectl` knows clusters.

use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Config, Identity, Login, NameError, Program, Secret, ServerError, Token, Trust, program::Entry,
};

/// A kubeconfig. It is read by whoever knows the notation of its file, which is YAML most of the time.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Kubeconfig {
    current_context: String,
    contexts: Vec<Named<ContextEntry>>,
    clusters: Vec<Named<ClusterEntry>>,
    users: Vec<Named<UserEntry>>,
}

#[derive(Debug, Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    entry: T,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContextEntry {
    cluster: String,
    user: String,
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    tls_server_name: Option<String>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
    proxy_url: Option<String>,
    extensions: Vec<Extension>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extension {
    name: String,
    extension: Value,
}

/// What of a cluster is for programs that say a login.
const FOR_PROGRAMS: &str = "client.authentication.k8s.io/exec";

/// Whether programs that a kubeconfig names for a login may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// A kubeconfig that names one is refused.
    Refused,
    /// They are run by whoever asks, when it asks.
    Run,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct UserEntry {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<Secret>,
    token: Option<Secret>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    exec: Option<Value>,
    auth_provider: Option<Value>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
}

/// Why a kubeconfig leads to no API server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// No context is the current one, and none was named.
    #[error("no context is named, and the kubeconfig has no current one; it has {}", list(.0))]
    NoContext(Vec<String>),
    /// Something is named that is not there.
    #[error("the kubeconfig has no {what} {name:?}; it has {}", list(there))]
    Unknown {
        /// A context, cluster or user.
        what: &'static str,
        /// Which was meant.
        name: String,
        /// Those that it has.
        there: Vec<String>,
    },
    /// No address.
    #[error("cluster {cluster:?} of the kubeconfig: {}", unreached(error))]
    Server {
        /// Which.
        cluster: String,
        /// What is wrong.
        error: ServerError,
    },
    /// No namespace.
    #[error("context {context:?} of the kubeconfig: {error}")]
    Namespace {
        /// Which.
        context: String,
        /// What is wrong.
        error: NameError,
    },
    /// Data that cannot be decoded; it is not repeated here.
    #[error("{key} of {owner:?} in the kubeconfig is not base64")]
    Data {
        /// Which key.
        key: &'static str,
        /// Of whom.
        owner: String,
    },
    /// A half of a certificate.
    #[error(
        "user {0:?} of the kubeconfig has a client certificate without its key, or a key without it"
    )]
    Half(String),
    /// No program that can be run for a login. What the entry says is not repeated: its environment may be secret.
    #[error(
        "exec of user {0:?} of the kubeconfig is no program of client.authentication.k8s.io/v1 or v1beta1: it takes \
         apiVersion, command, args, env, installHint, interactiveMode and provideClusterInfo"
    )]
    Program(String),
    /// A way to ask that there is not here.
    #[error("{owner:?} of the kubeconfig wants {key}, which is not supported here: {instead}")]
    Unsupported {
        /// Whose entry it is.
        owner: String,
        /// Which key.
        key: &'static str,
        /// What to do.
        instead: &'static str,
    },
}

impl Kubeconfig {
    /// What one of its contexts says, the current one where none is named. Paths that are not absolute begin
    /// at `directory`, where the file is. One that names a program for a login is refused.
    ///
    /// # Errors
    /// No such context, or one that leads nowhere.
    pub fn config(
        &self,
        context: Option<&str>,
        directory: &Path,
    ) -> Result<Config, KubeconfigError> {
        self.config_with(context, directory, Programs::Refused)
    }

    /// The same, where it is said whether programs may be run for a login.
    ///
    /// # Errors
    /// As there.
    pub fn config_with(
        &self,
        context: Option<&str>,
        directory: &Path,
        programs: Programs,
    ) -> Result<Config, KubeconfigError> {
        let wanted = context.unwrap_or(&self.current_context);
        if wanted.is_empty() {
            return Err(KubeconfigError::NoContext(names(&self.contexts)));
        }
        let context = find("context", &self.contexts, wanted)?;
        let cluster = find("cluster", &self.clusters, &context.cluster)?;
        let nobody = UserEntry::default();
        let user = match context.user.as_str() {
            "" => &nobody,
            name => find("user", &self.users, name)?,
        };
        let server = cluster
            .server
            .parse()
            .map_err(|error| KubeconfigError::Server { cluster: context.cluster.clone(), error })?;
        let namespace = match context.namespace.as_str() {
            "" => None,
            name => Some(name.parse().map_err(|error| KubeconfigError::Namespace {
                context: wanted.to_owned(),
                error,
            })?),
        };
        Ok(Config {
            server,
            server_name: cluster.tls_server_name.clone(),
            trust: cluster.trust(&context.cluster, directory)?,
            login: match (&user.exec, programs) {
                (Some(exec), Programs::Run) => {
                    let program = cluster.program(&context.user, exec, directory)?;
                    let login = user.login(&context.user, directory, Programs::Run)?;
                    Login { program: Some(program), ..login }
                }
                (Some(_) | None, _) => user.login(&context.user, directory, programs)?,
            },
            namespace,
        })
    }
}

impl ClusterEntry {
    fn trust(&self, name: &str, directory: &Path) -> Result<Trust, KubeconfigError> {
        let unsupported =
            |key, instead| KubeconfigError::Unsupported { owner: name.to_owned(), key, instead };
        if self.insecure_skip_tls_verify {
            let instead = "name the authority of the cluster, certificate-authority";
            return Err(unsupported("insecure-skip-tls-verify", instead));
        }
        if self.proxy_url.is_some() {
            return Err(unsupported("proxy-url", "run it where the API server can be reached"));
        }
        match (&self.certificate_authority_data, &self.certificate_authority) {
            (Some(data), _) => Ok(Trust::Pem(decode("certificate-authority-data", name, data)?)),
            (None, Some(path)) => Ok(Trust::File(directory.join(path))),
            (None, None) => Ok(Trust::Machine),
        }
    }
}

impl ClusterEntry {
    /// The program that a user names for a login to it.
    fn program(
        &self,
        user: &str,
        exec: &Value,
        directory: &Path,
    ) -> Result<Program, KubeconfigError> {
        let entry: Entry = serde_json::from_value(exec.clone())
            .map_err(|_| KubeconfigError::Program(user.to_owned()))?;
        Ok(entry.program(directory, || self.told(directory)))
    }

    /// What programs are told of it.
    fn told(&self, directory: &Path) -> Value {
        let mut told = json!({ "server": self.server });
        if let Some(name) = &self.tls_server_name {
            told["tls-server-name"] = name.as_str().into();
        }
        let file = || std::fs::read(directory.join(self.certificate_authority.as_ref()?)).ok();
        let data =
            self.certificate_authority_data.as_ref().map(|data| data.split_whitespace().collect());
        if let Some(data) = data.or_else(|| Some(BASE64_STANDARD.encode(file()?))) {
            told["certificate-authority-data"] = Value::String(data);
        }
        let config = self.extensions.iter().find(|one| one.name == FOR_PROGRAMS);
        if let Some(config) = config {
            told["config"] = config.extension.clone();
        }
        told
    }
}

impl UserEntry {
    fn login(
        &self,
        name: &str,
        directory: &Path,
        programs: Programs,
    ) -> Result<Login, KubeconfigError> {
        let refused = [
            (
                self.exec.is_some() && programs == Programs::Refused,
                "exec",
                "programs that a file names are not run; use a token or a certificate",
            ),
            (self.auth_provider.is_some(), "auth-provider", "use a token or a certificate"),
            (self.username.is_some(), "username", "use a token or a certificate"),
            (self.impersonate.is_some(), "as", "use a token or a certificate of that user"),
        ];
        if let Some((_, key, instead)) = refused.into_iter().find(|(there, ..)| *there) {
            return Err(KubeconfigError::Unsupported { owner: name.to_owned(), key, instead });
        }
        let certificate = match (&self.client_certificate_data, &self.client_certificate) {
            (Some(data), _) => Some(Ok(decode("client-certificate-data", name, data)?)),
            (None, path) => path.as_ref().map(|path| Err(directory.join(path))),
        };
        let key = match (&self.client_key_data, &self.client_key) {
            (Some(data), _) => Some(Ok(decode("client-key-data", name, data.reveal())?)),
            (None, path) => path.as_ref().map(|path| Err(directory.join(path))),
        };
        let half = || KubeconfigError::Half(name.to_owned());
        let identity = match (certificate, key) {
            (None, None) => None,
            (Some(Err(certificate)), Some(Err(key))) => Some(Identity::Files { certificate, key }),
            (Some(Ok(certificate)), Some(Ok(key))) => {
                let key = String::from_utf8(key).map_err(|_| half())?;
                Some(Identity::Pem { certificate, key: Secret::new(&key) })
            }
            // One in the file and the other beside it: kubectl takes that, and nothing writes it.
            (Some(_), _) | (_, Some(_)) => return Err(half()),
        };
        let token = match (&self.token, &self.token_file) {
            // As kubectl has it: the file is newer.
            (_, Some(path)) => Some(Token::File(directory.join(path))),
            (Some(token), None) => Some(Token::Fixed(token.clone())),
            (None, None) => None,
        };
        Ok(Login { identity, token, program: None })
    }
}

fn find<'a, T>(
    what: &'static str,
    all: &'a [Named<T>],
    name: &str,
) -> Result<&'a T, KubeconfigError> {
    let found = all.iter().find(|one| one.name == name).map(|one| &one.entry);
    found.ok_or_else(|| KubeconfigError::Unknown { what, name: name.to_owned(), there: names(all) })
}

/// Why an address is none, without what stands there.
const fn unreached(error: &ServerError) -> &'static str {
    match error {
        ServerError::Form(_) => {
            "its server is no address of an API server; write https://HOST:PORT"
        }
        ServerError::UserInfo => "the address of an API server takes no user and password",
        ServerError::Clear(_) => {
            "its server is spoken to in the clear, which is for addresses of this machine alone; write https://"
        }
    }
}

fn names<T>(all: &[Named<T>]) -> Vec<String> {
    all.iter().map(|one| one.name.clone()).collect()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn decode(key: &'static str, owner: &str, data: &str) -> Result<Vec<u8>, KubeconfigError> {
    let plain: String = data.split_whitespace().collect();
    let owner = owner.to_owned();
    BASE64_STANDARD.decode(plain).map_err(|_| KubeconfigError::Data { key, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(cluster: Value, user: Value) -> Kubeconfig {
        let all = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab", "preferences": {},
            "contexts": [
                { "name": "lab", "context": { "cluster": "c", "user": "u", "namespace": "camunda" } },
                { "name": "lost", "context": { "cluster": "gone", "user": "u" } },
            ],
            "clusters": [{ "name": "c", "cluster": cluster }],
            "users": [{ "name": "u", "user": user }],
        });
        serde_json::from_value(all).unwrap()
    }

    fn read(cluster: Value, user: Value) -> Result<Config, KubeconfigError> {
        file(cluster, user).config(None, Path::new("/home/me/.kube"))
    }

    fn server() -> Value {
        json!({ "server": "https://10.0.0.1:6443" })
    }

    #[test]
    fn a_context_leads_to_a_server_and_a_login() {
        let cluster = json!({
            "server": "https://10.0.0.1:6443", "certificate-authority": "ca.crt",
            "tls-server-name": "kubernetes",
        });
        let user =
            json!({ "client-certificate": "/a.crt", "client-key": "a.key", "tokenFile": "t" });
        let config = read(cluster, user).unwrap();
        assert_eq!(config.server.to_string(), "https://10.0.0.1:6443");
        assert_eq!(config.server_name.as_deref(), Some("kubernetes"));
        assert_eq!(config.namespace.unwrap().as_str(), "camunda");
        assert_eq!(config.trust, Trust::File("/home/me/.kube/ca.crt".into()));
        let Some(Identity::Files { certificate, key }) = config.login.identity else { panic!() };
        assert_eq!((certificate, key), ("/a.crt".into(), "/home/me/.kube/a.key".into()));
        let Some(Token::File(token)) = config.login.token else { panic!() };
        assert_eq!(token, Path::new("/home/me/.kube/t"));

        let data = |text: &str| BASE64_STANDARD.encode(text);
        let cluster = json!({ "server": "https://a", "certificate-authority-data": data("CA") });
        let user = json!({
            "client-certificate-data": data("CERTIFICATE"), "client-key-data": data("KEY"),
            "token": "word",
        });
        let config = read(cluster, user).unwrap();
        assert_eq!(config.trust, Trust::Pem(b"CA".to_vec()));
        assert!(!format!("{config:?}").contains("KEY") && !format!("{config:?}").contains("word"));
        assert!(matches!(config.login.identity, Some(Identity::Pem { .. })));
    }

    #[test]
    fn a_program_is_run_only_by_who_may() {
        let exec = json!({
            "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": "aws",
                "env": [{ "name": "A", "value": "hidden" }], "interactiveMode": "Never",
                "provideClusterInfo": true },
            "token": "word",
        });
        let cluster = json!({
            "server": "https://10.0.0.1:6443", "certificate-authority-data": "QQ==",
            "tls-server-name": "kubernetes",
            "extensions": [
                { "name": "other", "extension": 1 },
                { "name": "client.authentication.k8s.io/exec", "extension": { "audience": "a" } },
            ],
        });
        let with = |user: &Value, programs| {
            file(cluster.clone(), user.clone()).config_with(None, Path::new("/home/me"), programs)
        };
        let login = with(&exec, Programs::Run).unwrap().login;
        let shown = format!("{login:?}");
        assert!(login.program.is_some() && login.token.is_some(), "{shown}");
        assert!(!shown.contains("hidden") && shown.contains("\"audience\""), "{shown}");
        let error = with(&exec, Programs::Refused).unwrap_err().to_string();
        assert!(error.contains("wants exec"), "{error}");
        let wrong = json!({ "exec": { "apiVersion": "v1", "command": "hidden" } });
        let error = with(&wrong, Programs::Run).unwrap_err().to_string();
        assert!(error.starts_with("exec of user \"u\"") && !error.contains("hidden"), "{error}");
        let none = with(&json!({ "token": "word" }), Programs::Run).unwrap().login;
        assert!(none.program.is_none());
    }

    #[test]
    fn what_leads_nowhere_is_refused_by_name() {
        let table = [
            (server(), json!({ "exec": { "command": "aws" } }), "wants exec"),
            (server(), json!({ "auth-provider": { "name": "gcp" } }), "wants auth-provider"),
            (server(), json!({ "username": "me" }), "wants username"),
            (server(), json!({ "as": "admin" }), "wants as"),
            (server(), json!({ "client-key": "k" }), "without its key"),
            (server(), json!({ "client-certificate-data": "%%" }), "is not base64"),
            (
                json!({ "server": "https://a", "insecure-skip-tls-verify": true }),
                json!({}),
                "insecure",
            ),
            (json!({ "server": "https://a", "proxy-url": "http://p" }), json!({}), "proxy-url"),
            (
                json!({ "server": "SECRET777" }),
                json!({}),
                "cluster \"c\" of the kubeconfig: its server is no address",
            ),
            (json!({ "server": "http://10.0.0.1" }), json!({}), "in the clear"),
        ];
        for (cluster, user, said) in table {
            let error = read(cluster, user).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
            assert!(!error.contains("SECRET777"), "{error}");
        }
        let there = file(server(), json!({}));
        let other = |name| there.config(Some(name), Path::new("/")).unwrap_err().to_string();
        assert!(
            other("prod").contains("no context \"prod\"; it has lab, lost"),
            "{}",
            other("prod")
        );
        assert!(other("lost").contains("no cluster \"gone\"; it has c"), "{}", other("lost"));
        let empty = Kubeconfig::default().config(None, Path::new("/")).unwrap_err();
        assert_eq!(empty, KubeconfigError::NoContext(Vec::new()));
    }
}
