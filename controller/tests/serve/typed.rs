//! What is typed at a controller, beside runs: the brake, listings, dry runs.

use std::process::Stdio;

use agent::fake::Call;
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
