//! Faults of a run that this machine's agent holds.

use std::time::Duration;

use agent::kernel::priority;
use experiment::model::FaultLabel;
use experiment::run::{Effect, Event, Healing, NamedFault};
use fault::{Aspect, Fault, FaultId, IntentId, LeaseTerms, NodeName, Selector, Status, Target};
use proto::agent as wire;
use proto::agent::event::Kind;
use proto::control as control_wire;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::super::logs::{self, Telling};
use super::effect;
use super::telling::Teller;
use super::words::Typed;
use super::{Standing, ended, id};
use crate::connect::{self, Absence, Choice, Connection};
use crate::failure::{Cause, Failure};
use crate::fleet::client::LOG;
use crate::link::{Link, Rehearsal, Scope, nanos, wired};
use crate::log::{self, Wanted};
use crate::output::Output;
use crate::session::Watch;
use crate::settings::Names;
use crate::skew::replacement;

/// How often an agent says what faults have done (1 s).
const REPORT: Duration = Duration::from_secs(1);

/// This machine's agent, and this command, if it is the agent.
pub(super) struct Here {
    connection: tokio::sync::Mutex<Connection>,
    /// Who is asked where that one is lost.
    again: Choice,
    link: Link,
    teller: Teller,
    output: Output,
}

/// A fault that is kept.
pub(super) struct Held {
    intent: IntentId,
    ids: Vec<FaultId>,
    keeper: Option<AbortHandle>,
}

impl Held {
    pub(super) const fn intent(&self) -> IntentId {
        self.intent
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
    }
}

/// As for every command. The programs of a run are this process's children, and come before nobody.
async fn find(choice: &Choice, output: Output) -> Result<Option<Connection>, Failure> {
    let found = connect::find(choice, output).await;
    priority::come_as_before();
    found
}

impl Here {
    pub(super) async fn open(
        choice: &Choice,
        teller: Teller,
        output: Output,
    ) -> Result<Self, Failure> {
        let found = find(choice, output).await?;
        let none =
            || Failure::caused(Cause::Unreachable, "cannot put faults in", "there is no agent");
        let connection = found.ok_or_else(none)?;
        let link = connection.link.clone();
        let again = Choice { absence: Absence::Accept, ..choice.clone() };
        Ok(Self { connection: tokio::sync::Mutex::new(connection), again, link, teller, output })
    }

    pub(super) async fn begin(
        &self,
        fault: &NamedFault,
        typed: Typed,
        names: &Names,
        standing: &mut Option<Standing>,
    ) -> Result<Value, Failure> {
        let attempted = format!("cannot put in `{}`", fault.label);
        let (faults, terms) = self.faults(id(fault.key), typed, names).await?;
        let ids: Vec<FaultId> = faults.iter().map(|fault| fault.id).collect();
        let mut link = self.link.clone();
        // From here on something of it may be there.
        let held = standing.insert(Standing::Here(Held {
            intent: id(fault.key),
            ids: ids.clone(),
            keeper: None,
        }));
        let begun = async {
            link.prepare(&attempted, &faults, Rehearsal::No).await?;
            link.commit(&attempted, &ids, None).await
        };
        let committed = match begun.await {
            Ok(committed) => committed,
            Err(failure) => {
                let is_out = match link.heal(&Scope::Faults(ids)).await {
                    Ok(statuses) => ended::left_nothing(&statuses),
                    // What was refused its agent does not know.
                    Err(other) => [&failure, &other].iter().any(|one| one.cause == Cause::NotFound),
                };
                if is_out {
                    *standing = None;
                }
                return Err(replacement::judged(failure, &faults, &mut link).await);
            }
        };
        let watch = Watch::new(committed.clone(), std::time::Instant::now());
        let kept = keep(link, watch, terms, fault.label.clone(), self.teller.clone());
        let keeper = tokio::spawn(kept);
        if let Standing::Here(held) = held {
            held.keeper = Some(keeper.abort_handle());
        }
        let node = self.connection.lock().await.description.node.clone();
        let faults = committed.iter().filter_map(|status| {
            let mut record = serde_json::to_value(status).ok()?;
            record["node"] = node.as_str().into();
            Some(record)
        });
        Ok(json!({"id": id(fault.key).to_string(), "faults": faults.collect::<Vec<_>>()}))
    }

    async fn faults(
        &self,
        id: IntentId,
        typed: Typed,
        names: &Names,
    ) -> Result<(Vec<Fault>, LeaseTerms), Failure> {
        let mut connection = self.connection.lock().await;
        match typed {
            Typed::Cut(args) => {
                crate::cut::faults(id, &args, names, &mut connection, self.output).await
            }
            Typed::Within(asked) | Typed::Replacing(asked) => {
                crate::processes::faults(id, asked, &mut connection).await
            }
        }
    }

    pub(super) async fn heal(&self, held: &Held) -> Result<Healing, Failure> {
        self.out(held.ids.clone()).await
    }

    /// Takes out what another command has put in. Its agent may have ended with it, and another one answer.
    pub(super) async fn heal_left(&self, id: IntentId) -> Result<Healing, Failure> {
        let statuses = self.link.clone().list().await?.into_iter();
        let ids: Vec<FaultId> =
            statuses.map(|status| status.fault.id).filter(|fault| fault.intent == id).collect();
        if ids.is_empty() { Ok(Healing::Out(Effect::default())) } else { self.out(ids).await }
    }

