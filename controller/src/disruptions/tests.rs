//! Objects, what they ask for, and what they say in the end.

use clap::CommandFactory as _;
use cluster::Metadata;
use proto::control as wire;
use proto::control::removed_pod::Fate;
use serde_json::{Value, json};

use super::asked::asked;
use super::resource::{Deed, Kind, Object};
use super::status::{Phase, Status};
use super::{definitions, policies};
use crate::cli::Cli;
use crate::failure::{Cause, Failure};
use crate::objects::asked::field;
use crate::objects::status::Truth;

const UID: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";

/// 2023-11-14T22:13:20Z.
const NOW: u64 = 1_700_000_000_000_000_000;

fn object(spec: &Value) -> Object {
    let mut object: Object = serde_json::from_value(json!({ "spec": spec })).unwrap();
    object.metadata = Metadata {
        name: "one".to_owned(),
        namespace: Some("prod".to_owned()),
        uid: UID.to_owned(),
        generation: Some(1),
        ..Metadata::default()
    };
    object
}

#[test]
fn an_object_asks_for_what_a_command_would() {
    let table = [
        (
            Kind::Disruption,
            json!({ "restart": { "target": "one:sts/web", "grace": "3s" }, "seed": 7 }),
            "pod restart one:k8s:prod/sts/web",
        ),
        (
            Kind::Disruption,
            json!({ "terminate": { "target": "etcd:blue/leader", "allowQuorumLoss": true } }),
            "pod terminate etcd:prod/blue/leader",
        ),
        (
            Kind::Disruption,
            json!({ "evict": { "target": "50%:label:app=web", "for": "1m", "timeout": "2m" } }),
            "pod evict 50%:k8s:prod/label:app=web",
        ),
        (
            Kind::ClusterDisruption,
            json!({ "cordon": { "node": "n1", "for": "10m" } }),
            "node cordon n1",
        ),
        (
            Kind::ClusterDisruption,
            json!({ "drain": { "node": "n1", "grace": "0s", "timeout": "1m" } }),
            "node drain n1",
        ),
    ];
    for (kind, spec, expected) in table {
        let object = object(&spec);
        let found = asked(kind, &object).unwrap_or_else(|failure| panic!("{spec}: {failure}"));
        assert_eq!(found.to_string(), expected);
        // The same object again asks for the same.
        assert_eq!(asked(kind, &object).unwrap(), found);
    }
    let drawn = object(&json!({ "restart": { "target": "pod/a" } }));
    assert_eq!(asked(Kind::Disruption, &drawn).unwrap().seed, 0x7f3e_2a10_4b5c_4d6e);
}

#[test]
fn what_an_object_may_not_ask_for_is_a_sentence() {
    let table = [
        (Kind::Disruption, json!({}), "exactly one of restart, terminate and evict"),
        (
            Kind::Disruption,
            json!({ "restart": { "target": "pod/a" }, "evict": { "target": "pod/a" } }),
            "exactly one of restart",
        ),
        (Kind::Disruption, json!({ "drain": { "node": "n1" } }), "exactly one of restart"),
        (
            Kind::ClusterDisruption,
            json!({ "restart": { "target": "pod/a" } }),
            "exactly one of cordon and drain",
        ),
        (Kind::Disruption, json!({ "restart": {} }), "<TARGET>"),
        (Kind::Disruption, json!({ "restart": { "target": "pod/a/web" } }), "names no pods"),
        (Kind::Disruption, json!({ "evict": { "target": "svc/a" } }), "names no pods"),
        (
            Kind::Disruption,
            json!({ "restart": { "target": "k8s:other/pod/a" } }),
            "names no pods of namespace prod",
        ),
        (
            Kind::Disruption,
            json!({ "restart": { "target": "host:n1" } }),
            "names no pods of namespace prod",
        ),
        (Kind::Disruption, json!({ "terminate": { "target": "pod/a", "grace": "1s" } }), "grace"),
        (
            Kind::Disruption,
            json!({ "restart": { "target": "pod/a", "dryRun": true } }),
            "is for a command",
        ),
        (
            Kind::ClusterDisruption,
            json!({ "cordon": { "node": "n1", "detach": true } }),
            "is for a command",
        ),
        (Kind::ClusterDisruption, json!({ "cordon": { "node": "a b" } }), "a node's name"),
    ];
    for (kind, spec, said) in table {
        let why = asked(kind, &object(&spec)).unwrap_err();
        assert!(why.reason.contains(said), "{spec}: {}", why.reason);
    }
    let nonsense: Object = serde_json::from_value(json!({ "spec": { "restart": 7 } })).unwrap();
    assert!(asked(Kind::Disruption, &nonsense).is_err());
}

