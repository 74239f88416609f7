//! HTTP/2 over one connection that was made already.
//!
//! Without the queue and the reconnecting of `tonic`'s own channel: a connection is never made again, and
//! a thousand of them should be small.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, Uri};

/// Calls over a connection, which lives as long as anybody holds a clone of this.
#[derive(Clone, Debug)]
pub(crate) struct Direct(http2::SendRequest<Body>);

impl Direct {
    /// Begins HTTP/2 on a connection.
    ///
    /// # Errors
    /// The other end is gone.
    pub(crate) async fn over<S>(stream: S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (requests, connection) = handshake.await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            // Whoever waits for an answer hears how it ended.
            let _ = connection.await;
        });
        Ok(Self(requests))
    }

    /// A name for requests, which is looked up nowhere.
    pub(crate) fn origin() -> Uri {
        Uri::from_static("http://schism")
    }
}

impl tower::Service<Request<Body>> for Direct {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
