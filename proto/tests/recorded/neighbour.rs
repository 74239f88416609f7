//! What a peer of another minor version says: more than is known here, or less.

use prost::Message as _;
use proto::agent as wire;
use proto::control;

/// A field that nobody knows yet, as bytes on the wire: number 1000, of some text.
fn unknown_field() -> Vec<u8> {
    let key = (1000u64 << 3) | 2;
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(key, &mut bytes);
    prost::encoding::encode_varint(5, &mut bytes);
    bytes.extend(b"later");
    bytes
}

fn fault() -> wire::Fault {
    let selector = || Some((&"netns:a".parse::<fault::Selector>().unwrap()).into());
    wire::Fault {
        id: Some(wire::FaultId { intent: 7, part: 0 }),
        selector: selector(),
        target: Some(wire::TargetIdentity {
            boot_id: vec![1; 16].into(),
            namespace_cookie: 7,
            process: None,
        }),
        peers: vec![(&"10.0.0.0/24".parse::<fault::Prefix>().unwrap()).into()],
        lease_ns: 15_000_000_000,
        total_ns: 60_000_000_000,
        kind: Some(wire::fault::Kind::Cut(wire::Cut {
            mode: wire::Mode::Packet.into(),
            flows: wire::FlowAge::All.into(),
            loss: 1 << 32,
            verdict: wire::Verdict::Drop.into(),
            side: wire::Side::Ingress.into(),
            ..wire::Cut::default()
        })),
        ..wire::Fault::default()
    }
}

fn refused(fault: wire::Fault) -> String {
    fault::Fault::try_from(fault).unwrap_err().to_string()
}

#[test]
fn a_kind_of_fault_that_is_not_known_is_refused_by_its_field() {
    fault::Fault::try_from(fault()).unwrap();
    let known = wire::Fault { kind: None, ..fault() }.encode_to_vec();
    let newer = wire::Fault::decode([known, unknown_field()].concat().as_slice()).unwrap();
    assert!(refused(newer).contains("kind"));
}

#[test]
fn a_value_that_is_not_known_is_refused_by_its_field() {
    let with = |change: &dyn Fn(&mut wire::Cut)| {
        let mut fault = fault();
        let Some(wire::fault::Kind::Cut(cut)) = &mut fault.kind else { panic!("made as a cut") };
        change(cut);
        refused(fault)
    };
    let table = [
        ("mode", with(&|cut| cut.mode = 99)),
        ("flows", with(&|cut| cut.flows = 99)),
        ("verdict", with(&|cut| cut.verdict = 99)),
        ("side", with(&|cut| cut.side = 99)),
        ("protocol", with(&|cut| cut.protocol = 99)),
    ];
    for (field, refused) in table {
        assert!(refused.contains(field), "{field}: {refused}");
    }
}

#[test]
fn answers_and_heartbeats_of_a_newer_peer_are_read() {
    let renewed = wire::Renewed { number: 7, now: 9, ..wire::Renewed::default() };
    let event = wire::Event { kind: Some(wire::event::Kind::Renewed(renewed)) };
    let newer = [event.encode_to_vec(), unknown_field()].concat();
    assert_eq!(wire::Event::decode(newer.as_slice()).unwrap(), event);
    let beat = wire::Heartbeat { number: 3, ..wire::Heartbeat::default() };
    let newer = [beat.encode_to_vec(), unknown_field()].concat();
    assert_eq!(wire::Heartbeat::decode(newer.as_slice()).unwrap(), beat);
    let intent = control::Intent { id: 7, reason: "why".to_owned(), ..control::Intent::default() };
    let newer = [intent.encode_to_vec(), unknown_field()].concat();
    assert_eq!(control::Intent::decode(newer.as_slice()).unwrap(), intent);
}

#[test]
fn what_an_older_peer_does_not_say_has_a_meaning() {
    // An event of a kind that is not known here is nothing, and no error.
    let newer = wire::Event::decode(unknown_field().as_slice()).unwrap();
    assert_eq!(newer.kind, None);
    // A hello without a version of the protocol is of none that anybody speaks.
    assert_eq!(wire::Hello::decode([].as_slice()).unwrap().protocol, 0);
}
