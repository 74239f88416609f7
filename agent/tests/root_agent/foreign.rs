//! What others put on a target's devices goes on working, and is as it was when a cut has ended.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use agent::kernel::bpf::{self, ChainEntry};
use agent::residue::{self, Removal};
use agent_ebpf::abi::{Seen, names};
use aya::maps::PerCpuArray;
use aya::programs::SchedClassifier;
use aya::programs::links::LinkOrder;
use aya::programs::tc::{TcAttachOptions, TcAttachType};
use aya::{Ebpf, EbpfLoader};
use fault::{Drift, Fault, RemnantKind, Side, State};
use lab::clock::BootTime;
use lab::ip::ip;
use lab::topology::{DEVICE, Family, Node};
use lab::traffic::{Probe, Protocol};
use nix::sys::signal::Signal;

use crate::bounds::{Binary, put_in};
use crate::rig::{
    Rig, await_freed, eventually, held_by, initiator_cut, next_arrival, packet_cut, stream, terms,
};

/// Somebody else's program on a device: it counts packets and says "next". It is our own object, loaded
/// by another hand, without a fault in it.
struct Foreign {
    ebpf: Ebpf,
    id: u32,
}

impl Foreign {
    fn attach(node: &Node, order: LinkOrder) -> Self {
        let mut ebpf = EbpfLoader::new().load(agent_ebpf::OBJECT).unwrap();
        let program: &mut SchedClassifier =
            ebpf.program_mut(names::INGRESS).unwrap().try_into().unwrap();
        program.load().unwrap();
        let id = program.info().unwrap().id();
        let options = TcAttachOptions::TcxOrder(order);
        let attach = || program.attach_with_options(DEVICE, TcAttachType::Ingress, options);
        node.namespace.inside(attach).unwrap().unwrap();
        Self { ebpf, id }
    }

    fn packets(&self) -> u64 {
        let map = self.ebpf.map(names::SEEN).unwrap();
        let seen: PerCpuArray<_, Seen> = PerCpuArray::try_from(map).unwrap();
        let ingress = agent_ebpf::abi::Side::Ingress as u32;
        seen.get(&ingress, 0).unwrap().iter().map(|seen| seen.packets).sum()
    }
}

fn datagrams(from: &Node, to: &Node, family: Family) -> lab::traffic::Delivery {
    Probe::new(from, to, Protocol::Udp).family(family).run().unwrap()
}

fn calls(from: &Node, to: &Node, family: Family) -> lab::traffic::Delivery {
    Probe::new(from, to, Protocol::Tcp).family(family).count(2).run().unwrap()
}

