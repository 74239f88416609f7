use proptest::prelude::*;

use super::*;
use crate::{FlowAge, Mode, Preset, Protocol, Side, Standing};

fn name(number: usize) -> MemberName {
    MemberName::new(&format!("m{number}")).unwrap()
}

fn voters(count: usize) -> Group {
    Group::new((0..count).map(|number| (name(number), Standing::Voter))).unwrap()
}

fn lossy(from: usize, to: usize, percent: &str) -> Impairment {
    let link = Link { from: name(from), to: name(to) };
    Impairment::Loss { link, chance: percent.parse().unwrap() }
}

fn cut(from: usize, to: usize) -> Impairment {
    lossy(from, to, "100%")
}

fn stop(member: usize, cause: Stop) -> Impairment {
    Impairment::Stop { member: name(member), cause }
}

/// With how many the best voter talks, and whether that is enough.
type Best = Result<usize, Option<usize>>;

fn best(group: &Group, impairments: &[Impairment]) -> Best {
    let found = group.quorum(impairments);
    found.map(|found| found.best.count()).map_err(|loss| loss.best.map(|best| best.count()))
}

#[test]
fn groups() {
    let table: [(usize, &[Impairment], Best); 15] = [
        (0, &[], Err(None)),
        (1, &[], Ok(1)),
        (1, &[stop(0, Stop::Frozen)], Err(None)),
        (2, &[], Ok(2)),
        (2, &[cut(0, 1)], Err(Some(1))),
        (2, &[stop(1, Stop::Killed)], Err(Some(1))),
        (3, &[stop(0, Stop::Killed)], Ok(2)),
        (3, &[stop(0, Stop::Killed), stop(1, Stop::Absent)], Err(Some(1))),
        (3, &[stop(0, Stop::Frozen), cut(1, 2)], Err(Some(1))),
        // One way only, and around by the third.
        (3, &[cut(0, 1)], Ok(3)),
        (3, &[cut(0, 1), cut(1, 2)], Ok(2)),
        (3, &[cut(0, 1), cut(1, 2), cut(2, 0)], Err(Some(1))),
        (4, &[stop(0, Stop::Frozen)], Ok(3)),
        (4, &[stop(0, Stop::Frozen), stop(1, Stop::Frozen)], Err(Some(2))),
        (5, &[stop(0, Stop::Frozen), stop(1, Stop::Killed)], Ok(3)),
    ];
    for (count, impairments, expected) in table {
        assert_eq!(best(&voters(count), impairments), expected, "{count} {impairments:?}");
    }
}

#[test]
fn losses() {
    let table: [(&[&str], bool); 8] = [
        (&["100%"], true),
        (&["10%"], true),
        (&["9.9%"], false),
        (&["0.01%"], false),
        (&["5%", "4.9%"], false),
        (&["5%", "5%"], true),
        (&["4%", "4%", "4%"], true),
        (&[], false),
    ];
    for (losses, severed) in table {
        let impairments: Vec<_> = losses.iter().map(|loss| lossy(0, 1, loss)).collect();
        assert_eq!(voters(2).quorum(&impairments).is_err(), severed, "{losses:?}");
    }
    // Each direction is another link.
    assert!(voters(2).quorum(&[lossy(0, 1, "9%"), lossy(1, 0, "9%")]).is_ok());
}

#[test]
fn presets() {
    let table = [
        (Preset::Isolate, 2, false),
        (Preset::Isolate, 3, true),
        (Preset::IsolateIn, 2, false),
        (Preset::IsolateOut, 3, true),
        (Preset::Split, 3, true),
        (Preset::Split, 4, false),
        (Preset::Split, 5, true),
        (Preset::Bridge, 3, true),
        (Preset::Bridge, 4, true),
        (Preset::Bridge, 5, true),
        (Preset::MajoritiesRing, 3, true),
        (Preset::MajoritiesRing, 4, true),
        (Preset::MajoritiesRing, 5, true),
        (Preset::MinorityThird, 3, true),
        (Preset::MinorityThird, 4, true),
        (Preset::MinorityThird, 10, true),
    ];
    for (preset, count, kept) in table {
        let group = voters(count);
        for seed in 0..20 {
            let grudge = preset.grudge(group.names(), None, seed).unwrap();
            let cuts: Vec<_> = grudge
                .cuts()
                .iter()
                .map(|link| Impairment::Loss { link: link.clone(), chance: Chance::CERTAIN })
                .collect();
            assert_eq!(group.quorum(&cuts).is_ok(), kept, "{preset} of {count}, seed {seed}");
        }
    }
}

#[test]
fn learners_and_strangers_do_not_count() {
    let mut members: Vec<_> = (0..3).map(|number| (name(number), Standing::Voter)).collect();
    members.extend((3..6).map(|number| (name(number), Standing::Learner)));
    let group = Group::new(members).unwrap();
    assert_eq!(best(&group, &[stop(3, Stop::Killed), cut(0, 4), cut(9, 0)]), Ok(3));
    assert_eq!(best(&group, &[stop(0, Stop::Killed), cut(1, 2)]), Err(Some(1)));
    let learners = Group::new([(name(0), Standing::Learner)]).unwrap();
    assert_eq!(best(&learners, &[]), Err(None));
}

