//! Packets of targets, through a controller.

use std::fs;

use agent::fake::Wire;
use controller::serve::Captures;
use proto::agent as agent_wire;
use proto::agent::capture_piece::Kind as Piece;
use proto::control as wire;
use proto::control::capture_piece::Kind;
use serde_json::json;
use tonic::Code;

use crate::rig::{Served, soon, until};
use crate::runs::{told, typed};

/// Something that looks like a packet.
const PACKET: [u8; 40] = [0x45; 40];

/// A node of this name, with what the next capture of its namespace hears.
async fn wired(served: &Served, name: &str) -> Wire {
    served.dial(name).await;
    again(served, name)
}

/// The same for the one after it.
fn again(served: &Served, name: &str) -> Wire {
    let wire = served.kernel(name).node(|node| {
        let cookie = node.named(name).unwrap();
        node.wire(cookie)
    });
    wire.unwrap()
}

fn request(target: &str) -> wire::CaptureRequest {
    let target: fault::Selector = target.parse().unwrap();
    wire::CaptureRequest {
        target: Some((&target).into()),
        capture: Some(agent_wire::Capture {
            total_ns: 60_000_000_000,
            most: 1 << 20,
            ..agent_wire::Capture::default()
        }),
        ..wire::CaptureRequest::default()
    }
}

fn audit(served: &Served) -> String {
    fs::read_to_string(served.path("state/archive/audit.jsonl")).unwrap()
}

