//! Rows about who opened a flow, and when.

use super::{CUT, Case, Counts, INITIATOR, frames::*, world::*};
use agent_ebpf::abi::*;

const A: &str = "10.0.0.2";
const B: &str = "10.0.0.1";
const A6: &str = "fd00::2";
const B6: &str = "fd00::1";

/// At egress the target is FROM.
const OUTWARD: Rule = Rule { side: Side::Egress as u8, ..INITIATOR };
const NEW: Rule = Rule { age: AGE_NEW, ..CUT };
const OLD: Rule = Rule { age: AGE_ESTABLISHED, ..CUT };

const LOST: Counts = &[("matched", 1), ("lost", 1)];
const OTHER: Counts = &[("other_opener", 1)];
const UNKNOWN: Counts = &[("opener_unknown", 1)];

fn inward() -> World {
    World::new().fault(0, INITIATOR, &[A, A6])
}

fn outward() -> World {
    World::new().fault(0, OUTWARD, &[A, A6])
}

fn known(openers: u8, source: u8, stage: u8) -> Flow {
    Flow { openers, source, stage, ..Flow::default() }
}

fn from(flags: u8) -> Vec<u8> {
    tcp(A, 5000, B, 80, flags)
}

fn to(flags: u8) -> Vec<u8> {
    tcp(B, 80, A, 5000, flags)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = tcp_cases();
    cases.extend(udp_cases());
    cases.extend(icmp_cases());
    cases.extend(age_cases());
    cases
}

fn tcp_cases() -> Vec<Case> {
    let flow = |openers, source, stage, began| {
        inward().flow(TCP, (80, 5000), known(openers, source, stage), began, -20)
    };
    vec![
        Case::new("the peer's SYN", inward()).lost(from(SYN)).counts(LOST),
        Case::new("the peer's SYN, v6", inward()).lost(tcp(A6, 1, B6, 2, SYN)).counts(LOST),
        Case::new("the target's SYN", inward())
            .sent(to(SYN))
            .passed(from(SYN | ACK))
            .sent(to(ACK))
            .passed(from(ACK))
            .counts(&[("other_opener", 2)]),
        Case::new("SYN|ACK alone", inward()).passed(from(SYN | ACK)).counts(OTHER),
        Case::new("the target's SYN|ACK", inward())
            .sent(to(SYN | ACK))
            .lost(from(ACK))
            .counts(LOST),
        Case::new("simultaneous open", inward())
            .sent(to(SYN))
            .passed(from(SYN))
            .sent(to(SYN | ACK))
            .passed(from(SYN | ACK))
            .passed(from(ACK))
            .counts(&[("other_opener", 3)]),
        Case::new("a second flow of the same ports", inward())
            .lost(from(SYN))
            .sent(to(RST | ACK))
            .sent(to(SYN))
            .passed(from(SYN | ACK))
            .counts(&[("matched", 1), ("lost", 1), ("other_opener", 1)]),
        Case::new("a retransmitted SYN", inward())
            .lost(from(SYN))
            .lost(from(SYN))
            .counts(&[("matched", 2), ("lost", 2)]),
        Case::new("an attempt that was given up", flow(1, SOURCE_SEEN, STAGE_PENDING, -65))
            .lost(from(SYN))
            .counts(LOST),
        Case::new("an attempt under way", flow(1, SOURCE_SEEN, STAGE_PENDING, -60))
            .passed(from(SYN))
            .counts(OTHER),
        Case::new("the dump: peer", flow(2, SOURCE_DUMPED, STAGE_OPEN, 0))
            .lost(from(ACK))
            .counts(LOST),
        Case::new("the dump: target", flow(1, SOURCE_DUMPED, STAGE_OPEN, 0))
            .passed(from(ACK))
            .counts(OTHER),
        Case::new("the dump, guessed", flow(2, SOURCE_GUESSED, STAGE_OPEN, 0))
            .lost(from(ACK))
            .counts(&[("matched", 1), ("lost", 1), ("opener_guessed", 1)]),
        Case::new("the dump, guessed wrongly", flow(1, SOURCE_GUESSED, STAGE_OPEN, 0))
            .passed(from(ACK))
            .lost(from(SYN))
            .counts(&[("matched", 1), ("lost", 1), ("other_opener", 1), ("opener_guessed", 1)]),
        Case::new("the dump's attempt and a SYN", flow(1, SOURCE_DUMPED, STAGE_PENDING, -1))
            .lost(from(SYN))
            .counts(LOST),
        Case::new("the dump and a SYN|ACK", flow(2, SOURCE_DUMPED, STAGE_OPEN, 0))
            .passed(from(SYN | ACK))
            .counts(OTHER),
        Case::new("unknown", inward())
            .passed(from(ACK))
            .passed(from(ACK))
            .counts(&[("opener_unknown", 2)]),
        Case::new("unknown, to a listener", inward().served(TCP, 80, SERVED_SURE))
            .lost(from(ACK))
            .counts(&[("matched", 1), ("lost", 1), ("opener_guessed", 1)]),
        Case::new("outward, the target's SYN", outward()).sent_lost(to(SYN)).counts(LOST),
        Case::new("outward, the peer's SYN", outward())
            .passed(from(SYN))
            .sent(to(SYN | ACK))
            .passed(from(ACK))
            .sent(to(ACK))
            .counts(&[("other_opener", 2)]),
        Case::new("outward, unknown", outward()).sent(to(ACK)).counts(UNKNOWN),
        Case::new("outward, of a listener", outward().served(TCP, 80, SERVED_SURE))
            .sent(to(ACK))
            .counts(&[("other_opener", 1), ("opener_guessed", 1)]),
        Case::new("observed before the lease", World::new().leased(0, INITIATOR, &[A], (0, 0)))
            .sent(to(SYN))
            .passed(from(SYN | ACK)),
        Case::new(
            "of two faults one needs flows",
            World::new().leased(0, CUT, &[A], (-9, -1)).fault(9, INITIATOR, &[A]),
        )
        .sent(to(SYN))
        .passed(from(SYN | ACK))
        .lost(tcp(A, 1, B, 2, SYN))
        .counts(&[("expired", 2)]),
    ]
}

