//! Whatever fails or is interrupted wherever: what is owed is done, once. Every rollback is begun once; one that
//! somebody stops before its end, or that nobody is there to perform, has not been attempted: it stays owed, and
//! whoever finishes the run plays it, and no other.

use std::collections::BTreeMap;
use std::time::Duration;

use experiment::journal::{Owed, resumed};
use experiment::model::{FaultLabel, HypothesisStrategy};
use experiment::run::{
    Action, Effect, Ending, Event, FailFast, HadEffect, Interruption, Perform, Terms, Verdicts,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

/// What a step does when its turn comes.
#[derive(Clone, Debug)]
struct Fate {
    time: u64,
    ending: u8,
}

fn fate() -> impl Strategy<Value = Fate> {
    (prop_oneof![Just(0_u64), 0_u64..300], 0_u8..8).prop_map(|(time, ending)| Fate { time, ending })
}

fn ending(fate: &Fate) -> Ending {
    match fate.ending {
        0 => Ending::Failed("failed".into()),
        1 => Ending::Crashed("crashed".into()),
        2 => Ending::Interrupted("interrupts".into()),
        3 => Ending::Returned(json!({"status": 1})),
        4 => Ending::Untried,
        _ => Ending::Returned(json!({"status": 0})),
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Process,
    Fault,
    Heal,
    Each,
}

fn step(name: &str, kind: Kind, traits: u8) -> Value {
    let provider = match kind {
        Kind::Process | Kind::Each => json!({"type": "process", "path": name}),
        Kind::Fault => json!({"type": "schism", "action": "cut", "as": format!("f{}", traits % 3)}),
        Kind::Heal => json!({"type": "schism", "action": "heal", "arguments": {"fault": "f1"}}),
    };
    let mut step = json!({"type": "action", "name": name, "provider": provider});
    if traits & 1 > 0 {
        step["background"] = json!(true);
    }
    if traits & 2 > 0 {
        step["pauses"] = json!({"before": 0.05, "after": 0.1});
    }
    if traits & 4 > 0 {
        step["timeout"] = json!(0.15);
    }
    if traits & 8 > 0 {
        step["retry"] = json!({"attempts": 2, "every": 0.02});
        step["until"] = json!(0);
    }
    if let Kind::Each = kind {
        step["for-each"] = json!({"name": "x", "in": [1, 2]});
    }
    if traits & 16 > 0 {
        step["controls"] = json!([{"name": "own", "provider": {"type": "python", "module": "m"}}]);
    }
    step
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Process), Just(Kind::Fault), Just(Kind::Heal), Just(Kind::Each)]
}

fn interruption() -> impl Strategy<Value = Interruption> {
    prop_oneof![
        Just(Interruption::Sigint),
        Just(Interruption::Sigterm),
        Just(Interruption::Sigusr1),
        Just(Interruption::Lost),
        Just(Interruption::Asked("hook".into())),
    ]
}

fn strategy() -> impl Strategy<Value = HypothesisStrategy> {
    prop_oneof![
        Just(HypothesisStrategy::Default),
        Just(HypothesisStrategy::During),
        Just(HypothesisStrategy::Continuously),
        Just(HypothesisStrategy::Skip),
    ]
}

fn terms(verdicts: Verdicts, hypothesis: HypothesisStrategy, fast: bool) -> Terms {
    let fail_fast = if fast { FailFast::Stops } else { FailFast::GoesOn };
    let frequency = Duration::from_millis(40);
    Terms { hypothesis, fail_fast, frequency, ..Terms::new(verdicts) }
}

/// An experiment of these steps; rollbacks are called `r0`, `r1`, …
fn file(method: &[(Kind, u8)], rollbacks: &[u8], controls: bool) -> Value {
    let method: Vec<Value> = method
        .iter()
        .enumerate()
        .map(|(n, (kind, traits))| step(&format!("m{n}"), *kind, *traits))
        .collect();
    // A step that is tried again is attempted more than once by itself.
    let rollbacks: Vec<Value> = rollbacks
        .iter()
        .enumerate()
        .map(|(n, traits)| step(&format!("r{n}"), Kind::Process, traits & !8))
        .collect();
    let mut probe = step("p", Kind::Process, 0);
    probe["type"] = json!("probe");
    probe["tolerance"] = json!(0);
    let mut file = json!({
        "title": "t", "description": "d", "method": method, "rollbacks": rollbacks,
        "steady-state-hypothesis": {"title": "h", "probes": [probe]},
    });
    if controls {
        file["controls"] = json!([{"name": "all", "provider": {"type": "python", "module": "m"}}]);
    }
    file
}

