//! One question to one member, over HTTP/1.1.

use std::{fmt, sync::Arc, time::Duration};

use fault::Legible;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::endpoint::{Endpoint, Transport};
use super::view::MemberId;

/// No answer of etcd's is longer: its members fit into some kilobytes.
const LONGEST: usize = 1 << 20;

/// No head of an answer is longer, in bytes.
const LONGEST_HEAD: usize = 64 << 10;

/// Why a member said nothing that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// It was added and has not told its addresses yet.
    #[error("it has not started yet")]
    NotStarted,
    /// None of what it calls its client URLs is one that can be asked.
    #[error("{0}")]
    Url(String),
    /// https without credentials.
    #[error("it wants TLS, and there is no authority configured for etcd")]
    NoCredentials,
    /// Nothing in time.
    #[error("it did not answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// No connection, with or without a name that could be resolved.
    #[error("no connection: {0}")]
    Connect(String),
    /// No TLS, or a certificate that nobody vouches for.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The connection broke, or what came is not HTTP.
    #[error("no answer: {0}")]
    Broken(String),
    /// More than an answer of etcd's.
    #[error("an answer of more than {LONGEST} bytes")]
    TooLong,
    /// An error of etcd's, or of somebody before it.
    #[error("it answered {status}: {}", Legible(said))]
    Status {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        said: String,
    },
    /// Not what etcd says.
    #[error("not an answer of etcd's: {0}")]
    Malformed(String),
    /// At its URL somebody else of the cluster answers: a balancer, or an address that many have.
    #[error("at its URL the member {0} answers")]
    Other(MemberId),
}

/// Asks etcd's gateway an empty question.
pub(super) async fn ask<T: DeserializeOwned>(
    endpoint: &Endpoint,
    path: &str,
    tls: Option<Arc<ClientConfig>>,
    patience: Duration,
) -> Result<T, Silence> {
    let asked = async {
        let stream = match endpoint.at {
            Some(address) => TcpStream::connect((address, endpoint.port)).await,
            None => TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await,
        };
        let stream = stream.map_err(|error| Silence::Connect(error.to_string()))?;
        match (endpoint.transport, tls) {
            (Transport::Plain, _) => exchange(endpoint, path, stream).await,
            (Transport::Tls, None) => Err(Silence::NoCredentials),
            (Transport::Tls, Some(tls)) => {
                let name = ServerName::try_from(endpoint.host.clone());
                let name = name.map_err(|error| Silence::Tls(error.to_string()))?;
                let stream = TlsConnector::from(tls).connect(name, stream).await;
                let stream = stream.map_err(|error| Silence::Tls(error.to_string()))?;
                exchange(endpoint, path, stream).await
            }
        }
    };
    let body = timeout(patience, asked).await.map_err(|_| Silence::Late(patience))??;
    serde_json::from_slice(&body).map_err(|error| Silence::Malformed(error.to_string()))
}

async fn exchange<S>(endpoint: &Endpoint, path: &str, stream: S) -> Result<Bytes, Silence>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut client = http1::Builder::new();
    client.max_buf_size(LONGEST_HEAD);
    let (mut sender, connection) =
        client.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    // Its end is told through the sender; dropped with this future.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, endpoint.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from_static(b"{}")))
        .map_err(|error| Silence::Url(error.to_string()))?;
    let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let status = answer.status();
    let body = whole(answer.into_body()).await?;
    match status {
        StatusCode::OK => Ok(body),
        status => {
            let said = String::from_utf8_lossy(&body).into_owned();
            Err(Silence::Status { status: status.as_u16(), said })
        }
    }
}

async fn whole(body: Incoming) -> Result<Bytes, Silence> {
    match Limited::new(body, LONGEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Silence::TooLong),
        Err(error) => Err(Silence::Broken(error.to_string())),
    }
}

/// hyper says what it did, and its source why.
fn broken(error: &hyper::Error) -> Silence {
    let why: &dyn fmt::Display = match std::error::Error::source(error) {
        Some(ref source) => &source.to_string(),
        None => error,
    };
    Silence::Broken(why.to_string())
}
