//! Probes between two namespaces: proof from the traffic's own point of view.
//!
//! Sockets live only while probes are sent. Their ports are marked in both targets first, so that the
//! programs count them apart and draw their losses from another sequence.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use fault::{OwnAddress, Protocol};

use super::{KernelError, Linux, Place, ProbeOrder, ProbeResult, route};

/// Sends probes as ordered and counts what arrives.
pub(super) fn probe(kernel: &Linux, order: &ProbeOrder) -> Result<ProbeResult, KernelError> {
    let result = match order.protocol {
        Protocol::Udp => udp(kernel, order),
        Protocol::Tcp => tcp(kernel, order),
        Protocol::Icmp => Err(KernelError::Refused {
            reason: "ICMP is not probed".to_owned(),
            hint: "prove the cut by --proto udp or tcp".to_owned(),
        }),
    };
    for place in [&order.from, &order.to] {
        if let Some(instance) = kernel.loaded(place.identity.namespace) {
            instance.unmark_probes()?;
        }
    }
    result
}

fn mark(kernel: &Linux, order: &ProbeOrder, port: u16) -> Result<(), KernelError> {
    for place in [&order.from, &order.to] {
        if let Some(instance) = kernel.loaded(place.identity.namespace) {
            instance.mark_probe(order.protocol, port)?;
        }
    }
    Ok(())
}

/// An address of `to` that `from` has a network in common with, or else any that it could route to.
fn address_of(kernel: &Linux, from: &Place, to: &Place) -> Result<IpAddr, KernelError> {
    let read = || route::addresses().map(|(own, _)| own).map_err(KernelError::call("rtnetlink"));
    let (there, here) = (kernel.inside(to, read)?, kernel.inside(from, read)?);
    let fits = |own: &&OwnAddress| own.is_reachable() && !own.is_link_local();
    let shared = |own: &&OwnAddress| {
        here.iter().filter(fits).any(|mine| {
            let network = |address: IpAddr| {
                let bits = match address {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                    IpAddr::V6(v6) => v6.octets(),
                };
                let length = if address.is_ipv4() { 96 + mine.length } else { mine.length };
                fault::Prefix::new(bits, length, None).ok()
            };
            mine.address.is_ipv4() == own.address.is_ipv4()
                && network(mine.address) == network(own.address)
        })
    };
    let found = there.iter().filter(fits).find(shared).or_else(|| there.iter().find(fits));
    found.map(|own| own.address).ok_or_else(|| KernelError::Refused {
        reason: format!("{} has no address to probe", to.selector.scheme),
        hint: String::new(),
    })
}

fn any(address: IpAddr) -> SocketAddr {
    match address {
        IpAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn udp(kernel: &Linux, order: &ProbeOrder) -> Result<ProbeResult, KernelError> {
    let address = address_of(kernel, &order.from, &order.to)?;
    let call = KernelError::call;
    let receiver = kernel.inside(&order.to, || {
        UdpSocket::bind((address, order.port.unwrap_or(0))).map_err(call("bind a probe's receiver"))
    })?;
    let target = receiver.local_addr().map_err(call("getsockname"))?;
    let sender = kernel.inside(&order.from, || {
        UdpSocket::bind(any(address)).map_err(call("bind a probe's sender"))
    })?;
    let source = sender.local_addr().map_err(call("getsockname"))?.port();
    mark(kernel, order, source)?;
    let mut delivered = 0;
    let mut buffer = [0_u8; 8];
    for number in 0..order.count {
        let began = Instant::now();
        let text = number.to_be_bytes();
        // A sender that learns of an error (no route) has not delivered.
        let _ = sender.send_to(&text, target);
        delivered += u32::from(await_datagram(&receiver, &mut buffer, &text, order.timeout)?);
        pace(began, order.interval);
    }
    Ok(ProbeResult { sent: order.count, delivered })
}

/// Waits for this very datagram; older ones that come late do not count.
fn await_datagram(
    receiver: &UdpSocket,
    buffer: &mut [u8],
    text: &[u8],
    timeout: Duration,
) -> Result<bool, KernelError> {
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        receiver.set_read_timeout(Some(left)).map_err(KernelError::call("SO_RCVTIMEO"))?;
        match receiver.recv(buffer) {
            Ok(length) if &buffer[..length] == text => return Ok(true),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => return Ok(false),
            Err(error) => return Err(KernelError::call("receive a probe")(error)),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn tcp(kernel: &Linux, order: &ProbeOrder) -> Result<ProbeResult, KernelError> {
    let address = address_of(kernel, &order.from, &order.to)?;
    let call = KernelError::call;
    let listener = match order.port {
        Some(_) => None,
        None => Some(kernel.inside(&order.to, || {
            TcpListener::bind((address, 0)).map_err(call("bind a probe's listener"))
        })?),
    };
    let port = match (&listener, order.port) {
        (Some(listener), _) => listener.local_addr().map_err(call("getsockname"))?.port(),
        (None, Some(port)) => port,
        (None, None) => 0,
    };
    let mut delivered = 0;
    for _ in 0..order.count {
        let began = Instant::now();
        let socket = kernel.inside(&order.from, || {
            Caller::bind(any(address)).map_err(call("bind a probe's caller"))
        })?;
        mark(kernel, order, socket.port().map_err(call("getsockname"))?)?;
        let connected = socket.connect(SocketAddr::new(address, port), order.timeout);
        delivered += u32::from(connected.map_err(call("connect a probe"))?);
        pace(began, order.interval);
    }
    Ok(ProbeResult { sent: order.count, delivered })
}

fn pace(began: Instant, interval: Duration) {
    // The interval is what was asked for, not a wait for something.
    std::thread::sleep(interval.saturating_sub(began.elapsed()));
}

/// A TCP socket whose port is known before it calls: `std` has no such thing.
struct Caller(std::os::fd::OwnedFd);

impl Caller {
    fn bind(any: SocketAddr) -> io::Result<Self> {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, socket};
        use std::os::fd::AsRawFd;
        let family = if any.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(family, SockType::Stream, flags, None)?;
        bind(fd.as_raw_fd(), &SockaddrStorage::from(any))?;
        Ok(Self(fd))
    }

    fn port(&self) -> io::Result<u16> {
        use nix::sys::socket::{SockaddrStorage, getsockname};
        use std::os::fd::AsRawFd;
        let name: SockaddrStorage = getsockname(self.0.as_raw_fd())?;
        let v4 = name.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::port);
        let v6 = || name.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::port);
        v4.or_else(v6).ok_or_else(|| io::Error::other("no port"))
    }

    /// Whether the connection opened in time. A refusal is an answer, so the call did arrive.
    fn connect(&self, to: SocketAddr, timeout: Duration) -> io::Result<bool> {
        use nix::errno::Errno;
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use nix::sys::socket::{SockaddrStorage, connect, getsockopt, sockopt};
        use std::os::fd::{AsFd, AsRawFd};
        match connect(self.0.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) => return Ok(true),
            Err(Errno::EINPROGRESS) => {}
            Err(Errno::ECONNREFUSED) => return Ok(true),
            Err(_) => return Ok(false),
        }
        let wait = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let mut interest = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut interest, wait)? == 0 {
            return Ok(false);
        }
        Ok(matches!(getsockopt(&self.0, sockopt::SocketError)?, 0 | libc::ECONNREFUSED))
    }
}
