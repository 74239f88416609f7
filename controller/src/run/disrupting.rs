//! Steps that have pods go, or none come to a node: what `schism pod` and `schism node` do, performed by the controller
//! that decides the run.

use experiment::model::{Dry, Experiment, Provider, Verb};
use fault::NodeName;
use serde_json::{Map, Value};

use super::faults::{Form, Wrong, is_template};
use super::zeebe::{self, Behind};
use crate::cli::{Command, NodeCommand};
use crate::disruption::Disruption;
use crate::failure::Failure;
use crate::fleet::disruption;
use crate::outcome::Outcome;
use crate::settings::Names;

/// What is said where nobody could do it.
pub(super) const NO_CONTROLLER: &str = "pods and nodes are for a controller of a Kubernetes cluster, and none decides \
                                        this run: --controller names one";

/// What is said where faults are objects.
const NO_OBJECT: &str = "a run whose faults are objects has no such step: a step of type process does it, with the path \
                         `kubectl-schism` and arguments such as [pod, restart, sts/zeebe/1]";

/// What is for a command, and not for a step.
const COMMANDS_ONLY: [&str; 2] = ["detach", "dry-run"];

/// What a step is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This is begun, and waited for until it stands or is over.
    Disrupt(Disruption),
    /// What keeps pods from a node is undone.
    Uncordon(NodeName),
}

/// What is wrong with the arguments of a step. What values are put into is known only when it is performed.
pub(super) fn check(
    behind: Behind,
    given: &Map<String, Value>,
    (names, form): (&Names, &Form),
) -> Vec<Wrong> {
    match form {
        Form::Object { .. } => return vec![Wrong::Value(None, NO_OBJECT.to_owned())],
        Form::Command => {}
    }
    let mut wrong = zeebe::check(behind, given);
    wrong.extend(of_commands(given).map(|key| Wrong::Value(Some(key.clone()), for_commands(key))));
    if wrong.is_empty() && !given.values().any(is_template) {
        wrong.extend(step(behind, given, names).err().map(|why| Wrong::Value(None, why)));
    }
    wrong
}

/// Makes sure that a run which no controller decides asks for nothing that only one does. `dry` is what is rehearsed of
/// steps that say nothing about that.
///
/// # Errors
/// A step does.
pub(super) fn without_controller(
    file: &str,
    experiment: &Experiment,
    dry: Option<Dry>,
) -> Result<(), Failure> {
    // Neither is a probe.
    let mut steps = experiment.method.iter().chain(&experiment.rollbacks);
    let theirs = steps.find(|step| {
        let is_theirs = match &step.provider {
            Provider::Schism(call) => matches!(call.verb, Verb::Pod | Verb::Node),
            Provider::Process(_) | Provider::Http(_) | Provider::Python(_) => false,
        };
        is_theirs && step.dry.or(dry).is_none_or(|dry| !dry.skips(step.kind))
    });
    let Some(step) = theirs else { return Ok(()) };
    let reason = format!("step `{}`: {NO_CONTROLLER}", step.name);
    Err(Failure::new(Outcome::WrongUsage, format!("cannot run {file}"), reason))
}

/// What a step is to do, checked as the command line checks it.
///
/// # Errors
/// It makes no sense.
pub(crate) fn step(
    behind: Behind,
    given: &Map<String, Value>,
    names: &Names,
) -> Result<Step, String> {
    if let Some(key) = of_commands(given).next() {
        return Err(for_commands(key));
    }
    let (_, command) = zeebe::typed(behind, given)?;
    if let Command::Pod(args) = &command {
        let asked = disruption::removal(&args.command, names);
        return asked.map(|(_, asked)| Step::Disrupt(asked)).map_err(|failure| failure.reason);
    }
    let Command::Node(args) = &command else {
        return Err(format!("{} was expected here", behind.wanted()));
    };
    Ok(match &args.command {
        NodeCommand::Uncordon(args) => Step::Uncordon(args.node.clone()),
        NodeCommand::Cordon(args) => Step::Disrupt(disruption::cordon(args)),
        NodeCommand::Drain(args) => Step::Disrupt(disruption::drain(args)),
    })
}

fn of_commands(given: &Map<String, Value>) -> impl Iterator<Item = &String> {
    given.keys().filter(|key| COMMANDS_ONLY.contains(&key.replace('_', "-").as_str()))
}

fn for_commands(key: &str) -> String {
    format!("`{}` is for a command, not for a step", key.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(behind: Behind, given: Value) -> Result<String, String> {
        let given = given.as_object().unwrap();
        let step = step(behind, given, &Names::default());
        let wrong = check(behind, given, (&Names::default(), &Form::Command));
        assert_eq!(wrong.is_empty(), step.is_ok(), "{given:?}: {wrong:?}");
        step.map(|step| match step {
            Step::Disrupt(asked) => format!("{asked}, seed {}", asked.seed),
            Step::Uncordon(node) => format!("uncordon {node}"),
        })
    }

    #[test]
    fn steps_are_typed_like_commands() {
        let restart = json!({"command": "restart", "target": "one:k8s:prod/label:app=web", "seed": 7, "timeout": "1m"});
        let said = "pod restart one:k8s:prod/label:app=web, seed 7";
        assert_eq!(of(Behind::Pod, restart).unwrap(), said);
        let drain = json!({"command": ["drain"], "node": "n1", "for": "5m", "grace": "3s"});
        assert_eq!(of(Behind::Node, drain).unwrap(), "node drain n1, seed 0");
        let uncordon = json!({"command": "uncordon", "node": "n1"});
        assert_eq!(of(Behind::Node, uncordon).unwrap(), "uncordon n1");
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
        let table = [
            (Behind::Pod, json!({}), "`command` is missing: the word behind `schism pod`"),
            (Behind::Pod, json!({"command": "dance"}), "one of restart, terminate, evict"),
            (Behind::Pod, json!({"command": "restart"}), "<TARGET>"),
            (Behind::Pod, json!({"command": "evict", "target": "pid:7"}), "names no pods"),
            (Behind::Pod, json!({"command": "evict", "target": "x"}), "gives no such name"),
            (
                Behind::Pod,
                json!({"command": "evict", "target": "k8s:a/pod/b", "dry_run": true}),
                "is for a command",
            ),
            (Behind::Node, json!({"command": "cordon", "node": "a b"}), "a node's name"),
            (
                Behind::Node,
                json!({"command": "drain", "node": "a", "detach": true}),
                "is for a command",
            ),
            (
                Behind::Node,
                json!({"command": "drain", "node": "a", "fro": "1m"}),
                "nobody reads it",
            ),
        ];
        for (behind, given, expected) in table {
            let why = of(behind, given.clone()).unwrap_err();
            assert!(why.contains(expected), "{given}: {why}");
        }
        let template = json!({"command": "evict", "target": "${pod}"});
        let names = Names::default();
        let wrong = |form| check(Behind::Pod, template.as_object().unwrap(), (&names, form));
        assert_eq!(wrong(&Form::Command), []);
        let object = Form::Object { namespace: "camunda".to_owned() };
        assert_eq!(wrong(&object), [Wrong::Value(None, NO_OBJECT.to_owned())]);
    }
}
