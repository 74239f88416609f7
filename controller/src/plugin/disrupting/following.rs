//! One such object until it is over or gone, as the API server tells of it.

use std::time::{Duration, Instant};

use cluster::{Client, Event, Selection, Watch, Within};

use super::course::{GOING, IN_TIME, ended, undone};
use super::report::record;
use crate::disruptions::resource::{Object, OfKind, Place};
use crate::disruptions::status::Phase;
use crate::failure::{Cause, Failure};
use crate::fleet::disrupted::DisruptionReport;
use crate::interrupts::Interrupts;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::plugin::following::{outcome, refusal};
use crate::session::After;
use crate::session::live::{Line, Live, Weight};

/// How long a controller may take to say anything before that is told.
const SILENCE: Duration = Duration::from_secs(10);

/// An object that is watched.
pub(super) struct Following<R: OfKind> {
    client: Client,
    place: Place,
    object: Object,
    output: Output,
    watched: Watch<R>,
}

impl<R: OfKind> Following<R> {
    /// Begins to watch an object that is there.
    pub(super) fn new(client: Client, place: Place, object: Object, output: Output) -> Self {
        let fields = Some(format!("metadata.name={}", place.name));
        let within = place.path().map_or(Within::Cluster, |(within, _)| within);
        let watched = client.watch(within, Selection { labels: None, fields });
        Self { client, place, object, output, watched }
    }

    /// What is told next; `None` once it is gone, or has made room for another one.
    async fn next(&mut self) -> Option<Result<(), String>> {
        let (found, is_there): (Option<R>, bool) = match self.watched.next().await {
            Event::Listed(all) => (all.into_iter().next(), true),
            Event::Applied(one) => (Some(one), true),
            Event::Deleted(one) => (Some(one), false),
            Event::Trouble(error) => return Some(Err(error.to_string())),
        };
        let is_it = |found: &Object| found.metadata.uid == self.object.metadata.uid;
        let found: Object = found.map(Into::<Object>::into).filter(is_it)?;
        self.object = found;
        is_there.then_some(Ok(()))
    }

    /// Stays with it until it is over, and says how it went. A signal deletes it.
    ///
    /// # Errors
    /// It was refused, or its end is not known.
    pub(super) async fn stay_to_its_end(
        mut self,
        after: After,
        interrupts: &mut Interrupts,
    ) -> Result<Outcome, Failure> {
        let mut live = Live::new(self.output);
        let (begun, mut silent, mut told) = (Instant::now(), true, Phase::Pending);
        let mut tick = tokio::time::interval(live.interval());
        loop {
            let phase = self.object.status.phase;
            if phase.is_final() {
                break;
            }
            if phase != told {
                told = phase;
                live.tell(&format!("{} is {}", self.place.name, phase.word()));
            }
            if phase == Phase::Standing && after == After::Detach {
                live.clear();
                self.show(Outcome::Effective)?;
                let node = self.object.spec.node().unwrap_or_default();
                self.output.note(format!("end it with: kubectl schism node uncordon {node}"));
                return Ok(Outcome::Effective);
            }
            tokio::select! {
                told = self.next() => match told {
                    Some(Ok(())) => silent &= self.object.status.phase == Phase::Pending,
                    Some(Err(reason)) => live.tell(&format!("note: {reason}")),
                    None => break,
                },
                _ = tick.tick() => {
                    if silent && begun.elapsed() > SILENCE {
                        silent = false;
                        live.tell("note: no controller has taken it up yet; Ctrl-C deletes it");
                    }
                    live.rewrite(&line(&self.object));
                }
                _ = interrupts.next() => {
                    live.tell("interrupted; undoing");
                    return self.withdrawn(interrupts).await;
                }
            }
        }
        live.clear();
        self.concluded()
    }

    /// What came of it.
    fn concluded(self) -> Result<Outcome, Failure> {
        let status = &self.object.status;
        let attempted = format!("cannot do what {} asks for", self.place);
        match status.phase {
            Phase::Refused => {
                Err(Failure::caused(refusal(outcome(status.exit_code)), attempted, &status.message))
            }
            // Somebody else has deleted it.
            Phase::Pending
            | Phase::UnderWay
            | Phase::Standing
            | Phase::Undoing
            | Phase::Unknown => {
                let reason = "somebody else has deleted it, and its end was not told";
                Err(Failure::caused(Cause::Unreachable, attempted, reason).hint(IN_TIME))
            }
            Phase::Done | Phase::Failed | Phase::Idle => {
                let outcome = outcome(status.exit_code);
                if !self.output.is_for_names() {
                    self.show(outcome)?;
                }
                Ok(outcome)
            }
        }
    }

    /// Deletes it, and says what came of that.
    async fn withdrawn(self, interrupts: &mut Interrupts) -> Result<Outcome, Failure> {
        let output = self.output;
        let last = ended::<R>(&self.client, self.object, output, interrupts).await?;
        if !last.status.phase.has_begun() {
            output.note("interrupted before anything was done");
            return Ok(Outcome::Interrupted);
        }
        let outcome = Outcome::Interrupted.worst(undone(last.status.phase));
        output.show(&DisruptionReport::new(record(R::OWN, &last), outcome))?;
        Ok(outcome)
    }

    /// Waits until an object that was deleted is gone; how it was last.
    ///
    /// # Errors
    /// It is still there long after that, or a signal ended the waiting.
    pub(super) async fn gone(mut self, interrupts: &mut Interrupts) -> Result<Object, Failure> {
        let attempted = format!("cannot confirm that {} is over", self.place);
        let failed = |reason: &str| {
            Failure::new(Outcome::Unconfirmed, attempted.clone(), reason).hint(IN_TIME)
        };
        let end = tokio::time::Instant::now() + GOING;
        loop {
            tokio::select! {
                told = self.next() => if told.is_none() {
                    return Ok(self.object);
                },
                () = tokio::time::sleep_until(end) => {
                    return Err(failed("the API server still has it"));
                }
                _ = interrupts.next() => return Err(failed("interrupted while it was undone")),
            }
        }
    }

    fn show(&self, outcome: Outcome) -> Result<(), Failure> {
        let record = record(R::OWN, &self.object);
        self.output.show(&DisruptionReport::new(record, outcome))
    }
}

/// One line for an object while it goes on.
fn line(object: &Object) -> Line {
    let status = &object.status;
    let mut line = Line::new(format!("{} {}", object.metadata.name, status.phase.word()));
    if !status.went.is_empty() {
        line.push(Weight::Part, format!("  {} pods", status.went.replace('/', " of ")));
    }
    if let Some(until) = status.until.as_deref().filter(|_| status.phase == Phase::Standing) {
        line.push(Weight::Part, format!("  until {until}"));
    }
    if let Some(pod) = status.pods.iter().find(|pod| !pod.trouble.is_empty()) {
        let trouble = fault::Legible(&pod.trouble);
        line.push(Weight::Detail, format!("  {}: {trouble}", pod.pod));
    }
    line
}
