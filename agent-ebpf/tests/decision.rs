//! The table of cases, decided in memory.

mod cases;
mod memory;

use agent_ebpf::{
    abi::Side,
    decide::{Outcome, decide},
    packet::Tag,
};
use cases::{
    CUT, INITIATOR, all, check, frames,
    world::{World, at},
};
use memory::{Memory, Skb};

#[test]
fn every_case() {
    for case in all() {
        let tables = Memory::new(&case.world);
        for (number, step) in case.steps.iter().enumerate() {
            let packet = Skb { frame: &step.frame, tag: Tag::None };
            let expected = if step.lost { Outcome::Lose } else { Outcome::Pass };
            tables.clock_reads.set(0);
            assert_eq!(decide(&packet, &tables, step.side), expected, "{}: {number}", case.name);
            assert!(tables.clock_reads.get() <= 1, "{}: the clock is read once", case.name);
        }
        check(&case, &tables.counters.borrow()[0]);
        let seen = tables.seen.borrow();
        assert_eq!(seen[0].packets + seen[1].packets, case.steps.len() as u64, "{}", case.name);
        assert_eq!(seen[0].unparsable + seen[1].unparsable, case.unparsable, "{}", case.name);
    }
}

#[test]
fn a_stranger_costs_no_clock_and_a_tag_can_be_judged_elsewhere() {
    let mut world = World::new().fault(0, CUT, &["10.0.0.2"]);
    let decide_once = |world: &World, from: &str, tag| {
        let tables = Memory::new(world);
        let frame = frames::udp(from, 1, "10.0.0.1", 2);
        (decide(&Skb { frame: &frame, tag }, &tables, Side::Ingress), tables.clock_reads.get())
    };
    assert_eq!(decide_once(&world, "10.0.0.3", Tag::None), (Outcome::Pass, 0));
    assert_eq!(decide_once(&world, "10.0.0.2", Tag::Beside), (Outcome::Lose, 1));
    world.devices = vec![(1, agent_ebpf::abi::DEVICE_TAGGED_ELSEWHERE)];
    assert_eq!(decide_once(&world, "10.0.0.2", Tag::Beside), (Outcome::Pass, 0));
    assert_eq!(decide_once(&world, "10.0.0.2", Tag::None), (Outcome::Lose, 1));
}

#[test]
fn a_datagram_flow_lives_while_it_is_used() {
    let world = World::new().fault(0, INITIATOR, &["10.0.0.2"]);
    let mut tables = Memory::new(&world);
    let inbound = frames::udp("10.0.0.2", 5000, "10.0.0.1", 53);
    let outbound = frames::udp("10.0.0.1", 53, "10.0.0.2", 5000);
    let mut after = |seconds, side, frame: &[u8]| {
        tables.now = at(tables.now, seconds);
        decide(&Skb { frame, tag: Tag::None }, &tables, side)
    };
    assert_eq!(after(0, Side::Egress, &outbound), Outcome::Pass);
    assert_eq!(after(25, Side::Ingress, &inbound), Outcome::Pass);
    assert_eq!(after(25, Side::Ingress, &inbound), Outcome::Pass);
    assert_eq!(after(25, Side::Egress, &outbound), Outcome::Pass);
    assert_eq!(after(30, Side::Ingress, &inbound), Outcome::Pass);
    assert_eq!(after(31, Side::Ingress, &inbound), Outcome::Lose, "the peer opens another");
}
