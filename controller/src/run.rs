//! `schism run`: experiments, with whoever performs their steps.

mod aside;
mod book;
pub(crate) mod checks;
mod claim;
pub(crate) mod disrupting;
pub(crate) mod executor;
pub(crate) mod faults;
mod line;
pub(crate) mod logs;
mod metric;
mod news;
mod outlets;
mod places;
mod presence;
mod program;
mod python;
mod reading;
pub mod reaper;
mod report;
mod request;
mod source;
pub(crate) mod starting;
mod validation;
mod vault;
mod view;
pub(crate) mod zeebe;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use experiment::journal::Status;
use experiment::run::{Action, Event, Exit, Interruption, Progress, Run, Verdict, Verdicts};
use fault::OnOneLine;
use serde_json::{Map, Value};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

pub use source::Source;
pub(crate) use starting::validate;

use crate::cli::RunArgs;
use crate::connect::{Absence, Choice};
use crate::failure::{Cause, Failure};
use crate::interrupts::{Interrupt, Interrupts};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::settings::{Controller, Names};
use book::Book;
pub(crate) use book::{beside, replaceable};
use claim::Claim;
use executor::Executor;
use faults::acting::Sight;
use faults::objects::Space;
use faults::{Faults, Form, Holder};
use line::Line;
use outlets::Outlets;
use places::Outs;
use reaper::Reaper;
use report::{Entry, RunReport};
use starting::{Former, Started};
use view::View;

/// Prints what an editor needs to know about experiments.
///
/// # Errors
/// Nobody reads it.
pub(crate) fn schema(output: Output) -> Result<Outcome, Failure> {
    output.print(&format!("{:#}", experiment::schema::schema()))?;
    Ok(Outcome::Effective)
}

/// Where the journal goes where nobody says it.
const JOURNAL: &str = "journal.json";

/// Where faults go.
pub(crate) struct Where {
    /// Names of the settings.
    pub(crate) names: Names,
    /// By a controller.
    pub(crate) controller: Option<Controller>,
    /// As objects of a cluster.
    pub(crate) space: Option<Space>,
    /// By which agent otherwise.
    pub(crate) choice: Choice,
    /// The settings, where they were named by a flag.
    pub(crate) settings: Option<PathBuf>,
    /// What was read, or is, beside what the run itself names.
    pub(crate) reads: Reads,
}

impl Where {
    /// By which command one comes here.
    const fn typed(&self) -> &'static str {
        if self.space.is_some() { "kubectl schism" } else { "schism" }
    }

    /// In whose words steps say what they do.
    fn form(&self) -> Form {
        match &self.space {
            Some(space) => Form::Object { namespace: space.namespace.clone() },
            None => Form::Command,
        }
    }

    /// Who holds the faults of a run.
    fn holder(&self, args: &RunArgs) -> Holder {
        if let Some(space) = &self.space {
            return Holder::Objects(space.clone());
        }
        match self.controller.as_ref().filter(|_| !args.local) {
            Some(controller) => Holder::Controller(controller.clone()),
            None => {
                let absence = if args.local { Absence::BecomeAsked } else { Absence::Become };
                Holder::Agent(Choice { absence, ..self.choice.clone() })
            }
        }
    }
}

/// Files of whoever starts a run.
pub(crate) struct Reads {
    /// The settings, wherever they were found.
    pub(crate) settings: Option<PathBuf>,
    /// Certificates, keys and secrets that they or flags name.
    pub(crate) credentials: Vec<PathBuf>,
}

impl Reads {
    const fn nothing() -> Self {
        Self { settings: None, credentials: Vec::new() }
    }
}

/// Runs `schism run`: one experiment after the other, all of them, whatever the first ones come to.
///
/// # Errors
/// A file is none, or the run cannot begin.
pub(crate) async fn run(args: &RunArgs, place: Where, output: Output) -> Result<Outcome, Failure> {
    places::apart(args, &place.reads)?;
    places::last_words(args)?;
    let mut entries = Vec::new();
    let done = each(args, &place, output, &mut entries).await;
    last_words(args, &done, &entries, output);
    let outcome = done?;
    output.show(&RunReport::new(entries, outcome))?;
    Ok(outcome)
}

/// Says that nothing can be run, also to whoever reads the last words.
///
/// # Errors
/// Always: that one.
pub(crate) fn failed(args: &RunArgs, failure: Failure, output: Output) -> Result<Outcome, Failure> {
    let done = Err(failure);
    // Nothing is written over what would have been read.
    let is_free = places::apart(args, &Reads::nothing()).and_then(|()| places::last_words(args));
    if is_free.is_ok() {
        last_words(args, &done, &[], output);
    }
    done
}

/// Writes what the command comes to for whoever reads nothing else of it.
fn last_words(args: &RunArgs, done: &Result<Outcome, Failure>, entries: &[Entry], output: Output) {
    let Some(path) = &args.summary else { return };
    // In its place, which may be one that was mounted.
    if let Err(error) = std::fs::write(path, report::summary(done, entries)) {
        output.note(format!("the summary {} is not written: {error}", path.display()));
    }
}

