//! Nodes with nothing of Schism on them, and what is left of them.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use lab::topology::Family;

use crate::{site::Site, surroundings::Surroundings, web};

/// How long everything of a lab may take to be gone that was killed.
const GONE: Duration = Duration::from_secs(20);

/// Between two looks whether it is.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn pods_of_two_nodes_reach_each_other(site: &Site) {
    let names = ["left", "right"];
    let [here, there] = site.nodes();
    let space = site.space("reach");
    space.serve([("left", here), ("right", there)]);
    let kubectl = &space.kubectl;

    for (from, to) in [("left", "right"), ("right", "left")] {
        for (family, address) in Family::ALL.into_iter().zip(space.addresses(to)) {
            assert_eq!(address.is_ipv4(), family == Family::V4);
            let said = web::ask(kubectl, from, &web::url(address));
            assert_eq!(said, format!("{to}\n"), "{from} asked {to} at {address}");
        }
        // By way of kube-proxy on the node of who asks.
        let service = web::service(kubectl, to);
        assert_eq!(web::ask(kubectl, from, &web::url(service)), format!("{to}\n"));
    }
    // A pod that sees its node's processes sees no others'.
    for (name, node) in names.iter().zip(site.cluster().nodes()) {
        let seen = node.run("ps", &["-e", "-o", "comm="]).unwrap();
        let count = |program: &str| seen.lines().filter(|line| line.trim() == program).count();
        assert_eq!(
            (count("kubelet"), count("containerd"), count("etcd")),
            (1, 1, 0),
            "{name}: {seen}"
        );
    }
}

pub(crate) fn a_lab_that_is_killed_leaves_nothing() {
    let before = Surroundings::without_lab();
    let program = Path::new(env!("CARGO_BIN_EXE_schism")).with_file_name("schism-lab");
    assert!(program.exists(), "schism-lab is not built: `cargo build -p lab` does it");
    let mut command = Command::new(program);
    command.args(["kubernetes", "--nodes", "1", "--", "sh", "-c"]);
    command.arg("kubectl get nodes -o name; echo $$; exec sleep 1000");
    let mut lab = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(lab.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("node/n1"));
    let asleep = Path::new("/proc").join(lines.next().unwrap());
    let owner = lab.id();
    let left = || Surroundings::with_lab_of(owner);
    let during = left();
    lab.kill().unwrap();
    lab.wait().unwrap();
    assert_ne!(during, before, "a lab that runs can be seen");
    let began = Instant::now();
    while left() != before || asleep.exists() {
        assert!(began.elapsed() < GONE, "{:#?} was {before:#?}", left());
        std::thread::sleep(LOOK);
    }
}
