//! Tables of what happens, and random orders of it.

mod changing;

use std::net::IpAddr;

use fault::{
    BootId, BootTime, Chance, Cut, Effect, Fault, FaultId, FlowAge, Hook, IntentId, Kind, Mode,
    NamespaceCookie, Peers, Prefix, Side, State, TargetIdentity, Verdict, Window,
};
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn fault(part: u16) -> Fault {
    let peer: IpAddr = "10.0.0.1".parse().unwrap();
    Fault {
        id: FaultId { intent: IntentId::from_random(7), part },
        selector: "netns:a".parse().unwrap(),
        target: TargetIdentity {
            boot: BootId::new(1),
            namespace: NamespaceCookie::new(2),
            process: None,
        },
        kind: Kind::Cut(Cut {
            mode: Mode::Packet,
            protocol: None,
            port: None,
            flows: FlowAge::All,
            loss: Chance::CERTAIN,
            seed: 1,
            verdict: Verdict::Drop,
            side: Side::Ingress,
        }),
        peers: Peers { fixed: vec![Prefix::from(peer)], followed: None },
        terms: terms(),
        control_path: Vec::new(),
    }
}

fn terms() -> LeaseTerms {
    LeaseTerms::new(15 * SECOND, 60 * SECOND).unwrap()
}

fn status(part: u16, state: State) -> Status {
    let at = |seconds: u64| BootTime::from_nanos(seconds * 1_000_000_000);
    Status {
        fault: fault(part),
        state,
        lease: Some(Window { start: at(10), end: at(70), deadline: at(70) }),
        effect: Effect::default(),
        measured: None,
        hook: Hook::default(),
        peers: Vec::new(),
        drifts: Vec::new(),
        now: at(20),
        holder: None,
    }
}

/// Two nodes, a part each.
fn two() -> Sequence {
    let part = |name, number| Part::new(node(name), fault(number));
    Sequence::new(vec![part("a", 0), part("b", 1)], terms())
}

fn active() -> Sequence {
    let mut sequence = two();
    let _ = sequence.begin();
    for name in ["a", "b"] {
        let _ = sequence.on(Event::Prepared(node(name), Ok(())), SECOND);
    }
    for (name, part) in [("a", 0), ("b", 1)] {
        let event = Event::Committed(node(name), Ok(vec![status(part, State::Active)]));
        let _ = sequence.on(event, SECOND);
    }
    assert_eq!(sequence.stage(), Stage::Active);
    sequence
}

fn unreachable() -> Refusal {
    Refusal::Unreachable("no answer".to_owned())
}

#[test]
fn nothing_is_committed_before_everything_is_prepared() {
    let mut sequence = two();
    let begun = sequence.begin();
    assert_eq!(begun, [Action::Prepare(node("a")), Action::Prepare(node("b"))]);
    assert_eq!(sequence.on(Event::Prepared(node("a"), Ok(())), SECOND), []);
    let all = BTreeSet::from([node("a"), node("b")]);
    assert_eq!(sequence.on(Event::Prepared(node("b"), Ok(())), SECOND), [Action::Commit(all)]);
}

#[test]
fn what_one_node_refuses_is_healed_on_the_other() {
    let mut sequence = two();
    let _ = sequence.begin();
    let _ = sequence.on(Event::Prepared(node("a"), Ok(())), SECOND);
    let no = Refusal::Refused("no room".to_owned());
    let actions = sequence.on(Event::Prepared(node("b"), Err(no)), SECOND);
    assert_eq!(actions, [Action::Heal(node("a")), Action::Record], "b has nothing of it");
    let healed = Event::Healed(node("a"), Ok(vec![status(0, State::Healed)]));
    assert_eq!(sequence.on(healed, SECOND), [Action::Record]);
    assert_eq!(sequence.stage(), Stage::Failed);
    assert_eq!(sequence.reason(), "b: no room");
}

