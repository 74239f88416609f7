//! How an API server is judged, and what it is shown.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

use crate::config::{Config, ConfigError, Identity, Trust};

/// Reads what the configuration names, and shows this certificate.
pub(crate) fn config(
    config: &Config,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, ConfigError> {
    let mut roots = RootCertStore::empty();
    let what = "authority of the API server";
    match &config.trust {
        Trust::Machine => {
            let found = rustls_native_certs::load_native_certs().certs;
            // Some machines carry certificates that nobody can parse any more.
            if roots.add_parsable_certificates(found).0 == 0 {
                return Err(ConfigError::NoAuthorities);
            }
        }
        Trust::File(path) => {
            for root in from_file(what, path)? {
                roots.add(root)?;
            }
        }
        Trust::Pem(pem) => {
            for root in from_text(what, pem)? {
                roots.add(root)?;
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let what = "certificate for the API server";
    let key_of = "key for the API server";
    Ok(Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(Identity::Files { certificate, key: path }) => {
            let key = PrivateKeyDer::from_pem_file(path);
            let key = key.map_err(|error| content(key_of, path.display().to_string(), &error))?;
            builder.with_client_auth_cert(from_file(what, certificate)?, key)?
        }
        Some(Identity::Pem { certificate, key }) => {
            let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes());
            let key = key.map_err(|error| content(key_of, "the kubeconfig".to_owned(), &error))?;
            builder.with_client_auth_cert(from_text(what, certificate)?, key)?
        }
    }))
}

fn from_file(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let failed = |error: pem::Error| content(what, path.display().to_string(), &error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect();
    some(found.map_err(failed)?).map_err(failed)
}

fn from_text(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let failed = |error: pem::Error| content(what, "the kubeconfig".to_owned(), &error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    some(found.map_err(failed)?).map_err(failed)
}

fn some(found: Vec<CertificateDer<'static>>) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) }
}

fn content(what: &'static str, place: String, error: &pem::Error) -> ConfigError {
    ConfigError::Content { what, place, reason: error.to_string() }
}
