//! `cargo xtask chart`: what Helm says of the chart. Helm is a module of Go, built from `lab/helm`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{command, workspace};

/// Values of a chart that its schema has to refuse: an empty tag, a policy, a name and a proof that there are not, and
/// no controller.
const WRONG: [&str; 5] = [
    "tag=",
    "imagePullPolicy=Sometimes",
    "agents.secret=x",
    "agentsBy=password",
    "controller.replicas=0",
];

/// Which cluster is rendered for. What Helm takes where nobody says it depends on how Helm was built.
const CLUSTER: [&str; 2] = ["--kube-version", "1.30.0"];

/// Lints the chart, renders it with its defaults and with other values, and sees that wrong ones are refused.
///
/// # Errors
/// No Go, or Helm found something.
pub(crate) fn check() -> Result<()> {
    command::run(helm(&["lint", "--strict"], &[]))?;
    let render = [&["template", "schism", "--namespace", "chaos"], &CLUSTER[..]].concat();
    let rendered = command::output(helm(&render, &[]))?;
    let other = [
        "podMonitor=true",
        "agentsBy=certificate",
        "controller.state.emptyDir=null",
        "controller.state.hostPath.path=/x",
    ];
    let with_more = command::output(helm(&render, &other))?;
    let allowed = command::output(helm(&render, &["allow.pods=true", "allow.nodes=true"]))?;
    for (text, part) in [
        (&allowed, r#"name: "schism:chaos:pods""#),
        (&allowed, "- pods/eviction"),
        (&allowed, r#"name: "schism:chaos:nodes""#),
        (&rendered, "kind: DaemonSet"),
        (&rendered, "schism-controller.chaos.svc:7070"),
        (&rendered, "localhost/schism-agent:"),
        (&rendered, r#"name: "schism:chaos:controller""#),
        (&rendered, "kind: CustomResourceDefinition"),
        (&rendered, "replicas: 2"),
        (&with_more, r#"secretName: "schism-agents""#),
        (&with_more, "kind: PodMonitor"),
        (&with_more, r#""hostPath":{"path":"/x"}"#),
    ] {
        if !text.contains(part) {
            bail!("the chart was rendered without `{part}`:\n{text}");
        }
    }
    let without =
        [(&rendered, "secretName"), (&rendered, "pods/eviction"), (&with_more, "ClusterRole")];
    for (text, part) in without {
        if text.contains(part) {
            bail!("the chart was rendered with `{part}`:\n{text}");
        }
    }
    for wrong in WRONG {
        if command::output(helm(&render, &[wrong])).is_ok() {
            bail!("the chart takes `{wrong}`");
        }
    }
    println!("the chart is sound");
    Ok(())
}

fn helm(words: &[&str], values: &[&str]) -> Command {
    let mut go = Command::new("go");
    go.args(["tool", "helm"]).args(words).arg(workspace::root().join("deploy/helm/schism"));
    for value in values {
        go.args(["--set", value]);
    }
    go.current_dir(workspace::root().join("lab/helm"));
    // Built as the components of Kubernetes are, of which it shares the greater part.
    go.env("CGO_ENABLED", "0").env("GOWORK", "off");
    go.env("GOFLAGS", "-trimpath -gcflags=all=-dwarf=false");
    go
}
