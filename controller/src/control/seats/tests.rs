//! Tables of who sits where.

use super::*;
use crate::cut::specimen;
use crate::planning::Place;
use crate::provider::kubernetes::PodName;
use crate::sequence::Event;

fn uid(number: u64) -> String {
    format!("7f3e2a10-4b5c-4d6e-8f90-{number:012x}")
}

/// An end that is a pod of a number, under a name.
fn end(selector: &str, name: &str, number: u64) -> wire::End {
    let target =
        specimen::target(&format!("pod:{}", uid(number)), specimen::identity(number, None));
    let selector: Selector = selector.parse().unwrap();
    wire::End {
        selector: Some((&selector).into()),
        node: "n1".to_owned(),
        target: Some(target.into()),
        member: format!("prod.{name}"),
        ..wire::End::default()
    }
}

fn located(name: &str, number: u64) -> Located {
    Located {
        pod: PodName { namespace: "prod".to_owned(), name: name.to_owned() },
        uid: uid(number),
        node: NodeName::new("n1").unwrap(),
        addresses: BTreeSet::new(),
        labels: BTreeMap::new(),
    }
}

#[test]
fn who_was_not_picked_is_known_from_the_beginning() {
    let picked = |selector: &str, name: &str, passed_over: &[&str]| {
        let place = Place::Addresses(Vec::new());
        let passed_over = passed_over.iter().map(|name| format!("prod/{name}")).collect();
        End {
            pod: Some(Box::new(located(name, 1))),
            passed_over: Arc::new(passed_over),
            ..End::found(selector.parse().unwrap(), place, Vec::new())
        }
    };
    let known = |ends: &[End]| bystanders(ends).map(|all| all.into_iter().collect::<Vec<_>>());
    let one = picked("one:k8s:prod/deploy/web", "web-a", &["web-b", "web-c"]);
    let other = picked("one:k8s:prod/label:app=web", "web-b", &["web-a", "web-d"]);
    let names = |all: &[&str]| Some(all.iter().map(|name| format!("prod/{name}")).collect());
    assert_eq!(known(std::slice::from_ref(&one)), names(&["web-b", "web-c"]));
    assert_eq!(known(&[one, other]), names(&["web-c", "web-d"]), "who sits is none of them");
    assert_eq!(known(&[picked("one:k8s:prod/deploy/web", "web-a", &[])]), names(&[]));
    assert_eq!(known(&[picked("all:k8s:prod/deploy/web", "web-a", &[])]), None);
    assert_eq!(known(&[picked("one:k8s:prod/sts/web", "web-0", &["web-1"])]), None);
}

