use std::time::Duration;

use serde_json::json;

use super::*;
use crate::model::{
    ActivityKind, EffectPolicy, FaultVerb, HypothesisStrategy, Instances, Lane, OnFailure,
    ProcessArguments, Provider, Retry, RollbackStrategy, SecretSource, Setting, Tolerance, Verb,
    Wait,
};

const WHOLE: &str = include_str!("../../tests/experiments/whole.yaml");

fn problems(text: &str, manner: Manner) -> Vec<String> {
    read(text, Notation::Yaml, manner).problems.iter().map(ToString::to_string).collect()
}

/// An experiment whose method is this.
fn method(steps: &str) -> String {
    format!("title: t\ndescription: d\nmethod:\n{steps}")
}

#[test]
fn everything_of_the_language_is_read() {
    let reading = read(WHOLE, Notation::Yaml, Manner::Strict);
    assert_eq!(reading.problems, [], "no problem was expected");
    let experiment = reading.experiment.unwrap();
    assert_eq!(experiment.tags, ["network", "etcd"]);
    assert_eq!(experiment.runtime.hypothesis, Some(HypothesisStrategy::Continuously));
    assert_eq!(experiment.runtime.rollbacks, Some(RollbackStrategy::Always));
    assert_eq!(experiment.runtime.evaluations, Some(5));
    assert!(matches!(&experiment.configuration[1].1, Setting::Env { default: Some(_), .. }));
    assert!(matches!(&experiment.configuration[2].1, Setting::Probe(_)));
    let SecretSource::Group(group) = &experiment.secrets[0].1 else { panic!("no group") };
    assert!(matches!(&group[1].1, SecretSource::Vault { key: Some(_), .. }));

    let hypothesis = experiment.hypothesis.unwrap();
    assert!(matches!(hypothesis.probes[1].tolerance, Some(Tolerance::Range { .. })));
    let Some(Tolerance::Probe(probe)) = &hypothesis.probes[2].tolerance else { panic!("no probe") };
    assert_eq!(probe.name, "is it");

    let [cut, wait, each, reference, loads] = experiment.method.as_slice() else { panic!("not 5") };
    let Provider::Schism(call) = &cut.provider else { panic!("not ours") };
    assert_eq!(call.verb, Verb::Fault(FaultVerb::Cut));
    assert_eq!(call.label.as_ref().unwrap().as_str(), "the-cut");
    assert_eq!(call.effect, EffectPolicy::Optional);
    assert_eq!(cut.pauses.after, Some(Wait::Value("${grace}".into())));
    let every = Duration::from_millis(500);
    assert_eq!(wait.retry, Some(Retry { attempts: 20, every }));
    assert_eq!(wait.until, Some(Tolerance::Text("new-leader".into())));
    assert_eq!(wait.timeout, Some(Duration::from_secs(5)));
    assert_eq!(wait.output.as_ref().unwrap().as_str(), "leader");
    let for_each = each.for_each.as_ref().unwrap();
    assert_eq!(for_each.instances, Instances::Targets("all:etcd:follower".into()));
    assert_eq!(each.on_failure, OnFailure::Allowed);
    assert_eq!((reference.name.as_str(), reference.lane), ("answers", Lane::Background));
    assert_eq!(reference.kind, ActivityKind::Probe);
    assert_eq!(reference.tolerance, None, "a reference has its own tolerance, or none");
    let Provider::Process(process) = &loads.provider else { panic!("no process") };
    assert_eq!(process.arguments, ProcessArguments::Line("--for 5".into()));
    assert_eq!(experiment.rollbacks.len(), 1);
    assert_eq!(experiment.written.unwrap()["title"], json!("a leader that cannot send"));
}

