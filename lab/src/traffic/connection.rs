//! Sockets inside a node's namespace, usable from every thread.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::topology::Node;

impl Node {
    /// A UDP socket inside, bound to this address (port 0: any).
    ///
    /// # Errors
    /// When the address is taken or not the node's.
    pub fn udp_socket(&self, local: SocketAddr) -> io::Result<UdpSocket> {
        self.within(|| UdpSocket::bind(local))
    }

    /// A TCP listener inside, bound to this address (port 0: any).
    ///
    /// # Errors
    /// When the address is taken or not the node's.
    pub fn tcp_listener(&self, local: SocketAddr) -> io::Result<TcpListener> {
        self.within(|| TcpListener::bind(local))
    }

    /// Opens a TCP connection from inside, with a limit for the handshake.
    ///
    /// # Errors
    /// `TimedOut` when nobody answers in time; else what the kernel says, such as
    /// `ConnectionRefused`.
    pub fn tcp_connect(&self, remote: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
        self.within(|| TcpStream::connect_timeout(&remote, limit))
    }

    /// Opens a TCP connection from a fixed source address and port, which may be in TIME_WAIT.
    ///
    /// # Errors
    /// As [`Node::tcp_connect`], and when the source is taken.
    pub fn tcp_connect_from(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        limit: Duration,
    ) -> io::Result<TcpStream> {
        self.within(|| {
            let socket = Socket::new(Domain::for_address(remote), Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&local.into())?;
            socket.connect_timeout(&remote.into(), limit)?;
            Ok(socket.into())
        })
    }

    fn within<T: Send>(&self, open: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.namespace.inside(open).map_err(io::Error::other)?
    }
}
