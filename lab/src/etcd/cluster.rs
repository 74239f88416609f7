//! A cluster of etcd members.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{CLIENT_PORT, Client, EtcdError, Metrics, PEER_PORT, Status, member::Member};
use crate::{
    directory::Directory,
    topology::{Family, Node, Topology},
};

/// How long a member may take to be healthy after its start.
const START: Duration = Duration::from_secs(60);

/// How long a member that is asked for its status may take.
const ANSWER: Duration = Duration::from_millis(500);

/// Between two looks at who leads.
const PACE: Duration = Duration::from_millis(10);

/// What a cluster may have otherwise than by default.
#[derive(Clone, Debug)]
pub struct Options {
    /// Over which family the members talk to each other.
    pub peers: Family,
    /// Further flags of etcd, such as `--election-timeout=500`.
    pub arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { peers: Family::V4, arguments: Vec::new() }
    }
}

/// A running cluster. Members are known by their number, from 0, in the order of the nodes.
///
/// Members listen on every address of their node, IPv4 and IPv6. Its processes end and its data go
/// with the handle.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    client: Node,
    // After the members: what they write to goes last.
    _directory: Directory,
}

impl Cluster {
    /// Starts a member on each of the first `size` nodes, and waits until all are healthy.
    ///
    /// Clients run in the hub, or on the first node of a topology without one.
    ///
    /// # Errors
    /// When there are too few nodes, etcd is not installed, or a member does not become healthy.
    pub fn start(topology: &Topology, size: usize) -> Result<Self, EtcdError> {
        Self::start_with(topology, size, &Options::default())
    }

