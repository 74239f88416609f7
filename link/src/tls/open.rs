//! TLS in which only the controller has a certificate: who dials shows by other means who it is.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::accept::PATIENCE;
use super::material::{certificates, verifier, verifier_error};
use super::verify::ControllerOnly;
use super::{AcceptError, Connector, MaterialError, provider};
use crate::{Principal, PrincipalError};

/// Lets in whoever trusts the own certificate, which may be renewed.
#[derive(Debug)]
pub struct OpenDoor(RwLock<Arc<ServerConfig>>);

/// A certificate with which nobody can be let in. Nothing of a key is told.
#[derive(Debug, thiserror::Error)]
pub enum OpenDoorError {
    /// It is no certificate, or the key is not its own.
    #[error("the certificate or its key cannot be used: {0}")]
    Unusable(String),
    /// Others would not take it for a controller.
    #[error("only a controller listens, and this certificate is for {0}")]
    NoController(Principal),
    /// It does not say who it is for.
    #[error("the own certificate is {0}")]
    Principal(#[from] PrincipalError),
}

impl OpenDoor {
    /// Shows this certificate, and those between it and the authority; both PEM.
    ///
    /// # Errors
    /// It is no controller's, or cannot be used.
    pub fn new(certificate: &str, key: &str) -> Result<Self, OpenDoorError> {
        Ok(Self(RwLock::new(config(certificate, key)?)))
    }

    /// Shows another one from now on. Connections that stand are not touched.
    ///
    /// # Errors
    /// It is no controller's, or cannot be used: the one before is shown on.
    pub fn renew(&self, certificate: &str, key: &str) -> Result<(), OpenDoorError> {
        let config = config(certificate, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Does the handshake, within five seconds. Who is at the other end is not known then.
    ///
    /// # Errors
    /// The other end does not trust us, speaks no TLS 1.3, or did not finish in time.
    pub async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, AcceptError> {
        stream.set_nodelay(true)?;
        let config = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let handshake = TlsAcceptor::from(config).accept(stream);
        let done =
            timeout(PATIENCE, handshake).await.map_err(|_| AcceptError::Timeout(PATIENCE))?;
        Ok(done?)
    }
}

fn config(certificate: &str, key: &str) -> Result<Arc<ServerConfig>, OpenDoorError> {
    let unusable = |why: String| OpenDoorError::Unusable(why);
    // The parser's own words may repeat a line of a key.
    let damaged = |_| unusable("its PEM form cannot be read".to_owned());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(damaged)?;
    let own = chain.first().ok_or_else(|| unusable("there is none".to_owned()))?;
    match Principal::of(own)?.0 {
        Principal::Controller(_) => {}
        other @ (Principal::Agent(_) | Principal::User { .. }) => {
            return Err(OpenDoorError::NoController(other));
        }
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(damaged)?;
    let failed = |error: rustls::Error| unusable(error.to_string());
    CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()).map_err(failed)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(failed)?;
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What dials controllers that an authority of a file vouches for, and nobody else, without showing anything.
///
/// # Errors
/// The file cannot be read, or holds no authority.
pub fn dial_without_certificate(ca: &Path) -> Result<Connector, MaterialError> {
    let mut authority = RootCertStore::empty();
    for certificate in certificates(ca)? {
        let path = ca.to_owned();
        authority.add(certificate).map_err(|error| MaterialError::Authority { path, error })?;
    }
    let only = ControllerOnly::new(&Arc::new(authority)).map_err(verifier)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(verifier_error)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(only))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Connector::new(config))
}
