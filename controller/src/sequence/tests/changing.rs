//! What changes while it acts.

use fault::Gone;

use super::*;

fn id(part: u16) -> FaultId {
    fault(part).id
}

fn ids<const N: usize>(parts: [u16; N]) -> BTreeSet<FaultId> {
    parts.map(id).into()
}

const TARGET: Seated = Seated { target: true, peer: false };
const PEER: Seated = Seated { target: false, peer: true };

/// One that acts, where a pod may go at the target of part 0 and at the other side of part 1.
fn seated() -> Sequence {
    let active = active();
    active.seated(|part| if part.fault.id.part == 0 { TARGET } else { PEER })
}

fn join(name: &str, part: u16) -> (NodeName, Fault, Seated) {
    (node(name), fault(part), TARGET)
}

fn change(leave: BTreeSet<FaultId>, join: Vec<(NodeName, Fault, Seated)>) -> Event {
    Event::Changed(Box::new(Change { leave, join }))
}

fn heard(part: u16, state: State) -> Event {
    Event::Heard(Box::new(status(part, state)))
}

#[test]
fn what_goes_with_its_pod_is_no_failure_and_anything_else_is() {
    let table = [
        (0, State::Gone(Gone::Namespace), Stage::Active),
        (0, State::Gone(Gone::Process), Stage::Active),
        (0, State::Gone(Gone::Peer), Stage::Healing),
        (0, State::Failed, Stage::Healing),
        (1, State::Gone(Gone::Peer), Stage::Active),
        (1, State::Gone(Gone::Namespace), Stage::Healing),
    ];
    for (part, state, stage) in table {
        let mut sequence = seated();
        let _ = sequence.on(heard(part, state), 2 * SECOND);
        assert_eq!(sequence.stage(), stage, "part {part}, {state}");
    }
}

#[test]
fn what_comes_in_is_stored_first_and_what_leaves_leaves_at_once() {
    let mut sequence = seated();
    let actions = sequence.on(change(ids([0]), vec![join("b", 2), join("c", 3)]), 2 * SECOND);
    let expected = [
        Action::Leave(node("a"), ids([0])),
        Action::Record,
        Action::Join(node("b"), ids([2])),
        Action::Join(node("c"), ids([3])),
    ];
    assert_eq!(actions, expected);
    assert_eq!(sequence.acting(), 1, "nothing that leaves is renewed");
    let left = Event::Left(node("a"), ids([0]), Ok(vec![status(0, State::Healed)]));
    assert_eq!(sequence.on(left, 2 * SECOND), [Action::Record]);
    let joined = Event::Joined(node("b"), ids([2]), Ok(vec![status(2, State::Active)]));
    assert_eq!(sequence.on(joined, 2 * SECOND), [Action::Record]);
    assert_eq!((sequence.stage(), sequence.acting()), (Stage::Active, 2));
    // Of one node what is meant is asked for by number, and what stays goes on.
    let more = sequence.on(change(ids([1]), Vec::new()), 2 * SECOND);
    assert_eq!(more, [Action::Leave(node("b"), ids([1]))]);
    assert_eq!(sequence.part(id(2)).unwrap().state, PartState::Active);
}

#[test]
fn what_cannot_come_in_ends_nothing() {
    let mut sequence = seated();
    let _ = sequence.on(change(BTreeSet::new(), vec![join("c", 2)]), 2 * SECOND);
    let no = Refusal::Refused("no room".to_owned());
    let actions = sequence.on(Event::Joined(node("c"), ids([2]), Err(no)), 2 * SECOND);
    assert_eq!(actions, [Action::Record], "it has nothing of it");
    assert_eq!(sequence.part(id(2)).unwrap().state, PartState::Ended);
    // Of who did not answer nobody knows.
    let _ = sequence.on(change(BTreeSet::new(), vec![join("c", 3)]), 2 * SECOND);
    let actions = sequence.on(Event::Joined(node("c"), ids([3]), Err(unreachable())), 2 * SECOND);
    assert_eq!(actions, [Action::Leave(node("c"), ids([3])), Action::Record]);
    let _ = sequence.on(Event::Left(node("c"), ids([3]), Err(unreachable())), 2 * SECOND);
    assert_eq!(sequence.part(id(3)).unwrap().state, PartState::Lost);
    let again = sequence.on(Event::Found(node("c")), 3 * SECOND);
    assert_eq!(again, [Action::Leave(node("c"), ids([3])), Action::List(node("c"))]);
    let _ = sequence.on(Event::Left(node("c"), ids([3]), Err(Refusal::Unknown)), 3 * SECOND);
    assert_eq!((sequence.stage(), sequence.acting()), (Stage::Active, 2));
}

#[test]
fn a_heal_waits_for_what_is_on_its_way_in() {
    let mut sequence = seated();
    let _ = sequence.on(change(BTreeSet::new(), vec![join("c", 2)]), 2 * SECOND);
    let actions = sequence.on(Event::Heal("asked".to_owned()), 2 * SECOND);
    let nodes = ["a", "b", "c"].map(|name| Action::Heal(node(name)));
    assert_eq!(actions[..3], nodes);
    for (name, result) in [
        ("a", Ok(vec![status(0, State::Healed)])),
        ("b", Ok(vec![status(1, State::Healed)])),
        ("c", Err(Refusal::Unknown)),
    ] {
        let _ = sequence.on(Event::Healed(node(name), result), 2 * SECOND);
    }
    assert_eq!(sequence.stage(), Stage::Healing, "c has not answered");
    // The heal was there first: it came in after all.
    let joined = Event::Joined(node("c"), ids([2]), Ok(vec![status(2, State::Active)]));
    assert_eq!(sequence.on(joined, 2 * SECOND), [Action::Leave(node("c"), ids([2]))]);
    let left = Event::Left(node("c"), ids([2]), Ok(vec![status(2, State::Healed)]));
    assert_eq!(sequence.on(left, 2 * SECOND), [Action::Record]);
    assert_eq!(sequence.stage(), Stage::Healed);
}

