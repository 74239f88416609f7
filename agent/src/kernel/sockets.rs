//! The sockets of the calling thread's namespace, through inet_diag.
#![expect(clippy::wildcard_enum_match_arm, reason = "netlink's own enums grow with the kernel")]

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
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
        sockets.read_tcp(now)?;
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

    fn read_tcp(&mut self, now: u64) -> io::Result<()> {
        let mut ballots: HashMap<FlowKey, Ballot> = HashMap::new();
        for _ in 0..MAX_TURNS {
            let mut open = 0;
            for socket in dump(PROTOCOL_TCP)? {
                let key = key(&socket, PROTOCOL_TCP);
                if socket.header.state == TCP_LISTEN {
                    self.served.insert((PROTOCOL_TCP, key.local_port), SERVED_SURE);
                } else if key.remote_port != 0 {
                    let ballot = ballots.entry(key).or_default();
                    ballot.vote(&socket);
                    open += u32::from(!ballot.is_decided());
                }
            }
            if open == 0 {
                break;
            }
        }
        for (key, ballot) in ballots {
            let listens = self.served.contains_key(&(PROTOCOL_TCP, key.local_port));
            let flow = match ballot.verdict() {
                Opener::Local => Some((OPENER_LOCAL, SOURCE_DUMPED)),
                Opener::Remote => Some((OPENER_REMOTE, SOURCE_DUMPED)),
                // Whoever listens was called. Without a listener nothing is known or written.
                Opener::Unclear if listens => Some((OPENER_REMOTE, SOURCE_GUESSED)),
                Opener::Unclear => None,
            };
            if let Some((openers, source)) = flow {
                self.flows.push((key, known(openers, source, ballot.stage, now)));
            }
        }
        Ok(())
    }
}

/// By how many dumps one answer must be ahead of the other. The kernel reads a socket's state and
/// queue before it takes the socket's lock and counts (inet_sk_diag_fill, tcp_diag_get_info of 6.18):
/// of a busy socket the numbers belong to two moments.
const LEAD: u32 = 2;
/// How many dumps are read for sockets that are never at rest.
const MAX_TURNS: u32 = 32;

/// What the dumps have said of one connection.
#[derive(Debug, Default)]
struct Ballot {
    local: u32,
    remote: u32,
    /// Another dump would say the same.
    hopeless: bool,
    stage: u8,
}

impl Ballot {
    fn vote(&mut self, socket: &InetResponse) {
        let state = TcpState::from_number(socket.header.state);
        self.stage = match state {
            TcpState::SynSent => STAGE_PENDING,
            TcpState::SynReceived
            | TcpState::Closing
            | TcpState::FinAcknowledged
            | TcpState::Open
            | TcpState::None => STAGE_OPEN,
        };
        let counts = counts(socket);
        match opener(state, counts) {
            Opener::Local => self.local += 1,
            Opener::Remote => self.remote += 1,
            Opener::Unclear => self.hopeless = counts.is_none_or(|counts| counts.is_at_rest()),
        }
    }

    fn is_decided(&self) -> bool {
        self.hopeless || self.local.abs_diff(self.remote) >= LEAD
    }

    fn verdict(&self) -> Opener {
        match self.local.cmp(&self.remote) {
            Ordering::Greater => Opener::Local,
            Ordering::Less => Opener::Remote,
            Ordering::Equal => Opener::Unclear,
        }
    }
}

/// The key of a served port.
pub(super) const fn port_key(protocol: u8, port: u16) -> PortKey {
    PortKey { port, protocol, pad: 0 }
}

fn known(openers: u8, source: u8, stage: u8, now: u64) -> Flow {
    Flow { began: 0, latest: now, openers, source, stage, pad: [0; 5] }
}

/// Offsets into `struct tcp_info` (include/uapi/linux/tcp.h), which only grows at its end.
mod tcp_info {
    pub(super) const UNACKED: usize = 24;
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
        unacked: word(tcp_info::UNACKED)?,
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
    use std::io::{Read as _, Write as _};
    use std::net::{IpAddr, TcpListener, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::Duration;

    use super::*;

    /// A v4-mapped IPv6 socket is an IPv4 flow on the wire.
    #[test]
    fn both_families_have_one_form() {
        let v4: IpAddr = "10.0.0.1".parse().unwrap();
        let v6: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(mapped(v4), mapped(v6));
    }

    /// Small writes without a pause: about every third dump has numbers of two moments.
    #[test]
    fn the_openers_of_busy_sockets_are_read_right() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let caller = TcpStream::connect(there).unwrap();
        let called = listener.accept().unwrap().0;
        // With a listener an unclear socket would be guessed to be called, which may be right.
        drop(listener);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (mut writer, mut reader) in [(&caller, &called), (&called, &caller)] {
                let stop = &stop;
                writer.set_nodelay(true).unwrap();
                writer.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
                reader.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                scope.spawn(move || {
                    while !stop.load(Relaxed) {
                        let _ = writer.write(&[0; 700]);
                    }
                });
                scope.spawn(move || {
                    while !stop.load(Relaxed) {
                        let _ = reader.read(&mut [0; 65_536]);
                    }
                });
            }
            let mine = caller.local_addr().unwrap().port();
            let read = |_| {
                let flows = Sockets::read(1).unwrap().flows.into_iter();
                let ours = flows.filter(|(key, _)| {
                    (key.local_port, key.remote_port) == (mine, there.port())
                        || (key.remote_port, key.local_port) == (mine, there.port())
                });
                ours.map(|(key, flow)| (key.local_port == mine, flow.openers, flow.source))
                    .collect()
            };
            let mut answers: Vec<Vec<(bool, u8, u8)>> = (0..300).map(read).collect();
            stop.store(true, Relaxed);
            let right =
                [(false, OPENER_REMOTE, SOURCE_DUMPED), (true, OPENER_LOCAL, SOURCE_DUMPED)];
            for answer in &mut answers {
                answer.sort_unstable();
            }
            answers.retain(|answer| answer != &right);
            assert_eq!(answers, Vec::<Vec<(bool, u8, u8)>>::new());
        });
    }
}
