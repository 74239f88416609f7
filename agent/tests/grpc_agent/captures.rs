//! Captures over the wire.

use std::time::Duration;

use agent::fake::{HOST, Wire};
use fault::{Capture, Kept, NamespaceCookie, NodeNetwork};
use proto::agent as wire;
use proto::agent::capture_piece::Kind;
use proto::agent::error_detail::Kind as Detail;
use tonic::{Code, Status, Streaming};

use crate::rig::{Rig, detail, soon};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(60);

/// Everything, for a time.
fn everything(total: Duration) -> Capture {
    Capture {
        peers: Vec::new(),
        port: None,
        kept: Kept::Headers,
        total,
        most: 1 << 30,
        node: NodeNetwork::Refused,
    }
}

fn request(rig: &Rig, name: &str, capture: &Capture) -> wire::CaptureRequest {
    let target = rig.target(name);
    wire::CaptureRequest {
        selector: Some((&target.selector).into()),
        identity: Some(target.identity.into()),
        capture: Some(capture.into()),
    }
}

async fn begun(
    rig: &Rig,
    request: wire::CaptureRequest,
) -> Result<Streaming<wire::CapturePiece>, Status> {
    Ok(soon(rig.client.clone().capture(request)).await?.into_inner())
}

fn tapped(rig: &Rig, cookie: NamespaceCookie) -> Wire {
    rig.kernel.node(|node| node.wire(cookie)).unwrap()
}

async fn next(pieces: &mut Streaming<wire::CapturePiece>) -> Kind {
    soon(pieces.message()).await.unwrap().unwrap().kind.unwrap()
}

/// The end, and how many packets came before it.
async fn ended(pieces: &mut Streaming<wire::CapturePiece>) -> (wire::CaptureEnd, u64) {
    let mut told = 0;
    loop {
        match next(pieces).await {
            Kind::Packets(packets) => told += packets.packets.len() as u64,
            Kind::End(end) => {
                assert!(soon(pieces.message()).await.unwrap().is_none());
                return (end, told);
            }
        }
    }
}

#[tokio::test]
async fn an_agent_that_was_not_told_to_hands_over_nothing() {
    let rig = Rig::running().await;
    let _wire = tapped(&rig, rig.cookie("a"));
    let refused = begun(&rig, request(&rig, "netns:a", &everything(LONG))).await.unwrap_err();
    assert!(matches!(detail(&refused), Detail::Refused(_)), "{refused:?}");
    assert!(refused.message().contains("hands over no packets"), "{refused:?}");
}

