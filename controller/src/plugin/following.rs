//! One object from its creation to its end, as the API server tells of it.

use std::time::{Duration, Instant, SystemTime};

use cluster::Client;

use super::report::FaultsReport;
use crate::failure::{Cause, Failure};
use crate::fleet::outcome::{UNMATCHED, UNMEASURED};
use crate::interrupts::Interrupts;
use crate::objects::resource::{Object, Place};
use crate::objects::status::Phase;
use crate::objects::user::{Told, Watched, delete, refused};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::output::quantity::time;
use crate::session::After;
use crate::session::live::{Line, Live, Weight};

/// How long a controller may take to say anything before that is told.
const SILENCE: Duration = Duration::from_secs(10);

/// How much longer than its lease a fault may take to be out, before that is told as not confirmed.
const GRACE: Duration = Duration::from_secs(20);

/// An object that is watched.
pub(super) struct Following {
    client: Client,
    place: Place,
    object: Object,
    output: Output,
    watched: Watched,
}

impl Following {
    /// Begins to watch an object that is there.
    pub(super) fn new(client: Client, place: Place, object: Object, output: Output) -> Self {
        let watched = Watched::new(&client, &place);
        Self { client, place, object, output, watched }
    }

    fn attempted(&self) -> String {
        format!("cannot follow {}", self.place)
    }

    /// What is told next; `None` once it is gone, or has made room for another one.
    async fn next(&mut self) -> Option<Result<(), String>> {
        match self.watched.next().await {
            Told::Object(object) if object.metadata.uid == self.object.metadata.uid => {
                self.object = *object;
                Some(Ok(()))
            }
            Told::Object(_) | Told::Gone(None) => None,
            Told::Gone(Some(last)) => {
                self.object = *last;
                None
            }
            Told::Trouble(reason) => Some(Err(reason)),
        }
    }

