//! What `schism zeebe` does, as steps of an experiment.

use serde_json::{Value, json};

use super::*;

/// What a run of these steps came to: its exit code, and what it wrote.
async fn run(method: Value) -> (i32, Value) {
    let directory = tempfile::tempdir().unwrap();
    let experiment =
        json!({"title": "zeebe", "description": "is asked by steps", "method": method});
    let path = directory.path().join("steps.json");
    std::fs::write(&path, experiment.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    command.args(["run", "steps.json"]).current_dir(directory.path());
    command.env_remove("SCHISM_CONFIG").stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let journal = std::fs::read(directory.path().join("journal.json"));
    let journal = journal.unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    (ended.status.code().unwrap(), serde_json::from_slice(&journal).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_have_a_cluster_do_what_the_command_does() {
    let gateway = Gateway::default();
    let at = gateway.serve().await;
    let place = at.to_string();
    let publish = json!({"type": "action", "name": "publish", "as": "published", "provider": {
        "type": "schism", "action": "zeebe", "arguments": {"command": "publish", "gateway": place,
            "partition": 3, "variables": {"a; touch x": "$(touch x)"}}}});
    let done = json!({"type": "probe", "name": "again", "provider": {
        "type": "schism", "probe": "zeebe", "arguments": {"command": ["publish"],
            "gateway": place, "partition": "${n}", "name": "${outputs.published.command}"}},
        "tolerance": {"type": "jsonpath", "path": "$.command", "expect": ["publish"]}});
    let mut each = done;
    each["for-each"] = json!({"name": "n", "in": [1, 2]});
    let (code, journal) = run(json!([publish, each])).await;
    assert_eq!(code, 0, "{journal:#}");
    let output = &journal["run"][0]["output"];
    assert_eq!(output["schema"], "schism.zeebe-done/v1", "{journal:#}");
    assert_eq!(gateway.0.lock().unwrap().published.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_a_cluster_refuses_or_does_not_answer_has_failed() {
    let (gateway, _listens) = mute().await;
    let (at, asked) = managed("409 Conflict", "{\"state\":\"DOES_NOT_EXIST\"}").await;
    let step = |arguments: Value| {
        json!([{"type": "action", "name": "step", "provider": {
            "type": "schism", "action": "zeebe", "arguments": arguments}}])
    };
    let backup = json!({"command": "backup take", "id": 7, "gateway": gateway.to_string(),
        "management": at.to_string()});
    let (code, journal) = run(step(backup)).await;
    assert_eq!((code, posts(&asked)), (1, 2), "{journal:#}");
    let why = journal["run"][0]["exception"].to_string();
    assert!(why.contains("cannot take the backup 7") && why.contains("409"), "{journal:#}");
    let verify = json!({"command": "verify readiness", "gateway": gateway.to_string(),
        "timeout": "500ms"});
    let (code, journal) = run(step(verify)).await;
    assert_eq!((code, &journal["run"][0]["status"]), (1, &json!("failed")), "{journal:#}");
}
