//! The members as steps of an experiment know them: by the environment.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::etcd::{CLIENT_PORT, Client, Cluster};
use lab::topology::{Family, Topology};
use serde_json::Value;

use crate::scene::{Measured, System};
use crate::story::output;

/// How long it may take to be calm again.
const SOON: Duration = Duration::from_secs(20);

/// The variable that names them: `NAME=ADDRESS` for each, with commas between.
const VARIABLE: &str = "SUITE_ETCD";

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Where its clients connect.
    pub(crate) address: SocketAddr,
}

impl Member {
    /// A client of it, from where this process is.
    pub(crate) fn client(&self) -> Client {
        Client::here(self.address)
    }
}

/// All members.
///
/// # Errors
/// The environment does not name any.
pub(crate) fn members() -> Result<Vec<Member>> {
    let text = std::env::var(VARIABLE).with_context(|| format!("{VARIABLE} is not set"))?;
    let members = text.split(',').map(|one| {
        let (name, address) = one.split_once('=').context("NAME=ADDRESS")?;
        Ok(Member { name: name.to_owned(), address: address.parse().context("an address")? })
    });
    let members: Vec<Member> = members.collect::<Result<_>>()?;
    ensure!(!members.is_empty(), "{VARIABLE} names nobody");
    Ok(members)
}

impl System for Cluster {
    const LABELS: &'static [&'static str] = &["etcd-0", "etcd-1", "etcd-2"];
    const EXPERIMENTS: &'static str = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/etcd");

    fn start(topology: &Topology) -> Result<(Self, String)> {
        let cluster = Self::start(topology, Self::LABELS.len())?;
        let first = topology.nodes().first().context("no node")?;
        let endpoint = first.socket_address(Family::V4, CLIENT_PORT);
        Ok((cluster, format!("[etcd]\nendpoints = [\"http://{endpoint}\"]\n")))
    }

    fn prepare(&self, _: Command) -> Result<()> {
        Ok(())
    }

    fn environment(&self, topology: &Topology) -> Vec<(&'static str, String)> {
        let member = |node: &lab::topology::Node| {
            format!("{}={}", node.label, node.socket_address(Family::V4, CLIENT_PORT))
        };
        let members: Vec<String> = topology.nodes().iter().map(member).collect();
        vec![(VARIABLE, members.join(","))]
    }

    fn calm(&self) -> Result<()> {
        self.wait_leader(1, SOON)?;
        (0..Self::LABELS.len()).try_for_each(|member| self.wait_healthy(member, SOON))?;
        Ok(())
    }

    /// What the writer was told, and what was found of it afterwards: there has to have been one to notice.
    fn measured(journal: &Value) -> Measured {
        let writes = output(&journal["run"], "write");
        let found =
            output(&journal["steady_states"]["after"]["probes"], "no acknowledged write is lost");
        let (Some(writes), Some(found)) = (writes, found) else {
            return Measured { well: false, said: "-".to_owned() };
        };
        let lost = found["lost"].as_array().map_or(0, Vec::len);
        let well = found["acknowledged"].as_u64().unwrap_or(0) > 0
            && found["lost"].as_array().is_some_and(Vec::is_empty);
        let said = format!(
            "{} of {} acknowledged, {lost} lost, longest gap {} ms",
            writes["acknowledged"], writes["attempts"], writes["longest_gap_ms"]
        );
        Measured { well, said }
    }
}
