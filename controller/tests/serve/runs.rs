//! `schism run` as it is typed, at a controller.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use proto::control as wire;
use proto::control::control_client::ControlClient;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tonic::transport::Channel;

use crate::rig::{Served, soon, until};

/// A cut, a step while it acts, and a rollback that leaves a mark.
fn experiment(served: &Served, step: &[&str]) -> PathBuf {
    let process = |name: &str, words: &[&str]| {
        json!({"type": "action", "name": name,
            "provider": {"type": "process", "path": words[0], "arguments": words[1..]}})
    };
    let mark = served.path("mark");
    let experiment = json!({"title": "a cut", "description": "d",
        "method": [
            {"type": "action", "name": "cut", "provider": {"type": "schism", "action": "cut",
                "arguments": {"from": "netns:a@a", "to": "netns:b@b", "for": "60s"},
                "as": "the-cut", "effect": "optional"}},
            process("step", step)],
        "rollbacks": [process("back", &["touch", mark.to_str().unwrap()])]});
    let path = served.path("experiment.json");
    std::fs::write(&path, experiment.to_string()).unwrap();
    path
}

fn schism(served: &Served, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    let socket = format!("unix:{}", served.path("control.sock").display());
    command.args(line.split_whitespace()).env("SCHISM_CONTROLLER", socket);
    command.current_dir(served.path("")).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) async fn typed(served: &Served, line: &str) -> Output {
    soon(schism(served, line).output()).await.unwrap()
}

pub(crate) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

async fn runs(client: &mut ControlClient<Channel>) -> Vec<wire::Run> {
    client.list(wire::ListRequest {}).await.unwrap().into_inner().runs
}

