//! From one part of a run to the next.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::action::{Action, Level};
use super::evaluation::{Evaluation, Finding};
use super::event::Interruption;
use super::hooks::Hooks;
use super::progress::{Progress, Section};
use super::queue::Queue;
use super::standing::Reason;
use super::step::How;
use super::terms::Verdicts;
use super::{Moment, Run};
use crate::configuration::{Setup, probed};
use crate::journal::Status;
use crate::model::{OnFailure, RollbackStrategy, Side};

/// How long the run waits until faults are out.
const HEALING: Duration = Duration::from_secs(60);

/// Where a run is.
#[derive(Debug)]
pub(super) enum Phase {
    New,
    /// Settings are determined; one of them by a probe.
    Configuring(Option<(String, Queue)>),
    Opening(Hooks),
    Before(Evaluation),
    MethodOpening(Hooks),
    Method,
    MethodClosing(Hooks),
    After(Evaluation),
    Healing(HealingPhase),
    RollbackOpening(Hooks),
    Rollbacks,
    RollbackClosing(Hooks),
    Closing(Hooks),
    Ended,
}

/// Faults of the run are taken out: before its rollbacks, which often need what the faults break, and after
/// them.
#[derive(Debug)]
pub(super) struct HealingPhase {
    pub(super) deadline: Moment,
    next: Next,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Rollbacks,
    Closing,
}

impl Run {
    /// One step further. Whether there may be another.
    pub(super) fn turn(&mut self, now: Moment) -> bool {
        match &mut self.phase {
            Phase::New | Phase::Ended => false,
            Phase::Configuring(_) => self.configure(now),
            Phase::Opening(hooks) => hooks.is_over() && self.opened(now),
            Phase::Before(evaluation) => evaluation.is_over() && self.gate(now),
            Phase::MethodOpening(hooks) => hooks.is_over() && self.method_begins(now),
            Phase::Method => self.method_goes_on(now),
            Phase::MethodClosing(hooks) => hooks.is_over() && self.method_closed(now),
            Phase::After(evaluation) => evaluation.is_over() && self.judged_after(now),
            Phase::Healing(healing) => {
                let next = healing.next;
                !self.shared.faults.heals() && self.went_healing(next, now)
            }
            Phase::RollbackOpening(hooks) => {
                hooks.is_over() && {
                    self.phase = Phase::Rollbacks;
                    true
                }
            }
            Phase::Rollbacks => self.roll_back(now),
            Phase::RollbackClosing(hooks) => {
                hooks.is_over() && {
                    self.shared.tell(Progress::RollbacksEnded);
                    self.heal(Next::Closing, now);
                    true
                }
            }
            Phase::Closing(hooks) => hooks.is_over() && self.end(),
        }
    }

    fn configure(&mut self, now: Moment) -> bool {
        let Phase::Configuring(standing) = &mut self.phase else { return false };
        if let Some((key, queue)) = standing {
            let shared = &mut self.shared;
            if queue.advance(shared, now) {
                return true;
            }
            if !queue.is_over() {
                return false;
            }
            let ended = queue.take_ended().pop();
            let interrupts = ended.as_ref().and_then(|ended| ended.interrupts.clone());
            let value = ended
                .filter(|ended| ended.how == How::Succeeded)
                .and_then(|ended| probed(&ended.activity, &ended.output));
            match value {
                Some(value) => shared.scope.set(key.clone(), value),
                None if self.leaving.is_none() && interrupts.is_none() => {
                    shared.note(Reason::Setting(key.clone()));
                }
                None => (),
            }
            self.phase = Phase::Configuring(None);
            if let Some(why) = interrupts {
                self.interrupt(Interruption::Asked(why), now);
            }
            return true;
        }
        let failed = self.shared.standing.status().is_some() && !self.resumes;
        if self.leaving.is_some() || failed {
            // Nothing was touched, so that there is nothing to roll back; what another run owed stays owed.
            self.close(now);
            return true;
        }
        match self.settings.pop_front() {
            Some((key, Setup::Known(value))) => self.shared.scope.set(key, value),
            Some((key, Setup::Probe(probe))) => {
                let queue = Queue::new(Section::Configuration, [(0, Arc::from(probe))]);
                *standing = Some((key, queue));
            }
            None => self.open(now),
        }
        true
    }