    /// Like [`Cluster::start`], with options.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(
        topology: &Topology,
        size: usize,
        options: &Options,
    ) -> Result<Self, EtcdError> {
        let (Some(nodes), Some(first)) = (topology.nodes().get(..size), topology.nodes().first())
        else {
            return Err(EtcdError::TooFewNodes { asked: size, there: topology.nodes().len() });
        };
        let directory = Directory::create("etcd")?;
        let initial: Vec<String> = nodes
            .iter()
            .map(|node| format!("{}={}", node.label, peer_url(node, options)))
            .collect();
        let members = nodes.iter().map(|node| {
            let arguments = arguments(node, &initial.join(","), options);
            Member::new(node.clone(), directory.path(), arguments)
        });
        let client = topology.hub_node().unwrap_or(first).clone();
        let mut cluster = Self { members: members.collect(), client, _directory: directory };
        for member in &mut cluster.members {
            member.start()?;
        }
        for number in 0..size {
            cluster.wait_healthy(number, START)?;
        }
        Ok(cluster)
    }

    /// How many members it has, running or not.
    #[must_use]
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// The node on which a member runs.
    ///
    /// # Panics
    /// When there is no such member, like every method that takes a member's number.
    #[must_use]
    pub fn node(&self, member: usize) -> &Node {
        &self.members[member].node
    }

    /// The process id of a member.
    ///
    /// # Errors
    /// When it was stopped or killed.
    pub fn pid(&self, member: usize) -> Result<u32, EtcdError> {
        Ok(self.members[member].process()?.id())
    }

    /// A client of one member, in the hub, over IPv4.
    #[must_use]
    pub fn client(&self, member: usize) -> Client {
        self.client_from(&self.client, member, Family::V4)
    }

    /// A client of one member on any node.
    #[must_use]
    pub fn client_from(&self, from: &Node, member: usize, family: Family) -> Client {
        self.members[member].client(from, family)
    }

    /// What a member says about itself.
    ///
    /// # Errors
    /// When it does not answer within half a second.
    pub fn status(&self, member: usize) -> Result<Status, EtcdError> {
        self.client(member).status(ANSWER)
    }

    /// What every member says about itself, asked all at once; `None` for one that does not answer.
    #[must_use]
    pub fn statuses(&self) -> Vec<Option<Status>> {
        thread::scope(|scope| {
            let asked: Vec<_> = (0..self.size())
                .map(|number| {
                    // A member that was stopped is not worth a wait.
                    let running = self.members[number].is_running();
                    running.then(|| scope.spawn(move || self.status(number).ok()))
                })
                .collect();
            asked.into_iter().map(|asked| asked?.join().ok()?).collect()
        })
    }

    /// The member that leads: of those that take themselves for the leader, the one of the latest
    /// term. `None` where there is none, or it does not answer.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        leader_of(&self.statuses()).map(|(leader, _)| leader)
    }

    /// The latest raft term that a member knows of; 0 when none answers.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.statuses().iter().flatten().map(|status| status.term).max().unwrap_or(0)
    }

    /// Waits for a leader whose term is `term` at least, and returns it with its term.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn wait_leader(&self, term: u64, limit: Duration) -> Result<(usize, u64), EtcdError> {
        let deadline = Instant::now() + limit;
        loop {
            let leader = leader_of(&self.statuses()).filter(|(_, led)| *led >= term);
            if let Some(leader) = leader {
                return Ok(leader);
            }
            if Instant::now() >= deadline {
                return Err(EtcdError::NoLeader { term });
            }
            // etcd offers no event for an election, only its outcome to who asks.
            thread::sleep(PACE);
        }
    }

    /// Waits until a member says that it is healthy.
    ///
    /// # Errors
    /// When it has ended, or is not healthy in time.
    pub fn wait_healthy(&self, member: usize, limit: Duration) -> Result<(), EtcdError> {
        self.members[member].wait_healthy(&mut self.client(member), limit)
    }

    /// The counters of a member.
    ///
    /// # Errors
    /// When it does not answer within half a second.
    pub fn metrics(&self, member: usize) -> Result<Metrics, EtcdError> {
        self.client(member).metrics(ANSWER)
    }

    /// Everything that a member has written to its log so far.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn log(&self, member: usize) -> Result<String, EtcdError> {
        let path = self.members[member].log_path();
        fs::read_to_string(&path).map_err(|source| EtcdError::File { path, source })
    }

    /// Ends a member with SIGTERM; one that does not run is left so.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub fn stop(&mut self, member: usize) -> Result<(), EtcdError> {
        self.members[member].stop()
    }

    /// Ends a member with SIGKILL; one that does not run is left so.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub fn kill(&mut self, member: usize) -> Result<(), EtcdError> {
        self.members[member].kill()
    }

    /// Starts a member with the data that it has, after ending it where it runs, and waits until
    /// it is healthy.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn restart(&mut self, member: usize) -> Result<(), EtcdError> {
        self.members[member].stop()?;
        self.members[member].start()?;
        self.wait_healthy(member, START)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Killed, not asked: the data goes too, and a leader whose followers end at the same time
        // would wait for more than 5 s for one that takes over.
        for member in &mut self.members {
            if let Err(error) = member.kill() {
                eprintln!("lab: {error}");
            }
        }
    }
}

fn leader_of(statuses: &[Option<Status>]) -> Option<(usize, u64)> {
    let leaders = statuses.iter().enumerate().filter_map(|(number, status)| {
        let status = status.as_ref().filter(|status| status.is_leader())?;
        Some((number, status.term))
    });
    leaders.max_by_key(|(_, term)| *term)
}

fn peer_url(node: &Node, options: &Options) -> String {
    format!("http://{}", node.socket_address(options.peers, PEER_PORT))
}

fn arguments(node: &Node, initial: &str, options: &Options) -> Vec<String> {
    // Go takes [::] for both families.
    let mut arguments = vec![
        format!("--name={}", node.label),
        "--logger=zap".to_owned(),
        format!("--listen-peer-urls=http://[::]:{PEER_PORT}"),
        format!("--listen-client-urls=http://[::]:{CLIENT_PORT}"),
        format!("--initial-advertise-peer-urls={}", peer_url(node, options)),
        format!("--advertise-client-urls=http://{}", node.socket_address(Family::V4, CLIENT_PORT)),
        format!("--initial-cluster={initial}"),
        "--initial-cluster-state=new".to_owned(),
    ];
    arguments.extend(options.arguments.iter().cloned());
    arguments
}