/// Begins a run, and waits until it is in its method.
async fn begun(served: &Served, client: &mut ControlClient<Channel>, line: &str) -> (Child, u64) {
    let child = schism(served, line).spawn().unwrap();
    let has_begun = |runs: &[wire::Run]| {
        runs.iter().any(|run| run.phase() == wire::RunPhase::Method && !run.faults.is_empty())
    };
    until(async || has_begun(&runs(client).await)).await;
    let id = runs(client).await[0].id;
    (child, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_performs_the_steps_of_its_run_and_writes_what_came_of_it() {
    let served = Served::start().await;
    served.dial("a").await;
    served.dial("b").await;
    let path = experiment(&served, &["true"]);
    let line = format!("run {} --junit j.xml --events e.jsonl", path.display());
    let ended = typed(&served, &line).await;
    assert_eq!(ended.status.code(), Some(0), "{}", told(&ended));
    for expected in ["controller: unix:", "✓ method: step", "fault the-cut is out"] {
        assert!(told(&ended).contains(expected), "{}", told(&ended));
    }
    assert!(served.path("mark").exists(), "{}", told(&ended));
    let journal = read(&served.path("journal.json"));
    assert_eq!(journal["status"], "completed", "{journal:#}");
    assert_eq!(journal["rollbacks"][0]["status"], "succeeded", "{journal:#}");
    assert!(std::fs::read_to_string(served.path("j.xml")).unwrap().contains("<testsuite"));
    let events = std::fs::read_to_string(served.path("e.jsonl")).unwrap();
    assert!(events.lines().last().unwrap().contains("run-finished"), "{events}");
    let status = typed(&served, "status --all -o json").await;
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["runs"][0]["phase"], "ended", "{status:#}");
    assert_eq!(status["runs"][0]["status"], "completed", "{status:#}");
    let id = status["runs"][0]["id"].as_str().unwrap();
    assert!(told(&ended).contains(&format!("run {id}")), "{}", told(&ended));
    assert_eq!(read(&served.path(&format!("state/archive/runs/{id}.json"))), journal);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_without_a_controller_owes_is_put_aside_by_one_that_has_one() {
    let served = Served::start().await;
    let written = |name: &str, method: &str, rollback: &str| {
        let step = |name: &str, script: &str| {
            json!({"type": "action", "name": name,
                "provider": {"type": "process", "path": "sh", "arguments": ["-c", script]}})
        };
        let experiment = json!({"title": "t", "description": "d", "method": [step("step", method)],
            "rollbacks": [step("back", rollback)]});
        std::fs::write(served.path(name), experiment.to_string()).unwrap();
    };
    written("local.json", "touch ready; exec sleep 60", "touch back");
    let mut local = schism(&served, "run local.json --local").spawn().unwrap();
    until(async || served.path("ready").exists()).await;
    local.kill().await.unwrap();
    written("other.json", "true", "true");
    let other = typed(&served, "run other.json").await;
    assert_eq!(other.status.code(), Some(0), "{}", told(&other));
    let back = "run --resume-rollbacks journal.json.owed-1";
    assert!(told(&other).contains(&format!("`schism {back}` sees to it")), "{}", told(&other));
    assert_eq!(read(&served.path("journal.json"))["status"], "completed");
    // What a controller keeps is replaced.
    let again = typed(&served, "run other.json").await;
    assert_eq!(again.status.code(), Some(0), "{}", told(&again));
    assert!(!served.path("journal.json.owed-2").exists());
    let finished = typed(&served, &format!("{back} --local")).await;
    assert_eq!(finished.status.code(), Some(0), "{}", told(&finished));
    assert!(served.path("back").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_leaves_that_is_killed_another_one_finishes() {
    let served = Served::start().await;
    served.dial("a").await;
    served.dial("b").await;
    let mut client = served.local().await;
    let path = experiment(&served, &["sleep", "5"]);
    let line = format!("run {}", path.display());
    let (mut child, id) = begun(&served, &mut client, &line).await;
    child.kill().await.unwrap();
    until(async || runs(&mut client).await[0].phase() == wire::RunPhase::Owed).await;
    let intents = client.list(wire::ListRequest {}).await.unwrap().into_inner().intents;
    assert_eq!(intents[0].stage(), wire::Stage::Healed, "{intents:?}");
    assert!(!served.path("mark").exists());
    let status = typed(&served, "status").await;
    let shown = String::from_utf8_lossy(&status.stdout);
    let finish = format!("run --resume-rollbacks {id:012x}");
    assert!(shown.contains(&format!("owes back: `schism {finish}` plays it")), "{shown}");
    let finished = typed(&served, &finish).await;
    assert_eq!(finished.status.code(), Some(0), "{}", told(&finished));
    assert!(served.path("mark").exists());
    assert_eq!(runs(&mut client).await[0].phase(), wire::RunPhase::Ended);
    let again = typed(&served, &finish).await;
    assert!(told(&again).contains("owes nothing"), "{}", told(&again));
    assert_eq!(again.status.code(), Some(2), "as of a journal: {}", told(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_ended_from_elsewhere_by_those_who_may() {
    let served = Served::start().await;
    served.dial("a").await;
    served.dial("b").await;
    let mut client = served.local().await;
    let path = experiment(&served, &["sleep", "5"]);
    let line = format!("run {}", path.display());
    let (child, id) = begun(&served, &mut client, &line).await;

    served.certs("issue user eve --role viewer").await;
    let mut eve = served.user("eve").await;
    assert_eq!(runs(&mut eve).await.len(), 1, "a viewer looks on");
    let ending = wire::EndRunsRequest { ids: vec![id], all: false };
    let refused = eve.end_runs(ending).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let begin = wire::BeginRun { id: 9, ..wire::BeginRun::default() };
    let first = wire::RunRequest { kind: Some(wire::run_request::Kind::Begin(begin)) };
    let refused = eve.run(tokio_stream::once(first)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);

    let healed = typed(&served, &format!("heal {id:012x}")).await;
    assert_eq!(healed.status.code(), Some(0), "{}", told(&healed));
    // The run plays its rollbacks itself, and how it ended is known when they are played.
    let shown = String::from_utf8_lossy(&healed.stdout);
    assert!(
        told(&healed).contains(&format!("{id:012x} is being rolled back")),
        "{}",
        told(&healed)
    );
    assert!(shown.contains("ended") && shown.contains("interrupted"), "{shown}");
    assert!(!shown.contains("--resume-rollbacks"), "{shown}");
    assert!(served.path("mark").exists(), "{shown}");
    let ended = soon(child.wait_with_output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", told(&ended));
    assert!(served.path("mark").exists(), "{}", told(&ended));
    let audit = std::fs::read_to_string(served.path("state/archive/audit.jsonl")).unwrap();
    for deed in ["\"deed\":\"run\"", "\"deed\":\"apply\"", "\"deed\":\"end-run\""] {
        assert!(audit.contains(deed), "{deed}: {audit}");
    }
    assert!(audit.contains("eve"), "{audit}");
}