#[test]
fn who_did_not_answer_is_healed_too_and_again_when_it_is_back() {
    let mut sequence = two();
    let _ = sequence.begin();
    let _ = sequence.on(Event::Prepared(node("a"), Ok(())), SECOND);
    let actions = sequence.on(Event::Prepared(node("b"), Err(unreachable())), SECOND);
    assert_eq!(actions, [Action::Heal(node("a")), Action::Heal(node("b")), Action::Record]);
    let _ = sequence.on(Event::Healed(node("a"), Ok(Vec::new())), SECOND);
    let _ = sequence.on(Event::Healed(node("b"), Err(unreachable())), SECOND);
    assert_eq!(sequence.stage(), Stage::Unconfirmed);
    assert_eq!(sequence.on(Event::Found(node("b")), SECOND), [Action::Heal(node("b"))]);
    let confirmed = sequence.on(Event::Healed(node("b"), Err(Refusal::Unknown)), SECOND);
    assert_eq!(confirmed, [Action::Record]);
    assert_eq!(sequence.stage(), Stage::Failed);
}

#[test]
fn a_preparation_that_is_late_is_taken_out_again() {
    let mut sequence = two();
    let _ = sequence.begin();
    let _ = sequence.on(Event::Heal("asked".to_owned()), SECOND);
    let _ = sequence.on(Event::Healed(node("a"), Err(Refusal::Unknown)), SECOND);
    let late = sequence.on(Event::Prepared(node("a"), Ok(())), SECOND);
    assert_eq!(late, [Action::Heal(node("a"))]);
}

#[test]
fn an_end_before_its_time_heals_the_others() {
    let mut sequence = active();
    let gone = Event::Heard(Box::new(status(0, State::Gone(fault::Gone::Namespace))));
    assert_eq!(sequence.on(gone, 2 * SECOND), [Action::Heal(node("b")), Action::Record]);
}

#[test]
fn what_is_done_before_the_last_one_begins_is_no_failure() {
    let two_committed = |first: Status| {
        let mut sequence = two();
        let _ = sequence.begin();
        for name in ["a", "b"] {
            let _ = sequence.on(Event::Prepared(node(name), Ok(())), SECOND);
        }
        let _ = sequence.on(Event::Heard(Box::new(first.clone())), SECOND);
        let _ = sequence.on(Event::Committed(node("a"), Ok(vec![first])), SECOND);
        let last = Event::Committed(node("b"), Ok(vec![status(1, State::Active)]));
        let actions = sequence.on(last, SECOND);
        (sequence, actions)
    };
    let (mut sequence, actions) = two_committed(status(0, State::Expired));
    assert_eq!((sequence.stage(), actions), (Stage::Active, vec![Action::Record]));
    let _ = sequence.on(Event::Heard(Box::new(status(1, State::Expired))), SECOND);
    assert_eq!(sequence.stage(), Stage::Expired);
    let gone = status(0, State::Gone(fault::Gone::Namespace));
    let (sequence, actions) = two_committed(gone);
    assert_eq!(actions, [Action::Record, Action::Heal(node("b")), Action::Record]);
    assert!(sequence.reason().starts_with("a: it ended before its time: "), "{sequence:?}");
}

#[test]
fn an_answer_that_was_read_earlier_takes_nothing_back() {
    let mut sequence = two();
    let _ = sequence.begin();
    for name in ["a", "b"] {
        let _ = sequence.on(Event::Prepared(node(name), Ok(())), SECOND);
    }
    let mut later = status(0, State::Active);
    later.effect.lost = 7;
    later.now = later.now + SECOND;
    let _ = sequence.on(Event::Heard(Box::new(later)), SECOND);
    for (name, part) in [("a", 0), ("b", 1)] {
        let event = Event::Committed(node(name), Ok(vec![status(part, State::Active)]));
        let _ = sequence.on(event, SECOND);
    }
    assert_eq!(sequence.stage(), Stage::Active, "that it acts is known by it");
    assert_eq!(sequence.parts()[0].status.as_ref().unwrap().effect.lost, 7);
}

#[test]
fn what_was_heard_is_carried_on_to_who_asks() {
    let mut sequence = active();
    let mut told = status(0, State::Active);
    let at = |seconds: u64| BootTime::from_nanos(seconds * 1_000_000_000);
    told.lease = Some(Window { start: at(21), end: at(36), deadline: at(81) });
    let _ = sequence.on(Event::Heard(Box::new(told)), 2 * SECOND);
    let by = |sequence: &Sequence, now| {
        let status = sequence.parts()[0].by(now).unwrap();
        (status.standing(), status.lease_left().unwrap(), status.time_left().unwrap())
    };
    assert_eq!(by(&sequence, 2 * SECOND), (State::Prepared, 16 * SECOND, 61 * SECOND));
    assert_eq!(by(&sequence, 6 * SECOND), (State::Active, 12 * SECOND, 57 * SECOND));
    // A heartbeat that was sent then was answered.
    let _ = sequence.on(renewed(0, 8 * SECOND), 9 * SECOND);
    assert_eq!(by(&sequence, 10 * SECOND), (State::Active, 13 * SECOND, 53 * SECOND));
    let ended = status(0, State::Healed);
    let _ = sequence.on(Event::Heard(Box::new(ended.clone())), 11 * SECOND);
    assert_eq!(sequence.parts()[0].by(20 * SECOND), Some(ended), "at its end");
}

