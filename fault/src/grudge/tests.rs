use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn members(count: usize) -> BTreeSet<MemberName> {
    (0..count).map(|number| MemberName::new(&format!("m{number:03}")).unwrap()).collect()
}

/// Whom a member hears and is heard by, itself included.
fn seen(grudge: &Grudge, member: &MemberName) -> BTreeSet<MemberName> {
    let cut = |other: &&MemberName| {
        let link = Link { from: member.clone(), to: (*other).clone() };
        grudge.cuts().contains(&link) || grudge.cuts().contains(&link.reversed())
    };
    grudge.members().iter().filter(|other| !cut(other)).cloned().collect()
}

fn is_symmetric(grudge: &Grudge) -> bool {
    grudge.cuts().iter().all(|link| grudge.cuts().contains(&link.reversed()))
}

/// How many members see how many, as a sorted list.
fn degrees(preset: Preset, count: usize, seed: u64) -> Vec<usize> {
    let grudge = preset.grudge(members(count), None, seed).unwrap();
    let mut degrees: Vec<usize> =
        grudge.members().iter().map(|member| seen(&grudge, member).len()).collect();
    degrees.sort_unstable();
    degrees
}

#[test]
fn shapes() {
    let table: [(Preset, usize, &[usize]); 19] = [
        (Preset::Isolate, 2, &[1, 1]),
        (Preset::Isolate, 5, &[1, 4, 4, 4, 4]),
        (Preset::Split, 2, &[1, 1]),
        (Preset::Split, 3, &[1, 2, 2]),
        (Preset::Split, 4, &[2, 2, 2, 2]),
        (Preset::Split, 5, &[2, 2, 3, 3, 3]),
        (Preset::Bridge, 3, &[2, 2, 3]),
        (Preset::Bridge, 4, &[2, 3, 3, 4]),
        (Preset::Bridge, 5, &[3, 3, 3, 3, 5]),
        (Preset::MajoritiesRing, 3, &[2, 2, 3]),
        (Preset::MajoritiesRing, 4, &[3, 3, 3, 3]),
        (Preset::MajoritiesRing, 5, &[3, 3, 3, 3, 3]),
        (Preset::MajoritiesRing, 6, &[4, 4, 4, 4, 4, 4]),
        (Preset::MajoritiesRing, 7, &[4, 4, 4, 4, 4, 4, 5]),
        (Preset::MinorityThird, 3, &[1, 2, 2]),
        (Preset::MinorityThird, 4, &[1, 3, 3, 3]),
        (Preset::MinorityThird, 6, &[1, 5, 5, 5, 5, 5]),
        (Preset::MinorityThird, 7, &[2, 2, 5, 5, 5, 5, 5]),
        (Preset::MinorityThird, 10, &[3, 3, 3, 7, 7, 7, 7, 7, 7, 7]),
    ];
    for (preset, count, expected) in table {
        for seed in 0..10 {
            assert_eq!(degrees(preset, count, seed), expected, "{preset} of {count}, seed {seed}");
        }
    }
}

