//! Holders that are killed, targets that end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use agent::kernel::clock::skewed::Restored;

use crate::rig::{HOUR, Rig, ahead, nanos, now};
use crate::witness::Witness;

/// A holder that is killed after so many milliseconds.
fn mortal(rig: &Rig, milliseconds: f64) -> PathBuf {
    let path = rig.directory.path().join(format!("holder-{milliseconds}"));
    let agent = env!("CARGO_BIN_EXE_schism-agent");
    let seconds = milliseconds / 1_000.0;
    let script = format!("#!/bin/sh\nexec timeout -s KILL {seconds} {agent} \"$@\"\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[test]
fn a_holder_may_be_killed_at_any_time() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    let mut witness = Witness::start(20, nanos(HOUR), &[]);
    let (mut in_time, mut too_late) = (0, 0);
    for step in 0..12 {
        // From before it has read its order until after it has answered.
        let mortal = rig.workshop_with(mortal(&rig, 2.0 + f64::from(step) * 1.5));
        match mortal.put_in(witness.process(), &ahead(HOUR)) {
            Ok(mut skewed) => {
                in_time += 1;
                skewed.begin(now(), now() + Duration::from_secs(15)).unwrap();
                witness.assert_offset(HOUR);
                assert_eq!(workshop.heal(skewed).unwrap(), Restored::Whole);
            }
            Err(_) => {
                too_late += 1;
                witness.assert_offset(Duration::ZERO);
                for (_, restored) in workshop.restore_all().unwrap() {
                    assert_eq!(restored.unwrap(), Restored::Whole);
                }
            }
        }
        rig.assert_untouched(witness.pid());
    }
    assert!(too_late > 0, "{in_time} holders were never killed");
    witness.finish();
}

#[test]
fn a_target_may_end_at_any_time() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    for step in 0..12 {
        let witness = Witness::start(20, nanos(HOUR), &[]);
        let process = witness.process();
        let killer = std::thread::spawn(move || {
            // Somewhere in the middle of it; nothing tells where.
            std::thread::sleep(Duration::from_micros(step * 800));
            drop(witness);
        });
        if let Ok(mut skewed) = workshop.put_in(process, &ahead(HOUR)) {
            killer.join().unwrap();
            assert!(skewed.begin(now(), now() + HOUR).unwrap_err().is_gone());
            assert_eq!(workshop.heal(skewed).unwrap(), Restored::Gone);
        } else {
            killer.join().unwrap();
        }
        for (_, restored) in workshop.restore_all().unwrap() {
            assert_eq!(restored.unwrap(), Restored::Gone);
        }
        assert!(rig.records().all().unwrap().is_empty());
    }
}
