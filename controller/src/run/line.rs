//! A run that a controller decides: this command performs what the controller must not, and tells.

use std::path::Path;
use std::sync::Arc;

use experiment::journal::Status;
use experiment::line::{Asked, Kept, Order, perform};
use experiment::run::{Beginning, Ending, Event, Interruption, Progress, Verdicts};
use fault::{IntentId, OnOneLine};
use proto::control as wire;
use proto::control::run_reply::Kind as Reply;
use proto::control::run_request::Kind as Request;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::book::Book;
use super::claim::Claim;
use super::executor::Executor;
use super::faults::acting::{Elsewhere, Sight};
use super::faults::{Faults, Holder};
use super::outlets::Outlets;
use super::places::Outs;
use super::reaper::Reaper;
use super::report::{self, Entry};
use super::starting;
use super::view::{self, View};
use super::{Asks, CameTo, Where};
use crate::cli::RunArgs;
use crate::failure::{Cause, Failure};
use crate::fleet::{self, client::Client};
use crate::heal::FaultName;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::settings::{Controller, Names};

/// What is returned by a step may be so long, as JSON (16 MiB); a controller takes no more.
const LONGEST_ANSWER: usize = 16 << 20;
/// After so many interruptions the run is left to its controller.
const INSISTENT: u32 = 3;

/// A run at a controller, as this end sees it.
pub(super) struct Line<'a> {
    pub(super) args: &'a RunArgs,
    pub(super) place: &'a Where,
    pub(super) controller: &'a Controller,
    pub(super) output: Output,
}

