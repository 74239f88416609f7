//! The table of cases, decided by the kernel (BPF_PROG_TEST_RUN). Needs root.

mod cases;
mod kernel;

use agent_ebpf::abi::{CERTAIN, Rule, Side};
use cases::{CUT, all, check, frames, world::World};
use kernel::{Kernel, boot_time};

#[test]
fn every_case() {
    let mut kernel = Kernel::load();
    for case in all() {
        kernel.fill(&case.world, boot_time());
        for (number, step) in case.steps.iter().enumerate() {
            let (lost, _) = kernel.run(step.side, &step.frame, 1);
            assert_eq!(lost, step.lost, "{}: {number}", case.name);
        }
        check(&case, &kernel.counters(0));
        let seen = kernel.seen();
        assert_eq!(seen.packets, case.steps.len() as u64, "{}", case.name);
        assert_eq!(seen.unparsable, case.unparsable, "{}", case.name);
    }
}

#[test]
fn loss_has_its_share_and_repeats() {
    let mut kernel = Kernel::load();
    let rule = Rule { chance: CERTAIN / 10 * 3, seed: 2026, ..CUT };
    let world = World::new().fault(0, rule, &["10.0.0.2"]);
    let frame = frames::udp("10.0.0.2", 1, "10.0.0.1", 2);
    let mut run = || {
        kernel.fill(&world, boot_time());
        kernel.run(Side::Ingress, &frame, 100_000);
        let counters = kernel.counters(0);
        assert_eq!(counters.matched, 100_000);
        assert_eq!(counters.lost + counters.spared, 100_000);
        counters.lost
    };
    let lost = run();
    assert!(lost.abs_diff(30_000) < 600, "{lost}");
    assert_eq!(run(), lost);
}

#[test]
fn the_verifier_stays_far_from_its_limit() {
    let kernel = Kernel::load();
    for side in [Side::Ingress, Side::Egress] {
        // The limit is a million (kernel 5.2, BPF_COMPLEXITY_LIMIT_INSNS).
        assert!(kernel.verified(side) < 50_000, "{side:?}: {}", kernel.verified(side));
    }
}
