//! Connections that say who is at their other end.

use std::pin::Pin;
use std::task::{Context, Poll};

use link::{Accepted, Principal};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::caller::Caller;

/// What gRPC is served on.
pub(super) trait Connection:
    AsyncRead + AsyncWrite + Connected<ConnectInfo = Caller> + Send + Unpin + 'static
{
}

impl Connection for Local {}
impl Connection for Known {}

/// Somebody on this machine who may open the socket.
pub(super) struct Local(pub(super) UnixStream);

/// Somebody with a certificate.
pub(super) struct Known {
    stream: TlsStream<TcpStream>,
    caller: Caller,
}

impl From<Accepted> for Known {
    fn from(accepted: Accepted) -> Self {
        let name = accepted.principal.to_string();
        let role = match accepted.principal {
            Principal::User { role, .. } => role,
            // The door lets in users alone; whoever else came by would only look.
            Principal::Agent(_) | Principal::Controller(_) => link::Role::Viewer,
        };
        Self { stream: accepted.stream, caller: Caller { name, role } }
    }
}

impl Connected for Local {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        Caller::local(self.0.peer_cred().map_or(u32::MAX, |peer| peer.uid()))
    }
}

impl Connected for Known {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

macro_rules! io {
    ($type:ty, $field:tt) => {
        impl AsyncRead for $type {
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<std::io::Result<()>> {
                Pin::new(&mut self.$field).poll_read(context, buffer)
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<std::io::Result<usize>> {
                Pin::new(&mut self.$field).poll_write(context, bytes)
            }

            fn poll_flush(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<std::io::Result<()>> {
                Pin::new(&mut self.$field).poll_flush(context)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<std::io::Result<()>> {
                Pin::new(&mut self.$field).poll_shutdown(context)
            }
        }
    };
}

io!(Local, 0);
io!(Known, stream);
