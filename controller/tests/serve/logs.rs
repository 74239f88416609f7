//! Logs of targets, through a controller.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use proto::control as wire;
use serde_json::{Value, json};
use tonic::Code;

use crate::rig::{Served, soon};
use crate::runs::{read, told, typed};

fn look(name: &str, target: &str, since: Value, more: &Value) -> Value {
    let arguments = json!({"target": target, "pattern": "lead(er|s)", "since": since});
    let mut step = json!({"type": "probe", "name": name, "as": name,
        "provider": {"type": "schism", "probe": "logs", "arguments": arguments}});
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

fn is(found: bool) -> Value {
    json!({"tolerance": {"type": "jsonpath", "path": "$.found", "expect": [found]}})
}

fn say(name: &str, log: &Path) -> Value {
    json!({"type": "action", "name": name, "provider": {"type": "process", "path": "sh",
        "arguments": ["-c", format!("echo 'a new leader' >> {}", log.display())]}})
}

/// A node whose namespace writes to a file.
async fn writes(served: &Served, name: &str) -> PathBuf {
    served.dial(name).await;
    let log = served.path(&format!("{name}.log"));
    fs::write(&log, "the old leader\nhalf").unwrap();
    let log_of = log.clone();
    served.kernel(name).node(|node| {
        let cookie = node.named(name).unwrap();
        node.write_to(cookie, log_of);
    });
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn what_targets_write_since_a_step_is_found() {
    let served = Served::start().await;
    let (a, _) = (writes(&served, "a").await, writes(&served, "b").await);
    let experiment = json!({"title": "logs", "description": "d", "method": [
        look("mark", "netns:a@a", json!("now"), &is(false)),
        look("all", "netns:a@a", Value::Null, &is(true)),
        look("quiet", "netns:a@a", json!("${outputs.mark}"), &is(false)),
        say("say", &a),
        look("heard", "netns:a@a", json!("${outputs.mark}"), &is(true)),
        look("once", "netns:a@a", json!("${outputs.heard}"), &is(false)),
        look("elsewhere", "netns:b@b", json!("now"), &is(false)),
        look("other", "netns:b@b", json!("${outputs.mark}"), &json!({"may-fail": true})),
    ]});
    fs::write(served.path("experiment.json"), experiment.to_string()).unwrap();
    let ended = typed(&served, "run experiment.json").await;
    assert_eq!(ended.status.code(), Some(0), "{}", told(&ended));
    let journal = read(&served.path("journal.json"));
    assert_eq!(journal["run"][4]["output"]["lines"], json!(["halfa new leader"]), "{journal:#}");
    assert_eq!(journal["run"][1]["output"]["count"], 1, "{journal:#}");
    let other = journal["run"][7]["exception"].to_string();
    assert!(other.contains("netns:a@a is not meant any more"), "{other}");
    let audit = fs::read_to_string(served.path("state/archive/audit.jsonl")).unwrap();
    let line = audit.lines().find(|line| line.contains("\"deed\":\"read-log\"")).unwrap();
    assert!(
        line.contains("\"what\":\"netns:a@a\"") && line.contains("\"where\":[\"a\"]"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_on_reads_no_log() {
    let served = Served::start().await;
    writes(&served, "a").await;
    served.certs("issue user eve --role viewer").await;
    served.certs("issue user ann --role operator").await;
    let selector: fault::Selector = "netns:a".parse().unwrap();
    let request = |selectors| wire::ReadLogRequest { selectors, ..Default::default() };
    let asked = request(vec![(&selector).into()]);
    let refused = served.user("eve").await.read_log(asked.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut ann = served.user("ann").await;
    let mut pieces = ann.read_log(asked).await.unwrap().into_inner();
    let first = soon(pieces.message()).await.unwrap().unwrap().kind.unwrap();
    assert!(matches!(first, wire::log_piece::Kind::Target(log) if log.node == "a"));
    assert_eq!(ann.read_log(request(Vec::new())).await.unwrap_err().code(), Code::InvalidArgument);
    let host: fault::Selector = "host:a".parse().unwrap();
    let refused = ann.read_log(request(vec![(&host).into()])).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    served.dial("b").await;
    let silent: fault::Selector = "netns:b".parse().unwrap();
    let mut pieces = ann.read_log(request(vec![(&silent).into()])).await.unwrap().into_inner();
    let refused = soon(pieces.message()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(refused.message().contains("writes to no file"), "{refused:?}");
    let audit = fs::read_to_string(served.path("state/archive/audit.jsonl")).unwrap();
    assert!(audit.lines().any(|line| line.contains("eve") && line.contains("read-log")), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_emptied_says_nothing_of_what_is_not_there() {
    let served = Served::start().await;
    let log = writes(&served, "a").await;
    let empty = json!({"type": "action", "name": "empty", "provider": {"type": "process",
        "path": "truncate", "arguments": ["-s", "0", log.to_str().unwrap()]}});
    let experiment = json!({"title": "logs", "description": "d", "method": [
        look("mark", "netns:a@a", json!("now"), &json!({})),
        empty,
        look("quiet", "netns:a@a", json!("${outputs.mark}"), &json!({"may-fail": true})),
        say("say", &log),
        look("heard", "netns:a@a", json!("${outputs.mark}"), &is(true)),
    ]});
    fs::write(served.path("experiment.json"), experiment.to_string()).unwrap();
    OpenOptions::new().append(true).open(&log).unwrap().write_all(b" line\n").unwrap();
    let ended = typed(&served, "run experiment.json").await;
    assert_eq!(ended.status.code(), Some(0), "{}", told(&ended));
    let journal = read(&served.path("journal.json"));
    let why = journal["run"][2]["exception"].to_string();
    assert!(why.contains("something may be missing: a log was emptied since"), "{why}");
}
