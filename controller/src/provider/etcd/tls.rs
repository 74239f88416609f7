//! How an etcd that wants TLS is believed, and believes us.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};

/// Files of PEM for an etcd that is asked over https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Who vouches for the members.
    pub authority: PathBuf,
    /// Who we are, where etcd wants to know (`--client-cert-auth`).
    pub own: Option<OwnCertificate>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// The certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why credentials can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or holds no such thing.
    #[error("cannot read {what} of etcd from {path}: {reason}")]
    File {
        /// What it should hold.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The authority's certificates, or our own, are not usable.
    #[error("cannot use the certificates for etcd: {0}")]
    Certificates(#[from] rustls::Error),
}

/// Reads the files.
pub(super) fn config(credentials: &Credentials) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates("the authority", &credentials.authority)? {
        roots.add(root)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match &credentials.own {
        None => builder.with_no_client_auth(),
        Some(OwnCertificate { certificate, key: path }) => {
            let chain = certificates("the certificate", certificate)?;
            let what = "the key";
            let key = PrivateKeyDer::from_pem_file(path);
            let key = key.map_err(|error| unreadable(what, path, &error))?;
            builder.with_client_auth_cert(chain, key)?
        }
    };
    Ok(Arc::new(config))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error: pem::Error| unreadable(what, path, &error);
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect();
    match found.map_err(unreadable)? {
        none if none.is_empty() => Err(unreadable(pem::Error::NoItemsFound)),
        found => Ok(found),
    }
}

fn unreadable(what: &'static str, path: &Path, error: &pem::Error) -> TlsError {
    TlsError::File { what, path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests;