    /// Stays with it until it is over, and says how it went. A signal deletes it.
    ///
    /// # Errors
    /// It was refused, or never acted.
    pub(super) async fn stay_to_its_end(
        mut self,
        after: After,
        interrupts: &mut Interrupts,
    ) -> Result<Outcome, Failure> {
        let mut live = Live::new(self.output);
        let (begun, mut acts_since, mut silent) = (Instant::now(), None, true);
        let mut tick = tokio::time::interval(live.interval());
        loop {
            let status = &self.object.status;
            if status.phase.is_final() {
                break;
            }
            if status.phase == Phase::Active && acts_since.is_none() {
                acts_since = Some(Instant::now());
                let until = status.until.as_deref().unwrap_or("its end");
                live.tell(&format!("{} acts until {until}", self.place));
                if after == After::Detach {
                    live.clear();
                    let name = &self.place.name;
                    self.output.note(format!("detached; end it with: kubectl schism heal {name}"));
                    self.show(Outcome::Effective)?;
                    return Ok(Outcome::Effective);
                }
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
                    live.rewrite(&line(&self.object, acts_since));
                }
                _ = interrupts.next() => {
                    live.tell("interrupted; healing");
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
            Phase::Failed if status.started_at.is_none() => {
                self.show(Outcome::Unconfirmed)?;
                Err(Failure::caused(Cause::Unreachable, attempted, &status.message))
            }
            // Somebody else has deleted it.
            Phase::Pending | Phase::Active | Phase::Healing | Phase::Unknown => {
                let reason = "somebody else has deleted it, and its end was not told";
                Err(Failure::caused(Cause::Unreachable, self.attempted(), reason))
            }
            Phase::Healed | Phase::Expired | Phase::Failed | Phase::Unconfirmed => {
                let outcome = outcome(status.exit_code);
                if !self.output.is_for_names() {
                    self.show(outcome)?;
                }
                if outcome == Outcome::NothingMatched {
                    let in_processes = self.object.status.from.is_empty();
                    self.output.note(if in_processes { UNMEASURED } else { UNMATCHED });
                }
                Ok(outcome)
            }
        }
    }

    /// Deletes it, and says what came of that.
    async fn withdrawn(self, interrupts: &mut Interrupts) -> Result<Outcome, Failure> {
        let output = self.output;
        let (kind, uid) = (self.place.kind, self.object.metadata.uid.clone());
        let deleted = delete(&self.client, &self.place, Some(&uid)).await;
        deleted.map_err(|error| {
            refused("cannot heal", &error)
                .hint("its lease ends it if nobody renews it: `kubectl schism status` shows it")
        })?;
        let last = self.gone(interrupts).await?;
        let phase = last.status.phase;
        let outcome = match phase {
            Phase::Active | Phase::Healing | Phase::Unconfirmed => Outcome::Unconfirmed,
            Phase::Pending
            | Phase::Refused
            | Phase::Healed
            | Phase::Expired
            | Phase::Failed
            | Phase::Unknown => Outcome::Interrupted,
        };
        if phase == Phase::Pending {
            output.note("interrupted before anything was put in");
        } else {
            output.show(&FaultsReport::one(kind, last).coming_to(outcome))?;
        }
        Ok(outcome)
    }

    /// Waits until an object that was deleted is gone; how it was last.
    ///
    /// # Errors
    /// It is still there when its lease is over for long, or a signal ended the waiting.
    pub(super) async fn gone(mut self, interrupts: &mut Interrupts) -> Result<Object, Failure> {
        let attempted = format!("cannot confirm that {} is healed", self.place);
        let failed = |reason: &str| Failure::new(Outcome::Unconfirmed, attempted.clone(), reason);
        let lease = self.object.status.lease.clone();
        let lease = fault::parse_duration(&lease).unwrap_or(Duration::from_secs(15));
        let end = tokio::time::Instant::now() + lease + GRACE;
        loop {
            tokio::select! {
                told = self.next() => if told.is_none() {
                    return Ok(self.object);
                },
                () = tokio::time::sleep_until(end) => {
                    return Err(failed("the API server still has it; its lease has ended it by now"));
                }
                _ = interrupts.next() => return Err(failed("interrupted while it was healed; its lease ends it")),
            }
        }
    }

    fn show(&self, outcome: Outcome) -> Result<(), Failure> {
        let report = FaultsReport::one(self.place.kind, self.object.clone());
        self.output.show(&report.coming_to(outcome))
    }
}

/// What a controller says that a command comes to, by the status of an object.
pub(super) fn outcome(exit_code: Option<u8>) -> Outcome {
    exit_code.and_then(Outcome::of_code).unwrap_or(Outcome::Unconfirmed)
}

/// Why an object is refused of which that is said.
pub(super) const fn refusal(outcome: Outcome) -> Cause {
    match outcome {
        Outcome::WrongUsage => Cause::WrongUsage,
        Outcome::Refused => Cause::Refused,
        Outcome::Effective
        | Outcome::Deviated
        | Outcome::NothingMatched
        | Outcome::Unconfirmed
        | Outcome::Interrupted => Cause::Unreachable,
    }
}

/// One line for an object while it acts; what is left of it is counted here, since clocks may differ by hours.
fn line(object: &Object, since: Option<Instant>) -> Line {
    let status = &object.status;
    let (name, phase) = (&object.metadata.name, status.phase.word().to_lowercase());
    let mut line = Line::new(format!("{name} {phase}"));
    let Some(since) = since else { return line };
    let parsed = |text: &Option<String>| {
        text.as_deref().and_then(|text| humantime::parse_rfc3339(text).ok())
    };
    let total = |begun: SystemTime, end: SystemTime| end.duration_since(begun).ok();
    let total =
        parsed(&status.started_at).zip(parsed(&status.until)).and_then(|(a, b)| total(a, b));
    let left =
        total.map_or_else(|| "-".to_owned(), |total| time(total.saturating_sub(since.elapsed())));
    let to = if status.from.is_empty() {
        status.to.clone()
    } else {
        format!("{} → {}", status.from, status.to)
    };
    line.push(Weight::Part, format!("  {left} left"));
    line.push_detailed(Weight::Part, &format!("  {to}: {}", status.effect));
    line
}
