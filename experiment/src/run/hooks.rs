//! Hooks of one side of one part, one after the other.

use std::collections::VecDeque;

use serde_json::Value;

use super::action::{Action, Hook, Level};
use super::event::{CallId, Ending};
use super::shared::Shared;
use crate::model::{Automatic, Control, ControlUse, Side};

/// Hooks that are being performed.
#[derive(Clone, Debug)]
pub(super) struct Hooks {
    level: Level,
    side: Side,
    context: Value,
    state: Value,
    left: VecDeque<Control>,
    waiting: Option<CallId>,
}

/// What came of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Heard {
    /// It was not for these hooks.
    NotMine,
    /// There are more.
    GoesOn,
    /// All were performed.
    Over,
    /// One wants the run to end.
    Interrupts(String),
}

impl Hooks {
    /// The hooks of one side of a part. What has none is over at once.
    pub(super) fn new(
        shared: &Shared,
        level: Level,
        side: Side,
        own: &[ControlUse],
        context: impl FnOnce() -> Value,
        state: impl FnOnce() -> Value,
    ) -> Self {
        let all = merged(&shared.terms.controls, &shared.experiment.controls, level, own);
        let left: VecDeque<Control> =
            all.into_iter().filter(|control| control.side.is_none_or(|own| own == side)).collect();
        // Most parts have no hooks, and need not be written out for any.
        let (context, state) =
            if left.is_empty() { (Value::Null, Value::Null) } else { (context(), state()) };
        let context = shared.redaction.value(&context);
        Self { level, side, context, state, left, waiting: None }
    }

    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_none() && self.left.is_empty()
    }

    /// Asks for the next one; whether there was none.
    pub(super) fn advance(&mut self, shared: &mut Shared) -> bool {
        if self.waiting.is_some() {
            return false;
        }
        let Some(control) = self.left.pop_front() else { return true };
        let call = shared.call();
        self.waiting = Some(call);
        let hook = Hook {
            call,
            name: control.name,
            provider: control.provider,
            level: self.level,
            side: self.side,
            context: self.context.clone(),
            state: self.state.clone(),
        };
        shared.ask(Action::Control(Box::new(hook)));
        false
    }

    /// A hook that fails is no reason for anything, as in the original.
    pub(super) fn finished(&mut self, call: CallId, ending: &Ending, shared: &mut Shared) -> Heard {
        if self.waiting != Some(call) {
            return Heard::NotMine;
        }
        self.waiting = None;
        if let Ending::Interrupted(reason) = ending {
            self.left.clear();
            return Heard::Interrupts(reason.clone());
        }
        if self.advance(shared) { Heard::Over } else { Heard::GoesOn }
    }

    pub(super) fn abort(&mut self, shared: &mut Shared) {
        self.left.clear();
        if let Some(call) = self.waiting.take() {
            shared.ask(Action::Abort(call));
        }
    }
}

/// Which hooks a part has, by the rules of the original: its own and the command's, with the automatic ones of
/// the experiment before them; where it only names hooks, these alone.
fn merged(
    global: &[Control],
    declared: &[Control],
    level: Level,
    own: &[ControlUse],
) -> Vec<Control> {
    let automatic =
        || declared.iter().filter(|control| control.automatic == Automatic::Everywhere).cloned();
    match level {
        Level::Experiment => return global.iter().chain(declared).cloned().collect(),
        Level::Method | Level::Rollback if !declared.is_empty() => return automatic().collect(),
        Level::Method | Level::Rollback | Level::Hypothesis | Level::Activity => (),
    }
    let mut all: Vec<Control> = global.to_vec();
    let mut named = Vec::new();
    for control in own {
        match control {
            ControlUse::Own(control) => all.push(control.clone()),
            ControlUse::Named(name) => {
                named.extend(declared.iter().find(|control| control.name == *name).cloned());
            }
        }
    }
    if all.is_empty() && own.is_empty() {
        return automatic().collect();
    }
    if !all.is_empty() {
        let names: Vec<String> = all.iter().map(|control| control.name.clone()).collect();
        let before: Vec<Control> =
            automatic().filter(|control| !names.contains(&control.name)).collect();
        all.splice(0..0, before);
    }
    all.extend(named);
    all
}
