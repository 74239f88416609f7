//! Agents with kernels in memory, all in this process: `schism-bench crowd ADDRESS DIRECTORY FIRST LAST`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use agent::brake::Brake;
use agent::fake::FakeKernel;
use agent::server::Instance;
use agent::uplink::{self, Controller, Stop, Uplink};
use agent::worker::Agent;
use anyhow::{Context as _, Result, bail};
use fault::NodeName;
use link::Files;

/// Serves until it is ended from outside.
pub(crate) async fn serve(arguments: &[String]) -> Result<()> {
    let [address, directory, first, last] = arguments else {
        bail!("usage: schism-bench crowd ADDRESS DIRECTORY FIRST LAST");
    };
    let (first, last) = (first.parse::<usize>()?, last.parse::<usize>()?);
    let mut stops = Vec::with_capacity(last - first);
    for number in first..last {
        let (stop, asked) = Stop::new();
        stops.push(stop);
        dial(number, address, Path::new(directory), asked)?;
    }
    std::future::pending::<()>().await;
    drop(stops);
    Ok(())
}

fn dial(number: usize, address: &str, directory: &Path, asked: Stop) -> Result<()> {
    let node = format!("n{number}");
    let name = NodeName::new(&node).context("a name")?;
    let kernel = FakeKernel::running(name.clone());
    let own = Ipv4Addr::from(0x0a00_0000 | u32::try_from(number)?);
    kernel.node(|node| node.add_namespace("shared", &[IpAddr::V4(own)]));
    let agent = Agent::start(Arc::new(kernel), Brake::in_memory());
    let about = FakeKernel::about(name.clone(), Instance::random()?);
    let host = Some("localhost".try_into().context("a host")?);
    let files = Files::named(directory, &node);
    let controller = Controller::new(address.parse()?, host, &files, &name)?;
    let uplink = Uplink::new(agent, about);
    tokio::spawn(uplink::keep(uplink, controller, asked));
    Ok(())
}
