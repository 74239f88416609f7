//! What goes over the wire arrives as it was, and what means nothing is refused by its field.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::time::Duration;

use fault::{
    BootId, BootTime, Chance, Clock, ClockEffect, Clocks, ControllerId, Cut, Effect, Ending,
    Extent, Fault, FaultId, FlowAge, Freeze, FreezeEffect, Holder, Hook, IntentId, Kill,
    KillEffect, Kind, LeaseTerms, Measured, Mode, NamespaceCookie, Offset, PeerTarget, Peers,
    Prefix, ProcessIdentity, Protocol, Rate, Reading, Selector, Shape, Side, Signal, Skew, State,
    Status, Stress, StressEffect, TargetIdentity, Uncovered, Verdict,
};
use proptest::prelude::*;
use proto::agent as wire;

fn fault_of(intent: u64, part: u16, loss: u64, port: u16, seed: u64) -> Fault {
    let identity = TargetIdentity {
        boot: BootId::new(u128::from(seed) << 64 | 7),
        namespace: NamespaceCookie::new(seed),
        process: Some(ProcessIdentity { pid: 4711, started: seed }),
    };
    let selector: Selector = "netns:db0".parse().unwrap();
    Fault {
        id: FaultId { intent: IntentId::from_random(intent), part },
        selector: selector.clone(),
        target: identity,
        kind: Kind::Cut(Cut {
            mode: Mode::Initiator,
            protocol: Some(Protocol::Tcp),
            port: (port != 0).then_some(port),
            flows: FlowAge::New,
            loss: Chance::from_fraction(loss).unwrap(),
            seed,
            verdict: Verdict::Drop,
            side: Side::Ingress,
        }),
        peers: Peers {
            fixed: vec!["10.0.0.0/24".parse::<Prefix>().unwrap(), "fe80::1%eth0".parse().unwrap()],
            followed: Some(PeerTarget { selector, identity }),
        },
        terms: LeaseTerms::new(Duration::from_secs(15), Duration::from_secs(60)).unwrap(),
        control_path: vec!["10.0.0.9:7400".parse().unwrap(), "[fd00::9]:7400".parse().unwrap()],
    }
}

proptest! {
    #[test]
    fn a_fault_arrives_as_it_was(
        intent: u64, part: u16, loss in 1u64..=1 << 32, port: u16, seed: u64,
    ) {
        let fault = fault_of(intent, part, loss, port, seed);
        let sent = wire::Fault::from(&fault);
        prop_assert_eq!(Fault::try_from(sent), Ok(fault));
    }
}

#[test]
fn what_means_nothing_is_refused_by_its_field() {
    type Spoil = fn(&mut wire::Fault);
    fn cut(fault: &mut wire::Fault) -> &mut wire::Cut {
        match fault.kind.as_mut().unwrap() {
            wire::fault::Kind::Cut(cut) => cut,
            wire::fault::Kind::Skew(_)
            | wire::fault::Kind::Freeze(_)
            | wire::fault::Kind::Kill(_)
            | wire::fault::Kind::Stress(_) => panic!("made as a cut"),
        }
    }
    let table: [(&str, Spoil); 13] = [
        ("id", |fault| fault.id = None),
        ("id.intent", |fault| fault.id.as_mut().unwrap().intent = u64::MAX),
        ("id.part", |fault| fault.id.as_mut().unwrap().part = 65_536),
        ("kind", |fault| fault.kind = None),
        ("cut.mode", |fault| cut(fault).mode = 0),
        ("cut.mode", |fault| cut(fault).mode = 99),
        ("cut.loss", |fault| cut(fault).loss = 0),
        ("cut.loss", |fault| cut(fault).loss = (1 << 32) + 1),
        ("cut.port", |fault| cut(fault).port = 65_536),
        ("cut.side", |fault| cut(fault).side = 0),
        ("peers.network", |fault| fault.peers[0].network = vec![1, 2, 3].into()),
        ("target.boot_id", |fault| fault.target.as_mut().unwrap().boot_id = vec![].into()),
        ("lease_ns", |fault| fault.total_ns = 0),
    ];
    for (field, spoil) in table {
        let mut message = wire::Fault::from(&fault_of(1, 2, 3, 4, 5));
        spoil(&mut message);
        assert_eq!(Fault::try_from(message).unwrap_err().field, field);
    }
}