impl Line<'_> {
    /// Has a run decided there.
    pub(super) async fn begin(
        &self,
        file: String,
        beginning: &Beginning,
        verdicts: Verdicts,
        outs: &Outs,
    ) -> Result<CameTo, Failure> {
        let attempted = "cannot have the experiment run";
        let failed =
            |error: &dyn std::fmt::Display| Failure::caused(Cause::Other, attempted, error);
        let asked = Asked::of(beginning).map_err(|error| failed(&error))?;
        let asked = serde_json::to_vec(&asked).map_err(|error| failed(&error))?;
        let id = crate::cut::random()?;
        let id = IntentId::from_random(id).get();
        let begin = wire::BeginRun { id, asked: asked.into(), names: names(&self.place.names) };
        let client = fleet::connect(self.controller, self.output).await?;
        let rules = (verdicts, beginning.terms.seed);
        self.follow(client, (id, file), Request::Begin(begin), rules, outs).await
    }

    /// The run that is meant by a name, if it is one of the controller's.
    pub(super) async fn find(&self, name: &Path) -> Result<Option<wire::Run>, Failure> {
        let meant = name.to_str().and_then(|name| name.parse::<FaultName>().ok());
        let Some(meant) = meant.filter(|_| !name.exists()) else { return Ok(None) };
        let mut client = Client::open(self.controller).await?;
        let runs = client.all().await?.runs.into_iter();
        let mut runs = runs.filter(|run| meant.names(IntentId::from_random(run.id)));
        match (runs.next(), runs.next()) {
            (Some(run), None) => Ok(Some(run)),
            (None, _) => Ok(None),
            (Some(_), Some(_)) => {
                let attempted = format!("cannot take over {}", name.display());
                Err(Failure::caused(Cause::WrongUsage, attempted, "several runs begin like that"))
            }
        }
    }

    /// Plays the rollbacks that a run of the controller owes.
    pub(super) async fn take_over(&self, run: &wire::Run, outs: Outs) -> Result<CameTo, Failure> {
        let attempted = format!("cannot take over {}", IntentId::from_random(run.id));
        let shown = IntentId::from_random(run.id).to_string();
        let failed =
            |error: &dyn std::fmt::Display| Failure::caused(Cause::Other, &attempted, error);
        let mut client = fleet::connect(self.controller, self.output).await?;
        let description = client.describe_run(run.id).await?;
        let kept = description.run.unwrap_or_default().kept;
        let kept: Kept = serde_json::from_slice(&kept).map_err(|error| failed(&error))?;
        let rules = (kept.terms.verdicts, kept.terms.seed);
        let experiment = kept.read().map_err(|error| failed(&error))?;
        let values = starting::again(self.args, &shown, experiment, self.output).await?;
        let values = serde_json::to_vec(&values).map_err(|error| failed(&error))?;
        let take = wire::TakeOverRun { id: run.id, values: values.into() };
        self.follow(client, (run.id, shown), Request::TakeOver(take), rules, &outs).await
    }

    /// Performs what is asked for, and tells what happens, until the end.
    async fn follow(
        &self,
        mut client: Client,
        (id, file): (u64, String),
        first: Request,
        (verdicts, seed): (Verdicts, u64),
        outs: &Outs,
    ) -> Result<CameTo, Failure> {
        let failed = |error| Failure::new(Outcome::WrongUsage, "cannot begin the run", error);
        super::aside::put(&outs.journal, self.output)?;
        let book = Book::open(Arc::clone(&outs.journal), None).map_err(failed)?;
        let kept = outs.events.clone();
        let mut asks = Asks::listen().map_err(failed)?;
        let (said, requests) = mpsc::channel(64);
        let said = Said(said);
        said.say(first).await;
        let mut told = client.run(ReceiverStream::new(requests)).await?;
        let shown = IntentId::from_random(id);
        self.output.note(format!("run {shown}"));
        let (events, mut inbox) = mpsc::unbounded_channel();
        let holder = Holder::Controller(self.controller.clone());
        let faults = Arc::new(Faults::new(
            self.place.names.clone(),
            holder,
            None,
            seed,
            (events.clone(), self.output),
        ));
        let sight = Arc::new(Elsewhere::new(client.clone()));
        let view = View::new(self.output, Sight::Elsewhere(Arc::clone(&sight)));
        let mut outlets = Outlets::new(book, kept, verdicts, view);
        let reaper = Reaper::new(crate::cut::random()?, verdicts);
        let settings = self.place.settings.clone();
        let mut executor = Executor::new(events, faults, reaper, settings);
        let mut drawn = tokio::time::interval(view::EVERY);
        let mut interruptions = 0;
        let end = loop {
            tokio::select! {
                reply = told.message() => match reply {
                    Ok(Some(wire::RunReply { kind: Some(Reply::End(end)) })) => break Ok(end),
                    Ok(Some(wire::RunReply { kind: Some(Reply::Run(run)) })) => sight.hear(&run),
                    Ok(Some(reply)) => self.told(reply, &mut executor, &mut outlets),
                    Ok(None) => break Err("the controller closed the connection".to_owned()),
                    Err(status) => break Err(fleet::client::reason(&status)),
                },
                Some(event) = inbox.recv() => said.answer(event).await,
                _ = drawn.tick(), if outlets.view().is_live() => outlets.view().draw(),
                by = asks.next() => {
                    interruptions += 1;
                    if interruptions >= INSISTENT {
                        break Err("it was interrupted again and again".to_owned());
                    }
                    said.interrupt(&by).await;
                }
            }
        };
        executor.end().await;
        match end {
            Ok(end) => {
                let junit = outs.junit.as_deref().map(Claim::path);
                Ok(self.ended(end, file, &mut outlets, junit, verdicts))
            }
            Err(reason) => Err(Failure::caused(
                Cause::Unreachable,
                format!("cannot follow the run {shown}"),
                reason,
            )
            .hint(format!(
                "it ends in rollback; what it owes `schism status` shows, and \
                 `schism run --resume-rollbacks {shown}` plays"
            ))),
        }
    }

    fn told(&self, reply: wire::RunReply, executor: &mut Executor, outlets: &mut Outlets) {
        let Some(kind) = reply.kind else { return };
        match kind {
            Reply::News(news) => {
                // News of a newer version are left to its journal.
                if let Ok(progress) = serde_json::from_slice::<Progress>(&news) {
                    // The controller has no part in it: the command's own document says so.
                    let _: Option<String> = outlets.publish(&progress, starting::now());
                    outlets.tell(&progress);
                }
            }
            Reply::Order(order) => match serde_json::from_slice::<Order>(&order) {
                Ok(order) => match perform(order) {
                    Ok(step) => executor.perform(step),
                    Err(hook) => executor.control(*hook),
                },
                // Whoever waits for it would wait for good.
                Err(error) => match experiment::line::call(&order) {
                    Some(call) => {
                        let why = "the command cannot read what it is to do, being older";
                        executor.refuse(call, format!("{why}: {error}"));
                    }
                    None => self.output.note(format!("a step cannot be read: {error}")),
                },
            },
            Reply::Stop(call) => executor.abort(experiment::run::CallId::from_number(call)),
            Reply::Journal(journal) => outlets.keep(&journal),
            Reply::Run(_) | Reply::End(_) => (),
        }
    }

    fn ended(
        &self,
        end: wire::RunEnd,
        file: String,
        outlets: &mut Outlets,
        junit: Option<&Path>,
        verdicts: Verdicts,
    ) -> CameTo {
        if end.journal.is_empty() {
            self.output.note(
                "the journal is not told, it is too long or not there: what is written here may lack \
                 its end, and the controller's archive has all that is kept",
            );
        } else {
            outlets.keep(&end.journal);
        }
        if let Some(path) = junit {
            outlets.suite(&end.junit, path);
        }
        let run = end.run.unwrap_or_default();
        let verdict = run.verdict.clone().unwrap_or_default();
        if !run.owed.is_empty() {
            let owed = format!(
                "owed: {}; `schism run --resume-rollbacks {}` sees to it",
                fleet::runs::owed(&run).join(", "),
                IntentId::from_random(run.id)
            );
            self.output.note(OnOneLine(&owed));
        }
        if !verdict.explanation.is_empty() {
            self.output.note(OnOneLine(&verdict.explanation));
        }
        let status = match verdict.status() {
            wire::RunStatus::Completed => Status::Completed,
            wire::RunStatus::Failed => Status::Failed,
            wire::RunStatus::Aborted => Status::Aborted,
            wire::RunStatus::Interrupted | wire::RunStatus::Unspecified => Status::Interrupted,
        };
        let outcome = match (verdict.exit(), outlets.troubled()) {
            // Whoever reads the journal would believe something else.
            (wire::RunExit::Done, Some(_)) if verdicts == Verdicts::Strict => Outcome::Deviated,
            (wire::RunExit::Done, _) => Outcome::Effective,
            (wire::RunExit::Failed, _) => Outcome::Deviated,
            (wire::RunExit::NoEffect, _) => Outcome::NothingMatched,
            (wire::RunExit::Unconfirmed, _) => Outcome::Unconfirmed,
            (wire::RunExit::Interrupted | wire::RunExit::Unspecified, _) => Outcome::Interrupted,
        };
        let journal = serde_json::from_slice(&end.journal).unwrap_or_default();
        let mut told = report::Told {
            status: status.to_string(),
            deviated: verdict.deviated,
            reasons: verdict.reasons,
            explanation: Some(verdict.explanation).filter(|why| !why.is_empty()),
        };
        if verdicts == Verdicts::Strict {
            told.is_not_whole(outlets.troubled());
        }
        let entry = Entry::new(file, outlets.journal(), &journal, told, outcome);
        CameTo { outcome, status, entry }
    }
}

