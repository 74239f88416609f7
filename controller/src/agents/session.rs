//! Heartbeats to one agent, and what it reports.

use std::collections::VecDeque;
use std::time::Duration;

use fault::{BootTime, NodeName, Status};
use proto::agent as wire;
use proto::agent::event::Kind;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::{Agents, Notice, Renewals};
use crate::link::{Link, nanos, wired};
use crate::sequence::Moment;

/// How often an agent that holds nothing is asked whether it is there (5 s).
const IDLE: Duration = Duration::from_secs(5);
/// How often an agent says what its faults have done (1 s).
const REPORT: Duration = Duration::from_secs(1);
/// The fastest heartbeat.
const FASTEST: Duration = Duration::from_millis(100);
/// Beats that may be under way before the agent counts as lost.
const UNANSWERED: usize = 3;

/// Beats until the connection ends, or the agent answers no more, or a later connection takes its place.
pub(super) async fn run(
    agents: &Agents,
    node: &NodeName,
    connection: u64,
    mut link: Link,
    mut wanted: watch::Receiver<Renewals>,
) {
    let (beats, heartbeats) = mpsc::channel(UNANSWERED + 1);
    let Ok(mut events) = link.session(heartbeats).await else { return };
    let mut sent: VecDeque<(u64, Moment)> = VecDeque::new();
    let mut number = 0;
    let mut renewals = wanted.borrow_and_update().clone();
    let mut tick = timer(&renewals);
    let mut told = false;
    loop {
        tokio::select! {
            // What was answered is taken in before anybody counts what is not.
            biased;
            event = events.message() => match event {
                Ok(Some(event)) => {
                    // Not where many are under way: more of them would count as unanswered.
                    if matches!(event.kind, Some(Kind::Braked(_))) && sent.len() + 1 < UNANSWERED {
                        tick.reset_immediately();
                    }
                    let answered = event.kind.and_then(|kind| heard(agents, node, connection, &mut sent, kind));
                    if answered.is_some() && !told {
                        told = true;
                        // Only now: its clock is known.
                        agents.notify(Notice::Found(node.clone()));
                    }
                }
                Ok(None) | Err(_) => return,
            },
            changed = wanted.changed() => {
                // The registry has put another connection in the place of this one.
                if changed.is_err() {
                    return;
                }
                let next = wanted.borrow_and_update().clone();
                if next.every != renewals.every {
                    tick = timer(&next);
                }
                // One that is under way tells it, too; more of them would count as unanswered.
                if next.clock != renewals.clock && sent.is_empty() {
                    tick.reset_immediately();
                }
                renewals = next;
            }
            _ = tick.tick() => {
                if sent.len() >= UNANSWERED {
                    return;
                }
                number += 1;
                sent.push_back((number, agents.now()));
                let beat = wire::Heartbeat {
                    renew: wired(&renewals.faults),
                    // Of all: what was put in since the last beat may end before the next.
                    watch: Vec::new(),
                    holder: Some(agents.0.holder.clone()),
                    number,
                    report_every_ns: if renewals.faults.is_empty() { 0 } else { nanos(REPORT) },
                };
                if beats.try_send(beat).is_err() {
                    return;
                }
            }
        }
    }
}

fn timer(renewals: &Renewals) -> tokio::time::Interval {
    let every = renewals.every.map_or(IDLE, |every| every.clamp(FASTEST, IDLE));
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

/// Takes in what an agent said; `Some` for the answer to a heartbeat.
fn heard(
    agents: &Agents,
    node: &NodeName,
    connection: u64,
    sent: &mut VecDeque<(u64, Moment)>,
    kind: Kind,
) -> Option<()> {
    match kind {
        Kind::Renewed(renewed) => {
            let now = agents.now();
            let at = sent.iter().position(|(number, _)| *number == renewed.number)?;
            let (_, began) = sent.drain(..=at).next_back()?;
            if let Some(known) =
                agents.known().get_mut(node).filter(|known| known.connection == connection)
            {
                known.heard = Instant::now();
                known.clock.heard(began, now, BootTime::from_nanos(renewed.now));
                // An older agent says it only when it connects. What was asked before a halt or a resume was
                // confirmed may have been answered before, too.
                if let Some(halted) = renewed.halted.filter(|_| began > known.braked) {
                    (known.halted, known.tells_halted) = (halted, true);
                }
            }
            let ids = renewed.ids.into_iter().filter_map(|id| id.try_into().ok()).collect();
            agents.notify(Notice::Renewed(node.clone(), ids, began));
            Some(())
        }
        Kind::Status(status) => {
            match Status::try_from(status) {
                Ok(status) => agents.notify(Notice::Status(node.clone(), Box::new(status))),
                Err(invalid) => tracing::warn!(node = node.as_str(), %invalid, "not understood"),
            }
            None
        }
        // The next beat asks how it stands.
        Kind::Braked(_) => None,
        // It heals everything and ends; its last words say so fault by fault.
        Kind::Draining(_) => None,
    }
}