#[tokio::test]
async fn packets_are_told_as_they_pass_each_device_once() {
    let rig = Rig::capturing().await;
    let wire = tapped(&rig, rig.cookie("a"));
    let mut pieces = begun(&rig, request(&rig, "netns:a", &everything(LONG))).await.unwrap();
    for (bytes, devices) in [(&b"one"[..], vec!["eth0"]), (&b"two"[..], vec![])] {
        assert!(wire.pass(bytes));
        let Kind::Packets(told) = next(&mut pieces).await else { panic!("it has ended") };
        let names: Vec<&str> = told.devices.iter().map(|device| device.name.as_str()).collect();
        assert_eq!(names, devices);
        let packets: Vec<_> = told.packets.iter().map(|packet| packet.kept.as_ref()).collect();
        assert_eq!(packets, [bytes]);
        assert_eq!(told.packets[0].interface_index, 2);
    }
    // Who listens no more has nobody capture.
    drop(pieces);
    let gone = async {
        while wire.is_tapped() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(gone).await;
}

#[tokio::test]
async fn it_ends_with_its_time_its_measure_and_its_agent() {
    let rig = Rig::capturing().await;
    let wire = tapped(&rig, rig.cookie("a"));
    let short = everything(Duration::from_millis(50));
    let mut pieces = begun(&rig, request(&rig, "netns:a", &short)).await.unwrap();
    let (end, told) = ended(&mut pieces).await;
    assert_eq!((end.why(), end.told, end.missed, told), (wire::CaptureEnding::Time, 0, 0, 0));
    assert!(!wire.is_tapped(), "its socket is gone before that is told");

    let wire = tapped(&rig, rig.cookie("a"));
    assert!(wire.pass(b"one") && wire.pass(b"two"));
    // Three bytes take 68.
    let little = Capture { most: 2 * 68 - 1, ..everything(LONG) };
    let mut pieces = begun(&rig, request(&rig, "netns:a", &little)).await.unwrap();
    let (end, told) = ended(&mut pieces).await;
    assert_eq!((end.why(), end.told, end.missed, told), (wire::CaptureEnding::Full, 1, 1, 1));
    assert!(!wire.is_tapped());

    let wire = tapped(&rig, rig.cookie("a"));
    let mut pieces = begun(&rig, request(&rig, "netns:a", &everything(LONG))).await.unwrap();
    let agent = rig.agent.clone();
    let drained = tokio::spawn(async move { agent.drain().await });
    let (end, _) = ended(&mut pieces).await;
    assert_eq!(end.why(), wire::CaptureEnding::Draining);
    assert!(!wire.is_tapped());
    soon(drained).await.unwrap();
}

#[tokio::test]
async fn a_packet_that_would_be_too_much_is_none_of_it() {
    let rig = Rig::capturing().await;
    let wire = tapped(&rig, rig.cookie("a"));
    assert!(wire.pass(b"one"));
    let less = Capture { most: 67, ..everything(LONG) };
    let mut pieces = begun(&rig, request(&rig, "netns:a", &less)).await.unwrap();
    let (end, told) = ended(&mut pieces).await;
    assert_eq!((end.why(), end.told, end.missed, told), (wire::CaptureEnding::Full, 0, 1, 0));
}

#[tokio::test]
async fn it_ends_with_its_target_and_says_so() {
    let rig = Rig::capturing().await;
    // Whether it is there is looked at after a second.
    for total in [LONG, Duration::from_millis(500)] {
        let wire = tapped(&rig, rig.cookie("a"));
        let mut pieces = begun(&rig, request(&rig, "netns:a", &everything(total))).await.unwrap();
        rig.kernel.node(|node| node.remove_namespace("a"));
        let (end, _) = ended(&mut pieces).await;
        // Whatever comes first.
        assert_eq!((end.why(), end.gone), (wire::CaptureEnding::Time, true), "{total:?}");
        assert!(!wire.is_tapped());
        rig.kernel.node(|node| node.add_namespace("a", &[crate::rig::address("10.0.0.1")]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_costs_packets_which_are_counted() {
    let rig = Rig::capturing().await;
    let wire = tapped(&rig, rig.cookie("a"));
    let asked = request(&rig, "netns:a", &everything(Duration::from_secs(1)));
    let mut pieces = begun(&rig, asked).await.unwrap();
    let (mut passed, mut lost) = (0_u64, 0_u64);
    while lost == 0 {
        assert!(passed < 100_000, "there is room for all of it");
        passed += 1;
        lost += u64::from(!wire.pass(&[0; 1_400]));
    }
    assert!(wire.is_tapped(), "it has not ended meanwhile");
    let (end, told) = ended(&mut pieces).await;
    assert_eq!((end.why(), end.told), (wire::CaptureEnding::Time, told));
    assert_eq!(end.told + end.missed, passed);
    assert!(end.missed >= lost, "{end:?}");
}

#[tokio::test]
async fn only_two_are_made_at_once_and_who_goes_makes_room() {
    let rig = Rig::capturing().await;
    let wires: Vec<Wire> = (0..4).map(|_| tapped(&rig, rig.cookie("a"))).collect();
    let asked = || request(&rig, "netns:a", &everything(LONG));
    let mut going = Vec::new();
    for _ in 0..2 {
        going.push(begun(&rig, asked()).await.unwrap());
    }
    let refused = begun(&rig, asked()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    drop(going.pop());
    let gone = async {
        while wires[1].is_tapped() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The place is free with the socket, or a moment later.
        while begun(&rig, asked()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(gone).await;
}

#[tokio::test]
async fn what_cannot_be_captured_is_refused_with_its_reason() {
    let rig = Rig::capturing().await;
    let refused = async |request| begun(&rig, request).await.unwrap_err();
    let _wire = tapped(&rig, HOST);
    let node = refused(request(&rig, "host:fake", &everything(LONG))).await;
    assert!(matches!(detail(&node), Detail::Refused(_)), "{node:?}");
    let meant = Capture { node: NodeNetwork::Meant, ..everything(LONG) };
    drop(begun(&rig, request(&rig, "host:fake", &meant)).await.unwrap());
    let mut gone = request(&rig, "netns:a", &everything(LONG));
    gone.identity.as_mut().unwrap().namespace_cookie += 100;
    assert!(matches!(detail(&refused(gone).await), Detail::TargetGone(_)));
    let mut endless = request(&rig, "netns:a", &everything(LONG));
    endless.capture.as_mut().unwrap().total_ns = u64::MAX;
    let field = |status: &Status| {
        let Detail::InvalidField(invalid) = detail(status) else { panic!("{status:?}") };
        invalid.field
    };
    assert_eq!(field(&refused(endless).await), "capture.total_ns");
    let nothing = wire::CaptureRequest { capture: None, ..request(&rig, "netns:a", &meant) };
    assert_eq!(field(&refused(nothing).await), "capture");
}
