//! A cluster of brokers, with a gateway of its own.

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::{
    Broker, GATEWAY_PORT, Java, MANAGEMENT_PORT, Partition, Role, ZeebeError, archive,
    configuration, member::Member,
};
use crate::{
    directory::Directory,
    store::Store,
    topology::{Family, Node, Topology},
};

/// How long a cluster may take to be complete after its start; four of its processes took up to 48 s on
/// two processors.
const START: Duration = Duration::from_secs(180);

/// How long a broker that is asked may take.
const ANSWER: Duration = Duration::from_secs(2);

/// After how long leaders are asked to move once more: one whose successor lags behind stays.
const AGAIN: Duration = Duration::from_secs(10);

/// Between two looks at a cluster that is not complete.
const PACE: Duration = Duration::from_millis(200);

/// Which broker leads each partition, by numbers.
pub type Leaders = BTreeMap<u32, usize>;

/// How large a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many brokers.
    pub brokers: usize,
    /// How many partitions.
    pub partitions: u32,
    /// How many brokers have a partition.
    pub replicas: u32,
    /// Where backups go.
    pub backups: Backups,
}

/// Where backups go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backups {
    /// Nobody takes any.
    Nowhere,
    /// Into a store on the hub of the topology, which is built with Go.
    Hub,
}

impl Default for Options {
    fn default() -> Self {
        Self { brokers: 3, partitions: 3, replicas: 3, backups: Backups::Nowhere }
    }
}

/// What a `schism.toml` says so that a controller can ask a cluster of this size on these nodes.
#[must_use]
pub fn settings(topology: &Topology, options: Options) -> String {
    let place = |port: u16| {
        move |node: &Node| format!("\"http://{}\"", node.socket_address(Family::V4, port))
    };
    let (brokers, rest) = topology.nodes().split_at(options.brokers.min(topology.nodes().len()));
    let brokers: Vec<String> = brokers.iter().map(place(MANAGEMENT_PORT)).collect();
    let gateways: Vec<String> = rest.iter().take(1).map(place(GATEWAY_PORT)).collect();
    format!("[zeebe]\ngateways = [{}]\nbrokers = [{}]\n", gateways.join(", "), brokers.join(", "))
}

/// A running cluster. Brokers are known by their number, from 0, in the order of the nodes.
///
/// Every broker has a gateway within, and there is one that stands alone. Whatever ends is started again
/// after a second; all of it ends, and its data go, with the handle.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<Member>,
    gateway: Member,
    client: Node,
    partitions: u32,
    // After those who use it.
    _store: Option<Store>,
    // After the members: what they write to goes last.
    _directory: Directory,
}

impl Cluster {
    /// Starts a broker on each of the first nodes and a gateway on the one after them, and waits until
    /// every partition has a leader, and all others follow it.
    ///
    /// # Errors
    /// Too few nodes, no Java, no Zeebe, or a cluster that is not complete in three minutes.
    pub fn start(topology: &Topology, options: Options) -> Result<Self, ZeebeError> {
        let cluster = Self::begin(topology, options)?;
        cluster.wait_complete(START)?;
        Ok(cluster)
    }

