//! The sockets of the calling thread's namespace, through inet_diag.
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's own enums grow with the kernel")]

use std::collections::BTreeMap;
use std::io;

use agent_ebpf::abi::{
    Flow, FlowKey, OPENER_LOCAL, OPENER_REMOTE, PROTOCOL_TCP, PROTOCOL_UDP, PortKey, SERVED_MAYBE,
    SERVED_SURE, SOURCE_DUMPED, SOURCE_GUESSED, STAGE_OPEN, STAGE_PENDING,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::opener::{Counts, Opener, TcpState, opener};
use super::peers::mapped;
use super::route::{Ask, ask};

const TCP_LISTEN: u8 = 10;

/// Who serves and who called whom, at one time.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// Ports at which the target is called.
    pub(super) served: BTreeMap<(u8, u16), u8>,
    /// Connections and connected UDP sockets, with their openers.
    pub(super) flows: Vec<(FlowKey, Flow)>,
}

impl Sockets {
    /// Reads all TCP and UDP sockets of the calling thread's namespace.
    ///
    /// `now` (boot time, ns) becomes the flows' latest sign of life; they began before it was observed.
    pub(super) fn read(now: u64) -> io::Result<Self> {
        let mut sockets = Self::default();
        let tcp = dump(PROTOCOL_TCP)?;
        for socket in tcp.iter().filter(|socket| socket.header.state == TCP_LISTEN) {
            let port = socket.header.socket_id.source_port;
            sockets.served.insert((PROTOCOL_TCP, port), SERVED_SURE);
        }
        for socket in tcp.iter().filter(|socket| socket.header.socket_id.destination_port != 0) {
            let listens = sockets.served.contains_key(&(PROTOCOL_TCP, key(socket, 0).local_port));
            if let Some(flow) = tcp_flow(socket, listens, now) {
                sockets.flows.push((key(socket, PROTOCOL_TCP), flow));
            }
        }
        let ephemeral = ephemeral_ports();
        for socket in dump(PROTOCOL_UDP)? {
            let key = key(&socket, PROTOCOL_UDP);
            if key.remote_port != 0 {
                let flow = known(OPENER_LOCAL, SOURCE_DUMPED, STAGE_OPEN, now);
                sockets.flows.push((key, flow));
            } else {
                let likely = ephemeral.contains(&key.local_port);
                let sureness = if likely { SERVED_MAYBE } else { SERVED_SURE };
                sockets.served.insert((PROTOCOL_UDP, key.local_port), sureness);
            }
        }
        Ok(sockets)
    }
}

/// The key of a served port.
pub(super) const fn port_key(protocol: u8, port: u16) -> PortKey {
    PortKey { port, protocol, pad: 0 }
}

fn known(openers: u8, source: u8, stage: u8, now: u64) -> Flow {
    Flow { began: 0, latest: now, openers, source, stage, pad: [0; 5] }
}

fn tcp_flow(socket: &InetResponse, listens: bool, now: u64) -> Option<Flow> {
    let state = TcpState::from_number(socket.header.state);
    let stage = match state {
        TcpState::SynSent => STAGE_PENDING,
        TcpState::SynReceived
        | TcpState::Closing
        | TcpState::FinAcknowledged
        | TcpState::Open
        | TcpState::None => STAGE_OPEN,
    };
    match opener(state, counts(socket)) {
        Opener::Local => Some(known(OPENER_LOCAL, SOURCE_DUMPED, stage, now)),
        Opener::Remote => Some(known(OPENER_REMOTE, SOURCE_DUMPED, stage, now)),
        // Whoever listens was called. Without a listener nothing is known, and nothing is written.
        Opener::Unclear if listens => Some(known(OPENER_REMOTE, SOURCE_GUESSED, stage, now)),
        Opener::Unclear => None,
    }
}

/// Offsets into `struct tcp_info` (include/uapi/linux/tcp.h), which only grows at its end.
mod tcp_info {
    pub(super) const BYTES_ACKED: usize = 120;
    pub(super) const NOTSENT_BYTES: usize = 144;
    pub(super) const BYTES_SENT: usize = 200;
    pub(super) const BYTES_RETRANS: usize = 208;
}

fn counts(socket: &InetResponse) -> Option<Counts> {
    let info = socket.nlas.iter().find_map(|attribute| match attribute {
        Nla::TcpInfo(bytes) => Some(bytes.as_slice()),
        _ => None,
    })?;
    let long = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
    Some(Counts {
        acked: long(tcp_info::BYTES_ACKED)?,
        sent: long(tcp_info::BYTES_SENT)?,
        resent: long(tcp_info::BYTES_RETRANS)?,
        queued: socket.header.send_queue,
        unsent: word(tcp_info::NOTSENT_BYTES)?,
    })
}

fn key(socket: &InetResponse, protocol: u8) -> FlowKey {
    let id = &socket.header.socket_id;
    FlowKey {
        local: mapped(id.source_address),
        remote: mapped(id.destination_address),
        local_port: id.source_port,
        remote_port: id.destination_port,
        protocol,
        pad: [0; 3],
    }
}

fn dump(protocol: u8) -> io::Result<Vec<InetResponse>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let request = SockDiagMessage::InetRequest(InetRequest {
            family: u8::try_from(family).map_err(io::Error::other)?,
            protocol,
            extensions: ExtensionFlags::INFO,
            states: StateFlags::all(),
            socket_id: match family {
                libc::AF_INET => SocketId::new_v4(),
                _ => SocketId::new_v6(),
            },
        });
        let answers = ask(NETLINK_SOCK_DIAG, request, Ask::Dump)?;
        found.extend(answers.into_iter().filter_map(|answer| match answer {
            SockDiagMessage::InetResponse(response) => Some(*response),
            _ => None,
        }));
    }
    Ok(found)
}

/// From where the kernel binds sockets that did not ask for a port.
fn ephemeral_ports() -> std::ops::RangeInclusive<u16> {
    let text =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = text.split_whitespace().filter_map(|word| word.parse().ok());
    bounds.next().unwrap_or(32_768)..=bounds.next().unwrap_or(60_999)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    /// A v4-mapped IPv6 socket is an IPv4 flow on the wire.
    #[test]
    fn both_families_have_one_form() {
        let v4: IpAddr = "10.0.0.1".parse().unwrap();
        let v6: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(mapped(v4), mapped(v6));
    }
}
