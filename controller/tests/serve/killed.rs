//! A controller that is killed while something is asked of it.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use agent::fake::Call;
use agent::kernel::Step;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::rig::{Served, soon, until};
use crate::typed::schism;

/// A controller in a process of its own, and where its agents dial.
struct Life {
    process: Child,
    agents: SocketAddr,
}

impl Life {
    /// Begins, over whatever an earlier one has left.
    async fn begin(served: &Served) -> Self {
        let settings = "[serve]\nlisten-agents = \"127.0.0.1:0\"\nca = \"ca.pem\"\n\
                        certificate = \"c1.pem\"\nissued = \"issued\"\n";
        fs::write(served.path("schism.toml"), settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
        command.arg("--config").arg(served.path("schism.toml")).arg("serve");
        command.arg("--state").arg(served.path("other"));
        command.arg("--socket").arg(served.path("other.sock"));
        command.env("SCHISM_KEY", served.path("c1.key")).env_remove("NOTIFY_SOCKET");
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let agents = loop {
            let line = soon(lines.next_line()).await.unwrap().expect("it ended");
            if let Some(address) = line.strip_prefix("agents dial ") {
                break address.parse().unwrap();
            }
        };
        // It must not wait for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { process, agents }
    }
}

/// A command at the controller of its own process.
fn other(served: &Served, line: &str) -> Command {
    let mut command = schism(served, line);
    let socket = format!("unix:{}", served.path("other.sock").display());
    command.env("SCHISM_CONTROLLER", socket);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_that_was_on_its_way_in_is_asked_for_again() {
    // For its certificates; the controller of this test is another one.
    let served = Served::start().await;
    let mut first = Life::begin(&served).await;
    let place = Arc::new(Mutex::new(first.agents));
    for node in ["a", "b"] {
        let place = Arc::clone(&place);
        served.dial_where(node, move || *place.lock().unwrap()).await;
    }
    let mut client = served.local_at("other.sock").await;
    for node in ["a", "b"] {
        until(async || served.connected(&mut client, node).await).await;
    }
    let load = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Load));
    let gate = served.kernel("b").gate(load);
    let line = "cut netns:a@a netns:b@b --for 3s --lease 3s --enforce receiver -o json";
    let cut = other(&served, line).spawn().unwrap();
    soon(gate.reached(1)).await;
    soon(first.process.kill()).await.unwrap();
    gate.open();
    let second = Life::begin(&served).await;
    *place.lock().unwrap() = second.agents;
    let cut = soon(cut.wait_with_output()).await.unwrap();
    let told = String::from_utf8_lossy(&cut.stderr);
    assert_eq!(cut.status.code(), Some(3), "no packet comes by here: {told}");
    assert!(told.contains("the connection to the controller is lost; asking again"), "{told}");

    let all = soon(other(&served, "status --all -o json").output()).await.unwrap();
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    let intents = all["intents"].as_array().unwrap();
    let stages: Vec<&Value> = intents.iter().map(|intent| &intent["stage"]).collect();
    assert_eq!(stages, ["failed", "expired"], "{all:#}");
    let reason = intents[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("the controller was started anew"), "{all:#}");
    assert_eq!(intents[0]["parts"][0]["trouble"], "", "{all:#}");
}
