//! The stub, executed: a patched copy of the real vDSO beside the real one.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use fault::{Clock, Clocks, Ending, Extent, Offset, Rate, Shape, Skew};
use nix::libc;
use nix::time::{ClockId, clock_gettime};

use super::copied::Copied;
use crate::clock::parameters::{Pace, Parameters, Span};
use crate::clock::patch::Moved;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const AHEAD: Shape = Shape::Offset(Offset::FARTHEST);
const GROWING: Shape = Shape::Drift { offset: Offset::NONE, rate: Rate::FASTEST };
/// Longer than any tick of the kernel.
const TICK: i64 = 11_000_000;

/// Alarm clocks are there only where there is a real-time clock: they are shown to be passed on.
const WALL: [i32; 2] = [libc::CLOCK_REALTIME, libc::CLOCK_TAI];
const OTHERS: [i32; 6] = [
    libc::CLOCK_MONOTONIC,
    libc::CLOCK_PROCESS_CPUTIME_ID,
    libc::CLOCK_THREAD_CPUTIME_ID,
    libc::CLOCK_MONOTONIC_RAW,
    libc::CLOCK_MONOTONIC_COARSE,
    libc::CLOCK_BOOTTIME,
];

/// The truth, from the real vDSO (ns).
fn truth(id: i32) -> i64 {
    let time = clock_gettime(ClockId::from_raw(id)).unwrap();
    time.tv_sec() * SECOND + time.tv_nsec()
}

fn monotonic() -> i64 {
    truth(libc::CLOCK_MONOTONIC)
}

fn copied(clocks: &[Clock], shape: &Shape, ending: Ending) -> Copied {
    let boottime_ahead = truth(libc::CLOCK_BOOTTIME) - monotonic();
    let skew = Skew {
        shape: *shape,
        clocks: clocks.iter().copied().collect(),
        ending,
        extent: Extent::Named,
    };
    Copied::new(Moved::by(&skew, boottime_ahead))
}

/// What the copy shows (ns), with the seconds and nanoseconds as they should be.
fn shown(copied: &Copied, id: i32) -> i128 {
    let (result, [seconds, nanos]) = copied.clock_gettime(id);
    assert_eq!(result, 0, "clock {id}");
    assert!((0..SECOND).contains(&nanos), "clock {id} shows {nanos} ns");
    i128::from(seconds) * i128::from(SECOND) + i128::from(nanos)
}

fn skew(shape: Shape, ending: Ending) -> Skew {
    Skew { shape, clocks: Clocks::REALTIME, ending, extent: Extent::Named }
}

fn offset(nanos: i64) -> Offset {
    Offset::from_nanos(nanos).unwrap()
}

fn always(shape: Shape) -> Parameters {
    let start = monotonic();
    Parameters::new(&skew(shape, Ending::Step), Span { start, end: start + 24 * HOUR })
}

/// A reading between two of the truth, less the least and the most that it may be off.
fn assert_within(copied: &Copied, id: i32, least: i64, most: i64) {
    let before = i128::from(truth(id)) + i128::from(least);
    let shown = shown(copied, id);
    let after = i128::from(truth(id)) + i128::from(most);
    assert!((before..=after).contains(&shown), "clock {id}: {before} ≤ {shown} ≤ {after}");
}

#[test]
fn an_unset_block_shows_the_truth() {
    let slew = Ending::Slew(Rate::FASTEST);
    for (shape, ending) in [(AHEAD, Ending::Step), (AHEAD, slew), (GROWING, slew)] {
        let copied = copied(&Clock::ALL, &shape, ending);
        for id in WALL.into_iter().chain(OTHERS).chain([libc::CLOCK_REALTIME_COARSE]) {
            assert_within(&copied, id, 0, 0);
        }
        let (before, shown, after) = (truth(5) / SECOND, copied.time(), truth(5) / SECOND);
        assert!((before..=after).contains(&shown));
    }
}

#[test]
fn the_wall_clocks_move_together_and_no_other_does() {
    let copied = copied(&[Clock::Realtime], &AHEAD, Ending::Step);
    for nanos in [HOUR, -90 * SECOND, 1, -1, 999_999_999, -999_999_999, SECOND, -SECOND] {
        copied.set(&always(Shape::Offset(offset(nanos))));
        for id in WALL.into_iter().chain([libc::CLOCK_REALTIME_COARSE]) {
            assert_within(&copied, id, nanos, nanos);
        }
        for id in OTHERS {
            assert_within(&copied, id, 0, 0);
        }
        let before = truth(libc::CLOCK_REALTIME);
        let ((result, [seconds, micros]), _) = copied.gettimeofday();
        let after = truth(libc::CLOCK_REALTIME);
        assert_eq!(result, 0);
        assert!((0..1_000_000).contains(&micros));
        let shown = (seconds * 1_000_000 + micros) * 1_000 - nanos;
        assert!((before - 1_000..=after).contains(&shown), "{before} {shown} {after}");

        let coarse = || (truth(libc::CLOCK_REALTIME_COARSE) + nanos).div_euclid(SECOND);
        let (before, shown, bare, after) = (coarse(), copied.time(), copied.bare_time(), coarse());
        assert!(before <= shown && shown <= bare && bare <= after);
    }
}

