//! Whether what a step found is what it should be, and whether it is tried again.

use serde_json::{Map, Value};

use super::{How, Role, Stage, Step};
use crate::model::{Activity, ActivityKind, Provider, Retry};
use crate::redaction::Confidential;
use crate::run::Moment;
use crate::run::action::{Action, Perform};
use crate::run::event::{CallId, Ending};
use crate::run::invocation::invocation;
use crate::run::shared::Shared;
use crate::run::terms::Verdicts;
use crate::substitution::wording;
use crate::tolerance::{Judgement, equal, judge, truthy};

impl Step {
    /// It has an output.
    pub(super) fn returned(&mut self, value: Value, shared: &mut Shared, now: Moment) {
        self.value = value;
        if let Some(why) = self.refusal(shared) {
            return self.failed(why, shared, now);
        }
        self.criteria.clear();
        let until = self.activity.until.clone();
        self.criteria.extend(until.map(|tolerance| (Role::Until, tolerance)));
        if self.is_judged(shared) || (self.activity.retry.is_some() && self.criteria.is_empty()) {
            let tolerance = self.activity.tolerance.clone();
            self.criteria.extend(tolerance.map(|tolerance| (Role::Tolerance, tolerance)));
        }
        self.compare(shared, now);
    }

    /// Where verdicts are strict, an action has failed whose program or request says so.
    fn refusal(&self, shared: &Shared) -> Option<String> {
        let is_judged_otherwise =
            self.activity.tolerance.is_some() || self.activity.until.is_some();
        if shared.terms.verdicts == Verdicts::Compat
            || self.activity.kind == ActivityKind::Probe
            || is_judged_otherwise
        {
            return None;
        }
        let status = self.value.get("status")?;
        match self.activity.provider {
            Provider::Process(_) if !equal(status, &Value::from(0)) => {
                let said = self.value.get("stderr").and_then(Value::as_str).unwrap_or_default();
                // Of a secret that is cut, nobody would know the rest.
                let said = last_line(&shared.redaction.text(said));
                let colon = if said.is_empty() { "" } else { ": " };
                let status = wording(status);
                Some(format!("the program ended with {status}{colon}{said}"))
            }
            Provider::Http(_) if status.as_u64().is_some_and(|status| status >= 400) => {
                Some(format!("the answer was {}", wording(status)))
            }
            Provider::Process(_)
            | Provider::Http(_)
            | Provider::Python(_)
            | Provider::Schism(_) => None,
        }
    }

    /// The next comparison, or the end.
    fn compare(&mut self, shared: &mut Shared, now: Moment) {
        let Some((role, tolerance)) = self.criteria.pop_front() else {
            return self.end(How::Succeeded, shared, now);
        };
        let judged = judge(&tolerance, &self.value, &self.scope(shared));
        match judged {
            Ok(Judgement::Within) => self.decided(role, true, shared, now),
            Ok(Judgement::Outside) => self.decided(role, false, shared, now),
            Ok(Judgement::Ask(probe)) => self.ask(role, &probe, shared, now),
            Err(error) => {
                self.incomparable = Some(error.to_string());
                self.decided(role, false, shared, now);
            }
        }
    }

    /// A probe says whether the output is as it should be: it is given the output as `value`.
    fn ask(&mut self, role: Role, probe: &Activity, shared: &mut Shared, now: Moment) {
        let provider = with_value(&probe.provider, &self.value);
        let prepared = invocation(&provider, &self.scope(shared), shared.terms.verdicts);
        match prepared {
            Ok(invocation) => {
                let call = shared.call();
                self.asked = Some((role, provider));
                self.stage = Stage::Asking { call, deadline: self.deadline };
                let perform = Perform {
                    call,
                    name: shared.redaction.text(&probe.name),
                    invocation: Confidential::new(invocation),
                    fault: None,
                };
                shared.ask(Action::Perform(Box::new(perform)));
            }
            Err(error) => {
                self.incomparable = Some(error.to_string());
                self.decided(role, false, shared, now);
            }
        }
    }

