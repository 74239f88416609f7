use clap::Parser;
use proptest::prelude::*;

use super::*;
use crate::cli::{Cli, Command};
use crate::cut::specimen;

fn args(line: &str) -> CutArgs {
    let words = ["schism", "cut"].into_iter().chain(line.split_whitespace());
    let Command::Cut(args) = Cli::try_parse_from(words).unwrap().command else { panic!("{line}") };
    *args
}

fn target(name: &str, cookie: u64) -> Party {
    Party::Target(Box::new(specimen::target(name, specimen::identity(cookie, None))))
}

fn party(text: &str) -> Party {
    let selector: Selector = text.parse().unwrap();
    if let Scheme::Addr(prefix) = selector.scheme {
        return Party::Addresses(prefix);
    }
    target(text, text.bytes().map(u64::from).sum())
}

/// The parts of a cut, as `PART target side peer`.
fn parts(line: &str) -> Result<Vec<String>, RequestError> {
    let args = args(line);
    let request = Request::new(&args, &Names::default(), 7)?;
    let to = args.to.as_ref().unwrap().to_string();
    let (from, to) = (party(&args.from.to_string()), party(&to));
    let directions = request.directions(&[from], &[to])?;
    let faults = request.faults(IntentId::from_random(1), &directions)?;
    let line = |fault: &Fault| {
        let Kind::Cut(cut) = fault.kind else { panic!("a cut") };
        let peer = match &fault.peers.followed {
            Some(peer) => peer.selector.to_string(),
            None => fault.peers.fixed[0].to_string(),
        };
        format!("{} {} {} {peer}", fault.id.part, fault.selector, cut.side)
    };
    Ok(faults.iter().map(line).collect())
}

#[test]
fn parts_of_a_cut() {
    let table: [(&str, &[&str]); 8] = [
        ("netns:a netns:b", &["0 netns:b ingress netns:a"]),
        ("netns:a netns:b --enforce sender", &["0 netns:a egress netns:b"]),
        (
            "netns:a netns:b --enforce both",
            &["0 netns:a egress netns:b", "1 netns:b ingress netns:a"],
        ),
        (
            "netns:a netns:b --both-ways",
            &["0 netns:b ingress netns:a", "1 netns:a ingress netns:b"],
        ),
        ("netns:a addr:10.0.0.0/24", &["0 netns:a egress 10.0.0.0/24"]),
        ("addr:10.0.0.7 netns:b", &["0 netns:b ingress 10.0.0.7"]),
        (
            "netns:a addr:fd00::1 --both-ways",
            &["0 netns:a egress fd00::1", "1 netns:a ingress fd00::1"],
        ),
        (
            "netns:a netns:b --both-ways --enforce both",
            &[
                "0 netns:a egress netns:b",
                "1 netns:b ingress netns:a",
                "2 netns:b egress netns:a",
                "3 netns:a ingress netns:b",
            ],
        ),
    ];
    for (line, expected) in table {
        assert_eq!(parts(line).unwrap(), expected, "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let table = [
        ("addr:10.0.0.1 addr:10.0.0.2", "both sides are addr:"),
        ("netns:a netns:b --port 80 --proto icmp", "icmp has none"),
        ("netns:a netns:b --loss 30% --enforce both", "--loss 30%"),
        ("netns:a addr:10.0.0.1 --enforce receiver", "--enforce receiver does not go with addr:"),
        ("addr:10.0.0.1 netns:b --enforce sender", "--enforce sender does not go with addr:"),
        ("addr:10.0.0.1 netns:b --enforce both", "--enforce both does not go with addr:"),
        ("netns:a addr:10.0.0.1 --enforce sender --both-ways", "--enforce sender does not go"),
        ("netns:a netns:b --lease 100ms", "a lease is at least 1s"),
        ("netns:a netns:b --for 8days", "at most 7 days"),
        ("netns:a netns:a", "netns:a and netns:a are the same network namespace"),
    ];
    for (line, expected) in table {
        let error = parts(line).unwrap_err();
        assert!(error.to_string().contains(expected), "{line}: {error}");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn two_names_of_one_namespace_are_one_target() {
    let request = Request::new(&args("all:container:abcd netns:b"), &Names::default(), 7).unwrap();
    let from = [target("container:abcd1", 1), target("container:abcd2", 1)];
    let directions = request.directions(&from, &[target("netns:b", 2)]).unwrap();
    assert_eq!(directions.len(), 1);
    let same = request.directions(&from, &[target("pid:7", 1)]).unwrap_err();
    assert!(matches!(same, RequestError::SameTarget { .. }));
}

#[test]
fn a_detached_cut_has_its_time_as_its_lease() {
    let request =
        Request::new(&args("netns:a netns:b --for 90s --detach"), &Names::default(), 7).unwrap();
    assert_eq!(request.terms.lease.as_secs(), 90);
}

proptest! {
    #[test]
    fn parts_are_numbered_and_draw_by_the_seed(seed: u64, from in 1u64..5, to in 1u64..5) {
        let line = format!("netns:a netns:b --both-ways --loss 50% --seed {seed}");
        let request = Request::new(&args(&line), &Names::default(), 7).unwrap();
        let from: Vec<Party> = (0..from).map(|n| target("netns:a", n)).collect();
        let to: Vec<Party> = (0..to).map(|n| target("netns:b", 100 + n)).collect();
        let directions = request.directions(&from, &to).unwrap();
        let faults = request.faults(IntentId::from_random(seed), &directions).unwrap();
        prop_assert_eq!(faults.len(), 2 * from.len() * to.len());
        for (index, fault) in faults.iter().enumerate() {
            let Kind::Cut(cut) = fault.kind else { panic!("a cut") };
            prop_assert_eq!(usize::from(fault.id.part), index);
            prop_assert_eq!(cut.seed, seed.wrapping_add(index as u64));
        }
    }
}
