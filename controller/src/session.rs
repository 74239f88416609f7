//! Faults that a command puts in, keeps and takes out, whatever they do.

mod errand;
pub(crate) mod live;
mod outcome;
mod watch;

use std::time::Duration;

use fault::{FaultId, LeaseTerms, Status};
use proto::agent as wire;
use proto::agent::event::Kind;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

pub(crate) use errand::Errand;
use live::Live;
pub(crate) use outcome::{Confirmation, outcome, unconfirmed};
pub(crate) use watch::{End, Watch};

use crate::interrupts::Interrupts;
use crate::link::{Link, lost, nanos, wired};

/// What to do once the faults are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Say what would be done.
    Plan,
    /// Leave it to the agent, or to the controller.
    Detach,
    /// Follow it until it ends.
    Hold,
}

impl After {
    /// By what was typed.
    pub(crate) const fn of(dry_run: bool, detach: bool) -> Self {
        match (dry_run, detach) {
            (true, _) => Self::Plan,
            (false, true) => Self::Detach,
            (false, false) => Self::Hold,
        }
    }
}

/// How often effects are asked for where they are looked at.
pub(crate) const LIVE: Duration = Duration::from_millis(200);
/// How often where they are only kept for the case that the agent goes away.
pub(crate) const QUIET: Duration = Duration::from_secs(1);

/// Renews committed faults until they end, and says by what they ended.
pub(crate) async fn hold(
    link: &mut Link,
    watch: &mut Watch,
    terms: LeaseTerms,
    interrupts: &mut Interrupts,
    live: &mut Live,
) -> End {
    let begun = Instant::now();
    let deadline = sleep_until(begun + watch.time_left());
    tokio::pin!(deadline);
    // A heartbeat of a lease of no time at all would never let anything else run.
    let every = terms.heartbeat().max(Duration::from_millis(1));
    let mut heartbeat = interval_at(begun + every, every);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut redraw = interval_at(begun, LIVE);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);

    let ids = watch.ids();
    let beat = beat(&ids, live.interval());
    // Room for one: a heartbeat that finds the last one still unsent has nothing to add.
    let (beats, receiver) = mpsc::channel(1);
    let _ = beats.try_send(beat.clone());
    let opened = tokio::select! {
        biased;
        () = &mut deadline => return End::Deadline,
        opened = link.session(receiver) => opened,
        interrupt = interrupts.next() => return End::Interrupted(interrupt),
    };
    let mut events = match opened {
        Ok(events) => events,
        Err(failure) => return End::AgentLost(failure.reason),
    };
    let mut answered = Instant::now();
    let mut ticked = answered;
    live.begin(watch);
    loop {
        tokio::select! {
            // What the agent tells of a cut whose time is over is no news: the deadline comes first.
            biased;
            () = &mut deadline => return End::Deadline,
            interrupt = interrupts.next() => return End::Interrupted(interrupt),
            _ = heartbeat.tick() => {
                // A command that was itself stopped has no right to call the agent silent.
                if ticked.elapsed() > 2 * every {
                    answered = Instant::now();
                }
                ticked = Instant::now();
                if answered.elapsed() > terms.lease {
                    return End::AgentSilent(answered.elapsed());
                }
                let _ = beats.try_send(beat.clone());
            }
            _ = redraw.tick() => live.draw(watch),
            event = events.message() => match event {
                Ok(Some(event)) => match event.kind {
                    Some(Kind::Renewed(renewed)) => {
                        answered = Instant::now();
                        let refused = renewed.refused.into_iter();
                        let refused: Vec<FaultId> =
                            refused.filter_map(|id| id.try_into().ok()).collect();
                        if watch.refused(&refused, answered.into_std()).is_some() {
                            // What ended before this session was open is told to nobody by itself.
                            catch_up(link, watch, terms.lease).await;
                            let refused = watch.refused(&refused, Instant::now().into_std());
                            if let Some(end) = watch.end().or(refused) {
                                return end;
                            }
                        }
                    }
                    Some(Kind::Status(status)) => match Status::try_from(status) {
                        Ok(status) => {
                            for change in watch.observe(status, Instant::now().into_std()) {
                                live.tell(&change);
                            }
                            if let Some(end) = watch.end() {
                                return end;
                            }
                        }
                        Err(invalid) => {
                            let reason = format!("the agent's report makes no sense: {invalid}");
                            return End::AgentLost(reason);
                        }
                    },
                    Some(Kind::Draining(wire::Draining {})) => {
                        live.tell("the agent is shutting down and heals what it has");
                    }
                    // What it heals is told by itself; of a newer agent's events the others are still understood.
                    Some(Kind::Braked(wire::Braked {})) | None => {}
                },
                Ok(None) => return End::AgentLost("the agent closed the connection".to_owned()),
                Err(status) => return End::AgentLost(lost(status).message().to_owned()),
            },
        }
    }
}

/// Asks how the faults stand; an agent that does not say so leaves it at what is known.
async fn catch_up(link: &mut Link, watch: &mut Watch, patience: Duration) {
    if let Ok(Ok(statuses)) = tokio::time::timeout(patience, link.list()).await {
        watch.settle(statuses, Instant::now().into_std());
    }
}

fn beat(ids: &[FaultId], report_every: Duration) -> wire::Heartbeat {
    wire::Heartbeat {
        renew: wired(ids),
        watch: wired(ids),
        report_every_ns: nanos(report_every),
        ..wire::Heartbeat::default()
    }
}
