//! Targets and a cut to test with.

use std::time::Duration;

use fault::{
    BootId, BootTime, Chance, Clocks, Cut, Effect, Ending, Extent, Fault, FaultId, FlowAge, Hook,
    IntentId, Kind, LeaseTerms, Mode, NamespaceCookie, PeerTarget, Peers, ProcessIdentity, Shape,
    Side, Skew, State, Status, Target, TargetIdentity, Verdict, Window,
};

/// When it began, in ns since boot.
pub(crate) const START: u64 = 1_000_000_000;

pub(crate) fn id(part: u16) -> FaultId {
    FaultId { intent: IntentId::from_random(10), part }
}

/// What it is of a boot: a namespace, and perhaps one process in it.
pub(crate) fn identity(cookie: u64, process: Option<ProcessIdentity>) -> TargetIdentity {
    let namespace = NamespaceCookie::new(cookie);
    TargetIdentity { boot: BootId::new(1), namespace, process }
}

/// A target of which nothing else is known.
pub(crate) fn target(selector: &str, identity: TargetIdentity) -> Target {
    Target {
        identity,
        selector: selector.parse().unwrap(),
        addresses: Vec::new(),
        interfaces: Vec::new(),
        processes: Vec::new(),
        process_count: 0,
        cgroup: None,
        is_host: false,
        pod: None,
    }
}

/// An hour ahead.
pub(crate) fn skew() -> Kind {
    Kind::Skew(Skew {
        shape: Shape::Offset("+1h".parse().unwrap()),
        clocks: Clocks::REALTIME,
        ending: Ending::Step,
        extent: Extent::Named,
    })
}

/// `netns:a → netns:b` for 60 s with a lease of 15 s, two seconds after its start.
pub(crate) fn status(part: u16, state: State, matched: u64, lost: u64) -> Status {
    let seconds = Duration::from_secs;
    let start = BootTime::from_nanos(START);
    let at = |millis| (lost > 0).then(|| start + Duration::from_millis(millis));
    Status {
        fault: Fault {
            id: id(part),
            selector: "netns:b".parse().unwrap(),
            target: identity(2, None),
            kind: Kind::Cut(Cut {
                mode: Mode::Packet,
                protocol: None,
                port: None,
                flows: FlowAge::All,
                loss: Chance::CERTAIN,
                seed: 7,
                verdict: Verdict::Drop,
                side: Side::Ingress,
            }),
            peers: Peers {
                fixed: Vec::new(),
                followed: Some(PeerTarget {
                    selector: "netns:a".parse().unwrap(),
                    identity: identity(1, None),
                }),
            },
            terms: LeaseTerms::new(seconds(15), seconds(60)).unwrap(),
            control_path: Vec::new(),
        },
        state,
        lease: Some(Window { start, end: start + seconds(15), deadline: start + seconds(60) }),
        effect: Effect {
            matched,
            lost,
            lost_segments: lost,
            lost_bytes: lost * 100,
            first_loss: at(12),
            last_loss: at(1_500),
            ..Effect::default()
        },
        measured: None,
        hook: Hook { seen: matched + 5, unparsable: 0 },
        peers: Vec::new(),
        drifts: Vec::new(),
        holder: None,
        now: start + seconds(2),
    }
}
