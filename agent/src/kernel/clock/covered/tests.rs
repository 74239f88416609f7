//! What a reading is held against.

use fault::{Clocks, Extent, Offset, Rate};

use super::*;
use crate::clock::parameters::Span;

const SECOND: i64 = 1_000_000_000;

fn parameters(shape: Shape) -> Parameters {
    let skew =
        Skew { shape, clocks: Clocks::REALTIME, ending: Ending::Step, extent: Extent::Named };
    Parameters::new(&skew, Span { start: 0, end: 100 * SECOND })
}

#[test]
fn a_reading_is_held_against_what_was_asked_for() {
    let offset = |nanos| Offset::from_nanos(nanos).unwrap();
    let hour = 3_600 * SECOND;
    let constant = parameters(Shape::Offset(offset(hour)));
    let between = (SECOND, SECOND + 50_000_000);
    assert!(is_as_asked(&constant, between, hour + 80, 90));
    assert!(!is_as_asked(&constant, between, hour + 100, 90));
    assert!(!is_as_asked(&constant, between, 0, 90));
    let rate = Rate::from_billionths(200_000).unwrap();
    let drift = parameters(Shape::Drift { offset: Offset::NONE, rate });
    assert!(is_as_asked(&drift, between, 200_000, 90));
    assert!(is_as_asked(&drift, between, 210_000, 90));
    assert!(!is_as_asked(&drift, between, 250_000, 90));
    let period = Duration::from_millis(200);
    let strobe =
        parameters(Shape::Strobe { first: offset(4_000_000), second: Offset::NONE, period });
    assert!(is_as_asked(&strobe, between, 4_000_050, 90));
    assert!(is_as_asked(&strobe, between, -50, 90));
    assert!(!is_as_asked(&strobe, between, 2_000_000, 90));
}
