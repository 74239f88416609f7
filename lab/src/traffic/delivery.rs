//! How much of what one node sends arrives at another.

use std::{
    fmt, io,
    net::{TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use super::attempts;
use crate::topology::{Family, Node};

/// What a probe is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// One datagram per count.
    Udp,
    /// One connection per count, with its number as payload.
    Tcp,
}

/// What was sent, and what of it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// How many were sent. For TCP: connections that were tried.
    pub sent: u32,
    /// The numbers of those that arrived, from 0, in the order of their arrival, without
    /// duplicates.
    pub arrived: Vec<u32>,
    /// What the sender was told for those that it could not send or connect. A silent loss is none.
    pub errors: Vec<io::ErrorKind>,
}

impl Delivery {
    /// How many arrived.
    #[must_use]
    pub fn delivered(&self) -> u32 {
        u32::try_from(self.arrived.len()).unwrap_or(u32::MAX)
    }

    /// Whether all arrived.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.delivered() == self.sent
    }

    /// Whether nothing arrived.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.arrived.is_empty()
    }

    /// The share that arrived, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        f64::from(self.delivered()) / f64::from(self.sent.max(1))
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.delivered(), self.sent))
    }
}

/// Sends `count` datagrams or connections over IPv4 and says what arrived.
///
/// The limit is counted from the last datagram, or from the first connection attempt.
///
/// # Errors
/// When a socket can't be opened; loss is no error.
pub fn delivery(
    from: &Node,
    to: &Node,
    protocol: Protocol,
    count: u32,
    limit: Duration,
) -> io::Result<Delivery> {
    Probe::new(from, to, protocol).count(count).limit(limit).run()
}

/// A measurement of one direction, to be adjusted and run.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    from: &'a Node,
    to: &'a Node,
    protocol: Protocol,
    family: Family,
    count: u32,
    port: u16,
    source_port: u16,
    limit: Duration,
}

impl<'a> Probe<'a> {
    /// Twenty over IPv4 to any free port, with a limit of 200 ms.
    #[must_use]
    pub fn new(from: &'a Node, to: &'a Node, protocol: Protocol) -> Self {
        let limit = Duration::from_millis(200);
        let family = Family::V4;
        Self { from, to, protocol, family, count: 20, port: 0, source_port: 0, limit }
    }

    /// Over which family.
    #[must_use]
    pub fn family(self, family: Family) -> Self {
        Self { family, ..self }
    }

    /// How many. TCP uses a thread for each.
    #[must_use]
    pub fn count(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// The receiver's port instead of a free one.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The sender's port instead of a free one; for UDP, and for a single TCP connection.
    #[must_use]
    pub fn source_port(self, source_port: u16) -> Self {
        Self { source_port, ..self }
    }

    /// How long to wait for what is missing.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Sends, receives, and compares.
    ///
    /// # Errors
    /// When a socket can't be opened; loss is no error.
    pub fn run(&self) -> io::Result<Delivery> {
        match self.protocol {
            Protocol::Udp => self.run_udp(),
            Protocol::Tcp => self.run_tcp(),
        }
    }

    fn run_udp(&self) -> io::Result<Delivery> {
        let receiver = self.to.udp_socket(self.to.socket_address(self.family, self.port))?;
        let source = self.from.socket_address(self.family, self.source_port);
        let sender = self.from.udp_socket(source)?;
        let destination = receiver.local_addr()?;
        receiver.set_nonblocking(true)?;
        let mut arrivals = Arrivals { numbers: Vec::new(), count: self.count };
        let mut errors = Vec::new();
        for number in 0..self.count {
            if let Err(error) = sender.send_to(&number.to_be_bytes(), destination) {
                errors.push(error.kind());
            }
            // Taken at once, so that the receiver's buffer never overflows.
            while arrivals.take_one(&receiver)? {}
        }
        let deadline = Instant::now() + self.limit;
        receiver.set_nonblocking(false)?;
        while arrivals.numbers.len() < self.count as usize {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            receiver.set_read_timeout(Some(left))?;
            arrivals.take_one(&receiver)?;
        }
        Ok(Delivery { sent: self.count, arrived: arrivals.numbers, errors })
    }

    fn run_tcp(&self) -> io::Result<Delivery> {
        let listener = self.to.tcp_listener(self.to.socket_address(self.family, self.port))?;
        let to = listener.local_addr()?;
        let connect = |limit: Duration| -> io::Result<TcpStream> {
            match self.source_port {
                0 => TcpStream::connect_timeout(&to, limit),
                port => {
                    let local = self.from.socket_address(self.family, port);
                    self.from.tcp_connect_from(local, to, limit)
                }
            }
        };
        attempts::run(self.from, &listener, self.count, self.limit, connect)
    }
}

/// The numbers that arrived so far.
struct Arrivals {
    numbers: Vec<u32>,
    count: u32,
}

impl Arrivals {
    /// Takes one datagram; false when none is there (in time).
    fn take_one(&mut self, receiver: &UdpSocket) -> io::Result<bool> {
        let mut payload = [0; 4];
        match receiver.recv(&mut payload) {
            Ok(length) => {
                let number = u32::from_be_bytes(payload);
                if length == 4 && number < self.count && !self.numbers.contains(&number) {
                    self.numbers.push(number);
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
