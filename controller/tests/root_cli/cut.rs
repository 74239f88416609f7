//! A cut by a command that is its own agent.

use crate::machine::Machine;

#[test]
fn a_cut_loses_one_direction_until_its_time_is_over() {
    let machine = Machine::pair();
    let cut = machine.cut("cut --local @a @b --for 2s");
    assert!(machine.datagrams("a", "b").is_lost());
    assert!(machine.datagrams("b", "a").is_whole());
    let ended = cut.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.starts_with("agent: this command (node "), "{ended:?}");
    assert!(ended.stderr.contains("end: its time is over"), "{ended:?}");
    assert!(machine.datagrams("a", "b").is_whole());
    machine.is_clean();
}

#[test]
fn a_cut_that_nothing_came_by_ends_with_3() {
    let machine = Machine::pair();
    // Of one protocol: the kernel's own multicast reports would match a cut of all packets.
    let ended = machine.run("cut --local @a @b --proto udp --for 200ms");
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("nothing matched: no packet "), "{ended:?}");
    machine.is_clean();
}

#[test]
fn a_shadow_counts_and_loses_nothing() {
    let machine = Machine::pair();
    let cut = machine.cut("cut --local @a @b --proto udp --for 1500ms --shadow -o json");
    assert!(machine.datagrams("a", "b").is_whole());
    let ended = cut.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["faults"][0]["effect"]["lost"], 20, "{report:#}");
    machine.is_clean();
}

#[test]
fn both_ways_are_cut_and_proven() {
    let machine = Machine::pair();
    // Probes are no effect: traffic is what the cut has one on.
    let streams = [machine.stream("a", "b"), machine.stream("b", "a")];
    let ended = machine.run("cut --local @a @b --both-ways --for 2s --prove -o json");
    drop(streams);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["proof"]["verdict"]["result"], "proven", "{report:#}");
    assert_eq!(report["faults"].as_array().unwrap().len(), 2, "{report:#}");
    machine.is_clean();
}

#[test]
fn a_dry_run_touches_nothing() {
    let machine = Machine::pair();
    let ended = machine.run("cut --local @a @b --dry-run");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.ends_with("dry run: nothing was touched\n"), "{ended:?}");
    assert!(machine.datagrams("a", "b").is_whole());
    machine.is_clean();
}
