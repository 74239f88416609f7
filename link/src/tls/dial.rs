//! Dialling a controller.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Refusal;
use crate::HostPort;

/// How long names, the connection and the handshake may take together.
const PATIENCE: Duration = Duration::from_secs(10);

/// Dials controllers, and nobody else.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    patience: Duration,
}

/// A controller was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody listens, or the network is down.
    #[error("connect to {address}: {error}")]
    Connect {
        /// Where to.
        address: HostPort,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Its certificate is not the one that is wanted.
    #[error("{address} is no controller to trust: {refusal}")]
    Refused {
        /// Where to.
        address: HostPort,
        /// Why not.
        #[source]
        refusal: Refusal,
    },
    /// The two could not agree, or its certificate is not good.
    #[error("TLS with {address}: {error}")]
    Handshake {
        /// Where to.
        address: HostPort,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// Nothing came of it in time.
    #[error("{address} did not answer within {patience:?}")]
    Timeout {
        /// Where to.
        address: HostPort,
        /// How long it was waited for.
        patience: Duration,
    },
}

impl Connector {
    pub(super) fn new(config: ClientConfig) -> Self {
        Self { config: Arc::new(config), patience: PATIENCE }
    }

    /// The same, which gives up after `patience` (10 s otherwise).
    #[must_use]
    pub const fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects, and trusts whoever shows a controller's certificate for `name`.
    ///
    /// The other end judges our certificate after this has returned (TLS 1.3): a refusal by it is the
    /// error of the first read.
    ///
    /// # Errors
    /// Nobody is there, it does not answer in time, or it is not to be trusted.
    pub async fn dial(
        &self,
        address: &HostPort,
        name: &ServerName<'static>,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let both = async { self.secure(connect(address).await?, address, name).await };
        within(self.patience, address, both).await
    }

    /// The same over a connection that [`reach`] has made.
    ///
    /// # Errors
    /// It does not answer in time, or is not to be trusted.
    pub async fn over(
        &self,
        stream: TcpStream,
        address: &HostPort,
        name: &ServerName<'static>,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        within(self.patience, address, self.secure(stream, address, name)).await
    }

    async fn secure(
        &self,
        stream: TcpStream,
        address: &HostPort,
        name: &ServerName<'static>,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name.clone(), stream).await.map_err(|error| {
            let address = address.clone();
            match super::accept::refusal(&error) {
                Some(refusal) => DialError::Refused { address, refusal },
                None => DialError::Handshake { address, error },
            }
        })
    }
}

/// Connects to whoever listens at an address, and says nothing yet: for who reads what it shows only where somebody
/// is there.
///
/// # Errors
/// Nobody is there within 10 s.
pub async fn reach(address: &HostPort) -> Result<TcpStream, DialError> {
    within(PATIENCE, address, connect(address)).await
}

async fn connect(address: &HostPort) -> Result<TcpStream, DialError> {
    let unreached = |error| DialError::Connect { address: address.clone(), error };
    let host = address.host().to_str();
    let stream = TcpStream::connect((&*host, address.port())).await.map_err(unreached)?;
    stream.set_nodelay(true).map_err(unreached)?;
    Ok(stream)
}

async fn within<T>(
    patience: Duration,
    address: &HostPort,
    work: impl Future<Output = Result<T, DialError>>,
) -> Result<T, DialError> {
    let slow = |_| DialError::Timeout { address: address.clone(), patience };
    timeout(patience, work).await.map_err(slow)?
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("patience", &self.patience).finish_non_exhaustive()
    }
}
