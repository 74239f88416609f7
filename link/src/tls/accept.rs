//! Letting somebody in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, sink};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Refusal;
use crate::{Fingerprint, Principal, PrincipalError};

/// How long a handshake may take: a peer that never speaks must not hold its slot.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a refused peer may take to read why.
const PARTING: Duration = Duration::from_secs(1);
/// How much of what a refused peer still sends is read; closing with unread bytes would reset the
/// connection (RFC 2525 2.17), and the peer would not learn why.
const PARTING_BYTES: u64 = 64 << 10;

/// Lets those in who may come to one door.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    patience: Duration,
}

/// Somebody who was let in.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// Who it is.
    pub principal: Principal,
    /// By which certificate. It may be revoked while the connection lasts: [`crate::Issued::contains`].
    pub fingerprint: Fingerprint,
}

/// Somebody was not let in.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The authority signed its certificate, but this is not its place.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// It has no good certificate, speaks no TLS 1.3, or went away.
    #[error("TLS: {0}")]
    Handshake(#[from] io::Error),
    /// It did not finish in time.
    #[error("no handshake within {0:?}")]
    Timeout(Duration),
}

impl Acceptor {
    pub(super) fn new(config: ServerConfig) -> Self {
        Self { config: Arc::new(config), patience: PATIENCE }
    }

    /// The same, which gives up after `patience` (5 s otherwise).
    #[must_use]
    pub const fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Does the handshake, and tells who it is. Returns at the latest a second after its patience.
    ///
    /// # Errors
    /// The peer is not to be let in, or did not finish in time.
    pub async fn accept(&self, stream: TcpStream) -> Result<Accepted, AcceptError> {
        stream.set_nodelay(true)?;
        let handshake = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).into_fallible();
        let stream = match timeout(self.patience, handshake).await {
            Err(_) => return Err(AcceptError::Timeout(self.patience)),
            Ok(Err((error, stream))) => {
                part(stream).await;
                return Err(match refusal(&error) {
                    Some(refusal) => AcceptError::Refused(refusal),
                    None => AcceptError::Handshake(error),
                });
            }
            Ok(Ok(stream)) => stream,
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let nobody = Refusal::Principal(PrincipalError::Nobody);
        let (principal, fingerprint) =
            Principal::of(shown.ok_or(nobody)?).map_err(Refusal::Principal)?;
        Ok(Accepted { stream, principal, fingerprint })
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// Lets the peer read why before the connection goes.
async fn part(mut stream: TcpStream) {
    // It is refused already; whether it hears why is its own matter.
    let _ = timeout(PARTING, async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(PARTING_BYTES), &mut sink()).await
    })
    .await;
}

/// Why a certificate was refused, where that is why TLS failed.
pub(super) fn refusal(error: &io::Error) -> Option<Refusal> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Refusal::of(error).cloned()
}
