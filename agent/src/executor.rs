//! Where steps are run: one queue per target, so that a slow target delays only itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fault::{FaultId, NamespaceCookie};

use crate::hands::{Hands, Queue};
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

/// The queue of one target.
#[derive(Debug)]
pub struct Executor {
    jobs: Queue<Job>,
}

impl Executor {
    /// Starts it; it ends when this is dropped and its last job is done. `report` is called wherever the
    /// jobs are done.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(
        kernel: Arc<dyn Kernel>,
        hands: &Hands,
        target: NamespaceCookie,
        report: impl Fn(NamespaceCookie, Outcome) + Send + 'static,
    ) -> std::io::Result<Self> {
        let work = move |job| report(target, run(kernel.as_ref(), job));
        Ok(Self { jobs: hands.queue("schism-executor", work)? })
    }

    /// Hands over a job. A thread that is gone has panicked: false.
    #[must_use]
    pub fn submit(&self, job: Job) -> bool {
        self.jobs.submit(job)
    }
}

/// Runs one job.
pub fn run(kernel: &dyn Kernel, job: Job) -> Outcome {
    match job {
        Job::Look { place, peers } => {
            let look = |place: &Place| {
                caught(|| {
                    kernel.follow(place).or_else(unless_gone)?;
                    kernel.inspect(place)
                })
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
                match caught(|| kernel.perform(&place, &step)) {
                    Ok(()) => done.push(step),
                    Err(error) => failed.push((step, error)),
                }
            }
            Outcome::TakenOut(done, failed)
        }
    }
}

/// A panic fails what it was part of, and not the thread: others' faults hang on that.
fn caught<T>(work: impl FnOnce() -> Result<T, KernelError>) -> Result<T, KernelError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(KernelError::Answer("this panicked; it is a defect".to_owned())))
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
        match caught(|| kernel.perform(place, &step)) {
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
        match caught(|| kernel.perform(place, &undo)) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fake::sample::{Node, wish};
    use crate::fake::{Call, Trouble};

    #[test]
    fn a_panic_is_a_failure_of_its_step() {
        let broken: Result<(), KernelError> = caught(|| panic!("on purpose"));
        assert!(matches!(broken, Err(KernelError::Answer(_))));
    }

    /// What is applied at once; the lease begins by itself.
    fn any_step(call: &Call<'_>) -> bool {
        matches!(call, Call::Step(_, step) if !matches!(step, Step::Begin { .. }))
    }

    proptest! {
        #[test]
        fn whichever_step_fails_the_kernel_is_as_it_was(
            others in proptest::collection::vec(wish(), 0..4), one in wish(), failing in 0usize..14,
        ) {
            let mut node = Node::new();
            for (number, other) in others.iter().enumerate() {
                node.put(number, other).unwrap();
            }
            let (before, steps) = (node.kernel.snapshot(), node.kernel.performed().len());
            let trouble = Trouble::errno("bpf", libc::ENOMEM, any_step).after(failing).once();
            node.kernel.trouble(trouble);
            let result = node.put(63, &one);
            node.kernel.calm();
            match result {
                Err(error) => {
                    prop_assert_eq!(error.errno(), Some(libc::ENOMEM));
                    prop_assert_eq!(node.kernel.snapshot(), before);
                }
                Ok(()) => prop_assert!(node.kernel.performed().len() - steps <= failing + 1),
            }
        }

        #[test]
        fn taking_out_leaves_exactly_the_others(
            wishes in proptest::collection::vec(wish(), 1..6), order: u64,
        ) {
            let mut node = Node::new();
            let mut alone = Node::new();
            for (number, wish) in wishes.iter().enumerate() {
                node.put(number, wish).unwrap();
            }
            let stays = |number: usize| order >> number & 1 == 1;
            for (number, wish) in wishes.iter().enumerate() {
                if stays(number) {
                    alone.put(number, wish).unwrap();
                }
            }
            for number in (0..wishes.len()).filter(|number| !stays(*number)) {
                node.heal(number);
            }
            let (left, wanted) = (node.loaded(), alone.loaded());
            prop_assert_eq!(left.is_some(), wanted.is_some());
            if let (Some(left), Some(wanted)) = (left, wanted) {
                prop_assert_eq!(left.rules, wanted.rules);
                prop_assert_eq!(left.peers, wanted.peers);
                prop_assert_eq!(left.openers, wanted.openers);
                prop_assert_eq!(left.leases, wanted.leases);
                prop_assert_eq!(left.own, wanted.own);
                prop_assert!(wanted.links.keys().all(|link| left.links.contains_key(link)));
            }
            for number in (0..wishes.len()).filter(|number| stays(*number)) {
                node.heal(number);
            }
            prop_assert!(node.kernel.snapshot().is_empty());
        }
    }

    #[test]
    fn what_cannot_be_taken_back_is_told() {
        let mut node = Node::new();
        let wish = (crate::fake::sample::plain_cut(), [1].into());
        node.put(0, &wish).unwrap();
        let attach = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Begin { .. }));
        let remove = |call: &Call<'_>| matches!(call, Call::Step(_, Step::RemovePeers(_)));
        node.kernel.trouble(Trouble::errno("begin", libc::EIO, attach));
        node.kernel.trouble(Trouble::errno("remove", libc::EPERM, remove));
        let slot = crate::fake::sample::slot(1);
        let Step::AddPeers(mut set) = node.faults[&crate::fake::sample::slot(0)]
            .2
            .iter()
            .find(|s| is_add(s))
            .unwrap()
            .clone()
        else {
            panic!("looked for peers")
        };
        set.slot = slot;
        let now = node.kernel.now();
        let steps = vec![
            Step::Rule { slot, cut: wish.0 },
            Step::AddPeers(set.clone()),
            Step::Begin { slot, start: now, end: now },
        ];
        let (stuck, result) = apply(&node.kernel, &node.place, steps);
        assert_eq!(
            result.unwrap_err().errno(),
            Some(libc::EIO),
            "the first error is the one to tell"
        );
        assert_eq!(stuck, [Step::AddPeers(set)]);
    }

    fn is_add(step: &Step) -> bool {
        matches!(step, Step::AddPeers(_))
    }
}
