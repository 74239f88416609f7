//! `schism zeebe worker`: takes jobs and completes them.

mod tally;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use zeebe::{Gateway, GatewayError, Job, JobStream, Jobs};

use crate::cli::WorkerArgs;
use crate::failure::Failure;
use crate::interrupts::Interrupts;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::session::live::Live;

use super::contact::Contact;
use tally::{Doing, Tally};

const ATTEMPTED: &str = "cannot work for Zeebe";

/// How long a gateway waits for jobs before it says that there are none. At its end a worker waits for that
/// word, so it is no more than somebody has patience for.
const WAIT: Duration = Duration::from_secs(2);

/// How long a call may take beyond that.
const CALL: Duration = Duration::from_secs(10);

/// After something failed, before it is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// How long the last answer, and what is in hand then, may take still.
const LAST: Duration = Duration::from_secs(5);

/// How often the live line is written anew.
const REDRAW: Duration = Duration::from_millis(500);

/// Who works, and on what.
struct Worker {
    gateway: Gateway,
    jobs: Jobs,
    delay: Duration,
    poll_every: Duration,
    pushing: Pushing,
    /// As many as it has hands.
    free: Arc<Semaphore>,
    capacity: u32,
    tally: Tally,
    output: Output,
    stage: watch::Sender<Stage>,
}

/// How far a worker is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It takes what it has hands for.
    Working,
    /// It asks for nothing more, and completes what it is given still.
    Ending,
}

/// Whether jobs are pushed as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pushing {
    On,
    Off,
}

/// Works until its time is over or somebody asks for its end.
pub(crate) async fn run(
    contact: &Contact,
    args: &WorkerArgs,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, ATTEMPTED, error))?;
    let capacity = args.capacity.get();
    let worker = Arc::new(Worker {
        gateway: contact.gateway().clone(),
        jobs: Jobs {
            kind: args.job_type.clone(),
            worker: format!("schism-{}", std::process::id()),
            timeout: args.given_for,
            most: capacity,
        },
        delay: args.delay.unwrap_or_default(),
        poll_every: args.poll_every,
        pushing: if args.stream { Pushing::On } else { Pushing::Off },
        free: Arc::new(Semaphore::new(usize::try_from(capacity).unwrap_or(usize::MAX))),
        capacity,
        tally: Tally::default(),
        output,
        stage: watch::Sender::new(Stage::Working),
    });
    let mut live = Live::new(output);
    let mut redraw = interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let polling = worker.poll();
    tokio::pin!(polling);
    let outcome = {
        let pushed = async {
            match worker.pushing {
                Pushing::On => worker.stream().await,
                Pushing::Off => std::future::pending().await,
            }
        };
        let over = async {
            match args.total {
                Some(total) => sleep(total).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(pushed, over);
        loop {
            tokio::select! {
                biased;
                // Without a time that it was to have, this is how it ends.
                _ = interrupts.next() => break match args.total {
                    Some(_) => Outcome::Interrupted,
                    None => Outcome::Effective,
                },
                () = &mut over => break Outcome::Effective,
                () = &mut polling => {}
                () = &mut pushed => {}
                _ = redraw.tick() => live.rewrite(&worker.tally.line()),
            }
        }
    };
    live.clear();
    worker.stage.send_replace(Stage::Ending);
    let last = async {
        // A question that is given up is answered to nobody: its jobs would be given out, and lie there.
        polling.await;
        let _ = worker.free.acquire_many(worker.capacity).await;
    };
    tokio::select! {
        biased;
        // Who asks once more waits for nothing.
        _ = interrupts.next() => {}
        _ = timeout(LAST, last) => {}
    }
    output.show(&worker.tally.report(&args.job_type, outcome))?;
    Ok(outcome)
}

impl Worker {
    /// Asks for jobs until it ends, and hears every answer.
    async fn poll(self: &Arc<Self>) {
        while let Some(hands) = self.unless_ending(self.hands()).await {
            let most = u32::try_from(hands.len()).unwrap_or(u32::MAX);
            let jobs = Jobs { most, ..self.jobs.clone() };
            // Where jobs are pushed the hands are needed for those.
            let wait = (self.pushing == Pushing::Off).then_some(WAIT);
            self.tally.asked(most);
            let answer = self.gateway.activate(&jobs, wait, WAIT + CALL).await;
            self.tally.answered(answer.as_ref().err());
            let pause = match answer {
                Ok(found) => {
                    for (job, hand) in found.into_iter().zip(hands) {
                        self.take(job, hand);
                    }
                    self.tally.well(Doing::Polling);
                    self.poll_every
                }
                Err(error) => {
                    self.trouble(Doing::Polling, &error);
                    AGAIN
                }
            };
            if self.unless_ending(sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// All hands that are free, as soon as one is: a gateway gives no fewer than it may.
    async fn hands(&self) -> Vec<OwnedSemaphorePermit> {
        let first = match Arc::clone(&self.free).acquire_owned().await {
            Ok(first) => first,
            // Nobody closes it.
            Err(_) => std::future::pending().await,
        };
        let mut hands = vec![first];
        while let Ok(another) = Arc::clone(&self.free).try_acquire_owned() {
            hands.push(another);
        }
        hands
    }

    /// Waits for something, and gives it up when the worker ends.
    async fn unless_ending<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut stage = self.stage.subscribe();
        tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage == Stage::Ending) => None,
            done = work => Some(done),
        }
    }

    /// Has jobs pushed for ever.
    async fn stream(self: &Arc<Self>) {
        loop {
            self.tally.stream_opened();
            let error = self.follow(self.gateway.stream(&self.jobs)).await;
            self.trouble(Doing::Streaming, &error);
            sleep(AGAIN).await;
        }
    }

    /// Takes what is pushed until the stream breaks.
    async fn follow(self: &Arc<Self>, mut stream: JobStream) -> GatewayError {
        loop {
            // What nobody has a hand for stays with the gateway.
            let hand = match Arc::clone(&self.free).acquire_owned().await {
                Ok(hand) => hand,
                Err(_) => std::future::pending().await,
            };
            match stream.next().await {
                Ok(Some(job)) => {
                    self.tally.pushed();
                    self.take(job, hand);
                }
                Ok(None) => {
                    return GatewayError::Unavailable("the stream of jobs has ended".to_owned());
                }
                Err(error) => return error,
            }
        }
    }

    /// Does a job, beside everything else.
    fn take(self: &Arc<Self>, job: Job, hand: OwnedSemaphorePermit) {
        self.tally.taken(job.key);
        let worker = Arc::clone(self);
        tokio::spawn(async move {
            sleep(worker.delay).await;
            match worker.gateway.complete(job.key, CALL).await {
                Ok(()) => worker.tally.completed(),
                Err(error) => worker.tally.failed(&error),
            }
            drop(hand);
        });
    }

    fn trouble(&self, doing: Doing, error: &GatewayError) {
        if self.tally.trouble(doing, error) {
            let then = match *self.stage.borrow() {
                Stage::Working => "; trying again",
                Stage::Ending => "",
            };
            self.output.note(format!("{doing} jobs does not go: {error}{then}"));
        }
    }
}