#[test]
fn matrices() {
    let table = [
        (
            Preset::Isolate,
            3,
            concat!(
                "FROM\\TO 1 2 3\n",
                "      1 - x .  m000\n",
                "      2 x - x  m001\n",
                "      3 . x -  m002",
            ),
        ),
        (
            Preset::IsolateIn,
            3,
            concat!(
                "FROM\\TO 1 2 3\n",
                "      1 - x .  m000\n",
                "      2 . - .  m001\n",
                "      3 . x -  m002",
            ),
        ),
        (
            Preset::IsolateOut,
            3,
            concat!(
                "FROM\\TO 1 2 3\n",
                "      1 - . .  m000\n",
                "      2 x - x  m001\n",
                "      3 . . -  m002",
            ),
        ),
        (
            Preset::MajoritiesRing,
            3,
            concat!(
                "FROM\\TO 1 2 3\n",
                "      1 - . x  m000\n",
                "      2 . - .  m001\n",
                "      3 x . -  m002",
            ),
        ),
        (
            Preset::Split,
            5,
            concat!(
                "FROM\\TO 1 2 3 4 5\n",
                "      1 - . x x x  m000\n",
                "      2 . - x x x  m001\n",
                "      3 x x - . .  m002\n",
                "      4 x x . - .  m003\n",
                "      5 x x . . -  m004",
            ),
        ),
        (
            Preset::Bridge,
            5,
            concat!(
                "FROM\\TO 1 2 3 4 5\n",
                "      1 - . x . x  m000\n",
                "      2 . - . . .  m001\n",
                "      3 x . - x .  m002\n",
                "      4 . . x - x  m003\n",
                "      5 x . . x -  m004",
            ),
        ),
        (
            Preset::MajoritiesRing,
            5,
            concat!(
                "FROM\\TO 1 2 3 4 5\n",
                "      1 - . x . x  m000\n",
                "      2 . - . x x  m001\n",
                "      3 x . - x .  m002\n",
                "      4 . x x - .  m003\n",
                "      5 x x . . -  m004",
            ),
        ),
        (
            Preset::MinorityThird,
            5,
            concat!(
                "FROM\\TO 1 2 3 4 5\n",
                "      1 - x . . .  m000\n",
                "      2 x - x x x  m001\n",
                "      3 . x - . .  m002\n",
                "      4 . x . - .  m003\n",
                "      5 . x . . -  m004",
            ),
        ),
    ];
    for (preset, count, expected) in table {
        let members = members(count);
        let around = members.iter().nth(1).cloned();
        let grudge = preset.grudge(members, around.as_ref(), 1).unwrap();
        let printed = grudge.matrix().to_string();
        assert_eq!(printed, format!("{expected}\nx is lost, . passes"), "{preset}\n{printed}");
    }
}

#[test]
fn a_matrix_is_as_wide_as_its_numbers() {
    let long = |n: usize| format!("etcd-{n:02}.etcd-headless.a-long-namespace.svc.cluster.local");
    let members = (0..11).map(|n| MemberName::new(&long(n)).unwrap()).collect();
    let printed = Preset::Split.grudge(members, None, 0).unwrap().matrix().to_string();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "FROM\\TO  1  2  3  4  5  6  7  8  9 10 11");
    assert_eq!(lines.len(), 13);
    for (line, number) in lines[1..12].iter().zip(0..) {
        assert_eq!(line.find(&long(number)), Some(lines[0].len() + 2), "{line}");
    }
}

#[test]
fn what_makes_no_grudge_is_refused() {
    for preset in Preset::ALL {
        let least = preset.least();
        assert!(preset.grudge(members(least), None, 0).is_ok());
        let error = GrudgeError::TooFew { preset, least, found: least - 1 };
        assert_eq!(preset.grudge(members(least - 1), None, 0), Err(error));
        let stranger = MemberName::new("stranger").unwrap();
        let error = GrudgeError::Stranger(stranger.clone());
        assert_eq!(preset.grudge(members(5), Some(&stranger), 0), Err(error));
    }
    let error = Preset::Bridge.grudge(members(2), None, 0).unwrap_err();
    assert_eq!(error.to_string(), "bridge needs 3 members, and there are 2");
}

#[test]
fn the_seed_draws_every_member() {
    for preset in [Preset::Isolate, Preset::IsolateIn, Preset::Bridge, Preset::MinorityThird] {
        let drawn: BTreeSet<_> = (0..100)
            .map(|seed| preset.grudge(members(5), None, seed).unwrap().cuts().clone())
            .collect();
        assert!(drawn.len() >= 5, "{preset}: {}", drawn.len());
    }
}

#[test]
fn names_of_presets() {
    for preset in Preset::ALL {
        assert_eq!(preset.to_string().parse(), Ok(preset));
    }
    let error = "ring".parse::<Preset>().unwrap_err().to_string();
    for preset in Preset::ALL {
        assert!(error.contains(&preset.to_string()), "{error}");
    }
}

