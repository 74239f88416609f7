//! Connections, with and without TLS.

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::GatewayUrl;

pub(super) async fn dial(
    at: GatewayUrl,
    tls: Option<TlsConnector>,
) -> Result<TokioIo<Box<dyn Stream>>, std::io::Error> {
    let stream = TcpStream::connect((at.host(), at.port())).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        let stream: Box<dyn Stream> = Box::new(stream);
        return Ok(TokioIo::new(stream));
    };
    let name = ServerName::try_from(at.host().to_owned()).map_err(std::io::Error::other)?;
    let stream: Box<dyn Stream> = Box::new(tls.connect(name, stream).await?);
    Ok(TokioIo::new(stream))
}

/// A connection, with or without TLS.
pub(super) trait Stream:
    tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin
{
}

impl Stream for TcpStream {}

impl Stream for tokio_rustls::client::TlsStream<TcpStream> {}
