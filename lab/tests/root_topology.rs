//! Real namespaces, links and packets. Needs root, and fails without.

use std::{
    io::{self, BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use lab::{
    clock::BootTime,
    netns::Namespace,
    process::Process,
    topology::{DEVICE, Family, Node, Topology},
    traffic::{EchoConnection, EchoServer, Pinger, Probe, Protocol, delivery},
};

const SOON: Duration = Duration::from_secs(5);

/// Loses what comes from this node, at the other's input, until it is undone. An nft rule stands
/// in for a cut, so that the lab is tested without the product.
fn lose_from(from: &Node, at: &Node) {
    let rules = format!(
        "add table inet lab; \
         add chain inet lab input {{ type filter hook input priority 0; }}; \
         add rule inet lab input ip saddr {} drop; \
         add rule inet lab input ip6 saddr {} meta l4proto {{ tcp, udp }} drop",
        from.v4, from.v6
    );
    let status = at.namespace.exec("nft").arg(rules).status().expect("nft is installed");
    assert!(status.success(), "nft");
}

fn lose_nothing(at: &Node) {
    let status = at.namespace.exec("nft").arg("flush ruleset").status().expect("nft is installed");
    assert!(status.success(), "nft");
}

#[test]
fn a_pair_talks_at_once_in_both_families() {
    let topology = Topology::pair().unwrap();
    let (a, b) = (&topology["a"], &topology["b"]);
    for family in Family::ALL {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            for (from, to) in [(a, b), (b, a)] {
                let probe = Probe::new(from, to, protocol).family(family).limit(SOON);
                let got = probe.run().unwrap();
                assert!(got.is_whole(), "{family:?} {protocol:?}: {got} {:?}", got.errors);
            }
        }
    }
}

#[test]
fn a_hub_joins_all_and_hides_from_the_machine() {
    let topology = Topology::hub(&["x", "y", "z"]).unwrap();
    let hub = topology.hub_node().unwrap();
    for from in topology.nodes().iter().chain([hub]) {
        for to in topology.nodes() {
            let got = delivery(from, to, Protocol::Udp, 100, SOON).unwrap();
            assert!(got.is_whole(), "{} to {}: {got}", from.label, to.label);
        }
        let links = from.namespace.links().unwrap();
        assert!(links.iter().all(|link| link.running), "{links:?}");
    }
    let outside = lab::ip::ip(&["-4", "addr", "show"]).unwrap();
    assert!(!outside.contains(&hub.v4.to_string()), "{outside}");
}

#[test]
fn topologies_live_side_by_side() {
    let (one, two) = (Topology::pair().unwrap(), Topology::pair().unwrap());
    assert_ne!(one["a"].namespace.name(), two["a"].namespace.name());
    for topology in [&one, &two] {
        let got = delivery(&topology["a"], &topology["b"], Protocol::Udp, 10, SOON).unwrap();
        assert!(got.is_whole(), "{got}");
    }
}

#[test]
fn loss_is_seen_in_its_direction_only() {
    let topology = Topology::pair().unwrap();
    let (a, b) = (&topology["a"], &topology["b"]);
    lose_from(a, b);
    for family in Family::ALL {
        let udp = |from, to| Probe::new(from, to, Protocol::Udp).family(family).run().unwrap();
        let there = udp(a, b);
        assert!(there.is_lost(), "{there}");
        assert!(there.errors.is_empty(), "silent: {:?}", there.errors);
        let back = udp(b, a);
        assert!(back.is_whole(), "{back}");
        // A handshake needs both directions.
        let tcp = Probe::new(b, a, Protocol::Tcp).family(family).count(3).run().unwrap();
        assert!(tcp.is_lost(), "{tcp}");
        assert_eq!(tcp.errors, vec![io::ErrorKind::TimedOut; 3]);
    }
}

#[test]
fn a_probe_keeps_its_ports() {
    let topology = Topology::pair().unwrap();
    let (a, b) = (&topology["a"], &topology["b"]);
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let probe = Probe::new(a, b, protocol).count(1).port(7001).source_port(7002).limit(SOON);
        for _ in 0..2 {
            let got = probe.run().unwrap();
            assert!(got.is_whole(), "{protocol:?}: {got} {:?}", got.errors);
        }
    }
}

