//! Objects, what they ask for, what is done about them, and what they say in the end.

use std::time::Duration;

use cluster::{Metadata, NamespaceObject};
use fault::State;
use proto::control as wire;
use serde_json::{Value, json};

use super::asked::{self, asked, field, typed};
use super::consent::{ALLOWED, Consent, LABEL, Withheld};
use super::decision::step;
use super::resource::{COUNT, Kind, Object};
use super::status::{Phase, Status, Truth};
use super::{definitions, mention, policies};
use crate::cut::specimen;
use crate::failure::{Cause, Failure};
use crate::keeping::FINALIZER;
use crate::keeping::decision::{Attempt, Ending, Said as _, Standing, Step};
use crate::link::nanos;
use crate::spec;

const UID: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";

/// 2023-11-14T22:13:20Z.
const NOW: u64 = 1_700_000_000_000_000_000;

fn second(number: u64) -> u64 {
    nanos(Duration::from_secs(number))
}

fn object(spec: Value) -> Object {
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

fn cut() -> Object {
    object(json!({ "cut": { "from": "pod/a", "to": "pod/b", "bothWays": true }, "for": "30s" }))
}

fn intent(stage: wire::Stage, states: &[State]) -> wire::Intent {
    let part = |(number, state): (usize, &State)| {
        let status = specimen::status(u16::try_from(number).unwrap(), *state, 10, 4);
        wire::Part {
            part: u32::try_from(number).unwrap(),
            node: format!("n{number}"),
            fault: Some((&status.fault).into()),
            status: Some(status.into()),
            ..wire::Part::default()
        }
    };
    let cut = cut();
    wire::Intent {
        id: cut.id().unwrap().get(),
        spec: Some(asked(Kind::Fault, &cut).unwrap()),
        stage: stage.into(),
        // FROM is the first end, TO the second: one direction by part 0, back by part 1.
        cuts: vec![
            wire::Cut { from: 0, to: 1, parts: vec![0] },
            wire::Cut { from: 1, to: 0, parts: vec![1] },
        ],
        parts: states.iter().enumerate().map(part).collect(),
        asked: NOW,
        began: NOW,
        deadline: NOW + second(30),
        object: Some(cut.wire(Kind::Fault)),
        ..wire::Intent::default()
    }
}

#[test]
fn an_object_asks_for_what_a_command_would() {
    let table = [
        (Kind::Fault, cut(), "cut k8s:prod/pod/a k8s:prod/pod/b --both-ways"),
        (
            Kind::Fault,
            object(
                json!({ "cut": { "from": "one:sts/z", "to": "all:label:a in (b,c)", "port": 80 } }),
            ),
            "cut one:k8s:prod/sts/z all:k8s:prod/label:a in (b,c)",
        ),
        (
            Kind::Fault,
            object(json!({ "freeze": { "target": "sts/z/2@n1", "tree": true } })),
            "freeze k8s:prod/sts/z/2@n1: freeze, with descendants",
        ),
        (
            Kind::ClusterFault,
            object(
                json!({ "cut": { "from": "k8s:a/pod/x", "to": "addr:10.0.0.0/8", "shadow": true } }),
            ),
            "cut k8s:a/pod/x addr:10.0.0.0/8",
        ),
    ];
    for (kind, object, expected) in table {
        let found = asked(kind, &object).unwrap_or_else(|failure| panic!("{expected}: {failure}"));
        let told = spec::typed(&found);
        let (verb, _) = expected.split_once(": ").unwrap_or((expected, ""));
        assert!(told.starts_with(verb), "{told}");
        // The same object again asks for the same.
        assert_eq!(asked(kind, &object).unwrap(), found);
    }
    let found = asked(Kind::Fault, &cut()).unwrap();
    assert_eq!(found.total_ns, second(30));
    assert_eq!(found.seed, 0x7f3e_2a10_4b5c_4d6e);
    assert_eq!(cut().id().unwrap().to_string(), "a1b2c3d4e5f6");
    assert_eq!(asked::namespaces(&found, |_| false), ["prod"]);
}

#[test]
fn roles_of_an_object_are_those_of_its_namespace() {
    let cut = |from: &str, to: &str| object(json!({ "cut": { "from": from, "to": to } }));
    let table = [
        (
            ["zeebe:partition/1/leader", "zeebe:partition/3/leader"],
            "cut zeebe:prod/partition/1/leader zeebe:prod/partition/3/leader",
        ),
        (
            ["one:etcd:follower@n1", "all:zeebe:blue/gateway"],
            "cut one:etcd:prod/follower@n1 all:zeebe:prod/blue/gateway",
        ),
        (["etcd:member/m0", "pod/a"], "cut etcd:prod/member/m0 k8s:prod/pod/a"),
    ];
    for ([from, to], expected) in table {
        let found = asked(Kind::Fault, &cut(from, to)).unwrap();
        assert_eq!(spec::typed(&found), expected);
        assert_eq!(asked::namespaces(&found, |_| false), ["prod"]);
    }
    // One of the settings is in no namespace that anybody knows.
    let roles = cut("zeebe:blue/broker/0", "k8s:other/pod/a");
    let found = asked(Kind::ClusterFault, &roles).unwrap();
    assert_eq!(spec::typed(&found), "cut zeebe:blue/broker/0 k8s:other/pod/a");
    assert_eq!(asked::namespaces(&found, |_| false), ["blue", "other"]);
    assert_eq!(asked::namespaces(&found, |group| group.to_string() == "zeebe:blue"), ["other"]);
}

#[test]
fn what_an_object_may_not_ask_for_is_a_sentence() {
    let table = [
        (Kind::Fault, json!({}), "exactly one of"),
        (
            Kind::Fault,
            json!({ "freeze": { "target": "pod/a" }, "kill": { "target": "pod/a" } }),
            "exactly one of",
        ),
        (Kind::Fault, json!({ "freeze": { "target": "host:n1" } }), "takes a ClusterFault"),
        (Kind::Fault, json!({ "freeze": { "target": "k8s:other/pod/a" } }), "takes a ClusterFault"),
        (Kind::Fault, json!({ "freeze": { "target": "pod:a/b" } }), "takes a ClusterFault"),
        (
            Kind::Fault,
            json!({ "freeze": { "target": "etcd:other/blue/leader" } }),
            "leaves namespace prod",
        ),
        (Kind::Fault, json!({ "freeze": { "target": "one:zeebe:king" } }), "of Zeebe there are"),
        (Kind::Fault, json!({ "freeze": { "target": "pod/A" } }), "an object of Kubernetes has"),
        (
            Kind::Fault,
            json!({ "freeze": { "target": "one:pod/a/b/c" } }),
            "of Kubernetes there are",
        ),
        (
            Kind::ClusterFault,
            json!({ "freeze": { "target": "pod/a" } }),
            "write k8s:NAMESPACE/pod/a",
        ),
        (Kind::Fault, json!({ "kill": { "target": "pod/a" }, "for": "5s" }), "--for"),
        (Kind::Fault, json!({ "kill": { "target": "pod/a" }, "onRestart": "end" }), "--on-restart"),
        (
            Kind::Fault,
            json!({ "freeze": { "target": "pod/a" }, "onRestart": "never" }),
            "one of reapply, end",
        ),
        (Kind::Fault, json!({ "freeze": { "target": "one:svc/a" } }), "takes no pick"),
        (
            Kind::Fault,
            json!({ "freeze": { "target": "pod/a" }, "for": "1x" }),
            "a number and a unit",
        ),
        (Kind::Fault, json!({ "freeze": { "target": "pod/a", "port": 1 } }), "--port"),
        (
            Kind::Fault,
            json!({ "freeze": { "target": "pod/a", "local": true } }),
            "is for a command",
        ),
        (Kind::Fault, json!({ "stress": { "target": "pod/a/web" } }), "required"),
    ];
    for (kind, spec, expected) in table {
        let failure = asked(kind, &object(spec.clone())).unwrap_err();
        assert!(failure.reason.contains(expected), "{spec}: {}", failure.reason);
        assert_eq!(failure.outcome.code(), 2, "{spec}");
    }
}

#[test]
fn an_object_that_makes_no_sense_is_read_and_asks_for_nothing() {
    let text = json!({
        "metadata": { "name": "one", "uid": UID }, "spec": { "cut": "all", "seed": -1 },
        "status": { "phase": "Dreaming", "exitCode": 300 },
    });
    let object: Object = serde_json::from_value(text).unwrap();
    assert_eq!((object.spec.wish(), object.status.is_nothing()), (None, true));
    assert!(asked(Kind::ClusterFault, &object).is_err());
}

#[test]
fn fields_are_options_in_other_letters() {
    for (of_object, of_command) in [
        ("for", "for"),
        ("bothWays", "both-ways"),
        ("allowQuorumLoss", "allow-quorum-loss"),
        ("onRestart", "on-restart"),
    ] {
        assert_eq!(
            (typed(of_object).as_str(), field(of_command).as_str()),
            (of_command, of_object)
        );
    }
}

/// Every option of the command line that a fault can have is a field, by its name.
#[test]
fn definitions_have_the_fields_of_the_command_line() {
    use clap::CommandFactory as _;
    let of_commands = [
        "local",
        "dry-run",
        "prove",
        "follow",
        "preset",
        "around",
        "replace",
        "detach",
        "for",
        "lease",
        "seed",
        "help",
        "namespace",
        "on-restart",
    ];
    let all = crate::cli::Cli::command();
    for definition in definitions() {
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let spec = &schema["properties"]["spec"]["properties"];
        for verb in ["cut", "skew", "freeze", "kill", "stress"] {
            let command = all.find_subcommand(verb).unwrap();
            let mut options: Vec<String> = command
                .get_arguments()
                .map(|arg| arg.get_long().unwrap_or(arg.get_id().as_str()))
                .filter(|name| !of_commands.contains(name))
                .map(field)
                .collect();
            options.sort_unstable();
            let fields = spec[verb]["properties"].as_object().unwrap();
            let mut fields: Vec<&String> = fields.keys().collect();
            fields.sort_unstable();
            assert_eq!(fields, options.iter().collect::<Vec<_>>(), "{verb}");
        }
        for name in ["for", "lease", "seed", "onRestart", "requestedBy"] {
            assert!(spec[name].is_object(), "{name}");
        }
    }
    assert_eq!(policies().len(), 4);
}

#[test]
fn a_status_has_sums_and_never_an_entry_for_each_pod() {
    let mut intent = intent(wire::Stage::Active, &[State::Active, State::Active]);
    let status = Status::told(&cut(), &intent, NOW);
    assert_eq!(status.phase, Phase::Active);
    assert_eq!((status.lost, status.matched), (Some(8), Some(20)));
    assert_eq!(status.until.as_deref(), Some("2023-11-14T22:13:50Z"));
    let [there, back] = status.directions.as_slice() else { panic!("{status:#?}") };
    assert_eq!((there.from.as_str(), there.to.as_str()), ("pod/a", "pod/b"));
    assert_eq!((back.from.as_str(), back.links, back.silent), ("pod/b", 1, 0));
    assert_eq!(status.exit_code, None);
    // A thousand links, and all of them in trouble.
    intent.parts = (0..1_000)
        .map(|number| {
            let part = intent.parts[0].clone();
            wire::Part {
                part: number,
                node: format!("n{number}"),
                trouble: "no room".to_owned(),
                ..part
            }
        })
        .collect();
    intent.cuts = (0..1_000)
        .map(|number| wire::Cut { from: 0, to: 1 + number, parts: vec![number] })
        .collect();
    let status = Status::told(&cut(), &intent, NOW);
    assert_eq!((status.directions.len(), status.directions[0].links), (1, 1_000));
    assert_eq!((status.failures.len(), status.parts.unwrap().failed), (5, 1_000));
    assert!(serde_json::to_vec(&status).unwrap().len() < 4_096);
}

#[test]
fn conditions_turn_once_and_keep_the_time() {
    let mut object = cut();
    let active = intent(wire::Stage::Active, &[State::Active, State::Active]);
    object.status = Status::told(&object, &active, NOW);
    let truth = |status: &Status| -> Vec<Truth> {
        status.conditions.iter().map(|condition| condition.status).collect()
    };
    assert_eq!(truth(&object.status), [Truth::True, Truth::True, Truth::False]);
    let healed = intent(wire::Stage::Healed, &[State::Healed, State::Healed]);
    let healed = wire::Intent { ended: NOW + second(9), ..healed };
    let status = Status::told(&object, &healed, NOW + second(9));
    assert_eq!(truth(&status), [Truth::True, Truth::False, Truth::True]);
    let since: Vec<&str> =
        status.conditions.iter().map(|one| one.last_transition_time.as_str()).collect();
    assert_eq!(since, ["2023-11-14T22:13:20Z", "2023-11-14T22:13:29Z", "2023-11-14T22:13:29Z"]);
    assert_eq!(
        (status.exit_code, status.ended_at.as_deref()),
        (Some(0), Some("2023-11-14T22:13:29Z"))
    );
    let lost = intent(wire::Stage::Unconfirmed, &[State::Active, State::Healed]);
    let status = Status::told(&object, &lost, NOW);
    assert_eq!((truth(&status)[2], status.exit_code), (Truth::Unknown, Some(5)));
    // What is written is read as it was.
    let written = serde_json::to_value(&object.status).unwrap();
    assert_eq!(serde_json::from_value::<Status>(written).unwrap(), object.status);
}

/// What is to be done, in one word.
fn next(
    object: &Object,
    intent: Option<&wire::Intent>,
    attempt: &Attempt,
    ending: Ending,
    now: u64,
) -> String {
    let standing = Standing { object, attempt, ending, said: &object.status, told: NOW };
    match step(&standing, intent, now) {
        Step::Wait(None) => "wait".to_owned(),
        Step::Wait(Some(until)) => format!("wait {}", until.saturating_sub(NOW) / second(1)),
        Step::Hold => "hold".to_owned(),
        Step::Release => "release".to_owned(),
        Step::Begin => "put in".to_owned(),
        Step::End(_) => "heal".to_owned(),
        Step::Tell(status) => format!("tell {}", status.phase.word()),
    }
}

#[test]
fn what_is_done_about_an_object_follows_from_how_things_are() {
    let held = |mut object: Object| {
        object.metadata.finalizers = vec![FINALIZER.to_owned()];
        object
    };
    let leaving = |mut object: Object| {
        object.metadata.deletion_timestamp = Some("2023-11-14T22:13:20Z".to_owned());
        object
    };
    let told = |mut object: Object, intent: &wire::Intent| {
        object.status = Status::told(&object, intent, NOW);
        object
    };
    let active = intent(wire::Stage::Active, &[State::Active, State::Active]);
    let preparing = intent(wire::Stage::Preparing, &[]);
    let expired = intent(wire::Stage::Expired, &[State::Expired, State::Expired]);
    let refusal = Failure::caused(Cause::Refused, "x", "a guard");
    let refused = Attempt::Refused(Box::new(refusal.clone()));
    let mut after_refusal = held(cut());
    after_refusal.status = Status::refused(&after_refusal, &refusal, NOW);
    let again = Attempt::Again { since: NOW, at: NOW + second(1) };
    let (untried, unasked) = (Attempt::Untried, Ending::Unasked);
    let asked = Ending::Asked(NOW);
    type Row<'a> = (&'a str, Object, Option<&'a wire::Intent>, &'a Attempt, Ending, u64, &'a str);
    let table: [Row<'_>; 21] = [
        ("new", cut(), None, &untried, unasked, 0, "hold"),
        ("held", held(cut()), None, &untried, unasked, 0, "put in"),
        ("tried", held(cut()), None, &Attempt::UnderWay, unasked, 0, "wait"),
        ("to be tried again", held(cut()), None, &again, unasked, 0, "wait 1"),
        ("its time has come", held(cut()), None, &again, unasked, 1, "put in"),
        ("refused", held(cut()), None, &refused, unasked, 0, "tell Refused"),
        ("told so", after_refusal.clone(), None, &refused, unasked, 9, "release"),
        // As the next leader finds it.
        ("refused before", after_refusal, None, &untried, unasked, 9, "release"),
        ("deleted before", leaving(held(cut())), None, &untried, unasked, 0, "release"),
        ("deleted and gone", leaving(cut()), None, &untried, unasked, 0, "wait"),
        (
            "deleted while it is tried",
            leaving(held(cut())),
            None,
            &Attempt::UnderWay,
            unasked,
            0,
            "wait",
        ),
        ("on its way in", held(cut()), Some(&preparing), &untried, unasked, 0, "wait"),
        ("acts", held(cut()), Some(&active), &untried, unasked, 0, "tell Active"),
        ("told", told(held(cut()), &active), Some(&active), &untried, unasked, 1, "wait 10"),
        (
            "counts are due",
            told(held(cut()), &active),
            Some(&active),
            &untried,
            unasked,
            10,
            "tell Active",
        ),
        // The leader before has let go of it as it ended.
        ("acts unheld", told(cut(), &active), Some(&active), &untried, unasked, 1, "hold"),
        (
            "deleted in mid-fault",
            leaving(told(held(cut()), &active)),
            Some(&active),
            &untried,
            unasked,
            1,
            "heal",
        ),
        (
            "being healed",
            leaving(told(held(cut()), &active)),
            Some(&active),
            &untried,
            asked,
            1,
            "wait 18",
        ),
        (
            "no node says a word",
            leaving(told(held(cut()), &active)),
            Some(&active),
            &untried,
            asked,
            18,
            "release",
        ),
        ("over", told(held(cut()), &active), Some(&expired), &untried, unasked, 30, "tell Expired"),
        (
            "told its end",
            told(held(cut()), &expired),
            Some(&expired),
            &untried,
            unasked,
            31,
            "release",
        ),
    ];
    for (about, object, intent, attempt, ending, seconds, expected) in table {
        let found = next(&object, intent, attempt, ending, NOW + second(seconds));
        assert_eq!(found, expected, "{about}");
    }
    let over = told(cut(), &expired);
    assert_eq!(next(&over, Some(&expired), &untried, unasked, NOW + second(99)), "wait");
    // Who comes to it when nobody knows of its intent any more puts nothing in anew.
    assert_eq!(next(&held(over), None, &untried, unasked, NOW + second(99)), "release");
}

#[test]
fn counts_are_told_at_once_when_somebody_asks_for_them() {
    let active = intent(wire::Stage::Active, &[State::Active, State::Active]);
    let mut object = cut();
    object.metadata.finalizers = vec![FINALIZER.to_owned()];
    object.status = Status::told(&object, &active, NOW);
    let next = |object: &Object| {
        next(object, Some(&active), &Attempt::Untried, Ending::Unasked, NOW + second(1))
    };
    assert_eq!(next(&object), "wait 10");
    for word in ["one", "two"] {
        object.metadata.annotations.insert(COUNT.to_owned(), word.to_owned());
        assert_eq!(next(&object), "tell Active");
        object.status = Status::told(&object, &active, NOW + second(1));
        assert_eq!((next(&object).as_str(), object.status.counted.as_str()), ("wait 10", word));
    }
}

#[test]
fn counts_are_told_less_and_less_often() {
    let active = intent(wire::Stage::Active, &[State::Active, State::Active]);
    let mut object = cut();
    object.metadata.finalizers = vec![FINALIZER.to_owned()];
    object.status = Status::told(&object, &active, NOW);
    let (mut told, mut calls) = (NOW, 0);
    let (attempt, ending) = (Attempt::Untried, Ending::Unasked);
    let mut now = NOW;
    // A week.
    while now < NOW + second(7 * 24 * 3_600) {
        let said = &object.status;
        let standing = Standing { object: &object, attempt: &attempt, ending, said, told };
        match step(&standing, Some(&active), now) {
            Step::Wait(Some(until)) => now = until,
            Step::Tell(_) => {
                told = now;
                calls += 1;
            }
            other @ (Step::Wait(_) | Step::Hold | Step::Release | Step::Begin | Step::End(_)) => {
                panic!("{other:?}")
            }
        }
    }
    assert_eq!(calls, 7);
}

#[test]
fn a_namespace_lets_faults_in_by_its_label() {
    let space = |name: &str, value: &str| NamespaceObject {
        metadata: Metadata {
            name: name.to_owned(),
            labels: [(LABEL.to_owned(), value.to_owned())].into(),
            ..Metadata::default()
        },
    };
    let mut consent = Consent::default();
    let names = ["a".to_owned(), "b".to_owned()];
    assert_eq!(consent.check(&names), Err(Withheld::Unknown));
    assert_eq!(consent.check(&[]), Ok(()));
    consent.listed(&[space("a", ALLOWED), space("b", "no")]);
    assert_eq!(consent.check(&names), Err(Withheld::Namespace("b".to_owned())));
    consent.applied(&space("b", ALLOWED));
    assert_eq!(consent.check(&names), Ok(()));
    consent.deleted(&space("a", ALLOWED));
    let withheld = consent.check(&names).unwrap_err();
    assert!(withheld.hint().contains("kubectl label namespace a schism.dev/faults=allowed"));
}

#[test]
fn pods_are_told_what_is_done_to_them() {
    let identity = specimen::status(0, State::Active, 1, 1).fault.target;
    let target = || specimen::target(&format!("pod:{UID}"), identity);
    let end = |name: &str| wire::End {
        target: Some(target().into()),
        member: "broker-1".to_owned(),
        pod: format!("prod/{name}"),
        ..wire::End::default()
    };
    let mut healed = intent(wire::Stage::Healed, &[State::Healed]);
    healed.ends = vec![end("a.x"), end("b"), end("b")];
    healed.cuts.truncate(1);
    let place = cut().place(Kind::Fault);
    let mut status = Status::told(&cut(), &healed, NOW);
    status.lost = Some(1_234_204);
    let mentions = mention::of(&place, &status, &healed, NOW);
    let [first, second] = mentions.as_slice() else { panic!("{mentions:#?}") };
    assert_eq!(first.event.metadata.name, "a.x.a1b2c3d4e5f6-faultended");
    assert_eq!(
        (second.namespace.as_str(), second.event.involved_object.name.as_str()),
        ("prod", "b")
    );
    assert_eq!(
        first.event.message,
        "cut from pod/a to pod/b healed, 1,234,204 packets lost since 2023-11-14T22:13:20Z \
         (Fault prod/one)"
    );
    status.phase = Phase::Active;
    let mentions = mention::of(&place, &status, &healed, NOW);
    assert_eq!(
        mentions[0].event.message,
        "cut from pod/a to pod/b until 2023-11-14T22:13:50Z (Fault prod/one)"
    );
    status.phase = Phase::Refused;
    assert_eq!(mention::of(&place, &status, &healed, NOW), []);
}
