//! What goes over the wire arrives as it was, and what means nothing is refused by its field.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::time::Duration;

use fault::{
    BootId, BootTime, Chance, ControllerId, Cut, Effect, Fault, FaultId, FlowAge, Holder, Hook,
    IntentId, Kind, LeaseTerms, Mode, NamespaceCookie, PeerTarget, Peers, Prefix, ProcessIdentity,
    Protocol, Selector, Side, State, Status, TargetIdentity, Verdict,
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
    for text in ["etcd:leader", "etcd:follower", "etcd:blue/member", "etcd:member/etcd-0"] {
        let selector: Selector = text.parse().unwrap();
        let sent = wire::Selector::from(&selector);
        assert_eq!(Selector::try_from(sent), Ok(selector));
    }
}

#[test]
fn a_role_that_means_nothing_is_refused_by_its_field() {
    use wire::etcd_role::Role;
    let table = [
        ("etcd.role", None, ""),
        ("etcd.member", Some(Role::Member("a/b".to_owned())), ""),
        ("etcd.cluster", Some(Role::Leader(wire::etcd_role::Leader {})), "a/b"),
        ("etcd.cluster", Some(Role::Leader(wire::etcd_role::Leader {})), "member"),
    ];
    for (field, role, cluster) in table {
        let members = wire::EtcdRole { role, cluster: cluster.to_owned() };
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
