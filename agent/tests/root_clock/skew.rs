//! The whole of a skew: in, renewed, out, and by itself.

use std::time::Duration;

use agent::kernel::clock::skewed::Restored;
use agent::kernel::clock::truth;

use crate::rig::{HOUR, Rig, ahead, nanos, now};
use crate::witness::Witness;

const LEASE: Duration = Duration::from_secs(15);

#[test]
fn a_skew_and_nothing_of_it_left() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    let mut witness = Witness::start(8, nanos(HOUR), &[]);
    let mut sibling = Witness::start(1, 0, &[]);
    let mut skewed = workshop.put_in(witness.process(), &ahead(HOUR)).unwrap();
    let swapped = skewed.swapped.unwrap();
    assert_eq!(swapped.threads, 8 + 2, "its own, and the harness's");
    // Prepared, not begun.
    witness.assert_offset(Duration::ZERO);

    let node =
        truth::read(libc::CLOCK_REALTIME).unwrap() - truth::read(libc::CLOCK_MONOTONIC).unwrap();
    skewed.begin(now(), now() + LEASE).unwrap();
    witness.assert_offset(HOUR);
    sibling.assert_offset(Duration::ZERO);
    let probed = workshop.probe(&skewed, libc::CLOCK_REALTIME).unwrap();
    assert!((probed.offset - nanos(HOUR)).abs() <= probed.error, "{probed:?}");
    let probed = workshop.probe(&skewed, libc::CLOCK_MONOTONIC).unwrap();
    assert!(probed.offset.abs() <= probed.error, "{probed:?}");
    for _ in 0..600 {
        skewed.renew(now() + LEASE).unwrap();
    }
    witness.assert_offset(HOUR);
    witness.wait_for_skewed();
    skewed.verify().unwrap();
    let after =
        truth::read(libc::CLOCK_REALTIME).unwrap() - truth::read(libc::CLOCK_MONOTONIC).unwrap();
    assert!((after - node).abs() < 1_000_000_000, "the node's own clock stays");

    skewed.end().unwrap();
    witness.assert_offset(Duration::ZERO);
    assert_eq!(workshop.heal(skewed).unwrap(), Restored::Whole);
    witness.assert_offset(Duration::ZERO);
    rig.assert_untouched(witness.pid());
    let seen = witness.ask();
    assert!(seen.true_ones > 0 && seen.skewed > 0, "{seen:?}");
    witness.finish();
    sibling.finish();
}

#[test]
fn the_lease_ends_without_anybody() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    let mut witness = Witness::start(2, nanos(HOUR), &[]);
    let mut skewed = workshop.put_in(witness.process(), &ahead(HOUR)).unwrap();
    let end = now() + Duration::from_millis(300);
    skewed.begin(now(), end).unwrap();
    witness.assert_offset(HOUR);
    // Its agent is gone.
    drop(skewed);
    let tick = Duration::from_millis(12);
    loop {
        let asked = now();
        let offset = witness.ask().offset;
        if offset.abs() < 1_000_000 {
            assert!(now() + tick > end, "it ended early");
            break;
        }
        assert!(asked < end + tick, "it goes on after its lease");
    }
    // The next life finds what it left.
    let restored = rig.workshop().restore_all().unwrap();
    assert_eq!(restored.len(), 1);
    assert!(matches!(restored[0], (process, Ok(Restored::Whole)) if process == witness.process()));
    rig.assert_untouched(witness.pid());
    witness.finish();
}

#[test]
fn many_busy_threads_see_nothing_else() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    let mut witness = Witness::start(200, nanos(HOUR), &[]);
    for _ in 0..3 {
        let mut skewed = workshop.put_in(witness.process(), &ahead(HOUR)).unwrap();
        skewed.begin(now(), now() + LEASE).unwrap();
        witness.assert_offset(HOUR);
        assert_eq!(workshop.heal(skewed).unwrap(), Restored::Whole);
        witness.assert_offset(Duration::ZERO);
        rig.assert_untouched(witness.pid());
    }
    witness.finish();
}

#[test]
fn a_second_skew_is_refused() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    let mut witness = Witness::start(1, nanos(HOUR), &[]);
    let mut skewed = workshop.put_in(witness.process(), &ahead(HOUR)).unwrap();
    skewed.begin(now(), now() + LEASE).unwrap();
    let second = workshop.put_in(witness.process(), &ahead(HOUR));
    assert!(second.unwrap_err().to_string().contains("a detour of ours already"));
    witness.assert_offset(HOUR);
    assert_eq!(workshop.heal(skewed).unwrap(), Restored::Whole);
    witness.finish();
}