#[test]
fn at_the_deadline_it_expires() {
    let mut sequence = active();
    for part in [0, 1] {
        let _ = sequence.on(Event::Heard(Box::new(status(part, State::Expired))), 61 * SECOND);
    }
    assert_eq!(sequence.stage(), Stage::Expired);
    let mut unheard = active();
    assert_eq!(unheard.on(Event::Tick, 70 * SECOND), [Action::Record]);
    assert_eq!(unheard.stage(), Stage::Expired, "the kernel ended it, heard or not");
}

#[test]
fn a_node_that_is_silent_for_a_lease_ends_it() {
    let mut sequence = active();
    let _ = sequence.on(renewed(0, 14 * SECOND), 15 * SECOND);
    assert_eq!(sequence.on(Event::Tick, 15 * SECOND), []);
    let actions = sequence.on(Event::Tick, 17 * SECOND);
    assert_eq!(actions.last(), Some(&Action::Record));
    assert!(actions.contains(&Action::Heal(node("a"))), "{actions:?}");
}

#[test]
fn a_link_lost_and_found_within_the_lease_changes_nothing() {
    let mut sequence = active();
    assert_eq!(sequence.on(Event::Found(node("a")), 5 * SECOND), [Action::List(node("a"))]);
    let listed = Event::Listed(node("a"), vec![status(0, State::Active)]);
    assert_eq!(sequence.on(listed, 5 * SECOND), []);
    assert_eq!(sequence.stage(), Stage::Active);
}

#[test]
fn an_agent_that_was_started_anew_has_nothing_of_it() {
    let mut sequence = active();
    let actions = sequence.on(Event::Listed(node("a"), Vec::new()), 5 * SECOND);
    assert_eq!(actions, [Action::Heal(node("b")), Action::Record]);
}

#[test]
fn what_a_controller_left_half_way_is_taken_out() {
    for stage in [Stage::Pending, Stage::Preparing, Stage::Healing] {
        let parts = two().parts().to_vec();
        let mut sequence = Sequence::resume(stage, None, parts, terms(), None, SECOND);
        for name in ["a", "b"] {
            assert_eq!(sequence.on(Event::Found(node(name)), SECOND), [Action::Heal(node(name))]);
            let _ = sequence.on(Event::Healed(node(name), Err(Refusal::Unknown)), SECOND);
        }
        assert_eq!(sequence.stage(), Stage::Failed, "{stage:?}");
    }
}

fn renewed(part: u16, sent: Moment) -> Event {
    let id = two().parts()[usize::from(part)].fault.id;
    Event::Renewed(vec![id], sent)
}

/// As a controller has left it that was to take it out.
fn left(stage: Stage) -> Sequence {
    let mut parts = active().parts().to_vec();
    parts.iter_mut().for_each(|part| part.state = PartState::Lost);
    let fate = Some((Stage::Healed, "asked".to_owned()));
    Sequence::resume(stage, fate, parts, terms(), Some(60 * SECOND), SECOND)
}

#[test]
fn what_was_to_be_healed_before_a_restart_is_healed_after_it() {
    for stage in [Stage::Healing, Stage::Unconfirmed] {
        let mut sequence = left(stage);
        let healed = |part| Ok(vec![status(part, State::Healed)]);
        let _ = sequence.on(Event::Found(node("a")), 2 * SECOND);
        let _ = sequence.on(Event::Healed(node("a"), healed(0)), 2 * SECOND);
        assert!(!matches!(sequence.stage(), Stage::Healed | Stage::Expired), "{stage:?}");
        assert!(sequence.owes(&node("b")), "{stage:?}: the other node is asked as well");
        let _ = sequence.on(Event::Found(node("b")), 2 * SECOND);
        let _ = sequence.on(Event::Healed(node("b"), healed(1)), 2 * SECOND);
        assert_eq!((sequence.stage(), sequence.reason()), (Stage::Healed, "asked"), "{stage:?}");
    }
}