/// The kinds of the blocks of a file.
fn blocks(mut file: &[u8]) -> Vec<u32> {
    let mut kinds = Vec::new();
    while !file.is_empty() {
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        kinds.push(word(0));
        file = &file[usize::try_from(word(4)).unwrap()..];
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_was_not_told_to_hands_over_nothing() {
    let served = Served::start().await;
    let wire = wired(&served, "a").await;
    let refused = served.local().await.capture(request("netns:a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(refused.message().contains("hands over no packets"), "{refused:?}");
    let ended = typed(&served, "capture netns:a").await;
    assert_eq!(ended.status.code(), Some(4), "{}", told(&ended));
    assert!(told(&ended).contains("under [capture]"), "{}", told(&ended));
    assert!(wire.is_tapped(), "nobody has asked its agent");
    let audit = audit(&served);
    assert!(audit.lines().any(|line| {
        line.contains("\"deed\":\"capture\"") && line.contains("hands over no packets")
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_come_to_a_file_and_the_log_says_who_had_how_many() {
    let served = Served::that(Captures::Allowed).await;
    let wire = wired(&served, "a").await;
    assert!((0..3).all(|_| wire.pass(&PACKET)));
    let line = "capture netns:a --for 500ms --write a.pcapng -o json";
    let ended = typed(&served, line).await;
    assert_eq!(ended.status.code(), Some(0), "{}", told(&ended));
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(report["packets"], 3, "{report:#}");
    assert_eq!((&report["node"], &report["missed"]), (&json!("a"), &json!(0)), "{report:#}");
    let file = fs::read(served.path("a.pcapng")).unwrap();
    assert_eq!(blocks(&file), [0x0a0d_0d0a, 1, 6, 6, 6, 5]);
    assert!(!wire.is_tapped());
    until(async || audit(&served).contains("\"deed\":\"captured\"")).await;
    let audit = audit(&served);
    let what = "capture netns:a --for 500ms";
    let begun = audit.lines().find(|line| line.contains("\"deed\":\"capture\"")).unwrap();
    assert!(begun.contains(&format!("\"what\":\"{what}\"")), "{begun}");
    assert!(begun.contains("\"where\":[\"a\"]"), "{begun}");
    let over = audit.lines().find(|line| line.contains("\"deed\":\"captured\"")).unwrap();
    assert!(over.contains(&format!("{what}: 3 packets, 120 B, in ")), "{over}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_reads_packets_and_nothing_else_from_stdout() {
    let served = Served::that(Captures::Allowed).await;
    let wire = wired(&served, "a").await;
    assert!((0..3).all(|_| wire.pass(&PACKET)));
    let ended = typed(&served, "capture netns:a --for 500ms --write -").await;
    assert_eq!(ended.status.code(), Some(0), "{}", told(&ended));
    assert_eq!(blocks(&ended.stdout), [0x0a0d_0d0a, 1, 6, 6, 6, 5]);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("3 packets of netns:a@a in "), "{said}");
    assert!(said.contains(", written to stdout ("), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_no_larger_than_it_may_be() {
    let served = Served::that(Captures::Allowed).await;
    let wire = wired(&served, "a").await;
    assert!((0..9).all(|_| wire.pass(&PACKET)));
    let line = "capture netns:a --for 60s --max 1kB --write a.pcapng -o json";
    let ended = typed(&served, line).await;
    assert_eq!(ended.status.code(), Some(0), "{}", told(&ended));
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&report["why"], &report["found"]), (&json!("full"), &json!("there")), "{report:#}");
    let file = fs::read(served.path("a.pcapng")).unwrap();
    assert_eq!(report["size"], file.len());
    assert!((700..=1_000).contains(&file.len()), "{}", file.len());
    let packets = blocks(&file).iter().filter(|kind| **kind == 6).count();
    assert_eq!(report["packets"], packets);
    // Its agent has ended it, and so knows of the others.
    assert_eq!(report["missed"], 9 - packets);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_its_target_and_says_so() {
    let served = Served::that(Captures::Allowed).await;
    let wire = wired(&served, "a").await;
    assert!(wire.pass(&PACKET));
    let capture = typed(&served, "capture netns:a --for 60s --write a.pcapng -o json");
    let gone = async {
        until(async || fs::metadata(served.path("a.pcapng")).is_ok_and(|file| file.len() > 0))
            .await;
        served.kernel("a").node(|node| node.remove_namespace("a"));
    };
    let (ended, ()) = tokio::join!(capture, gone);
    assert_eq!(ended.status.code(), Some(1), "{}", told(&ended));
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&report["why"], &report["packets"]), (&json!("target-gone"), &json!(1)));
    assert!(!wire.is_tapped());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_a_role_of_its_own_and_ends_with_whoever_asked() {
    let served = Served::that(Captures::Allowed).await;
    let wire = wired(&served, "a").await;
    served.certs("issue user ann --role operator").await;
    served.certs("issue user cai --role capturer").await;
    let refused = served.user("ann").await.capture(request("netns:a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let mut cai = served.user("cai").await;
    let mut pieces = cai.capture(request("netns:a")).await.unwrap().into_inner();
    let mut next = async || soon(pieces.message()).await.unwrap().unwrap().kind.unwrap();
    assert!(matches!(next().await, Kind::Target(end) if end.node == "a"));
    assert!(wire.pass(&PACKET));
    let Kind::Piece(agent_wire::CapturePiece { kind: Some(Piece::Packets(packets)) }) =
        next().await
    else {
        panic!("no packets");
    };
    assert_eq!(packets.packets[0].kept[..], PACKET);
    drop(pieces);
    until(async || !wire.is_tapped()).await;
    until(async || audit(&served).contains("ended by the caller")).await;
    let audit = audit(&served);
    let has =
        |who: &str, what: &str| audit.lines().any(|line| line.contains(who) && line.contains(what));
    assert!(has("ann", "\"deed\":\"capture\"") && has("cai", "\"deed\":\"captured\""), "{audit}");
    assert!(!has("ann", "captured"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_captured_is_refused_with_its_reason() {
    let served = Served::that(Captures::Allowed).await;
    let _wire = wired(&served, "a").await;
    let mut client = served.local().await;
    let mut refused =
        async |request: wire::CaptureRequest| client.capture(request).await.unwrap_err();
    let nobody = refused(request("netns:nobody")).await;
    assert_eq!(nobody.code(), Code::NotFound, "{nobody:?}");
    let addresses = refused(request("addr:10.0.0.1")).await;
    assert_eq!(addresses.code(), Code::NotFound, "{addresses:?}");
    let node = refused(request("host:a")).await;
    assert_eq!(node.code(), Code::FailedPrecondition, "{node:?}");
    let mut odd = request("netns:a");
    odd.capture.as_mut().unwrap().most = 0;
    assert_eq!(refused(odd).await.code(), Code::InvalidArgument);
    assert_eq!(refused(wire::CaptureRequest::default()).await.code(), Code::InvalidArgument);
}
