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
/// How much of one answer may be on its way before somebody reads it (bytes).
const STREAM_WINDOW: u32 = 256 << 10;
/// How much of all answers together (bytes): that of sixteen. An agent has at most two captures and four logs on their
/// way at once, so that those which nobody reads never keep what renews leases from coming.
const CONNECTION_WINDOW: u32 = 16 * STREAM_WINDOW;

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
        Self::begin(http2::Builder::new(TokioExecutor::new()), stream).await
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
        Self::begin(builder, stream).await
    }

    async fn begin<S>(mut builder: http2::Builder<TokioExecutor>, stream: S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        builder
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
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
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use hyper::body::{Bytes, Frame};
    use hyper::server::conn::http2 as server;
    use hyper::service::service_fn;
    use tower::Service as _;

    use super::*;

    fn request(path: &str) -> Request<Body> {
        Request::builder().uri(format!("http://schism{path}")).body(Body::empty()).unwrap()
    }

    /// Answers for ever at `/endless`, and shortly elsewhere.
    async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let body = match request.uri().path() {
            "/endless" => {
                let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 16 << 10])));
                Body::new(StreamBody::new(stream::repeat_with(piece)))
            }
            _ => Body::new(Full::new(Bytes::from_static(b"here"))),
        };
        Ok(Response::new(body))
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_nobody_reads_keep_no_other_from_coming() {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let serving = server::Builder::new(TokioExecutor::new());
        tokio::spawn(serving.serve_connection(TokioIo::new(theirs), service_fn(answer)));
        let mut direct = Direct::over(ours).await.unwrap();
        let mut unread = Vec::new();
        for _ in 0..6 {
            unread.push(direct.call(request("/endless")).await.unwrap());
        }
        // Time goes on when nobody has anything to do: as much is on its way as may be.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let short = async {
            let answer = direct.call(request("/short")).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        };
        let answer = tokio::time::timeout(Duration::from_secs(60), short).await;
        assert_eq!(answer.expect("it waits behind what nobody reads"), "here");
        drop(unread);
    }

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
