//! The roads between the nodes and the controller: bytes that take time, wait, or never arrive.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fault::NodeName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::dice::Dice;

/// Chunks on their way in one direction.
const UNDER_WAY: usize = 64;

/// Whether a process lives; it is told once that it does not.
pub(crate) type Death = watch::Receiver<bool>;

/// Who takes calls: the controller's present life.
#[derive(Clone, Default)]
pub(crate) struct Port(Arc<Mutex<Option<Callers>>>);

#[derive(Clone)]
struct Callers {
    calls: mpsc::UnboundedSender<(NodeName, DuplexStream)>,
    death: Death,
}

/// The road of one node. Bytes that wait for it to open arrive when it does, as TCP has them.
pub(crate) struct Road {
    node: NodeName,
    port: Port,
    open: [watch::Sender<bool>; 2],
    /// The most that a chunk takes, ms.
    pub(crate) slow: AtomicU64,
    /// When anything last arrived at the node.
    arrived: Mutex<Instant>,
    dice: Dice,
}

/// A direction of a road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the node.
    Out,
    /// From the node.
    Back,
}

impl Port {
    pub(crate) fn open(&self, death: Death) -> mpsc::UnboundedReceiver<(NodeName, DuplexStream)> {
        let (calls, taken) = mpsc::unbounded_channel();
        *self.0.lock().unwrap() = Some(Callers { calls, death });
        taken
    }

    pub(crate) fn close(&self) {
        *self.0.lock().unwrap() = None;
    }
}

impl Road {
    pub(crate) fn new(node: NodeName, port: Port, dice: Dice) -> Self {
        let open = [true, true].map(watch::Sender::new);
        let arrived = Mutex::new(Instant::now());
        Self { node, port, open, slow: AtomicU64::new(2), arrived, dice }
    }

    /// What is sent waits until it is open again.
    pub(crate) fn close(&self, way: Way) {
        self.open[way as usize].send_replace(false);
    }

    pub(crate) fn reopen(&self, way: Way) {
        self.open[way as usize].send_replace(true);
    }

    /// When anything last arrived at the node.
    pub(crate) fn arrived(&self) -> Instant {
        *self.arrived.lock().unwrap()
    }

    async fn opens(&self, way: Way) {
        let mut open = self.open[way as usize].subscribe();
        // The road lasts as long as the world.
        let _ = open.wait_for(|open| *open).await;
    }

    fn takes(&self) -> Duration {
        self.dice.millis(0, self.slow.load(Ordering::Relaxed))
    }

    /// A node's agent dials.
    pub(crate) async fn dial(self: Arc<Self>, death: Death) -> io::Result<DuplexStream> {
        self.opens(Way::Back).await;
        tokio::time::sleep(self.takes()).await;
        let callers = self.port.0.lock().unwrap().clone();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let callers = callers.ok_or_else(refused)?;
        self.opens(Way::Out).await;
        let (here, near) = tokio::io::duplex(1 << 16);
        let (far, there) = tokio::io::duplex(1 << 16);
        callers.calls.send((self.node.clone(), there)).map_err(|_| refused())?;
        let (near_read, near_write) = tokio::io::split(near);
        let (far_read, far_write) = tokio::io::split(far);
        let (agent, controller) = (death, callers.death);
        let back = [agent.clone(), controller.clone()];
        tokio::spawn(Arc::clone(&self).carry(Way::Back, near_read, far_write, back));
        tokio::spawn(Arc::clone(&self).carry(Way::Out, far_read, near_write, [controller, agent]));
        Ok(here)
    }

    /// Carries bytes until one end is gone. Of a sender that died the other end hears as soon as the road
    /// is open; nobody carries anything to who died.
    async fn carry(
        self: Arc<Self>,
        way: Way,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        [mut sender, mut receiver]: [Death; 2],
    ) {
        let mut queue: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let (mut last, mut ended) = (Instant::now(), false);
        let mut buffer = vec![0; 1 << 14];
        loop {
            if ended && queue.is_empty() {
                self.opens(way).await;
                // Whoever reads may be gone.
                let _ = to.shutdown().await;
                return;
            }
            let due = queue.front().map(|(due, _)| *due);
            let full = queue.len() >= UNDER_WAY;
            tokio::select! {
                biased;
                () = ends(&mut receiver) => return,
                () = ends(&mut sender), if !ended => ended = true,
                () = self.arrives(due, way), if due.is_some() => {
                    let Some((_, bytes)) = queue.pop_front() else { continue };
                    if way == Way::Out {
                        *self.arrived.lock().unwrap() = Instant::now();
                    }
                    if to.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                read = from.read(&mut buffer), if !ended && !full => match read {
                    Ok(0) | Err(_) => ended = true,
                    Ok(read) => {
                        last = last.max(Instant::now() + self.takes());
                        queue.push_back((last, buffer[..read].to_vec()));
                    }
                },
            }
        }
    }

    async fn arrives(&self, due: Option<Instant>, way: Way) {
        if let Some(due) = due {
            tokio::time::sleep_until(due).await;
        }
        self.opens(way).await;
    }
}

async fn ends(death: &mut Death) {
    // Who cannot say that it lives does not.
    let _ = death.wait_for(|dead| *dead).await;
}
