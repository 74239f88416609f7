//! The task that drives one run: it lets the state machine decide, puts faults in, and has steps performed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use experiment::line::Order;
use experiment::model::{FaultLabel, Reading, Verb};
use experiment::run::invocation::Invocation;
use experiment::run::{
    Action, CallId, Ending, Event, Hook, Interruption, NamedFault, Perform, Progress, Run, Verdict,
};
use fault::IntentId;
use proto::control as wire;
use proto::control::run_reply::Kind as Reply;
use proto::control::run_request::Kind as Request;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::faults::Faults;
use super::line::Line;
use super::record::{self, Change, Record};
use super::writing::{LONGEST_TOLD, Writing};
use crate::archive::Of;
use crate::control::Control;
use crate::run::executor::Executor;
use crate::run::zeebe::Behind;

/// What steps may return in one run, all together (32 MiB): it is kept in memory.
const MOST_ANSWERED: usize = 32 << 20;

/// The longest news that are told (64 KiB).
const LONGEST_NEWS: usize = 64 << 10;

/// What is asked of a run that goes on.
pub(super) enum Word {
    /// Somebody else wants to be told.
    Attach(Box<Line>),
    /// It is to end, and why.
    End(String),
    /// The controller ends: faults are healed, the next life does the rest.
    Stop,
}

/// Who performs what a controller must not.
pub(super) enum Performer {
    /// This process.
    Here(Executor),
    /// Whoever started the run.
    Line,
    /// Nobody: an object asks for the run, and what this process must not perform is in none of its steps.
    Nobody,
}

/// Why a step is not performed that is in such a run all the same.
const NOBODY: &str =
    "nobody performs it: a controller runs no program, function or request for an object";

/// What a step is for that somebody performs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// It is owed: it may be played by somebody else.
    Rollback,
    Other,
}

/// How a run has ended, as far as this task goes.
enum Fate {
    Ended(Box<Verdict>),
    /// The controller ends.
    Stopped,
}

/// A run on its way.
pub(super) struct Driving {
    pub(super) run: Run,
    pub(super) record: Record,
    pub(super) control: Control,
    pub(super) faults: Arc<Faults>,
    pub(super) performer: Performer,
    pub(super) line: Option<Line>,
    pub(super) journal: Writing,
    pub(super) words: mpsc::Receiver<Word>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) inbox: mpsc::UnboundedReceiver<Event>,
    /// Whether it is a run, or what one owed.
    pub(super) of: Of,
    pub(super) state: State,
}

/// How far a run is, as its task knows it.
pub(super) struct State {
    brake: watch::Receiver<Option<String>>,
    watchers: Vec<Line>,
    asked: BTreeMap<CallId, Purpose>,
    answered: usize,
    /// Why what the run owes is not stored, as long as it is not.
    unwritten: Option<String>,
    began: Instant,
    wake: Option<Instant>,
    journal_at: Option<Instant>,
    fate: Option<Fate>,
}

impl State {
    /// Nothing has happened yet.
    pub(super) fn new(brake: watch::Receiver<Option<String>>) -> Self {
        Self {
            brake,
            watchers: Vec::new(),
            asked: BTreeMap::new(),
            answered: 0,
            unwritten: None,
            began: Instant::now(),
            wake: None,
            journal_at: None,
            fate: None,
        }
    }
}

impl Driving {
    /// Drives it until it ends. Where nobody is there to play what is owed, that stays owed.
    pub(super) async fn drive(mut self) {
        self.tell(Reply::Run(super::told(&self.record.run)));
        // What owes may be finished while the brake is on; what begins may not.
        match self.of {
            Of::Rollbacks => self.state.brake.mark_unchanged(),
            Of::Run => self.state.brake.mark_changed(),
        }
        let mut actions = self.run.begin(Duration::ZERO);
        loop {
            self.follow(actions).await;
            match self.state.fate.take() {
                Some(Fate::Ended(verdict)) => return self.end(&verdict).await,
                Some(Fate::Stopped) => return self.faults.heal_all().await,
                None => (),
            }
            let Some(event) = self.next().await else {
                actions = Vec::new();
                continue;
            };
            actions = self.run.on(event, self.state.began.elapsed());
        }
    }

