//! Rows about headers: tags, options, extensions, fragments, truncation.

use super::{CUT, Case, Counts, INITIATOR, frames::*, world::*};
use agent_ebpf::abi::*;

const A: &str = "10.0.0.2";
const B: &str = "10.0.0.1";
const A6: &str = "fd00::2";
const B6: &str = "fd00::1";

const ONE: Counts = &[("matched", 1), ("lost", 1)];

/// Loses UDP to port 2: a row passes it only if the transport header is found.
fn by_port() -> World {
    World::new().fault(0, Rule { protocol: 17, port: 2, ..CUT }, &[A, A6])
}

fn all() -> World {
    World::new().fault(0, CUT, &[A, A6])
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tags) in
        [("802.1Q", &[0x8100][..]), ("802.1ad", &[0x88a8]), ("QinQ", &[0x88a8, 0x8100])]
    {
        for frame in [udp(A, 1, B, 2), udp(A6, 1, B6, 2)] {
            cases.push(Case::new(name, by_port()).lost(tagged(&frame, tags)).counts(ONE));
        }
    }
    cases.push(
        Case::new("three tags", by_port())
            .passed(tagged(&udp(A, 1, B, 2), &[0x8100, 0x8100, 0x8100])),
    );
    cases.push(
        Case::new("a tag that is not there", by_port())
            .lost(ethernet(0x8100, &ip(A, B, UDP, &udp_header(1, 2))))
            .counts(ONE),
    );
    for words in [1, 5, 10] {
        let options = vec![1; words * 4];
        let packet = v4_with(A, B, UDP, 0, &options, &udp_header(1, 2));
        cases.push(Case::new("v4 options", by_port()).lost(frame(&packet)).counts(ONE));
    }

    let extensions = [
        ("hop-by-hop", vec![extension(0, 0)]),
        ("routing", vec![extension(43, 2)]),
        ("destination options", vec![extension(60, 1)]),
        ("mobility", vec![extension(135, 3)]),
        ("AH", vec![authentication(4)]),
        ("AH of odd length", vec![authentication(5)]),
        ("atomic fragment", vec![fragment(0, 0)]),
        ("first fragment", vec![fragment(0, 1)]),
        (
            "all of them",
            vec![
                extension(0, 0),
                extension(60, 0),
                extension(43, 1),
                fragment(0, 1),
                authentication(4),
                extension(60, 2),
                extension(135, 0),
            ],
        ),
        ("eight", vec![extension(60, 0); 8]),
    ];
    for (name, chain) in extensions {
        let packet = v6_with(A6, B6, UDP, &chain, &udp_header(1, 2));
        cases.push(Case::new(name, by_port()).lost(frame(&packet)).counts(ONE));
    }
    let nine = v6_with(A6, B6, UDP, &vec![extension(60, 0); 9], &udp_header(1, 2));
    cases.push(Case::new("nine", by_port()).passed(frame(&nine)).unparsable(1));
    cases.push(Case::new("nine, by address", all()).lost(frame(&nine)).counts(ONE));

    let mut jumbo = v6_with(A6, B6, UDP, &[extension(0, 0)], &udp_header(1, 2));
    jumbo[4..6].fill(0);
    cases.push(Case::new("jumbogram", by_port()).lost(frame(&jumbo)).counts(ONE));
    let mut big = ip(A, B, UDP, &udp_header(1, 2));
    big[2..4].fill(0);
    cases.push(Case::new("BIG TCP's length", by_port()).lost(frame(&big)).counts(ONE));

    fragments(&mut cases);
    truncated(&mut cases);

    let mut padded = ip(A, B, UDP, &udp_header(1, 2)[..4]);
    padded.extend([0; 30]);
    cases.push(Case::new("padding is no header", by_port()).passed(frame(&padded)).unparsable(1));
    for (name, at, value) in [("version", 0, 0x55), ("header length", 0, 0x44), ("total", 3, 19)] {
        let mut packet = ip(A, B, UDP, &udp_header(1, 2));
        packet[at] = value;
        let broken = ethernet(0x0800, &packet);
        cases.push(Case::new(name, all()).passed(broken).unparsable(1));
    }
    let mut packet = ip(A6, B6, UDP, &udp_header(1, 2));
    packet[0] = 0x40;
    cases.push(Case::new("v6 version", all()).passed(ethernet(0x86dd, &packet)).unparsable(1));
    cases.push(
        Case::new("another protocol has no ports", by_port())
            .passed(frame(&ip(A, B, 132, &[0; 20]))),
    );
    cases
}

