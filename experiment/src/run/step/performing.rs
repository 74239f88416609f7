//! Asking somebody to perform a step.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{How, Stage, Step};
use crate::model::{Call, FaultLabel, OnFailure, Provider, Reading, Verb};
use crate::redaction::Confidential;
use crate::run::Moment;
use crate::run::action::{Action, Perform};
use crate::run::event::{CallId, Effect, Ending};
use crate::run::faults::{Asked, FaultState};
use crate::run::invocation::{Invocation, invocation};
use crate::run::lacking::{Lacking, lacking, missed};
use crate::run::lot::Lot;
use crate::run::progress::{Progress, Section};
use crate::run::shared::Shared;
use crate::run::terms::Verdicts;

impl Step {
    /// The next try.
    pub(super) fn attempt(&mut self, shared: &mut Shared, now: Moment) {
        self.tries += 1;
        self.deadline = None;
        let activity = self.activity.clone();
        if let Some(lacking) = self.lacking(shared) {
            return self.lacks(&lacking, shared, now);
        }
        let prepared = invocation(&activity.provider, &self.scope(shared), shared.terms.verdicts);
        let mut invocation = match prepared {
            Ok(invocation) => invocation,
            Err(error) => return self.end(How::Crashed(error.to_string()), shared, now),
        };
        if let (Provider::Schism(call), Invocation::Schism { arguments, .. }) =
            (&activity.provider, &invocation)
            && self.own(call, arguments.get("fault"), shared, now)
        {
            return;
        }
        if let Invocation::Schism { verb: Verb::Fault(_) | Verb::Pod, arguments } = &mut invocation
        {
            self.draw(arguments, shared);
        }
        if let Provider::Schism(Call { verb: Verb::Fault(_), label, effect, .. }) =
            &activity.provider
        {
            self.fault = shared.faults.begin(label.as_ref(), *effect);
            // Whoever finishes what this run owes has to know what to ask for.
            shared.record();
        }
        self.perform(invocation, shared, now);
    }

    /// A value of the experiment that this step needs and nobody knows. With its words as they are written the step
    /// would be another one. By the original's rules it is performed so.
    fn lacking(&self, shared: &Shared) -> Option<Lacking> {
        if shared.terms.verdicts == Verdicts::Compat && !shared.faults.finish_another() {
            return None;
        }
        let (provider, scope) = (&self.activity.provider, self.scope(shared));
        let lacks = lacking(provider, &scope, &shared.given);
        if lacks.is_some() || !shared.faults.finish_another() {
            return lacks;
        }
        missed(provider, &scope, &shared.given)
    }

    /// What was given to the run that is finished can be given again; what its steps have found cannot.
    fn lacks(&mut self, lacking: &Lacking, shared: &mut Shared, now: Moment) {
        let why = lacking.to_string();
        let is_left = shared.faults.finish_another() && self.section == Section::Rollbacks;
        match lacking {
            Lacking::Value(_) if is_left => {
                self.end(How::Left(why), shared, now);
                self.skip_pause(shared);
            }
            Lacking::Value(_) | Lacking::Output(_) => self.failed(why, shared, now),
        }
    }

    /// What is random in a fault, or in which pods go, comes from the run's seed, where its step has none.
    fn draw(&self, arguments: &mut Map<String, Value>, shared: &Shared) {
        if arguments.get("seed").is_none_or(Value::is_null) {
            let instance = self.instance.as_ref().map(|(_, value)| value);
            let lot = Lot { section: self.section, index: self.index, instance };
            arguments.insert("seed".to_owned(), lot.seed(shared.terms.seed).into());
        }
    }

    fn perform(&mut self, invocation: Invocation, shared: &mut Shared, now: Moment) {
        let call = shared.call();
        // The original reads this time, and does not enforce it.
        let limit = self.limit().filter(|_| shared.terms.verdicts == Verdicts::Strict);
        self.deadline = limit.map(|limit| now + limit);
        self.stage = Stage::Running { call, deadline: self.deadline };
        let perform = Perform {
            call,
            name: self.shown_name(shared),
            invocation: Confidential::new(invocation),
            fault: self.fault.clone(),
        };
        shared.ask(Action::Perform(Box::new(perform)));
    }

