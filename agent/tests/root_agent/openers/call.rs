//! TCP connections of which both ends are in hand.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use fault::{Effect, FaultId};
use lab::topology::{Family, Node};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};

use crate::rig::Rig;

/// How long is waited for what must not arrive.
pub(super) const LIMIT: Duration = Duration::from_millis(150);
/// How long is waited for what must.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that can wait to be accepted.
const BACKLOG: i32 = 16;

/// One of the two nodes. The cut is always from A to B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    A,
    B,
}

impl End {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(super) fn node(self, rig: &Rig) -> &Node {
        rig.node(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// A socket inside a node, bound if a port is given, beside others on that port.
pub(super) fn socket(node: &Node, local: SocketAddr) -> io::Result<Socket> {
    let made = node.namespace.inside(|| {
        let socket = Socket::new(Domain::for_address(local), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if local.port() != 0 {
            socket.bind(&local.into())?;
        }
        Ok(socket)
    });
    made.unwrap()
}

/// A listener that shares its port with others.
pub(super) fn listener(end: End, rig: &Rig, family: Family, port: u16) -> TcpListener {
    let node = end.node(rig);
    let socket = socket(node, node.socket_address(family, port)).unwrap();
    socket.listen(BACKLOG).unwrap();
    socket.into()
}

/// Takes the connection that waits at one of these.
pub(super) fn accept(listeners: &[TcpListener]) -> TcpStream {
    let mut waiting: Vec<PollFd<'_>> =
        listeners.iter().map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)).collect();
    let limit = PollTimeout::try_from(PATIENCE).unwrap();
    assert!(poll(&mut waiting, limit).unwrap() > 0, "nothing to accept");
    let ready = waiting.iter().position(|one| one.any() == Some(true)).unwrap();
    listeners[ready].accept().unwrap().0
}

/// A connection, with both ends.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) opener: End,
    pub(super) what: String,
    pub(super) a: TcpStream,
    pub(super) b: TcpStream,
    said: u64,
}

impl Call {
    /// Puts the two ends together.
    pub(super) fn new(opener: End, what: &str, near: TcpStream, far: TcpStream) -> Self {
        let (a, b) = match opener {
            End::A => (near, far),
            End::B => (far, near),
        };
        a.set_nodelay(true).unwrap();
        b.set_nodelay(true).unwrap();
        Self { opener, what: what.to_owned(), a, b, said: 0 }
    }

    /// The opener calls one of these listeners of the other node, from `source` (0: any port).
    pub(super) fn open(
        rig: &Rig,
        opener: End,
        source: u16,
        listeners: &[TcpListener],
        what: &str,
    ) -> Self {
        let near = dial(rig, opener, source, listeners[0].local_addr().unwrap(), PATIENCE);
        let near = near.unwrap_or_else(|error| panic!("{what}, opened by {opener:?}: {error}"));
        Self::new(opener, what, near, accept(listeners))
    }

    pub(super) fn end(&self, end: End) -> &TcpStream {
        match end {
            End::A => &self.a,
            End::B => &self.b,
        }
    }

    /// Sends the next number from both ends.
    fn say(&mut self) {
        self.said += 1;
        for end in End::BOTH {
            self.end(end).write_all(&self.said.to_be_bytes()).unwrap();
        }
    }

    /// Whether the number that was said last arrives at this end; older ones are passed over.
    fn hears(&self, end: End, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut stream = self.end(end);
        let mut number = [0; 8];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            match stream.read_exact(&mut number) {
                Ok(()) if u64::from_be_bytes(number) == self.said => return true,
                Ok(()) => {}
                Err(_) => return false,
            }
        }
    }

    /// Whether what this end says is heard.
    pub(super) fn passes(&mut self, from: End, limit: Duration) -> bool {
        self.said += 1;
        self.end(from).write_all(&self.said.to_be_bytes()).unwrap();
        self.hears(from.other(), limit)
    }

    pub(super) fn shut(&self, end: End) {
        self.end(end).shutdown(Shutdown::Write).unwrap();
    }
}

/// Calls an address, from a fixed port if one is given.
pub(super) fn dial(
    rig: &Rig,
    opener: End,
    source: u16,
    to: SocketAddr,
    limit: Duration,
) -> io::Result<TcpStream> {
    let node = opener.node(rig);
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    let socket = socket(node, node.socket_address(family, source))?;
    socket.connect_timeout(&to.into(), limit)?;
    Ok(socket.into())
}