#[test]
fn what_had_not_come_in_before_a_restart_was_not_lost_by_its_agent() {
    let unknown = |sequence: &mut Sequence| {
        for name in ["a", "b"] {
            let _ = sequence.on(Event::Found(node(name)), SECOND);
            let _ = sequence.on(Event::Healed(node(name), Err(Refusal::Unknown)), SECOND);
        }
    };
    let parts = two().parts().to_vec();
    let mut begun = Sequence::resume(Stage::Preparing, None, parts, terms(), None, SECOND);
    unknown(&mut begun);
    assert_eq!(begun.stage(), Stage::Failed);
    assert!(begun.reason().starts_with("the controller was started anew"), "{}", begun.reason());
    assert!(begun.parts().iter().all(|part| part.trouble.is_empty()), "{begun:?}");
    let mut acted = left(Stage::Healing);
    unknown(&mut acted);
    assert!(acted.parts()[0].trouble.starts_with("a: the agent was started anew"), "{acted:?}");
}

#[test]
fn what_could_not_be_taken_out_whole_is_not_called_healed() {
    let mut sequence = active();
    let _ = sequence.on(Event::Heal("asked".to_owned()), SECOND);
    let mut stays = status(0, State::Failed);
    stays.drifts = vec![fault::Drift::NotTakenOut("detach".to_owned())];
    let _ = sequence.on(Event::Healed(node("a"), Ok(vec![stays])), SECOND);
    let _ = sequence.on(Event::Healed(node("b"), Ok(vec![status(1, State::Healed)])), SECOND);
    assert_eq!(sequence.stage(), Stage::Failed);
    assert!(sequence.reason().contains("a: something of it"), "{}", sequence.reason());
}

#[test]
fn what_could_not_be_asked_for_may_act_until_its_lease_is_over() {
    let mut sequence = active();
    assert_eq!(sequence.may_act(SECOND).count(), 2);
    let _ = sequence.on(Event::Heal("asked".to_owned()), SECOND);
    let _ = sequence.on(Event::Healed(node("a"), Err(unreachable())), SECOND);
    let _ = sequence.on(Event::Healed(node("b"), Ok(vec![status(1, State::Healed)])), SECOND);
    assert_eq!(sequence.stage(), Stage::Unconfirmed);
    assert_eq!(sequence.may_act(2 * SECOND).count(), 1);
    assert_eq!(sequence.may_act(30 * SECOND).count(), 0);
}

#[test]
fn a_deadline_by_the_wall_clock_is_believed_until_an_agent_knows_better() {
    let adopted = || {
        let mut parts = active().parts().to_vec();
        parts.iter_mut().for_each(|part| part.status = None);
        // Somebody has set the clock: it seems to be over long ago.
        Sequence::resume(Stage::Active, None, parts, terms(), Some(Duration::ZERO), SECOND)
    };
    let mut heard = adopted();
    let listed = Event::Listed(node("a"), vec![status(0, State::Active)]);
    assert_eq!(heard.on(listed, 2 * SECOND), []);
    assert_eq!(heard.deadline(), Some(52 * SECOND), "50 s are left, says the node");
    assert_eq!(heard.on(Event::Tick, 5 * SECOND), []);
    let mut unheard = adopted();
    let actions = unheard.on(Event::Tick, 5 * SECOND);
    let both = ["a", "b"].map(|name| Action::Heal(node(name)));
    assert_eq!(actions, [both.as_slice(), &[Action::Record]].concat(), "it is asked, not presumed");
    for name in ["a", "b"] {
        let _ = unheard.on(Event::Healed(node(name), Err(unreachable())), 5 * SECOND);
    }
    assert_eq!(unheard.stage(), Stage::Unconfirmed, "it may act for a lease");
}

