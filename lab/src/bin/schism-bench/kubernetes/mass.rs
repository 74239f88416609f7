//! A hundred nodes and a thousand pods.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::process::Process;
use serde_json::{Value, json};

use super::crowd;
use super::site::{NAMESPACE, Site, until};
use crate::Effort;
use crate::footprint::MEBIBYTE;
use crate::report::{Report, Verdict};
use crate::statistics::{Sample, ms};

const NODES: usize = 100;
const PODS: usize = 1_000;

/// From all pods to addresses that are nobody's.
const CUT: &str = "cut all:k8s:mass/label:app=mass addr:192.0.2.0/24 --for 60s --detach";

/// Every row.
pub(super) fn everything(site: &mut Site, effort: Effort, report: &mut Report) -> Result<()> {
    let small = site.controller()?.resident()? / MEBIBYTE;
    site.cluster.add_fake_nodes(NODES)?;
    populate(site)?;
    let _crowd = invite(site)?;
    idle(site, small, effort, report)?;
    cuts(site, effort.times(20), report)
}

/// Puts pods on the nodes that are not there, in a namespace that lets faults in.
fn populate(site: &Site) -> Result<()> {
    let labels = json!({ "app": "mass" });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "mass", "namespace": "mass" },
        "spec": {
            "replicas": PODS, "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "nodeSelector": { "type": "fake" }, "tolerations": [{ "operator": "Exists" }],
                    "containers": [{ "name": "nothing", "image": "schism.invalid/nothing:1" }],
                },
            },
        },
    });
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": "mass", "labels": { "schism.dev/faults": "allowed" } },
    });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [namespace, deployment] });
    site.kubectl().apply(&list.to_string())?;
    site.kubectl().run("-n mass rollout status deployment/mass --timeout=300s")?;
    Ok(())
}

/// Has an agent for each of these nodes dial the leader, by a token that is bound to its pod there.
fn invite(site: &Site) -> Result<Process> {
    let on_nodes = |namespace: &str, labels: &str| {
        let line = format!("-n {namespace} get pods -l {labels} -o json");
        let list: Value = serde_json::from_str(&site.kubectl().run(&line)?)?;
        let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for pod in list["items"].as_array().context("pods")? {
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
            if node.starts_with("fake-") {
                all.entry(node.to_owned()).or_default().push(pod.clone());
            }
        }
        anyhow::Ok(all)
    };
    let agents = until("an agent on every node", || {
        let agents = on_nodes(NAMESPACE, "app.kubernetes.io/component=agent")?;
        Ok((agents.len() == NODES).then_some(agents))
    })?;
    let pods = on_nodes("mass", "app=mass")?;
    let mut nodes = Vec::with_capacity(NODES);
    for (node, own) in &agents {
        let agent = own[0]["metadata"]["name"].as_str().context("a name")?;
        let line = format!(
            "-n {NAMESPACE} create token schism-agent --audience schism --duration 1h --bound-object-kind Pod \
             --bound-object-name {agent}"
        );
        let token = site.write(&format!("{node}.token"), site.kubectl().run(&line)?.trim())?;
        let of_node = pods.get(node).into_iter().flatten();
        let known = of_node
            .map(|pod| json!({ "uid": pod["metadata"]["uid"], "address": pod["status"]["podIP"] }));
        nodes.push(json!({ "node": node, "token": token, "pods": known.collect::<Vec<_>>() }));
    }
    let file = site.write("nodes.json", &json!(nodes).to_string())?;
    let ca = site.kubectl().run_with(&[
        "-n",
        NAMESPACE,
        "get",
        "configmap",
        "schism-ca",
        "-o",
        "jsonpath={.data['ca\\.pem']}",
    ])?;
    ensure!(ca.contains("BEGIN CERTIFICATE"), "no authority: {ca}");
    let ca = site.write("ca.pem", &ca)?;
    let line = ["-n", NAMESPACE, "get", "pod", &site.leader()?, "-o", "jsonpath={.status.podIP}"];
    let address = format!("{}:7070", site.kubectl().run_with(&line)?.trim());
    let mut command = site.kubectl().command(std::env::current_exe()?);
    command.args([crowd::COMMAND, &address]).arg(&ca).arg(&file);
    let crowd = Process::start(&mut command)?;
    site.has_agents(NODES + 2)?;
    Ok(crowd)
}

fn idle(site: &Site, small: f64, effort: Effort, report: &mut Report) -> Result<()> {
    let watched = Duration::from_secs(effort.times(60).max(10) as u64);
    // What letting everybody in has left under way.
    std::thread::sleep(Duration::from_secs(6));
    let controller = site.controller()?;
    let share = super::share(&controller, watched)?;
    let resident = controller.resident()? / MEBIBYTE;
    let requests = site.requests_of_an_idle_controller()? * 60.0;
    report.add(
        &format!("controller with {NODES} agents and {PODS} pods, idle"),
        "≤ 60 MiB resident",
        format!(
            "{resident:.1} MiB (with 2 agents {small:.1}), {share:.1} % of a core; {requests:.0} requests a minute, \
             which renew its lead"
        ),
        Verdict::of(resident <= 60.0),
    );
    Ok(())
}

/// One fault for all pods.
fn cuts(site: &Site, times: usize, report: &mut Report) -> Result<()> {
    let (mut took, mut size, mut calls) = (Vec::new(), 0, 0.0);
    for _ in 0..times {
        let before = site.counted()?.requests;
        let typed = Instant::now();
        site.schism(CUT)?;
        took.push(typed.elapsed());
        let objects = site.kubectl().run("get clusterfaults -o json")?;
        let object: Value = serde_json::from_str(&objects)?;
        let [object] = object["items"].as_array().context("items")?.as_slice() else {
            anyhow::bail!("there is more than one: {objects}");
        };
        ensure!(object["status"]["phase"] == "Active", "{object:#}");
        ensure!(object["status"]["parts"]["nodes"] == NODES, "{object:#}");
        size = size.max(object["status"].to_string().len());
        // It is of no namespace.
        site.kubectl().run("delete clusterfaults --all --timeout=60s")?;
        calls = f64::max(calls, site.counted()?.requests - before);
    }
    let took = Sample::new(took);
    report.add(
        &format!(
            "`kubectl schism cut` of {PODS} pods on {NODES} nodes, from Enter until it acts on all"
        ),
        "",
        format!("median {}, worst {} (n = {times})", ms(took.median()), ms(took.worst())),
        Verdict::Shown,
    );
    report.add(
        "its object's status, and requests of the controller for it",
        &format!("no record per pod; ≤ {} requests", 6 + NODES),
        format!("{size} bytes, {calls:.0} requests"),
        Verdict::of(size <= 4_096 && calls <= (6 + NODES) as f64),
    );
    let resident = site.controller()?.resident()? / MEBIBYTE;
    report.add("controller afterwards", "", format!("{resident:.1} MiB"), Verdict::Shown);
    Ok(())
}