/// Runs a program inside a node's namespace and returns what it prints.
fn run(node: &Node, line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut command = node.namespace.exec(words.next().unwrap());
    let output = command.args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn chain(node: &Node, side: Side) -> Vec<ChainEntry> {
    let links = node.namespace.links().unwrap();
    let index = links.into_iter().find(|link| link.name == DEVICE).unwrap().index;
    node.namespace.inside(|| bpf::chain(index, side)).unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_program_works_before_during_and_after_a_cut() {
    let rig = Rig::hub(&["a", "b", "c"]);
    let (a, b, c) = (rig.node("a"), rig.node("b"), rig.node("c"));
    let foreign = Foreign::attach(b, LinkOrder::default());
    let counts = |from: &Node| {
        let before = foreign.packets();
        let delivery = datagrams(from, b, Family::V4);
        (delivery.delivered(), foreign.packets() - before)
    };
    let (arrived, counted) = counts(a);
    assert_eq!(arrived, 20);
    assert!(counted >= 20, "{counted}");

    let id = rig.cut("a", "b", packet_cut()).await;
    let (arrived, counted) = counts(a);
    assert_eq!(arrived, 0);
    // Ours comes first. What neighbours ask each other is not cut.
    assert!(counted < 20, "{counted}");
    let (arrived, counted) = counts(c);
    assert_eq!(arrived, 20);
    assert!(counted >= 20, "{counted}");
    let during = chain(b, Side::Ingress);
    assert_eq!(during.len(), 2);
    assert_eq!(during[1].program, foreign.id);

    rig.heal(id).await;
    let (arrived, counted) = counts(a);
    assert_eq!(arrived, 20);
    assert!(counted >= 20, "{counted}");
    assert_eq!(chain(b, Side::Ingress), [during[1]]);
}

/// Classic BPF that loses UDP over IPv4 to port 7009 (TC_ACT_SHOT) and leaves the rest to the next filter.
const LOSES_7009: &str = "9,40 0 0 12,21 0 6 2048,48 0 0 23,21 0 4 17,177 0 0 14,72 0 0 16,\
                          21 0 1 7009,6 0 0 2,6 0 0 4294967295";

/// How many packets the clsact qdisc of a node has met, and how many its filters have dropped.
fn met(node: &Node) -> (u64, u64) {
    let text = run(node, &format!("tc -s qdisc show dev {DEVICE} clsact"));
    let number = |before: &str| -> u64 {
        let rest = &text[text.find(before).expect(&text) + before.len()..];
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    (number("bytes "), number("dropped "))
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_clsact_filters_work_before_during_and_after_a_cut() {
    let rig = Rig::hub(&["a", "b", "c"]);
    let (a, b, c) = (rig.node("a"), rig.node("b"), rig.node("c"));
    run(b, &format!("tc qdisc add dev {DEVICE} clsact"));
    let add = format!("tc filter add dev {DEVICE} ingress");
    let mut command = b.namespace.exec("tc");
    command.args(["filter", "add", "dev", DEVICE, "ingress", "prio", "10", "bpf", "da"]);
    assert!(command.args(["bytecode", LOSES_7009]).status().unwrap().success());
    run(b, &format!("{add} prio 20 protocol ip u32 match u32 0 0 flowid 1:1"));
    let stands =
        || (run(b, "tc qdisc show"), run(b, &format!("tc filter show dev {DEVICE} ingress")));
    let before = stands();
    assert!(before.0.contains("clsact") && before.1.contains("u32"), "{before:?}");
    // How many packets the filters met and dropped, and how many of twenty arrived at a free port.
    let works = |from: &Node| {
        let (packets, dropped) = met(b);
        assert!(Probe::new(from, b, Protocol::Udp).port(7009).run().unwrap().is_lost());
        let delivered = datagrams(from, b, Family::V4).delivered();
        (met(b).0 - packets, met(b).1 - dropped, delivered)
    };
    let work = |(met, dropped, delivered): (u64, u64, u32)| {
        assert!(met >= 40, "{met}");
        assert_eq!((dropped, delivered), (20, 20));
    };
    work(works(a));
    let id = rig.cut("a", "b", packet_cut()).await;
    let (met, dropped, delivered) = works(a);
    // What neighbours ask each other is not cut.
    assert!(met < 20, "{met}");
    assert_eq!((dropped, delivered), (0, 0));
    work(works(c));
    assert_eq!(stands(), before);
    rig.heal(id).await;
    work(works(a));
    assert_eq!(stands(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_program_before_ours_is_told_of_and_so_is_its_end() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let id = rig.cut("a", "b", packet_cut()).await;
    let put = BootTime::now();
    let foreign = Foreign::attach(b, LinkOrder::first());
    let status = rig.until(id, |status| status.state == State::Shadowed).await;
    assert!(put.elapsed() < Duration::from_secs(2), "after {:?}", put.elapsed());
    let [Drift::ShadowedBy { side: Side::Ingress, programs, .. }] = &status.drifts[..] else {
        panic!("{:?}", status.drifts)
    };
    assert_eq!(programs, &[foreign.id]);
    // It says "next", so the cut goes on behind it, and its lease can be renewed.
    assert!(datagrams(a, b, Family::V4).is_lost());
    assert_eq!(rig.agent.renew(vec![id], None).await.unwrap().renewed, [id]);

    let gone = BootTime::now();
    drop(foreign);
    let status = rig.until(id, |status| status.state == State::Active).await;
    assert!(gone.elapsed() < Duration::from_secs(2), "after {:?}", gone.elapsed());
    assert_eq!(status.drifts, []);
    assert!(datagrams(a, b, Family::V4).is_lost());
    assert_eq!(rig.heal(id).await.state, State::Healed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadowed_cut_can_be_healed_and_the_shadow_stays() {
    let rig = Rig::pair();
    let (a, b) = (rig.node("a"), rig.node("b"));
    let id = rig.cut("a", "b", packet_cut()).await;
    let foreign = Foreign::attach(b, LinkOrder::first());
    rig.until(id, |status| status.state == State::Shadowed).await;
    assert_eq!(rig.heal(id).await.state, State::Healed);
    let left: Vec<u32> = chain(b, Side::Ingress).iter().map(|entry| entry.program).collect();
    assert_eq!(left, [foreign.id]);
    let before = foreign.packets();
    assert!(datagrams(a, b, Family::V4).is_whole());
    assert!(foreign.packets() >= before + 20);
}

/// Everything that a namespace shows of itself.
fn view(node: &Node) -> String {
    let lines = [
        "tc qdisc show".to_owned(),
        format!("tc filter show dev {DEVICE} ingress"),
        format!("tc filter show dev {DEVICE} egress"),
        "ip -d link show".to_owned(),
        "ip addr show".to_owned(),
        "ip rule show".to_owned(),
        "ip route show table all".to_owned(),
        "ip -6 route show table all".to_owned(),
        "nft list ruleset".to_owned(),
    ];
    let mut view = String::new();
    for line in lines {
        writeln!(view, "# {line}\n{}", run(node, &line)).unwrap();
    }
    for side in [Side::Ingress, Side::Egress] {
        writeln!(view, "# tcx at the {side}: {:?}", chain(node, side)).unwrap();
    }
    view
}

/// A receiver on which others have put all that a cut could hurt.
fn furnish(rig: &Rig) -> Foreign {
    let b = rig.node("b");
    run(b, &format!("tc qdisc add dev {DEVICE} root tbf rate 1gbit burst 1mbit latency 50ms"));
    run(b, &format!("tc qdisc add dev {DEVICE} clsact"));
    run(b, &format!("tc filter add dev {DEVICE} ingress protocol ip u32 match u32 0 0 flowid 1:1"));
    run(b, &format!("tc filter add dev {DEVICE} egress protocol ip u32 match u32 0 0 flowid 1:1"));
    run(b, "nft add table inet theirs");
    run(b, "nft add chain inet theirs in { type filter hook input priority 0 ; }");
    run(b, "nft add rule inet theirs in udp dport 7010 drop");
    run(b, &format!("ip route add 198.51.100.0/24 dev {DEVICE}"));
    Foreign::attach(b, LinkOrder::default())
}

fn host_view() -> String {
    let lines: [&[&str]; 2] = [&["rule", "show"], &["-6", "rule", "show"]];
    lines.iter().map(|line| ip(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_as_it_was_after_a_cut_was_healed_or_ran_out() {
    let rig = Rig::pair();
    let _foreign = furnish(&rig);
    let (a, b) = (rig.node("a"), rig.node("b"));
    let own = std::process::id();
    let before = (view(a), view(b), host_view(), held_by(own));

    let id = rig.cut("a", "b", initiator_cut()).await;
    assert_ne!(view(b), before.1, "the view is blind");
    assert!(held_by(own).len() > before.3.len());
    assert!(calls(a, b, Family::V4).is_lost());
    assert!(calls(b, a, Family::V4).is_whole());
    rig.heal(id).await;
    assert_eq!((view(a), view(b), host_view(), held_by(own)), before);
    assert!(calls(a, b, Family::V4).is_whole());

    let fault = Fault { terms: terms(1_000, 60_000), ..rig.fault("a", "b", initiator_cut()) };
    let id = fault.id;
    rig.begin(fault).await;
    assert!(calls(a, b, Family::V6).is_lost());
    let status = rig.until(id, |status| status.state.is_final()).await;
    assert_eq!(status.state, State::Expired);
    assert_eq!((view(a), view(b), host_view(), held_by(own)), before);
    assert!(calls(a, b, Family::V6).is_whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_as_it_was_after_the_agent_was_killed() {
    let rig = Rig::pair();
    let _foreign = furnish(&rig);
    let (a, b) = (rig.node("a"), rig.node("b"));
    let before = (view(a), view(b), host_view());
    let binary = Binary::start("foreign");
    let mut client = binary.client().await;
    // One of them observes the other hook, too.
    for cut in [initiator_cut(), packet_cut()] {
        put_in(&mut client, &rig.fault("a", "b", cut)).await;
    }
    let there = stream(a, b);
    assert!(there.wait_silence(Duration::from_millis(50), Duration::from_secs(2)));
    let held: BTreeSet<(RemnantKind, u32)> = held_by(binary.process.id());
    assert!(!held.is_empty());
    let killed = BootTime::now();
    binary.process.signal(Signal::SIGKILL).unwrap();
    next_arrival(&there, killed);
    drop(there);
    await_freed(&held);
    eventually("the view is as before", || (view(a), view(b), host_view()) == before);
    assert!(datagrams(a, b, Family::V4).is_whole());
    // What stays is what is said to stay, until somebody asks for its removal.
    residue::search(Removal::Remove, &binary.socket).unwrap();
    assert!(!Path::new(&binary.socket).exists());
}
