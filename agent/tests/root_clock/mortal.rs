//! Agents that are killed in the middle of a change: the next one finds what they left.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use agent::kernel::clock::boot_id;
use agent::kernel::clock::holder::Holder;
use agent::kernel::clock::record::Records;
use agent::kernel::clock::skewed::{Restored, Workshop};
use agent::kernel::process;

use crate::rig::{HOUR, Rig, ahead, nanos};
use crate::witness::Witness;

const TARGET: &str = "SCHISM_TEST_TARGET";
const HOLDER: &str = "SCHISM_TEST_HOLDER";
const RECORDS: &str = "SCHISM_TEST_RECORDS";

#[test]
#[ignore = "an agent that another test starts, and that its own holder kills"]
fn put_in_and_die() {
    let told = |name| std::env::var(name).unwrap();
    let records = Records::of(PathBuf::from(told(RECORDS)));
    let holder = Holder::of(PathBuf::from(told(HOLDER)));
    let process = process::identity(told(TARGET).parse().unwrap()).unwrap();
    let workshop = Workshop::new(boot_id().unwrap(), records, holder);
    let survived = workshop.put_in(process, &ahead(HOUR));
    panic!("it lives, with {survived:?}");
}

#[test]
fn an_agent_that_dies_between_record_change_and_verification_leaves_what_the_next_one_finds() {
    let rig = Rig::new();
    let mut witness = Witness::start(20, nanos(HOUR), &[]);
    let agent = env!("CARGO_BIN_EXE_schism-agent");
    let steps = [
        ("recorded, and nothing changed", "kill -KILL $PPID".to_owned()),
        ("changed, and not verified", format!("{agent} \"$@\" > /dev/null; kill -KILL $PPID")),
        // The answer is on its way.
        ("changed, and told", format!("{agent} \"$@\"; kill -KILL $PPID")),
    ];
    for (step, script) in steps {
        let holder = rig.directory.path().join("holder");
        fs::write(&holder, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&holder, fs::Permissions::from_mode(0o700)).unwrap();
        let mut mortal = Command::new(std::env::current_exe().unwrap());
        mortal.args(["mortal::put_in_and_die", "--exact", "--ignored", "--nocapture"]);
        mortal.env(TARGET, witness.pid().to_string()).env(HOLDER, &holder);
        mortal.env(RECORDS, rig.directory.path().join("clock"));
        let status = mortal.status().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{step}: {status}");
        assert_eq!(rig.records().all().unwrap().len(), 1, "{step}");
        witness.assert_offset(Duration::ZERO);

        let recovered = rig.workshop().recover().unwrap();
        assert_eq!(recovered.len(), 1, "{step}");
        assert!(matches!(recovered[0].1, Ok(Restored::Whole)), "{step}: {recovered:?}");
        rig.assert_untouched(witness.pid());
        witness.assert_offset(Duration::ZERO);
    }
    witness.finish();
}
