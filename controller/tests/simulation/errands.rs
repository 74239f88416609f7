//! Experiments in the simulated world: who starts them, who performs their steps, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use controller::runs::{Line, Runs};
use experiment::configuration;
use experiment::document::Notation;
use experiment::environment::Environment;
use experiment::journal::Host;
use experiment::line::{Asked, Order, Values};
use experiment::run::{Beginning, Ending, Terms, Verdicts};
use experiment::timestamp::Timestamp;
use experiment::toolkit::{self, Manner};
use fault::IntentId;
use proto::control as wire;
use proto::control::run_reply::Kind as Reply;
use proto::control::run_request::Kind as Request;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};

use crate::dice::Dice;

/// What is heard of whoever performs steps.
pub(crate) enum Tidings {
    /// Whether a run was begun, or taken over.
    Begun(IntentId, Result<(), String>),
    /// A step was performed, and is about to be answered.
    Performed(IntentId, u64, String),
    /// It goes on no further.
    Gone(IntentId, How),
}

/// How somebody came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// With the run.
    Ended,
    /// Nothing is heard of it any more.
    Lost,
}

/// A run as those know it who asked for it.
pub(crate) struct Course {
    /// The rollbacks that somebody outside performs.
    pub(crate) rollbacks: Vec<String>,
    /// Somebody was told that it was begun.
    pub(crate) acknowledged: bool,
    /// Anything of its method was performed.
    worked: bool,
    /// Which rollbacks were performed, and under whom.
    performed: BTreeSet<(String, u64)>,
    /// Rollbacks that the store says were attempted.
    settled: BTreeSet<String>,
}

/// All runs of a history.
#[derive(Default)]
pub(crate) struct Courses {
    pub(crate) all: BTreeMap<IntentId, Course>,
    drives: u64,
}

impl Courses {
    pub(crate) fn add(&mut self, id: IntentId, rollbacks: Vec<String>) {
        let course = Course {
            rollbacks,
            acknowledged: false,
            worked: false,
            performed: BTreeSet::new(),
            settled: BTreeSet::new(),
        };
        self.all.insert(id, course);
    }

    /// A number for whoever starts a run or takes it over.
    pub(crate) fn drive(&mut self) -> u64 {
        self.drives += 1;
        self.drives
    }

    /// A step was performed. What is wrong with that.
    pub(crate) fn performed(&mut self, id: IntentId, drive: u64, step: &str) -> Option<String> {
        let course = self.all.get_mut(&id)?;
        if !course.rollbacks.iter().any(|name| name == step) {
            course.worked = true;
            return None;
        }
        if course.settled.contains(step) {
            return Some(format!("{id}: {step} was attempted, as stored, and is played again"));
        }
        let is_first = course.performed.insert((step.to_owned(), drive));
        (!is_first).then(|| format!("{id}: {step} is played twice under one command"))
    }

    /// What the store has of a run. What is wrong with that.
    pub(crate) fn stored(&mut self, run: &wire::Run) -> Option<String> {
        let course = self.all.get_mut(&IntentId::from_random(run.id))?;
        let is_out = matches!(
            run.phase(),
            wire::RunPhase::Rollbacks | wire::RunPhase::Owed | wire::RunPhase::Ended
        );
        if !is_out {
            return None;
        }
        let mut lost = None;
        for name in &course.rollbacks {
            let owed = run.owed.iter().any(|owed| owed.name == *name);
            let attempted = course.performed.iter().any(|(step, _)| step == name);
            if !owed && attempted {
                course.settled.insert(name.clone());
            }
            let touched = course.worked || !run.faults.is_empty();
            if !owed && !attempted && touched {
                lost = Some(format!("{name} is neither owed nor was it attempted: {run:?}"));
            }
            if owed && course.settled.contains(name) {
                lost = Some(format!("{name} was attempted, as stored, and is owed again"));
            }
        }
        lost
    }
}

/// What an errand begins with.
pub(crate) enum First {
    Begin(Box<wire::BeginRun>),
    TakeOver,
}

/// Somebody who starts a run or takes one over, and performs its steps.
pub(crate) struct Errand {
    pub(crate) id: IntentId,
    pub(crate) drive: u64,
    pub(crate) dice: Dice,
    pub(crate) tell: mpsc::UnboundedSender<Tidings>,
    /// How long it lives, if something happens to it.
    pub(crate) life: Option<Duration>,
}

