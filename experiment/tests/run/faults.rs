//! Faults of a run end with it, whatever happens, and are judged by what they did.

use std::time::Duration;

use experiment::journal::{Owed, resumed};
use experiment::run::invocation::Invocation;
use experiment::run::{
    Action, Effect, Ending, Event, Exit, HadEffect, Healing, Interruption, Perform, Progress,
    Reason, Run, Terms, Verdicts,
};
use serde_json::{Value, json};

use crate::rig::{Answer, Rig, beginning, read, returned};

fn ours(role: &str, verb: &str, more: &Value) -> Value {
    let mut provider = json!({"type": "schism", role: verb});
    provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let kind = if role == "probe" { "probe" } else { "action" };
    json!({"type": kind, "name": verb, "provider": provider})
}

fn cut(label: &str) -> Value {
    ours("action", "cut", &json!({"as": label, "arguments": {"from": "netns:a", "to": "netns:b"}}))
}

fn nap() -> Value {
    json!({"type": "action", "name": "nap", "provider": {"type": "process", "path": "sleep"}})
}

fn file(method: &[Value]) -> Value {
    json!({
        "title": "t", "description": "d", "method": method,
        "rollbacks": [{"type": "action", "name": "back", "provider": {"type": "process", "path": "b"}}],
    })
}

fn answer(perform: &Perform) -> Answer {
    let sleeps =
        matches!(perform.invocation.reveal(), Invocation::Process { path, .. } if path == "sleep");
    let time = Duration::from_millis(if sleeps { 1000 } else { 10 });
    (time, Ending::Returned(json!({"status": 0})))
}

fn strict() -> Terms {
    Terms::new(Verdicts::Strict)
}

#[test]
fn to_heal_what_another_run_has_healed_is_no_failure() {
    let mut file = file(&[cut("c")]);
    file["rollbacks"] = json!([ours("action", "heal", &json!({"arguments": {"fault": "c"}}))]);
    let owed = Owed { rollbacks: vec![0], ..Owed::default() };
    let mut rig = Rig::resuming(&file, strict(), &owed);
    assert_eq!(rig.play(answer).exit, Exit::Done);
    assert_eq!(rig.items("rollbacks"), ["heal succeeded"]);
    assert_eq!(rig.healed, Vec::<String>::new());
}

#[test]
fn a_fault_ends_with_the_run_before_its_rollbacks() {
    for interrupted in [false, true] {
        let mut rig = Rig::new(&file(&[cut("c"), nap()]), strict());
        if interrupted {
            rig.interrupt(500, Interruption::Sigterm);
        }
        let verdict = rig.play(answer);
        assert_eq!(rig.healed, ["c"]);
        assert_eq!(verdict.exit, if interrupted { Exit::Interrupted } else { Exit::Done });
        assert_eq!(rig.items("rollbacks"), ["back succeeded"]);
        let fault = &rig.journal()["schism"]["faults"]["c"];
        let key = rig.run.faults().next().unwrap().1.key.to_string();
        let expected =
            json!({"state": "ended", "had_effect": true, "effect": {"lost": 3}, "id": key});
        assert_eq!(fault, &expected);
    }
}

#[test]
fn a_fault_may_be_healed_by_a_step_and_looked_at_afterwards() {
    let heal = ours("action", "heal", &json!({"arguments": {"fault": "c"}}));
    let mut effect = ours("probe", "effect", &json!({"arguments": {"fault": "c"}}));
    effect["tolerance"] = json!({"type": "jsonpath", "path": "$.lost", "expect": 3});
    let mut rig = Rig::new(&file(&[cut("c"), heal.clone(), effect, heal]), strict());
    assert_eq!(rig.play(answer).exit, Exit::Done);
    assert_eq!(rig.healed, ["c"], "it is healed once");
    assert_eq!(rig.performed, ["cut", "back"], "the run knows the effect of what has ended");
    let heal = ours("action", "heal", &json!({"arguments": {"fault": "other"}}));
    let mut rig = Rig::new(&file(&[heal]), strict());
    assert_eq!(rig.play(answer).exit, Exit::Failed);
}

