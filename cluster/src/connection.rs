//! Connections to an API server, and those that wait to be used again.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::TlsConnector;

use crate::{
    asked::Counters,
    config::Config,
    error::Cause,
    login::{Logins, Shown},
    server::Plain,
    tls,
};

/// No head of an answer is longer, in bytes.
const LONGEST_HEAD: usize = 64 << 10;

/// A connection that was not used for so long is not used again: the other end may just be closing it.
const IDLE: Duration = Duration::from_secs(20);

/// How many wait to be used again.
const MOST_IDLE: usize = 8;

/// How long the other end of a connection may be silent before it is asked whether it is there, and how long
/// sent bytes may stay unacknowledged: one watch has nothing to say for minutes.
const SILENCE: Duration = Duration::from_secs(10);

/// One connection over which one request goes at a time.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// As whom it was opened.
    shown: Shown,
    /// Dropped with the connection, which ends it.
    _driver: JoinSet<()>,
}

/// Where an API server is, and connections to it.
pub(crate) struct Connections {
    config: Config,
    logins: Logins,
    idle: Mutex<Vec<(Connection, Instant)>>,
    asked: Counters,
}

impl Connections {
    pub(crate) fn new(config: Config) -> Self {
        let logins = Logins::new(config.login.clone());
        Self { config, logins, idle: Mutex::default(), asked: Counters::default() }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// As whom one asks.
    pub(crate) fn logins(&self) -> &Logins {
        &self.logins
    }

    /// What was sent so far.
    pub(crate) fn asked(&self) -> &Counters {
        &self.asked
    }

    /// Sends a request over a connection that waits, or over a new one, as whoever is shown.
    pub(crate) async fn send(
        &self,
        request: &Request<Full<Bytes>>,
        shown: &Shown,
    ) -> Result<(Response<Incoming>, Connection), Cause> {
        self.asked.count(request.method(), request.uri());
        while let Some(mut connection) = self.take(shown) {
            if connection.sender.ready().await.is_err() {
                continue;
            }
            match connection.sender.try_send_request(request.clone()).await {
                Ok(answer) => return Ok((answer, connection)),
                Err(mut failed) => {
                    // It had ended, and nothing was sent; or reading again changes nothing.
                    let unsent = failed.take_message().is_some();
                    if !unsent && request.method() != hyper::Method::GET {
                        return Err(broken(failed.error()));
                    }
                }
            }
        }
        let mut connection = self.dial(shown).await?;
        let answer = connection.sender.send_request(request.clone()).await;
        Ok((answer.map_err(|error| broken(&error))?, connection))
    }

    /// Has a connection wait whose last answer was read to its end.
    pub(crate) fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        if idle.len() < MOST_IDLE && !connection.sender.is_closed() {
            idle.push((connection, Instant::now()));
        }
    }

    fn take(&self, shown: &Shown) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = idle.pop() {
            let is_fit = !connection.sender.is_closed() && connection.shown.is_same_end(shown);
            if since.elapsed() < IDLE && is_fit {
                return Some(connection);
            }
        }
        None
    }

    async fn dial(&self, shown: &Shown) -> Result<Connection, Cause> {
        let server = &self.config.server;
        let failed = |reason: String| Cause::Connect { server: server.to_string(), reason };
        let stream = TcpStream::connect((server.host(), server.port())).await;
        let stream = stream.map_err(|error| failed(error.to_string()))?;
        notice_silence(&stream).map_err(|error| failed(error.to_string()))?;
        match server.plain {
            Plain::Http => handshake(stream, shown).await,
            Plain::Https => {
                let unsure = |reason: String| Cause::Tls { server: server.to_string(), reason };
                let config = tls::config(&self.config, shown.identity())?;
                let name = self.config.server_name.as_deref().unwrap_or(server.host());
                let name = ServerName::try_from(name.to_owned());
                let name = name.map_err(|error| unsure(error.to_string()))?;
                let stream = TlsConnector::from(config).connect(name, stream).await;
                handshake(stream.map_err(|error| unsure(error.to_string()))?, shown).await
            }
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("config", &self.config).finish_non_exhaustive()
    }
}

async fn handshake<S>(stream: S, shown: &Shown) -> Result<Connection, Cause>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut client = http1::Builder::new();
    client.max_buf_size(LONGEST_HEAD);
    let (sender, connection) =
        client.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Its end is told through the sender.
        let _ = connection.await;
    });
    Ok(Connection { sender, shown: shown.clone(), _driver: driver })
}

/// Has the kernel end a connection whose other end is silent.
fn notice_silence(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 4);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(SILENCE * 2))
}

/// hyper says what it did, and its source why.
pub(crate) fn broken(error: &hyper::Error) -> Cause {
    let why: &dyn fmt::Display = match std::error::Error::source(error) {
        Some(ref source) => &source.to_string(),
        None => error,
    };
    Cause::Broken(why.to_string())
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