impl Errand {
    pub(crate) async fn go(self, runs: Runs, first: First, mut death: watch::Receiver<bool>) {
        let (line, mut peer) = Line::new();
        let (id, asker) = (self.id, "a simulation");
        let values = serde_json::to_vec(&Values::default()).unwrap();
        let begun = async {
            let begun = match first {
                First::Begin(begin) => runs.begin(id, *begin, asker, line).await,
                First::TakeOver => runs.take_over(id, &values, asker, line).await,
            };
            begun.map_err(|error| error.to_string())
        };
        let begun = tokio::select! {
            biased;
            _ = death.wait_for(|dead| *dead) => None,
            begun = begun => Some(begun),
        };
        let goes_on = matches!(begun, Some(Ok(())));
        if let Some(begun) = begun {
            self.say(Tidings::Begun(id, begun));
        }
        let how = if goes_on { self.follow(&mut peer, death).await } else { How::Lost };
        self.say(Tidings::Gone(id, how));
    }

    fn say(&self, tidings: Tidings) {
        // The history may have ended.
        let _ = self.tell.send(tidings);
    }

    async fn follow(
        &self,
        peer: &mut controller::runs::Peer,
        mut death: watch::Receiver<bool>,
    ) -> How {
        let ever = Duration::from_secs(100_000);
        let end = tokio::time::sleep(self.life.unwrap_or(ever));
        tokio::pin!(end);
        loop {
            let reply = tokio::select! {
                biased;
                _ = death.wait_for(|dead| *dead) => return How::Lost,
                () = &mut end => return How::Lost,
                reply = peer.replies.recv() => reply,
            };
            let order = match reply {
                None => return How::Lost,
                Some(Reply::End(_)) => return How::Ended,
                Some(Reply::Order(order)) => order,
                Some(_) => continue,
            };
            let order: Order = serde_json::from_slice(&order).unwrap();
            let Order::Step { name, .. } = &order else { panic!("a hook") };
            tokio::select! {
                biased;
                _ = death.wait_for(|dead| *dead) => return How::Lost,
                () = &mut end => return How::Lost,
                () = tokio::time::sleep(self.dice.millis(0, 4_000)) => (),
            }
            let ending = match self.dice.below(8) {
                0 => Ending::Failed("a simulation".to_owned()),
                _ => Ending::Returned(json!({"status": 0, "stdout": "", "stderr": ""})),
            };
            self.say(Tidings::Performed(self.id, self.drive, name.clone()));
            let ending = serde_json::to_vec(&ending).unwrap();
            let answer = wire::RunAnswer { call: order.call().number(), ending: ending.into() };
            // Nobody may be there any more.
            let _ = peer.requests.send(Request::Answer(answer)).await;
        }
    }
}

/// An experiment: a fault, steps, and rollbacks, some of which a controller plays itself.
pub(crate) fn experiment(dice: &Dice, cut: &Value) -> (Value, Vec<String>) {
    let step =
        |name: &str, provider: Value| json!({"type": "action", "name": name, "provider": provider});
    let program = |name: &str| step(name, json!({"type": "process", "path": name}));
    let heal = || {
        let provider = json!({"type": "schism", "action": "heal", "arguments": {"fault": "c"}});
        let mut heal = step("heal", provider);
        heal["may-fail"] = json!(true);
        heal
    };
    let fault = json!({"type": "schism", "action": "cut", "as": "c", "effect": "optional",
        "arguments": cut});
    let mut method = vec![step("cut", fault)];
    for number in 0..dice.below(3) {
        method.push(program(&format!("work-{number}")));
    }
    if dice.happens(30) {
        method.push(heal());
    }
    let (mut rollbacks, mut names) = (Vec::new(), Vec::new());
    for number in 0..1 + dice.below(4) {
        if dice.happens(30) {
            rollbacks.push(heal());
        } else {
            let name = format!("back-{number}");
            rollbacks.push(program(&name));
            names.push(name);
        }
    }
    let whole = json!({"title": "t", "description": "d", "method": method, "rollbacks": rollbacks});
    (whole, names)
}

/// What asks for it.
pub(crate) fn begin(id: IntentId, experiment: &Value) -> wire::BeginRun {
    let reading = toolkit::read(&experiment.to_string(), Notation::Json, Manner::Strict);
    let experiment = reading.experiment.unwrap_or_else(|| panic!("{:?}", reading.problems));
    let (nothing, environment) = (Map::new(), Environment::default());
    let settings = configuration::load(&experiment.configuration, &nothing, &environment).unwrap();
    let beginning = Beginning {
        experiment: experiment.into(),
        settings,
        secrets: Map::new(),
        identity: 0,
        terms: Terms::new(Verdicts::Strict),
        host: Host::default(),
        started: Timestamp::from_micros(0),
    };
    let asked = serde_json::to_vec(&Asked::of(&beginning).unwrap()).unwrap();
    wire::BeginRun { id: id.get(), asked: asked.into(), names: Vec::new() }
}
