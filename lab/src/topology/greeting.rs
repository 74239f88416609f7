//! The first datagrams of a topology: they prove that it works before anything is broken, and they
//! make the neighbours known, so that a burst is not dropped while an address is being resolved.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{Family, Node, TopologyError};

/// No two greetings of this process are the same.
static GREETINGS: AtomicU64 = AtomicU64::new(0);

/// How long an answer may take before the datagram is sent again.
const PATIENCE: Duration = Duration::from_millis(20);

/// Every pair of nodes exchanges a datagram each way, in both families.
pub(super) fn exchange(nodes: &[&Node], limit: Duration) -> Result<(), TopologyError> {
    let deadline = Instant::now() + limit;
    let mut guests = Vec::new();
    for node in nodes {
        let socket = node.namespace.inside(open)?.map_err(|source| failed(node, node, source))?;
        guests.push((*node, socket));
    }
    for (index, (a, a_socket)) in guests.iter().enumerate() {
        for (b, b_socket) in &guests[index + 1..] {
            for family in Family::ALL {
                one_way(a_socket, b_socket, b.address(family), deadline)
                    .map_err(|source| failed(a, b, source))?;
                one_way(b_socket, a_socket, a.address(family), deadline)
                    .map_err(|source| failed(b, a, source))?;
            }
        }
    }
    Ok(())
}

/// One socket takes both families: an IPv6 socket that is not restricted to IPv6.
fn open() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Sends until one datagram arrives or the deadline has passed.
fn one_way(
    sender: &UdpSocket,
    receiver: &UdpSocket,
    to: IpAddr,
    deadline: Instant,
) -> io::Result<()> {
    let to = SocketAddr::new(to, receiver.local_addr()?.port());
    let token = GREETINGS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    loop {
        // A network that is unreachable for now is the same as a lost datagram.
        let sent = sender.send_to(&token, as_v6(to));
        let mut received = [0; 8];
        match receiver.recv(&mut received) {
            Ok(_) if received == token => return Ok(()),
            // The second copy of an earlier greeting.
            Ok(_) => {}
            Err(error) if Instant::now() >= deadline => return sent.and(Err(error)),
            Err(_) => {}
        }
    }
}

fn failed(from: &Node, to: &Node, source: io::Error) -> TopologyError {
    TopologyError::NoGreeting { from: from.label.clone(), to: to.label.clone(), source }
}

/// An IPv4 address as an IPv6 socket takes it.
fn as_v6(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V6(_) => address,
    }
}
