//! Where steps are run: one thread per target, so that a slow target delays only itself.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use fault::{FaultId, NamespaceCookie};

use crate::kernel::{Kernel, KernelError, Place, Sight, Step};

/// Work for one target.
#[derive(Debug)]
pub enum Job {
    /// Look at the target and at the peers of these faults, and ask for word of what stirs there.
    Look {
        /// The target.
        place: Place,
        /// Whose addresses are followed.
        peers: Vec<(FaultId, Place)>,
    },
    /// Run these steps; if one fails, take back those before it.
    Apply {
        /// The target.
        place: Place,
        /// In this order.
        steps: Vec<Step>,
    },
    /// Run these steps and go on after a failure: taking out leaves as little as it can.
    TakeOut {
        /// The target.
        place: Place,
        /// In this order.
        steps: Vec<Step>,
    },
}

/// What came of a job.
#[derive(Debug)]
pub enum Outcome {
    /// Of [`Job::Look`].
    Looked {
        /// The target.
        target: Result<Sight, KernelError>,
        /// The peers.
        peers: Vec<(FaultId, Result<Sight, KernelError>)>,
    },
    /// Of [`Job::Apply`]: the steps that are in force now, and why not all. After a failure these are
    /// only the ones that could not be taken back.
    Applied(Vec<Step>, Result<(), KernelError>),
    /// Of [`Job::TakeOut`]: the steps that were done, and those that failed.
    TakenOut(Vec<Step>, Vec<(Step, KernelError)>),
}

/// The thread of one target.
#[derive(Debug)]
pub struct Executor {
    jobs: Sender<Job>,
}

impl Executor {
    /// Starts the thread; it ends when this is dropped and its last job is done. `report` is called on it.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(
        kernel: Arc<dyn Kernel>,
        target: NamespaceCookie,
        report: impl Fn(NamespaceCookie, Outcome) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        thread::Builder::new().name("schism-executor".into()).spawn(move || {
            for job in queue {
                report(target, run(kernel.as_ref(), job));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Hands over a job. A thread that is gone has panicked: false.
    #[must_use]
    pub fn submit(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }
}

/// Runs one job.
pub fn run(kernel: &dyn Kernel, job: Job) -> Outcome {
    match job {
        Job::Look { place, peers } => {
            let look = |place: &Place| {
                kernel.follow(place).or_else(unless_gone)?;
                kernel.inspect(place)
            };
            let target = look(&place);
            let peers = peers.into_iter().map(|(id, place)| (id, look(&place))).collect();
            Outcome::Looked { target, peers }
        }
        Job::Apply { place, steps } => {
            let (done, result) = apply(kernel, &place, steps);
            Outcome::Applied(done, result)
        }
        Job::TakeOut { place, steps } => {
            let mut done = Vec::new();
            let mut failed = Vec::new();
            for step in steps {
                match kernel.perform(&place, &step) {
                    Ok(()) => done.push(step),
                    Err(error) => failed.push((step, error)),
                }
            }
            Outcome::TakenOut(done, failed)
        }
    }
}

/// What is gone is found out by looking.
fn unless_gone(error: KernelError) -> Result<(), KernelError> {
    if matches!(error, KernelError::Gone(_)) { Ok(()) } else { Err(error) }
}

/// Performs all steps or, when one fails, takes back those before it in reverse. What could not be taken
/// back comes back with the failure.
pub fn apply(
    kernel: &dyn Kernel,
    place: &Place,
    steps: Vec<Step>,
) -> (Vec<Step>, Result<(), KernelError>) {
    let mut done: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        match kernel.perform(place, &step) {
            Ok(()) => done.push(step),
            Err(error) => {
                tracing::debug!(%step, %error, "step failed");
                return (take_back(kernel, place, done), Err(error));
            }
        }
    }
    (done, Ok(()))
}

/// Goes on whatever happens; the steps that stayed come back.
fn take_back(kernel: &dyn Kernel, place: &Place, done: Vec<Step>) -> Vec<Step> {
    let mut stuck = Vec::new();
    for step in done.into_iter().rev() {
        let Some(undo) = step.undo() else { continue };
        match kernel.perform(place, &undo) {
            // Everything of the target went with it.
            Ok(()) if undo == Step::Unload => stuck.clear(),
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(step = %undo, %error, "not taken back");
                stuck.push(step);
            }
        }
    }
    stuck.reverse();
    stuck
}
