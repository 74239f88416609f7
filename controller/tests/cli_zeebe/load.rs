//! `schism zeebe load`: what is counted, and from when on.

use std::time::Duration;

use serde_json::Value;

use crate::mock::{Creation, Gateway};
use crate::schism;

/// How a load ends against a gateway that answers like this, and what it says.
async fn load(creation: Creation, words: &str) -> (i32, Value, Gateway) {
    let gateway = Gateway::default();
    gateway.0.lock().unwrap().creation = creation;
    let at = gateway.serve().await;
    let (code, said, why) = schism(&format!("--gateway {at} load -o json {words}")).await;
    let said = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{why}"));
    (code, said, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_by_their_kind_and_judged_by_their_share() {
    let words = "--rate 200 --for 1s";
    let (code, said, _) =
        load(Creation::EveryFourthTooMuch, &format!("{words} --may-fail 25%")).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!((&said["due"], &said["succeeded"]), (&200.into(), &150.into()), "{said}");
    assert_eq!(said["failures"], serde_json::json!({"backpressure": 50}), "{said}");
    assert_eq!(said["exit-code"], 0);
    let (code, said, _) =
        load(Creation::EveryFourthTooMuch, &format!("{words} --may-fail 24%")).await;
    assert_eq!((code, &said["exit-code"]), (1, &1.into()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stalls_holds_back_nothing_and_its_silence_counts_for_all_that_were_due() {
    let stall = Duration::from_millis(800);
    let (code, said, gateway) = load(Creation::Stalled(stall), "--rate 100 --for 1s").await;
    assert_eq!(code, 0, "{said}");
    let asked = gateway.0.lock().unwrap().asked.clone();
    let during = asked.iter().filter(|at| **at < asked[0] + stall).count();
    assert!(during > 60, "{during} of 100 were sent while nobody answered");
    // The first waited for all of it, the one in the middle of it for half: not one slow answer among many.
    let of = |percentile: &str| said["latency-ms"][percentile].as_f64().unwrap();
    assert!(of("max") >= 700.0 && of("p50") >= 200.0, "{said}");
    assert!(said["longest-gap-ms"].as_f64().unwrap() >= 700.0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_for_two_and_an_answer_without_one_fail_whatever_may() {
    let words = "--rate 50 --for 200ms --may-fail 100%";
    let (code, said, _) = load(Creation::OneKey, words).await;
    assert_eq!((code, &said["duplicates"]), (1, &9.into()), "{said}");
    let (code, said, _) = load(Creation::Empty, words).await;
    assert_eq!((code, &said["failures"]["empty"]), (1, &10.into()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_to_be_under_way_is_not_sent_and_has_failed() {
    let words = "--rate 100 --for 300ms --in-flight 5 --may-fail 100%";
    let (code, said, gateway) = load(Creation::Stalled(Duration::from_secs(1)), words).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!((&said["due"], &said["failures"]["withheld"]), (&30.into(), &25.into()), "{said}");
    assert_eq!(gateway.0.lock().unwrap().asked.len(), 5);
}

#[tokio::test]
async fn a_load_of_nothing_is_wrong_usage() {
    for words in ["--rate 0", "--rate x", "--rate 1 --for 100ms", "--in-flight 0"] {
        let (code, said, why) = schism(&format!("--gateway 127.0.0.1:1 load {words}")).await;
        assert_eq!(code, 2, "{words}: {said}{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_every_instance_fails_and_says_why() {
    let (code, said, why) =
        schism("--gateway 127.0.0.1:1 load --rate 50 --for 200ms -o json").await;
    let told: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {why}"));
    assert_eq!((code, &told["failures"]["unreachable"]), (1, &10.into()), "{said}");
    assert!(told["said"]["unreachable"].as_str().unwrap().contains("refused"), "{said}");
}