#[test]
fn a_place_is_taken_by_name_then_by_whoever_has_come_since() {
    const SET: &str = "all:k8s:prod/sts/web";
    const LABEL: &str = "one:k8s:prod/label:app=web";
    const SERVICE: &str = "k8s:prod/svc/web";
    let vacant = |selector: &str, name: &str, number: u64| wire::End {
        vacant: true,
        ..end(selector, name, number)
    };
    // The selector, who sits, who could; then who takes which place, and who takes one of his own.
    type Case<'a> = (&'a str, Vec<wire::End>, Vec<Located>, &'a [(usize, u64)], &'a [u64]);
    let table: Vec<Case<'_>> = vec![
        // Nobody takes what is not free.
        (SET, vec![end(SET, "web-0", 1)], vec![located("web-0", 1), located("web-1", 9)], &[], &[]),
        // By its name, and by no other.
        (SET, vec![vacant(SET, "web-0", 1)], vec![located("web-1", 9)], &[], &[]),
        (SET, vec![vacant(SET, "web-0", 1)], vec![located("web-0", 2)], &[(0, 2)], &[]),
        // The same pod, of which a node said that it is gone: its sandbox was made anew.
        (SET, vec![vacant(SET, "web-0", 1)], vec![located("web-0", 1)], &[(0, 1)], &[]),
        // By whoever has come; who was there in the beginning is none of them.
        (LABEL, vec![vacant(LABEL, "web-a", 1)], vec![located("web-b", 5)], &[(0, 5)], &[]),
        (LABEL, vec![vacant(LABEL, "web-a", 1)], vec![located("other", 6)], &[], &[]),
        // Also under a name that was there.
        (
            LABEL,
            vec![vacant(LABEL, "web-a", 1), vacant(LABEL, "web-b", 2)],
            vec![located("web-b", 7), located("web-c", 8)],
            &[(1, 7), (0, 8)],
            &[],
        ),
        // One that comes in addition waits for a place.
        (LABEL, vec![end(LABEL, "web-a", 1)], vec![located("web-b", 5)], &[], &[]),
        // Behind a service there are as many places as pods.
        (
            SERVICE,
            vec![end(SERVICE, "web-a", 1), vacant(SERVICE, "web-b", 2)],
            vec![located("web-a", 1), located("web-c", 3), located("web-d", 4)],
            &[(1, 3)],
            &[4],
        ),
        // Who sits at the other side sits.
        (
            LABEL,
            vec![vacant(LABEL, "web-a", 1), end(SERVICE, "web-b", 5)],
            vec![located("web-b", 5)],
            &[],
            &[],
        ),
    ];
    let bystanders = BTreeSet::from(["prod/other".to_owned()]);
    for (number, (selector, ends, usable, taken, more)) in table.into_iter().enumerate() {
        let seats = Seat::all(&ends);
        assert_eq!(seats.len(), ends.len());
        let selector: Selector = selector.parse().unwrap();
        let (found, others) = takers(&seats, &selector, usable, Some(&bystanders));
        let found: Vec<_> = found.into_iter().map(|(at, one)| (at, one.uid)).collect();
        let taken: Vec<_> = taken.iter().map(|(at, number)| (*at, uid(*number))).collect();
        assert_eq!(found, taken, "case {number}");
        let others: Vec<_> = others.into_iter().map(|one| one.uid).collect();
        assert_eq!(others, more.iter().map(|one| uid(*one)).collect::<Vec<_>>(), "case {number}");
    }
}

#[test]
fn who_was_not_picked_is_known_before_anybody_comes() {
    // The selector, who is known not to have been picked, and whether one that has come takes the place.
    let others = BTreeSet::from(["prod/other".to_owned()]);
    let none = BTreeSet::new();
    let table = [
        ("one:k8s:prod/deploy/web", None, false),
        ("one:k8s:prod/deploy/web", Some(&none), true),
        ("one:k8s:prod/deploy/web", Some(&others), true),
        // Of all there is nobody who was not.
        ("all:k8s:prod/deploy/web", None, true),
        ("k8s:prod/svc/web", None, true),
    ];
    for (text, bystanders, takes) in table {
        let ends = [wire::End { vacant: true, ..end(text, "web-a", 1) }];
        let selector: Selector = text.parse().unwrap();
        let usable = vec![located("web-b", 2)];
        let (found, _) = takers(&Seat::all(&ends), &selector, usable, bystanders);
        assert_eq!(found.len(), usize::from(takes), "{text}, {bystanders:?}");
        // By its name it always does.
        let usable = vec![located("web-a", 3)];
        let (found, _) = takers(&Seat::all(&ends), &selector, usable, bystanders);
        assert_eq!(found.len(), 1, "{text}, {bystanders:?}");
    }
}

#[test]
fn what_is_no_pod_is_no_seat() {
    let selector: Selector = "k8s:prod/svc/web".parse().unwrap();
    let addresses = wire::End {
        selector: Some((&selector).into()),
        several: ["10.96.0.7", "fd79::7"]
            .map(|one| (&one.parse::<Prefix>().unwrap()).into())
            .into(),
        ..wire::End::default()
    };
    assert_eq!(Seat::of(0, &addresses), None);
    let found = super::addresses(&addresses);
    assert_eq!(found, ["10.96.0.7", "fd79::7"].map(|one| one.parse().unwrap()).into());
    let mut netns = end("k8s:prod/pod/a", "a", 1);
    netns.selector = Some((&"netns:a".parse::<Selector>().unwrap()).into());
    assert_eq!(Seat::of(0, &netns), None);
    let ends = [end("k8s:prod/pod/a", "a", 1), addresses.clone(), addresses, netns];
    let named = watched(&ends).into_iter().map(|one| one.to_string()).collect::<Vec<_>>();
    assert_eq!(named, ["k8s:prod/pod/a", "k8s:prod/svc/web"]);
}