#[test]
fn what_is_left_by_all_its_pods_ends_at_its_deadline() {
    let mut sequence = seated();
    let _ = sequence.on(heard(0, State::Gone(Gone::Namespace)), 2 * SECOND);
    let _ = sequence.on(heard(1, State::Gone(Gone::Peer)), 2 * SECOND);
    assert_eq!((sequence.stage(), sequence.acting()), (Stage::Active, 0));
    assert_eq!(sequence.on(Event::Tick, 30 * SECOND), []);
    assert_eq!(sequence.on(Event::Tick, 61 * SECOND), [Action::Record]);
    assert_eq!(sequence.stage(), Stage::Expired);
    // What is over is not changed any more.
    assert_eq!(sequence.on(change(BTreeSet::new(), vec![join("c", 2)]), 62 * SECOND), []);
    assert_eq!(sequence.parts().len(), 2);
}

#[test]
fn what_comes_in_ends_with_those_that_were_there() {
    assert_eq!(two().ends_by(), None);
    // They said at 1 s that they had 50 s left: the answer came late.
    let mut sequence = seated();
    assert_eq!((sequence.ends_by(), sequence.deadline()), (Some(51 * SECOND), Some(61 * SECOND)));
    // One that has left said so, too.
    let mut gone = status(0, State::Gone(Gone::Namespace));
    gone.now = gone.now + 3 * SECOND;
    let _ = sequence.on(Event::Heard(Box::new(gone)), 4 * SECOND);
    assert_eq!(sequence.ends_by(), Some(51 * SECOND));
    // Who is heard late says nothing of what is behind the deadline.
    let _ = sequence.on(heard(1, State::Active), 15 * SECOND);
    assert_eq!(sequence.ends_by(), Some(61 * SECOND));
}

/// One of which part 1 had to leave a node that was not there, at 2 s.
fn lost() -> Sequence {
    let mut sequence = seated();
    let _ = sequence.on(change(ids([1]), Vec::new()), 2 * SECOND);
    let _ = sequence.on(Event::Left(node("b"), ids([1]), Err(unreachable())), 2 * SECOND);
    assert_eq!(sequence.part(id(1)).unwrap().state, PartState::Lost);
    sequence
}

#[test]
fn what_has_left_and_was_not_confirmed_is_never_told_to_be_healed() {
    let mut sequence = lost();
    let _ = sequence.on(Event::Renewed(vec![id(0)], 19 * SECOND), 19 * SECOND);
    // Its lease is over, and nobody has said anything.
    assert_eq!(sequence.on(Event::Tick, 20 * SECOND), [], "it lapses");
    let part = sequence.part(id(1)).unwrap();
    assert_eq!((part.state, part.trouble.as_str()), (PartState::Lost, "b: no answer"));
    let actions = sequence.on(Event::Heal("asked".to_owned()), 21 * SECOND);
    let both = ["a", "b"].map(|name| Action::Heal(node(name)));
    assert_eq!(actions, [&both[..], &[Action::Record]].concat());
    let _ = sequence.on(Event::Healed(node("a"), Ok(vec![status(0, State::Healed)])), 21 * SECOND);
    let _ = sequence.on(Event::Healed(node("b"), Err(unreachable())), 21 * SECOND);
    assert_eq!(sequence.stage(), Stage::Unconfirmed);
    assert!(sequence.owes(&node("b")));
    // Its agent is there again.
    assert_eq!(sequence.on(Event::Found(node("b")), 22 * SECOND), [Action::Heal(node("b"))]);
    let _ = sequence.on(Event::Healed(node("b"), Err(Refusal::Unknown)), 22 * SECOND);
    assert_eq!(sequence.stage(), Stage::Healed);
}

#[test]
fn what_was_lost_is_over_at_the_deadline_as_all_is() {
    let mut sequence = lost();
    let _ = sequence.on(heard(0, State::Gone(Gone::Namespace)), 3 * SECOND);
    assert_eq!(sequence.on(Event::Tick, 60 * SECOND), [], "a pod may come still");
    assert_eq!(sequence.on(Event::Tick, 61 * SECOND), [Action::Record]);
    assert_eq!(sequence.stage(), Stage::Expired);

    // Before it a node's clock may say that it is over.
    let mut sequence = lost();
    let mut expired = status(0, State::Expired);
    expired.now = expired.lease.unwrap().deadline;
    assert_eq!(sequence.on(Event::Heard(Box::new(expired)), 60 * SECOND), []);
    assert_eq!(sequence.stage(), Stage::Active);
    assert_eq!(sequence.on(Event::Tick, 61 * SECOND), [Action::Record]);
    assert_eq!(sequence.stage(), Stage::Expired);
}

#[test]
fn what_has_lost_its_meaning_fails() {
    let mut sequence = seated();
    let actions = sequence.on(Event::Lost("its pod is gone".to_owned()), 2 * SECOND);
    assert_eq!(actions[..2], ["a", "b"].map(|name| Action::Heal(node(name))));
    for (name, part) in [("a", 0), ("b", 1)] {
        let healed = Event::Healed(node(name), Ok(vec![status(part, State::Healed)]));
        let _ = sequence.on(healed, 2 * SECOND);
    }
    assert_eq!((sequence.stage(), sequence.reason()), (Stage::Failed, "its pod is gone"));
}
