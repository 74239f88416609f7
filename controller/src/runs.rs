//! Runs of experiments that the controller decides.
//!
//! A run is a record in the store like an intent, and its faults are intents of their own, whose ids the
//! record has before anything is put in. One task drives each; what that must not perform is performed by
//! whoever started the run, over a stream. Where nobody can play what a run owes, in the end it stands as
//! owed, and somebody else can take it over. What an earlier life of the controller left in the middle is
//! healed, and what it owed is owed.

mod bounds;
mod disrupting;
mod driving;
mod faults;
mod line;
mod object;
mod places;
mod record;
mod writing;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use experiment::journal::Owed;
use experiment::line::{Asked, Kept, LineError, Values};
use experiment::run::Run;
use fault::{IntentId, Limits, Selector};
use prost::bytes::Bytes;
use proto::Invalid;
use proto::control as wire;
use tokio::sync::{mpsc, watch};

use crate::archive::{Archive, ArchiveError, Audit, Deed, Of, Verdict};
use crate::connect::{Absence, Choice};
use crate::control::{Control, ControlError, has_ended, told};
use crate::objects::consent::Consent;
use crate::output::Output;
use crate::run::executor::Executor;
use crate::run::reaper::Reaper;
use crate::run::starting;
use crate::settings::{Names, StaticName};
use bounds::Bounds;
use driving::{Driving, Performer, State, Word};
use faults::Faults;
pub use line::{Line, Peer};
use places::{Entry, Living, Place};
use record::Record;
pub(crate) use record::is_over;
use writing::{LONGEST_TOLD, Writing};

/// Runs that may go on at once.
pub const AT_ONCE: usize = 8;
/// And of these, those that objects of one namespace ask for: whoever is in another one finds a place.
pub const SHARE: usize = AT_ONCE / 2;
/// The longest experiment that is taken, with its values (1 MiB): it is kept in the store.
pub const LONGEST: usize = 1 << 20;
/// How long runs may take to heal when the controller ends.
const LEAVING: Duration = Duration::from_secs(2);

/// Whether the controller performs what files name: programs, functions, requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Execution {
    /// It never does; whoever started a run does.
    #[default]
    Refused,
    /// It does, as whoever it runs as (`--allow-exec`).
    Allowed,
}

