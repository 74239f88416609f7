//! A run: events in, actions out, time passed in.
//!
//! Whoever performs holds a [`Run`], calls [`Run::begin`] once and [`Run::on`] for everything that happens,
//! and does what the returned actions ask for, in their order. It keeps no clock: `now` is the time since the
//! run was made, and never goes back. [`Action::End`] is the last action.
//!
//! | action | answer |
//! |---|---|
//! | [`Action::Perform`] | [`Event::Finished`] |
//! | [`Action::Control`] | [`Event::Finished`] |
//! | [`Action::Heal`] | [`Event::Healed`], in whatever time; after a minute the run goes on without it |
//! | [`Action::Abort`] | none is needed |
//! | [`Action::Record`] | none: [`Run::journal`] is written before what follows |
//! | [`Action::Tell`] | none |
//! | [`Action::Wake`] | [`Event::Tick`] at that time |

mod action;
mod evaluation;
mod event;
mod faults;
mod hooks;
mod interrupting;
pub mod invocation;
mod key;
mod lacking;
mod lot;
mod method;
mod phase;
mod progress;
mod queue;
mod recording;
mod shared;
mod standing;
mod step;
mod terms;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub use action::{Action, Hook, Level, NamedFault, Perform};
pub use event::{CallId, Effect, Ending, Event, HadEffect, Healing, Interruption};
pub use faults::{FaultState, RunFault};
pub use key::{FaultKey, KeyError};
pub use progress::{Progress, Section};
pub use standing::{Exit, Original, Reason, Verdict};
pub use terms::{FailFast, Terms, Verdicts};

use crate::configuration::Setup;
use crate::journal::{Host, Owed, SteadyStates};
use crate::model::{Activity, Experiment, Reading, Verb};
use crate::redaction::Redaction;
use crate::substitution::Scope;
use crate::timestamp::Timestamp;
use faults::Faults;
use hooks::Heard;
use invocation::Invocation;
use method::During;
use phase::Phase;
use queue::Queue;
use shared::Shared;

/// Time since the run was made.
pub type Moment = Duration;

/// What a run begins with.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// What is run.
    pub experiment: Arc<Experiment>,
    /// Its settings, as [`crate::configuration::load`] has them.
    pub settings: Vec<(String, Setup)>,
    /// Its secrets, as [`crate::secrets::load`] has them.
    pub secrets: serde_json::Map<String, serde_json::Value>,
    /// By which rules.
    pub terms: Terms,
    /// A number that no other run has: by it its faults are told from those of others.
    pub identity: u64,
    /// Where.
    pub host: Host,
    /// What the wall clock says at [`Moment::ZERO`].
    pub started: Timestamp,
}

/// A run on its way.
#[derive(Debug)]
pub struct Run {
    shared: Shared,
    host: Host,
    settings: VecDeque<(String, Setup)>,
    phase: Phase,
    states: SteadyStates,
    during: During,
    method: Queue,
    rollbacks: Queue,
    /// Who wants it to end.
    leaving: Option<Interruption>,
    /// Whether anything of the experiment was begun, so that rollbacks may be owed.
    touched: bool,
    /// Whether somebody wanted no rollbacks.
    without_rollbacks: bool,
    /// Whether it only finishes what another run owed.
    resumes: bool,
    ended: Option<Moment>,
    /// How much of the steady state was asked for as changes.
    told: recording::Told,
    /// The last time that it heard of.
    heard: Moment,
}

impl Run {
    /// A run that has touched nothing.
    #[must_use]
    pub fn new(beginning: Beginning) -> Self {
        let Beginning { experiment, settings, secrets, terms, identity, host, started } = beginning;
        let scope = Scope::new(serde_json::Map::new(), secrets);
        let queue = |section, steps: &[Activity]| {
            Queue::new(section, steps.iter().cloned().map(Arc::new).enumerate())
        };
        let method = queue(Section::Method, &experiment.method);
        let rollbacks = queue(Section::Rollbacks, &experiment.rollbacks);
        Self {
            shared: Shared::new(experiment, terms, scope, Faults::new(identity), started),
            host,
            settings: settings.into(),
            phase: Phase::New,
            states: SteadyStates::default(),
            during: During::default(),
            method,
            rollbacks,
            leaving: None,
            touched: false,
            without_rollbacks: false,
            resumes: false,
            ended: None,
            told: recording::Told::default(),
            heard: Moment::ZERO,
        }
    }

    /// A run that only finishes what another one owed: it heals its faults and plays its rollbacks.
    #[must_use]
    pub fn resume(beginning: Beginning, owed: &Owed) -> Self {
        let mut run = Self::new(beginning);
        let experiment = run.shared.experiment.clone();
        let steps = experiment.rollbacks.iter().enumerate();
        let left = steps.filter(|(index, _)| owed.rollbacks.contains(index));
        let left = left.map(|(index, step)| (index, Arc::new(step.clone())));
        run.rollbacks = Queue::new(Section::Rollbacks, left);
        run.method = Queue::new(Section::Method, []);
        run.shared.faults.are_left();
        for (label, key) in &owed.faults {
            let policy = faults::policy(&experiment, label);
            run.shared.faults.adopt(label.clone(), *key, policy);
        }
        run.resumes = true;
        // What is owed is owed whatever comes before it is played.
        run.touched = true;
        run
    }

