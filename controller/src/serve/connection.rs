//! A connection that says who is at its other end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use link::{Accepted, Principal, Role};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::caller::Caller;
use super::revocation::Revocable;

/// A stream, and who is at its other end: tonic gives that to each request.
pub(super) struct Introduced<S> {
    stream: S,
    caller: Caller,
}

impl From<UnixStream> for Introduced<UnixStream> {
    fn from(stream: UnixStream) -> Self {
        let caller = Caller::local(stream.peer_cred().ok().map(|peer| peer.uid()));
        Self { stream, caller }
    }
}

impl Introduced<Revocable<TlsStream<TcpStream>>> {
    /// By a certificate, for as long as that is admitted.
    pub(super) fn new(accepted: Accepted, connected: &super::revocation::Connected) -> Self {
        let name = accepted.principal.to_string();
        let role = match accepted.principal {
            Principal::User { role, .. } => role,
            // The door lets in users alone; whoever else came by would only look.
            Principal::Agent(_) | Principal::Controller(_) => Role::Viewer,
        };
        let stream = connected.hold(accepted.stream, accepted.fingerprint);
        Self { stream, caller: Caller { name, role } }
    }
}

impl<S> Connected for Introduced<S> {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Introduced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Introduced<S> {
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
}