    /// Like [`Cluster::start`], without waiting.
    ///
    /// # Errors
    /// Too few nodes, no Java or no Zeebe.
    pub fn begin(topology: &Topology, options: Options) -> Result<Self, ZeebeError> {
        let count = options.brokers;
        let (Some(nodes), Some(apart)) =
            (topology.nodes().get(..count), topology.nodes().get(count))
        else {
            let there = topology.nodes().len();
            return Err(ZeebeError::TooFewNodes { asked: count, there });
        };
        let java = Java::find()?;
        let home = archive::distribution()?;
        let (kept, store) = match options.backups {
            Backups::Nowhere => (None, None),
            Backups::Hub => {
                let hub = topology.hub_node().ok_or(ZeebeError::NoHub)?;
                (Some(Store::start(hub, configuration::BUCKET)?), Some(Store::address(hub)))
            }
        };
        let directory = Directory::create("zeebe")?;
        let program = |name: &str| home.join("bin").join(name).display().to_string();
        let mut brokers = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let (all, java, program) = (nodes.to_vec(), java.clone(), program("broker"));
            let own = node.namespace.clone();
            brokers.push(Member::start(node.clone(), directory.path(), move |directory| {
                let mut command = own.exec(&program);
                configuration::java(&mut command, &java, directory);
                configuration::broker(&mut command, number, &all, &options, directory);
                store.into_iter().for_each(|at| configuration::store(&mut command, at));
                command
            })?);
        }
        let (all, program, own) = (nodes.to_vec(), program("gateway"), apart.clone());
        let gateway = Member::start(apart.clone(), directory.path(), move |directory| {
            let mut command = own.namespace.exec(&program);
            configuration::java(&mut command, &java, directory);
            configuration::gateway(&mut command, &own, &all);
            command
        })?;
        let client = topology.hub_node().unwrap_or(apart).clone();
        let partitions = options.partitions;
        Ok(Self { brokers, gateway, client, partitions, _store: kept, _directory: directory })
    }

    /// How many brokers it has, running or not.
    #[must_use]
    pub fn size(&self) -> usize {
        self.brokers.len()
    }

    /// The node on which a broker runs.
    ///
    /// # Panics
    /// When there is no such broker, like every method that takes a broker's number.
    #[must_use]
    pub fn node(&self, broker: usize) -> &Node {
        &self.brokers[broker].node
    }

    /// The node on which the gateway runs that stands alone.
    #[must_use]
    pub fn gateway(&self) -> &Node {
        &self.gateway.node
    }

    /// A client of what a broker tells those who manage it, in the hub.
    #[must_use]
    pub fn broker(&self, broker: usize) -> Broker {
        let address = self.node(broker).socket_address(Family::V4, MANAGEMENT_PORT);
        Broker::from(self.client.namespace.clone(), address)
    }

    /// How each broker sees its partitions, all asked at once.
    #[must_use]
    pub fn views(&self) -> Vec<Result<BTreeMap<u32, Partition>, ZeebeError>> {
        thread::scope(|scope| {
            let asked: Vec<_> = (0..self.size())
                .map(|number| scope.spawn(move || self.broker(number).partitions(ANSWER)))
                .collect();
            let answers = asked
                .into_iter()
                .map(|asked| asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            answers.collect()
        })
    }

    /// Who leads which partition, where every broker answers and each partition has exactly one leader.
    ///
    /// # Errors
    /// It is not so.
    pub fn leaders(&self) -> Result<Leaders, ZeebeError> {
        let views = self.views().into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut leaders = Leaders::new();
        for partition in 1..=self.partitions {
            let said: Vec<String> = views
                .iter()
                .enumerate()
                .filter_map(|(number, view)| {
                    view.get(&partition).map(|one| format!("broker {number} is {}", one.role))
                })
                .collect();
            let lead = |view: &BTreeMap<u32, Partition>| {
                view.get(&partition).is_some_and(|one| one.role == Role::Leader)
            };
            let found: Vec<usize> =
                views.iter().enumerate().filter(|(_, view)| lead(view)).map(|(at, _)| at).collect();
            let others = views.iter().filter_map(|view| view.get(&partition));
            let settled = others.clone().all(|one| one.role != Role::Other);
            match found[..] {
                [one] if settled => {
                    leaders.insert(partition, one);
                }
                _ => {
                    let said = said.join(", ");
                    return Err(ZeebeError::Leaders(format!("partition {partition}: {said}")));
                }
            }
        }
        Ok(leaders)
    }

    /// Waits until every broker answers and each partition has exactly one leader, and says which.
    ///
    /// # Errors
    /// It is not so in time.
    pub fn wait_complete(&self, limit: Duration) -> Result<Leaders, ZeebeError> {
        self.wait_leaders(limit, |_| true)
    }

    /// Waits for leaders with which one is content.
    ///
    /// # Errors
    /// There are none in time.
    pub fn wait_leaders(
        &self,
        limit: Duration,
        content: impl Fn(&Leaders) -> bool,
    ) -> Result<Leaders, ZeebeError> {
        let deadline = Instant::now() + limit;
        loop {
            let why = match self.leaders() {
                Ok(leaders) if content(&leaders) => return Ok(leaders),
                Ok(leaders) => format!("the leaders are {leaders:?}"),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                let first = &self.brokers[0];
                let (name, log) = (first.node.label.clone(), first.last_words());
                return Err(ZeebeError::NotComplete { limit, why, name, log });
            }
            // Zeebe announces nothing, so it is asked again.
            thread::sleep(PACE);
        }
    }

    /// Has leaders move to where they are by default, and waits until partition 1 is led by broker 0, 2 by
    /// 1, and so on.
    ///
    /// # Errors
    /// They are not there in time.
    pub fn rebalance(&self, limit: Duration) -> Result<Leaders, ZeebeError> {
        let by_default = |leaders: &Leaders| {
            leaders.iter().all(|(partition, broker)| {
                usize::try_from(*partition).is_ok_and(|p| (p - 1) % self.size() == *broker)
            })
        };
        let deadline = Instant::now() + limit;
        loop {
            match self.leaders() {
                Ok(leaders) if by_default(&leaders) => return Ok(leaders),
                Ok(_) | Err(_) => {}
            }
            let asked = self.broker(0).rebalance(ANSWER);
            let left = deadline.saturating_duration_since(Instant::now());
            match (self.wait_leaders(left.min(AGAIN), by_default), asked) {
                (Ok(leaders), _) => return Ok(leaders),
                (Err(_), Err(error)) | (Err(error), Ok(())) if left <= AGAIN => return Err(error),
                (Err(_), Err(_) | Ok(())) => {}
            }
        }
    }

    /// Ends a broker with SIGKILL; it is started again with the data that it has.
    ///
    /// # Errors
    /// It does not run, or can't be signalled.
    pub fn kill(&self, broker: usize) -> Result<(), ZeebeError> {
        self.brokers[broker].signal(Signal::SIGKILL)
    }

    /// Ends the gateway that stands alone with SIGKILL; it is started again.
    ///
    /// # Errors
    /// It does not run, or can't be signalled.
    pub fn kill_gateway(&self) -> Result<(), ZeebeError> {
        self.gateway.signal(Signal::SIGKILL)
    }

    /// How often a broker was started.
    #[must_use]
    pub fn starts(&self, broker: usize) -> u32 {
        self.brokers[broker].starts()
    }

    /// The process id of a broker; `None` between two of its lives.
    #[must_use]
    pub fn pid(&self, broker: usize) -> Option<u32> {
        self.brokers[broker].pid()
    }

    /// Everything that a broker has written to its log so far.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn log(&self, broker: usize) -> Result<String, ZeebeError> {
        let path = self.brokers[broker].log_path();
        fs::read_to_string(&path).map_err(|source| ZeebeError::File { path, source })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // All are told before any is awaited.
        for member in self.brokers.iter().chain([&self.gateway]) {
            member.end();
        }
    }
}
