//! A dialled connection, served.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use proto::agent::agent_server::AgentServer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio_stream::StreamExt;
use tonic::transport::server::Connected;

use super::Stop;
use crate::server::Service;

/// After how much silence the other end is asked whether it is there: about 40 bytes each way with TLS. A controller's
/// heartbeat comes every 5 s at the latest, so that one that is well is not asked.
const ASK_EVERY: Duration = Duration::from_secs(6);
/// How long its answer may take: with the silence before it, a dead link is noticed within a lease.
const ANSWER_WITHIN: Duration = Duration::from_secs(9);

/// A connection that tells its end by letting go of what it holds.
struct Connection<S> {
    stream: S,
    _held: oneshot::Sender<Infallible>,
}

/// Serves until the connection ends; after a stop until what is under way has its answers.
pub(super) async fn serve<S>(
    service: AgentServer<Service>,
    stream: S,
    stop: &mut Stop,
) -> Result<(), tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (held, gone) = oneshot::channel();
    let connection = Connection { stream, _held: held };
    // One connection, and no end after it: the end of this stream would be a stop.
    let incoming =
        tokio_stream::once(Ok::<_, io::Error>(connection)).chain(tokio_stream::pending());
    let end = async {
        tokio::select! {
            // Nothing is ever sent: this is the end of the connection.
            _ = gone => {}
            () = stop.asked() => {}
        }
    };
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(ASK_EVERY))
        .http2_keepalive_timeout(Some(ANSWER_WITHIN))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, end)
        .await
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
