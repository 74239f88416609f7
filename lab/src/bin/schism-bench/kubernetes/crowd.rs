//! Agents of nodes that are not there, with kernels in memory, all in this process, each with a token of its own:
//! `schism-bench crowd-of-nodes ADDRESS CA FILE`.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use agent::brake::Brake;
use agent::fake::FakeKernel;
use agent::server::Instance;
use agent::uplink::{self, Controller, Stop, Uplink};
use agent::worker::Agent;
use anyhow::{Context as _, Result, bail};
use fault::{NodeName, PodUid};
use serde_json::Value;

/// How it is called.
pub(crate) const COMMAND: &str = "crowd-of-nodes";

/// Serves until it is ended from outside. FILE has a list of nodes: `node`, `token` (a file), and `pods`, each with
/// its `uid` and `address`.
pub(crate) async fn serve(arguments: &[String]) -> Result<()> {
    let [address, ca, file] = arguments else {
        bail!("usage: schism-bench {COMMAND} ADDRESS CA FILE");
    };
    let nodes: Vec<Value> = serde_json::from_slice(&std::fs::read(file)?)?;
    let mut stops = Vec::with_capacity(nodes.len());
    for node in &nodes {
        let (stop, asked) = Stop::new();
        stops.push(stop);
        dial(node, address, Path::new(ca), asked)?;
    }
    std::future::pending::<()>().await;
    drop(stops);
    Ok(())
}

fn dial(node: &Value, address: &str, ca: &Path, asked: Stop) -> Result<()> {
    let text =
        |value: &Value, key: &str| value[key].as_str().map(ToOwned::to_owned).context("a text");
    let name = NodeName::new(&text(node, "node")?).context("a name")?;
    let kernel = FakeKernel::running(name.clone());
    for pod in node["pods"].as_array().context("pods")? {
        let uid = PodUid::new(&text(pod, "uid")?).context("a UID")?;
        let own: IpAddr = text(pod, "address")?.parse()?;
        kernel.node(|world| world.add_pod(&uid, &[own]));
    }
    let agent = Agent::start(Arc::new(kernel), Brake::in_memory());
    let about = FakeKernel::about(name, Instance::random()?);
    let host = Some("schism-controller.schism.svc".try_into().context("a host")?);
    let token = text(node, "token")?;
    let controller = Controller::by_token(address.parse()?, host, ca, Path::new(&token))?;
    let uplink = Uplink { token: controller.token(), ..Uplink::new(agent, about) };
    tokio::spawn(uplink::keep(uplink, controller, asked));
    Ok(())
}