fn disruption(stage: wire::DisruptionStage, pods: Vec<wire::RemovedPod>) -> wire::Disruption {
    let of = object(&json!({ "restart": { "target": "pod/a" } }));
    wire::Disruption {
        id: of.id().unwrap().get(),
        spec: Some((&asked(Kind::Disruption, &of).unwrap()).into()),
        stage: stage.into(),
        asked: NOW,
        pods,
        object: Some(of.wire(Kind::Disruption)),
        ..wire::Disruption::default()
    }
}

fn pod(number: usize, fate: Fate, trouble: &str) -> wire::RemovedPod {
    wire::RemovedPod {
        pod: format!("prod/web-{number}"),
        fate: fate.into(),
        trouble: trouble.to_owned(),
        ..wire::RemovedPod::default()
    }
}

#[test]
fn a_status_says_what_became_of_it_and_what_a_command_comes_to() {
    use wire::DisruptionStage::{Done, Failed, Idle, Standing, UnderWay};
    let of = object(&json!({ "restart": { "target": "pod/a" } }));
    let pods = || vec![pod(0, Fate::Replaced, ""), pod(1, Fate::Going, "")];
    let table = [
        (disruption(UnderWay, pods()), Phase::UnderWay, None, "1/2"),
        (disruption(Done, vec![pod(0, Fate::Gone, "")]), Phase::Done, Some(0), "1/1"),
        (disruption(Standing, Vec::new()), Phase::Standing, None, ""),
        (disruption(Idle, Vec::new()), Phase::Idle, Some(3), ""),
        (disruption(Failed, vec![pod(0, Fate::Going, "late")]), Phase::Failed, Some(1), "0/1"),
        (
            wire::Disruption { refused: true, ..disruption(Failed, Vec::new()) },
            Phase::Failed,
            Some(4),
            "",
        ),
    ];
    for (one, phase, code, went) in table {
        let status = Status::told(&of, &one, NOW);
        assert_eq!((status.phase, status.exit_code), (phase, code), "{one:?}");
        assert_eq!(
            (status.went.as_str(), status.what.as_str()),
            (went, "pod restart k8s:prod/pod/a")
        );
        assert_eq!(status.started_at.as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(status.disruption, "a1b2c3d4e5f6");
        let holds = |name: &str| status.conditions.iter().find(|one| one.name == name).unwrap();
        assert_eq!(holds("Complete").status == Truth::True, phase.is_final(), "{one:?}");
        assert_eq!(holds("Standing").status == Truth::True, phase == Phase::Standing);
        assert_eq!(holds("Succeeded").status == Truth::True, code == Some(0));
    }
    let refusal = Failure::caused(Cause::Refused, "cannot", "a guard").hint("ask somebody");
    let status = Status::refused(&of, &refusal, NOW);
    assert_eq!((status.phase, status.exit_code), (Phase::Refused, Some(4)));
    assert_eq!(status.message, "a guard; ask somebody");
}

#[test]
fn a_thousand_pods_are_no_record_of_a_thousand_and_those_in_trouble_come_first() {
    let of = object(&json!({ "restart": { "target": "pod/a" } }));
    let mut pods: Vec<wire::RemovedPod> =
        (0..1000).map(|number| pod(number, Fate::Gone, "")).collect();
    pods[999] = pod(999, Fate::Refused, "a budget");
    let status = Status::told(&of, &disruption(wire::DisruptionStage::Failed, pods), NOW);
    assert_eq!((status.pods.len(), status.went.as_str()), (32, "999/1000"));
    assert_eq!(status.pods[0].trouble, "a budget");
    let length = serde_json::to_string(&status).unwrap().len();
    assert!(length < 8192, "{length}");
}

#[test]
fn what_goes_on_pod_by_pod_is_not_worth_a_write_at_once() {
    use wire::DisruptionStage::{Done, UnderWay};
    let of = object(&json!({ "restart": { "target": "pod/a" } }));
    let status = |stage, fate| Status::told(&of, &disruption(stage, vec![pod(0, fate, "")]), NOW);
    let first = status(UnderWay, Fate::Pending);
    assert_eq!(first.settled(), status(UnderWay, Fate::Going).settled());
    assert_ne!(first.settled(), status(Done, Fate::Going).settled());
}

#[test]
fn definitions_have_the_words_of_the_command_line_and_keep_what_is_said() {
    for (kind, definition) in Kind::ALL.into_iter().zip(definitions()) {
        assert_eq!(definition["spec"]["names"]["kind"], kind.word());
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        let spec = &schema["spec"]["properties"];
        for deed in Deed::ALL.into_iter().filter(|deed| deed.kind() == kind) {
            let all = Cli::command();
            let command = all.find_subcommand(deed.behind().name()).unwrap();
            let command = command.find_subcommand(deed.word()).unwrap();
            let mut known: Vec<String> = command
                .get_arguments()
                .map(|arg| arg.get_long().unwrap_or(arg.get_id().as_str()).to_owned())
                .filter(|name| {
                    !["dry-run", "detach", "namespace", "seed", "help"].contains(&name.as_str())
                })
                .map(|name| field(&name))
                .collect();
            known.sort_unstable();
            let fields = spec[deed.word()]["properties"].as_object().unwrap();
            let mut fields: Vec<String> = fields.keys().cloned().collect();
            fields.sort_unstable();
            assert_eq!(fields, known, "{}", deed.word());
        }
        let of = object(&json!({ "restart": { "target": "pod/a" } }));
        let one = disruption(wire::DisruptionStage::Failed, vec![pod(0, Fate::Failed, "no")]);
        let one = wire::Disruption { deadline: NOW, ended: NOW, reason: "no".to_owned(), ..one };
        let said = serde_json::to_value(Status::told(&of, &one, NOW)).unwrap();
        let kept = schema["status"]["properties"].as_object().unwrap();
        for key in said.as_object().unwrap().keys() {
            assert!(kept.contains_key(key), "{key}");
        }
    }
}

#[test]
fn a_verb_of_its_own_decides_whoever_writes_an_object() {
    let policies = policies();
    let text = |name: &str| {
        let is_it = |one: &&Value| {
            one["kind"] == "ValidatingAdmissionPolicy"
                && one["metadata"]["name"] == format!("{name}.schism.dev")
        };
        policies.iter().find(is_it).unwrap()["spec"]["validations"].to_string()
    };
    let of_pods = text("disruptions");
    for part in ["schism.dev/faults", "resource('pods')", "check('disrupt')", "requestedBy"] {
        assert!(of_pods.contains(part), "{part}: {of_pods}");
    }
    let of_nodes = text("clusterdisruptions");
    for part in ["resource('nodes').check('disrupt')", "!has(object.spec.drain)", "requestedBy"] {
        assert!(of_nodes.contains(part), "{part}: {of_nodes}");
    }
    assert!(text("unchanged-disruptions").contains("cannot be changed"));
}