#[test]
fn a_role_arrives_as_it_was() {
    for text in [
        "etcd:leader",
        "etcd:follower",
        "etcd:blue/member",
        "etcd:member/etcd-0",
        "etcd:prod/blue/leader",
        "zeebe:partition/1/leader",
        "zeebe:blue/partition/3/follower",
        "zeebe:broker",
        "zeebe:blue/broker/0",
        "zeebe:prod/blue/partition/2/leader",
        "zeebe:gateway",
        "pod:7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6",
        "pod:7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6/web",
        "k8s:prod/pod/web-0",
        "k8s:prod/pod/web-0/app",
        "k8s:prod/sts/zeebe",
        "k8s:prod/sts/zeebe/0",
        "k8s:prod/deploy/web",
        "k8s:prod/svc/web",
        "k8s:prod/label:app.kubernetes.io/name=web,tier!=db,zone in (,a,b),old notin (x),new,!gone,n>1,m<2",
    ] {
        let selector: Selector = text.parse().unwrap();
        let sent = wire::Selector::from(&selector);
        assert_eq!(Selector::try_from(sent), Ok(selector));
    }
}

#[test]
fn a_role_that_means_nothing_is_refused_by_its_field() {
    use wire::etcd_role::Role;
    let table = [
        ("etcd.role", None, ["", ""]),
        ("etcd.member", Some(Role::Member("a/b".to_owned())), ["", ""]),
        ("etcd.cluster", Some(Role::Leader(wire::etcd_role::Leader {})), ["a/b", ""]),
        ("etcd.cluster", Some(Role::Leader(wire::etcd_role::Leader {})), ["member", ""]),
        ("etcd.instance", Some(Role::Leader(wire::etcd_role::Leader {})), ["a", "leader"]),
        ("etcd.instance", Some(Role::Leader(wire::etcd_role::Leader {})), ["", "a"]),
    ];
    for (field, role, [cluster, instance]) in table {
        let (cluster, instance) = (cluster.to_owned(), instance.to_owned());
        let members = wire::EtcdRole { role, cluster, instance };
        let scheme = wire::selector::Scheme::Etcd(members);
        let found = Selector::try_from(wire::Selector { scheme: Some(scheme) });
        assert_eq!(found.unwrap_err().field, field);
    }
}

fn status_held_by(holder: Option<Holder>) -> Status {
    Status {
        fault: fault_of(1, 2, 3, 4, 5),
        state: State::Active,
        lease: None,
        effect: Effect::default(),
        measured: None,
        hook: Hook::default(),
        peers: Vec::new(),
        drifts: Vec::new(),
        holder,
        now: BootTime::from_nanos(9),
    }
}

#[test]
fn a_status_arrives_with_its_holder() {
    let holder = Holder { controller: ControllerId::new([7; 16]), epoch: u64::MAX };
    for holder in [None, Some(holder)] {
        let status = status_held_by(holder);
        assert_eq!(Status::try_from(wire::Status::from(status.clone())), Ok(status));
    }
    let mut message = wire::Status::from(status_held_by(Some(holder)));
    message.holder.as_mut().unwrap().controller = vec![1; 15].into();
    assert_eq!(Status::try_from(message).unwrap_err().field, "holder.controller");
}