/// What this end says.
struct Said(mpsc::Sender<wire::RunRequest>);

impl Said {
    async fn say(&self, kind: Request) {
        // Where it is lost, the other direction says so.
        let _ = self.0.send(wire::RunRequest { kind: Some(kind) }).await;
    }

    async fn answer(&self, event: Event) {
        let Event::Finished(call, ending) = event else { return };
        let text = serde_json::to_vec(&ending).unwrap_or_default();
        let text = if text.len() > LONGEST_ANSWER {
            let most = LONGEST_ANSWER >> 20;
            let why = format!("it returned more than {most} MiB, which do not go to a controller");
            serde_json::to_vec(&Ending::Failed(why)).unwrap_or_default()
        } else {
            text
        };
        let answer = wire::RunAnswer { call: call.number(), ending: text.into() };
        self.say(Request::Answer(answer)).await;
    }

    async fn interrupt(&self, by: &Interruption) {
        use wire::interrupt_run::Signal;
        let signal = match by {
            Interruption::Sigterm => Signal::Term,
            Interruption::Sighup => Signal::Hup,
            Interruption::Sigusr1 => Signal::Usr1,
            Interruption::Sigusr2 => Signal::Usr2,
            Interruption::Sigint
            | Interruption::Asked(_)
            | Interruption::Lost
            | Interruption::Unwritten(_) => Signal::Int,
        };
        self.say(Request::Interrupt(wire::InterruptRun { signal: signal.into() })).await;
    }
}

fn names(names: &Names) -> Vec<wire::RunName> {
    let each = names.iter().map(|(name, selectors)| wire::RunName {
        name: name.to_string(),
        selectors: selectors.iter().map(Into::into).collect(),
    });
    each.collect()
}
