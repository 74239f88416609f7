//! HTTP/2 over one connection that was made already.
//!
//! Without the queue and the reconnecting of `tonic`'s own channel: a connection is never made again, and
//! a thousand of them should be small.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, Uri};

/// How often the other end of a network is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// How long it may take to say so.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

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
        Self::begin(&http2::Builder::new(TokioExecutor::new()), stream).await
    }

    /// The same over a network, which may lose the other end without a word: whoever waits for an answer
    /// hears of it within half a minute.
    ///
    /// # Errors
    /// The other end is gone.
    pub(crate) async fn across<S>(stream: S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(ASK_EVERY)
            .keep_alive_timeout(ANSWER_WITHIN)
            .keep_alive_while_idle(true);
        Self::begin(&builder, stream).await
    }

    async fn begin<S>(builder: &http2::Builder<TokioExecutor>, stream: S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = builder.handshake(TokioIo::new(stream));
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

#[cfg(test)]
mod tests {
    use tower::Service as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_across_a_network_hears_that_the_other_end_is_lost() {
        // It takes what is said, and never answers.
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let mut direct = Direct::across(ours).await.unwrap();
        let request = Request::builder().uri(Direct::origin()).body(Body::empty()).unwrap();
        let limit = 2 * (ASK_EVERY + ANSWER_WITHIN);
        let answer = tokio::time::timeout(limit, direct.call(request)).await;
        assert!(answer.expect("it hangs").is_err());
        drop(theirs);
    }
}