fn udp_cases() -> Vec<Case> {
    let (inbound, outbound) = (udp(A, 5000, B, 53), udp(B, 53, A, 5000));
    let flow = |openers, latest| {
        inward().flow(UDP, (53, 5000), known(openers, SOURCE_SEEN, STAGE_OPEN), latest, latest)
    };
    vec![
        Case::new("the peer's datagram", inward())
            .lost(inbound.clone())
            .sent(outbound.clone())
            .lost(inbound.clone())
            .counts(&[("matched", 2), ("lost", 2)]),
        Case::new("the target's datagram", inward())
            .sent(outbound.clone())
            .passed(inbound.clone())
            .counts(OTHER),
        Case::new("the target's, 29 s ago", flow(1, -29)).passed(inbound.clone()).counts(OTHER),
        Case::new("the target's, 31 s ago", flow(1, -31)).lost(inbound.clone()).counts(LOST),
        Case::new("refreshed by either side", flow(1, -29))
            .sent(outbound.clone())
            .passed(inbound.clone())
            .counts(OTHER),
        Case::new("young observer, not served", inward().observed(5))
            .passed(inbound.clone())
            .passed(inbound.clone())
            .counts(&[("opener_unknown", 2)]),
        Case::new("young observer, served", inward().observed(5).served(UDP, 53, SERVED_SURE))
            .lost(inbound.clone())
            .counts(LOST),
        Case::new(
            "young observer, perhaps served",
            inward().observed(5).served(UDP, 53, SERVED_MAYBE),
        )
        .lost(inbound.clone())
        .counts(&[("matched", 1), ("lost", 1), ("opener_guessed", 1)]),
        Case::new(
            "young observer, a server answers",
            inward().observed(5).served(UDP, 53, SERVED_SURE),
        )
        .sent(outbound.clone())
        .lost(inbound.clone())
        .counts(&[("matched", 1), ("lost", 1), ("opener_guessed", 1)]),
        Case::new("young observer, the target sends", inward().observed(5))
            .sent(outbound.clone())
            .passed(inbound.clone())
            .counts(OTHER),
        Case::new("old observer, a server sends", inward().served(UDP, 53, SERVED_SURE))
            .sent(outbound.clone())
            .passed(inbound)
            .counts(OTHER),
        Case::new("outward", outward()).sent_lost(outbound).counts(LOST),
    ]
}

