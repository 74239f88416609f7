//! A cut from its start to its end, against an agent that only answers.

mod cli;

use std::time::{Duration, Instant};

use cli::{Fake, Habit, ended, signal, until};
use nix::sys::signal::Signal;

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_renewed_every_third_of_its_lease_and_healed_at_its_deadline() {
    let fake = Fake::serve(Habit::Sound, 9);
    let cut = fake.run("cut netns:a netns:b --for 2s --lease 1s --seed 7").await;
    assert_eq!(cut.code, 0, "{cut:?}");
    assert!(cut.stderr.starts_with("agent: schism-agent 0.1.0 (node n1, pid 99), at "), "{cut:?}");
    assert!(cut.stderr.contains("packet, at the receiver, for 2s, lease 1s, seed 7"), "{cut:?}");
    assert!(cut.stderr.contains("end: its time is over"), "{cut:?}");
    assert!(cut.stdout.contains("netns:a → netns:b  receiver  healed        9"), "{cut:?}");

    let record = fake.record.lock().unwrap();
    let fault = record.faults[0].fault.as_ref().unwrap();
    let beats = &record.heartbeats;
    assert!((5..=7).contains(&beats.len()), "{} heartbeats in 2 s", beats.len());
    for pair in beats.windows(2).skip(1) {
        let gap = pair[1].0 - pair[0].0;
        assert!(gap < Duration::from_millis(600), "{gap:?} without a renewal");
    }
    assert!(beats.iter().all(|(_, beat)| beat.renew == [fault.id.unwrap()]));
    assert_eq!(record.heals.len(), 1);
    assert_eq!(record.heals[0].ids, [fault.id.unwrap()]);
    assert!(!record.heals[0].all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_that_matched_nothing_is_no_success() {
    let fake = Fake::serve(Habit::Sound, 0);
    let cut = fake.run("cut netns:a netns:b --for 200ms").await;
    assert_eq!(cut.code, 3, "{cut:?}");
    assert!(cut.stderr.contains("nothing matched: no packet netns:a → netns:b came by"), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signal_heals_and_prints_the_effect() {
    for asked in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let fake = Fake::serve(Habit::Sound, 9);
        let child = fake.begin("cut netns:a netns:b");
        until("a heartbeat", || !fake.record.lock().unwrap().heartbeats.is_empty()).await;
        signal(&child, asked);
        let cut = ended(child).await;
        assert_eq!(cut.code, 130, "{asked}: {cut:?}");
        assert!(cut.stdout.contains("healed"), "{asked}: {cut:?}");
        assert_eq!(fake.record.lock().unwrap().heals.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_command_that_has_put_nothing_in_yet() {
    for line in ["cut netns:a netns:b", "cut netns:a netns:b --dry-run", "targets netns:a"] {
        let fake = Fake::serve(Habit::HangsAtNames, 9);
        let child = fake.begin(line);
        until("a question", || fake.record.lock().unwrap().resolved > 0).await;
        let asked = Instant::now();
        signal(&child, Signal::SIGINT);
        let ended = ended(child).await;
        assert_eq!(ended.code, 130, "{line}: {ended:?}");
        assert!(ended.stderr.contains("interrupted before anything was put in"), "{ended:?}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{line}: {:?}", asked.elapsed());
        assert!(fake.record.lock().unwrap().faults.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_is_a_document_wherever_it_comes() {
    type Reached = fn(&cli::Record) -> bool;
    let nothing = "interrupted before anything was put in";
    let half = "interrupted while it was put in; what was in place is healed";
    let table: [(Habit, Reached, &str, usize); 3] = [
        (Habit::HangsAtNames, |record| record.resolved > 0, nothing, 0),
        (Habit::HangsAtProbes, |record| !record.probes.is_empty(), nothing, 0),
        (Habit::HangsAtCommit, |record| record.committed.is_some(), half, 1),
    ];
    for (habit, reached, reason, heals) in table {
        let fake = Fake::serve(habit, 9);
        let child = fake.begin("cut netns:a netns:b --prove -o json");
        until("a question", || reached(&fake.record.lock().unwrap())).await;
        signal(&child, Signal::SIGINT);
        let ended = ended(child).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (130, ""), "{habit:?}: {ended:?}");
        let last = ended.stderr.lines().last().unwrap();
        let document: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(document["kind"], "interrupted", "{document:#}");
        assert_eq!(document["exit_code"], 130);
        assert_eq!(document["message"], format!("cannot cut netns:a → netns:b: {reason}"));
        assert_eq!(fake.record.lock().unwrap().heals.len(), heals, "{habit:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_goes_away_takes_the_cut_along() {
    let fake = Fake::serve(Habit::Dies, 9);
    let cut = fake.run("cut netns:a netns:b --lease 1s").await;
    assert_eq!(cut.code, 5, "{cut:?}");
    assert!(
        cut.stderr.contains("not confirmed by the agent: the fault ends with its agent"),
        "{cut:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_hangs_is_noticed_after_a_lease() {
    let fake = Fake::serve(Habit::Hangs, 9);
    let cut = fake.run("cut netns:a netns:b --lease 1s").await;
    assert_eq!(cut.code, 5, "{cut:?}");
    assert!(cut.stderr.contains("end: the agent has not answered for 1"), "{cut:?}");
    assert!(cut.stderr.contains("the agent did not answer within 5 s"), "{cut:?}");
    assert!(cut.stderr.contains("not confirmed by the agent"), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_drains_confirms_the_heal() {
    let fake = Fake::serve(Habit::Drains, 9);
    let cut = fake.run("cut netns:a netns:b --lease 1s").await;
    assert!(cut.stderr.contains("the agent is shutting down and heals what it has"), "{cut:?}");
    assert!(cut.stderr.contains("active → healed"), "{cut:?}");
    assert_eq!(cut.code, 0, "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_goes_away_ends_the_cut() {
    let fake = Fake::serve(Habit::LosesTarget, 9);
    let cut = fake.run("cut netns:a netns:b --lease 1s").await;
    assert_eq!(cut.code, 1, "{cut:?}");
    assert!(cut.stderr.contains(".0 is gone; healing the rest"), "{cut:?}");
    assert_eq!(fake.record.lock().unwrap().heals.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadowed_cut_says_so_and_goes_on() {
    let fake = Fake::serve(Habit::IsShadowed, 9);
    let cut = fake.run("cut netns:a netns:b --lease 1s --for 1500ms").await;
    assert_eq!(cut.code, 0, "{cut:?}");
    assert!(cut.stderr.contains("active → shadowed"), "{cut:?}");
    assert!(cut.stderr.contains("end: its time is over"), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_cut_is_left_to_the_agent() {
    let fake = Fake::serve(Habit::Sound, 9);
    let cut = fake.run("cut netns:a netns:b --for 90s --detach").await;
    assert_eq!(cut.code, 0, "{cut:?}");
    assert!(cut.stderr.contains("effect not yet known"), "{cut:?}");
    let record = fake.record.lock().unwrap();
    let fault = record.faults[0].fault.as_ref().unwrap();
    assert_eq!(cut.stdout.trim(), format!("{:012x}", fault.id.unwrap().intent));
    assert_eq!(fault.lease_ns, fault.total_ns);
    assert!(record.heartbeats.is_empty() && record.heals.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_show_what_the_cut_does() {
    let fake = Fake::serve(Habit::Sound, 9);
    let cut = fake.run("cut netns:a netns:b --for 1s --prove").await;
    assert_eq!(cut.code, 0, "{cut:?}");
    let there = "udp     netns:a → netns:b     5/5     0/5    5/5";
    let back = "udp     netns:b → netns:a     5/5     5/5    5/5";
    assert!(cut.stdout.contains(there) && cut.stdout.contains(back), "{}", cut.stdout);
    assert!(cut.stdout.contains("\nproven: "), "{}", cut.stdout);
    assert_eq!(fake.record.lock().unwrap().probes.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_no_effect() {
    let fake = Fake::serve(Habit::Sound, 0);
    let cut = fake.run("cut netns:a netns:b --for 1s --prove").await;
    assert_eq!(cut.code, 3, "{cut:?}");
    let said = "nothing matched: no traffic but our probes netns:a → netns:b came by";
    assert!(cut.stderr.contains(said), "{cut:?}");
    assert!(cut.stdout.contains("\nproven: "), "{}", cut.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_that_arrive_all_the_same_are_a_failure() {
    let fake = Fake::serve(Habit::DeliversAll, 9);
    let cut = fake.run("cut netns:a netns:b --for 1s --prove").await;
    assert_eq!(cut.code, 1, "{cut:?}");
    let said = "proof failed: netns:a → netns:b: 5 of 5 arrived during the cut";
    assert!(cut.stdout.contains(said), "{}", cut.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_a_document_too() {
    let fake = Fake::serve(Habit::Sound, 9);
    let json = fake.run("cut netns:a netns:b --for 100ms -o json --seed 7").await;
    assert_eq!(json.code, 0, "{json:?}");
    let starts = "{\n  \"schema\": \"schism.cut/v1\",\n  \"id\": \"";
    assert!(json.stdout.starts_with(starts), "{}", json.stdout);
    assert!(json.stdout.contains("\"from\": \"netns:a\",\n      \"to\": \"netns:b\""), "{json:?}");
    assert!(json.stdout.contains("\"total\": 0.1\n"), "{json:?}");
    assert!(json.stdout.contains("\"ended\": \"deadline\",\n  \"healed\": \"confirmed\""));
    let yaml = fake.run("cut netns:a netns:b --for 100ms -o yaml --seed 7").await;
    assert!(yaml.stdout.starts_with("---\nschema: schism.cut/v1\n"), "{}", yaml.stdout);
    let name = fake.run("cut netns:a netns:b --for 100ms -o name").await;
    assert_eq!(name.stdout.trim().len(), 12, "{}", name.stdout);
}