/// Why a run is not begun, or not taken over.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// What was asked makes no sense.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The experiment is none.
    #[error(transparent)]
    Line(#[from] LineError),
    /// It is too long.
    #[error(
        "an experiment with its values has {size} bytes; through a controller it has {LONGEST} at most"
    )]
    TooLong {
        /// How long.
        size: usize,
    },
    /// Enough goes on.
    #[error("{AT_ONCE} runs go on, and no more may at once")]
    Busy,
    /// Enough goes on of one namespace.
    #[error("{SHARE} runs of namespace {0} go on, and no more of it may at once")]
    Share(String),
    /// It is not over.
    #[error("the run {0} is not over")]
    GoesOn(IntentId),
    /// There is nothing to take over.
    #[error("the run {0} owes nothing")]
    OwesNothing(IntentId),
    /// The archive: nothing is done that nobody can look up.
    #[error("the audit log cannot be written, so nothing is done: {0}")]
    Archive(#[from] ArchiveError),
    /// The controller could not.
    #[error(transparent)]
    Control(#[from] ControlError),
}

struct Inner {
    control: Control,
    archive: Archive,
    limits: Limits,
    execution: Execution,
    living: Mutex<HashMap<IntentId, Living>>,
    /// Whenever one of them is over.
    left: watch::Sender<()>,
    /// Which namespaces let faults in, as far as somebody tells of them.
    consent: watch::Sender<Consent>,
}

/// All runs of a controller; clones are handles on the same.
#[derive(Clone)]
pub struct Runs(Arc<Inner>);

impl Runs {
    /// Takes over what an earlier life has left: what stood in the middle is healed, and then owed, or
    /// finished where this controller may and can.
    ///
    /// # Errors
    /// The controller ends.
    pub async fn start(
        control: Control,
        archive: Archive,
        limits: Limits,
        execution: Execution,
    ) -> Result<Self, ControlError> {
        let earlier = control.runs().await?;
        let (living, (left, _)) = (Mutex::default(), watch::channel(()));
        let consent = watch::Sender::new(Consent::default());
        let inner = Inner { control, archive, limits, execution, living, left, consent };
        let runs = Self(Arc::new(inner));
        for run in earlier.into_iter().filter(|run| !record::is_over(run)) {
            let id = IntentId::from_random(run.id);
            // Nobody takes it over before it is healed.
            let (words, _) = mpsc::channel(1);
            runs.living().insert(id, Living::of(&run, words));
            tokio::spawn(runs.clone().recover(id, run));
        }
        Ok(runs)
    }

    fn living(&self) -> MutexGuard<'_, HashMap<IntentId, Living>> {
        self.0.living.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, id: IntentId) {
        self.living().remove(&id);
        self.0.left.send_replace(());
    }

    /// Heals what an earlier life has left, and says what is owed.
    async fn recover(self, id: IntentId, run: wire::Run) {
        let reason = "the controller was started anew in the middle of it";
        let heals = run.faults.iter().map(|fault| {
            let intent = IntentId::from_random(fault.intent);
            self.0.control.heal(intent, reason)
        });
        // Those that were never put in are unknown; those that cannot be confirmed are owed as intents.
        futures_util::future::join_all(heals).await;
        let now = self.0.control.wall().now();
        let plain = run.plain;
        let mut run = run;
        if run.reason.is_empty() {
            run.reason = reason.to_owned();
        }
        let stopped = match Record::restored(run.clone()) {
            Ok(mut record) => {
                record.stops(record::cut_short(reason), now);
                record.run
            }
            // A newer version's: what it owes stays as it is written down.
            Err(error) => {
                tracing::error!(run = %id, %error, "it can only be healed");
                run.set_phase(wire::RunPhase::Owed);
                run
            }
        };
        settle(&self.0.control, &stopped).await;
        self.leave(id);
        if plain && stopped.phase() == wire::RunPhase::Owed && self.plays_some_of(&stopped) {
            let values = serde_json::from_slice::<Kept>(&stopped.kept).ok();
            let values = values.and_then(|kept| kept.values().ok());
            let taken = match values {
                Some(values) => self.resume(id, values, "this controller", None).await,
                None => Err(RunsError::OwesNothing(id)),
            };
            if let Err(error) = taken {
                tracing::warn!(run = %id, %error, "its rollbacks stay owed");
            }
        }
    }

    /// Whether any of the rollbacks that a run owes needs nobody else.
    fn plays_some_of(&self, run: &wire::Run) -> bool {
        let Ok(record) = Record::restored(run.clone()) else { return false };
        match self.0.execution {
            Execution::Allowed => true,
            Execution::Refused => record.kept.is_for_controllers(&record.owed()),
        }
    }

    /// Begins a run, or attaches to the same one that was asked for before.
    ///
    /// # Errors
    /// Nothing was touched, and why.
    pub async fn begin(
        &self,
        id: IntentId,
        begin: wire::BeginRun,
        asker: &str,
        line: Line,
    ) -> Result<(), RunsError> {
        let size = begin.asked.len();
        if size > LONGEST {
            return Err(RunsError::TooLong { size });
        }
        let asked: Asked = serde_json::from_slice(&begin.asked).map_err(LineError::from)?;
        let names = names(&begin.names)?;
        let kept = asked.kept();
        let text = Bytes::from(serde_json::to_vec(&kept).map_err(LineError::from)?);
        let living = self.living().get(&id).map(|living| living.kept.clone());
        let known = match living {
            Some(kept) => Some(kept),
            None => self.known(id).await?.map(|run| run.kept),
        };
        if let Some(known) = known {
            return if known == text {
                self.attach(id, line).await
            } else {
                Err(ControlError::Conflict(id).into())
            };
        }
        let record = wire::Run {
            id: id.get(),
            asker: asker.to_owned(),
            kept: text,
            names: begin.names,
            performed_here: self.0.execution == Execution::Allowed,
            ..wire::Run::default()
        };
        self.commence(asked, Record { run: record, kept }, names, Some(line)).await.map(drop)
    }

    /// Begins a run that nobody knows yet; returns it as it was stored.
    async fn commence(
        &self,
        asked: Asked,
        mut record: Record,
        names: Names,
        line: Option<Line>,
    ) -> Result<wire::Run, RunsError> {
        let (id, title) = (record.id(), record::title(&record.kept));
        let asker = record.run.asker.clone();
        if let Some(reason) = self.0.control.halted() {
            let refused = ControlError::Halted(reason);
            self.audit(Deed::Run, &asker, (id, title), Err(&refused)).await?;
            return Err(refused.into());
        }
        let (plain, credentials) = (asked.is_plain()?, asked.credentials());
        let mut run = Run::new(asked.beginning(
            self.identity(id),
            starting::host_of_run(id),
            starting::now(),
        )?);
        run.hide(&credentials);
        record.run.title.clone_from(&title);
        record.run.set_phase(wire::RunPhase::Starting);
        (record.run.asked, record.run.plain) = (self.0.control.wall().now(), plain);
        let (place, words) = self.admit(&record.run, Entry::Begins)?;
        self.audit(Deed::Run, &asker, (id, title), Ok(())).await?;
        self.0.control.begin_run(record.run.clone()).await?;
        let begun = told(&record.run);
        self.drive(run, record, names, (place, words, line), Of::Run);
        Ok(begun)
    }

    /// Heals what a run that is over has left, and plays the rollbacks that it owes.
    ///
    /// # Errors
    /// Nothing was touched, and why.
    pub async fn take_over(
        &self,
        id: IntentId,
        values: &[u8],
        asker: &str,
        line: Line,
    ) -> Result<(), RunsError> {
        if values.len() > LONGEST {
            return Err(RunsError::TooLong { size: values.len() });
        }
        let values: Values = serde_json::from_slice(values).map_err(LineError::from)?;
        self.resume(id, values, asker, Some(line)).await
    }

    async fn resume(
        &self,
        id: IntentId,
        values: Values,
        asker: &str,
        line: Option<Line>,
    ) -> Result<(), RunsError> {
        let mut left = self.0.left.subscribe();
        let (place, words) = loop {
            let run = self.known(id).await?.ok_or(ControlError::Unknown(id))?;
            match self.admit(&run, Entry::TakenOver) {
                // It was told, and its task is about to end.
                Err(RunsError::GoesOn(_)) if record::is_over(&run) => {
                    left.changed().await.map_err(|_| ControlError::Ending)?;
                }
                admitted => break admitted?,
            }
        };
        // Somebody else may have played meanwhile what it owed; from here on nobody does.
        let run = self.known(id).await?.ok_or(ControlError::Unknown(id))?;
        if has_ended(&run) {
            return Err(RunsError::OwesNothing(id));
        }
        let record = Record::restored(run).map_err(|_| RunsError::OwesNothing(id))?;
        let names = names(&record.run.names)?;
        let asked = Asked::again(record.kept.clone(), values);
        let credentials = asked.credentials();
        let beginning =
            asked.beginning(self.identity(id), starting::host_of_run(id), starting::now())?;
        let (intents, _) = self.0.control.list().await?;
        let stands = |fault: &&wire::RunFault| {
            intents.iter().any(|one| one.id == fault.intent && !crate::control::is_over(one))
        };
        let faults = record.run.faults.iter().filter(stands);
        // By the ids under which they were asked for.
        let key = |fault: &wire::RunFault| {
            let key = IntentId::from_random(fault.intent).to_string();
            Some((fault.label.parse().ok()?, key.parse().ok()?))
        };
        let faults = faults.filter_map(key).collect();
        let owed = Owed { rollbacks: record.owed(), faults, at: String::new(), run: None };
        let mut run = Run::resume(beginning, &owed);
        run.hide(&credentials);
        let title = record.run.title.clone();
        self.audit(Deed::TakeOver, asker, (id, title), Ok(())).await?;
        let mut record = record;
        record.run.ended = 0;
        self.drive(run, record, names, (place, words, line), Of::Rollbacks);
        Ok(())
    }

    /// A number for what a run puts in: whoever takes it over puts in something else.
    fn identity(&self, id: IntentId) -> u64 {
        id.get() ^ self.0.control.wall().now().rotate_left(16)
    }

    fn drive(
        &self,
        run: Run,
        record: Record,
        names: Names,
        (place, words, line): (Place, mpsc::Receiver<Word>, Option<Line>),
        of: Of,
    ) {
        let id = record.id();
        let events = mpsc::unbounded_channel();
        let (control, limits) = (self.0.control.clone(), self.0.limits);
        let asker = format!("{}, run {id}", record.run.asker);
        let audit = self.0.archive.audit.clone();
        let bounds = Bounds::of(&record.run, self.0.consent.subscribe());
        let picks = (names, run.seed(), bounds);
        let faults = Faults::new((control.clone(), limits), audit, asker, picks, events.0.clone());
        for fault in &record.run.faults {
            if let Ok(label) = fault.label.parse() {
                faults.adopt(label, IntentId::from_random(fault.intent));
            }
        }
        let performer = match (&record.run.object, self.0.execution) {
            (Some(_), _) => Performer::Nobody,
            (None, Execution::Refused) => Performer::Line,
            (None, Execution::Allowed) => {
                let reaper = Reaper::new(self.identity(id), run.verdicts());
                Performer::Here(executor(events.0.clone(), reaper))
            }
        };
        let journal = Writing::begin(self.0.archive.runs.clone(), id, of);
        let state = State::new(control.brakes());
        let driving = Driving {
            run,
            record,
            control,
            faults: Arc::new(faults),
            performer,
            line,
            journal,
            words,
            events: events.0,
            inbox: events.1,
            of,
            state,
        };
        tokio::spawn(async move {
            driving.drive().await;
            drop(place);
        });
    }

    async fn known(&self, id: IntentId) -> Result<Option<wire::Run>, ControlError> {
        let all = self.0.control.runs().await?;
        Ok(all.into_iter().find(|run| run.id == id.get()))
    }

    /// Has somebody else told about a run: what comes, or what it came to.
    async fn attach(&self, id: IntentId, line: Line) -> Result<(), RunsError> {
        let words = self.living().get(&id).map(|living| living.words.clone());
        let line = match words {
            None => line,
            Some(words) => match words.send(Word::Attach(Box::new(line))).await {
                Ok(()) => return Ok(()),
                Err(mpsc::error::SendError(Word::Attach(line))) => *line,
                Err(_) => return Err(RunsError::GoesOn(id)),
            },
        };
        let (run, journal) = self.describe(id).await?;
        line.end(told(&run), journal.unwrap_or_default(), String::new());
        Ok(())
    }

    /// A run with what is kept of it, and its journal as it was written last, unless that is too long to be
    /// told (60 MiB).
    ///
    /// # Errors
    /// There is none, or its journal cannot be read.
    pub async fn describe(&self, id: IntentId) -> Result<(wire::Run, Option<Vec<u8>>), RunsError> {
        let run = self.known(id).await?.ok_or(ControlError::Unknown(id))?;
        let journal = self.0.archive.runs.read(id, Of::Run).await?;
        Ok((run, journal.filter(|journal| journal.len() <= LONGEST_TOLD)))
    }

    /// Ends runs in rollback; those that are over stay as they are. As they are right after they were told.
    ///
    /// # Errors
    /// There is no such run.
    pub async fn end(&self, ids: &[IntentId], asker: &str) -> Result<Vec<wire::Run>, RunsError> {
        let mut all: BTreeMap<u64, wire::Run> =
            self.0.control.runs().await?.into_iter().map(|run| (run.id, run)).collect();
        for id in ids {
            if !all.contains_key(&id.get()) {
                return Err(ControlError::Unknown(*id).into());
            }
            let ended = self.audit(Deed::EndRun, asker, (*id, String::new()), Ok(())).await;
            if let Err(error) = ended {
                tracing::error!(%error, "ending a run all the same");
            }
            let words = self.living().get(id).map(|living| living.words.clone());
            if let Some(words) = words {
                // It may be over by now.
                let _ = words.send(Word::End(format!("ended by {asker}"))).await;
            }
        }
        Ok(ids.iter().filter_map(|id| all.remove(&id.get())).map(|run| told(&run)).collect())
    }

    /// The runs that are not over.
    pub fn ids(&self) -> Vec<IntentId> {
        self.living().keys().copied().collect()
    }

    /// Heals the faults of all runs, for a controller that ends; the next life does the rest.
    pub async fn stop(&self) {
        let words: Vec<_> = self.living().values().map(|living| living.words.clone()).collect();
        for words in words {
            // It may be over by now.
            let _ = words.send(Word::Stop).await;
        }
        let mut left = self.0.left.subscribe();
        let all = async { while !self.living().is_empty() && left.changed().await.is_ok() {} };
        // The next life heals what is left.
        let _ = tokio::time::timeout(LEAVING, all).await;
    }

    async fn audit(
        &self,
        deed: Deed,
        asker: &str,
        (id, what): (IntentId, String),
        verdict: Result<(), &ControlError>,
    ) -> Result<(), ArchiveError> {
        let verdict = match verdict {
            Ok(()) => Verdict::Admitted,
            Err(error) => Verdict::Refused(error.to_string()),
        };
        let entry = Audit {
            at: SystemTime::now(),
            who: asker.to_owned(),
            deed,
            what,
            intent: Some(id.to_string()),
            nodes: Vec::new(),
            until: None,
            verdict,
        };
        self.0.archive.audit.append(&entry).await
    }
}

