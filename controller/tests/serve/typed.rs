//! What is typed at a controller, beside runs: the brake, listings, dry runs.

use std::process::Stdio;

use agent::fake::{Call, Trouble};
use agent::kernel::Step;
use serde_json::Value;
use tokio::process::Command;

use crate::rig::{Served, soon, until};

/// A command at a controller.
pub(crate) fn schism(served: &Served, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    let socket = format!("unix:{}", served.path("control.sock").display());
    command.args(line.split_whitespace()).env("SCHISM_CONTROLLER", socket);
    command.current_dir(served.path("")).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What became of it.
pub(crate) async fn typed(served: &Served, line: &str) -> (Option<i32>, String, String) {
    let output = soon(schism(served, line).output()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn two() -> Served {
    let served = Served::start().await;
    served.dial("a").await;
    served.dial("b").await;
    served
}

async fn cut(served: &Served) -> String {
    let cut = "cut netns:a@a netns:b@b --for 60s --enforce receiver --detach -o name";
    let (code, id, told) = typed(served, cut).await;
    assert_eq!(code, Some(0), "{told}");
    id.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_is_on_when_what_it_heals_is_out() {
    let served = two().await;
    let id = cut(&served).await;
    let out = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Unload));
    let gate = served.kernel("b").gate(out);
    let mut halting = schism(&served, "halt drill").spawn().unwrap();
    soon(gate.reached(1)).await;
    // The node has ended the fault at once, and takes out what is left of it.
    let (_, standing, _) = typed(&served, "status").await;
    assert!(standing.contains("healing"), "{standing}");
    assert!(halting.try_wait().unwrap().is_none(), "it does not wait");
    gate.open();
    let halted = soon(halting.wait_with_output()).await.unwrap();
    let told = String::from_utf8_lossy(&halted.stdout);
    assert_eq!(halted.status.code(), Some(0), "{told}");
    assert!(told.contains("confirmed to be healed: 1"), "{told}");
    let (_, all, _) = typed(&served, "status --all").await;
    let line = all.lines().find(|line| line.starts_with(&id)).unwrap();
    assert!(line.contains("healed"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_brake_cannot_confirm_is_named_with_its_lease() {
    let served = two().await;
    let id = cut(&served).await;
    let out = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Unload));
    let _shut = served.kernel("b").gate(out);
    let (code, told, _) = typed(&served, "halt -o json").await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["exit_code"]), (Some(5), &Value::from(5)), "{told:#}");
    let sentence = told["unconfirmed"][0].as_str().unwrap();
    let expected =
        format!("{id} is not confirmed to be healed on b: its lease ends it there within ");
    assert!(sentence.starts_with(&expected), "{sentence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_confirmed_to_be_out_is_listed_while_it_may_act() {
    let served = two().await;
    let id = cut(&served).await;
    served.certs("revoke b").await;
    let mut client = served.local().await;
    until(async || !served.connected(&mut client, "b").await).await;
    let (code, _, told) = typed(&served, &format!("heal {id}")).await;
    assert_eq!(code, Some(5), "{told}");
    let (_, standing, _) = typed(&served, "status").await;
    let line = standing.lines().find(|line| line.starts_with(&id)).unwrap();
    assert!(line.contains("unconfirmed"), "{standing}");
    let sentence =
        format!("{id} is not confirmed to be healed on b: its lease ends it there within ");
    assert!(standing.contains(&sentence), "{standing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_can_be_named_is_listed_by_node() {
    let served = two().await;
    let (code, table, told) = typed(&served, "targets").await;
    assert_eq!(code, Some(0), "{told}");
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["NODE", "NAME", "ADDRESSES"], "{table}");
    assert!(lines.iter().any(|line| line[..2] == ["a", "netns:a"]), "{table}");
    served.certs("revoke b").await;
    let mut client = served.local().await;
    until(async || !served.connected(&mut client, "b").await).await;
    let (code, names, told) = typed(&served, "targets -o name").await;
    assert_eq!((code, names.as_str()), (Some(0), "host:a@a\nnetns:a@a\n"), "{told}");
    assert!(told.contains("note: b: its agent is away"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_each_agent_would_do_and_puts_nothing_in() {
    let served = two().await;
    let (code, plan, told) = typed(&served, "cut netns:a@a netns:b@b --dry-run").await;
    assert_eq!(code, Some(0), "{told}");
    for node in ["a", "b"] {
        assert!(plan.contains(&format!("\non {node}: ")), "{plan}");
        assert_eq!(served.kernel(node).performed(), [], "{node}");
    }
    assert!(plan.contains("step 1") && plan.contains("attach"), "{plan}");
    let (_, plan, _) = typed(&served, "cut netns:a@a netns:b@b --dry-run -o json").await;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["plans"][0]["node"], "b", "{plan:#}");
    assert!(plan["plans"][0]["prepared"]["steps"].as_array().unwrap().len() > 1, "{plan:#}");
    // What an agent could not do is told.
    let look = |call: &Call<'_>| matches!(call, Call::Look(_));
    served.kernel("b").trouble(Trouble::errno("a look", 12, look));
    let (code, _, told) = typed(&served, "cut netns:a@a netns:b@b --dry-run").await;
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("b: a look: "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_and_nodes_are_for_who_knows_a_cluster_and_are_written_down() {
    let served = Served::start().await;
    for line in ["pod terminate k8s:prod/pod/web-0", "node cordon n1 --for 1m"] {
        let (code, _, told) = typed(&served, line).await;
        assert_eq!(code, Some(5), "{told}");
        assert!(told.contains("this controller knows no Kubernetes cluster"), "{told}");
    }
    let (code, _, told) = typed(&served, "node uncordon n1").await;
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("this controller has not cordoned it"), "{told}");
    let audit = std::fs::read_to_string(served.path("state/archive/audit.jsonl")).unwrap();
    let lines = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let asked: Vec<Value> = lines.filter(|line| line["deed"] == "disrupt").collect();
    let what: Vec<&str> = asked.iter().filter_map(|line| line["what"].as_str()).collect();
    assert_eq!(what, ["pod terminate k8s:prod/pod/web-0", "node cordon n1"]);
    assert!(asked.iter().all(|line| line["verdict"]["refused"].is_string()), "{audit}");
}
