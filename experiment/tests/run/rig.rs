//! Whoever performs what a run asks for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use experiment::configuration::{self};
use experiment::document::Notation;
use experiment::environment::Environment;
use experiment::journal::{self, Host, Owed};
use experiment::model::Experiment;
use experiment::run::{
    Action, Beginning, CallId, Effect, Ending, Event, HadEffect, Healing, Hook, Interruption,
    Moment, Perform, Progress, Run, Terms, Verdict,
};
use experiment::timestamp::Timestamp;
use experiment::toolkit::{self, Manner};
use serde_json::{Map, Value, json};

/// How long what is asked for takes, and how it ends.
pub(crate) type Answer = (Duration, Ending);

pub(crate) struct Rig {
    pub(crate) run: Run,
    pub(crate) now: Moment,
    pub(crate) performed: Vec<String>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) aborted: BTreeSet<CallId>,
    /// Steps that wanted the run to end, by their names.
    pub(crate) asking: BTreeSet<String>,
    names: BTreeMap<CallId, String>,
    /// Faults that stand.
    pub(crate) standing: BTreeSet<String>,
    pub(crate) healed: Vec<String>,
    pub(crate) told: Vec<Progress>,
    pub(crate) records: usize,
    /// The journal by what was told to have changed.
    written: Map<String, Value>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) effect: HadEffect,
    /// How heals are answered, if not with that.
    pub(crate) heal_ends: Option<Healing>,
    /// How the first hooks end.
    pub(crate) hook_endings: VecDeque<Ending>,
    due: BTreeMap<(Moment, u64), Event>,
    faults: BTreeMap<CallId, String>,
    healing: BTreeMap<CallId, String>,
    wake: Option<Moment>,
    count: u64,
}

pub(crate) fn read(value: &Value) -> Arc<Experiment> {
    let reading = toolkit::read(&value.to_string(), Notation::Json, Manner::Compat);
    Arc::new(reading.experiment.unwrap_or_else(|| panic!("{:?}", reading.problems)))
}

pub(crate) fn beginning(experiment: Arc<Experiment>, terms: Terms, secrets: Value) -> Beginning {
    let settings =
        configuration::load(&experiment.configuration, &Map::new(), &Environment::default());
    Beginning {
        settings: settings.unwrap(),
        experiment,
        secrets: secrets.as_object().unwrap().clone(),
        terms,
        identity: 7,
        host: Host {
            version: "1.45.1".into(),
            platform: "p".into(),
            node: "n".into(),
            faults: "here".into(),
            run: None,
        },
        started: Timestamp::from_micros(0),
    }
}

impl Rig {
    pub(crate) fn new(value: &Value, terms: Terms) -> Self {
        Self::with(Run::new(beginning(read(value), terms, json!({}))))
    }

    /// Who finishes what a run owes.
    pub(crate) fn resuming(value: &Value, terms: Terms, owed: &Owed) -> Self {
        Self::with(Run::resume(beginning(read(value), terms, json!({})), owed))
    }

    pub(crate) fn with(run: Run) -> Self {
        Self {
            run,
            now: Moment::ZERO,
            performed: Vec::new(),
            hooks: Vec::new(),
            aborted: BTreeSet::new(),
            asking: BTreeSet::new(),
            names: BTreeMap::new(),
            standing: BTreeSet::new(),
            healed: Vec::new(),
            told: Vec::new(),
            records: 0,
            written: Map::new(),
            verdict: None,
            effect: HadEffect::Yes,
            heal_ends: None,
            hook_endings: VecDeque::new(),
            due: BTreeMap::new(),
            faults: BTreeMap::new(),
            healing: BTreeMap::new(),
            wake: None,
            count: 0,
        }
    }

    /// Something happens at a time.
    pub(crate) fn at(&mut self, at: Moment, event: Event) {
        self.count += 1;
        self.due.insert((at, self.count), event);
    }

    pub(crate) fn interrupt(&mut self, millis: u64, by: Interruption) {
        self.at(Duration::from_millis(millis), Event::Interrupt(by));
    }

    /// Plays the whole run.
    pub(crate) fn play(&mut self, mut answer: impl FnMut(&Perform) -> Answer) -> Verdict {
        let actions = self.run.begin(self.now);
        self.take(actions, &mut answer);
        for _ in 0..20_000 {
            if let Some(verdict) = &self.verdict {
                return verdict.clone();
            }
            self.step(&mut answer);
        }
        panic!("the run does not end: {:?}", self.performed);
    }