#[test]
fn where_a_pod_may_go_is_known_of_each_part() {
    let ends = [
        end("k8s:prod/pod/a", "a", 1),
        end("k8s:prod/pod/b", "b", 2),
        wire::End { target: None, ..end("addr:10.0.0.1", "", 3) },
    ];
    let cut = |from, to, part| wire::Cut { from, to, parts: vec![part] };
    let cuts = [cut(0, 1, 0), cut(0, 2, 1)];
    let part = |number: u16, side: Side| {
        let mut fault = specimen::status(number, fault::State::Active, 1, 1).fault;
        if let fault::Kind::Cut(cut) = &mut fault.kind {
            cut.side = side;
        }
        Part::new(NodeName::new("n1").unwrap(), fault)
    };
    let again = seating(&ends, &cuts, Some(OnRestart::Reapply));
    let both = Seated { target: true, peer: true };
    assert_eq!(again(&part(0, Side::Ingress)), both);
    assert_eq!(again(&part(1, Side::Egress)), Seated { target: true, peer: false });
    let never = seating(&ends, &cuts, Some(OnRestart::End));
    assert_eq!(never(&part(0, Side::Ingress)), Seated::default());
}

#[test]
fn a_direction_that_is_in_at_one_end_alone_is_taken_out_there() {
    let statuses = [0, 1, 2].map(|part| specimen::status(part, fault::State::Active, 1, 1));
    let node = NodeName::new("n1").unwrap();
    let faults = statuses.iter().map(|status| (node.clone(), status.fault.clone())).collect();
    let terms = statuses[0].fault.terms;
    let id = statuses[0].fault.id.intent;
    let spec = wire::Spec::default();
    let mut intent = Intent::new(id, spec, terms, String::new(), &[], &[], faults, 0);
    intent.ends = [1, 2, 3].map(|number| end("k8s:prod/pod/a", "a", number)).into();
    let cut = |to, parts| wire::Cut { from: 0, to, parts };
    intent.cuts = vec![cut(1, vec![0, 1]), cut(2, vec![2])];
    let direction = |to| Direction { from: 0, to };
    let batches = [(direction(1), 2), (direction(2), 1)];
    // Where nothing is in, nothing is half of something.
    assert_eq!(halves(&intent, &batches), BTreeSet::new());
    assert_eq!(missing(&intent), [direction(1), direction(2)]);
    let _ = intent.sequence.begin();
    assert_eq!(halves(&intent, &batches), BTreeSet::new());
    assert_eq!(missing(&intent), []);
    let ended = specimen::status(1, fault::State::Failed, 1, 1);
    let _ = intent.sequence.on(Event::Heard(Box::new(ended)), std::time::Duration::ZERO);
    assert_eq!(halves(&intent, &batches), BTreeSet::from([specimen::id(0)]));
    // Of earlier ones nothing is expected any more.
    assert_eq!(halves(&intent, &[(direction(1), 1)]), BTreeSet::new());
    assert_eq!(touching(&intent, &[1].into()), BTreeSet::from([specimen::id(0)]));
    assert_eq!(touching(&intent, &[2].into()), BTreeSet::from([specimen::id(2)]));
    // Who has gone is not missed.
    intent.ends[2].vacant = true;
    let _ = intent.sequence.on(
        Event::Heard(Box::new(specimen::status(2, fault::State::Failed, 1, 1))),
        std::time::Duration::ZERO,
    );
    assert_eq!(missing(&intent), []);
}
