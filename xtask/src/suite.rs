//! `cargo xtask test`: everything that CI runs, in the order of what fails fastest.

use std::process::Command;

use anyhow::Result;

use crate::{
    command, ebpf, install, leftover,
    stage::{Budget, Stages},
    tidy, workspace,
};

/// How many histories of controller and agents are simulated.
const SEEDS: &str = "2000";

/// Installs what is missing, runs every stage, and prints what each took.
pub(crate) fn run() -> Result<()> {
    command::need_root("`cargo xtask test`")?;
    let mut stages = Stages::default();
    let result = run_stages(&mut stages);
    eprintln!("\n{}", stages.table());
    result?;
    for line in stages.over_budget() {
        eprintln!("{line}");
    }
    println!("test result: ok. All stages passed");
    Ok(())
}

fn run_stages(stages: &mut Stages) -> Result<()> {
    let tests = workspace::integration_tests()?;
    let (root, rest): (Vec<_>, Vec<_>) =
        tests.into_iter().partition(|name| name.starts_with("root_"));
    let (simulations, rest): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|name| name == "simulation");
    let (commands, root): (Vec<_>, Vec<_>) = root.into_iter().partition(|name| name == "root_cli");
    let (roles, root): (Vec<_>, Vec<_>) = root.into_iter().partition(|name| name == "root_etcd");
    let (zeebe, root): (Vec<_>, Vec<_>) = root.into_iter().partition(|name| name == "root_zeebe");
    let (kubernetes, root): (Vec<_>, Vec<_>) =
        root.into_iter().partition(|name| name == "root_kubernetes");
    let in_processes = |name: &String| matches!(name.as_str(), "root_clock" | "root_processes");
    let (processes, root): (Vec<_>, Vec<_>) = root.into_iter().partition(in_processes);
    let (mut etcd, plain): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|name| name.starts_with("etcd_"));
    etcd.extend(roles);

    stages.run("install", Budget::Build, install::everything)?;
    stages.run("fmt", Budget::Cut, || command::run(command::cargo(["fmt", "--all", "--check"])))?;
    stages.run("clippy", Budget::Build, || {
        let over_all = ["clippy", "--workspace", "--all-targets", "--locked"];
        command::run(command::cargo([over_all.as_slice(), &["--", "-D", "warnings"]].concat()))
    })?;
    stages.run("build", Budget::Build, || {
        command::run(command::cargo(["build", "--workspace", "--all-targets", "--locked"]))
    })?;
    stages.check("tidy", Budget::Cut, tidy::run);
    stages.check("unit", Budget::Cut, || {
        let mut unit = workspace_tests(&plain);
        unit.args(["--lib", "--bins"]);
        command::run(unit)
    });
    stages.check("doctest", Budget::Cut, || {
        command::run(command::cargo(["test", "--workspace", "--locked", "--doc"]))
    });
    stages.check("simulation", Budget::Fleet, || {
        let mut simulation = workspace_tests(&simulations);
        simulation.env("SCHISM_SEEDS", SEEDS);
        command::run(simulation)
    });
    stages.check("root", Budget::Cut, || one_at_a_time(&root));
    // These wait most of the time, for commands to end, and measure nothing.
    stages.check("commands", Budget::Fleet, || command::run(workspace_tests(&commands)));
    stages.check("etcd", Budget::Cut, || one_at_a_time(&etcd));
    stages.check("processes", Budget::Clock, || one_at_a_time(&processes));
    stages.check("experiments", Budget::Experiments, || {
        let mut compared = Command::new(workspace::binary("debug", "schism-compat"));
        compared.arg("--recorded");
        command::run(compared)?;
        command::run(etcd_suite(&["--short"]))
    });
    stages.check("zeebe", Budget::Zeebe, || one_at_a_time(&zeebe));
    // Its lists of cases have clusters of their own, and go on side by side.
    // Its lists could go on at the same time, in half the time; on two cores a cluster then loses its leader by it.
    stages.check("kubernetes", Budget::Kubernetes, || one_at_a_time(&kubernetes));
    stages.check("docs", Budget::Build, || {
        let mut doc = command::cargo(["doc", "--workspace", "--no-deps", "--locked"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        command::run(doc)
    });
    stages.check("ebpf object", Budget::Build, || ebpf::build(true));
    stages.check("residue", Budget::Cut, leftover::check);
    stages.verdict()
}

/// Builds and runs the experiments of our own on etcd.
pub(crate) fn etcd(arguments: &[&str]) -> Result<()> {
    command::need_root("`cargo xtask lab etcd suite`")?;
    install::packages()?;
    let packages = ["-p", "controller", "-p", "agent", "-p", "lab"];
    command::run(command::cargo(["build", "--locked"].iter().chain(&packages)))?;
    command::run(etcd_suite(arguments))
}

fn etcd_suite(arguments: &[&str]) -> Command {
    let mut suite = Command::new(workspace::binary("debug", "schism-suite"));
    suite.arg("etcd").args(arguments);
    suite
}

fn workspace_tests(names: &[String]) -> Command {
    let mut test = command::cargo(["test", "--workspace", "--locked", "--no-fail-fast"]);
    for name in names {
        test.args(["--test", name]);
    }
    test
}

/// Tests that measure times against real systems would disturb each other on two cores.
fn one_at_a_time(names: &[String]) -> Result<()> {
    if names.is_empty() {
        eprintln!("there is no such test yet");
        return Ok(());
    }
    let mut test = workspace_tests(names);
    test.args(["--", "--test-threads=1"]);
    command::run(test)
}