/// How long is waited until what became of a run is stored again (1 s): a disk that has room makes no event.
const AGAIN: Duration = Duration::from_secs(1);

/// Stores what became of a run, as long as it takes: nobody else does, and until then it seems to go on.
async fn settle(control: &Control, run: &wire::Run) {
    while let Err(error) = control.record_run(run.clone()).await {
        if matches!(error, ControlError::Ending) {
            // The next life finds it in the middle.
            return;
        }
        tracing::error!(run = %IntentId::from_random(run.id), %error, "what became of it is not stored yet");
        tokio::time::sleep(AGAIN).await;
    }
}

/// What performs steps in this process. Faults are no business of it.
fn executor(events: mpsc::UnboundedSender<experiment::run::Event>, reaper: Reaper) -> Executor {
    let choice = Choice { socket: None, absence: Absence::Accept, typed: Vec::new() };
    let output = Output::new(None);
    let none = crate::run::faults::Faults::new(
        Names::default(),
        crate::run::faults::Holder::Agent(choice),
        None,
        0,
        (events.clone(), output),
    );
    let settings = Some(crate::run::zeebe::no_settings());
    Executor::new(events, Arc::new(none), reaper, settings)
}

fn names(named: &[wire::RunName]) -> Result<Names, RunsError> {
    let mut all = Vec::new();
    for one in named {
        let name: StaticName =
            one.name.parse().map_err(|_| Invalid::new("names", "has no name"))?;
        let selectors: Result<Vec<Selector>, Invalid> =
            one.selectors.iter().cloned().map(Selector::try_from).collect();
        all.push((name, selectors?));
    }
    Ok(all.into_iter().collect())
}
