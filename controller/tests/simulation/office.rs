//! The controller: lives that come and go over one disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use controller::agents::{Agents, Way};
use controller::archive::{self, Archive};
use controller::control::{Clusters, Control, Means, Wall};
use controller::runs::{Execution, Runs};
use controller::store::{Store, incarnate};
use fault::Limits;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::disk::Platter;
use crate::network::Port;

/// An hour in ns.
const HOUR: u64 = 3_600_000_000_000;
/// Some day (Unix time, ns).
const DAY: u64 = 1_800_000_000_000_000_000;

/// Where the controller runs.
pub(crate) struct Office {
    pub(crate) platter: Platter,
    pub(crate) port: Port,
    pub(crate) life: Option<Life>,
    dice: Dice,
    began: Instant,
    papers: TempDir,
}

/// One process of the controller.
pub(crate) struct Life {
    pub(crate) control: Control,
    pub(crate) runs: Runs,
    dead: Arc<AtomicBool>,
    death: watch::Sender<bool>,
}

impl Office {
    pub(crate) fn new(dice: &Dice) -> Self {
        let (platter, port) = (Platter::new(), Port::default());
        let papers = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { platter, port, life: None, dice: dice.fork(), began: Instant::now(), papers }
    }

    /// Starts, trying again as long as the disk does not let it.
    pub(crate) async fn start(&mut self) {
        while self.life.is_none() {
            if self.try_start().await.is_none() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    async fn try_start(&mut self) -> Option<()> {
        let dead = Arc::new(AtomicBool::new(false));
        let disk = self.platter.disk(Arc::clone(&dead), self.dice.fork());
        let store: Arc<dyn Store> = Arc::new(disk);
        let incarnation = incarnate(store.as_ref()).await.ok()?;
        let (agents, notices) = Agents::new(incarnation.into());
        // Somebody may have set the clock meanwhile.
        let set = if self.dice.happens(10) { self.dice.below(2 * HOUR) } else { HOUR };
        let today = DAY + set + u64::try_from(self.began.elapsed().as_nanos()).unwrap();
        let wall = Wall::Told(today, Instant::now());
        let (clusters, limits) = (Clusters::default(), Limits::default());
        let means = Means { store, ended: None, clusters, limits, wall };
        let control = Control::start(means, agents.clone(), notices).await.ok()?;
        let (death, told) = watch::channel(false);
        let mut calls = self.port.open(told);
        tokio::spawn(async move {
            while let Some((node, stream)) = calls.recv().await {
                let agents = agents.clone();
                tokio::spawn(async move {
                    // It ends with the connection.
                    let _ = agents.admit(stream, node, Way::default()).await;
                });
            }
        });
        // Journals are for people, and no history is told by them.
        let archive = Archive::open(self.papers.path(), archive::Limits::default()).await.unwrap();
        let (limits, execution) = (Limits::default(), Execution::Refused);
        let runs = Runs::start(control.clone(), archive, limits, execution).await.ok()?;
        self.life = Some(Life { control, runs, dead, death });
        Some(())
    }

    /// SIGKILL: nothing of this life is heard of or written any more.
    pub(crate) fn kill(&mut self) {
        let Some(life) = self.life.take() else { return };
        life.dead.store(true, Ordering::Relaxed);
        self.port.close();
        // Everything that carries bytes for it may have ended.
        let _ = life.death.send(true);
    }
}

impl Life {
    /// Tells when it has ended.
    pub(crate) fn death(&self) -> watch::Receiver<bool> {
        self.death.subscribe()
    }
}
