//! Containers that tell what their clocks show.

use std::time::{SystemTime, UNIX_EPOCH};

use lab::kubernetes::{BUSYBOX, Kubectl};
use serde_json::{Value, json};

use crate::{running::until, web};

/// Writes down what its clock shows, five times a second: the shell itself, which lives on, and no program that it
/// starts.
const TELLER: &str = "while :; do echo $EPOCHREALTIME >/tmp/clock; sleep 0.2; done";

/// A pod with a web server and two clocks, `clock` and `sibling`.
pub(crate) fn pod(name: &str, node: &str) -> Value {
    let clock = |name: &str| {
        json!({
            "name": name, "image": BUSYBOX, "imagePullPolicy": "Never",
            "command": ["sh", "-c", TELLER],
        })
    };
    let mut list: Value = serde_json::from_str(&web::pod(name, node)).unwrap();
    let containers = list["items"][0]["spec"]["containers"].as_array_mut().unwrap();
    containers.extend([clock("clock"), clock("sibling")]);
    list
}

/// Waits until a clock is off by so many seconds, up to what reading it takes here.
pub(crate) fn are_off(kubectl: &Kubectl, pod: &str, container: &str, seconds: i64) {
    let what = format!("{container} of {pod} is off by {seconds} s");
    until(&what, || offset(kubectl, pod, container).saturating_sub(seconds).abs() < 60);
}

/// How far the clock of a container is off, to a second.
fn offset(kubectl: &Kubectl, pod: &str, container: &str) -> i64 {
    let line = ["exec", pod, "-c", container, "--", "cat", "/tmp/clock"];
    let shown = kubectl.run_with(&line).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    // A file that is being written is empty for a moment: it is read again.
    shown.trim().parse().map_or(i64::MAX, |shown: f64| (shown - now).round() as i64)
}