fn fragments(cases: &mut Vec<Case>) {
    let v4 = |fragment| frame(&v4_with(A, B, UDP, fragment, &[], &udp_header(1, 2)));
    let v6 =
        |offset, more| frame(&v6_with(A6, B6, UDP, &[fragment(offset, more)], &udp_header(1, 2)));
    let (v4_parts, v6_parts) =
        ([v4(0x2000), v4(0x2001), v4(0x0002)], [v6(0, 1), v6(1, 1), v6(2, 0)]);
    for parts in [v4_parts, v6_parts] {
        let [first, middle, last] = parts;
        let row = |name: &str, world: World| Case::new(name, world);
        for rule in [CUT, Rule { protocol: 17, ..CUT }] {
            cases.push(
                row("fragments, by address", World::new().fault(0, rule, &[A, A6]))
                    .lost(first.clone())
                    .lost(middle.clone())
                    .lost(last.clone())
                    .counts(&[("matched", 3), ("lost", 3)]),
            );
        }
        cases.push(
            row("fragments, by port", by_port())
                .lost(first.clone())
                .passed(middle.clone())
                .passed(last.clone())
                .counts(&[("matched", 1), ("lost", 1), ("fragment", 2)]),
        );
        cases.push(
            row("fragments, by opener", World::new().fault(0, INITIATOR, &[A, A6]))
                .lost(first.clone())
                .passed(middle.clone())
                .passed(last.clone())
                .counts(&[("matched", 1), ("lost", 1), ("fragment", 2)]),
        );
        let lossy = Rule { chance: CERTAIN - 1, ..CUT };
        cases.push(
            row("fragments, by lot", World::new().fault(0, lossy, &[A, A6]))
                .lost(first.clone())
                .passed(middle.clone())
                .passed(last.clone())
                .counts(&[("matched", 1), ("lost", 1), ("fragment", 2)]),
        );
        let other = Rule { protocol: 6, ..CUT };
        cases.push(
            row("fragments of another protocol", World::new().fault(0, other, &[A, A6]))
                .passed(first)
                .passed(middle)
                .passed(last),
        );
    }
    let later = v6_with(A6, B6, UDP, &[fragment(3, 1), extension(60, 0)], &[0; 16]);
    cases.push(
        Case::new("a later fragment hides its protocol", by_port())
            .passed(frame(&later))
            .counts(&[("fragment", 1)]),
    );
    cases.push(Case::new("the same, by address", all()).lost(frame(&later)).counts(ONE));
}

/// Every length of a frame: below the IP header it is unparsable, below the transport header the
/// address alone still decides.
fn truncated(cases: &mut Vec<Case>) {
    let v4 = frame(&v4_with(A, B, TCP, 0, &[1; 8], &tcp_header(1, 2, SYN)));
    let v6 = frame(&v6_with(A6, B6, TCP, &[extension(60, 0)], &tcp_header(1, 2, SYN)));
    for (whole, ip_header, transport) in [(v4, 34, 42 + 20), (v6, 54, 62 + 20)] {
        for length in 15..=whole.len() {
            let cut = whole[..length].to_vec();
            let name = format!("{length} of {} bytes", whole.len());
            let by_tcp = World::new().fault(0, Rule { protocol: 6, port: 2, ..CUT }, &[A, A6]);
            let (by_address, by_port) =
                (Case::new(&name, all()), Case::new(&format!("{name}, by port"), by_tcp));
            if length < ip_header {
                // The kernel's test run refuses a bare IP header that is short (6.18), but a tag
                // hides it.
                let cut = tagged(&cut, &[0x8100]);
                cases.push(by_address.passed(cut.clone()).unparsable(1));
                cases.push(by_port.passed(cut).unparsable(1));
            } else if length < transport {
                cases.push(by_address.lost(cut.clone()).counts(ONE));
                cases.push(by_port.passed(cut).unparsable(1));
            } else {
                cases.push(by_address.lost(cut.clone()).counts(ONE));
                cases.push(by_port.lost(cut).counts(ONE));
            }
        }
    }
}