    /// Whether it only finishes what another run owed.
    #[must_use]
    pub const fn is_resumed(&self) -> bool {
        self.resumes
    }

    /// Whether it is on its way out: what it owes is done, and nothing else is begun.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        let rolls_back = matches!(
            self.phase,
            Phase::Healing(_)
                | Phase::RollbackOpening(_)
                | Phase::Rollbacks
                | Phase::RollbackClosing(_)
                | Phase::Closing(_)
                | Phase::Ended
        );
        rolls_back || self.leaving.is_some()
    }

    /// From which every random choice is drawn.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.shared.terms.seed
    }

    /// By whose rules it is judged.
    #[must_use]
    pub const fn verdicts(&self) -> Verdicts {
        self.shared.terms.verdicts
    }

    /// What hides the secrets of this run, for whatever else is written of it.
    #[must_use]
    pub const fn redaction(&self) -> &Redaction {
        &self.shared.redaction
    }

    /// Why a step must not be performed: it asks for a fault, for pods or nodes, or for a target, in words with a secret, which would
    /// be written down and told with it, also by whoever refuses it.
    #[must_use]
    pub fn objection(&self, perform: &Perform) -> Option<&'static str> {
        match perform.invocation.reveal() {
            Invocation::Schism { verb: Verb::Fault(_) | Verb::Pod | Verb::Node, arguments } => {
                let is_told = self.redaction().map(arguments) != *arguments;
                is_told.then_some("a fault is no place for a secret: it would be told with it")
            }
            Invocation::Schism { verb: Verb::Read(Reading::Logs), arguments } => {
                let target = arguments.get("target")?;
                let is_told = self.redaction().value(target) != *target;
                is_told.then_some("a target is no place for a secret: it would be told with it")
            }
            Invocation::Targets { selector, .. } => {
                let is_told = self.redaction().text(selector) != *selector;
                is_told.then_some("a target is no place for a secret: it would be told with it")
            }
            Invocation::Schism { .. }
            | Invocation::Process { .. }
            | Invocation::Http { .. }
            | Invocation::Python { .. } => None,
        }
    }

    /// Hides more than its secrets: what whoever made it knows to be one.
    pub fn hide(&mut self, values: &serde_json::Map<String, serde_json::Value>) {
        self.shared.hide(values);
    }

    /// The faults of this run.
    pub fn faults(&self) -> impl Iterator<Item = (&crate::model::FaultLabel, &RunFault)> {
        self.shared.faults.all()
    }

    /// What it comes to so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.shared.standing.verdict()
    }

    /// Whoever was to be told of this run is not told any more: it goes on, also where it has ended already, and its
    /// verdict and its journal say so from now on. Where verdicts are strict it has failed.
    pub fn untold(&mut self, why: String) {
        self.shared.standing.note(Reason::Untold(why));
    }

    /// Whether there is nothing more to come.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Begins.
    pub fn begin(&mut self, now: Moment) -> Vec<Action> {
        if matches!(self.phase, Phase::New) {
            self.phase = Phase::Configuring(None);
        }
        self.drive(now)
    }

    /// What follows from what happened.
    pub fn on(&mut self, event: Event, now: Moment) -> Vec<Action> {
        if self.is_over() {
            return Vec::new();
        }
        self.heard = self.heard.max(now);
        match event {
            Event::Finished(call, ending) => {
                self.finished(call, &ending, now);
            }
            Event::Healed(call, healing) => self.healed(call, &healing, now),
            Event::FaultLost(label, why) => {
                if self.shared.faults.lost(&label) {
                    self.shared.tell(Progress::FaultLost(label.clone(), why));
                    self.shared.note(Reason::Lost(label));
                    self.shared.record();
                }
            }
            Event::FaultBroke(label, why) => self.shared.faults.broke(&label, why),
            Event::FaultStays(label, why) => {
                if self.shared.faults.stays(&label, &why) {
                    self.shared.tell(Progress::FaultUnconfirmed(label, why));
                    self.shared.record();
                }
            }
            Event::FaultEnded(label, effect) => {
                if let Some(waiting) = self.shared.faults.ended(&label, effect.clone()) {
                    for call in waiting {
                        self.finished(call, &Ending::Returned(effect.value()), now);
                    }
                    self.told_ended(label, effect);
                }
            }
            Event::Interrupt(by) => self.interrupt(by, now),
            Event::Tick => self.tick(now),
        }
        self.tell_broken();
        self.drive(now)
    }

    /// Takes an answer to whoever waits for it.
    fn finished(&mut self, call: CallId, ending: &Ending, now: Moment) {
        let shared = &mut self.shared;
        let heard = match &mut self.phase {
            Phase::Opening(hooks)
            | Phase::MethodOpening(hooks)
            | Phase::MethodClosing(hooks)
            | Phase::RollbackOpening(hooks)
            | Phase::RollbackClosing(hooks)
            | Phase::Closing(hooks) => hooks.finished(call, ending, shared),
            Phase::Configuring(Some((_, queue))) => {
                queue.finished(call, ending, shared, now);
                Heard::GoesOn
            }
            Phase::Before(evaluation) | Phase::After(evaluation) => {
                evaluation.finished(call, ending, shared, now);
                Heard::GoesOn
            }
            Phase::Method => {
                if !self.method.finished(call, ending, shared, now) {
                    self.during.finished(call, ending, shared, now);
                }
                Heard::GoesOn
            }
            Phase::Rollbacks => {
                self.rollbacks.finished(call, ending, shared, now);
                Heard::GoesOn
            }
            Phase::New | Phase::Configuring(None) | Phase::Healing(_) | Phase::Ended => {
                Heard::NotMine
            }
        };
        if let Heard::Interrupts(why) = heard {
            self.interrupt(Interruption::Asked(why), now);
        }
    }

    fn healed(&mut self, call: CallId, healing: &Healing, now: Moment) {
        let Some((label, waiting)) = self.shared.faults.healed(call, healing) else { return };
        let ending = match healing {
            Healing::Out(effect) | Healing::Broken(effect, _) => Ending::Returned(effect.value()),
            Healing::Absent => Ending::Returned(Effect::default().value()),
            Healing::Unconfirmed(why) => Ending::Failed(format!("not confirmed: {why}")),
        };
        for call in waiting {
            self.finished(call, &ending, now);
        }
        match healing {
            Healing::Out(effect) | Healing::Broken(effect, _) => {
                self.told_ended(label, effect.clone());
            }
            // Whoever asked for it was told why.
            Healing::Absent => (),
            Healing::Unconfirmed(why) => {
                self.shared.tell(Progress::FaultUnconfirmed(label, why.clone()));
            }
        }
        self.shared.record();
    }

    /// What came after the end of a fault came without it.
    fn tell_broken(&mut self) {
        for (label, why) in self.shared.faults.take_broken() {
            self.shared.tell(Progress::FaultBroke(label.clone(), why));
            self.shared.note(Reason::Broke(label));
            self.shared.record();
        }
    }

    /// A fault is judged when it ends.
    fn told_ended(&mut self, label: crate::model::FaultLabel, effect: Effect) {
        // Whoever held what another run has left is lost as one is that is lost while it acts.
        let is_lost = self.resumes && effect.had == HadEffect::Unknown;
        self.shared.tell(Progress::FaultEnded(label.clone(), effect));
        if is_lost {
            self.shared.note(Reason::Lost(label.clone()));
        }
        if self.shared.faults.missed(&label) {
            self.shared.note(Reason::NoEffect(label));
        }
        self.shared.record();
    }

    fn tick(&mut self, now: Moment) {
        let shared = &mut self.shared;
        match &mut self.phase {
            Phase::Configuring(Some((_, queue))) => queue.tick(shared, now),
            Phase::Before(evaluation) | Phase::After(evaluation) => evaluation.tick(shared, now),
            Phase::Method => {
                self.method.tick(shared, now);
                self.during.tick(shared, now);
            }
            Phase::Rollbacks => self.rollbacks.tick(shared, now),
            Phase::Healing(healing) if healing.deadline <= now => {
                for label in shared.faults.give_up("nobody answered") {
                    let why = "nobody answered".to_owned();
                    shared.tell(Progress::FaultUnconfirmed(label, why));
                }
            }
            Phase::New
            | Phase::Configuring(None)
            | Phase::Opening(_)
            | Phase::MethodOpening(_)
            | Phase::MethodClosing(_)
            | Phase::Healing(_)
            | Phase::RollbackOpening(_)
            | Phase::RollbackClosing(_)
            | Phase::Closing(_)
            | Phase::Ended => (),
        }
    }

    /// Goes on as far as nobody else is needed.
    fn drive(&mut self, now: Moment) -> Vec<Action> {
        while self.turn(now) {}
        if let Some(wake) = self.wake() {
            self.shared.ask(Action::Wake(wake.max(now)));
        }
        self.shared.take()
    }

    fn wake(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Configuring(Some((_, queue))) => queue.wake(),
            Phase::Before(evaluation) | Phase::After(evaluation) => evaluation.wake(),
            Phase::Method => self.method.wake().into_iter().chain(self.during.wake()).min(),
            Phase::Rollbacks => self.rollbacks.wake(),
            Phase::Healing(healing) => Some(healing.deadline),
            Phase::New
            | Phase::Configuring(None)
            | Phase::Opening(_)
            | Phase::MethodOpening(_)
            | Phase::MethodClosing(_)
            | Phase::RollbackOpening(_)
            | Phase::RollbackClosing(_)
            | Phase::Closing(_)
            | Phase::Ended => None,
        }
    }
}