#[test]
fn a_fault_without_effect_fails_the_run_unless_its_step_says_otherwise() {
    let mut optional = cut("c");
    optional["provider"]["effect"] = json!("optional");
    for (step, exit) in [(cut("c"), Exit::NoEffect), (optional, Exit::Done)] {
        let mut rig = Rig::new(&file(&[step, nap()]), strict());
        rig.effect = HadEffect::No;
        let verdict = rig.play(answer);
        assert_eq!(verdict.exit, exit);
        assert_eq!(rig.items("run"), ["cut succeeded", "nap succeeded"], "the method goes on");
    }
}

#[test]
fn a_fault_may_end_by_itself() {
    let mut rig = Rig::new(&file(&[cut("c"), nap()]), strict());
    let effect = Effect { had: HadEffect::No, ..Effect::default() };
    rig.at(Duration::from_millis(500), Event::FaultEnded("c".parse().unwrap(), effect));
    let verdict = rig.play(answer);
    assert_eq!(verdict.reasons, [Reason::NoEffect("c".parse().unwrap())]);
    assert_eq!(rig.healed, Vec::<String>::new());
}

#[test]
fn a_fault_that_ends_before_its_time_fails_the_run_whoever_notices() {
    let label = || "c".parse().unwrap();
    let (step, at) = (|| file(&[cut("c"), nap()]), Duration::from_millis(500));
    let effect = || Effect { had: HadEffect::Yes, ..Effect::default() };
    // Whoever keeps it says so, of one of its parts before all of it is over.
    let mut kept = Rig::new(&step(), strict());
    for why in ["its process has ended", "again"] {
        kept.at(at, Event::FaultBroke(label(), why.to_owned()));
    }
    kept.at(at, Event::FaultEnded(label(), effect()));
    // Or it is found when it is to be taken out.
    let mut found = Rig::new(&step(), strict());
    found.heal_ends = Some(Healing::Broken(effect(), "its process has ended".to_owned()));
    for (mut rig, healed) in [(kept, 0), (found, 1)] {
        let verdict = rig.play(answer);
        assert_eq!((verdict.exit, rig.healed.len()), (Exit::Failed, healed));
        assert_eq!(verdict.reasons, [Reason::Broke(label())]);
        assert_eq!(rig.items("run"), ["cut succeeded", "nap succeeded"], "the method goes on");
    }
    // What the run asks for itself is no news.
    let heal = ours("action", "heal", &json!({"arguments": {"fault": "c"}}));
    let mut asked = Rig::new(&file(&[cut("c"), heal, nap()]), strict());
    asked.at(at, Event::FaultBroke(label(), "healed by the run".to_owned()));
    assert_eq!(asked.play(answer).exit, Exit::Done);
}

#[test]
fn what_stays_of_a_fault_is_asked_for_again_and_told() {
    let why = "not taken out: the bytes of process 7".to_owned();
    for (healing, exit) in [
        (Healing::Unconfirmed(why.clone()), Exit::Unconfirmed),
        (Healing::Out(Effect { had: HadEffect::Yes, ..Effect::default() }), Exit::Done),
    ] {
        let mut rig = Rig::new(&file(&[cut("c"), nap()]), strict());
        rig.at(Duration::from_millis(500), Event::FaultStays("c".parse().unwrap(), why.clone()));
        rig.heal_ends = Some(healing);
        let verdict = rig.play(answer);
        assert_eq!(verdict.exit, exit, "{:?}", verdict.reasons);
        assert!(rig.healed.contains(&"c".to_owned()));
    }
}

#[test]
fn what_may_have_been_put_in_is_taken_out_and_what_was_not_is_not() {
    for (ending, healed) in [
        (Ending::Crashed("the agent is gone".into()), 1),
        (Ending::Failed("refused by a guard".into()), 0),
        (Ending::Interrupted("enough".into()), 1),
    ] {
        let mut rig = Rig::new(&file(&[cut("c"), nap()]), strict());
        rig.play(|perform| {
            if perform.fault.is_some() { (Duration::ZERO, ending.clone()) } else { answer(perform) }
        });
        assert_eq!(rig.healed.len(), healed, "{ending:?}");
    }
    // Stopped while it was on its way in.
    let mut rig = Rig::new(&file(&[cut("c")]), strict());
    rig.interrupt(100, Interruption::Sigint);
    rig.play(|perform| match perform.fault {
        Some(_) => (Duration::from_secs(9), Ending::Returned(Value::Null)),
        None => answer(perform),
    });
    assert_eq!((rig.healed.as_slice(), rig.aborted.len()), (["c".to_owned()].as_slice(), 1));
}

