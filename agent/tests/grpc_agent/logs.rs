//! Logs over the wire.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use fault::{LogFile, LogMark};
use proto::agent as wire;
use proto::agent::error_detail::Kind as Detail;
use proto::agent::log_piece::Kind;
use tonic::{Code, Status, Streaming};

use crate::rig::{Rig, detail, soon};

/// A log of the namespace `a`, with something in it.
async fn rig(log: &Path, text: &str) -> Rig {
    fs::write(log, text).unwrap();
    let rig = Rig::running().await;
    let cookie = rig.cookie("a");
    rig.kernel.node(|node| node.write_to(cookie, log.to_owned()));
    rig
}

fn request(rig: &Rig, name: &str) -> wire::ReadLogRequest {
    let target = rig.target(name);
    wire::ReadLogRequest {
        selector: Some((&target.selector).into()),
        identity: Some(target.identity.into()),
        ..wire::ReadLogRequest::default()
    }
}

async fn begun(
    rig: &Rig,
    request: wire::ReadLogRequest,
) -> Result<Streaming<wire::LogPiece>, Status> {
    Ok(soon(rig.client.clone().read_log(request)).await?.into_inner())
}

/// What is new, a mark at its end, and what may be missing.
async fn told(rig: &Rig, request: wire::ReadLogRequest) -> (String, wire::LogMark, String) {
    let mut pieces = begun(rig, request).await.unwrap();
    let Some(Kind::File(file)) = soon(pieces.message()).await.unwrap().unwrap().kind else {
        panic!("no file");
    };
    let mut whole = Vec::new();
    loop {
        match soon(pieces.message()).await.unwrap().unwrap().kind.unwrap() {
            Kind::Bytes(bytes) => whole.extend_from_slice(&bytes),
            Kind::End(end) => {
                assert!(soon(pieces.message()).await.unwrap().is_none());
                let offset = file.from + whole.len() as u64;
                let number = LogFile { device: file.device, inode: file.inode };
                let printed = usize::try_from(LogMark::PRINTED).unwrap();
                let before = &whole[whole.len().saturating_sub(printed)..];
                let mark = LogMark::new(number, offset, before).into();
                let known = usize::try_from(file.fresh - file.from).unwrap();
                return (String::from_utf8(whole[known..].to_vec()).unwrap(), mark, end.missing);
            }
            Kind::File(_) => panic!("a second file"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_told_from_marks_on() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let long = "x".repeat(1 << 20);
    let rig = rig(&log, &long).await;
    let (text, mark, missing) = told(&rig, request(&rig, "netns:a")).await;
    assert!(text == long && missing.is_empty(), "{} {missing}", text.len());
    let ends = wire::ReadLogRequest { ends_only: true, ..request(&rig, "netns:a") };
    assert_eq!(told(&rig, ends).await, (String::new(), mark, String::new()));
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(b"news\n").unwrap();
    let since = wire::ReadLogRequest { since: vec![mark], ..request(&rig, "netns:a") };
    assert_eq!(told(&rig, since.clone()).await.0, "news\n");
    fs::write(&log, "short\n").unwrap();
    let (text, _, missing) = told(&rig, since).await;
    assert!(text == "short\n" && missing.contains("emptied"), "{text} {missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let rig = rig(&log, "x\n").await;
    let refused = async |request| begun(&rig, request).await.unwrap_err();
    let other = refused(request(&rig, "netns:b")).await;
    assert!(matches!(detail(&other), Detail::Refused(_)), "{other:?}");
    assert!(other.message().contains("writes to no file"), "{other:?}");
    let nobody = refused(wire::ReadLogRequest::default()).await;
    assert!(matches!(detail(&nobody), Detail::InvalidField(field) if field.field == "selector"));
    let mark = wire::LogMark::default();
    let many = wire::ReadLogRequest { since: vec![mark; 257], ..request(&rig, "netns:a") };
    assert!(
        matches!(detail(&refused(many).await), Detail::InvalidField(field) if field.field == "since")
    );
    let mut gone = request(&rig, "netns:a");
    gone.identity.as_mut().unwrap().namespace_cookie += 100;
    assert!(matches!(detail(&refused(gone).await), Detail::TargetGone(_)));
    fs::File::options().write(true).open(&log).unwrap().set_len(1 << 40).unwrap();
    let long = refused(request(&rig, "netns:a")).await;
    assert!(long.message().contains("no more than 64 are looked through"), "{long:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_few_are_read_at_once_and_who_goes_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let rig = rig(&log, &"x".repeat(8 << 20)).await;
    // More than fits on the way to somebody who does not read.
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(begun(&rig, request(&rig, "netns:a")).await.unwrap());
    }
    let refused = begun(&rig, request(&rig, "netns:a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    drop(slow);
    let again = async {
        while begun(&rig, request(&rig, "netns:a")).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(again).await;
}
