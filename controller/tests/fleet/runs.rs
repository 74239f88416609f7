//! Experiments that a controller decides, with somebody at the other end who performs their steps.

mod judged;
mod lives;
mod lost;
mod paces;
mod secrets;

use controller::runs::{Execution, Line, Peer, Runs, RunsError};
use experiment::configuration;
use experiment::document::Notation;
use experiment::environment::Environment;
use experiment::journal::Host;
use experiment::line::{Asked, Kept, Order, Values};
use experiment::run::invocation::Invocation;
use experiment::run::{Beginning, Ending, Progress, Terms, Verdicts};
use experiment::timestamp::Timestamp;
use experiment::toolkit::{self, Manner};
use fault::{IntentId, Limits};
use proto::control as wire;
use proto::control::run_reply::Kind as Reply;
use proto::control::run_request::Kind as Request;
use serde_json::{Map, Value, json};

use crate::rig::{Fleet, soon, until};

/// The parts of a run in which its steps are performed, by the step that is asked for in each.
const PARTS: [(&str, wire::RunPhase); 4] = [
    ("look", wire::RunPhase::Before),
    ("work", wire::RunPhase::Method),
    ("look", wire::RunPhase::After),
    ("back", wire::RunPhase::Rollbacks),
];

/// A cut, and a step in each part of the run.
fn cut() -> Value {
    let step = |kind: &str, name: &str| json!({"type": kind, "name": name, "provider": {"type": "process", "path": name}});
    let mut look = step("probe", "look");
    look["tolerance"] = json!(0);
    json!({"title": "a cut", "description": "d",
        "steady-state-hypothesis": {"title": "well", "probes": [look]},
        "method": [
            {"type": "action", "name": "cut", "provider": {"type": "schism", "action": "cut",
                "arguments": {"from": "netns:a@a", "to": "netns:b@b", "for": "60s", "lease": "3s"},
                "as": "the-cut", "effect": "optional"}},
            step("action", "work")],
        "rollbacks": [step("action", "back")]})
}

fn secrets(text: &str) -> Map<String, Value> {
    let Value::Object(secrets) = json!({"group": {"key": text}}) else { panic!() };
    secrets
}

pub(crate) fn beginning(experiment: &Value, secrets: Map<String, Value>) -> Beginning {
    let reading = toolkit::read(&experiment.to_string(), Notation::Json, Manner::Strict);
    let experiment = reading.experiment.unwrap_or_else(|| panic!("{:?}", reading.problems));
    let (nothing, environment) = (Map::new(), Environment::default());
    let settings = configuration::load(&experiment.configuration, &nothing, &environment).unwrap();
    Beginning {
        experiment: experiment.into(),
        settings,
        secrets,
        identity: 7,
        terms: Terms::new(Verdicts::Strict),
        host: Host::default(),
        started: Timestamp::from_micros(0),
    }
}

pub(crate) fn begin(id: u64, beginning: &Beginning) -> wire::BeginRun {
    let asked = serde_json::to_vec(&Asked::of(beginning).unwrap()).unwrap();
    wire::BeginRun { id, asked: asked.into(), names: Vec::new() }
}

pub(crate) async fn runs(fleet: &Fleet, execution: Execution) -> Runs {
    let (control, archive) = (fleet.control.clone(), fleet.archive.clone());
    Runs::start(control, archive, Limits::default(), execution).await.unwrap()
}

/// Whoever has started a run, and performs for it.
pub(crate) struct Command {
    peer: Peer,
    /// All that was told but orders.
    told: Vec<Reply>,
}

impl Command {
    pub(crate) async fn begin(runs: &Runs, begin: wire::BeginRun) -> Result<Self, RunsError> {
        let (line, peer) = Line::new();
        let id = IntentId::from_random(begin.id);
        soon(runs.begin(id, begin, "ann", line)).await?;
        Ok(Self { peer, told: Vec::new() })
    }

    async fn cut(runs: &Runs, id: u64) -> Self {
        Self::begin(runs, begin(id, &beginning(&cut(), Map::new()))).await.unwrap()
    }

    async fn take_over(runs: &Runs, id: u64, values: &Values) -> Result<Self, RunsError> {
        let (line, peer) = Line::new();
        let values = serde_json::to_vec(values).unwrap();
        soon(runs.take_over(IntentId::from_random(id), &values, "bob", line)).await?;
        Ok(Self { peer, told: Vec::new() })
    }

    async fn reply(&mut self) -> Reply {
        soon(self.peer.replies.recv()).await.unwrap()
    }

    /// The next that is to be performed, and what it is called.
    async fn order(&mut self) -> (String, Order) {
        loop {
            let reply = self.reply().await;
            if let Reply::Order(order) = &reply {
                let order: Order = serde_json::from_slice(order).unwrap();
                let Order::Step { name, .. } = &order else { panic!("a hook") };
                return (name.clone(), order);
            }
            assert!(!matches!(reply, Reply::End(_)), "it has ended: {reply:?}");
            self.told.push(reply);
        }
    }

    async fn answer(&self, order: &Order) {
        let ending = Ending::Returned(json!({"status": 0, "stdout": "", "stderr": ""}));
        let ending = serde_json::to_vec(&ending).unwrap();
        let answer = wire::RunAnswer { call: order.call().number(), ending: ending.into() };
        self.peer.requests.send(Request::Answer(answer)).await.unwrap();
    }

    /// Performs steps until the one that a part of the run asks for, which is left unanswered.
    async fn until(&mut self, phase: wire::RunPhase) -> Order {
        for (expected, reached) in PARTS {
            let (name, order) = self.order().await;
            assert_eq!(name, expected);
            if reached == phase {
                return order;
            }
            self.answer(&order).await;
        }
        panic!("no step in {phase:?}");
    }

    /// Performs everything until the end.
    pub(crate) async fn finish(&mut self) -> wire::RunEnd {
        loop {
            let reply = self.reply().await;
            if let Reply::End(end) = reply {
                return end;
            }
            if let Reply::Order(order) = &reply {
                let order: Order = serde_json::from_slice(order).unwrap();
                self.answer(&order).await;
            }
            self.told.push(reply);
        }
    }
}

async fn run(fleet: &Fleet, id: u64) -> wire::Run {
    let runs = fleet.control.runs().await.unwrap();
    runs.into_iter().find(|run| run.id == id).unwrap()
}

async fn comes_to(fleet: &Fleet, id: u64, phase: wire::RunPhase) -> wire::Run {
    until(async || run(fleet, id).await.phase() == phase).await;
    run(fleet, id).await
}

fn owed(run: &wire::Run) -> Vec<&str> {
    run.owed.iter().map(|owed| owed.name.as_str()).collect()
}

pub(crate) async fn journal(fleet: &Fleet, id: u64) -> Value {
    let of = controller::archive::Of::Run;
    let text = fleet.archive.runs.read(IntentId::from_random(id), of).await.unwrap().unwrap();
    serde_json::from_slice(&text).unwrap()
}