    /// The next thing that happens to the run; `None` if something happened to its surroundings only.
    async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            // In a stated order: the same happenings make the same history.
            biased;
            event = self.inbox.recv() => event.map(|event| self.counted(event)),
            () = at(self.state.wake) => {
                self.state.wake = None;
                Some(Event::Tick)
            }
            () = at(self.state.journal_at) => {
                self.write_journal();
                None
            }
            request = said(&mut self.line) => match request {
                Some(request) => self.said(request),
                None => {
                    self.lose();
                    None
                }
            },
            word = self.words.recv() => self.word(word),
            changed = self.state.brake.changed() => {
                if changed.is_err() {
                    // The driver of intents is gone, and the controller with it.
                    self.state.fate = Some(Fate::Stopped);
                    return None;
                }
                let reason = self.state.brake.borrow_and_update().clone()?;
                self.interrupted(format!("the brake is on: {reason}"))
            }
        }
    }

    fn interrupted(&mut self, why: String) -> Option<Event> {
        if self.record.run.reason.is_empty() {
            self.record.run.reason.clone_from(&why);
        }
        Some(Event::Interrupt(Interruption::Asked(why)))
    }

    fn word(&mut self, word: Option<Word>) -> Option<Event> {
        match word {
            Some(Word::Attach(line)) => {
                // It may be gone already.
                let _ = line.tell(Reply::Run(super::told(&self.record.run)));
                self.state.watchers.push(*line);
                None
            }
            Some(Word::End(why)) => self.interrupted(why),
            Some(Word::Stop) | None => {
                self.state.fate = Some(Fate::Stopped);
                None
            }
        }
    }

    /// Something that the line says.
    fn said(&mut self, request: Request) -> Option<Event> {
        match request {
            Request::Answer(answer) => {
                let call = CallId::from_number(answer.call);
                self.state.asked.remove(&call)?;
                let ending = self.kept(answer.ending.len()).unwrap_or_else(|| {
                    let read = serde_json::from_slice(&answer.ending);
                    read.unwrap_or_else(|error| Ending::Crashed(format!("no answer: {error}")))
                });
                Some(Event::Finished(call, ending))
            }
            Request::Interrupt(interrupt) => {
                use wire::interrupt_run::Signal;
                let by = match interrupt.signal() {
                    Signal::Term => Interruption::Sigterm,
                    Signal::Hup => Interruption::Sighup,
                    Signal::Usr1 => Interruption::Sigusr1,
                    Signal::Usr2 => Interruption::Sigusr2,
                    Signal::Int | Signal::Unspecified => Interruption::Sigint,
                };
                if self.record.run.reason.is_empty() {
                    self.record.run.reason = format!("{} where it was started", by.named().1);
                }
                Some(Event::Interrupt(by))
            }
            // Once is enough.
            Request::Begin(_) | Request::TakeOver(_) => None,
        }
    }

    /// Counts what a step has returned that this process performs. Of a fault nothing is left out: it acts.
    fn counted(&mut self, event: Event) -> Event {
        let Event::Finished(call, ending) = event else { return event };
        if self.state.asked.remove(&call).is_none() {
            return Event::Finished(call, ending);
        }
        let length = serde_json::to_vec(&ending).map_or(0, |text| text.len());
        Event::Finished(call, self.kept(length).unwrap_or(ending))
    }

    /// What becomes of an answer for which there is no room.
    fn kept(&mut self, length: usize) -> Option<Ending> {
        self.state.answered = self.state.answered.saturating_add(length);
        let most = MOST_ANSWERED >> 20;
        (self.state.answered > MOST_ANSWERED)
            .then(|| Ending::Failed(format!("the steps of this run returned more than {most} MiB")))
    }

    /// The line is gone, or so far behind that nobody waits for it. What it was asked for is answered by nobody
    /// any more, and what it would be asked for from now on is not done out of its turn.
    fn lose(&mut self) {
        let is_news = self.line.take().is_some();
        match self.performer {
            Performer::Here(_) | Performer::Nobody => return,
            Performer::Line => {}
        }
        let why = super::line::Lost.to_string();
        if is_news {
            if self.record.run.reason.is_empty() {
                self.record.run.reason.clone_from(&why);
            }
            if !self.record.rolls_back() {
                self.happens(Event::Interrupt(Interruption::Lost));
            }
        }
        for (call, purpose) in std::mem::take(&mut self.state.asked) {
            match purpose {
                // What is behind it may be for this process.
                Purpose::Rollback => self.answer(call, Ending::Untried),
                // After the interruption, so that nothing is taken for a failure of its own.
                Purpose::Other => self.answer(call, Ending::Failed(why.clone())),
            }
        }
    }

    fn answer(&self, call: CallId, ending: Ending) {
        self.happens(Event::Finished(call, ending));
    }

    /// After what has happened before it.
    fn happens(&self, event: Event) {
        // The other end is in this very task.
        let _ = self.events.send(event);
    }

    /// Does what the run asks for.
    async fn follow(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                // What it owes is performed all the same.
                Action::Perform(perform) => match &self.state.unwritten {
                    Some(why) if !self.run.is_leaving() => {
                        self.answer(perform.call, Ending::Failed(format!("not begun: {why}")));
                    }
                    Some(_) | None => self.perform(*perform).await,
                },
                Action::Control(hook) => self.control(*hook),
                Action::Abort(call) => self.abort(call),
                Action::Heal(call, fault) => self.heal(call, fault.label),
                Action::Record => self.recorded().await,
                Action::Tell(progress) => self.progress(&progress).await,
                Action::Wake(at) => self.state.wake = Some(self.state.began + at),
                Action::End(verdict) => self.state.fate = Some(Fate::Ended(verdict)),
            }
        }
    }

    async fn perform(&mut self, perform: Perform) {
        let (faults, events, call) = (Arc::clone(&self.faults), self.events.clone(), perform.call);
        let answer = move |ending| {
            // The other end is in the task of the run.
            let _ = events.send(Event::Finished(call, ending));
        };
        if let Some(why) = self.run.objection(&perform) {
            return answer(Ending::Failed(why.to_owned()));
        }
        match (perform.invocation.reveal().clone(), perform.fault.clone()) {
            (Invocation::Schism { verb: Verb::Fault(verb), arguments }, Some(fault)) => {
                let (label, turn) = (fault.label.clone(), faults.reserve(&fault.label));
                let id = match self.noted(&fault).await {
                    Ok(id) => id,
                    Err(why) => return answer(Ending::Failed(why)),
                };
                // Nobody gives it up: whoever takes it out waits for it.
                tokio::spawn(async move {
                    answer(faults.begin((label, id), verb, &arguments, turn).await);
                });
            }
            (Invocation::Schism { verb: Verb::Read(Reading::Effect), arguments }, _) => {
                let fault = arguments.get("fault").and_then(Value::as_str).unwrap_or_default();
                let fault = fault.to_owned();
                tokio::spawn(async move { answer(faults.effect(&fault).await) });
            }
            (Invocation::Schism { verb: Verb::Pod, arguments }, _) => {
                tokio::spawn(async move { answer(faults.disrupt(Behind::Pod, &arguments).await) });
            }
            (Invocation::Schism { verb: Verb::Node, arguments }, _) => {
                tokio::spawn(async move { answer(faults.disrupt(Behind::Node, &arguments).await) });
            }
            (Invocation::Targets { selector, seed, concern }, _) => {
                tokio::spawn(async move { answer(faults.targets(&selector, seed, concern).await) });
            }
            (Invocation::Schism { verb: Verb::Read(Reading::Logs), arguments }, _)
                if self.is_for_agents(&arguments) =>
            {
                tokio::spawn(async move { answer(faults.logs(&arguments).await) });
            }
            (
                Invocation::Process { .. }
                | Invocation::Http { .. }
                | Invocation::Python { .. }
                | Invocation::Schism { .. },
                _,
            ) => match &mut self.performer {
                Performer::Here(executor) => {
                    self.state.asked.insert(perform.call, Purpose::Other);
                    executor.perform(perform);
                }
                Performer::Line => {
                    let rolls_back = self.record.rolls_back();
                    let purpose = if rolls_back { Purpose::Rollback } else { Purpose::Other };
                    self.order(&Order::step(&perform), purpose);
                }
                Performer::Nobody => answer(Ending::Failed(NOBODY.to_owned())),
            },
        }
    }

    /// Whether a probe `logs` is this process's own to ask agents for. A command asks by itself.
    fn is_for_agents(&self, arguments: &Map<String, Value>) -> bool {
        let is_of_target = arguments.get("target").is_some_and(|target| !target.is_null());
        match self.performer {
            Performer::Here(_) | Performer::Nobody => is_of_target,
            Performer::Line => false,
        }
    }

    /// Writes down that a fault may be there from now on.
    async fn noted(&mut self, fault: &NamedFault) -> Result<IntentId, String> {
        let id = IntentId::from_random(fault.key.get());
        let fault = wire::RunFault { label: fault.label.to_string(), intent: id.get() };
        self.record.run.faults.push(fault);
        self.store().await.map(|()| id)
    }

    fn control(&mut self, hook: Hook) {
        match &mut self.performer {
            Performer::Here(executor) => {
                self.state.asked.insert(hook.call, Purpose::Other);
                executor.control(hook);
            }
            Performer::Line => self.order(&Order::Hook(Box::new(hook)), Purpose::Other),
            Performer::Nobody => self.answer(hook.call, Ending::Failed(NOBODY.to_owned())),
        }
    }

    /// Has the other end perform something.
    fn order(&mut self, order: &Order, purpose: Purpose) {
        let text = match serde_json::to_vec(order) {
            Ok(text) => text,
            Err(error) => return self.answer(order.call(), Ending::Crashed(error.to_string())),
        };
        let line = self.line.as_ref();
        let is_told = line.is_some_and(|line| line.tell(Reply::Order(text.into())).is_ok());
        self.state.asked.insert(order.call(), purpose);
        if !is_told {
            self.lose();
        }
    }

    fn abort(&mut self, call: CallId) {
        match &mut self.performer {
            Performer::Here(executor) => {
                self.state.asked.remove(&call);
                executor.abort(call);
            }
            Performer::Line if self.state.asked.remove(&call).is_some() => {
                let stop = Reply::Stop(call.number());
                // What it goes on with would come into the way of what follows.
                if self.line.as_ref().is_some_and(|line| line.tell(stop).is_err()) {
                    self.lose();
                }
            }
            Performer::Line | Performer::Nobody => (),
        }
    }

    fn heal(&self, call: CallId, label: FaultLabel) {
        let (faults, events) = (Arc::clone(&self.faults), self.events.clone());
        tokio::spawn(async move {
            let healing = faults.heal(&label).await;
            let _ = events.send(Event::Healed(call, healing));
        });
    }

    /// What the run owes is stored before what follows.
    async fn recorded(&mut self) {
        self.state.journal_at.get_or_insert(Instant::now() + self.journal.pause());
        let stored = self.record.run.owed.clone();
        if self.owes() == Change::None {
            return;
        }
        let Err(why) = self.store().await else {
            self.state.unwritten = None;
            return;
        };
        // The next that is recorded tries again.
        self.record.run.owed = stored;
        // Nobody could finish what this run owes. Once is enough.
        if self.state.unwritten.replace(why.clone()).is_none()
            && let Some(event) = self.interrupted(why)
        {
            self.happens(event);
        }
    }

    fn owes(&mut self) -> Change {
        // Who takes over a run owes what it owed until its rollbacks are begun.
        if self.of == Of::Rollbacks && !self.record.rolls_back() {
            return Change::None;
        }
        self.record.owes(&self.run.owed())
    }

    async fn progress(&mut self, progress: &Progress) {
        if self.record.hears(progress) == Change::Some {
            // What matters of it is stored with what is owed.
            let _ = self.store().await;
        }
        let Ok(mut news) = serde_json::to_vec(progress) else { return };
        if news.len() > LONGEST_NEWS {
            news = serde_json::to_vec(&shortened(progress)).unwrap_or_default();
        }
        self.tell(Reply::News(news.clone().into()));
        self.control.tell_run(self.record.run.id, news).await;
    }

    /// Stores the record, and tells it.
    async fn store(&mut self) -> Result<(), String> {
        let stored = self.control.record_run(self.record.run.clone()).await;
        self.tell(Reply::Run(super::told(&self.record.run)));
        stored.map_err(|error| format!("what the run owes cannot be stored: {error}"))
    }

    fn tell(&mut self, reply: Reply) {
        self.state.watchers.retain(|line| line.tell(reply.clone()).is_ok());
        if let Some(line) = &self.line {
            // One that is lost says so itself; one that does not read any more is as good as lost.
            let _ = line.tell(reply);
        }
    }

    /// The journal as it is now.
    fn written(&self) -> Arc<Vec<u8>> {
        let journal = self.run.journal(self.state.began.elapsed());
        let mut text = serde_json::to_vec_pretty(&journal).unwrap_or_default();
        if text.len() > LONGEST_TOLD {
            text = serde_json::to_vec(&journal).unwrap_or_default();
        }
        Arc::new(text)
    }

    fn write_journal(&mut self) {
        self.state.journal_at = None;
        let text = self.written();
        if text.len() <= LONGEST_TOLD {
            for line in self.state.watchers.iter().chain(&self.line) {
                line.keep(&text);
            }
        }
        self.journal.write(text);
    }

    async fn end(mut self, verdict: &Verdict) {
        let came_to = record::verdict(verdict, verdict.explanation());
        let junit =
            experiment::junit::suite(&self.run.journal(self.state.began.elapsed()), verdict);
        self.owes();
        self.finish(came_to, junit).await;
    }

    async fn finish(&mut self, verdict: wire::RunVerdict, junit: String) {
        if let Performer::Here(executor) = std::mem::replace(&mut self.performer, Performer::Line) {
            executor.end().await;
        }
        let text = self.written();
        self.journal.write(Arc::clone(&text));
        self.journal.flush().await;
        self.record.stops(verdict.clone(), self.control.wall().now());
        // What is stored may lag behind; what is told does not.
        let stored = self.store().await;
        // Who comes from now on reads what is stored.
        self.words.close();
        while let Ok(word) = self.words.try_recv() {
            if let Word::Attach(line) = word {
                self.state.watchers.push(*line);
            }
        }
        let run = wire::Run { verdict: Some(verdict), ..super::told(&self.record.run) };
        let told = self.state.watchers.drain(..).chain(self.line.take());
        let told_of = if text.len() + junit.len() <= LONGEST_TOLD { &**text } else { &[] };
        for line in told {
            line.end(run.clone(), told_of.to_vec(), junit.clone());
        }
        if stored.is_err() {
            super::settle(&self.control, &self.record.run).await;
        }
    }
}

/// Long outputs are left to the journal.
fn shortened(progress: &Progress) -> Progress {
    let mut short = progress.clone();
    if let Progress::StepEnded { output, error, .. } = &mut short {
        *output = Value::String("(long: it stands in the journal)".to_owned());
        if let Some(error) = error {
            *error = error.chars().take(LONGEST_NEWS / 8).collect();
        }
    }
    short
}

async fn said(line: &mut Option<Line>) -> Option<Request> {
    match line {
        Some(line) => line.next().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
