//! What a reading is held against, and what is known of a skew without its processes.

use std::path::PathBuf;
use std::sync::mpsc;

use fault::{BootId, Clocks, Extent, NamespaceCookie, Offset, Rate, TargetIdentity};

use super::*;
use crate::clock::parameters::Span;
use crate::kernel::clock::holder::Holder;
use crate::kernel::clock::record::Records;

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

/// A skew that covers nobody.
fn empty() -> Covered {
    let boot = BootId::new(1);
    let identity = TargetIdentity { boot, namespace: NamespaceCookie::new(1), process: None };
    let place = Place { selector: "netns:a".parse().unwrap(), identity };
    let shape = Shape::Offset(Offset::NONE);
    let skew =
        Skew { shape, clocks: Clocks::REALTIME, ending: Ending::Step, extent: Extent::Named };
    let nowhere = Records::of(PathBuf::from("/nonexistent"));
    Covered::new(place, skew, &Workshop::new(boot, nowhere, Holder::default()))
}

#[test]
fn a_beginning_that_its_end_overtook_does_not_begin_it() {
    let (start, end) = (BootTime::from_nanos(1), BootTime::from_nanos(u64::MAX));
    let skew = empty();
    skew.begin(start, end).unwrap();
    assert_eq!(skew.lease(), Some((start, end)));
    skew.end().unwrap();
    skew.begin(start, end).unwrap();
    assert_eq!(skew.lease(), None);
}

#[test]
fn executions_are_noted_while_somebody_waits_for_a_process() {
    let skew = Arc::new(empty());
    let at = BootTime::from_nanos(7);
    let busy = skew.state();
    let (sender, noted) = mpsc::channel();
    let other = Arc::clone(&skew);
    std::thread::spawn(move || {
        other.note_execution(4711, at);
        sender.send(other.members()).unwrap();
    });
    let members = noted.recv_timeout(Duration::from_secs(10));
    drop(busy);
    assert_eq!(members, Ok(BTreeSet::new()));
    let process = ProcessIdentity { pid: 4711, started: 1 };
    assert_eq!(skew.roll.admit(process), Some(at), "when it was heard of, not when it is noted");
}
