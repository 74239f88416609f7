//! The asymmetric partition of a real Zeebe cluster, by role and through a controller. Needs root, `mvn`, and
//! a Java of version 21 or later, and fails without. One cluster for all of it: it takes most of the time.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod estate;
mod gateways;
mod pushing;
mod trickle;
mod verbs;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use estate::Estate;
use gateways::Gateways;
use lab::zeebe::{Leaders, Options};
use serde_json::Value;
use trickle::Trickle;
use zeebe::PartitionId;

/// How long what a cut separates may take to show.
const SHOWS: Duration = Duration::from_secs(10);

/// How long connections may take to be of use again after a cut.
const HEALS: Duration = Duration::from_secs(30);

/// A deployment is told to a partition again after 10, 20 and 40 s: after a cut of 15 s within 40 s.
const DISTRIBUTED: Duration = Duration::from_secs(60);

fn partition(number: u32) -> PartitionId {
    PartitionId::new(number).unwrap()
}

fn partitions(numbers: &[u32]) -> BTreeSet<PartitionId> {
    numbers.iter().copied().map(partition).collect()
}

fn spread(leaders: &Leaders) -> bool {
    leaders.values().collect::<BTreeSet<_>>().len() == leaders.len()
}

#[test]
fn every_verb_does_what_it_says_and_leaders_are_cut_apart_and_killed_and_jobs_are_pushed() {
    let estate = Estate::start(Options::default());
    let leaders = estate.cluster.rebalance(Duration::from_secs(30)).unwrap();
    assert!(spread(&leaders), "{leaders:?}");
    let gateways = Gateways::of(&estate);
    let began = Instant::now();
    verbs::all_do_what_they_say(&estate, &gateways, &leaders);
    eprintln!("the verbs took {:.1} s", began.elapsed().as_secs_f64());
    let leaders = estate.cluster.rebalance(Duration::from_secs(60)).unwrap();
    assert!(spread(&leaders), "{leaders:?}");
    gateways.deploy(1);
    gateways.wait_everywhere(1, DISTRIBUTED);
    // Through a gateway that no cut concerns; leadership would move away from partitions without work.
    let trickle = Trickle::start(&gateways, &[1, 3]);

    the_first_leader_cannot_call_the_third(&estate, &gateways, &leaders);
    acknowledgements_are_lost(&estate, &gateways, &leaders);
    assert_eq!(trickle.failures(), Vec::<String>::new());
    a_killed_leader_has_a_successor_and_comes_back(&estate, &gateways, &leaders);
    drop(trickle);
    let began = Instant::now();
    a_cut_goes_with_a_leader_that_moves_back(&estate, leaders[&2]);
    eprintln!("the cut that followed took {:.1} s", began.elapsed().as_secs_f64());
    gateways.wait_everywhere(3, DISTRIBUTED);
    let began = Instant::now();
    pushing::jobs_are_pushed_after_a_restart_and_a_kill_of_the_gateway(&estate);
    eprintln!("the pushed jobs took {:.1} s", began.elapsed().as_secs_f64());
}

fn the_first_leader_cannot_call_the_third(estate: &Estate, gateways: &Gateways, leaders: &Leaders) {
    let (first, third) = (leaders[&1], leaders[&3]);
    let missed = |of: u32, at: usize| estate.missed_heartbeats(of, at);
    let before = (missed(1, third), missed(3, first));
    let cut = estate
        .begin("cut zeebe:partition/1/leader zeebe:partition/3/leader --mode initiator --for 15s");
    gateways.wait_failure(first, partition(3), SHOWS);
    // What the third says to the first still arrives, and new connections open.
    gateways.publish(third, partition(1)).unwrap();
    gateways.deploy(2);
    gateways.wait_on(2, &partitions(&[1, 2]), SHOWS);
    assert_eq!(gateways.found(2), partitions(&[1, 2]), "the third partition has heard of it");
    assert_eq!(estate.cluster.leaders().unwrap(), *leaders);
    // A follower counts a miss after 2.5 s without a heartbeat.
    let began = Instant::now();
    let grown = loop {
        let grown = (missed(1, third) - before.0, missed(3, first) - before.1);
        if grown.0 > grown.1 {
            break grown;
        }
        assert!(began.elapsed() < SHOWS, "misses have grown by {grown:?}");
    };
    eprintln!("heartbeats missed: {} of the first, {} of the third", grown.0, grown.1);
    let (code, said) = cut.ended();
    assert_eq!(code, Some(0), "{said}");
    let evidence = format!("zeebe:partition/1/leader is broker-{first}");
    assert!(said.contains(&evidence), "{said}");

    let healed = Instant::now();
    gateways.wait_success(first, partition(3), HEALS);
    gateways.wait_everywhere(2, DISTRIBUTED);
    eprintln!(
        "the deployment was everywhere {:.1} s after the heal",
        healed.elapsed().as_secs_f64()
    );
    assert_eq!(estate.cluster.leaders().unwrap(), *leaders);
}

