//! Long-lived TCP connections with an echo at the other end.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::SockRef;

use crate::topology::Node;

/// A server inside a node's namespace that sends back what it gets; ends with its handle.
#[derive(Debug)]
pub struct EchoServer {
    listener: Arc<TcpListener>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    accepting: Option<JoinHandle<()>>,
}

impl EchoServer {
    /// Listens on this address of the node (port 0: any).
    ///
    /// # Errors
    /// When the address is taken or not the node's.
    pub fn start(node: &Node, local: SocketAddr) -> io::Result<Self> {
        let listener = Arc::new(node.tcp_listener(local)?);
        let open = Arc::new(Mutex::new(Vec::new()));
        let accepting = {
            let (listener, open) = (Arc::clone(&listener), Arc::clone(&open));
            thread::spawn(move || accept(&listener, &open))
        };
        Ok(Self { listener, open, accepting: Some(accepting) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        // Linux wakes who waits in accept(2) when the listening socket is shut down.
        let _: io::Result<()> = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        if let Some(accepting) = self.accepting.take() {
            let _: thread::Result<()> = accepting.join();
        }
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _: io::Result<()> = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, open: &Mutex<Vec<TcpStream>>) {
    while let Ok((stream, _)) = listener.accept() {
        let _: io::Result<()> = stream.set_nodelay(true);
        if let Ok(handle) = stream.try_clone() {
            open.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        }
        thread::spawn(move || {
            // Ends when either side closes.
            let _: io::Result<u64> = io::copy(&mut &stream, &mut &stream);
        });
    }
}

/// A connection to an [`EchoServer`], to be used again and again.
#[derive(Debug)]
pub struct EchoConnection {
    stream: TcpStream,
    count: u64,
}

impl EchoConnection {
    /// Opens a connection from a node, with a limit for the handshake.
    ///
    /// # Errors
    /// As [`Node::tcp_connect`].
    pub fn open(from: &Node, server: SocketAddr, limit: Duration) -> io::Result<Self> {
        Self::over(from.tcp_connect(server, limit)?)
    }

    /// Uses a connection that is open already.
    ///
    /// # Errors
    /// When the socket takes no options.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, count: 0 })
    }

    /// The connection's own address and port.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Sends a number and waits for it to come back; the time that took.
    ///
    /// After a `TimedOut` the connection can be used again: late echoes are passed over.
    ///
    /// # Errors
    /// `TimedOut` when it does not come back within the limit; else what the kernel says, such as
    /// `ConnectionReset`.
    pub fn round_trip(&mut self, limit: Duration) -> io::Result<Duration> {
        let began = Instant::now();
        self.count += 1;
        self.stream.write_all(&self.count.to_be_bytes())?;
        loop {
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut echo = [0; 8];
            match self.stream.read_exact(&mut echo) {
                Ok(()) if u64::from_be_bytes(echo) == self.count => return Ok(began.elapsed()),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            }
        }
    }
}
