use std::time::Duration;

use fault::{Clock, Clocks, Extent, LeaseTerms, Rate};
use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// What a skew means, in exact arithmetic and without a stub in mind. In 10⁻⁹ ns, as rates are.
fn meant(skew: &Skew, span: Span, now: i64) -> i128 {
    let (start, end) = (i128::from(span.start), i128::from(span.end));
    let now = i128::from(now);
    let before_end = |now: i128| -> i128 {
        const BILLION: i128 = 1_000_000_000;
        let time = now - start;
        match skew.shape {
            Shape::Offset(offset) => i128::from(offset.nanos()) * BILLION,
            Shape::Step { offset, after } => {
                let late = time >= i128::try_from(after.as_nanos()).unwrap();
                if late { i128::from(offset.nanos()) * BILLION } else { 0 }
            }
            Shape::Strobe { first, second, period } => {
                let period = i128::try_from(period.as_nanos()).unwrap();
                let offset = if time.rem_euclid(period) * 2 < period { first } else { second };
                i128::from(offset.nanos()) * BILLION
            }
            Shape::Drift { offset, rate } => {
                i128::from(offset.nanos()) * BILLION + time * i128::from(rate.billionths())
            }
        }
    };
    if now < end {
        return before_end(now);
    }
    match skew.ending {
        Ending::Step => 0,
        Ending::Slew(rate) => {
            let distance = before_end(end);
            let way = (now - end) * i128::from(rate.billionths().unsigned_abs());
            distance.signum() * (distance.abs() - way).max(0)
        }
    }
}

/// Nanoseconds around the next turn in which rounding may put it.
const TURN: i64 = 20_000;

fn near_a_turn(skew: &Skew, span: Span, now: i64) -> bool {
    let Shape::Strobe { period, .. } = skew.shape else { return false };
    let half = i64::try_from(period.as_nanos()).unwrap() / 2;
    let within = (now - span.start).rem_euclid(half);
    within < TURN || half - within < TURN
}

fn offsets() -> impl Strategy<Value = Offset> {
    let seconds = prop_oneof![-9_000_000_000_i64..9_000_000_000, -100_i64..100];
    (seconds, 0..SECOND)
        .prop_map(|(seconds, nanos)| Offset::from_nanos(seconds * SECOND + nanos).unwrap())
}

fn rates() -> impl Strategy<Value = Rate> {
    (-1_000_000_000_i32..=1_000_000_000).prop_filter_map("no rate", Rate::from_billionths)
}

fn shapes() -> impl Strategy<Value = Shape> {
    let length = (20_000_000_i64..DAY).prop_map(|nanos| Duration::from_nanos(nanos.unsigned_abs()));
    prop_oneof![
        offsets().prop_map(Shape::Offset),
        (offsets(), length.clone()).prop_map(|(offset, after)| Shape::Step { offset, after }),
        (offsets(), offsets(), length).prop_map(|(first, second, period)| Shape::Strobe {
            first,
            second,
            period
        }),
        (offsets(), rates()).prop_map(|(offset, rate)| Shape::Drift { offset, rate }),
    ]
}

fn endings() -> impl Strategy<Value = Ending> {
    prop_oneof![Just(Ending::Step), rates().prop_map(Ending::Slew)]
}

/// What the monotonic clock may be made to do.
fn forward() -> impl Strategy<Value = (Shape, Ending)> {
    let ahead = (0..1_000 * SECOND).prop_map(|nanos| Offset::from_nanos(nanos).unwrap());
    let length = (1..DAY).prop_map(|nanos| Duration::from_nanos(nanos.unsigned_abs()));
    let slow = (-1_000_000_000_i32..0).prop_filter_map("no rate", Rate::from_billionths);
    let shapes = prop_oneof![
        ahead.clone().prop_map(Shape::Offset),
        (ahead.clone(), length).prop_map(|(offset, after)| Shape::Step { offset, after }),
        (ahead, rates()).prop_map(|(offset, rate)| Shape::Drift { offset, rate }),
        slow.prop_map(|rate| Shape::Drift { offset: Offset::NONE, rate }),
    ];
    let slews = (900_000_000_i32..=1_000_000_000).prop_filter_map("no rate", Rate::from_billionths);
    (shapes, slews, any::<bool>()).prop_filter_map("nothing", |(shape, rate, step)| {
        let (least, most) = shape.reach(LeaseTerms::LONGEST);
        let ending = if step && most == 0 { Ending::Step } else { Ending::Slew(rate) };
        // The way back from the whole of the longest drift is longer than a fault may be.
        (least != most || most != 0)
            .then_some((shape, ending))
            .filter(|_| most < 6 * DAY && least > -6 * DAY)
    })
}

fn skews() -> impl Strategy<Value = Skew> {
    (shapes(), endings()).prop_map(|(shape, ending)| Skew {
        shape,
        clocks: Clocks::REALTIME,
        ending,
        extent: Extent::Named,
    })
}