#[test]
fn a_fault_that_was_refused_is_nowhere_and_nothing_is_told_of_its_end() {
    let mut rig = Rig::new(&file(&[cut("c")]), strict());
    rig.interrupt(5, Interruption::Sigint);
    rig.heal_ends = Some(Healing::Absent);
    rig.play(|perform| match perform.fault {
        Some(_) => (Duration::from_millis(8), Ending::Failed("refused by a guard".into())),
        None => answer(perform),
    });
    assert_eq!(rig.healed, ["c"]);
    let told = rig.told.iter().any(|told| matches!(told, Progress::FaultEnded(..)));
    assert!(!told, "{:?}", rig.told);
    let ours = &rig.journal()["schism"];
    assert_eq!((&ours["faults"], &ours["owed"]), (&json!({}), &Value::Null));
}

#[test]
fn what_another_run_has_left_is_judged_as_it_would_have_been() {
    let mut each = cut("c");
    each["for-each"] = json!({"name": "t", "in": [1, 2]});
    let mut unnamed = cut("x");
    unnamed["provider"].as_object_mut().unwrap().remove("as");
    let mut optional = cut("maybe");
    optional["provider"]["effect"] = json!("optional");
    let file = file(&[each, unnamed, optional]);
    for (label, exit) in [
        ("c", Exit::NoEffect),
        ("c-2", Exit::NoEffect),
        ("fault-1", Exit::NoEffect),
        ("maybe", Exit::Done),
        ("maybe-2", Exit::Done),
        ("c2", Exit::Done),
    ] {
        let key = "00000000000b".parse().unwrap();
        let faults = [(label.parse().unwrap(), key)].into();
        let mut rig = Rig::resuming(&file, strict(), &Owed { faults, ..Owed::default() });
        let effect = Effect { had: HadEffect::No, ..Effect::default() };
        rig.heal_ends = Some(Healing::Out(effect));
        assert_eq!(rig.play(answer).exit, exit, "{label}");
    }
}

#[test]
fn every_fault_has_its_name() {
    let mut each = cut("c");
    each["for-each"] = json!({"name": "t", "in": [1, 2]});
    let mut unnamed = cut("x");
    unnamed["provider"].as_object_mut().unwrap().remove("as");
    let mut rig = Rig::new(&file(&[each, unnamed]), strict());
    rig.play(answer);
    assert_eq!(rig.healed, ["c", "c-2", "fault-1"]);
    assert_eq!(rig.journal()["run"][1]["schism"], json!({"t": 2, "fault": "c-2"}));
}

#[test]
fn a_run_that_was_killed_is_finished_by_another() {
    let mut killed = Rig::new(&file(&[cut("c"), nap()]), strict());
    let mut answer = answer;
    let actions = killed.run.begin(Duration::ZERO);
    killed.take_all(actions, &mut answer);
    killed.step(&mut answer);
    let journal = killed.journal();
    let before = journal.as_object().unwrap();
    let (experiment, owed) = Owed::read(before).unwrap();
    let key = killed.run.faults().next().unwrap().1.key;
    let faults = [("c".parse().unwrap(), key)].into();
    assert_eq!(owed, Owed { rollbacks: vec![0], faults, at: "here".to_owned(), run: None });
    assert_eq!(
        (&journal["status"], &journal["schism"]["unfinished"]),
        (&json!("interrupted"), &json!(true))
    );

    let experiment = read(&Value::Object(experiment));
    let run = Run::resume(beginning(experiment, strict(), json!({})), &owed);
    let mut rig = Rig::with(run);
    let effect = Effect { had: HadEffect::Yes, ..Effect::default() };
    rig.heal_ends = Some(Healing::Out(effect));
    assert_eq!(rig.play(answer).exit, Exit::Done);
    assert_eq!((rig.healed.join(" "), rig.performed.join(" ")), ("c".into(), "back".into()));
    let whole = resumed(before, &rig.run.journal(rig.now));
    assert!(Owed::read(&whole).is_err(), "what is owed is done once");
    assert_eq!(whole["rollbacks"][0]["status"], "succeeded");
    assert_eq!(whole["schism"]["faults"]["c"]["state"], "ended");
    assert_eq!(whole["schism"]["resumed"][0]["status"], "completed");
    assert_eq!(whole["run"], journal["run"]);
}