fn skew_of(number: u64) -> Skew {
    let near = |nanos: i64| Offset::from_nanos(nanos).unwrap();
    let after = Duration::from_millis(20 + number % 1_000);
    let shape = match number % 4 {
        0 => Shape::Offset(near(-90_000_000_000)),
        1 => Shape::Step { offset: near(i64::from(number.to_le_bytes()[0]) + 1), after },
        2 => Shape::Strobe { first: near(4_000_000), second: Offset::NONE, period: after },
        _ => Shape::Drift { offset: near(1), rate: Rate::from_billionths(-200_000).unwrap() },
    };
    let clocks = if number.is_multiple_of(3) {
        [Clock::Realtime, Clock::Boottime].into_iter().collect()
    } else {
        Clocks::REALTIME
    };
    Skew {
        // What has to go back could not move a monotonic clock.
        clocks: if number.is_multiple_of(4) { Clocks::REALTIME } else { clocks },
        shape,
        ending: Ending::Slew(Rate::FASTEST),
        extent: if number.is_multiple_of(2) { Extent::Named } else { Extent::Tree },
    }
}

fn skewing(number: u64) -> Fault {
    let kind = Kind::Skew(skew_of(number));
    Fault { kind, peers: Peers::default(), ..fault_of(number, 1, 1, 1, number) }
}

#[test]
fn a_skew_arrives_as_it_was() {
    for number in [0, 4, 1, 13, 3, 7, 6, 10].into_iter().chain(20..40) {
        let fault = skewing(number);
        let skew = skew_of(number);
        if skew.check(fault.terms).is_err() {
            continue;
        }
        assert_eq!(Fault::try_from(wire::Fault::from(&fault)), Ok(fault), "{number}");
    }
}

#[test]
fn a_skew_that_means_nothing_is_refused_by_its_field() {
    type Spoil = fn(&mut wire::Skew);
    let table: [(&str, Spoil); 10] = [
        ("skew.shape", |skew| skew.shape = None),
        ("skew.offset", |skew| skew.shape = Some(wire::skew::Shape::Offset(i64::MIN))),
        ("skew", |skew| skew.shape = Some(wire::skew::Shape::Offset(0))),
        ("skew.drift.rate", |skew| {
            skew.shape = Some(wire::skew::Shape::Drift(wire::ClockDrift { offset: 1, rate: 0 }));
        }),
        ("skew.clocks", |skew| skew.clocks = vec![99]),
        ("skew.clock", |skew| skew.clocks = vec![0]),
        ("skew", |skew| skew.clocks = vec![]),
        ("skew.slew", |skew| skew.slew = u32::MAX),
        ("skew.extent", |skew| skew.extent = 0),
        ("skew.extent", |skew| skew.extent = 9),
    ];
    for (field, spoil) in table {
        let mut message = wire::Fault::from(&skewing(0));
        let Some(wire::fault::Kind::Skew(skew)) = &mut message.kind else { panic!("a skew") };
        spoil(skew);
        assert_eq!(Fault::try_from(message).unwrap_err().field, field);
    }
    let mut message = wire::Fault::from(&skewing(0));
    message.peers = wire::Fault::from(&fault_of(1, 2, 3, 4, 5)).peers;
    assert_eq!(Fault::try_from(message).unwrap_err().field, "peers");
}

#[test]
fn a_freeze_and_what_it_did_arrive_as_they_were() {
    let process = ProcessIdentity { pid: 4711, started: 9 };
    let reason = "process 7 traces it already".to_owned();
    let effect = FreezeEffect {
        processes: 3,
        threads: 40,
        stopped: 39,
        reached: Duration::from_micros(700),
        held: Duration::from_secs(5),
        uncovered: vec![Uncovered { process, name: "old".to_owned(), reason }],
    };
    for extent in [Extent::Named, Extent::Tree] {
        let status = Status {
            fault: Fault { kind: Kind::Freeze(Freeze { extent }), ..skewing(0) },
            measured: Some(Measured::Freeze(effect.clone())),
            drifts: vec![
                fault::Drift::HolderEnded,
                fault::Drift::OutOfMemory,
                fault::Drift::NotTakenOut("detach".to_owned()),
                fault::Drift::Inert("the bytes of process 7".to_owned()),
            ],
            ..status_held_by(None)
        };
        assert!(status.happened());
        assert_eq!(Status::try_from(wire::Status::from(status.clone())), Ok(status));
    }
    let mut message = wire::Fault::from(&skewing(0));
    message.kind = Some(wire::fault::Kind::Freeze(wire::Freeze { extent: 0 }));
    assert_eq!(Fault::try_from(message).unwrap_err().field, "freeze.extent");
}

