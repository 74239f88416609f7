//! The one task that owns the ledger and decides; this is how to talk to it.

mod comparing;
mod deciding;
mod say;
mod target;
mod tasks;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fault::{BootTime, Fault, FaultId, Holder, OverlapError, Scheme, Status};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::brake::{Brake, BrakeError, Standing};
use crate::hands::Hands;
use crate::holders::HolderError;
use crate::kernel::{Kernel, KernelError, Stir};
use crate::plan::PlanError;

/// How many messages wait for the worker before senders wait.
const QUEUE: usize = 1_024;
/// How many transitions a slow listener may be behind before it loses some.
const BACKLOG: usize = 1_024;
/// How far ahead a start may be for which the answer to a commit waits (1 s).
const NEAR: Duration = Duration::from_secs(1);

/// A handle to the worker.
#[derive(Clone)]
pub struct Agent {
    messages: mpsc::Sender<Message>,
    transitions: broadcast::Sender<Transition>,
    kernel: Arc<dyn Kernel>,
    brake: Brake,
    hands: Hands,
    /// Whether it holds faults that have not ended.
    holding: watch::Receiver<bool>,
}

/// Something changed without being asked about.
#[derive(Clone, Debug)]
pub enum Transition {
    /// A fault has another state, or differs in another way.
    Changed(Box<Status>),
    /// No new faults are taken, and the others are healed.
    Draining,
    /// The brake stands otherwise than before.
    Braked,
}

/// What a prepared fault would do or has ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Which fault.
    pub id: FaultId,
    /// The steps, in order, for people.
    pub steps: Vec<String>,
    /// The peers.
    pub peers: Vec<fault::Prefix>,
    /// What it does not do that one might expect.
    pub notes: Vec<String>,
}

/// Why something asked of the agent was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AgentError {
    /// The kernel refused or failed.
    #[error("{0}")]
    Kernel(Arc<KernelError>),
    /// There is no way to do it on this target.
    #[error("{0}")]
    Plan(#[from] PlanError),
    /// The target is not there any more, or another one has its name.
    #[error("{0} is not there any more")]
    Gone(Scheme),
    /// It has no meaning beside another fault.
    #[error("{0}")]
    Overlap(#[from] OverlapError),
    /// A cut of the network by which the agent is reached.
    #[error("{0} has the agent's own network namespace")]
    OwnBranch(Scheme),
    /// Another fault has this id.
    #[error("another fault has the id {0}")]
    Conflict(FaultId),
    /// There is no such fault.
    #[error("there is no fault {0}")]
    Unknown(FaultId),
    /// The fault is not prepared yet.
    #[error("the fault {0} is still being prepared")]
    Unprepared(FaultId),
    /// The fault ended before it could be put in place, or act.
    #[error("the fault {0} ended before it acted")]
    Ended(FaultId),
    /// More than there is room for.
    #[error("no more than {most} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many there can be.
        most: u64,
    },
    /// Somebody else has the say.
    #[error("{0}")]
    Holder(#[from] HolderError),
    /// The brake is on.
    #[error("the brake is on: {0}")]
    Halted(String),
    /// The brake could not be put on or taken off for good.
    #[error("{0}")]
    Brake(Arc<BrakeError>),
    /// The agent is about to end.
    #[error("the agent is ending and takes no new faults")]
    Draining,
    /// What was read back is not what was written.
    #[error("the kernel has not what was written: {0}")]
    Unverified(String),
}

impl From<KernelError> for AgentError {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Gone(scheme) => Self::Gone(scheme),
            KernelError::Limit { what, most } => Self::Limit { what, most },
            error @ (KernelError::Call { .. }
            | KernelError::Elsewhere(_)
            | KernelError::Object(_)
            | KernelError::Map { .. }
            | KernelError::Answer(_)
            | KernelError::Inert(_)
            | KernelError::Refused { .. }) => Self::Kernel(Arc::new(error)),
        }
    }
}

type Reply<T> = oneshot::Sender<Result<T, AgentError>>;

/// Whether to do it or only to say what would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earnest {
    /// Do it.
    Real,
    /// Only say.
    DryRun,
}

/// Which faults a heal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Whatever it names.
    Any,
    /// Only what was never committed.
    Uncommitted,
}

enum Message {
    Prepare {
        fault: Box<Fault>,
        earnest: Earnest,
        asker: Option<Holder>,
        reply: Reply<Prepared>,
    },
    Commit {
        wish: Commit,
        asker: Option<Holder>,
        replies: Vec<Reply<Status>>,
    },
    Heal {
        id: FaultId,
        reach: Reach,
        reply: Reply<Status>,
    },
    Renew {
        ids: Vec<FaultId>,
        asker: Option<Holder>,
        reply: Reply<Renewed>,
    },
    Hear {
        asker: Holder,
        reply: Reply<()>,
    },
    List {
        reply: oneshot::Sender<Vec<Status>>,
    },
    /// With the reason, if the brake could not be put on for good.
    Halt {
        unkept: Option<String>,
        reply: oneshot::Sender<Vec<FaultId>>,
    },
    Resume,
    Brake {
        reply: oneshot::Sender<Standing>,
    },
    Drain {
        reply: oneshot::Sender<()>,
    },
    Done {
        target: fault::NamespaceCookie,
        outcome: crate::executor::Outcome,
    },
    Stir(Stir),
}

