//! Whether the other end's certificate is good enough.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::VerifierBuilderError;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::provider;
use crate::{Fingerprint, Issued, Principal, PrincipalError};

/// Who comes to a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Agents, and nobody else.
    Agents,
    /// People and programs that ask for faults, and nobody else.
    Control,
}

/// A certificate that the authority signed is not the one that is wanted here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not say who it is for.
    #[error("{0}")]
    Principal(#[from] PrincipalError),
    /// Only a controller is obeyed.
    #[error("{0} is no controller")]
    NoController(Principal),
    /// Somebody came to the wrong door.
    #[error("{0} does not come to this port")]
    WrongDoor(Principal),
    /// It was never issued here, or was revoked.
    #[error("the certificate {fingerprint} of {principal} is not among those that are issued")]
    NotIssued {
        /// Who it is for.
        principal: Principal,
        /// Which it is.
        fingerprint: Fingerprint,
    },
}

impl Refusal {
    /// Reads it off what TLS failed with.
    pub(super) fn of(error: &Error) -> Option<&Self> {
        let Error::InvalidCertificate(CertificateError::Other(OtherError(error))) = error else {
            return None;
        };
        error.downcast_ref()
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// Trusts a server that the authority names, and that is a controller.
#[derive(Debug)]
pub(super) struct ControllerOnly(Arc<WebPkiServerVerifier>);

impl ControllerOnly {
    pub(super) fn new(authority: &Arc<RootCertStore>) -> Result<Self, VerifierBuilderError> {
        let roots = Arc::clone(authority);
        WebPkiServerVerifier::builder_with_provider(roots, provider()).build().map(Self)
    }
}

impl ServerCertVerifier for ControllerOnly {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(certificate, chain, name, ocsp, now)?;
        match Principal::of(certificate).map_err(Refusal::from)?.0 {
            Principal::Controller(_) => Ok(verified),
            other @ (Principal::Agent(_) | Principal::User { .. }) => {
                Err(Refusal::NoController(other).into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Trusts a client that the authority names, that may come to this door, and that is issued.
#[derive(Debug)]
pub(super) struct Guest {
    inner: Arc<dyn ClientCertVerifier>,
    door: Door,
    issued: Arc<Issued>,
}

impl Guest {
    pub(super) fn new(
        authority: &Arc<RootCertStore>,
        door: Door,
        issued: Arc<Issued>,
    ) -> Result<Self, VerifierBuilderError> {
        let roots = Arc::clone(authority);
        let inner = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
        Ok(Self { inner, door, issued })
    }

    fn judge(&self, certificate: &CertificateDer<'_>) -> Result<(), Refusal> {
        let (principal, fingerprint) = Principal::of(certificate)?;
        match (self.door, &principal) {
            (Door::Agents, Principal::Agent(_)) | (Door::Control, Principal::User { .. }) => {}
            (Door::Agents, Principal::Controller(_) | Principal::User { .. })
            | (Door::Control, Principal::Controller(_) | Principal::Agent(_)) => {
                return Err(Refusal::WrongDoor(principal));
            }
        }
        match self.issued.contains(&fingerprint) {
            true => Ok(()),
            false => Err(Refusal::NotIssued { principal, fingerprint }),
        }
    }
}

impl ClientCertVerifier for Guest {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(certificate, chain, now)?;
        self.judge(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
