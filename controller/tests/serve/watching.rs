//! `Watch`, as it is on the wire.

use controller::store::Sqlite;
use prost::Message as _;
use proto::control as wire;
use proto::control::error_detail::Kind;
use tonic::Code;

use crate::rig::{Served, soon, until};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_has_ended_has_ended_whoever_still_asks() {
    let served = Served::start().await;
    let mut client = served.local().await;
    // A run whose first request never comes is waited for longer than a controller that ends has.
    let mut waiting = client.clone();
    let silent = tokio::spawn(async move { waiting.run(tokio_stream::pending()).await.map(drop) });
    let mut told = soon(client.watch(wire::WatchRequest { since: 0 })).await.unwrap().into_inner();
    let directory = served.stop().await;
    assert!(soon(told.message()).await.unwrap().is_none(), "who watches is told the end");
    assert!(!directory.path().join("control.sock").exists());
    // Nobody has the store any more, whose thread ends a moment after it: what stands in it may be driven by
    // the next one.
    let store = directory.path().join("state/store.sqlite");
    until(async || Sqlite::open(&store).await.is_ok()).await;
    silent.abort();
}
