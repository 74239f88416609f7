//! The ends of what a clock can show.

use std::process::Command;
use std::time::Duration;

use agent::kernel::clock::skewed::Restored;
use agent::kernel::clock::truth;
use agent::kernel::process;
use fault::{Offset, Shape, Skew};

use crate::rig::{HOUR, Rig, ahead, now};
use crate::runtimes::{PYTHON, Program};

#[test]
fn the_year_1970_the_year_2262_and_those_after_it() {
    let rig = Rig::new();
    let workshop = rig.workshop();
    let mut program = Program::start(Command::new("/usr/bin/python3").args(["-c", PYTHON]));
    let _ = program.ask();
    let process = process::identity(program.pid()).unwrap();
    let minute = 60_000_000_000;
    let wall = || truth::read(libc::CLOCK_REALTIME).unwrap();
    // A minute after the first instant, ten minutes before the last that 64 bits hold, and long after that.
    let centuries = 290 * 365 * 24 * 60 * minute;
    let offsets = [minute - wall(), i64::MAX - 10 * minute - wall(), centuries];
    for offset in offsets {
        let shape = Shape::Offset(Offset::from_nanos(offset).unwrap());
        let mut skewed = workshop.put_in(process, &Skew { shape, ..ahead(HOUR) }).unwrap();
        skewed.begin(now(), now() + Duration::from_secs(15)).unwrap();
        // Python has no such time, and ends where it is to tell one.
        let told = if offset == centuries { Vec::new() } else { program.ask().0 };
        for distance in told {
            let off = distance - offset;
            assert!((-1_000_000..5_000_000_000).contains(&off), "at {offset}: off by {off} ns");
        }
        let probed = workshop.probe(&skewed, libc::CLOCK_REALTIME).unwrap();
        assert!((probed.offset - offset).abs() <= probed.error, "at {offset}: {probed:?}");
        assert_eq!(workshop.heal(skewed).unwrap(), Restored::Whole);
        rig.assert_untouched(program.pid());
    }
}