    /// What the run knows or does itself: the end of a fault, and the effect of one that has ended. Whether
    /// this was such a step.
    fn own(
        &mut self,
        call: &Call,
        fault: Option<&Value>,
        shared: &mut Shared,
        now: Moment,
    ) -> bool {
        let label: Option<FaultLabel> =
            fault.and_then(Value::as_str).and_then(|text| text.parse().ok());
        match (call.verb, label) {
            (Verb::Heal, Some(label)) => match shared.faults.asked(&label) {
                Asked::Out(effect) => self.returned(effect.value(), shared, now),
                // What is not owed of another run's faults is out.
                Asked::Unknown if shared.faults.finish_another() => {
                    self.returned(Effect::default().value(), shared, now);
                }
                Asked::Unknown => {
                    let why = format!("no fault of this run is called `{label}`");
                    self.end(How::Failed(why), shared, now);
                }
                Asked::Heal => {
                    let call = shared.call();
                    self.stage = Stage::Running { call, deadline: None };
                    if let Some(fault) = shared.faults.heal(&label, call) {
                        shared.ask(Action::Heal(call, fault));
                    }
                }
            },
            (Verb::Heal, None) => {
                let why = "`heal` takes the name of a fault as `fault`".to_owned();
                self.end(How::Failed(why), shared, now);
            }
            (Verb::Read(Reading::Effect), Some(label)) => match shared.faults.asked(&label) {
                Asked::Out(effect) => self.returned(effect.value(), shared, now),
                Asked::Heal | Asked::Unknown => return false,
            },
            (Verb::Read(_) | Verb::Fault(_) | Verb::Zeebe | Verb::Pod | Verb::Node, _) => {
                return false;
            }
        }
        true
    }

    /// The answer to a try.
    pub(super) fn performed(&mut self, ending: &Ending, shared: &mut Shared, now: Moment) {
        if let Some(fault) = self.fault.as_ref().map(|fault| fault.label.clone()) {
            match ending {
                Ending::Returned(_) => {
                    shared.faults.set(&fault, FaultState::Standing);
                    shared.tell(Progress::FaultBegan(fault));
                }
                Ending::Failed(_) | Ending::Untried => {
                    shared.faults.forget(&fault);
                    self.fault = None;
                }
                Ending::Crashed(_) | Ending::Interrupted(_) => {
                    shared.faults.set(&fault, FaultState::Unknown);
                }
            }
        }
        match ending {
            Ending::Returned(value) => self.returned(value.clone(), shared, now),
            Ending::Failed(why) => self.failed(why.clone(), shared, now),
            Ending::Crashed(why) if self.activity.on_failure == OnFailure::Allowed => {
                self.failed(why.clone(), shared, now);
            }
            Ending::Crashed(why) => self.end(How::Crashed(why.clone()), shared, now),
            Ending::Interrupted(why) => {
                self.interrupts = Some(why.clone());
                self.end(How::Asked, shared, now);
                self.skip_pause(shared);
            }
            Ending::Untried => self.leave(shared, now),
        }
    }

    /// Nobody is there who could go on with it.
    pub(super) fn leave(&mut self, shared: &mut Shared, now: Moment) {
        if self.section != Section::Rollbacks {
            return self.failed("nobody is there to perform it".to_owned(), shared, now);
        }
        self.end(How::Stopped, shared, now);
        self.skip_pause(shared);
    }

    /// How long one try may take.
    fn limit(&self) -> Option<Duration> {
        let own = match &self.activity.provider {
            Provider::Python(python) => python.timeout,
            Provider::Process(_) | Provider::Http(_) | Provider::Schism(_) => None,
        };
        self.activity.timeout.or(own)
    }

    /// It took longer than its `timeout`.
    pub(super) fn overdue(&mut self, call: CallId, shared: &mut Shared, now: Moment) {
        self.give_up(call, shared);
        let why = self.too_long("it");
        self.failed(why, shared, now);
    }

    /// What took longer than a try may.
    pub(super) fn too_long(&self, what: &str) -> String {
        let limit = self.limit().unwrap_or_default().as_secs_f64();
        format!("{what} took longer than its timeout of {limit} s")
    }

    /// Nobody waits for the answer any longer. A heal that is under way is waited for at the end of the run.
    pub(super) fn give_up(&mut self, call: CallId, shared: &mut Shared) {
        if let Provider::Schism(Call { verb: Verb::Heal, .. }) = self.activity.provider {
            return;
        }
        shared.ask(Action::Abort(call));
        if let Some(fault) = &self.fault {
            shared.faults.set(&fault.label, FaultState::Unknown);
        }
    }
}
