//! `schism zeebe worker`.

use serde_json::Value;

use crate::mock::Gateway;
use crate::schism;

async fn work(words: &str) -> (i32, Value, Gateway) {
    let gateway = Gateway::default();
    // It fails once otherwise.
    gateway.0.lock().unwrap().failed = true;
    let at = gateway.serve().await;
    let (code, said, why) = schism(&format!("--gateway {at} worker -o json {words}")).await;
    let said = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{why}"));
    (code, said, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_no_more_in_hand_than_it_can_hold_and_completes_what_it_has() {
    let words = "--capacity 3 --delay 50ms --poll-every 1ms --for 1s";
    let (code, said, gateway) = work(words).await;
    assert_eq!(code, 0, "{said}");
    let told = gateway.0.lock().unwrap();
    assert_eq!(told.in_hand, (0, 3), "{said}");
    assert_eq!(said["completed"], told.completed.len(), "{said}");
    assert_eq!(said["taken"], said["completed"], "{said}");
    // Three at once every 50 ms or somewhat later.
    assert!(told.completed.len() >= 12, "{said}");
    assert!(told.wanted.iter().all(|most| (1..=3).contains(most)), "{:?}", told.wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_opened_again() {
    let words = "--stream --poll-every 24h --capacity 8 --for 2s";
    let (code, said, gateway) = work(words).await;
    assert_eq!(code, 0, "{said}");
    let told = gateway.0.lock().unwrap();
    assert!(told.streams >= 3 && said["streams"] == told.streams, "{said}");
    // Two by each, and those of the one question.
    assert_eq!(said["pushed"], 2 * told.streams, "{said}");
    assert_eq!(told.wanted.len(), 1, "{said}");
    assert_eq!(said["failures"]["unavailable"], told.streams, "{said}");
}