#[test]
fn a_cut_that_selects_counts_and_a_shadow_does_not() {
    let link = Link { from: name(0), to: name(1) };
    let cut = Cut {
        mode: Mode::Initiator,
        protocol: Some(Protocol::Udp),
        port: Some(9),
        flows: FlowAge::New,
        loss: Chance::CERTAIN,
        seed: 0,
        verdict: Verdict::Drop,
        side: Side::Ingress,
    };
    let expected = Impairment::Loss { link: link.clone(), chance: Chance::CERTAIN };
    assert_eq!(Impairment::of_cut(link.clone(), &cut), Some(expected));
    let shadow = Cut { verdict: Verdict::Count, ..cut };
    assert_eq!(Impairment::of_cut(link, &shadow), None);
}

#[test]
fn sentences() {
    let stops = |members: &[usize]| -> Vec<_> {
        members.iter().map(|member| stop(*member, Stop::Killed)).collect()
    };
    let table = [
        (voters(0), vec![], "the group has no voters"),
        (voters(3), stops(&[0, 1, 2]), "of 3 voters 2 must run, and none would"),
        (
            voters(3),
            stops(&[0, 2]),
            "of 3 voters 2 must be able to talk with one of them; at best m1 would, with nobody",
        ),
        (
            voters(6),
            stops(&[0, 4, 5]),
            "of 6 voters 4 must be able to talk with one of them; at best m1 would, with m2, m3, \
             which makes 3",
        ),
    ];
    for (group, impairments, sentence) in table {
        assert_eq!(group.quorum(&impairments).unwrap_err().to_string(), sentence);
    }
}

/// Members, of whom some vote, and what is done to them; small enough to look at every subset.
fn impaired() -> impl Strategy<Value = (Group, Vec<Impairment>)> {
    let member = || 0usize..6;
    let impairment = prop_oneof![
        6 => (member(), member()).prop_map(|(from, to)| cut(from, to)),
        2 => (member(), member(), 1u32..20)
            .prop_map(|(from, to, percent)| lossy(from, to, &format!("{percent}%"))),
        1 => (member(), prop::sample::select(vec![Stop::Frozen, Stop::Killed, Stop::Absent]))
            .prop_map(|(member, cause)| stop(member, cause)),
    ];
    let standing = prop_oneof![5 => Just(Standing::Voter), 1 => Just(Standing::Learner)];
    let group = prop::collection::vec(standing, 0..=6)
        .prop_map(|all| Group::new((0..).map(name).zip(all)).unwrap());
    (group, prop::collection::vec(impairment, 0..20))
}

/// Looks for a set of voters with a leader in it, by trying all of them.
fn some_subset_does(group: &Group, impairments: &[Impairment]) -> bool {
    let voters: Vec<MemberName> = group.voters().into_iter().collect();
    let runs = |member: &MemberName| {
        !impairments.iter().any(|impairment| match impairment {
            Impairment::Stop { member: stopped, .. } => stopped == member,
            Impairment::Loss { .. } => false,
        })
    };
    let passes = |from: &MemberName, to: &MemberName| {
        let loss: u64 = impairments
            .iter()
            .map(|impairment| match impairment {
                Impairment::Loss { link, chance } if link.from == *from && link.to == *to => {
                    chance.fraction()
                }
                Impairment::Loss { .. } | Impairment::Stop { .. } => 0,
            })
            .sum();
        loss < "10%".parse::<Chance>().unwrap().fraction()
    };
    (0u32..1 << voters.len()).any(|mask| {
        let set: Vec<&MemberName> =
            (0..voters.len()).filter(|bit| mask >> bit & 1 == 1).map(|bit| &voters[bit]).collect();
        let leads = |leader: &&MemberName| {
            set.iter()
                .filter(|other| *other != leader)
                .all(|other| passes(leader, other) && passes(other, leader))
        };
        2 * set.len() > voters.len()
            && set.iter().all(|member| runs(member))
            && set.iter().any(leads)
    })
}

proptest! {
    #[test]
    fn it_finds_what_trying_everything_finds((group, impairments) in impaired()) {
        let found = group.quorum(&impairments).is_ok();
        prop_assert_eq!(found, some_subset_does(&group, &impairments));
    }

    #[test]
    fn one_more_impairment_never_brings_a_member_back(
        (group, mut impairments) in impaired(), (_, more) in impaired(),
    ) {
        let reached = |found: Result<Quorum, QuorumLoss>| match found {
            Ok(quorum) => (true, quorum.best.count()),
            Err(loss) => (false, loss.best.map_or(0, |best| best.count())),
        };
        let mut before = reached(group.quorum(&impairments));
        for impairment in more {
            impairments.push(impairment);
            let after = reached(group.quorum(&impairments));
            prop_assert!(after <= before, "{:?} after {:?}", after, before);
            before = after;
        }
    }

    #[test]
    fn the_order_of_impairments_does_not_matter((group, mut impairments) in impaired()) {
        let forwards = group.quorum(&impairments);
        impairments.reverse();
        prop_assert_eq!(group.quorum(&impairments), forwards);
    }
}