    fn hooks(&mut self, level: Level, side: Side, now: Moment) -> Hooks {
        let experiment = self.shared.experiment.clone();
        let context = || experiment.written.clone().map(Value::Object).unwrap_or_default();
        let state = || {
            let state = match (side, level) {
                (Side::Before, _) => return Value::Null,
                (Side::After, Level::Method) => serde_json::to_value(self.method.items()),
                (Side::After, Level::Rollback) => serde_json::to_value(self.rollbacks.items()),
                (Side::After, Level::Experiment | Level::Hypothesis | Level::Activity) => {
                    serde_json::to_value(self.journal(now))
                }
            };
            state.unwrap_or_default()
        };
        let mut hooks = Hooks::new(&self.shared, level, side, &[], context, state);
        hooks.advance(&mut self.shared);
        hooks
    }

    fn open(&mut self, now: Moment) {
        if self.resumes {
            self.touched = true;
            self.heal(Next::Rollbacks, now);
            return;
        }
        self.touched = true;
        let title = self.shared.scope.worded(&self.shared.experiment.title);
        let title = self.shared.redaction.text(&title);
        self.shared.tell(Progress::RunBegan { title });
        self.shared.record();
        self.phase = Phase::Opening(self.hooks(Level::Experiment, Side::Before, now));
    }

    fn evaluate(&mut self, section: Section, now: Moment) -> Option<Evaluation> {
        let experiment = self.shared.experiment.clone();
        let hypothesis =
            experiment.hypothesis.as_ref().filter(|hypothesis| !hypothesis.probes.is_empty())?;
        Some(Evaluation::begin(hypothesis, section, &mut self.shared, now))
    }

    fn opened(&mut self, now: Moment) -> bool {
        if self.leaving.is_some() {
            self.heal(Next::Rollbacks, now);
            return true;
        }
        let evaluation = if self.shared.terms.hypothesis.before() {
            self.evaluate(Section::Before, now)
        } else {
            None
        };
        match evaluation {
            Some(evaluation) => self.phase = Phase::Before(evaluation),
            None => self.open_method(now),
        }
        true
    }

    fn open_method(&mut self, now: Moment) {
        self.phase = Phase::MethodOpening(self.hooks(Level::Method, Side::Before, now));
    }

    /// The method is played only in a system that is well.
    fn gate(&mut self, now: Moment) -> bool {
        let Phase::Before(evaluation) = &self.phase else { return false };
        let finding = evaluation.finding().clone();
        let interrupts = evaluation.interrupts().map(str::to_owned);
        if finding != Finding::Stopped {
            self.states.before = Some(evaluation.state());
        }
        self.shared.record();
        match finding {
            Finding::Met if interrupts.is_none() && self.leaving.is_none() => {
                self.open_method(now);
                return true;
            }
            Finding::Met | Finding::Stopped => (),
            Finding::NotMet(probe) => self.shared.note(Reason::Baseline(probe)),
            Finding::Unknown(probe) | Finding::Broken(probe) => {
                self.shared.note(Reason::BaselineUnknown(probe));
            }
        }
        self.heal(Next::Rollbacks, now);
        if let Some(why) = interrupts {
            self.interrupt(Interruption::Asked(why), now);
        }
        true
    }

    fn method_begins(&mut self, now: Moment) -> bool {
        self.shared.tell(Progress::MethodBegan);
        if self.leaving.is_some() {
            self.method.stop();
        } else if self.shared.terms.hypothesis.during() {
            let evaluation = self.evaluate(Section::During(1), now);
            self.during.begin(evaluation);
        }
        self.phase = Phase::Method;
        true
    }

    pub(super) fn method_ends(&mut self, now: Moment) {
        self.shared.tell(Progress::MethodEnded);
        self.phase = Phase::MethodClosing(self.hooks(Level::Method, Side::After, now));
    }

    fn method_closed(&mut self, now: Moment) -> bool {
        let ended =
            matches!(self.shared.standing.status(), Some(Status::Interrupted | Status::Aborted));
        let looks = self.leaving.is_none() && !ended && self.shared.terms.hypothesis.after();
        match looks.then(|| self.evaluate(Section::After, now)).flatten() {
            Some(evaluation) => self.phase = Phase::After(evaluation),
            None => self.heal(Next::Rollbacks, now),
        }
        true
    }

