//! How a gateway that wants TLS is believed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem, pem::PemObject as _},
};

/// Who vouches for servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those whom this machine trusts.
    #[default]
    Machine,
    /// The certificates of a file of PEM, and nobody else.
    File(PathBuf),
}

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file can't be read, or holds no certificate.
    #[error("cannot read the authority of Zeebe from {path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// This machine trusts nobody.
    #[error(
        "this machine has no authorities to judge Zeebe's certificates by; name a file of them"
    )]
    Nobody,
    /// A certificate is not usable.
    #[error("cannot use the authority of Zeebe: {0}")]
    Certificate(#[from] rustls::Error),
}

impl Trust {
    /// The certificates of authorities, as they are encoded.
    pub(crate) fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, TrustError> {
        match self {
            Self::Machine => {
                let found = rustls_native_certs::load_native_certs().certs;
                if found.is_empty() { Err(TrustError::Nobody) } else { Ok(found) }
            }
            Self::File(path) => {
                let unreadable = |error: pem::Error| unreadable(path, &error);
                let found: Result<Vec<_>, _> =
                    CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect();
                match found.map_err(unreadable)? {
                    none if none.is_empty() => Err(unreadable(pem::Error::NoItemsFound)),
                    found => Ok(found),
                }
            }
        }
    }

    /// For gRPC.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let mut roots = RootCertStore::empty();
        match self {
            // Some machines carry certificates that nobody can parse any more.
            Self::Machine => {
                roots.add_parsable_certificates(self.authorities()?);
            }
            Self::File(_) => {
                for authority in self.authorities()? {
                    roots.add(authority)?;
                }
            }
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

fn unreadable(path: &Path, error: &pem::Error) -> TrustError {
    TrustError::File { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let nothing = Trust::File("/nonexistent".into());
        assert!(matches!(nothing.config(), Err(TrustError::File { .. })));
        let wrong = Trust::File(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into());
        let error = wrong.config().unwrap_err().to_string();
        assert!(error.contains("Cargo.toml"), "{error}");
    }
}
