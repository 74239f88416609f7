//! Where an API server is, how it is judged, and as whom it is asked.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Namespace, Program, Secret, Server, ServerError};

/// Where pods find what they need, as `kubelet` mounts it for them.
const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// No token is longer (64 KiB).
const LONGEST_TOKEN: u64 = 64 << 10;

/// Where an API server is, how it is judged, and as whom it is asked. Files are read whenever they are needed,
/// so that what is renewed in them counts at once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it is.
    pub server: Server,
    /// The name that its certificate must be for, where that is not its host.
    pub server_name: Option<String>,
    /// Who vouches for it.
    pub trust: Trust,
    /// As whom it is asked.
    pub login: Login,
    /// The namespace of who asks: of the own pod, or of the context.
    pub namespace: Option<Namespace>,
}

/// Who vouches for an API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those whom this machine trusts.
    #[default]
    Machine,
    /// The certificates of a file of PEM, and nobody else.
    File(PathBuf),
    /// The certificates in this PEM, and nobody else.
    Pem(Vec<u8>),
}

/// As whom an API server is asked: nobody, by a certificate, by a token, by both, or by what a program says.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// A certificate and its key.
    pub identity: Option<Identity>,
    /// A bearer token.
    pub token: Option<Token>,
    /// A program that says either or both.
    pub program: Option<Program>,
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub enum Identity {
    /// In files.
    Files {
        /// The certificate, and those between it and the authority.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Here.
    Pem {
        /// The certificate, and those between it and the authority.
        certificate: Vec<u8>,
        /// Its private key.
        key: Secret,
    },
}

/// Where a bearer token is.
#[derive(Clone, Debug)]
pub enum Token {
    /// Here.
    Fixed(Secret),
    /// In a file, which may be renewed.
    File(PathBuf),
}

/// Why an API server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not inside of a pod that may ask.
    #[error(
        "{variable} is not set: this is no pod of Kubernetes, or one that mounts no token \
         (automountServiceAccountToken)"
    )]
    NoPod {
        /// What every pod has.
        variable: &'static str,
    },
    /// What should say where it is says something else.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A file that cannot be read.
    #[error("cannot read {what} from {path}: {source}")]
    Read {
        /// What it should hold.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that holds no such thing.
    #[error("{place} holds no {what}: {reason}")]
    Content {
        /// What it should hold.
        what: &'static str,
        /// A file, or where else it stands.
        place: String,
        /// Why it does not.
        reason: String,
    },
    /// A program that says as whom it is asked, and does not.
    #[error("{0}")]
    Program(String),
    /// This machine trusts nobody.
    #[error("this machine has no authorities to judge the API server by; name a file of them")]
    NoAuthorities,
    /// Certificates that TLS does not take.
    #[error("cannot use the certificates for the API server: {0}")]
    Tls(#[from] rustls::Error),
}

impl Config {
    /// That of a pod, by what `kubelet` gives each: two variables of its environment, and files.
    ///
    /// # Errors
    /// This is no pod, or it has no token.
    pub fn in_cluster(environment: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Self::in_pod(environment, Path::new(MOUNTED))
    }

    /// The same, with the files in `mounted`.
    ///
    /// # Errors
    /// This is no pod, or it has no token.
    pub fn in_pod(
        environment: impl Fn(&str) -> Option<String>,
        mounted: &Path,
    ) -> Result<Self, ConfigError> {
        let variable = |name: &'static str| {
            environment(name)
                .filter(|value| !value.is_empty())
                .ok_or(ConfigError::NoPod { variable: name })
        };
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let port = port.parse().map_err(|_| ServerError::Form(format!("{host}:{port}")))?;
        let token = Token::File(mounted.join("token"));
        token.reveal()?;
        let namespace = fs::read_to_string(mounted.join("namespace")).ok();
        Ok(Self {
            server: Server::new(&host, port)?,
            server_name: None,
            trust: Trust::File(mounted.join("ca.crt")),
            login: Login { token: Some(token), ..Login::default() },
            namespace: namespace.and_then(|text| text.trim().parse().ok()),
        })
    }
}

impl Token {
    /// What it is now.
    ///
    /// # Errors
    /// Its file cannot be read, or holds no token.
    pub(crate) fn reveal(&self) -> Result<Secret, ConfigError> {
        let path = match self {
            Self::Fixed(token) => return Ok(token.clone()),
            Self::File(path) => path,
        };
        let what = "the token for the API server";
        let failed = |source| ConfigError::Read { what, path: path.clone(), source };
        let file = fs::File::open(path).map_err(failed)?;
        let mut text = String::new();
        let read =
            io::Read::read_to_string(&mut io::Read::take(file, LONGEST_TOKEN + 1), &mut text);
        read.map_err(failed)?;
        let token = Secret::new(&text);
        // What goes into a line of HTTP must be of one line.
        let fits =
            !token.reveal().is_empty() && token.reveal().bytes().all(|b| b.is_ascii_graphic());
        let reason = "a token is one word of printable letters".to_owned();
        let place = path.display().to_string();
        if fits { Ok(token) } else { Err(ConfigError::Content { what: "token", place, reason }) }
    }
}

impl std::fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Files { certificate, .. } => write!(f, "Identity({})", certificate.display()),
            Self::Pem { .. } => f.write_str("Identity(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd79::1".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_pod_knows_what_it_was_given_and_reads_its_token_anew() {
        let mounted = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(mounted.path().join(name), text).unwrap();
        write("token", "first\n");
        write("namespace", "schism");
        let config = Config::in_pod(environment, mounted.path()).unwrap();
        assert_eq!(config.server.to_string(), "https://[fd79::1]:443");
        assert_eq!(config.namespace.as_ref().map(Namespace::as_str), Some("schism"));
        assert_eq!(config.trust, Trust::File(mounted.path().join("ca.crt")));
        let token = config.login.token.unwrap();
        assert_eq!(token.reveal().unwrap().reveal(), "first");
        write("token", "second");
        assert_eq!(token.reveal().unwrap().reveal(), "second");
        for nothing in ["", "\n", "two words", "line\nline"] {
            write("token", nothing);
            let error = token.reveal().unwrap_err();
            assert!(matches!(error, ConfigError::Content { .. }), "{error}");
        }
    }

    #[test]
    fn whoever_is_no_pod_is_told_so() {
        let error = Config::in_cluster(|_| None).unwrap_err();
        assert!(error.to_string().contains("KUBERNETES_SERVICE_HOST"), "{error}");
        let nowhere = tempfile::tempdir().unwrap();
        let error = Config::in_pod(environment, nowhere.path()).unwrap_err();
        assert!(matches!(error, ConfigError::Read { .. }), "{error}");
        assert!(!format!("{:?}", Secret::new("hidden")).contains("hidden"));
    }
}