    fn judged_after(&mut self, now: Moment) -> bool {
        let Phase::After(evaluation) = &self.phase else { return false };
        let finding = evaluation.finding().clone();
        let interrupts = evaluation.interrupts().map(str::to_owned);
        if finding != Finding::Stopped {
            self.states.after = Some(evaluation.state());
        }
        self.shared.record();
        match finding {
            Finding::Met | Finding::Stopped => (),
            Finding::NotMet(probe) => self.shared.note(Reason::After(probe)),
            Finding::Unknown(probe) | Finding::Broken(probe) => {
                self.shared.note(Reason::AfterUnknown(probe));
            }
        }
        self.heal(Next::Rollbacks, now);
        if let Some(why) = interrupts {
            self.interrupt(Interruption::Asked(why), now);
        }
        true
    }

    /// Takes out every fault that may stand.
    fn heal(&mut self, next: Next, now: Moment) {
        for label in self.shared.faults.owed() {
            let call = self.shared.call();
            if let Some(fault) = self.shared.faults.heal(&label, call) {
                self.shared.ask(Action::Heal(call, fault));
            }
        }
        self.phase = Phase::Healing(HealingPhase { deadline: now + HEALING, next });
        self.shared.record();
    }

    fn went_healing(&mut self, next: Next, now: Moment) -> bool {
        match next {
            Next::Closing => self.close(now),
            Next::Rollbacks if self.plays_rollbacks() => {
                self.shared.tell(Progress::RollbacksBegan);
                self.phase = Phase::RollbackOpening(self.hooks(Level::Rollback, Side::Before, now));
            }
            Next::Rollbacks => {
                if self.rollbacks.has_front() {
                    self.shared.tell(Progress::RollbacksLeftOut);
                }
                self.rollbacks.stop();
                self.heal(Next::Closing, now);
            }
        }
        true
    }

    /// Whether rollbacks are played, by the strategy and what the run came to.
    pub(super) fn plays_rollbacks(&self) -> bool {
        if self.without_rollbacks || !self.touched {
            return false;
        }
        match (self.shared.terms.rollbacks, self.shared.terms.verdicts) {
            _ if self.resumes => true,
            (RollbackStrategy::Always, _) | (RollbackStrategy::Default, Verdicts::Strict) => true,
            (RollbackStrategy::Never, _) => false,
            (RollbackStrategy::Deviated, _) => self.shared.standing.deviated(),
            // The original knows no such end: what is owed is kept for whoever takes it over.
            (RollbackStrategy::Default, Verdicts::Compat)
                if self.leaving == Some(Interruption::Lost) =>
            {
                true
            }
            (RollbackStrategy::Default, Verdicts::Compat) => {
                !matches!(self.shared.standing.status(), Some(Status::Failed | Status::Interrupted))
            }
        }
    }

    /// Whatever becomes of a rollback, the next one is played.
    fn roll_back(&mut self, now: Moment) -> bool {
        for ended in self.rollbacks.take_ended() {
            let name = self.shared.redaction.text(&ended.activity.name);
            let counts = ended.activity.on_failure == OnFailure::Counts;
            match ended.how {
                How::Failed(_) if counts => self.shared.note(Reason::Rollback(name)),
                How::Crashed(_) => self.shared.note(Reason::RollbackCrash(name)),
                How::Succeeded if counts && ended.met == Some(false) => {
                    self.shared.note(Reason::Rollback(name));
                }
                How::Stopped | How::Left(_) if ended.is_owed => {
                    self.shared.note(Reason::RollbackStopped(name));
                }
                How::Failed(_) | How::Succeeded | How::Stopped | How::Left(_) | How::Asked => (),
            }
            if let Some(why) = ended.interrupts {
                self.interrupt(Interruption::Asked(why), now);
            }
        }
        if self.rollbacks.advance(&mut self.shared, now) {
            return true;
        }
        if !self.rollbacks.is_over() {
            return false;
        }
        self.phase = Phase::RollbackClosing(self.hooks(Level::Rollback, Side::After, now));
        true
    }

    fn close(&mut self, now: Moment) {
        for label in self.shared.faults.owed() {
            self.shared.note(Reason::Unconfirmed(label));
        }
        self.ended = Some(now);
        if self.touched && !self.resumes {
            self.phase = Phase::Closing(self.hooks(Level::Experiment, Side::After, now));
        } else {
            self.end();
        }
    }

    fn end(&mut self) -> bool {
        self.phase = Phase::Ended;
        let verdict = self.verdict();
        self.shared.record();
        let (status, deviated) = (verdict.status, verdict.deviated);
        self.shared.tell(Progress::RunEnded { status, deviated });
        self.shared.ask(Action::End(Box::new(verdict)));
        false
    }
}