/// Runs one experiment after the other, and says what each came to.
async fn each(
    args: &RunArgs,
    place: &Where,
    output: Output,
    entries: &mut Vec<Entry>,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Effective;
    let runs = match &args.resume_rollbacks {
        Some(journal) => {
            if let Some(came_to) = owed_there(args, journal, place, output).await? {
                entries.push(came_to.entry);
                return Ok(came_to.outcome);
            }
            vec![starting::resume(args, journal, place, output).await?]
        }
        // All are read before the first one touches anything.
        None => {
            let read = starting::read(args, place, output).await;
            read.map_err(|failure| of_the_original(failure, args))?
        }
    };
    // Where nothing can be written is known before anything runs.
    let taken = runs.first().and_then(|run| run.left.as_ref()).map(|left| &left.place);
    let outs = Outs::of(args, runs.len(), taken)?;
    for (started, outs) in runs.into_iter().zip(outs) {
        let came_to = one(args, started, outs, place, output).await?;
        outcome = outcome.worst(came_to.outcome);
        entries.push(came_to.entry);
        if came_to.status == Status::Interrupted {
            break;
        }
    }
    Ok(outcome)
}

/// What one run came to.
struct CameTo {
    outcome: Outcome,
    status: Status,
    entry: Entry,
}

/// Finishes what a run of the controller owes, if one of them is meant.
async fn owed_there(
    args: &RunArgs,
    name: &Path,
    place: &Where,
    output: Output,
) -> Result<Option<CameTo>, Failure> {
    let Some(controller) = place.controller.as_ref().filter(|_| !args.local) else {
        return Ok(None);
    };
    let line = Line { args, place, controller, output };
    let Some(run) = line.find(name).await? else { return Ok(None) };
    let Some(outs) = Outs::of(args, 1, None)?.pop() else { return Ok(None) };
    line.take_over(&run, outs).await.map(Some)
}

/// The original has one exit code for whatever it cannot run.
fn of_the_original(mut failure: Failure, args: &RunArgs) -> Failure {
    if args.compat {
        failure.outcome = Outcome::Deviated;
    }
    failure
}

/// Of several runs each has a journal of its own: `journal-2.json`.
fn journal_of(path: &Path, number: Option<usize>) -> PathBuf {
    let Some(number) = number else { return path.to_owned() };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{number}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{number}"),
    };
    path.with_file_name(name)
}

async fn one(
    args: &RunArgs,
    started: Started,
    outs: Outs,
    place: &Where,
    output: Output,
) -> Result<CameTo, Failure> {
    let Started { file, mut run, verdicts, beginning, left } = started;
    if let Some(controller) = place.controller.as_ref().filter(|_| !args.local)
        && args.resume_rollbacks.is_none()
    {
        let line = Line { args, place, controller, output };
        match line.begin(file.clone(), &beginning, verdicts, &outs).await {
            Err(failure) if failure.cause == Cause::Unsupported => {
                output.note("the controller decides no runs, being older: this command does");
            }
            decided => return decided,
        }
        disrupting::without_controller(&file, &beginning.experiment, args.dry)?;
    }
    let attempted = "cannot begin the run";
    let failed = |error| Failure::new(Outcome::WrongUsage, attempted, error);
    let (before, left_at) = match left {
        Some(Former { place, journal, at }) => (Some((place, journal)), Some(at)),
        None => (None, None),
    };
    let Outs { journal, junit, events: kept } = outs;
    let goes_on = |(place, left): &(Arc<Claim>, Map<String, Value>)| {
        let there = journal.path();
        // The same in two places is not owed twice.
        places::is_one(place.path(), there) || Book::read(there).is_ok_and(|there| there == *left)
    };
    if !before.as_ref().is_some_and(goes_on) {
        aside::put(&journal, output)?;
    }
    let book = Book::open(journal, before).map_err(failed)?;
    let mut asks = Asks::listen().map_err(failed)?;
    let (events, mut inbox) = mpsc::unbounded_channel();
    let faults = Arc::new(Faults::new(
        place.names.clone(),
        place.holder(args),
        left_at,
        run.seed(),
        (events.clone(), output),
    ));
    let view = View::new(output, Sight::Kept(Arc::clone(&faults)));
    let mut outlets = Outlets::new(book, kept, verdicts, view);
    let reaper = Reaper::new(beginning.identity, verdicts);
    let mut executor = Executor::new(events, Arc::clone(&faults), reaper, place.settings.clone());
    let began = Instant::now();
    // On this thread alone, as steps follow each other: to wake another one for each takes longer than to decide it.
    // Faults are kept by the others, also while a slow terminal takes a line.
    let steps = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let driven = async {
        let verdict = drive(&mut run, &mut executor, &mut outlets, &mut asks, &mut inbox).await;
        if let Some(suite) = &junit {
            outlets.judge(&run, &verdict, began.elapsed(), suite.path());
        }
        executor.end().await;
        verdict
    };
    let verdict = block_in_place(|| steps.block_on(driven));
    // A read that hangs must not hold the end up.
    steps.shutdown_background();
    faults.leave().await;
    if let Some(why) = verdict.explanation() {
        output.note(OnOneLine(&why));
    }
    let outcome = match (verdict.exit, outlets.troubled()) {
        // Whoever reads the journal would believe something else.
        (Exit::Done, Some(_)) if verdicts == Verdicts::Strict => Outcome::Deviated,
        (Exit::Done, _) => Outcome::Effective,
        (Exit::Failed, _) => Outcome::Deviated,
        (Exit::NoEffect, _) => Outcome::NothingMatched,
        (Exit::Unconfirmed, _) => Outcome::Unconfirmed,
        (Exit::Interrupted, _) => Outcome::Interrupted,
    };
    let journal = serde_json::to_value(run.journal(began.elapsed())).unwrap_or_default();
    let mut told = report::Told::from(&verdict);
    if verdicts == Verdicts::Strict {
        told.is_not_whole(outlets.troubled());
    }
    if let Some(owed) = report::Dues::of(&journal).told(place.typed(), outlets.journal()) {
        output.note(OnOneLine(&owed));
    }
    let entry = Entry::new(file, outlets.journal(), &journal, told, outcome);
    Ok(CameTo { outcome, status: verdict.status, entry })
}