#[test]
fn what_the_original_refuses_stays_refused() {
    let copied = copied(&Clock::ALL, &AHEAD, Ending::Step);
    copied.set(&always(Shape::Offset(offset(HOUR))));
    for id in [-1, 8, 9, 10, 12, 16, 31, 32, 33, i32::MAX, i32::MIN] {
        // The system call: what the original falls back to.
        let real = super::truth::read(id).map_err(|error| error.raw_os_error().unwrap());
        let (result, _) = copied.clock_gettime(id);
        assert_eq!(result, real.map_or_else(|errno| -i64::from(errno), |_| 0), "clock {id}");
    }
}

#[test]
fn a_zone_is_filled_in_beside_a_skewed_time() {
    let copied = copied(&[Clock::Realtime], &AHEAD, Ending::Step);
    copied.set(&always(Shape::Offset(offset(HOUR))));
    let (_, zone) = copied.gettimeofday();
    assert_ne!(zone, [-1; 2], "the kernel's zone, mostly zero");
}

#[test]
fn the_ends_of_the_range() {
    let copied = copied(&[Clock::Realtime], &AHEAD, Ending::Step);
    let now = truth(libc::CLOCK_REALTIME);
    // 1970, 2262, and as far as there are offsets: seconds have room for all of it.
    for nanos in
        [-now, -now - 1, i64::MAX - now, Offset::FARTHEST.nanos(), -Offset::FARTHEST.nanos()]
    {
        let nanos = nanos.clamp(-Offset::FARTHEST.nanos(), Offset::FARTHEST.nanos());
        copied.set(&always(Shape::Offset(offset(nanos))));
        let before = i128::from(truth(libc::CLOCK_REALTIME)) + i128::from(nanos);
        let shown = shown(&copied, libc::CLOCK_REALTIME);
        assert!((before..before + i128::from(SECOND)).contains(&shown), "{nanos}: {shown}");
    }
}

#[test]
fn every_shape_shows_what_its_parameters_say() {
    let now = monotonic();
    let rate = |billionths| Rate::from_billionths(billionths).unwrap();
    let minute = Duration::from_secs(60);
    let shapes = [
        Shape::Offset(offset(HOUR)),
        Shape::Step { offset: offset(HOUR), after: minute },
        Shape::Strobe { first: offset(HOUR), second: offset(-HOUR), period: minute },
        Shape::Drift { offset: offset(-5), rate: rate(1_000_000_000) },
        Shape::Drift { offset: offset(HOUR), rate: rate(-1_000_000_000) },
        Shape::Drift { offset: offset(0), rate: rate(200_000) },
        Shape::Drift { offset: Offset::FARTHEST, rate: rate(1_000_000_000) },
    ];
    let endings =
        [Ending::Step, Ending::Slew(rate(500_000_000)), Ending::Slew(rate(1_000_000_000))];
    for (shape, ending) in shapes.iter().flat_map(|shape| endings.map(|ending| (*shape, ending))) {
        let copied = copied(&Clock::ALL, &shape, ending);
        // It acts, is on its way back, and has ended; turns and steps are behind or ahead.
        for start in [now - 90 * SECOND, now - 10 * SECOND, now - 40 * SECOND, now + 5 * SECOND] {
            for end in [now + HOUR, now - SECOND, now - 2 * HOUR] {
                let parameters = Parameters::new(&skew(shape, ending), Span { start, end });
                copied.set(&parameters);
                for id in WALL {
                    assert_follows(&copied, id, libc::CLOCK_MONOTONIC_COARSE, &parameters);
                }
                for (id, decides) in [(1, 1), (6, 6), (7, 1), (5, 6)] {
                    assert_follows(&copied, id, decides, &parameters);
                }
            }
        }
    }
}

/// Offsets change by at most the time that passes here, or not at all.
fn assert_follows(copied: &Copied, id: i32, decides: i32, parameters: &Parameters) {
    let earlier = truth(decides);
    let before = truth(id);
    let shown = shown(copied, id);
    let after = truth(id);
    let later = monotonic();
    let ends = [parameters.offset(earlier), parameters.offset(later)].map(i128::from);
    // How far CLOCK_BOOTTIME is ahead was found out by two reads with some time between them.
    let apart = if id == libc::CLOCK_BOOTTIME { 100_000 } else { 0 };
    let least = i128::from(before) + ends[0].min(ends[1]) - apart;
    let most = i128::from(after) + ends[0].max(ends[1]) + apart;
    assert!(
        (least..=most).contains(&shown),
        "clock {id}: {least} ≤ {shown} ≤ {most} {parameters:?}"
    );
}