fn acknowledgements_are_lost(estate: &Estate, gateways: &Gateways, leaders: &Leaders) {
    let (first, third) = (leaders[&1], leaders[&3]);
    let cut = estate
        .begin("cut zeebe:partition/3/leader zeebe:partition/1/leader --mode initiator --for 12s");
    gateways.wait_failure(third, partition(1), SHOWS);
    gateways.publish(first, partition(3)).unwrap();
    gateways.deploy(3);
    gateways.wait_on(3, &partitions(&[1, 2, 3]), SHOWS);
    assert_eq!(estate.cluster.leaders().unwrap(), *leaders);
    let (code, said) = cut.ended();
    assert_eq!(code, Some(0), "{said}");
    gateways.wait_success(third, partition(1), HEALS);
}

fn a_killed_leader_has_a_successor_and_comes_back(
    estate: &Estate,
    gateways: &Gateways,
    leaders: &Leaders,
) {
    let second = leaders[&2];
    let starts = estate.cluster.starts(second);
    let began = Instant::now();
    let (code, said) = estate.begin("kill zeebe:partition/2/leader --signal KILL").ended();
    assert_eq!(code, Some(0), "{said}");
    let limit = Duration::from_secs(120);
    let later = estate.cluster.wait_leaders(limit, |later| later[&2] != second).unwrap();
    eprintln!("all is complete again {:.1} s after the kill", began.elapsed().as_secs_f64());
    assert_ne!(later[&2], second);
    assert_eq!(estate.cluster.starts(second), starts + 1);
    gateways.wait_success(second, partition(2), Duration::from_secs(30));
}

fn a_cut_goes_with_a_leader_that_moves_back(estate: &Estate, home: usize) {
    // A broker that has just come back may be too busy for an answer.
    let away = estate.cluster.wait_complete(Duration::from_secs(30)).unwrap()[&2];
    assert_ne!(away, home);
    // Of a port that nobody uses: brokers and gateway are to notice nothing.
    let cut = estate
        .begin("cut zeebe:partition/2/leader zeebe:gateway --port 9 --for 90s --follow -o json");
    acts_on(estate, away);
    estate.cluster.rebalance(Duration::from_secs(60)).unwrap();
    // And on nobody else.
    acts_on(estate, home);
    let (code, said) = estate.run("heal --all");
    assert_eq!(code, Some(0), "{said}");
    let ended = cut.said();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.contains(" goes with the roles:"), "{ended:?}");
    let names = [away, home].map(|broker| format!("broker-{broker}"));
    assert_eq!(members(&ended.document()), names, "{ended:?}");
    let (_, said) = estate.run("status");
    assert!(said.contains("no fault is active"), "{said}");
}

/// Waits until one fault acts, which is on a broker.
fn acts_on(estate: &Estate, broker: usize) {
    let began = Instant::now();
    loop {
        let said = estate.begin("status -o json").said();
        let mut shown = said.document();
        shown["intents"].as_array_mut().unwrap().retain(|intent| intent["stage"] == "active");
        if members(&shown) == [format!("broker-{broker}")] {
            return;
        }
        assert!(began.elapsed() < SHOWS, "nothing acts on broker-{broker}: {said:?}");
    }
}

/// Whose packets the faults of a report are about, each.
fn members(report: &Value) -> Vec<String> {
    let from = |intent: &Value| intent["ends"][0]["member"].as_str().unwrap().to_owned();
    report["intents"].as_array().unwrap().iter().map(from).collect()
}