#[test]
fn what_could_not_be_healed_is_owed_as_long_as_it_takes() {
    let mut sequence = active();
    let _ = sequence.on(Event::Heal("asked".to_owned()), SECOND);
    let _ = sequence.on(Event::Healed(node("b"), Ok(vec![status(1, State::Healed)])), SECOND);
    // The agent is found while the call over its lost link is still under way.
    assert_eq!(sequence.on(Event::Found(node("a")), SECOND), []);
    assert!(!sequence.owes(&node("a")));
    for _ in 0..3 {
        let _ = sequence.on(Event::Healed(node("a"), Err(unreachable())), SECOND);
        assert_eq!(sequence.stage(), Stage::Unconfirmed);
        assert!(sequence.owes(&node("a")) && !sequence.owes(&node("b")));
        assert_eq!(sequence.on(Event::Found(node("a")), SECOND), [Action::Heal(node("a"))]);
    }
    let _ = sequence.on(Event::Healed(node("a"), Ok(vec![status(0, State::Healed)])), SECOND);
    assert_eq!(sequence.stage(), Stage::Healed);
    assert!(!sequence.owes(&node("a")));
}

#[test]
fn what_is_owed_by_a_node_that_is_gone_is_forgotten_once_its_lease_is_over() {
    let mut sequence = active();
    assert_eq!(sequence.on(Event::Removed(node("a")), SECOND), [], "it may be a mistake");
    assert_eq!(sequence.stage(), Stage::Active);
    let _ = sequence.on(Event::Heal("asked".to_owned()), SECOND);
    assert_eq!(sequence.on(Event::Removed(node("a")), SECOND), [], "it is being asked");
    let _ = sequence.on(Event::Healed(node("a"), Err(unreachable())), SECOND);
    let _ = sequence.on(Event::Healed(node("b"), Err(unreachable())), SECOND);
    assert!(sequence.owing().eq([&node("a"), &node("b")]));
    // Its lease and the grace, from when it was heard last.
    assert_eq!(sequence.on(Event::Removed(node("a")), 18 * SECOND), []);
    assert!(sequence.owes(&node("a")));
    assert!(sequence.parts()[0].trouble.contains("ends with its lease"));
    let forgotten = sequence.on(Event::Removed(node("a")), 18 * SECOND + SECOND / 2);
    assert_eq!(forgotten, [Action::Record]);
    assert!(sequence.owing().eq([&node("b")]), "nobody says that the other one is gone");
    assert!(sequence.parts()[0].trouble.contains("lease of what was there is over"));
    assert_eq!(sequence.stage(), Stage::Unconfirmed, "nobody has confirmed it");
    assert_eq!(sequence.on(Event::Removed(node("a")), 60 * SECOND), [], "it is told once");
    // Another one of its name comes.
    assert_eq!(sequence.on(Event::Found(node("a")), 60 * SECOND), []);
    let _ = sequence.on(Event::Found(node("b")), 60 * SECOND);
    let healed = Event::Healed(node("b"), Ok(vec![status(1, State::Healed)]));
    let _ = sequence.on(healed, 60 * SECOND);
    assert_eq!(sequence.owing().count(), 0);
    let told = (sequence.stage(), sequence.reason());
    assert_eq!(told, (Stage::Unconfirmed, "asked"), "not by all");
}

#[test]
fn a_commit_that_is_answered_after_the_heal_brings_nothing_back() {
    let mut sequence = two();
    let _ = sequence.begin();
    for name in ["a", "b"] {
        let _ = sequence.on(Event::Prepared(node(name), Ok(())), SECOND);
    }
    let _ = sequence.on(Event::Heal("asked".to_owned()), SECOND);
    let _ = sequence.on(Event::Healed(node("a"), Ok(vec![status(0, State::Healed)])), SECOND);
    let _ = sequence.on(Event::Committed(node("a"), Ok(vec![status(0, State::Active)])), SECOND);
    let _ = sequence.on(Event::Healed(node("b"), Err(unreachable())), SECOND);
    let _ = sequence.on(Event::Committed(node("b"), Ok(vec![status(1, State::Active)])), SECOND);
    assert_eq!(sequence.stage(), Stage::Unconfirmed);
    let told = sequence.parts()[0].status.as_ref().unwrap();
    assert_eq!(told.state, State::Healed, "what was measured at its end is kept");
    assert!(sequence.owes(&node("b")));
}

