//! What one end has to show, and by what it judges the other.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::verify::{ControllerOnly, Guest};
use super::{Acceptor, Connector, Door, provider};
use crate::{Fingerprint, Issued, Principal, PrincipalError};

/// Where the three files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The authority's certificate, PEM.
    pub ca: PathBuf,
    /// The own certificate and those between it and the authority, PEM.
    pub certificate: PathBuf,
    /// The own certificate's private key, PEM.
    pub key: PathBuf,
}

impl Files {
    /// `ca.pem`, `NAME.pem` and `NAME.key` in a directory.
    #[must_use]
    pub fn named(directory: &Path, name: &str) -> Self {
        let file = |name: &str, end: &str| directory.join(format!("{name}.{end}"));
        Self { ca: file("ca", "pem"), certificate: file(name, "pem"), key: file(name, "key") }
    }
}

/// The authority, the own certificate with its chain, and the own key.
pub struct Material {
    authority: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    principal: Principal,
    fingerprint: Fingerprint,
}

/// The files cannot be used. None of what is in a key is told.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A file cannot be read.
    #[error("read {}: {error}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
    /// A file has nothing of what is looked for.
    #[error("{} has no {what} in PEM form", .path.display())]
    Missing {
        /// Which.
        path: PathBuf,
        /// What is looked for.
        what: &'static str,
    },
    /// A file is damaged.
    #[error("{} is damaged: its PEM form cannot be read", .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The authority's certificate is none by which others can be judged.
    #[error("{} is no authority's certificate: {error}", .path.display())]
    Authority {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        error: rustls::Error,
    },
    /// The own certificate does not say who it is for.
    #[error("{} is {error}", .path.display())]
    Principal {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        error: PrincipalError,
    },
    /// The key is not the certificate's, or of a kind that cannot be used.
    #[error("the key in {} does not belong to the certificate in {}: {error}", .key.display(), .certificate.display())]
    Key {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
        /// Why not.
        #[source]
        error: rustls::Error,
    },
    /// Others would not take it for a controller.
    #[error("only a controller listens, and this certificate is for {0}")]
    NoController(Principal),
    /// The verifier of the other end cannot be made.
    #[error("prepare TLS: {0}")]
    Verifier(String),
}

impl Material {
    /// Reads the three files. Whether the certificate has expired is for the other end to say.
    ///
    /// # Errors
    /// A file cannot be read, is damaged, or does not fit the others.
    pub fn load(files: &Files) -> Result<Self, MaterialError> {
        let mut authority = RootCertStore::empty();
        for certificate in certificates(&files.ca)? {
            let path = files.ca.clone();
            authority.add(certificate).map_err(|error| MaterialError::Authority { path, error })?;
        }
        let chain = certificates(&files.certificate)?;
        let (principal, fingerprint) =
            chain.first().ok_or(PrincipalError::Malformed).and_then(Principal::of).map_err(
                |error| MaterialError::Principal { path: files.certificate.clone(), error },
            )?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| unread(&files.key, "private key", error))?;
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()).map_err(|error| {
            let (key, certificate) = (files.key.clone(), files.certificate.clone());
            MaterialError::Key { key, certificate, error }
        })?;
        Ok(Self { authority: Arc::new(authority), chain, key, principal, fingerprint })
    }

    /// Who the own certificate is for.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Which certificate it is.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What dials controllers, and nobody else.
    ///
    /// # Errors
    /// TLS cannot be prepared with this key.
    pub fn connector(&self) -> Result<Connector, MaterialError> {
        let verifier = ControllerOnly::new(&self.authority).map_err(verifier)?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(verifier_error)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(verifier_error)?;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Connector::new(config))
    }

    /// What lets those in who come to this door and whose certificates are issued.
    ///
    /// # Errors
    /// The own certificate is no controller's, or TLS cannot be prepared with this key.
    pub fn acceptor(&self, door: Door, issued: Arc<Issued>) -> Result<Acceptor, MaterialError> {
        match &self.principal {
            Principal::Controller(_) => {}
            other @ (Principal::Agent(_) | Principal::User { .. }) => {
                return Err(MaterialError::NoController(other.clone()));
            }
        }
        let guest = Guest::new(&self.authority, door, issued).map_err(verifier)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(verifier_error)?
            .with_client_cert_verifier(Arc::new(guest))
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(verifier_error)?;
        // A resumed session shows no certificate, so that a revoked one would go on being admitted.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Acceptor::new(config))
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Material");
        shown.field("principal", &self.principal).field("fingerprint", &self.fingerprint);
        shown.finish_non_exhaustive()
    }
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let unread = |error| unread(path, "certificate", error);
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unread)?
        .collect::<Result<_, _>>()
        .map_err(unread)?;
    if found.is_empty() { Err(unread(pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// The parser's own words may repeat a line of the file, which may be one of a key.
fn unread(path: &Path, what: &'static str, error: pem::Error) -> MaterialError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(error) => MaterialError::Read { path, error },
        pem::Error::NoItemsFound => MaterialError::Missing { path, what },
        pem::Error::MissingSectionEnd { .. }
        | pem::Error::IllegalSectionStart { .. }
        | pem::Error::Base64Decode(_)
        | pem::Error::SectionTooLarge
        | _ => MaterialError::Damaged { path },
    }
}

pub(super) fn verifier(error: rustls::server::VerifierBuilderError) -> MaterialError {
    MaterialError::Verifier(error.to_string())
}

pub(super) fn verifier_error(error: rustls::Error) -> MaterialError {
    MaterialError::Verifier(error.to_string())
}
