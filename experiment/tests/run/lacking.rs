//! Values that nobody knows any more when a step needs them.

use experiment::journal::Owed;
use experiment::redaction::HIDDEN;
use experiment::run::invocation::Invocation;
use experiment::run::{Exit, Interruption, Perform, Terms, Verdicts};
use serde_json::json;

use crate::rig::{Answer, Rig, returned};
use crate::strict::{file, python, strict};
use crate::verdicts::player;

/// The functions that the original was given, and programs that all end well.
fn quiet() -> impl FnMut(&Perform) -> Answer {
    let mut play = player();
    move |perform| match perform.invocation.reveal() {
        Invocation::Process { .. } => returned(json!({"status": 0})),
        Invocation::Http { .. }
        | Invocation::Python { .. }
        | Invocation::Schism { .. }
        | Invocation::Targets { .. } => play(perform),
    }
}

#[test]
fn a_step_with_words_that_nobody_knows_is_not_played_with_these() {
    let says = |words: &str| {
        json!({"type": "action", "name": "says",
            "provider": {"type": "process", "path": "echo", "arguments": [words]}})
    };
    let mut file = file(None, &[says("${outputs.none.x} ${HOME}"), says("$HOME ${HOME}")]);
    file["secrets"] = json!({"g": {"e": {"type": "env", "key": "E"}}});
    file["rollbacks"] = json!([says("${e}"), says("back"), says("${outputs.none}")]);
    let mut rig = Rig::new(&file, strict());
    assert_eq!(rig.play(quiet()).exit, Exit::Failed);
    assert_eq!(rig.items("run"), ["says failed", "says succeeded"]);
    let error = rig.journal()["run"][0]["exception"][0].to_string();
    assert!(error.contains("no step has found `${outputs.none.x}`"), "{error}");
    // Who gives too little is told, and plays it another time.
    let owed = Owed { rollbacks: vec![0, 1, 2], ..Owed::default() };
    let mut other = Rig::resuming(&file, strict(), &owed);
    let verdict = other.play(quiet());
    assert_eq!(other.items("rollbacks"), ["says interrupted", "says succeeded", "says failed"]);
    assert_eq!(verdict.exit, Exit::Failed);
    let journal = other.journal();
    assert_eq!(journal["schism"]["owed"]["rollbacks"], json!([0]));
    let error = journal["rollbacks"][0]["exception"][0].to_string();
    assert!(error.contains("nobody has given `e`"), "{error}");
    // The original reads over it.
    let mut compat = Rig::new(&file, Terms::new(Verdicts::Compat));
    compat.play(quiet());
    assert_eq!(compat.items("run"), ["says succeeded", "says succeeded"]);
    let mut left = Rig::resuming(&file, Terms::new(Verdicts::Compat), &owed);
    left.play(quiet());
    assert_eq!(left.journal()["schism"]["owed"]["rollbacks"], json!([0]));
}

#[test]
fn a_setting_that_nobody_finds_any_more_leaves_the_rest_of_what_is_owed() {
    let mut file = file(None, &[]);
    file["configuration"] = json!({"gone": python("probe", "boom")});
    let says = json!({"type": "action", "name": "says",
        "provider": {"type": "process", "path": "echo", "arguments": ["${gone}"]}});
    file["rollbacks"] = json!([python("action", "ok"), says]);
    let owed = Owed { rollbacks: vec![0, 1], ..Owed::default() };
    let mut rig = Rig::resuming(&file, strict(), &owed);
    assert_eq!(rig.play(quiet()).exit, Exit::Failed);
    assert_eq!(rig.items("rollbacks"), ["ok succeeded", "says interrupted"]);
    assert_eq!(rig.journal()["schism"]["owed"]["rollbacks"], json!([1]));
    let mut stopped = Rig::resuming(&file, strict(), &owed);
    stopped.interrupt(0, Interruption::Sigint);
    stopped.play(quiet());
    assert_eq!(stopped.journal()["schism"]["owed"]["rollbacks"], json!([0, 1]));
}

#[test]
fn a_rollback_that_had_a_secret_in_its_words_is_told_once_and_the_others_are_played() {
    let says = |name: &str, words: &str| {
        json!({"type": "action", "name": name,
            "provider": {"type": "process", "path": "echo", "arguments": [words]}})
    };
    let mut file = file(None, &[]);
    let hidden = format!("-p{HIDDEN}");
    let mut each = says("each", &hidden);
    each["for-each"] = json!({"name": "n", "in": [1, 2]});
    let mut again = says("again", &hidden);
    again["retry"] = json!({"attempts": 3, "every": 1});
    file["rollbacks"] = json!([says("one", "1"), again, each, says("last", "2")]);
    let owed = Owed { rollbacks: vec![0, 1, 2, 3], ..Owed::default() };
    let mut rig = Rig::resuming(&file, strict(), &owed);
    assert_eq!(rig.play(quiet()).exit, Exit::Failed);
    assert_eq!(rig.performed, ["one", "last"]);
    let items = ["one succeeded", "again failed", "each failed", "last succeeded"];
    assert_eq!(rig.items("rollbacks"), items);
    let journal = rig.journal();
    assert_eq!(journal["schism"]["owed"], json!(null));
    let error = journal["rollbacks"][1]["exception"].to_string();
    assert!(error.contains("hint: play it by hand"), "{error}");
    // Who begins anew has all words.
    let mut first = Rig::new(&file, strict());
    first.play(quiet());
    assert!(first.performed.contains(&"again".to_owned()), "{:?}", first.performed);
}