#[test]
fn a_fault_whose_holder_is_lost_fails_the_run_and_is_healed_all_the_same() {
    for lost in [true, false] {
        let mut rig = Rig::new(&file(&[cut("c"), nap()]), strict());
        if lost {
            let why = "the connection is closed".to_owned();
            rig.at(Duration::from_millis(500), Event::FaultLost("c".parse().unwrap(), why));
        }
        let verdict = rig.play(answer);
        assert_eq!(verdict.exit, if lost { Exit::Failed } else { Exit::Done });
        assert_eq!(verdict.reasons.contains(&Reason::Lost("c".parse().unwrap())), lost);
        assert_eq!(rig.healed, ["c"]);
    }
}

#[test]
fn a_fault_that_another_run_left_and_of_which_nobody_knows_what_it_did_fails_as_one_that_is_lost() {
    let key = "00000000000b".parse().unwrap();
    let faults = [("c".parse().unwrap(), key)].into();
    let owed = Owed { faults, rollbacks: vec![0], ..Owed::default() };
    let mut rig = Rig::resuming(&file(&[cut("c")]), strict(), &owed);
    rig.heal_ends = Some(Healing::Out(Effect::default()));
    let verdict = rig.play(answer);
    assert_eq!(verdict.exit, Exit::Failed);
    assert_eq!(verdict.reasons, [Reason::Lost("c".parse().unwrap())]);
    assert_eq!(rig.items("rollbacks"), ["back succeeded"]);
    assert_eq!(rig.journal()["schism"]["owed"], Value::Null, "it is out");
}

#[test]
fn a_journal_that_cannot_be_written_ends_the_run_in_its_rollbacks() {
    let mut rig = Rig::new(&file(&[cut("c"), nap()]), strict());
    rig.interrupt(500, Interruption::Unwritten("No space left on device".to_owned()));
    assert_eq!(rig.play(answer).exit, Exit::Failed);
    assert_eq!(rig.items("rollbacks"), ["back succeeded"]);
    assert_eq!(rig.journal()["interruption"]["name"], "unwritten");
}

#[test]
fn a_heal_that_nobody_answers_is_told() {
    let mut rig = Rig::new(&file(&[cut("c")]), strict());
    let mut actions = rig.run.begin(Duration::ZERO);
    let mut now = Duration::ZERO;
    let mut verdict = None;
    while verdict.is_none() {
        let mut next = Vec::new();
        for action in actions {
            match action {
                Action::Perform(perform) => {
                    let (_, ending) = returned(Value::Null);
                    next.extend(rig.run.on(Event::Finished(perform.call, ending), now));
                }
                Action::Wake(at) => {
                    now = at;
                    next.extend(rig.run.on(Event::Tick, now));
                }
                Action::End(ended) => verdict = Some(ended),
                Action::Control(_)
                | Action::Abort(_)
                | Action::Heal(..)
                | Action::Record
                | Action::Tell(_) => (),
            }
        }
        actions = next;
    }
    assert_eq!(verdict.unwrap().exit, Exit::Unconfirmed);
    assert_eq!(now, Duration::from_secs(120), "it was asked for before the rollbacks, and after");
}

/// The seeds that faults are asked for with.
fn seeds(run: u64) -> Vec<u64> {
    let mut own = cut("own");
    own["provider"]["arguments"]["seed"] = json!(5);
    let mut beside = cut("beside");
    beside["background"] = json!(true);
    let file = file(&[beside, cut("a"), cut("b"), own]);
    let mut rig = Rig::new(&file, Terms { seed: run, ..strict() });
    let mut seeds = Vec::new();
    rig.play(|perform| {
        if let Invocation::Schism { arguments, .. } = perform.invocation.reveal() {
            seeds.push(arguments["seed"].as_u64().unwrap());
        }
        answer(perform)
    });
    seeds
}

#[test]
fn runs_with_one_seed_ask_for_the_same_faults() {
    let first = seeds(7);
    assert_eq!(first, seeds(7));
    assert_eq!((first.len(), first[3]), (4, 5), "a step's own seed counts");
    assert!(first[0] != first[1] && first[1] != first[2], "{first:?}");
    let other = seeds(8);
    assert!(first.iter().zip(&other).take(3).all(|(one, other)| one != other), "{other:?}");
}
