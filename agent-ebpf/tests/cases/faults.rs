//! Rows about selection, leases, exemption, loss, shadow and probes.

use super::{CUT, Case, EGRESS, frames::*, world::*};
use agent_ebpf::{abi::*, loss};

const A: &str = "10.0.0.2";
const B: &str = "10.0.0.1";
const A6: &str = "fd00::2";
const B6: &str = "fd00::1";

fn cut() -> World {
    World::new().fault(0, CUT, &[A, A6])
}

fn port(protocol: u8, port: u16) -> PortKey {
    PortKey { port, protocol, pad: 0 }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("v4 udp", cut()).lost(udp(A, 1, B, 2)).counts(&[("matched", 1), ("lost", 1)]),
        Case::new("v6 tcp", cut())
            .lost(tcp(A6, 1, B6, 2, SYN))
            .counts(&[("matched", 1), ("lost", 1)]),
        Case::new("the other way", cut()).sent(udp(B, 2, A, 1)).sent(tcp(B6, 2, A6, 1, ACK)),
        Case::new("a stranger", cut()).passed(udp("10.0.0.3", 1, B, 2)),
        Case::new("arp", cut()).passed(ethernet(0x0806, &[0; 28])),
        Case::new("egress", World::new().fault(0, EGRESS, &[A, A6]))
            .sent_lost(udp(B, 1, A, 2))
            .sent_lost(udp(B6, 1, A6, 2))
            .passed(udp(A, 1, B, 2))
            .counts(&[("matched", 2), ("lost", 2)]),
        Case::new("forwarded", cut()).passed(udp(A, 1, "10.9.9.9", 2)),
        Case::new("forwarded out", World::new().fault(0, EGRESS, &[A]))
            .sent(udp("10.9.9.9", 1, A, 2)),
        Case::new("multicast and broadcast", cut())
            .lost(udp(A, 1, "224.0.0.251", 5353))
            .lost(udp(A, 1, "255.255.255.255", 67))
            .lost(udp(A6, 1, "ff02::fb", 5353))
            .counts(&[("matched", 3), ("lost", 3)]),
        Case::new("multicast source at egress", World::new().fault(0, EGRESS, &["224.0.0.251"]))
            .sent_lost(udp(B, 5353, "224.0.0.251", 5353))
            .counts(&[("matched", 1), ("lost", 1)]),
        Case::new("protocol", World::new().fault(0, Rule { protocol: 17, ..CUT }, &[A, A6]))
            .passed(tcp(A, 1, B, 2, SYN))
            .lost(udp(A, 1, B, 2))
            .lost(udp(A6, 1, B6, 2))
            .passed(icmp(A, B, 8, 1, &[]))
            .counts(&[("matched", 2), ("lost", 2)]),
        Case::new("icmp", World::new().fault(0, Rule { protocol: 1, ..CUT }, &[A, A6]))
            .lost(icmp(A, B, 8, 1, &[]))
            .lost(icmp(A6, B6, 128, 1, &[]))
            .passed(frame(&ip(A6, B6, 1, &[8, 0, 0, 0, 0, 1, 0, 1])))
            .passed(udp(A, 1, B, 2))
            .counts(&[("matched", 2), ("lost", 2)]),
        Case::new("port", World::new().fault(0, Rule { protocol: 6, port: 80, ..CUT }, &[A]))
            .lost(tcp(A, 999, B, 80, ACK))
            .passed(tcp(A, 80, B, 999, ACK))
            .passed(udp(A, 999, B, 80))
            .counts(&[("matched", 1), ("lost", 1)]),
        Case::new(
            "port at egress",
            World::new().fault(0, Rule { protocol: 17, port: 53, ..EGRESS }, &[A]),
        )
        .sent_lost(udp(B, 999, A, 53))
        .sent(udp(B, 53, A, 999))
        .counts(&[("matched", 1), ("lost", 1)]),
        Case::new("not begun", World::new().leased(0, CUT, &[A], (100, 200)))
            .passed(udp(A, 1, B, 2))
            .counts(&[("not_begun", 1)]),
        Case::new("expired", World::new().leased(0, CUT, &[A], (-100, -1)))
            .passed(udp(A, 1, B, 2))
            .counts(&[("expired", 1)]),
        Case::new("healed", World::new().leased(0, CUT, &[A], (0, 0))).passed(udp(A, 1, B, 2)),
        Case::new("neighbour discovery", cut())
            .passed(icmp(A6, B6, 133, 0, &[]))
            .passed(icmp(A6, B6, 135, 0, &[0; 16]))
            .passed(icmp(A6, B6, 136, 0, &[0; 16]))
            .passed(icmp(A6, B6, 137, 0, &[0; 16]))
            .lost(icmp(A6, B6, 132, 0, &[]))
            .lost(icmp(A6, B6, 138, 0, &[]))
            .counts(&[("matched", 2), ("lost", 2), ("exempt", 4)]),
        Case::new("link-local", {
            let mut world = World::new().fault(0, CUT, &["fe80::2"]);
            world.peers[0].0.ifindex = 1;
            world
        })
        .lost(udp("fe80::2", 1, "fe80::1", 2))
        .counts(&[("matched", 1), ("lost", 1)]),
        Case::new("link-local of another interface", {
            let mut world = World::new().fault(0, CUT, &["fe80::2"]);
            world.peers[0].0.ifindex = 2;
            world
        })
        .passed(udp("fe80::2", 1, "fe80::1", 2)),
        Case::new("another device's frame", cut()).passed({
            let mut frame = udp(A, 1, B, 2);
            frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
            frame
        }),
        Case::new("shadow", World::new().fault(0, Rule { verdict: VERDICT_COUNT, ..CUT }, &[A]))
            .passed(udp(A, 1, B, 2))
            .counts(&[("matched", 1), ("lost", 1)]),
        Case::new(
            "shadow, then a real one",
            World::new().fault(0, Rule { verdict: VERDICT_COUNT, ..CUT }, &[A]).fault(
                63,
                CUT,
                &[A],
            ),
        )
        .lost(udp(A, 1, B, 2))
        .counts(&[("matched", 1), ("lost", 1)]),
        Case::new("prefixes", {
            let nets = ["10.1.0.0/16", "10.2.3.0/24", "10.4.0.0/30", "fd01::/64", "fd02:3::/33"];
            World::new().fault(0, CUT, &nets).fault(1, Rule { side: 1, ..CUT }, &["0.0.0.0/0"])
        })
        .lost(udp("10.1.255.7", 1, B, 2))
        .lost(udp("10.2.3.255", 1, B, 2))
        .passed(udp("10.2.4.1", 1, B, 2))
        .lost(udp("10.4.0.3", 1, B, 2))
        .passed(udp("10.4.0.4", 1, B, 2))
        .lost(udp("fd01::9:9", 1, B6, 2))
        .passed(udp("fd01:0:0:1::9", 1, B6, 2))
        .lost(udp("fd02:3:7fff::1", 1, B6, 2))
        .passed(udp("fd02:3:8000::1", 1, B6, 2))
        .counts(&[("matched", 5), ("lost", 5)]),
        Case::new("everything", World::new().fault(0, CUT, &["::/0", "0.0.0.0/0"]))
            .lost(udp("192.0.2.1", 1, B, 2))
            .lost(udp("2001:db8::1", 1, B6, 2))
            .lost(udp("fe80::2", 1, "fe80::1", 2))
            .counts(&[("matched", 3), ("lost", 3)]),
        Case::new("64 faults, the last loses", {
            (0..64).fold(World::new(), |world, slot| {
                let protocol = if slot == 63 { PROTOCOL_ANY } else { PROTOCOL_TCP };
                world.fault(slot, Rule { protocol, ..CUT }, &[A])
            })
        })
        .lost(udp(A, 1, B, 2)),
        Case::new("64 faults, the first loses", {
            (0..64).fold(World::new(), |world, slot| world.fault(slot, CUT, &[A]))
        })
        .lost(udp(A, 1, B, 2))
        .counts(&[("matched", 1), ("lost", 1)]),
    ];

    let mut exempt = cut();
    exempt.exempt = vec![EndpointKey { address: address(A), port: 7700, pad: 0 }];
    cases.push(
        Case::new("control path", exempt)
            .passed(tcp(A, 7700, B, 40000, ACK))
            .lost(tcp(A, 40000, B, 7700, ACK))
            .lost(udp(A, 7700, B, 40000))
            .counts(&[("matched", 2), ("lost", 2), ("exempt", 1)]),
    );

    let mut dialled = cut();
    dialled.exempt = vec![EndpointKey { address: address(B), port: 7700, pad: 0 }];
    cases.push(
        Case::new("control path of those who dial", dialled)
            .passed(tcp(A, 40000, B, 7700, ACK))
            .lost(tcp(A, 7700, B, 40000, ACK))
            .counts(&[("matched", 1), ("lost", 1), ("exempt", 1)]),
    );

    let chance = CERTAIN * 3 / 10;
    let lossy = Rule { chance, seed: 99, ..CUT };
    let mut case = Case::new("30 % by seed", World::new().fault(0, lossy, &[A]));
    for n in 0..40 {
        let lost = loss::loses(99, n, chance);
        case = if lost { case.lost(udp(A, 1, B, 2)) } else { case.passed(udp(A, 1, B, 2)) };
    }
    let lost = case.steps.iter().filter(|step| step.lost).count() as u64;
    let counts: super::Counts =
        Box::leak(Box::new([("matched", 40), ("lost", lost), ("spared", 40 - lost)]));
    cases.push(case.counts(counts));

    let mut probing = World::new().fault(0, lossy, &[A]);
    probing.probes = vec![port(17, 777), port(6, 778), port(1, 5)];
    let frames = [
        udp(A, 777, B, 2),
        udp(A, 2, B, 777),
        tcp(A, 778, B, 2, SYN),
        icmp(A, B, 8, 5, &[]),
        icmp(A, B, 0, 5, &[]),
    ];
    let mut case = Case::new("probes draw apart", probing);
    let (mut probe_losses, mut packet_losses) = (0, 0);
    for n in 0..5 {
        let lost = loss::loses(99, n, chance);
        for frame in [&frames[n as usize], &udp(A, 5, B, 778)] {
            case = if lost { case.lost(frame.clone()) } else { case.passed(frame.clone()) };
        }
        probe_losses += u64::from(lost);
        packet_losses += u64::from(lost);
    }
    let counts: super::Counts = Box::leak(Box::new([
        ("matched", 5),
        ("lost", packet_losses),
        ("spared", 5 - packet_losses),
        ("probes_matched", 5),
        ("probes_lost", probe_losses),
    ]));
    cases.push(case.counts(counts));

    let mut quiet = World::new().leased(0, CUT, &[A], (-100, -1));
    quiet.probes = vec![port(17, 777)];
    cases.push(Case::new("a probe after the lease", quiet).passed(udp(A, 777, B, 2)));
    cases
}
