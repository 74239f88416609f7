//! The method, and the steady state while it goes on.

use std::sync::Arc;

use super::evaluation::{Evaluation, Finding};
use super::event::{CallId, Ending, Interruption};
use super::progress::Section;
use super::shared::Shared;
use super::standing::Reason;
use super::step::{Ended, How};
use super::terms::{FailFast, Verdicts};
use super::{Moment, Run};
use crate::journal::SteadyState;
use crate::model::{Lane, OnFailure};

/// How many looks at the steady state during the method are written down.
const MOST_KEPT: usize = 10_000;
/// How long they may be, all together (16 MiB as JSON).
const MOST_WRITTEN: usize = 16 << 20;

/// The steady state while the method goes on.
#[derive(Debug, Default)]
pub(super) struct During {
    evaluation: Option<Evaluation>,
    next: Option<Moment>,
    count: u32,
    goes_on: bool,
    /// How much of it is written down, in bytes.
    written: usize,
    left_out: u32,
}

impl During {
    pub(super) fn begin(&mut self, evaluation: Option<Evaluation>) {
        self.goes_on = evaluation.is_some();
        self.evaluation = evaluation;
    }

    /// No other evaluation is begun.
    pub(super) fn stop(&mut self) {
        self.goes_on = false;
        self.next = None;
    }

    pub(super) fn abort(&mut self, shared: &mut Shared, now: Moment) {
        self.stop();
        if let Some(evaluation) = &mut self.evaluation {
            evaluation.abort(shared, now);
        }
    }

    pub(super) fn finished(
        &mut self,
        call: CallId,
        ending: &Ending,
        shared: &mut Shared,
        now: Moment,
    ) {
        if let Some(evaluation) = &mut self.evaluation {
            evaluation.finished(call, ending, shared, now);
        }
    }

    pub(super) fn tick(&mut self, shared: &mut Shared, now: Moment) {
        if let Some(evaluation) = &mut self.evaluation {
            evaluation.tick(shared, now);
        }
    }

    pub(super) fn wake(&self) -> Option<Moment> {
        self.evaluation.as_ref().and_then(Evaluation::wake).into_iter().chain(self.next).min()
    }

    /// How many of them are not written down.
    pub(super) const fn left_out(&self) -> u32 {
        self.left_out
    }

    /// Whether there is room for another one in what is written down. A gap is never in the middle.
    fn keeps(&mut self, state: &SteadyState, kept: usize) -> bool {
        if self.left_out == 0 {
            self.written += serde_json::to_vec(state).map_or(0, |text| text.len());
        }
        let keeps = self.left_out == 0 && kept < MOST_KEPT && self.written <= MOST_WRITTEN;
        self.left_out += u32::from(!keeps);
        keeps
    }

    fn is_over(&self) -> bool {
        self.evaluation.is_none()
    }

    fn take_over(&mut self) -> Option<Evaluation> {
        self.evaluation.take_if(|evaluation| evaluation.is_over())
    }
}

impl Run {
    /// One step further in the method. Whether there may be another.
    pub(super) fn method_goes_on(&mut self, now: Moment) -> bool {
        for ended in self.method.take_ended() {
            self.step_ended(ended, now);
        }
        if let Some(evaluation) = self.during.take_over() {
            self.evaluated(&evaluation, now);
            return true;
        }
        if self.shared.standing.stops() {
            self.method.stop();
            self.during.stop();
        }
        if self.during.next.is_some_and(|next| next <= now) {
            self.during.next = None;
            let section = Section::During(self.during.count + 1);
            let experiment = self.shared.experiment.clone();
            self.during.evaluation = experiment
                .hypothesis
                .as_ref()
                .map(|hypothesis| Evaluation::begin(hypothesis, section, &mut self.shared, now));
            return true;
        }
        if self.method.advance(&mut self.shared, now) {
            return true;
        }
        if !self.method.is_over() {
            return false;
        }
        if self.during.goes_on && self.during.count >= self.shared.terms.evaluations {
            self.during.stop();
        }
        if self.during.goes_on || !self.during.is_over() {
            return false;
        }
        self.method_ends(now);
        true
    }

    fn step_ended(&mut self, ended: Ended, now: Moment) {
        let name = self.shared.redaction.text(&ended.activity.name);
        let counts = ended.activity.on_failure == OnFailure::Counts;
        match ended.how {
            How::Failed(_) if counts => self.shared.note(Reason::Step(name)),
            How::Crashed(_) if ended.activity.lane == Lane::Background => {
                self.shared.note(Reason::BackgroundCrash(name));
            }
            How::Crashed(_) => self.shared.note(Reason::Crash(name)),
            How::Succeeded if ended.met == Some(false) && counts => {
                self.shared.note(Reason::Probe(name));
            }
            How::Failed(_) | How::Succeeded | How::Stopped | How::Left(_) | How::Asked => (),
        }
        if let Some(why) = ended.interrupts {
            self.interrupt(Interruption::Asked(why), now);
        }
    }

    fn evaluated(&mut self, evaluation: &Evaluation, now: Moment) {
        let finding = evaluation.finding().clone();
        // The original keeps nothing of one that ended with a traceback.
        let is_lost =
            matches!(finding, Finding::Broken(_)) && self.shared.terms.verdicts == Verdicts::Compat;
        if finding != Finding::Stopped && !is_lost {
            let state = evaluation.state();
            if self.during.keeps(&state, self.states.during.len()) {
                self.states.during.push(Arc::new(state));
            }
            self.during.count += 1;
        }
        self.shared.record();
        if self.during.goes_on {
            self.during.next = Some(now + self.shared.terms.frequency);
        }
        match finding {
            Finding::Met | Finding::Stopped => (),
            Finding::NotMet(probe) | Finding::Unknown(probe) => {
                self.shared.note(Reason::During(probe));
                if self.shared.terms.fail_fast == FailFast::Stops && self.during.goes_on {
                    self.fail_fast(now);
                }
            }
            Finding::Broken(probe) => self.shared.note(Reason::DuringUnknown(probe)),
        }
        if let Some(why) = evaluation.interrupts() {
            self.interrupt(Interruption::Asked(why.to_owned()), now);
        }
    }

    fn fail_fast(&mut self, now: Moment) {
        self.shared.note(Reason::FailedFast);
        self.during.stop();
        self.method.stop();
        if self.shared.terms.verdicts == Verdicts::Strict {
            self.method.abort(&mut self.shared, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_of_the_steady_state_is_bounded_in_number_and_length() {
        let state = SteadyState { steady_state_met: Some(true), probes: Vec::new() };
        let mut during = During::default();
        let mut kept = 0;
        for _ in 0..MOST_KEPT + 5 {
            kept += usize::from(during.keeps(&state, kept));
        }
        assert_eq!((kept, during.left_out()), (MOST_KEPT, 5));
        let mut during = During { written: MOST_WRITTEN, ..During::default() };
        assert!(!during.keeps(&state, 0));
        assert_eq!(during.left_out(), 1);
    }
}