#[test]
fn a_kill_and_a_load_and_what_they_did_arrive_as_they_were() {
    let process = ProcessIdentity { pid: 1, started: 9 };
    let reason = "process 1 is the node's own".to_owned();
    let killed = KillEffect {
        processes: 3,
        signalled: 3,
        unheeded: 1,
        ended: 2,
        forced: 1,
        longest: Duration::from_micros(700),
        uncovered: vec![Uncovered { process, name: "init".to_owned(), reason }],
    };
    let took = StressEffect {
        lasted: Duration::from_secs(5),
        cpu: Duration::from_secs(9),
        memory: 1 << 40,
        memory_asked: 1 << 41,
        written: 7,
        read: 8,
    };
    let graces = [None, Some(Duration::from_secs(30))];
    let kills = Signal::ALL.into_iter().zip(graces.into_iter().cycle()).map(|(signal, grace)| {
        let kill = Kill { extent: Extent::Tree, signal, grace };
        (Kind::Kill(kill), Measured::Kill(killed.clone()))
    });
    let cpu: Option<fault::CpuLoad> = Some("4@50%".parse().unwrap());
    let load = |cpu, memory: Option<&str>, io: u16| Stress {
        cpu,
        memory: memory.map(|text| text.parse().unwrap()),
        io: io.try_into().ok(),
    };
    let loads = [load(cpu, None, 0), load(None, Some("80%"), 2), load(cpu, Some("1GiB"), 4_096)];
    let loads = loads.map(|load| (Kind::Stress(load), Measured::Stress(took.clone())));
    for (kind, measured) in kills.chain(loads) {
        let status = Status {
            fault: Fault { kind, ..skewing(0) },
            measured: Some(measured),
            ..status_held_by(None)
        };
        assert!(status.happened(), "{status:?}");
        assert_eq!(Status::try_from(wire::Status::from(status.clone())), Ok(status));
    }
    let refused = |kind: wire::fault::Kind| {
        let mut message = wire::Fault::from(&skewing(0));
        message.kind = Some(kind);
        Fault::try_from(message).unwrap_err().field
    };
    let stress =
        |cpu, io_workers| wire::fault::Kind::Stress(wire::Stress { cpu, memory: None, io_workers });
    let cpu = |workers, percent| Some(wire::CpuLoad { workers, percent });
    assert_eq!(refused(stress(None, 0)), "stress.stress");
    assert_eq!(refused(stress(cpu(0, 1), 0)), "stress.cpu.workers");
    assert_eq!(refused(stress(cpu(1, 101), 0)), "stress.cpu.percent");
    assert_eq!(refused(stress(None, 4_097)), "stress.io_workers");
    let kill = wire::Kill { extent: 1, signal: 0, grace_ns: None };
    assert_eq!(refused(wire::fault::Kind::Kill(kill)), "kill.signal");
}

#[test]
fn what_was_measured_arrives_as_it_was() {
    let process = ProcessIdentity { pid: 4711, started: 9 };
    let effect = ClockEffect {
        covered: 3,
        uncovered: vec![Uncovered {
            process,
            name: "old".to_owned(),
            reason: "a 32-bit program".to_owned(),
        }],
        readings: vec![Reading {
            clock: Clock::Realtime,
            process,
            offset: -90_000_000_000,
            error: 120,
            as_asked: true,
        }],
        longest_hold: Duration::from_micros(700),
        longest_gap: Duration::from_secs(1),
        way_back: Duration::from_secs(3_600),
        escaped: 35,
    };
    let status = Status {
        fault: skewing(0),
        measured: Some(Measured::Clock(effect)),
        drifts: vec![fault::Drift::Altered(process)],
        ..status_held_by(None)
    };
    assert!(status.happened());
    assert_eq!(Status::try_from(wire::Status::from(status.clone())), Ok(status));
}