    /// The next thing that happens.
    pub(crate) fn step(&mut self, answer: &mut impl FnMut(&Perform) -> Answer) {
        let due = self.due.first_key_value().map(|((at, _), _)| *at);
        let event = match (due, self.wake) {
            (Some(due), wake) if wake.is_none_or(|wake| due <= wake) => {
                self.now = self.now.max(due);
                self.due.pop_first().map(|(_, event)| event).unwrap()
            }
            (_, Some(wake)) => {
                self.now = self.now.max(wake);
                self.wake = None;
                Event::Tick
            }
            (_, None) => panic!("nothing happens any more: {:?}", self.run),
        };
        if let Event::Finished(call, ending) = &event {
            if let Some(fault) = self.faults.get(call)
                && matches!(ending, Ending::Returned(_))
                && !(self.aborted.contains(call) && self.healed.contains(fault))
            {
                self.standing.insert(fault.clone());
            }
            if self.aborted.contains(call) {
                return;
            }
            if let (Ending::Interrupted(_), Some(name)) = (ending, self.names.get(call)) {
                self.asking.insert(name.clone());
            }
        }
        if let Event::Healed(call, _) = &event {
            // What was on its way in is out too.
            let label = self.healing.remove(call);
            if let Some(label) = label {
                self.standing.remove(&label);
            }
        }
        let actions = self.run.on(event, self.now);
        self.take(actions, answer);
    }

    pub(crate) fn take_all(
        &mut self,
        actions: Vec<Action>,
        answer: &mut impl FnMut(&Perform) -> Answer,
    ) {
        self.take(actions, answer);
    }

    fn take(&mut self, actions: Vec<Action>, answer: &mut impl FnMut(&Perform) -> Answer) {
        for action in actions {
            assert!(self.verdict.is_none(), "something follows the end: {action:?}");
            match action {
                Action::Perform(perform) => {
                    self.performed.push(perform.name.clone());
                    self.names.insert(perform.call, perform.name.clone());
                    let (time, ending) = answer(&perform);
                    if let Some(fault) = &perform.fault {
                        self.faults.insert(perform.call, fault.label.to_string());
                    }
                    self.at(self.now + time, Event::Finished(perform.call, ending));
                }
                Action::Control(hook) => {
                    let ending = self.hook_endings.pop_front();
                    let ending = ending.unwrap_or(Ending::Returned(Value::Null));
                    self.at(self.now, Event::Finished(hook.call, ending));
                    self.hooks.push(*hook);
                }
                Action::Abort(call) => {
                    self.aborted.insert(call);
                }
                Action::Heal(call, fault) => {
                    let label = fault.label;
                    self.healed.push(label.to_string());
                    let had = if self.standing.contains(label.as_str()) {
                        self.effect
                    } else {
                        HadEffect::Unknown
                    };
                    let figures = json!({"lost": 3}).as_object().unwrap().clone();
                    let usual = Healing::Out(Effect { had, figures });
                    let healing = self.heal_ends.clone().unwrap_or(usual);
                    self.healing.insert(call, label.to_string());
                    self.at(self.now + Duration::from_millis(5), Event::Healed(call, healing));
                }
                Action::Record => self.record(),
                Action::Tell(progress) => self.told.push(progress),
                Action::Wake(at) => self.wake = Some(at),
                Action::End(verdict) => self.verdict = Some(*verdict),
            }
        }
    }

    /// Writes it whole at first, and then what has changed.
    fn record(&mut self) {
        self.records += 1;
        let changes = serde_json::to_value(self.run.changes(self.now)).unwrap();
        if self.written.is_empty() {
            self.written = self.journal().as_object().unwrap().clone();
        } else {
            journal::apply(&mut self.written, changes.as_object().unwrap().clone());
        }
    }

    /// The journal, put together from what has changed.
    pub(crate) fn changed(&self) -> Value {
        Value::Object(self.written.clone())
    }

    pub(crate) fn journal(&self) -> Value {
        serde_json::to_value(self.run.journal(self.now)).unwrap()
    }

    /// Names and statuses of a section of the journal.
    pub(crate) fn items(&self, section: &str) -> Vec<String> {
        let journal = self.journal();
        let items = journal[section].as_array().unwrap();
        let shown = |item: &Value| {
            let status = item.get("status").and_then(Value::as_str).unwrap_or("-");
            format!("{} {status}", item["activity"]["name"].as_str().unwrap())
        };
        items.iter().map(shown).collect()
    }
}

pub(crate) fn returned(value: Value) -> Answer {
    (Duration::ZERO, Ending::Returned(value))
}