/// Does what the run asks for until it is over.
async fn drive(
    run: &mut Run,
    executor: &mut Executor,
    outlets: &mut Outlets,
    asks: &mut Asks,
    inbox: &mut mpsc::UnboundedReceiver<Event>,
) -> Verdict {
    let began = Instant::now();
    let mut wake: Option<Instant> = None;
    let mut actions = run.begin(Duration::ZERO);
    let mut unwritten = None;
    let mut drawn = interval(view::EVERY);
    drawn.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        for action in actions {
            match action {
                Action::Perform(perform) => match (&unwritten, run.objection(&perform)) {
                    (_, Some(why)) => executor.refuse(perform.call, why.to_owned()),
                    // What it owes is performed all the same.
                    (Some(why), None) if !run.is_leaving() => {
                        executor.refuse(perform.call, format!("not begun: {why}"));
                    }
                    (Some(_) | None, None) => executor.perform(*perform),
                },
                Action::Control(hook) => executor.control(*hook),
                Action::Abort(call) => executor.abort(call),
                Action::Heal(call, fault) => executor.heal(call, fault),
                Action::Record => unwritten = outlets.record(run, began.elapsed()).or(unwritten),
                Action::Tell(mut progress) => {
                    if let Some(why) = outlets.publish(&progress, starting::now()) {
                        run.untold(why);
                        unwritten = outlets.record(run, began.elapsed()).or(unwritten);
                        // The end may be what nobody heard.
                        if let Progress::RunEnded { status, deviated } = &mut progress {
                            let verdict = run.verdict();
                            (*status, *deviated) = (verdict.status, verdict.deviated);
                        }
                    }
                    outlets.tell(&progress);
                }
                Action::Wake(at) => wake = Some(began + at),
                // What could not be told of it counts, too.
                Action::End(_) => return run.verdict(),
            }
        }
        let event = loop {
            break tokio::select! {
                // What was refused for that is no failure of its own.
                biased;
                // Nobody could finish what this run owes.
                why = owed(&mut unwritten) => Event::Interrupt(Interruption::Unwritten(why)),
                by = asks.next() => Event::Interrupt(by),
                Some(event) = inbox.recv() => event,
                () = at(wake) => {
                    wake = None;
                    Event::Tick
                }
                _ = drawn.tick(), if outlets.view().is_live() => {
                    outlets.view().draw();
                    continue;
                }
            };
        };
        actions = run.on(event, began.elapsed());
    }
}

async fn owed(unwritten: &mut Option<String>) -> String {
    match unwritten.take() {
        Some(why) => why,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Who asks this process to end a run.
struct Asks {
    interrupts: Interrupts,
    now: Signal,
    without_rollbacks: Signal,
}

impl Asks {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupts: Interrupts::listen()?,
            now: signal(SignalKind::user_defined1())?,
            without_rollbacks: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Interruption {
        tokio::select! {
            interrupt = self.interrupts.next() => match interrupt {
                Interrupt::Keyboard => Interruption::Sigint,
                Interrupt::Termination => Interruption::Sigterm,
                Interrupt::Hangup => Interruption::Sighup,
            },
            _ = self.now.recv() => Interruption::Sigusr1,
            _ = self.without_rollbacks.recv() => Interruption::Sigusr2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_runs_has_its_journal() {
        let name = |path, number| journal_of(Path::new(path), number).display().to_string();
        assert_eq!(name("a/journal.json", None), "a/journal.json");
        assert_eq!(name("a/journal.json", Some(2)), "a/journal-2.json");
        assert_eq!(name("journal", Some(3)), "journal-3");
    }
}
