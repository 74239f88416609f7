//! What steps find, and what later ones make of it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::workshop::{Running, Workshop, script};

/// Answers the first request with the first text, and so on; the last one for ever.
fn answering(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU32::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let turn = usize::try_from(asked.fetch_add(1, Ordering::SeqCst)).unwrap();
            let body = answers.get(turn).or(answers.last()).unwrap();
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    address
}

fn ours(name: &str, probe: &str, arguments: Value, more: &Value) -> Value {
    let mut step = json!({"type": "probe", "name": name,
        "provider": {"type": "schism", "probe": probe, "arguments": arguments}});
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

#[test]
fn what_a_metric_changed_by_since_a_step_is_judged() {
    for (second, code) in [(5, 0), (6, 1)] {
        let url =
            answering(vec!["errors_total 5\n".to_owned(), format!("errors_total {second}\n")]);
        let workshop = Workshop::new();
        let asked = json!({"url": url, "metric": "errors_total"});
        let mut since = asked.clone();
        since["since"] = json!("${outputs.before}");
        let line = workshop.experiment(json!({"method": [
            ours("errors so far", "metric", asked, &json!({"as": "before"})),
            ours("no new errors", "metric", since, &json!({"tolerance": 0})),
        ]}));
        let ended = workshop.run(line);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(workshop.journal()["run"][1]["output"], second - 5);
    }
}

#[test]
fn lines_that_came_since_a_step_are_found() {
    let workshop = Workshop::new();
    workshop.write("log", "panic of yesterday\n");
    let asked = json!({"file": "log", "pattern": "^panic"});
    let mut since = asked.clone();
    since["since"] = json!("${outputs.mark}");
    let absent = json!({"tolerance": {"type": "jsonpath", "path": "$.found", "expect": [false]}});
    let line = workshop.experiment(json!({"method": [
        ours("mark", "logs", asked, &json!({"as": "mark"})),
        ours("none", "logs", since.clone(), &absent),
        script("write", "echo 'panic: now' >> log"),
        ours("one", "logs", since, &json!({"tolerance": {"type": "jsonpath", "path": "$.count", "expect": [1]}})),
    ]}));
    let ended = workshop.run(line);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let journal = workshop.journal();
    assert_eq!(journal["run"][3]["output"]["lines"], json!(["panic: now"]), "{journal:#}");
}

#[test]
fn a_probe_without_tolerance_that_fails_fails_the_run() {
    let workshop = Workshop::new();
    let asked = json!({"url": "http://127.0.0.1:1/metrics", "metric": "up"});
    let probe = ours("unreachable", "metric", asked, &json!({}));
    let line = workshop.experiment(json!({"method": [probe]}));
    for (manner, code) in [("--strict", 1), ("--compat", 0)] {
        let ended = workshop.run(&format!("{line} {manner}"));
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains("127.0.0.1:1"), "{ended:?}");
    }
}

#[test]
fn nothing_is_told_of_a_secret_in_a_place_that_takes_none() {
    let workshop = Workshop::new();
    let asked = json!({"url": "http://127.0.0.1:1/", "metric": "up", "headers": "${token}"});
    let token = format!("hunter2{}", "x".repeat(100));
    let line = workshop.experiment(json!({"secrets": {"group": {"token": token}},
        "method": [ours("ask", "metric", asked, &json!({}))]}));
    let ended = workshop.run(&format!("{line} --junit suite.xml -o json"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let (journal, suite) = (workshop.read("journal.json"), workshop.read("suite.xml"));
    assert!(journal.contains("a mapping was expected here, found text"), "{journal}");
    for told in [journal, suite, ended.stdout, ended.stderr] {
        assert!(!told.is_empty() && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_fault_is_no_place_for_a_secret() {
    let workshop = Workshop::new();
    let freeze = json!({"type": "action", "name": "freeze", "provider": {"type": "schism",
        "action": "freeze", "arguments": {"target": "${token}"}}});
    // Whoever reads selectors would tell where it is wrong, in part and otherwise than it stands there.
    let line = workshop.experiment(json!({"method": [freeze],
        "secrets": {"group": {"token": "hunter2 and\n\nhunter3"}}}));
    let ended = workshop.run(&format!("{line} --junit suite.xml -o json"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let (journal, suite) = (workshop.read("journal.json"), workshop.read("suite.xml"));
    assert!(journal.contains("a fault is no place for a secret"), "{journal}");
    for told in [journal, suite, ended.stdout, ended.stderr] {
        assert!(!told.is_empty() && !told.contains("hunter"), "{told}");
    }
}

#[test]
fn an_experiment_is_run_from_an_address() {
    let experiment =
        json!({"title": "from afar", "description": "d", "method": [script("step", "touch ran")]});
    let address = answering(vec![experiment.to_string()]);
    let workshop = Workshop::new();
    let ended = workshop.run(&format!("run {address}/experiment.json"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(workshop.path("ran").exists() && ended.stderr.contains("from afar"), "{ended:?}");
    let ended = workshop.run("run http://127.0.0.1:1/experiment.json");
    assert_eq!(ended.code, Some(5), "{ended:?}");
}

#[test]
fn a_terminal_shows_what_goes_on() {
    let workshop = Workshop::new();
    workshop.experiment(json!({"method": [script("a slow step", "sleep 1")]}));
    let mut terminal = Command::new("script");
    let line = format!("{} run experiment.json", env!("CARGO_BIN_EXE_schism"));
    terminal.args(["-qec", &line, "/dev/null"]);
    workshop.settle(&mut terminal);
    let ended = Running::start(terminal).ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for expected in ["\r\u{1b}[K", "  method: a slow step ", "✓ method: a slow step (1"] {
        assert!(ended.stdout.contains(expected), "{expected}: {ended:?}");
    }
    let last = ended.stdout.trim_end().lines().last().unwrap();
    assert!(last.ends_with("run completed"), "the line is taken away: {ended:?}");
}