fn answer(fates: &[Fate]) -> impl FnMut(&Perform) -> Answer + '_ {
    let mut next = fates.iter().cycle();
    move |_| {
        let fate = next.next().unwrap();
        (Duration::from_millis(fate.time), ending(fate))
    }
}

/// What a journal says is owed.
fn owed(journal: &Value) -> Option<Owed> {
    Owed::read(journal.as_object().unwrap()).ok().map(|(_, owed)| owed)
}

/// The rollbacks that somebody stopped before their end, by their places.
fn cut_short(rig: &Rig, rollbacks: usize) -> Vec<usize> {
    let journal = rig.journal();
    let items = journal["rollbacks"].as_array().unwrap();
    let is_stopped = |name: &str| {
        let is_it = |item: &Value| item["activity"]["name"] == name;
        items.iter().any(|item| is_it(item) && item["status"] == "interrupted")
    };
    let named = (0..rollbacks).map(|n| (n, format!("r{n}")));
    let left = named.filter(|(_, name)| is_stopped(name) && !rig.asking.contains(name));
    left.map(|(n, _)| n).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_owed_is_done_once(
        method in prop::collection::vec((kind(), any::<u8>()), 0..6),
        rollbacks in prop::collection::vec(any::<u8>(), 0..5),
        fates in prop::collection::vec(fate(), 1..30),
        interruptions in prop::collection::vec((0_u64..900, interruption()), 0..4),
        hypothesis in strategy(),
        fast in any::<bool>(),
        controls in any::<bool>(),
        ends in prop::collection::vec((0_u64..500, 0_u8..3), 0..2),
        hooks in prop::collection::vec(0_u8..12, 0..20),
    ) {
        let mut rig =
            Rig::new(&file(&method, &rollbacks, controls), terms(Verdicts::Strict, hypothesis, fast));
        for (at, by) in &interruptions {
            rig.interrupt(*at, by.clone());
        }
        rig.hook_endings = hooks
            .iter()
            .map(|hook| match hook {
                0 => Ending::Interrupted("hook".into()),
                1 => Ending::Failed("hook".into()),
                2 => Ending::Crashed("hook".into()),
                _ => Ending::Returned(Value::Null),
            })
            .collect();
        for (at, label) in &ends {
            let label: FaultLabel = format!("f{label}").parse().unwrap();
            let effect = Effect { had: HadEffect::Yes, ..Effect::default() };
            rig.standing.remove(label.as_str());
            rig.at(Duration::from_millis(*at), Event::FaultEnded(label, effect));
        }
        let verdict = rig.play(answer(&fates));

        prop_assert_eq!(rig.changed(), rig.journal());
        let mut attempts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in rig.performed.iter().filter(|name| name.starts_with('r')) {
            *attempts.entry(name).or_default() += 1;
        }
        prop_assert_eq!(attempts.len(), rollbacks.len(), "{:?}", rig.performed);
        prop_assert!(attempts.values().all(|times| *times == 1), "{:?}", attempts);
        for (label, fault) in rig.run.faults() {
            let ended = matches!(fault.state, experiment::run::FaultState::Ended(_));
            prop_assert!(ended, "{label} is {:?}", fault.state);
        }
        let journal = rig.journal();
        prop_assert_eq!(&journal["schism"]["unfinished"], &json!(false));
        prop_assert_eq!(journal["status"].as_str().unwrap(), verdict.status.to_string());

        let left = cut_short(&rig, rollbacks.len());
        let Some(owed) = owed(&journal) else {
            prop_assert_eq!(left, Vec::<usize>::new(), "{:#}", journal);
            return Ok(());
        };
        prop_assert_eq!(&owed.rollbacks, &left);
        let file = file(&method, &rollbacks, controls);
        let terms = terms(Verdicts::Strict, hypothesis, fast);
        let mut other = Rig::resuming(&file, terms, &owed);
        other.play(|_| (Duration::from_millis(10), Ending::Returned(json!({"status": 0}))));
        let mut played = other.performed.clone();
        played.sort();
        let names: Vec<String> = left.iter().map(|n| format!("r{n}")).collect();
        prop_assert_eq!(played, names);
        let whole = resumed(journal.as_object().unwrap(), &other.run.journal(other.now));
        prop_assert_eq!(self::owed(&Value::Object(whole)), None);
    }

    /// At any time, what another run would finish is what is left of this one.
    #[test]
    fn a_journal_says_at_any_time_what_is_owed(
        method in prop::collection::vec((kind(), any::<u8>()), 0..5),
        rollbacks in prop::collection::vec(any::<u8>(), 0..4),
        fates in prop::collection::vec(fate(), 1..20),
        interruptions in prop::collection::vec((0_u64..900, interruption()), 0..4),
        steps in 0_usize..40,
    ) {
        let mut rig = Rig::new(
            &file(&method, &rollbacks, false),
            terms(Verdicts::Strict, HypothesisStrategy::Default, false),
        );
        for (at, by) in &interruptions {
            rig.interrupt(*at, by.clone());
        }
        let mut answer = answer(&fates);
        let actions = rig.run.begin(Duration::ZERO);
        rig.take_all(actions, &mut answer);
        for _ in 0..steps {
            if rig.verdict.is_some() {
                break;
            }
            rig.step(&mut answer);
        }
        let journal = rig.journal();
        if rig.verdict.is_none() {
            let owed = &journal["schism"]["owed"];
            let finished = |n: usize| {
                let name = format!("r{n}");
                let by_itself = |item: &Value| {
                    item["status"] != "interrupted" || rig.asking.contains(name.as_str())
                };
                journal["rollbacks"].as_array().unwrap().iter().any(|item| {
                    item["activity"]["name"] == name.as_str()
                        && item.get("end").is_some()
                        && by_itself(item)
                })
            };
            for n in 0..rollbacks.len() {
                let is_owed = owed["rollbacks"].as_array().unwrap().contains(&json!(n));
                prop_assert!(is_owed != finished(n), "{n} of {}", journal);
            }
            for label in &rig.standing {
                let named = owed["faults"].as_object().unwrap().contains_key(label);
                prop_assert!(named, "{label} of {}", journal);
            }
        }
    }

    #[test]
    fn every_run_ends_also_in_compat(
        method in prop::collection::vec((kind(), any::<u8>()), 0..5),
        rollbacks in prop::collection::vec(any::<u8>(), 0..4),
        fates in prop::collection::vec(fate(), 1..20),
        interruptions in prop::collection::vec((0_u64..900, interruption()), 0..3),
        hypothesis in strategy(),
    ) {
        let mut rig =
            Rig::new(&file(&method, &rollbacks, true), terms(Verdicts::Compat, hypothesis, true));
        for (at, by) in &interruptions {
            rig.interrupt(*at, by.clone());
        }
        rig.play(answer(&fates));
        for (label, fault) in rig.run.faults() {
            let ended = matches!(fault.state, experiment::run::FaultState::Ended(_));
            prop_assert!(ended, "{label} is {:?}", fault.state);
        }
    }
}

/// Answers that nobody waits for change nothing.
#[test]
fn late_answers_are_no_mistake() {
    let file = file(&[(Kind::Fault, 4)], &[0], false);
    let mut rig = Rig::new(&file, terms(Verdicts::Strict, HypothesisStrategy::Skip, false));
    let actions = rig.run.begin(Duration::ZERO);
    let perform = actions
        .iter()
        .find_map(|action| if let Action::Perform(perform) = action { Some(perform) } else { None })
        .unwrap();
    let late = Duration::from_millis(151);
    let actions = rig.run.on(Event::Tick, late);
    assert!(actions.contains(&Action::Abort(perform.call)));
    let answer = Event::Finished(perform.call, Ending::Returned(Value::Null));
    assert!(!rig.run.on(answer, late).iter().any(|action| matches!(action, Action::Perform(_))));
}
