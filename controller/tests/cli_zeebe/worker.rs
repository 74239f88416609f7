//! `schism zeebe worker`.

use std::time::Duration;

use serde_json::Value;

use crate::mock::{Gateway, Giving};
use crate::schism;

async fn work(words: &str) -> (i32, Value, Gateway) {
    work_for(Giving::Prompt, words).await
}

async fn work_for(giving: Giving, words: &str) -> (i32, Value, Gateway) {
    let gateway = Gateway::default();
    {
        let mut told = gateway.0.lock().unwrap();
        // It fails once otherwise.
        told.failed = true;
        told.giving = giving;
    }
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
    assert_eq!((&said["unheard"], &said["left"]), (&0.into(), &0.into()), "{said}");
    // Three at once every 50 ms or somewhat later.
    assert!(told.completed.len() >= 12, "{said}");
    assert!(told.wanted.iter().all(|most| (1..=3).contains(most)), "{:?}", told.wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_answer_is_waited_for_and_its_jobs_are_completed() {
    // It ends while the gateway has given jobs out and not said so.
    let giving = Giving::Late(Duration::from_millis(1500));
    let (code, said, gateway) = work_for(giving, "--capacity 3 --for 500ms").await;
    assert_eq!(code, 0, "{said}");
    let told = gateway.0.lock().unwrap();
    assert_eq!((told.wanted.as_slice(), told.in_hand), ([3].as_slice(), (0, 3)), "{said}");
    assert_eq!((&said["completed"], &said["unheard"]), (&3.into(), &0.into()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_may_be_given_out_and_were_not_heard_of_are_told() {
    let (code, said, gateway) = work_for(Giving::Mute, "--capacity 3 --for 100ms").await;
    assert_eq!(code, 0, "{said}");
    let told = gateway.0.lock().unwrap();
    assert_eq!(told.wanted, [3], "{said}");
    assert_eq!((&said["taken"], &said["unheard"]), (&0.into(), &3.into()), "{said}");
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