/// Which faults are to act, and from when; `None` for at once.
struct Commit {
    ids: Vec<FaultId>,
    start: Option<BootTime>,
}

/// What came of a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// These act on.
    pub renewed: Vec<FaultId>,
    /// These have ended, were never heard of, or are somebody else's.
    pub refused: Vec<FaultId>,
    /// How the brake stands.
    pub brake: Standing,
}

impl Agent {
    /// Starts the worker on the current runtime. It ends when the last handle is gone.
    #[must_use]
    pub fn start(kernel: Arc<dyn Kernel>, brake: Brake) -> Self {
        Self::start_with(kernel, brake, Hands::Threads)
    }

    /// As [`Self::start`], with other hands: simulations have no threads.
    #[must_use]
    pub fn start_with(kernel: Arc<dyn Kernel>, brake: Brake, hands: Hands) -> Self {
        let (messages, inbox) = mpsc::channel(QUEUE);
        let (transitions, _) = broadcast::channel(BACKLOG);
        if let Some(mut stirs) = kernel.stirs() {
            let messages = messages.downgrade();
            tokio::spawn(async move {
                while let Some(stir) = stirs.recv().await {
                    let Some(messages) = messages.upgrade() else { return };
                    if messages.send(Message::Stir(stir)).await.is_err() {
                        return;
                    }
                }
            });
        }
        let watch = brake.watch().unwrap_or_else(|error| {
            tracing::warn!(%error, "the brake's file is not watched, only looked at every second");
            None
        });
        let worker = deciding::Worker::new(
            Arc::clone(&kernel),
            brake.clone(),
            hands.clone(),
            messages.downgrade(),
            transitions.clone(),
        );
        let holding = worker.holding.subscribe();
        tokio::spawn(worker.run(inbox, watch));
        Self { messages, transitions, kernel, brake, hands, holding }
    }

    /// Whether it holds faults that have not ended, by what the worker has done last.
    #[must_use]
    pub fn holds_faults(&self) -> bool {
        *self.holding.borrow()
    }

    /// Returns once it holds faults that have not ended.
    pub async fn comes_to_hold(&self) {
        if self.holding.clone().wait_for(|holds| *holds).await.is_err() {
            // The worker has ended, and will hold nothing.
            std::future::pending().await
        }
    }

    /// Who does what may wait for its kernel.
    #[must_use]
    pub const fn hands(&self) -> &Hands {
        &self.hands
    }

    /// The kernel behind it, for reading.
    #[must_use]
    pub fn kernel(&self) -> &Arc<dyn Kernel> {
        &self.kernel
    }

    /// What changes from now on.
    #[must_use]
    pub fn transitions(&self) -> broadcast::Receiver<Transition> {
        self.transitions.subscribe()
    }

