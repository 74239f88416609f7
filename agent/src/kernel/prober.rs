//! Probes between two namespaces: proof from the traffic's own point of view.
//!
//! Sockets live only while probes are sent. Their ports are marked in both targets first, so that the
//! programs count them apart and draw their losses from another sequence.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use fault::{OwnAddress, Protocol};
use nix::errno::Errno;

use super::instance::Instance;
use super::peers::mapped;
use super::{KernelError, Linux, Place, ProbeOrder, ProbeResult, route};

/// Sends probes as ordered and counts what arrives.
pub(super) fn probe(kernel: &Linux, order: &ProbeOrder) -> Result<ProbeResult, KernelError> {
    let marks = Marks { kernel, order, ports: RefCell::default() };
    match order.protocol {
        Protocol::Udp => udp(kernel, order, &marks),
        Protocol::Tcp => tcp(kernel, order, &marks),
        Protocol::Icmp => Err(KernelError::Refused {
            reason: "ICMP is not probed".to_owned(),
            hint: "prove the cut by --proto udp or tcp".to_owned(),
        }),
    }
}

/// The ports that are marked in both targets for as long as this lives.
struct Marks<'a> {
    kernel: &'a Linux,
    order: &'a ProbeOrder,
    ports: RefCell<Vec<u16>>,
}

impl Marks<'_> {
    fn instances(&self) -> impl Iterator<Item = Arc<Instance>> {
        let places = [&self.order.from, &self.order.to];
        places.into_iter().filter_map(|place| self.kernel.loaded(place.identity.namespace))
    }

    fn add(&self, port: u16) -> Result<(), KernelError> {
        self.ports.borrow_mut().push(port);
        self.instances().try_for_each(|instance| instance.mark_probe(self.order.protocol, port))
    }
}

impl Drop for Marks<'_> {
    fn drop(&mut self) {
        for instance in self.instances() {
            instance.unmark_probes(self.order.protocol, &self.ports.borrow());
        }
    }
}

/// An address of `to` that `from` has a network in common with, or else any that it could route to.
fn address_of(kernel: &Linux, from: &Place, to: &Place) -> Result<IpAddr, KernelError> {
    let read = || route::addresses().map(|(own, _)| own).map_err(KernelError::call("rtnetlink"));
    let (there, here) = (kernel.inside(to, read)?, kernel.inside(from, read)?);
    let fits = |own: &&OwnAddress| own.is_reachable() && !own.is_link_local();
    let shared = |own: &&OwnAddress| {
        here.iter().filter(fits).any(|mine| {
            let network = |address: IpAddr| {
                let length = if address.is_ipv4() { 96 + mine.length } else { mine.length };
                fault::Prefix::new(mapped(address), length, None).ok()
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

fn udp(kernel: &Linux, order: &ProbeOrder, marks: &Marks) -> Result<ProbeResult, KernelError> {
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
    marks.add(source)?;
    let mut arrived = BTreeSet::new();
    for number in 0..order.count {
        let began = Instant::now();
        // A sender that learns of an error (no route) has not delivered.
        let _ = sender.send_to(&number.to_be_bytes(), target);
        while receive(&receiver, source, &mut arrived, began + order.interval)? {}
    }
    let until = Instant::now() + order.timeout;
    while arrived.len() < order.count as usize && receive(&receiver, source, &mut arrived, until)? {
    }
    let delivered = u32::try_from(arrived.len()).unwrap_or(order.count);
    Ok(ProbeResult { sent: order.count, delivered })
}

/// Takes one datagram; false if none came until then.
fn receive(
    receiver: &UdpSocket,
    source: u16,
    arrived: &mut BTreeSet<u32>,
    until: Instant,
) -> Result<bool, KernelError> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(false);
    }
    receiver.set_read_timeout(Some(left)).map_err(KernelError::call("SO_RCVTIMEO"))?;
    let mut buffer = [0_u8; 4];
    match receiver.recv_from(&mut buffer) {
        Ok((4, from)) if from.port() == source => {
            arrived.insert(u32::from_be_bytes(buffer));
            Ok(true)
        }
        // Somebody else's.
        Ok(_) => Ok(true),
        Err(error) if is_timeout(&error) => Ok(false),
        Err(error) => Err(KernelError::call("receive a probe")(error)),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn tcp(kernel: &Linux, order: &ProbeOrder, marks: &Marks) -> Result<ProbeResult, KernelError> {
    let address = address_of(kernel, &order.from, &order.to)?;
    let call = KernelError::call;
    let listener = match order.port {
        Some(_) => None,
        None => Some(kernel.inside(&order.to, || {
            TcpListener::bind((address, 0)).map_err(call("bind a probe's listener"))
        })?),
    };
    let own = |listener: &TcpListener| listener.local_addr().map(|own| own.port());
    let port = match (&listener, order.port) {
        (_, Some(port)) => port,
        (Some(listener), None) => own(listener).map_err(call("getsockname"))?,
        (None, None) => 0,
    };
    let mut calling = Vec::new();
    for _ in 0..order.count {
        let began = Instant::now();
        let caller = kernel.inside(&order.from, || {
            Caller::bind(any(address)).map_err(call("bind a probe's caller"))
        })?;
        marks.add(caller.port().map_err(call("getsockname"))?)?;
        let progress = caller.call(SocketAddr::new(address, port));
        calling.push((caller, progress, began + order.timeout));
        // The interval is what was asked for, not a wait for something.
        std::thread::sleep(order.interval.saturating_sub(began.elapsed()));
    }
    let mut delivered = 0;
    for (caller, progress, until) in &calling {
        let opened = match progress {
            Progress::Arrived => true,
            Progress::Refused => false,
            Progress::UnderWay => caller.wait(*until).map_err(call("await a probe"))?,
        };
        delivered += u32::from(opened);
    }
    // The resets go out while the ports are marked.
    drop(calling);
    Ok(ProbeResult { sent: order.count, delivered })
}

/// How far a call has come at once.
enum Progress {
    /// It was answered, if only by a refusal.
    Arrived,
    /// It could not be sent.
    Refused,
    /// It waits for an answer.
    UnderWay,
}

/// A TCP socket whose port is known before it calls: `std` has no such thing.
struct Caller(std::os::fd::OwnedFd);

impl Caller {
    fn bind(any: SocketAddr) -> io::Result<Self> {
        use nix::sys::socket::{
            AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
        };
        use std::os::fd::AsRawFd;
        let family = if any.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(family, SockType::Stream, flags, None)?;
        bind(fd.as_raw_fd(), &SockaddrStorage::from(any))?;
        // It ends with one reset, which is still marked, and not with an exchange that goes on after it.
        setsockopt(&fd, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
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

    fn call(&self, to: SocketAddr) -> Progress {
        use nix::sys::socket::{SockaddrStorage, connect};
        use std::os::fd::AsRawFd;
        match connect(self.0.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(Errno::ECONNREFUSED) => Progress::Arrived,
            Err(Errno::EINPROGRESS) => Progress::UnderWay,
            Err(_) => Progress::Refused,
        }
    }

    /// Whether the call was answered in time. A refusal is an answer: the call did arrive.
    fn wait(&self, until: Instant) -> io::Result<bool> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use nix::sys::socket::{getsockopt, sockopt};
        use std::os::fd::AsFd;
        let left = until.saturating_duration_since(Instant::now());
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut interest = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut interest, wait)? == 0 {
            return Ok(false);
        }
        Ok(matches!(getsockopt(&self.0, sockopt::SocketError)?, 0 | libc::ECONNREFUSED))
    }
}
