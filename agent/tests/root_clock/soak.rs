//! A short soak; the long one is `cargo xtask soak clock`.

use std::path::PathBuf;
use std::time::Duration;

use lab::soak::{OFFSET, Soak};

use crate::rig::Rig;
use crate::witness::Witness;

#[test]
fn holders_die_while_many_threads_read() {
    let rig = Rig::new();
    let witness = Witness::start(60, OFFSET, &[]).into_inner();
    let holder = PathBuf::from(env!("CARGO_BIN_EXE_schism-agent"));
    let soak = Soak::new(witness, holder, rig.directory.path(), u64::from(std::process::id()));
    let tally = soak.run(|tally| tally.took > Duration::from_secs(3), |_| {}).unwrap();
    println!("{tally}");
    assert!(tally.injected > 0, "{tally}");
    assert!(tally.killed + tally.stopped > 0, "{tally}");
    assert!(tally.readings.0 > 0 && tally.readings.1 > 0, "{tally}");
}