#[test]
fn after_the_lease_everybody_reads_the_truth() {
    let copied = copied(&[Clock::Realtime], &AHEAD, Ending::Step);
    let start = monotonic();
    let end = start + 60_000_000;
    let forever = skew(Shape::Offset(offset(HOUR)), Ending::Step);
    copied.set(&Parameters::new(&forever, Span { start, end }));
    let (mut skewed, mut true_ones) = (0, 0);
    while true_ones < 1_000 {
        let earlier = truth(libc::CLOCK_MONOTONIC_COARSE);
        let distance =
            shown(&copied, libc::CLOCK_REALTIME) - i128::from(truth(libc::CLOCK_REALTIME));
        let later = truth(libc::CLOCK_MONOTONIC_COARSE);
        let is_skewed = distance > i128::from(HOUR / 2);
        // A tick late at most: the coarse clock decides.
        assert!(later >= end || is_skewed);
        assert!(earlier < end || !is_skewed);
        if is_skewed {
            skewed += 1
        } else {
            true_ones += 1
        }
        assert!(monotonic() < end + 600 * SECOND, "the coarse clock stands still");
    }
    assert!(skewed > 0);
}

#[test]
fn no_clock_runs_backwards_where_none_should() {
    let rate = |billionths| Rate::from_billionths(billionths).unwrap();
    let slow = Shape::Drift { offset: Offset::NONE, rate: rate(-999_000_000) };
    let cases = [
        (slow, Ending::Step),
        (Shape::Offset(offset(40_000_000)), Ending::Slew(rate(1_000_000_000))),
        (Shape::Drift { offset: offset(0), rate: rate(300_000) }, Ending::Slew(rate(900_000_000))),
    ];
    for (shape, ending) in cases {
        let copied = copied(&Clock::ALL, &shape, ending);
        let start = monotonic();
        let span = Span { start, end: start + 60_000_000 };
        let parameters = Parameters::new(&skew(shape, ending), span);
        copied.set(&parameters);
        let ids = [0, 1, 5, 6, 7];
        let mut last = ids.map(|id| (shown(&copied, id), i128::from(copied.time())));
        while truth(libc::CLOCK_MONOTONIC_COARSE) < parameters.over() + TICK {
            for (id, last) in ids.into_iter().zip(&mut last) {
                let now = (shown(&copied, id), i128::from(copied.time()));
                // Where the wall clock slews behind a lease, the coarse clock may see its end late: it
                // then steps on, never back, but for what a tick of slewing is.
                let by_turns = Pace::of(&shape) != Pace::Grows;
                let slack = if id == 0 && by_turns { i128::from(TICK) } else { 0 };
                assert!(now.0 + slack >= last.0, "clock {id} {now:?} {last:?} {parameters:?}");
                assert!(now.1 >= last.1);
                *last = now;
            }
        }
    }
}

#[test]
fn nobody_reads_half_of_one_and_half_of_another() {
    let period = Duration::from_millis(20);
    let turns = Shape::Strobe { first: Offset::NONE, second: Offset::FARTHEST, period };
    let copied = copied(&[Clock::Realtime], &turns, Ending::Step);
    let start = monotonic();
    let span = Span { start: start - SECOND, end: start + 24 * HOUR };
    // Any mixture of the two would show a third offset, or none.
    let shapes = [
        Shape::Offset(offset(HOUR)),
        Shape::Strobe { first: offset(-3 * HOUR), second: offset(-3 * HOUR), period },
        Shape::Step { offset: offset(7 * HOUR), after: Duration::from_nanos(1) },
    ];
    let all = shapes.map(|shape| Parameters::new(&skew(shape, Ending::Step), span));
    let allowed = [HOUR, -3 * HOUR, 7 * HOUR, 0];
    copied.set(&all[0]);
    let (done, reads) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0_usize;
            while !done.load(Ordering::Relaxed) {
                let seen = reads.load(Ordering::Relaxed);
                // The selector counts to 256: who stood still for as many replacements, which take
                // seconds each in earnest, would not notice.
                for _ in 0..200 {
                    copied.set(&all[turn % 3]);
                    turn += 1;
                }
                while reads.load(Ordering::Relaxed) == seen && !done.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            }
        });
        let mut counts = [0_u32; 4];
        while counts[..3].iter().any(|count| *count < 20_000) {
            let before = i128::from(truth(libc::CLOCK_REALTIME));
            let shown = shown(&copied, libc::CLOCK_REALTIME);
            let after = i128::from(truth(libc::CLOCK_REALTIME));
            reads.fetch_add(1, Ordering::Relaxed);
            let fits = |nanos: &i64| (before..=after).contains(&(shown - i128::from(*nanos)));
            let Some(which) = allowed.iter().position(fits) else {
                done.store(true, Ordering::Relaxed);
                panic!("torn: {} ns off", shown - before);
            };
            counts[which] += 1;
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_writer_that_was_killed_holds_nobody_up() {
    let copied = copied(&[Clock::Realtime], &AHEAD, Ending::Step);
    copied.set(&always(Shape::Offset(offset(HOUR))));
    // Filled, never selected.
    let _ = copied.fill(&always(Shape::Offset(offset(-HOUR))));
    assert_within(&copied, libc::CLOCK_REALTIME, HOUR, HOUR);
    copied.set(&always(Shape::Offset(offset(2 * HOUR))));
    assert_within(&copied, libc::CLOCK_REALTIME, 2 * HOUR, 2 * HOUR);
}