#[test]
fn all_problems_are_told_at_once_and_in_order() {
    let text = "\
title: ''
description: d
tags: [a, '']
stedy-state-hypothesis: {}
steady-state-hypothesis:
  probes:
  - {type: probe, name: p, provider: {type: http, url: ''}}
  - {type: probe, name: q, provider: {type: process, path: ls}, tolerance: {type: bogus}}
  - {type: probe, name: q, provider: {type: process, path: ls}, tolerance: 0.5}
  - {type: probe, name: r, provider: {type: process, path: ls}, tolerance: {type: regex, pattern: '('}}
method:
- {}
- {type: steady, name: s, provider: {type: grpc}}
- {type: action, name: a, background: 1, timeout: x, provider: {type: python, module: m}}
- {ref: nope}
- {type: action, name: b, pauses: {before: soon}, provider: {type: process}}
";
    let told = problems(text, Manner::Strict);
    let expected = [
        "1:1: `title` is missing: text that says what it is called",
        "3:11: tags[1]: text that is not empty was expected here, found empty text",
        "4:1: unknown key `stedy-state-hypothesis`: did you mean `steady-state-hypothesis`?",
        "6:3: steady-state-hypothesis: `title` is missing: text",
        "7:5: steady-state-hypothesis.probes[0]: `tolerance` is missing: what a probe",
        "7:38: steady-state-hypothesis.probes[0].provider: `url` is missing: the address",
        "8:83: steady-state-hypothesis.probes[1].tolerance.type: `range`, `regex`, `jsonpath` or `probe` was expected here, found `bogus`",
        "9:76: steady-state-hypothesis.probes[2].tolerance: true or false, a whole number, text, a list, or a mapping with a `type` was expected here, found `0.5`",
        "10:99: steady-state-hypothesis.probes[3].tolerance.pattern: a pattern was expected here, found `(`: ",
        "12:3: method[0]: a step was expected here, found an empty mapping",
        "13:10: method[1].type: `action` or `probe` was expected here, found `steady`",
        "13:44: method[1].provider.type: `process`, `http`, `python` or `schism` was expected here, found `grpc`",
        "14:39: method[2].background: true or false was expected here, found `1`",
        "14:51: method[2].timeout: a number of seconds was expected here, found `x`",
        "14:64: method[2].provider: `func` is missing: the name of the function",
        "15:9: method[3]: the name of a step was expected here, found `nope`: no step",
        "16:44: method[4].pauses.before: a number of seconds, or `${name}` of one was expected here, found `soon`",
        "16:61: method[4].provider: `path` is missing: the program",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn what_is_missing_is_said_with_what_stands_there_then() {
    for (text, expected) in [
        ("", "an experiment was expected here, found nothing"),
        ("{}", "an experiment was expected here, found nothing"),
        ("title: t\nmethod: []", "`description` is missing: text"),
        ("title: t\ndescription: d", "`method` is missing: a list of steps, which is empty"),
        (
            "title: t\ndescription: d\nmethod: []\nextensions: [{}]",
            "extensions[0]: `name` is missing: text",
        ),
        ("[1]", "a mapping was expected here, found a list"),
        (
            "title: t\ndescription: d\nmethod: []\nsecrets: hunter2",
            "secrets: a mapping was expected here, found text",
        ),
        (
            "title: t\ndescription: d\nmethod: []\nsecrets: {group: {token: {type: env, key: 42}}}",
            "secrets.group.token.key: text was expected here, found a number",
        ),
    ] {
        let told = problems(text, Manner::Compat);
        assert!(told[0].contains(expected), "{told:?}");
    }
}

#[test]
fn what_can_never_be_is_told() {
    let tolerance = |tolerance: &str| {
        format!(
            "title: t\ndescription: d\nmethod: []\nsteady-state-hypothesis:\n  title: h\n  probes:\n  \
             - {{type: probe, name: p, provider: {{type: process, path: p}}, tolerance: {tolerance}}}\n"
        )
    };
    let range = |range: &str| tolerance(&format!("{{type: range, range: {range}}}"));
    for (text, expected) in [
        (range("[1, 5]"), None),
        (range("[5, 5]"), None),
        (
            range("[5, 1]"),
            Some(
                "tolerance.range: two numbers, the smaller one first, was expected here, found 5 and 1",
            ),
        ),
        (
            tolerance("0").replace("type: probe", "type: action"),
            Some("probes[0]: a probe was expected here, found an action"),
        ),
        (
            method(
                "- {type: action, name: a, provider: {type: process, path: p}, for-each: {name: x, in: []}}\n",
            ),
            Some("for-each.in: a list with something in it was expected here, found an empty list"),
        ),
    ] {
        let told = problems(&text, Manner::Strict);
        let is_as_expected = match expected {
            Some(expected) => told.len() == 1 && told[0].contains(expected),
            None => told.is_empty(),
        };
        assert!(is_as_expected, "{text}: {told:#?}");
        assert!(read(&text, Notation::Yaml, Manner::Compat).experiment.is_some(), "{text}");
    }
}

#[test]
fn what_the_original_reads_over_is_only_told_in_compat() {
    let text = method(
        "- {type: action, name: a, timout: 1, x-own: 1, provider: {type: http, url: https://u, expected_status: 200}}\ntitle: again\n",
    );
    let strict = read(&text, Notation::Yaml, Manner::Strict);
    assert!(strict.experiment.is_none());
    let compat = read(&text, Notation::Yaml, Manner::Compat);
    assert!(compat.experiment.is_some());
    assert_eq!(compat.problems.len(), 3);
    assert_eq!(strict.problems.len(), 3);
    let told = problems(&text, Manner::Compat);
    assert_eq!(told[0], "4:27: warning: method[0]: unknown key `timout`: did you mean `timeout`?");
}

#[test]
fn a_secret_that_cannot_be_hidden_everywhere_is_told_once() {
    let secrets = "secrets: {g: {a: xyz, b: long enough, c: {d: 7, e: {type: env, key: E}}}}\n";
    let uses = "- {type: action, name: a, provider: {type: process, path: p, arguments: ['${a}', '${a}']}}\n";
    let told = problems(&format!("{secrets}{}", method(uses)), Manner::Strict);
    let expected = ["secrets.g.a: a secret of fewer than 4", "secrets.g.c.d: a secret of fewer"];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.contains(&format!("warning: {expected}")), "{told}");
        assert!(!told.contains("xyz"), "{told}");
    }
}