fn icmp_cases() -> Vec<Case> {
    let quoted_tcp = &ip(B, A, TCP, &tcp_header(80, 5000, ACK))[..28];
    let quoted_udp = ip(B6, A6, UDP, &udp_header(53, 5000));
    let flow =
        |openers| inward().flow(TCP, (80, 5000), known(openers, SOURCE_SEEN, STAGE_OPEN), -50, -20);
    vec![
        Case::new("echo", inward())
            .lost(icmp(A, B, 8, 1, &[]))
            .passed(icmp(A, B, 0, 1, &[]))
            .lost(icmp(A6, B6, 128, 1, &[]))
            .passed(icmp(A6, B6, 129, 1, &[]))
            .counts(&[("matched", 2), ("lost", 2), ("other_opener", 2)]),
        Case::new("other requests and replies", inward())
            .lost(icmp(A, B, 13, 1, &[]))
            .passed(icmp(A, B, 14, 1, &[]))
            .counts(&[("matched", 1), ("lost", 1), ("other_opener", 1)]),
        Case::new("an error about the peer's flow", flow(2))
            .lost(icmp(A, B, 3, 0, quoted_tcp))
            .counts(LOST),
        Case::new("an error about the target's flow", flow(1))
            .passed(icmp(A, B, 3, 0, quoted_tcp))
            .counts(OTHER),
        Case::new("an error about an unknown flow", inward())
            .passed(icmp(A, B, 3, 0, quoted_tcp))
            .counts(UNKNOWN),
        Case::new("an error that quotes too little", flow(2))
            .passed(icmp(A, B, 11, 0, &quoted_tcp[..27]))
            .passed(icmp(A, B, 11, 0, &[]))
            .counts(&[("opener_unknown", 2)]),
        Case::new("an error about a fragment", flow(2))
            .passed(icmp(A, B, 3, 0, &v4_with(B, A, TCP, 5, &[], &[0; 8])))
            .counts(UNKNOWN),
        Case::new("v6: an error about the target's datagram", inward())
            .sent(udp(B6, 53, A6, 5000))
            .passed(icmp(A6, B6, 1, 0, &quoted_udp))
            .counts(OTHER),
        Case::new("an error about an echo request", inward())
            .passed(icmp(A, B, 3, 0, &ip(B, A, 1, &icmp_header(8, 1, &[]))))
            .lost(icmp(A, B, 3, 0, &ip(B, A, 1, &icmp_header(0, 1, &[]))))
            .counts(&[("matched", 1), ("lost", 1), ("other_opener", 1)]),
        Case::new("outward, an error about the peer's flow", outward())
            .passed(udp(A, 5000, B, 53))
            .sent(icmp(B, A, 3, 0, &ip(A, B, UDP, &udp_header(5000, 53))))
            .counts(OTHER),
        Case::new("another protocol", inward())
            .passed(frame(&ip(A, B, 47, &[0; 8])))
            .counts(UNKNOWN),
    ]
}

fn age_cases() -> Vec<Case> {
    let world = |rule| World::new().fault(0, rule, &[A]);
    let flow = |rule, began| {
        world(rule).flow(TCP, (80, 5000), known(2, SOURCE_SEEN, STAGE_OPEN), began, -1)
    };
    let other: Counts = &[("other_age", 1)];
    vec![
        Case::new("new: a SYN", world(NEW)).lost(from(SYN)).counts(LOST),
        Case::new("new: since the lease", flow(NEW, -9)).lost(from(ACK)).counts(LOST),
        Case::new("new: before the lease", flow(NEW, -11)).passed(from(ACK)).counts(other),
        Case::new("new: from the dump", flow(NEW, 0)).passed(from(ACK)).counts(other),
        Case::new("new: unknown", world(NEW)).passed(from(ACK)).counts(other),
        Case::new("new: echo", world(NEW)).lost(icmp(A, B, 8, 1, &[])).counts(LOST),
        Case::new("new: an error about an old flow", flow(NEW, -11))
            .passed(icmp(A, B, 3, 0, &ip(B, A, TCP, &tcp_header(80, 5000, ACK))))
            .counts(other),
        Case::new("new: another protocol", world(NEW))
            .passed(frame(&ip(A, B, 47, &[0; 8])))
            .counts(other),
        Case::new("established: a SYN", world(OLD)).passed(from(SYN)).counts(other),
        Case::new("established: since the lease", flow(OLD, -9)).passed(from(ACK)).counts(other),
        Case::new("established: before the lease", flow(OLD, -11)).lost(from(ACK)).counts(LOST),
        Case::new("established: unknown", world(OLD)).lost(from(ACK)).counts(LOST),
        Case::new("established: echo", world(OLD)).passed(icmp(A, B, 8, 1, &[])).counts(other),
        Case::new("established: another protocol", world(OLD))
            .lost(frame(&ip(A, B, 47, &[0; 8])))
            .counts(LOST),
    ]
}