#[test]
fn a_refusal_is_told_apart_from_silence() {
    let topology = Topology::pair().unwrap();
    let (a, b) = (&topology["a"], &topology["b"]);
    let nobody = b.socket_address(Family::V6, 9);
    let error = a.tcp_connect(nobody, SOON).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_pinger_times_an_outage() {
    let topology = Topology::pair().unwrap();
    let (a, b) = (&topology["a"], &topology["b"]);
    let pinger = Pinger::start(a, b, Family::V4, Duration::from_micros(100)).unwrap();
    assert!(pinger.wait_arrival(BootTime::now(), SOON).is_some());

    let before = BootTime::now();
    lose_from(a, b);
    let lost = BootTime::now();
    assert!(pinger.wait_silence(Duration::from_millis(50), SOON));
    let undo = BootTime::now();
    lose_nothing(b);
    let back = pinger.wait_arrival(undo, SOON).expect("traffic comes back");

    let recording = pinger.finish();
    let outage = recording.longest_outage().expect("an outage");
    let (began, began_within) = outage.began();
    let (ended, ended_within) = outage.ended().expect("an end");
    assert!(began >= before && began <= lost + began_within, "{outage:?}");
    assert!(ended >= undo && ended <= back + Duration::from_millis(1), "{outage:?}");
    assert!(outage.duration() >= Duration::from_millis(50), "{outage:?}");
    // How fine it is depends on the machine's load: it must say so itself.
    let pause = recording.longest_pause() * 2;
    assert!(began_within <= pause && ended_within <= pause, "{outage:?} {pause:?}");
    println!("began within {began_within:?}, ended within {ended_within:?}");
}

#[test]
fn an_echo_goes_on_after_an_outage() {
    let topology = Topology::pair().unwrap();
    let (a, b) = (&topology["a"], &topology["b"]);
    let server = EchoServer::start(b, b.socket_address(Family::V6, 0)).unwrap();
    let mut echo = EchoConnection::open(a, server.address().unwrap(), SOON).unwrap();
    echo.round_trip(SOON).unwrap();
    lose_from(a, b);
    let error = echo.round_trip(Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    lose_nothing(b);
    echo.round_trip(SOON).unwrap();
}

#[test]
fn a_namespace_is_entered_and_left() {
    let topology = Topology::pair().unwrap();
    let seen = || std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let inside = topology["a"].namespace.inside(seen).unwrap();
    assert!(inside.contains(DEVICE), "{inside}");
    assert!(!seen().contains("\nv0"), "this thread is where it was");
}

#[test]
fn nothing_is_left_after_a_panic() {
    let (name, namespace) = std::thread::spawn(|| {
        let namespace = Namespace::create("panic").unwrap();
        let (name, path) = (namespace.name().to_owned(), namespace.path());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _owned = namespace;
            panic!("on purpose");
        }));
        assert!(result.is_err());
        (name, path)
    })
    .join()
    .unwrap();
    assert!(!namespace.exists(), "{name}");
}

#[test]
fn a_process_ends_with_its_handle() {
    let namespace = Namespace::create("sleep").unwrap();
    let process = Process::start(namespace.exec("sleep").arg("60")).unwrap();
    let pid = process.id();
    assert_eq!(process.stop().unwrap().signal(), Some(15));
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

/// The test runs itself a second time as the victim: it builds a lab, says so, and is killed.
const VICTIM: &str = "SCHISM_LAB_VICTIM";

fn be_the_victim() {
    let topology = Topology::pair().expect("a pair");
    let a = &topology["a"];
    let sleeper = Process::start(a.namespace.exec("sleep").arg("600")).expect("a sleeper");
    println!("\nvictim {} {}", a.namespace.name(), sleeper.id());
    assert!(!sleeper.wait_end(Duration::from_secs(60)), "killed first");
}

#[test]
fn nothing_is_left_after_sigkill() {
    if std::env::var_os(VICTIM).is_some() {
        return be_the_victim();
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_is_left_after_sigkill", "--nocapture", "--test-threads=1"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let said = lines.map_while(Result::ok).find(|line| line.starts_with("victim ")).unwrap();
    let words: Vec<&str> = said.split(' ').collect();
    let (namespace, sleeper) = (words[1], words[2]);
    let namespace = Path::new("/run/netns").join(namespace);
    let sleeper = Path::new("/proc").join(sleeper);
    assert!(namespace.exists() && sleeper.exists());

    victim.kill().unwrap();
    victim.wait().unwrap();
    let killed = BootTime::now();
    // Nobody tells when another process's children are done with their work.
    while (namespace.exists() || sleeper.exists()) && killed.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!namespace.exists(), "{namespace:?}");
    assert!(!sleeper.exists(), "{sleeper:?}");
}

#[test]
fn the_living_are_not_swept_and_who_is_about_to_go_is_waited_for() {
    let namespace = Namespace::create("alive").unwrap();
    lab::ip::ip(&["netns", "add", "schism-4194304-0-dead"]).unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let hierarchy = mounts.lines().find(|line| line.starts_with("cgroup2 ")).unwrap();
    let group = Path::new(hierarchy.split(' ').nth(1).unwrap()).join("schism-4194304-1-dead");
    std::fs::create_dir_all(group.join("within")).unwrap();
    let mut leaves = Command::new("sh");
    leaves.args(["-c", "echo $$ >within/cgroup.procs; echo in; exec sleep 0.3"]);
    let mut leaves = leaves.current_dir(&group).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(leaves.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "in\n");
    let swept = lab::sweep().unwrap();
    leaves.wait().unwrap();
    assert!(!group.exists());
    assert!(swept.contains(&"schism-4194304-0-dead".to_owned()), "{swept:?}");
    assert!(!swept.contains(&namespace.name().to_owned()));
    assert!(namespace.path().exists());
}