#[test]
fn nothing_is_out_while_a_preparation_is_under_way() {
    let begun = || {
        let mut sequence = two();
        let _ = sequence.begin();
        let _ = sequence.on(Event::Prepared(node("b"), Ok(())), SECOND);
        let _ = sequence.on(Event::Heal("asked".to_owned()), SECOND);
        let _ = sequence.on(Event::Healed(node("b"), Ok(vec![status(1, State::Healed)])), SECOND);
        // The heal has overtaken the preparation.
        assert_eq!(sequence.on(Event::Healed(node("a"), Err(Refusal::Unknown)), SECOND), []);
        assert_eq!(sequence.stage(), Stage::Healing);
        sequence
    };
    let mut late = begun();
    assert_eq!(late.on(Event::Prepared(node("a"), Ok(())), SECOND), [Action::Heal(node("a"))]);
    let _ = late.on(Event::Healed(node("a"), Ok(vec![status(0, State::Healed)])), SECOND);
    assert_eq!(late.stage(), Stage::Healed);
    let mut never = begun();
    let _ = never.on(Event::Prepared(node("a"), Err(unreachable())), SECOND);
    assert_eq!(never.stage(), Stage::Unconfirmed, "it may still come in");
    assert!(never.owes(&node("a")));
    let mut refused = begun();
    let no = Refusal::Refused("it ended before it was in place".to_owned());
    let _ = refused.on(Event::Prepared(node("a"), Err(no)), SECOND);
    assert_eq!(refused.stage(), Stage::Healed);
}

#[derive(Clone, Debug)]
enum Answer {
    Yes,
    No,
    Silent,
}

fn any_event() -> impl Strategy<Value = (u8, usize, Answer)> {
    let chance = prop_oneof![Just(Answer::Yes), Just(Answer::No), Just(Answer::Silent)];
    (0u8..7, 0usize..2, chance)
}

proptest! {
    /// Whatever order answers come in: no commit before all is prepared, and once an end was asked for
    /// and every node answers, it is over.
    #[test]
    fn it_always_comes_to_an_end(events in proptest::collection::vec(any_event(), 0..40)) {
        let mut sequence = two();
        let mut owed = sequence.begin();
        let mut prepared = BTreeSet::new();
        let mut now = SECOND;
        for (kind, which, chance) in events {
            now += SECOND;
            let name = [node("a"), node("b")][which].clone();
            let part = which as u16;
            let answer = |state: State| match chance {
                Answer::Yes => Ok(vec![status(part, state)]),
                Answer::No => Err(Refusal::Refused("no".to_owned())),
                Answer::Silent => Err(unreachable()),
            };
            let asked = |owed: &mut Vec<Action>, action: &Action| {
                owed.iter().position(|one| one == action).map(|at| owed.swap_remove(at)).is_some()
            };
            let event = match kind {
                0 | 1 if asked(&mut owed, &Action::Prepare(name.clone())) => {
                    let answer = answer(State::Prepared).map(drop);
                    if answer.is_ok() { prepared.insert(name.clone()); }
                    Event::Prepared(name, answer)
                }
                2 => {
                    let Some(at) = owed.iter().position(|one| matches!(one, Action::Commit(_))) else { continue };
                    prop_assert_eq!(prepared.len(), 2);
                    owed.swap_remove(at);
                    let other = [node("a"), node("b")][1 - which].clone();
                    owed.extend(sequence.on(Event::Committed(other, Ok(vec![status(1 - part, State::Active)])), now));
                    Event::Committed(name, answer(State::Active))
                }
                3 if asked(&mut owed, &Action::Heal(name.clone())) => Event::Healed(name, answer(State::Healed)),
                4 => Event::Found(name),
                5 => Event::Tick,
                6 => Event::Heard(Box::new(status(part, State::Expired))),
                _ => continue,
            };
            owed.extend(sequence.on(event, now));
        }
        owed.extend(sequence.on(Event::Heal("enough".to_owned()), now));
        for _ in 0..8 {
            for (part, name) in [(0, node("a")), (1, node("b"))] {
                if let Some(at) = owed.iter().position(|one| *one == Action::Prepare(name.clone())) {
                    owed.swap_remove(at);
                    owed.extend(sequence.on(Event::Prepared(name.clone(), Ok(())), now));
                }
                owed.extend(sequence.on(Event::Found(name.clone()), now));
                while let Some(at) = owed.iter().position(|one| *one == Action::Heal(name.clone())) {
                    owed.swap_remove(at);
                    let healed = Event::Healed(name.clone(), Ok(vec![status(part, State::Healed)]));
                    owed.extend(sequence.on(healed, now));
                }
            }
        }
        prop_assert!(sequence.stage().is_final(), "{:?}", sequence);
        prop_assert!(sequence.stage() != Stage::Unconfirmed, "{:?}", sequence);
    }
}