    async fn out(&self, ids: Vec<FaultId>) -> Result<Healing, Failure> {
        let scope = Scope::Faults(ids);
        let healed = match self.link.clone().heal(&scope).await {
            // One that was started anew may answer: what its former life held is not there any more.
            Err(failure) if failure.cause == Cause::Unreachable => {
                match find(&self.again, self.output).await? {
                    Some(mut other) => other.link.heal(&scope).await,
                    None => Err(failure),
                }
            }
            healed => healed,
        };
        match healed {
            Ok(statuses) => Ok(ended::healing(&statuses)),
            // It ended long ago, and the agent has forgotten it.
            Err(failure) if failure.cause == Cause::NotFound => Ok(Healing::Out(Effect::default())),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn effect(&self, held: &Held) -> Result<Effect, Failure> {
        let statuses = self.statuses().await?;
        let own: Vec<Status> =
            statuses.into_iter().filter(|status| held.ids.contains(&status.fault.id)).collect();
        Ok(effect::of(&own))
    }

    pub(super) async fn statuses(&self) -> Result<Vec<Status>, Failure> {
        self.link.clone().list().await
    }

    /// The targets that selectors name together, each once.
    pub(super) async fn targets(
        &self,
        selectors: &[(Selector, Aspect)],
        seed: u64,
    ) -> Result<Vec<String>, Failure> {
        let (_, found) = self.found(selectors, seed).await?;
        Ok(found.into_iter().map(|target| target.selector.to_string()).collect())
    }

    /// This node's name, and what selectors name on it together, each target once.
    async fn found(
        &self,
        selectors: &[(Selector, Aspect)],
        seed: u64,
    ) -> Result<(String, Vec<Target>), Failure> {
        let node = self.connection.lock().await.description.node.clone();
        let mut link = self.link.clone();
        let mut found: Vec<Target> = Vec::new();
        for (selector, aspect) in selectors {
            let targets =
                crate::resolve::targets(&mut link, &node, selector, *aspect, seed).await?;
            let new = |target: &Target| found.iter().all(|one| one.identity != target.identity);
            let targets: Vec<Target> = targets.into_iter().filter(new).collect();
            found.extend(targets);
        }
        Ok((node, found))
    }

    /// What targets of this node write.
    pub(super) async fn logs(
        &self,
        selectors: &[Selector],
        since: &[control_wire::TargetLog],
        (wanted, seed): (Wanted, u64),
    ) -> Result<Telling, Failure> {
        let selectors: Vec<(Selector, Aspect)> =
            selectors.iter().map(|selector| (selector.clone(), Aspect::Processes)).collect();
        let (node, found) = self.found(&selectors, seed).await?;
        let link = self.link.clone();
        let named = NodeName::new(&node);
        let named =
            named.ok_or_else(|| Failure::caused(Cause::Other, LOG, "the node has no name"))?;
        let found = found.into_iter().map(|target| (named.clone(), target)).collect();
        let sought = log::sought(found, since)
            .map_err(|other| Failure::caused(Cause::NotFound, LOG, other))?;
        let sought = sought.into_iter().map(|sought| (link.clone(), sought)).collect();
        Ok(logs::telling(log::told(sought, wanted)))
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
    mut watch: Watch,
    terms: LeaseTerms,
    label: FaultLabel,
    teller: Teller,
) {
    let ids = watch.ids();
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
    let tell = |event| teller.tell(&label, event);
    let lost = |why: String| tell(Event::FaultLost(label.clone(), why));
    // Its lease ends it where nobody renews it.
    let mut told = match link.session(receiver).await {
        Ok(told) => told,
        Err(failure) => return lost(failure.text()),
    };
    let mut whole = Wholeness::Whole;
    loop {
        let news = tokio::select! {
            _ = heartbeat.tick() => {
                let _ = beats.try_send(beat.clone());
                continue;
            }
            event = told.message() => match event {
                Ok(Some(event)) => match event.kind {
                    Some(Kind::Status(status)) => Status::try_from(status).into_iter().collect(),
                    // What ended before this session was open is told to nobody by itself.
                    Some(Kind::Renewed(renewed)) if !renewed.refused.is_empty() => {
                        match link.list().await {
                            Ok(statuses) => statuses,
                            Err(failure) => return lost(failure.text()),
                        }
                    }
                    Some(Kind::Renewed(_) | Kind::Draining(_) | Kind::Braked(_)) | None => continue,
                },
                Ok(None) => return lost("the agent has ended the connection".to_owned()),
                Err(status) => return lost(status.message().to_owned()),
            },
        };
        watch.settle(news, std::time::Instant::now());
        if whole == Wholeness::Whole
            && let Some(broken) = watch.statuses().find_map(|part| ended::broken(&label, part))
        {
            tell(broken);
            whole = Wholeness::Broken;
        }
        if watch.is_over() {
            let statuses: Vec<Status> = watch.statuses().cloned().collect();
            return tell(ended::over(label.clone(), &statuses));
        }
    }
}

/// Whether all parts of a fault that are over have run their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wholeness {
    Whole,
    /// One has not, and that was told.
    Broken,
}
