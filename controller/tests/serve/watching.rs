//! `Watch`, as it is on the wire.

use prost::Message as _;
use proto::control as wire;
use proto::control::error_detail::Kind;
use tonic::Code;

use crate::rig::{Served, soon};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_refused_with_from_where_it_can() {
    let served = Served::start().await;
    let mut client = served.local().await;
    let brake = wire::HaltRequest { reason: "a drill".to_owned() };
    client.halt(brake).await.unwrap();
    let revision = client.list(wire::ListRequest {}).await.unwrap().into_inner().revision;
    let since = wire::WatchRequest { since: revision + 1 };
    let refused = soon(client.watch(since)).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    let detail = wire::ErrorDetail::decode(refused.details()).unwrap();
    let Some(Kind::Gap(gap)) = detail.kind else { panic!("{detail:?}") };
    assert_eq!((gap.earliest, gap.latest), (0, revision));
    assert!(detail.hint.contains("revision of the list"), "{detail:?}");

    let since = wire::WatchRequest { since: revision - 1 };
    let mut told = soon(client.watch(since)).await.unwrap().into_inner();
    let event = soon(told.message()).await.unwrap().unwrap();
    assert_eq!(event.revision, revision);
    let Some(wire::event::Kind::Brake(brake)) = event.kind else { panic!("{event:?}") };
    assert_eq!((brake.on, brake.reason.as_str()), (true, "a drill"));
}
