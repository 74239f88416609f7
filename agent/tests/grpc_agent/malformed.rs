//! Messages that no client of ours would send: each has an answer, and the agent goes on.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use proto::agent as wire;
use proto::agent::error_detail::Kind as Detail;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

use crate::rig::{Rig, detail, id, soon};

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; from.remaining()];
        from.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

const METHODS: [&str; 8] =
    ["Prepare", "Commit", "Heal", "List", "Resolve", "Probe", "Session", "Describe"];

impl Rig {
    async fn raw(&self, method: &str, body: Vec<u8>) -> Result<Vec<u8>, Status> {
        let path = PathAndQuery::try_from(format!("/schism.agent.v1.Agent/{method}")).unwrap();
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        soon(grpc.unary(Request::new(body), path, Raw)).await.map(tonic::Response::into_inner)
    }

    async fn still_answers(&self) {
        let mut client = self.client.clone();
        soon(client.describe(wire::DescribeRequest {})).await.unwrap();
        self.list().await;
        self.begin(&self.cut(u16::MAX, "netns:a", "netns:c")).await;
        self.heal(&[u16::MAX]).await.unwrap();
    }
}

#[tokio::test]
async fn noise_is_answered_and_changes_nothing() {
    let rig = Rig::frozen().await;
    let mut runner = TestRunner::deterministic();
    let noise = proptest::collection::vec(any::<u8>(), 0..200);
    for round in 0..400 {
        let body = noise.new_tree(&mut runner).unwrap().current();
        // An answer of either kind is one.
        let _ = rig.raw(METHODS[round % METHODS.len()], body).await;
    }
    assert!(rig.kernel.performed().is_empty());
    rig.still_answers().await;
}

#[tokio::test]
async fn a_damaged_request_is_answered() {
    let rig = Rig::frozen().await;
    let faults = vec![(&rig.cut(1, "netns:a", "netns:b")).into()];
    let whole = wire::PrepareRequest { faults, dry_run: false, holder: None }.encode_to_vec();
    let mut runner = TestRunner::deterministic();
    let damage = (0..whole.len(), any::<u8>(), any::<bool>());
    for _ in 0..400 {
        let (at, byte, cut_short) = damage.new_tree(&mut runner).unwrap().current();
        let mut body = whole.clone();
        body[at] = byte;
        if cut_short {
            body.truncate(at);
        }
        let _ = rig.raw("Prepare", body).await;
    }
    let request = wire::HealRequest { ids: Vec::new(), all: true };
    rig.client.clone().heal(request).await.unwrap();
    assert!(rig.is_clean());
    rig.still_answers().await;
}

#[tokio::test]
async fn an_oversized_request_is_refused() {
    let rig = Rig::frozen().await;
    let status = rig.raw("Prepare", vec![0; (1 << 20) + 1]).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    rig.still_answers().await;
}

#[tokio::test]
async fn a_million_ids_are_refused() {
    let rig = Rig::frozen().await;
    let many = vec![wire::FaultId::default(); 500_000];
    let heal = wire::HealRequest { ids: many.clone(), all: false };
    let heal = rig.client.clone().heal(heal).await.unwrap_err();
    let commit = wire::CommitRequest { ids: many, start: 0, holder: None };
    let commit = rig.client.clone().commit(commit).await.unwrap_err();
    for status in [heal, commit] {
        let field = wire::InvalidField { field: "ids".to_owned() };
        assert_eq!(detail(&status), Detail::InvalidField(field));
    }
    let million = vec![wire::FaultId::default(); 1_000_000];
    let heal = wire::HealRequest { ids: million, all: false };
    assert_eq!(rig.client.clone().heal(heal).await.unwrap_err().code(), Code::OutOfRange);
    let many = vec![wire::FaultId::default(); 500_000];
    let heartbeat = wire::Heartbeat {
        renew: many,
        watch: Vec::new(),
        report_every_ns: u64::MAX,
        ..Default::default()
    };
    let events = rig.client.clone().session(tokio_stream::once(heartbeat)).await.unwrap();
    let event = soon(events.into_inner().message()).await.unwrap().unwrap();
    assert!(
        matches!(event.kind, Some(wire::event::Kind::Renewed(r)) if r.refused.len() == 500_000)
    );
    rig.still_answers().await;
}