    /// Notes that a controller speaks: lower epochs of it have no say from now on.
    ///
    /// # Errors
    /// A higher epoch was heard before.
    pub async fn hear(&self, asker: Holder) -> Result<(), AgentError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Hear { asker, reply }).await?;
        answer.await.unwrap_or(Err(AgentError::Draining))
    }

    /// Puts everything in place for these faults, or for none of them.
    ///
    /// # Errors
    /// The first fault that could not be prepared; those before it are out again.
    pub async fn prepare(
        &self,
        faults: Vec<Fault>,
        earnest: Earnest,
        asker: Option<Holder>,
    ) -> Result<Vec<Prepared>, AgentError> {
        let ids: Vec<FaultId> = faults.iter().map(|fault| fault.id).collect();
        let mut replies = Vec::with_capacity(faults.len());
        for fault in faults {
            let (reply, answer) = oneshot::channel();
            let fault = Box::new(fault);
            self.send(Message::Prepare { fault, earnest, asker, reply }).await?;
            replies.push(answer);
        }
        let mut prepared = Vec::with_capacity(replies.len());
        let mut failed = None;
        for answer in replies {
            match answer.await.unwrap_or(Err(AgentError::Draining)) {
                Ok(one) => prepared.push(one),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let Some(error) = failed else { return Ok(prepared) };
        if earnest == Earnest::Real {
            let succeeded = prepared.into_iter().map(|one| one.id).filter(|id| ids.contains(id));
            // What never acted is taken out quietly; the failure is what counts. A replayed request may
            // name faults that act by now: they go on.
            let _ = self.end(succeeded.collect(), Reach::Uncommitted).await;
        }
        Err(error)
    }

    /// Lets prepared faults act, all with one start: at once, or at a boot time. For one that is less than a
    /// second ahead it waits, so that what comes back was read while they acted.
    ///
    /// # Errors
    /// The first one that could not be committed; the others act.
    pub async fn commit(
        &self,
        ids: Vec<FaultId>,
        start: Option<BootTime>,
        asker: Option<Holder>,
    ) -> Result<Vec<Status>, AgentError> {
        let committed = self.committed(ids.clone(), start, asker).await?;
        match committed.iter().filter_map(Status::until_start).max() {
            Some(ahead) if ahead < NEAR => {
                tokio::time::sleep(ahead).await;
                // The same commit again changes nothing, and is answered with how they are by now.
                self.committed(ids, start, asker).await
            }
            Some(_) | None => Ok(committed),
        }
    }

    async fn committed(
        &self,
        ids: Vec<FaultId>,
        start: Option<BootTime>,
        asker: Option<Holder>,
    ) -> Result<Vec<Status>, AgentError> {
        let (replies, answers): (Vec<_>, Vec<_>) = ids.iter().map(|_| oneshot::channel()).unzip();
        self.send(Message::Commit { wish: Commit { ids, start }, asker, replies }).await?;
        gather(answers).await
    }

    /// Ends faults and says what they did.
    ///
    /// # Errors
    /// A fault that was never heard of.
    pub async fn heal(&self, ids: Vec<FaultId>) -> Result<Vec<Status>, AgentError> {
        self.end(ids, Reach::Any).await
    }

    async fn end(&self, ids: Vec<FaultId>, reach: Reach) -> Result<Vec<Status>, AgentError> {
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            let (reply, answer) = oneshot::channel();
            self.send(Message::Heal { id, reach, reply }).await?;
            answers.push(answer);
        }
        gather(answers).await
    }

    /// Renews leases of the asker's own faults; a later life of a controller takes them over by that.
    ///
    /// # Errors
    /// A later life of this controller was heard, or the agent has ended.
    pub async fn renew(
        &self,
        ids: Vec<FaultId>,
        asker: Option<Holder>,
    ) -> Result<Renewed, AgentError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Renew { ids, asker, reply }).await?;
        answer.await.unwrap_or(Err(AgentError::Draining))
    }

    /// All faults, and those that ended lately.
    ///
    /// # Errors
    /// The agent has ended.
    pub async fn list(&self) -> Result<Vec<Status>, AgentError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::List { reply }).await?;
        answer.await.map_err(|_| AgentError::Draining)
    }

    /// Puts the brake on, heals all, and says what that did. The brake is on before the first heal begins.
    ///
    /// # Errors
    /// The brake holds only as long as this agent: its file could not be written. All is healed then, too.
    pub async fn halt(&self, reason: String) -> Result<Vec<Status>, AgentError> {
        let reason = if reason.trim().is_empty() { "no reason given".to_owned() } else { reason };
        // The file alone already makes the worker heal: what stood before it is what this heals.
        let before = self.list().await?.into_iter().filter(|status| !status.state.is_final());
        let mut healed: BTreeSet<FaultId> = before.map(|status| status.fault.id).collect();
        let (brake, kept) = (self.brake.clone(), reason.clone());
        let kept = self.work(move || brake.put_on(&kept)).await;
        let unkept = kept.is_err().then_some(reason);
        let (reply, answer) = oneshot::channel();
        self.send(Message::Halt { unkept, reply }).await?;
        healed.extend(answer.await.map_err(|_| AgentError::Draining)?);
        let healed = self.heal(healed.into_iter().collect()).await?;
        kept.map(|()| healed)
    }

    /// Takes the brake off.
    ///
    /// # Errors
    /// Its file could not be removed: it stays on.
    pub async fn resume(&self) -> Result<(), AgentError> {
        let brake = self.brake.clone();
        self.work(move || brake.take_off()).await?;
        self.send(Message::Resume).await
    }

    /// How the brake stands.
    ///
    /// # Errors
    /// The agent has ended.
    pub async fn standing(&self) -> Result<Standing, AgentError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Brake { reply }).await?;
        answer.await.map_err(|_| AgentError::Draining)
    }

    /// Takes no new faults, heals all, and returns when everything is out.
    pub async fn drain(&self) {
        let (reply, answer) = oneshot::channel();
        if self.send(Message::Drain { reply }).await.is_ok() {
            // A worker that is gone has nothing left.
            let _ = answer.await;
        }
    }

    async fn send(&self, message: Message) -> Result<(), AgentError> {
        self.messages.send(message).await.map_err(|_| AgentError::Draining)
    }

    async fn work(
        &self,
        work: impl FnOnce() -> Result<(), BrakeError> + Send + 'static,
    ) -> Result<(), AgentError> {
        // Without an answer the runtime is ending.
        let done = self.hands.work(work).await.ok_or(AgentError::Draining)?;
        done.map_err(|error| AgentError::Brake(Arc::new(error)))
    }
}

async fn gather<T>(
    answers: Vec<oneshot::Receiver<Result<T, AgentError>>>,
) -> Result<Vec<T>, AgentError> {
    let mut results = Vec::with_capacity(answers.len());
    let mut failed = None;
    for answer in answers {
        match answer.await.unwrap_or(Err(AgentError::Draining)) {
            Ok(result) => results.push(result),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(results), Err)
}