fn presets() -> impl Strategy<Value = Preset> {
    proptest::sample::select(Preset::ALL.to_vec())
}

proptest! {
    #[test]
    fn no_member_is_cut_from_itself_and_each_cut_is_between_members(
        preset in presets(), count in 3usize..40, seed: u64,
    ) {
        let grudge = preset.grudge(members(count), None, seed).unwrap();
        prop_assert!(!grudge.cuts().is_empty());
        for link in grudge.cuts() {
            prop_assert_ne!(&link.from, &link.to);
            prop_assert!(grudge.members().contains(&link.from));
            prop_assert!(grudge.members().contains(&link.to));
        }
    }

    #[test]
    fn only_the_one_way_shapes_are_not_symmetric(
        preset in presets(), count in 3usize..40, seed: u64,
    ) {
        let one_way = matches!(preset, Preset::IsolateIn | Preset::IsolateOut);
        let grudge = preset.grudge(members(count), None, seed).unwrap();
        prop_assert_eq!(is_symmetric(&grudge), !one_way);
    }

    #[test]
    fn in_and_out_make_the_whole(count in 2usize..40, seed: u64) {
        let cuts = |preset: Preset| preset.grudge(members(count), None, seed).unwrap().cuts().clone();
        let (inwards, outwards) = (cuts(Preset::IsolateIn), cuts(Preset::IsolateOut));
        prop_assert!(inwards.is_disjoint(&outwards));
        prop_assert_eq!(&inwards | &outwards, cuts(Preset::Isolate));
    }

    #[test]
    fn a_ring_shows_each_member_another_majority(count in 3usize..60, seed: u64) {
        let grudge = Preset::MajoritiesRing.grudge(members(count), None, seed).unwrap();
        let views: Vec<_> = grudge.members().iter().map(|member| seen(&grudge, member)).collect();
        let majority = count / 2 + 1;
        let more = views.iter().filter(|view| view.len() == majority + 1).count();
        prop_assert_eq!(more, usize::from(count % 4 == 3));
        prop_assert!(views.iter().all(|view| (majority..=majority + 1).contains(&view.len())));
        let distinct: BTreeSet<_> = views.iter().collect();
        prop_assert_eq!(distinct.len(), count);
    }

    #[test]
    fn a_bridge_alone_sees_everybody(count in 3usize..40, seed: u64, middle: prop::sample::Index) {
        let members = members(count);
        let bridge = members.iter().nth(middle.index(count)).cloned().unwrap();
        let grudge = Preset::Bridge.grudge(members, Some(&bridge), seed).unwrap();
        for member in grudge.members() {
            prop_assert_eq!(seen(&grudge, member).len() == count, *member == bridge);
        }
    }

    #[test]
    fn the_middle_takes_the_part_of_its_shape(
        preset in presets(), count in 3usize..40, seed: u64, middle: prop::sample::Index,
    ) {
        let members = members(count);
        let around = members.iter().nth(middle.index(count)).cloned().unwrap();
        let grudge = preset.grudge(members, Some(&around), seed).unwrap();
        let views = grudge.members().iter().map(|member| seen(&grudge, member).len());
        let view = seen(&grudge, &around).len();
        match preset {
            Preset::Isolate
            | Preset::IsolateIn
            | Preset::IsolateOut
            | Preset::Split
            | Preset::MinorityThird => prop_assert_eq!(Some(view), views.min()),
            Preset::Bridge | Preset::MajoritiesRing => prop_assert_eq!(Some(view), views.max()),
        }
    }

    #[test]
    fn neither_run_nor_order_changes_a_grudge(
        preset in presets(), count in 3usize..20, seed: u64,
    ) {
        let backwards = members(count).into_iter().rev().collect();
        let first = preset.grudge(members(count), None, seed);
        prop_assert_eq!(first, preset.grudge(backwards, None, seed));
    }
}