/// Under a cut of what a opens: what a says in its own calls is lost, what b says arrives, and in
/// the calls of b both are heard.
pub(super) fn told_apart(calls: &mut [Call], context: &str) {
    for call in &mut *calls {
        call.say();
    }
    let deadline = Instant::now() + LIMIT;
    for call in &*calls {
        let what = format!("{context}: {}, opened by {:?}", call.what, call.opener);
        assert!(call.hears(End::A, PATIENCE), "{what}: b is not heard");
        if call.opener == End::B {
            assert!(call.hears(End::B, PATIENCE), "{what}: a is not heard");
        }
    }
    for call in calls.iter().filter(|call| call.opener == End::A) {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!call.hears(End::B, left), "{context}: {}, opened by A: a is heard", call.what);
    }
}

/// Without a cut everybody is heard, also what was said before.
pub(super) fn all_heard(calls: &mut [Call], context: &str) {
    for call in &mut *calls {
        call.say();
    }
    for call in &*calls {
        for end in End::BOTH {
            let what = format!("{context}: {}, opened by {:?}", call.what, call.opener);
            assert!(call.hears(end, PATIENCE), "{what}: {end:?} does not hear");
        }
    }
}

/// Under the cut a can't call b, and b can call a.
pub(super) fn new_calls(rig: &Rig, source: [u16; 2], at_a: &[TcpListener], at_b: &[TcpListener]) {
    let to_b = at_b[0].local_addr().unwrap();
    let refused = dial(rig, End::A, source[0], to_b, LIMIT).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut, "a calls {to_b}");
    let mut from_b = [Call::open(rig, End::B, source[1], at_a, "a new call")];
    told_apart(&mut from_b, "during the cut");
}

/// Heals; the cut has had an effect on one side's flows, spared the other's, and guessed nothing.
pub(super) async fn heal_sure(rig: &Rig, id: FaultId, context: &str) -> Effect {
    let effect = rig.heal(id).await.effect;
    assert_eq!(effect.opener_guessed, 0, "{context}: {effect:?}");
    assert_eq!(effect.opener_unknown, 0, "{context}: {effect:?}");
    assert_eq!(effect.lost, effect.matched, "{context}: {effect:?}");
    assert!(effect.lost > 0, "{context}: {effect:?}");
    assert!(effect.other_opener > 0, "{context}: {effect:?}");
    effect
}

/// What a file under /proc/net says inside a node.
pub(super) fn proc_net(node: &Node, file: &str) -> String {
    let path = format!("/proc/thread-self/net/{file}");
    node.namespace.inside(|| std::fs::read_to_string(path)).unwrap().unwrap()
}

/// A counter of /proc/net/netstat inside a node.
pub(super) fn netstat(node: &Node, name: &str) -> u64 {
    let text = proc_net(node, "netstat");
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let mut pairs = names.split_whitespace().zip(values.split_whitespace());
        if let Some((_, value)) = pairs.find(|(found, _)| *found == name) {
            return value.parse().unwrap();
        }
    }
    panic!("the kernel does not count {name}")
}

/// State and retransmissions of a connection by its ports, as /proc/net/tcp tells them.
pub(super) fn socket_state(node: &Node, family: Family, ports: (u16, u16)) -> (u8, u8) {
    let text = proc_net(node, if family == Family::V4 { "tcp" } else { "tcp6" });
    let port = |end: &str| u16::from_str_radix(end.rsplit(':').next().unwrap(), 16).unwrap();
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if (port(words[1]), port(words[2])) == ports {
            let number = |word| u8::from_str_radix(word, 16).unwrap();
            return (
                number(words[3]),
                u8::try_from(u32::from_str_radix(words[6], 16).unwrap()).unwrap(),
            );
        }
    }
    panic!("no connection with the ports {ports:?}:\n{text}")
}

/// Waits until an end of a call is as wished.
pub(super) fn await_state(
    rig: &Rig,
    family: Family,
    call: &Call,
    end: End,
    wished: impl Fn((u8, u8)) -> bool,
) {
    let stream = call.end(end);
    let ports = (stream.local_addr().unwrap().port(), stream.peer_addr().unwrap().port());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = socket_state(end.node(rig), family, ports);
        if wished(state) {
            return;
        }
        assert!(Instant::now() < deadline, "{}: still {state:?}", call.what);
        std::thread::sleep(Duration::from_millis(5));
    }
}
