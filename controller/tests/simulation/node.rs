//! Nodes: kernels that stay, and agents that come and go.

use std::net::IpAddr;
use std::sync::Arc;

use agent::brake::Brake;
use agent::fake::{Drifting, FakeKernel};
use agent::hands::{Hands, Pace};
use agent::server::Instance;
use agent::uplink::{self, Stop, Uplink};
use agent::worker::Agent;
use fault::{BootTime, NodeName};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::dice::Dice;
use crate::network::{Port, Road};

/// A node.
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) kernel: FakeKernel,
    pub(crate) road: Arc<Road>,
    pub(crate) life: Option<Life>,
    brake: Brake,
    lives: u64,
    dice: Dice,
}

/// One process of its agent.
pub(crate) struct Life {
    pub(crate) agent: Agent,
    death: watch::Sender<bool>,
    uplink: JoinHandle<()>,
    /// Dropped, it would ask the agent to end.
    _stop: watch::Sender<bool>,
}

impl Node {
    /// With a clock that is up to an hour ahead of others and drifts by up to 100 ppm.
    pub(crate) fn new(number: u8, port: &Port, dice: &Dice) -> Self {
        let dice = dice.fork();
        let name = NodeName::new(&format!("n{number}")).unwrap();
        let shows = BootTime::from_nanos(1_000_000_000 + dice.below(3_600_000_000_000));
        let ppm = i32::try_from(dice.below(201)).unwrap() - 100;
        let kernel = FakeKernel::drifting(name.clone(), Drifting::new(shows, ppm));
        let own: IpAddr = [10, 0, 0, number].into();
        kernel.node(|node| node.add_namespace("shared", &[own]));
        let road = Arc::new(Road::new(name.clone(), port.clone(), dice.fork()));
        let brake = Brake::in_memory();
        let mut node = Self { name, kernel, road, life: None, brake, lives: 0, dice };
        node.start();
        node
    }

    pub(crate) fn start(&mut self) {
        if self.life.is_some() {
            return;
        }
        self.lives += 1;
        let dice = self.dice.fork();
        // Mostly at once, sometimes as long as a busy verifier takes.
        let pace: Pace = Arc::new(move || match dice.below(20) {
            0 => dice.millis(50, 400),
            other => std::time::Duration::from_millis(other / 8),
        });
        let kernel = Arc::new(self.kernel.clone());
        let agent = Agent::start_with(kernel, self.brake.clone(), Hands::Tasks(pace));
        let about = FakeKernel::about(self.name.clone(), Instance::new(self.lives));
        let lot = self.dice.fork();
        let uplink = Uplink {
            chance: Arc::new(move || u32::try_from(lot.below(1 << 32)).unwrap()),
            ..Uplink::new(agent.clone(), about)
        };
        let (death, told) = watch::channel(false);
        let (stop, asked) = Stop::new();
        let road = Arc::clone(&self.road);
        let dial = move || Arc::clone(&road).dial(told.clone());
        let uplink = tokio::spawn(uplink::run(uplink, dial, asked));
        self.life = Some(Life { agent, death, uplink, _stop: stop });
    }

    /// SIGKILL: the kernel takes everything away, and the connection is closed.
    pub(crate) fn kill(&mut self) {
        let Some(life) = self.life.take() else { return };
        self.kernel = self.kernel.succeed();
        // Everything that carries bytes for it may have ended.
        let _ = life.death.send(true);
        life.uplink.abort();
    }

    /// How many faults its agent has that have not ended.
    pub(crate) async fn living(&self) -> usize {
        let Some(life) = &self.life else { return 0 };
        let all = life.agent.list().await.unwrap();
        all.iter().filter(|status| !status.state.is_final()).count()
    }
}