#[tokio::test]
async fn absurd_faults_are_refused_by_the_field() {
    let rig = Rig::frozen().await;
    let b = rig.cookie("b");
    rig.kernel.node(|node| node.spawn(4711, b, None));
    let base = || wire::Fault::from(&rig.cut(1, "netns:a", "netns:b"));
    let cut = |change: fn(&mut wire::Cut)| {
        let mut fault = base();
        if let Some(wire::fault::Kind::Cut(cut)) = fault.kind.as_mut() {
            change(cut);
        }
        fault
    };
    let addr: fault::Selector = "addr:10.0.0.0/8".parse().unwrap();
    let leader: fault::Selector = "etcd:leader".parse().unwrap();
    let netns = |name: &str| {
        Some(wire::Selector { scheme: Some(wire::selector::Scheme::Netns(name.to_owned())) })
    };
    let mut of_process = wire::Fault::from(&rig.cut(1, "netns:a", "pid:4711"));
    if let Some(target) = of_process.target.as_mut() {
        target.process = None;
    }
    let table = [
        wire::Fault::default(),
        wire::Fault { selector: None, ..base() },
        wire::Fault { selector: Some(wire::Selector::default()), ..base() },
        wire::Fault { selector: Some((&addr).into()), ..base() },
        wire::Fault { selector: Some((&leader).into()), ..base() },
        wire::Fault { selector: netns(""), ..base() },
        wire::Fault { selector: netns("../../etc"), ..base() },
        wire::Fault { target: None, ..base() },
        wire::Fault { kind: None, ..base() },
        wire::Fault { peer_target: None, ..base() },
        wire::Fault { lease_ns: 0, ..base() },
        wire::Fault { total_ns: 0, ..base() },
        wire::Fault { total_ns: u64::MAX, ..base() },
        wire::Fault { id: Some(wire::FaultId { intent: u64::MAX, part: 0 }), ..base() },
        wire::Fault { id: Some(wire::FaultId { intent: 1, part: 70_000 }), ..base() },
        wire::Fault { peers: vec![wire::Prefix::default()], ..base() },
        cut(|cut| cut.mode = 99),
        cut(|cut| cut.mode = -1),
        cut(|cut| cut.loss = 0),
        cut(|cut| cut.loss = u64::MAX),
        cut(|cut| cut.port = u32::MAX),
        cut(|cut| cut.side = 0),
        of_process,
    ];
    for fault in table {
        let request =
            wire::PrepareRequest { faults: vec![fault.clone()], dry_run: false, holder: None };
        let status = rig.client.clone().prepare(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{fault:?}");
        let Detail::InvalidField(field) = detail(&status) else { panic!("{status:?}") };
        assert!(field.field.starts_with("faults[0]."), "{field:?}");
    }
    let empty = rig.client.clone().prepare(wire::PrepareRequest::default()).await.unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument);
    let empty = rig.client.clone().heal(wire::HealRequest::default()).await.unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument);
    assert!(rig.kernel.performed().is_empty());
    rig.still_answers().await;
}

#[tokio::test]
async fn absurd_probes_are_refused() {
    let rig = Rig::frozen().await;
    let (a, b) = (rig.target("netns:a"), rig.target("netns:b"));
    let base = || wire::ProbeRequest {
        from: Some(a.identity.into()),
        from_selector: Some((&a.selector).into()),
        to: Some(b.identity.into()),
        to_selector: Some((&b.selector).into()),
        protocol: wire::Protocol::Udp.into(),
        port: 0,
        count: 3,
        interval_ns: 1,
        timeout_ns: 1,
    };
    assert_eq!(rig.client.clone().probe(base()).await.unwrap().into_inner().sent, 3);
    let table = [
        wire::ProbeRequest::default(),
        wire::ProbeRequest { count: 0, ..base() },
        wire::ProbeRequest { count: u32::MAX, ..base() },
        wire::ProbeRequest { interval_ns: u64::MAX, ..base() },
        wire::ProbeRequest { timeout_ns: u64::MAX, ..base() },
        wire::ProbeRequest { protocol: 0, ..base() },
        wire::ProbeRequest { protocol: 99, ..base() },
        wire::ProbeRequest { port: 70_000, ..base() },
        wire::ProbeRequest { to: None, ..base() },
    ];
    for request in table {
        let status = rig.client.clone().probe(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{request:?}");
    }
}

#[tokio::test]
async fn one_request_may_name_the_same_fault_twice() {
    let rig = Rig::frozen().await;
    let fault = rig.cut(1, "netns:a", "netns:b");
    let prepared = rig.prepare(&[fault.clone(), fault.clone()]).await.unwrap();
    assert_eq!(prepared.faults[0], prepared.faults[1]);
    assert_eq!(rig.commit(&[1, 1]).await.unwrap().len(), 2);
    assert_eq!(rig.heal(&[1, 1]).await.unwrap().len(), 2);
    let other = rig.cut(2, "netns:a", "netns:b");
    let conflicting = fault::Fault { id: id(2), ..rig.cut(9, "netns:c", "netns:b") };
    let status = rig.prepare(&[other, conflicting]).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert!(rig.is_clean());
}