fn spans() -> impl Strategy<Value = Span> {
    // A time namespace may put the clock far ahead, or before zero.
    (-100 * DAY..10_000 * DAY, 2..7 * DAY)
        .prop_map(|(start, length)| Span { start, end: start + length })
}

proptest! {
    #[test]
    fn the_offset_is_what_is_meant(
        skew in skews(), span in spans(), time in prop_oneof![0..8 * DAY, 0..100 * SECOND],
    ) {
        let now = span.start + time;
        let parameters = Parameters::new(&skew, span);
        prop_assume!(!near_a_turn(&skew, span, now) && !near_a_turn(&skew, span, span.end));
        let exact = meant(&skew, span, now);
        let way_back = i128::from(parameters.over()) - i128::from(parameters.end);
        let rounding = 3 + way_back.max(i128::from(7 * DAY)) / (1 << 47);
        let difference = i128::from(parameters.offset(now)) - exact / 1_000_000_000;
        prop_assert!(difference.abs() <= rounding, "{difference} ns off, {parameters:?}");
    }

    #[test]
    fn monotonic_never_runs_backwards(
        (shape, ending) in forward(), span in spans(),
        time in prop_oneof![0..8 * DAY, 0..100 * SECOND], pause in prop_oneof![1..1_000_i64, 1..DAY],
        near in any::<bool>(),
    ) {
        let skew = Skew { shape, clocks: [Clock::Monotonic].into_iter().collect(), ending, extent: Extent::Named };
        let terms = LeaseTerms::new(Duration::from_secs(15), LeaseTerms::LONGEST).unwrap();
        prop_assert_eq!(skew.check(terms), Ok(()));
        let parameters = Parameters::new(&skew, span);
        // Around the edges, where it would go wrong first.
        let edge = if near { parameters.end } else { parameters.over() };
        for earlier in [span.start + time, edge - pause, edge - 1, edge, edge + 1] {
            let earlier = earlier.max(span.start);
            let later = earlier + pause;
            let shown = |now| now + parameters.offset(now);
            prop_assert!(shown(earlier) <= shown(later), "{earlier} {later} {parameters:?}");
            prop_assert!(parameters.offset(span.start) >= 0, "it begins without a step back");
        }
    }

    #[test]
    fn a_constant_distance_may_be_one_that_grows(
        offset in offsets(), ending in endings(), span in spans(), time in 0..8 * DAY,
    ) {
        let skew = Skew { shape: Shape::Offset(offset), clocks: Clocks::REALTIME, ending, extent: Extent::Named };
        let constant = Parameters::new(&skew, span);
        let growing = constant.paced(Pace::Grows);
        let now = span.start + time;
        prop_assert!(matches!(growing.distance, Distance::Grows(_)));
        prop_assert_eq!(constant.offset(now), growing.offset(now));
    }

    #[test]
    fn a_renewal_moves_only_the_end(skew in skews(), span in spans(), more in 0..DAY, time in 0..DAY) {
        let longer = Span { end: span.end + more, ..span };
        let (before, after) = (Parameters::new(&skew, span), Parameters::new(&skew, longer));
        let now = span.start + time;
        prop_assume!(now < before.end);
        prop_assert_eq!(before.offset(now), after.offset(now));
    }
}

#[test]
fn nothing_is_left_after_the_end() {
    assert_eq!(Parameters::ended().offset(0), 0);
    assert_eq!(Parameters::ended().offset(i64::MIN), 0);
    let skew = Skew {
        shape: Shape::Offset(Offset::FARTHEST),
        clocks: Clocks::REALTIME,
        ending: Ending::Step,
        extent: Extent::Named,
    };
    let parameters = Parameters::new(&skew, Span { start: 10, end: 20 });
    assert_eq!(parameters.offset(19), Offset::FARTHEST.nanos());
    assert_eq!(parameters.offset(20), 0);
    assert_eq!(parameters.offset(i64::MAX), 0);
}

#[test]
fn a_strobe_takes_turns() {
    let skew = Skew {
        shape: Shape::Strobe {
            first: Offset::from_nanos(4_000_000).unwrap(),
            second: Offset::NONE,
            period: Duration::from_millis(200),
        },
        clocks: Clocks::REALTIME,
        ending: Ending::Step,
        extent: Extent::Named,
    };
    let parameters = Parameters::new(&skew, Span { start: 0, end: DAY });
    let shown = [50, 150, 250, 350].map(|ms| parameters.offset(ms * 1_000_000));
    assert_eq!(shown, [4_000_000, 0, 4_000_000, 0]);
    let late = DAY - 1_000_000_000;
    assert_eq!(parameters.offset(late + 50_000_000), 4_000_000);
    assert_eq!(parameters.offset(late + 150_000_000), 0);
}

#[test]
fn words_stand_in_order() {
    let parameters = Parameters { end: 1, back_factor: -2, ..Parameters::default() };
    let bytes = parameters.to_bytes();
    assert_eq!(bytes[..8], 1_i64.to_le_bytes());
    assert_eq!(bytes[56..], (-2_i64).to_le_bytes());
}