#[test]
fn an_address_says_whom_to_ask() {
    for (url, is_one) in [
        ("http://localhost", true),
        ("https://[::1]:8080/x", true),
        ("http://ann@db/?a=b", true),
        ("http://${host}/", true),
        ("http://", false),
        ("https:///health", false),
        ("http://:8080/", false),
        ("http://?x=1", false),
        ("http://ann@/", false),
    ] {
        let provider = format!("{{type: http, url: '{url}'}}");
        let steps = method(&format!("- {{type: action, name: a, provider: {provider}}}\n"));
        let told = problems(&format!("configuration: {{host: h}}\n{steps}"), Manner::Strict);
        assert_eq!(told.is_empty(), is_one, "{url}: {told:?}");
        let is_said = told.iter().all(|told| told.contains("an address with a host"));
        assert!(is_said, "{url}: {told:?}");
    }
}

#[test]
fn references_are_followed_and_never_in_a_circle() {
    let circle = method("- {name: a, ref: b}\n- {name: b, ref: a}\n");
    let told = problems(&circle, Manner::Strict);
    assert_eq!(told[0], "4:3: method[0]: the references b → a lead back to the first");
    let own = method("- {name: a, ref: a}\n");
    assert!(problems(&own, Manner::Strict)[0].contains("lead back"));
    let null =
        method("- {type: action, name: a, ref: null, provider: {type: process, path: ls}}\n");
    assert_eq!(problems(&null, Manner::Strict), Vec::<String>::new());
}

#[test]
fn a_shell_is_warned_of_where_there_is_one() {
    let text =
        method("- {type: action, name: a, provider: {type: process, path: ls, arguments: -l}}\n");
    assert_eq!(problems(&text, Manner::Strict), Vec::<String>::new());
    assert!(problems(&text, Manner::Compat)[0].contains("given to a shell"));
}

#[test]
fn steps_of_ours_say_what_they_do() {
    for (provider, kind, expected) in [
        ("{type: schism}", "action", "`action` is missing: what is done; or `probe`"),
        (
            "{type: schism, action: effect}",
            "probe",
            "an action was expected here, found the probe `effect`",
        ),
        (
            "{type: schism, probe: effect}",
            "action",
            "an action was expected here, found the probe `effect`",
        ),
        (
            "{type: schism, action: cutt}",
            "action",
            "one of cut, skew, freeze, kill, stress, heal, effect, metric, logs, zeebe, pod, node was expected here, found `cutt`",
        ),
        ("{type: schism, action: cut, as: a b}", "action", "found `a b`"),
        ("{type: schism, action: heal, as: a}", "action", "provider.as: nobody reads this here"),
        (
            "{type: schism, probe: logs, effect: optional}",
            "probe",
            "provider.effect: nobody reads this here",
        ),
        (
            "{type: schism, action: cut, effect: maybe}",
            "action",
            "`required` or `optional` was expected here, found `maybe`",
        ),
        (
            "{type: schism, action: cut, what: 1}",
            "action",
            "unknown key `what`: known here are type, action, probe, arguments, as, effect",
        ),
    ] {
        let text = method(&format!("- {{type: {kind}, name: a, provider: {provider}}}\n"));
        let told = problems(&text, Manner::Strict);
        assert!(told.iter().any(|told| told.contains(expected)), "{provider}: {told:?}");
    }
}
