//! What all parts of a run share.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Moment;
use super::action::Action;
use super::event::CallId;
use super::faults::Faults;
use super::lacking::Given;
use super::progress::Progress;
use super::standing::{Reason, Standing};
use super::terms::Terms;
use crate::model::{Activity, Experiment};
use crate::redaction::Redaction;
use crate::substitution::Scope;
use crate::timestamp::Timestamp;

/// A step as anybody may see it.
type Shown = Arc<Map<String, Value>>;

/// What all parts of a run share: they ask through it, and read what is known.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) experiment: Arc<Experiment>,
    /// Those of the steady state: each is performed at every look.
    pub(super) probes: Vec<Arc<Activity>>,
    pub(super) terms: Terms,
    pub(super) scope: Scope,
    pub(super) redaction: Redaction,
    pub(super) faults: Faults,
    pub(super) standing: Standing,
    pub(super) started: Timestamp,
    /// What the experiment gives values for.
    pub(super) given: Given,
    /// Probes of the steady state as anybody may see them: they are written down at every look.
    shown: Vec<(Arc<Activity>, Shown)>,
    /// The step that was repeated last, for each of its turns.
    turns: Option<(Arc<Activity>, Shown)>,
    calls: u64,
    asked: Vec<Action>,
}

impl Shared {
    pub(super) fn new(
        experiment: Arc<Experiment>,
        terms: Terms,
        scope: Scope,
        faults: Faults,
        started: Timestamp,
    ) -> Self {
        let redaction = Redaction::new(scope.secrets());
        let standing = Standing::new(terms.verdicts);
        let probes = experiment.hypothesis.iter().flat_map(|hypothesis| &hypothesis.probes);
        let probes = probes.map(|probe| Arc::new(probe.clone())).collect();
        let given = Given::by(&experiment);
        Self {
            experiment,
            probes,
            terms,
            scope,
            redaction,
            faults,
            standing,
            started,
            given,
            shown: Vec::new(),
            turns: None,
            calls: 0,
            asked: Vec::new(),
        }
    }

    pub(super) fn call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    pub(super) fn ask(&mut self, action: Action) {
        self.asked.push(action);
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        self.asked.push(Action::Tell(progress));
    }

    /// One write is enough for what changed at once: whoever performs the first has all of it.
    pub(super) fn record(&mut self) {
        if !self.asked.contains(&Action::Record) {
            self.asked.push(Action::Record);
        }
    }

    pub(super) fn note(&mut self, reason: Reason) {
        self.tell(Progress::Noted(reason.clone()));
        self.standing.note(reason);
    }

    pub(super) fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.asked)
    }

    pub(super) fn at(&self, now: Moment) -> Timestamp {
        self.started.after(now)
    }

    /// Hides these, too.
    pub(super) fn hide(&mut self, values: &Map<String, Value>) {
        self.redaction.add(values);
        self.shown.clear();
        self.turns = None;
    }

    /// A step as it was written, without secrets.
    pub(super) fn shown_step(&mut self, step: &Arc<Activity>) -> Shown {
        let known = self.shown.iter().find(|(known, _)| Arc::ptr_eq(known, step));
        if let Some((_, shown)) = known {
            return Arc::clone(shown);
        }
        let shown = Arc::new(match &step.written {
            Some(written) => self.redaction.map(written),
            None => self.redaction.map(&step.rendered()),
        });
        if self.probes.iter().any(|probe| Arc::ptr_eq(probe, step)) {
            self.shown.push((Arc::clone(step), Arc::clone(&shown)));
        }
        shown
    }

    /// The same of a step that is repeated, for one of its turns: what it is repeated for may be long, and stands once,
    /// in the experiment.
    pub(super) fn shown_turn(&mut self, step: &Arc<Activity>) -> Shown {
        if let Some((known, shown)) = &self.turns
            && Arc::ptr_eq(known, step)
        {
            return Arc::clone(shown);
        }
        let mut written = step.written.clone().unwrap_or_else(|| step.rendered());
        if let Some(Value::Object(each)) = written.get_mut("for-each")
            && each.get("in").is_some_and(Value::is_array)
        {
            each.shift_remove("in");
        }
        let shown = Arc::new(self.redaction.map(&written));
        self.turns = Some((Arc::clone(step), Arc::clone(&shown)));
        shown
    }

    pub(super) fn shown(&self, value: &Value) -> Value {
        self.redaction.value(value)
    }
}
