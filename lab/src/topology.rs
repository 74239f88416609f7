//! Namespaces that are joined by links, dual stack, ready to talk.

mod carrier;
mod greeting;

use std::{
    fmt::{self, Write as _},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Index,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use thiserror::Error;

use crate::netns::{Namespace, NetnsError};

/// The device of every node of a topology, inside its namespace.
pub const DEVICE: &str = "eth0";

/// The bridge inside a hub's namespace.
pub const BRIDGE: &str = "br0";

/// How long links may take to come up.
const LIMIT: Duration = Duration::from_secs(10);

/// The subnets differ between topologies of one process, which helps to read a capture.
static COUNTER: AtomicU8 = AtomicU8::new(0);

/// Why a topology could not be built.
#[derive(Error)]
pub enum TopologyError {
    /// A namespace failed.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// More nodes than a subnet has room for.
    #[error("{0} nodes are more than the 200 that a topology has addresses for")]
    TooMany(usize),
    /// The events of a namespace's links could not be awaited.
    #[error("link events of {namespace}: {source}")]
    Events {
        /// The namespace.
        namespace: String,
        /// Why.
        source: io::Error,
    },
    /// Links did not come up in time.
    #[error("in {namespace} no carrier after 10 s on: {links}")]
    NoCarrier {
        /// The namespace.
        namespace: String,
        /// The devices.
        links: String,
    },
    /// Two nodes could not talk before anything was broken.
    #[error("{from} can't talk to {to}: {source}")]
    NoGreeting {
        /// Who spoke.
        from: String,
        /// Who should have heard it.
        to: String,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Debug for TopologyError {
    /// As the sentence, because tests show it when they unwrap.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, for tests that must hold for either.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

/// One namespace of a topology with its addresses.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name that the topology's builder gave it.
    pub label: String,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its IPv4 address, in a /24.
    pub v4: Ipv4Addr,
    /// Its IPv6 address, in a /64.
    pub v6: Ipv6Addr,
}

impl Node {
    /// Its address in a family.
    #[must_use]
    pub fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// Its address in a family, with a port.
    #[must_use]
    pub fn socket_address(&self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(family), port)
    }
}

/// Nodes that can reach each other. All of it goes away with its handle and the handles of nodes.
#[derive(Clone, Debug)]
pub struct Topology {
    nodes: Vec<Node>,
    hub: Option<Node>,
}

impl Topology {
    /// A bridge in a namespace of its own with one node per label on it.
    ///
    /// The bridge has addresses too (`.1`), so that clients can run in the hub. The namespace of
    /// the machine never sees any of it. When this returns, every pair has exchanged datagrams
    /// over IPv4 and IPv6: links forward, and neighbours are known.
    ///
    /// # Errors
    /// Without root, or when the kernel lacks bridges or veth.
    pub fn hub(labels: &[&str]) -> Result<Self, TopologyError> {
        let (subnet, nodes) = create_nodes(labels)?;
        let (v4, v6) = addresses(subnet, 1);
        let namespace = Namespace::create("hub")?;
        // The bridge's own address is fixed, else it changes with every port that comes or goes.
        // Snooping without a querier forgets who listens to IPv6 neighbour solicitations.
        let mut lines = format!(
            "link add {BRIDGE} address 02:77:00:00:00:01 type bridge forward_delay 0 \
             mcast_snooping 0\n\
             addr add {v4}/24 dev {BRIDGE}\naddr add {v6}/64 dev {BRIDGE} nodad\n\
             link set {BRIDGE} up\n"
        );
        for (number, node) in nodes.iter().enumerate() {
            let netns = node.namespace.name();
            let _: std::fmt::Result = write!(
                lines,
                "link add v{number} type veth peer name {DEVICE} netns {netns}\n\
                 link set v{number} master {BRIDGE} up\n"
            );
        }
        namespace.batch(&lines)?;
        let hub = Node { label: "hub".to_owned(), namespace, v4, v6 };
        Self { nodes, hub: Some(hub) }.bring_up()
    }

    /// Two nodes, `a` and `b`, joined by one veth.
    ///
    /// # Errors
    /// Without root, or when the kernel lacks veth.
    pub fn pair() -> Result<Self, TopologyError> {
        let (_, nodes) = create_nodes(&["a", "b"])?;
        let other = nodes[1].namespace.name();
        // The kernel takes a veth whose peer has the same index for a device without a peer, and
        // then announces its carrier up to a second late (linkwatch_urgent_event in 6.18).
        nodes[0].namespace.batch(&format!(
            "link add {DEVICE} index 2 type veth peer name {DEVICE} index 3 netns {other}\n"
        ))?;
        Self { nodes, hub: None }.bring_up()
    }

    /// Its nodes, in the order of their labels; without the hub.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The namespace of the bridge; `None` for a pair.
    #[must_use]
    pub fn hub_node(&self) -> Option<&Node> {
        self.hub.as_ref()
    }

    fn bring_up(self) -> Result<Self, TopologyError> {
        let mut watched = Vec::new();
        for node in self.nodes.iter().chain(&self.hub) {
            watched.push(carrier::Links::watch(&node.namespace)?);
        }
        for Node { namespace, v4, v6, .. } in &self.nodes {
            namespace.batch(&format!(
                "addr add {v4}/24 dev {DEVICE}\naddr add {v6}/64 dev {DEVICE} nodad\n\
                 link set {DEVICE} up\n"
            ))?;
        }
        for links in watched {
            links.wait_up(LIMIT)?;
        }
        let all: Vec<&Node> = self.nodes.iter().chain(&self.hub).collect();
        greeting::exchange(&all, LIMIT)?;
        Ok(self)
    }
}

impl Index<&str> for Topology {
    type Output = Node;

    /// The node with this label, `hub` included.
    ///
    /// # Panics
    /// When there is none.
    fn index(&self, label: &str) -> &Node {
        let mut all = self.nodes.iter().chain(&self.hub);
        all.find(|node| node.label == label)
            .unwrap_or_else(|| panic!("the topology has no node `{label}`"))
    }
}

fn create_nodes(labels: &[&str]) -> Result<(u8, Vec<Node>), TopologyError> {
    if labels.len() > 200 {
        return Err(TopologyError::TooMany(labels.len()));
    }
    let subnet = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut nodes = Vec::new();
    for (label, host) in labels.iter().zip(10..) {
        let (v4, v6) = addresses(subnet, host);
        let namespace = Namespace::create(label)?;
        nodes.push(Node { label: (*label).to_owned(), namespace, v4, v6 });
    }
    Ok((subnet, nodes))
}

fn addresses(subnet: u8, host: u8) -> (Ipv4Addr, Ipv6Addr) {
    let v6 = Ipv6Addr::new(0xfd77, subnet.into(), 0, 0, 0, 0, 0, host.into());
    (Ipv4Addr::new(10, 77, subnet, host), v6)
}