    pub(super) fn answered(&mut self, ending: &Ending, shared: &mut Shared, now: Moment) {
        let Some((role, provider)) = self.asked.take() else { return };
        let within = match ending {
            Ending::Returned(value) => match (provider, shared.terms.verdicts) {
                // The original takes any answer of a program for a yes, since it is a mapping with
                // something in it.
                (Provider::Process(_), Verdicts::Strict) => {
                    value.get("status").is_some_and(|status| equal(status, &Value::from(0)))
                }
                (Provider::Http(_), Verdicts::Strict) => {
                    value.get("status").and_then(Value::as_u64).is_some_and(|code| code < 400)
                }
                _ => truthy(value),
            },
            Ending::Failed(_) => false,
            Ending::Crashed(why) => {
                self.incomparable = Some(why.clone());
                false
            }
            Ending::Interrupted(why) => {
                self.interrupts = Some(why.clone());
                self.end(How::Asked, shared, now);
                return self.skip_pause(shared);
            }
            Ending::Untried => return self.leave(shared, now),
        };
        self.decided(role, within, shared, now);
    }

    /// Whoever was asked did not say it within the time of the step.
    pub(super) fn unanswered(&mut self, call: CallId, shared: &mut Shared, now: Moment) {
        shared.ask(Action::Abort(call));
        let Some((role, _)) = self.asked.take() else { return };
        self.incomparable = Some(self.too_long("the step, with the probe of its tolerance,"));
        self.decided(role, false, shared, now);
    }

    fn decided(&mut self, role: Role, within: bool, shared: &mut Shared, now: Moment) {
        if !within && self.tries_again(shared, now) {
            self.incomparable = None;
            return;
        }
        match (role, within) {
            (Role::Until, true) => self.compare(shared, now),
            (Role::Until, false) => {
                let why = format!("`until` was not met in {} tries", self.tries);
                self.met = self.is_judged(shared).then_some(false);
                self.end(How::Failed(why), shared, now);
            }
            (Role::Tolerance, met) => {
                self.met = self.is_judged(shared).then_some(met);
                self.compare(shared, now);
            }
        }
    }

    /// It failed: again, or for good.
    pub(super) fn failed(&mut self, why: String, shared: &mut Shared, now: Moment) {
        if self.tries_again(shared, now) {
            return;
        }
        if self.section.is_hypothesis() {
            self.met = Some(false);
        }
        if shared.terms.verdicts == Verdicts::Compat {
            self.value = Value::Null;
        }
        self.end(How::Failed(why), shared, now);
    }

    fn tries_again(&mut self, shared: &Shared, now: Moment) -> bool {
        let implied = self.activity.until.as_ref().map(|_| Retry::default());
        let Some(retry) = self.activity.retry.or(implied) else { return false };
        if self.tries >= retry.attempts || self.is_rehearsed(shared) {
            return false;
        }
        self.stage = Stage::Waiting(now + retry.every);
        true
    }
}

/// The longest line of a program that is told, in characters.
const LONGEST: usize = 200;

/// The last thing that a program said.
fn last_line(said: &str) -> String {
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    last.trim().chars().take(LONGEST).collect()
}

/// A provider with a value as its argument `value`. For programs that are given a list or a line it stays
/// out, since the original has no place for it either.
fn with_value(provider: &Provider, value: &Value) -> Provider {
    let mut provider = provider.clone();
    let put = |map: &mut Map<String, Value>| map.insert("value".to_owned(), value.clone());
    match &mut provider {
        Provider::Python(python) => {
            put(&mut python.arguments);
        }
        Provider::Schism(call) => {
            put(&mut call.arguments);
        }
        Provider::Http(http) => {
            if let Value::Object(map) =
                http.arguments.get_or_insert_with(|| Value::Object(Map::new()))
            {
                put(map);
            }
        }
        Provider::Process(process) => {
            if let crate::model::ProcessArguments::Pairs(map) = &mut process.arguments {
                put(map);
            }
        }
    }
    provider
}
