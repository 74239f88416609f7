//! Faults of a run that this machine's agent holds.

use std::time::Duration;

use experiment::model::FaultLabel;
use experiment::run::{Effect, Event};
use fault::{Aspect, Fault, FaultId, LeaseTerms, Selector, Status};
use proto::agent as wire;
use proto::agent::event::Kind;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Standing;
use super::effect;
use super::words::Typed;
use crate::connect::{self, Choice, Connection};
use crate::failure::{Cause, Failure};
use crate::link::{Link, Rehearsal, Scope, nanos, wired};
use crate::output::Output;
use crate::settings::Names;

/// How often an agent says what faults have done (1 s).
const REPORT: Duration = Duration::from_secs(1);

/// This machine's agent, and this command, if it is the agent.
pub(super) struct Here {
    connection: tokio::sync::Mutex<Connection>,
    link: Link,
    events: mpsc::UnboundedSender<Event>,
    output: Output,
}

/// A fault that is kept.
pub(super) struct Held {
    ids: Vec<FaultId>,
    keeper: Option<AbortHandle>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

impl Here {
    pub(super) async fn open(
        choice: &Choice,
        events: mpsc::UnboundedSender<Event>,
        output: Output,
    ) -> Result<Self, Failure> {
        let found = connect::find(choice, output).await?;
        let none =
            || Failure::caused(Cause::Unreachable, "cannot put faults in", "there is no agent");
        let connection = found.ok_or_else(none)?;
        let link = connection.link.clone();
        Ok(Self { connection: tokio::sync::Mutex::new(connection), link, events, output })
    }

    pub(super) async fn begin(
        &self,
        label: FaultLabel,
        typed: Typed,
        names: &Names,
        standing: &mut Option<Standing>,
    ) -> Result<Value, Failure> {
        let attempted = format!("cannot put in `{label}`");
        let (faults, terms) = self.faults(typed, names).await?;
        let ids: Vec<FaultId> = faults.iter().map(|fault| fault.id).collect();
        let mut link = self.link.clone();
        // From here on something of it may be there.
        let held = standing.insert(Standing::Here(Held { ids: ids.clone(), keeper: None }));
        let begun = async {
            link.prepare(&attempted, &faults, Rehearsal::No).await?;
            link.commit(&attempted, &ids, None).await
        };
        let committed = match begun.await {
            Ok(committed) => committed,
            Err(failure) => {
                if link.heal(&Scope::Faults(ids)).await.is_ok() || failure.cause == Cause::NotFound
                {
                    *standing = None;
                }
                return Err(failure);
            }
        };
        let keeper = tokio::spawn(keep(link, ids, terms, label, self.events.clone()));
        if let Standing::Here(held) = held {
            held.keeper = Some(keeper.abort_handle());
        }
        Ok(json!({"id": committed.first().map(|one| one.fault.id.intent.to_string()),
                  "faults": serde_json::to_value(&committed).unwrap_or_default()}))
    }

    async fn faults(
        &self,
        typed: Typed,
        names: &Names,
    ) -> Result<(Vec<Fault>, LeaseTerms), Failure> {
        let mut connection = self.connection.lock().await;
        match typed {
            Typed::Cut(args) => {
                crate::cut::faults(&args, names, &mut connection, self.output).await
            }
            Typed::Within(asked) => crate::processes::faults(asked, &mut connection).await,
        }
    }

    pub(super) async fn heal(&self, held: &Held) -> Result<Effect, Failure> {
        let healed = self.link.clone().heal(&Scope::Faults(held.ids.clone())).await;
        match healed {
            Ok(statuses) => Ok(effect::of(&statuses)),
            // It ended long ago, and the agent has forgotten it.
            Err(failure) if failure.cause == Cause::NotFound => Ok(Effect::default()),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn effect(&self, held: &Held) -> Result<Effect, Failure> {
        let statuses = self.link.clone().list().await?;
        let own: Vec<Status> =
            statuses.into_iter().filter(|status| held.ids.contains(&status.fault.id)).collect();
        Ok(effect::of(&own))
    }

    pub(super) async fn targets(&self, selector: &Selector) -> Result<Vec<String>, Failure> {
        let found = self.link.clone().resolve(selector, Aspect::Network).await?;
        Ok(found.into_iter().map(|target| target.selector.to_string()).collect())
    }

    /// Ends the agent that this command was. Nobody waits for whoever may still speak to it.
    pub(super) async fn leave(&self, output: Output) {
        let Some(own) = self.connection.lock().await.own.take() else { return };
        if let Err(reason) = own.stop().await {
            output.note(format!("cannot end this machine's agent: {reason}"));
        }
    }
}

/// Renews faults until they end, and says so.
async fn keep(
    mut link: Link,
    ids: Vec<FaultId>,
    terms: LeaseTerms,
    label: FaultLabel,
    events: mpsc::UnboundedSender<Event>,
) {
    let beat = wire::Heartbeat {
        renew: wired(&ids),
        watch: wired(&ids),
        report_every_ns: nanos(REPORT),
        ..wire::Heartbeat::default()
    };
    let (beats, receiver) = mpsc::channel(1);
    let _ = beats.try_send(beat.clone());
    let every = terms.heartbeat().max(Duration::from_millis(1));
    let mut heartbeat = interval_at(Instant::now() + every, every);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Its lease ends it where nobody renews it.
    let Ok(mut told) = link.session(receiver).await else { return };
    let mut last: Vec<Status> = Vec::new();
    loop {
        tokio::select! {
            _ = heartbeat.tick() => drop(beats.try_send(beat.clone())),
            event = told.message() => {
                let Ok(Some(event)) = event else { return };
                let Some(Kind::Status(status)) = event.kind else { continue };
                let Ok(status) = Status::try_from(status) else { continue };
                match last.iter_mut().find(|known| known.fault.id == status.fault.id) {
                    Some(known) => *known = status,
                    None => last.push(status),
                }
                let over = last.len() == ids.len() && last.iter().all(|one| one.state.is_final());
                if over {
                    // The run may be over, too.
                    let _ = events.send(Event::FaultEnded(label, effect::of(&last)));
                    return;
                }
            }
        }
    }
}
