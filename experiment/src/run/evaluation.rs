//! One look at the steady state.

use serde_json::Value;

use super::Moment;
use super::action::Level;
use super::event::{CallId, Ending};
use super::hooks::{Heard, Hooks};
use super::progress::{Progress, Section};
use super::queue::Queue;
use super::shared::Shared;
use super::step::How;
use crate::journal::SteadyState;
use crate::model::{Hypothesis, Side};

/// What an evaluation came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    /// All is as it should be.
    Met,
    /// A probe was not within its tolerance.
    NotMet(String),
    /// A probe failed.
    Unknown(String),
    /// A probe could not be performed, or its output not be compared: where the original ends with a
    /// traceback.
    Broken(String),
    /// Somebody stopped it.
    Stopped,
}

#[derive(Clone, Debug)]
enum Stage {
    Before(Hooks),
    Probes,
    After(Hooks),
    Over,
}

/// One look at the steady state.
#[derive(Clone, Debug)]
pub(super) struct Evaluation {
    section: Section,
    stage: Stage,
    queue: Queue,
    finding: Finding,
    interrupts: Option<String>,
    own: Vec<crate::model::ControlUse>,
    title: String,
}

impl Evaluation {
    pub(super) fn begin(
        hypothesis: &Hypothesis,
        section: Section,
        shared: &mut Shared,
        now: Moment,
    ) -> Self {
        shared.tell(Progress::EvaluationBegan(section));
        let mut evaluation = Self {
            section,
            stage: Stage::Probes,
            queue: Queue::new(section, shared.probes.iter().cloned().enumerate()),
            finding: Finding::Met,
            interrupts: None,
            own: hypothesis.controls.clone(),
            title: hypothesis.title.clone(),
        };
        let mut hooks = evaluation.hooks(shared, Side::Before);
        if hooks.advance(shared) {
            evaluation.go_on(shared, now);
        } else {
            evaluation.stage = Stage::Before(hooks);
        }
        evaluation
    }

    fn hooks(&self, shared: &Shared, side: Side) -> Hooks {
        let written = shared.experiment.written.as_ref();
        let context = || {
            let own = written.and_then(|written| written.get("steady-state-hypothesis")).cloned();
            own.unwrap_or_else(|| serde_json::json!({"title": self.title}))
        };
        let state = || match side {
            Side::Before => Value::Null,
            Side::After => serde_json::to_value(self.state()).unwrap_or_default(),
        };
        Hooks::new(shared, Level::Hypothesis, side, &self.own, context, state)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    pub(super) fn state(&self) -> SteadyState {
        let steady_state_met = match self.finding {
            Finding::Met => Some(true),
            Finding::NotMet(_) | Finding::Unknown(_) | Finding::Broken(_) => Some(false),
            Finding::Stopped => None,
        };
        SteadyState { steady_state_met, probes: self.queue.items().to_vec() }
    }

    pub(super) fn finding(&self) -> &Finding {
        &self.finding
    }

    /// Why the run is to end.
    pub(super) fn interrupts(&self) -> Option<&str> {
        self.interrupts.as_deref()
    }

    /// The first probe that is not as it should be is the last one.
    fn go_on(&mut self, shared: &mut Shared, now: Moment) {
        self.stage = Stage::Probes;
        loop {
            for ended in self.queue.take_ended() {
                let name = shared.redaction.text(&ended.activity.name);
                self.interrupts = self.interrupts.take().or(ended.interrupts);
                if self.finding == Finding::Stopped {
                    continue;
                }
                self.finding = match (ended.how, ended.met) {
                    (How::Stopped | How::Left(_) | How::Asked, _) => Finding::Stopped,
                    (How::Failed(_), _) => Finding::Unknown(name),
                    (How::Crashed(_), _) => Finding::Broken(name),
                    (How::Succeeded, _) if ended.incomparable.is_some() => Finding::Broken(name),
                    (How::Succeeded, Some(false)) => Finding::NotMet(name),
                    (How::Succeeded, Some(true) | None) => continue,
                };
                self.queue.stop();
            }
            if !self.queue.advance(shared, now) {
                break;
            }
        }
        if self.queue.is_over() {
            self.close(shared);
        }
    }

    fn close(&mut self, shared: &mut Shared) {
        if self.finding != Finding::Stopped {
            let probe = match &self.finding {
                Finding::NotMet(probe) | Finding::Unknown(probe) | Finding::Broken(probe) => {
                    Some(probe.clone())
                }
                Finding::Met | Finding::Stopped => None,
            };
            let met = self.finding == Finding::Met;
            shared.tell(Progress::EvaluationEnded { section: self.section, met, probe });
        }
        let mut hooks = self.hooks(shared, Side::After);
        self.stage = if hooks.advance(shared) { Stage::Over } else { Stage::After(hooks) };
    }

    /// Whether the answer was for this evaluation.
    pub(super) fn finished(
        &mut self,
        call: CallId,
        ending: &Ending,
        shared: &mut Shared,
        now: Moment,
    ) -> bool {
        match &mut self.stage {
            Stage::Before(hooks) => match hooks.finished(call, ending, shared) {
                Heard::NotMine => return false,
                Heard::GoesOn => (),
                Heard::Over => self.go_on(shared, now),
                Heard::Interrupts(why) => {
                    self.interrupts = Some(why);
                    self.finding = Finding::Stopped;
                    self.queue.stop();
                    self.close(shared);
                }
            },
            Stage::After(hooks) => match hooks.finished(call, ending, shared) {
                Heard::NotMine => return false,
                Heard::GoesOn => (),
                Heard::Over => self.stage = Stage::Over,
                Heard::Interrupts(why) => {
                    self.interrupts.get_or_insert(why);
                    self.stage = Stage::Over;
                }
            },
            Stage::Probes => {
                if !self.queue.finished(call, ending, shared, now) {
                    return false;
                }
                self.go_on(shared, now);
            }
            Stage::Over => return false,
        }
        true
    }

    pub(super) fn tick(&mut self, shared: &mut Shared, now: Moment) {
        if matches!(self.stage, Stage::Probes) {
            self.queue.tick(shared, now);
            self.go_on(shared, now);
        }
    }

    pub(super) fn abort(&mut self, shared: &mut Shared, now: Moment) {
        match &mut self.stage {
            Stage::Before(hooks) => {
                hooks.abort(shared);
                self.finding = Finding::Stopped;
                self.queue.stop();
                self.close(shared);
            }
            Stage::Probes => {
                self.finding = Finding::Stopped;
                self.queue.stop();
                self.queue.abort(shared, now);
                self.go_on(shared, now);
            }
            Stage::After(hooks) => {
                hooks.abort(shared);
                self.stage = Stage::Over;
            }
            Stage::Over => (),
        }
    }

    pub(super) fn wake(&self) -> Option<Moment> {
        matches!(self.stage, Stage::Probes).then(|| self.queue.wake()).flatten()
    }
}
