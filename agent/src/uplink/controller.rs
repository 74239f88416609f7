//! Which controller, and as whom it is dialled.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fault::NodeName;
use link::{DialError, Files, HostPort, MaterialError, Principal, ServerName};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};

use super::certificate::Certificate;
use super::token::{TokenError, TokenFile};

/// How long sent bytes may stay unacknowledged before the kernel gives the connection up: as long as an
/// answer to HTTP/2's question takes at most.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// Where the controller is, and all that it takes to be let in.
#[derive(Clone, Debug)]
pub struct Controller {
    address: HostPort,
    name: ServerName<'static>,
    proof: Proof,
}

/// By what the controller knows this agent.
#[derive(Clone, Debug)]
enum Proof {
    /// A certificate.
    Certificate(Arc<Certificate>),
    /// A token, which is shown in the hello; the authority is read anew for each connection.
    Token { ca: PathBuf, token: TokenFile },
}

/// The controller was not reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    /// Its authority cannot be read now.
    #[error("{0}")]
    Material(#[from] MaterialError),
    /// It was dialled in vain.
    #[error("{0}")]
    Dial(#[from] DialError),
}

/// The controller could not be dialled with this.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The files cannot be used.
    #[error("{0}")]
    Material(#[from] MaterialError),
    /// There is no token.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// The certificate is for somebody else.
    #[error(
        "{} is for {found}, and this is the agent of node {node}: name the node of the certificate \
         with --node, or have one issued for schism://agent/{node}", certificate.display()
    )]
    Other {
        /// Whose it is.
        found: Principal,
        /// Which node this is.
        node: NodeName,
        /// Where it is.
        certificate: std::path::PathBuf,
    },
}

impl Controller {
    /// Reads the files, as it does for each connection again. `name` is what the controller's certificate must be for,
    /// where that is not the host of `address`. The node is the one that the own certificate names, or none.
    ///
    /// # Errors
    /// The files cannot be used, or the certificate is not this node's agent's.
    pub fn new(
        address: HostPort,
        name: Option<ServerName<'static>>,
        files: &Files,
        node: &NodeName,
    ) -> Result<Self, ControllerError> {
        let certificate = Certificate::load(files, node)?;
        let name = name.unwrap_or_else(|| address.host().clone());
        Ok(Self { address, name, proof: Proof::Certificate(Arc::new(certificate)) })
    }

    /// The same for an agent that proves itself by a token. Reads the files, to say at once if they cannot be
    /// used.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn by_token(
        address: HostPort,
        name: Option<ServerName<'static>>,
        ca: &Path,
        token: &Path,
    ) -> Result<Self, ControllerError> {
        link::dial_without_certificate(ca)?;
        let proof = Proof::Token { ca: ca.to_owned(), token: TokenFile::new(token)? };
        let name = name.unwrap_or_else(|| address.host().clone());
        Ok(Self { address, name, proof })
    }

    /// What is shown in the hello.
    #[must_use]
    pub fn token(&self) -> Option<TokenFile> {
        match &self.proof {
            Proof::Certificate(_) => None,
            Proof::Token { token, .. } => Some(token.clone()),
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> &HostPort {
        &self.address
    }

    /// The addresses that its name has now; its own where it has no other name.
    ///
    /// # Errors
    /// The name is not known, or nobody says what it means.
    pub(super) async fn addresses(&self) -> io::Result<BTreeSet<IpAddr>> {
        let host = self.address.host().to_str();
        let found = tokio::net::lookup_host((&*host, self.address.port())).await?;
        Ok(found.map(|one| one.ip().to_canonical()).collect())
    }

    /// Connects to it at one of its addresses.
    ///
    /// # Errors
    /// It was not reached, or is not to be trusted.
    pub(super) async fn dial(
        &self,
        at: IpAddr,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Unreached> {
        let place = self.address.at(at);
        // Where no controller leads nobody listens, again and again: no file is read for that.
        let stream = link::reach(&place).await?;
        if let Err(error) = notice_silence(&stream) {
            tracing::debug!(%error, "TCP keepalive not set; HTTP/2 asks as well");
        }
        let connector = match &self.proof {
            Proof::Certificate(certificate) => certificate.connector(),
            Proof::Token { ca, .. } => link::dial_without_certificate(ca)?,
        };
        Ok(connector.over(stream, &place, &self.name).await?)
    }
}

/// Has the kernel end a connection whose other end is silent, also while nothing is served on it yet.
fn notice_silence(socket: &tokio::net::TcpStream) -> io::Result<()> {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &seconds(UNACKNOWLEDGED))?;
    setsockopt(socket, sockopt::TcpKeepInterval, &seconds(UNACKNOWLEDGED / 3))?;
    let millis = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    Ok(setsockopt(socket, sockopt::TcpUserTimeout, &millis)?)
}
