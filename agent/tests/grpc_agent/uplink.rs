//! The agent dials, and serves whoever answers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use agent::uplink::{self, Stop, Uplink};
use fault::{ControllerId, Fault, Holder, LeaseTerms, State};
use hyper_util::rt::TokioIo;
use proto::agent as wire;
use proto::agent::agent_client::AgentClient;
use proto::agent::error_detail::Kind as Detail;
use proto::agent::event::Kind as Event;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::rig::{Rig, about, detail, id, ids, soon};

const HOLDER: Holder = Holder { controller: ControllerId::new([1; 16]), epoch: 5 };

/// A controller as far as an agent sees it, and the agent's end of the network.
struct Network {
    incoming: mpsc::UnboundedReceiver<DuplexStream>,
    /// Connections that the agent holds now, and the most that it ever held at once.
    held: Arc<(AtomicUsize, AtomicUsize)>,
    stop: watch::Sender<bool>,
    agent: JoinHandle<()>,
}

/// Counts as long as it lives.
struct Held {
    stream: DuplexStream,
    count: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Network {
    fn of(rig: &Rig) -> Self {
        let (dialled, incoming) = mpsc::unbounded_channel();
        let held: Arc<(AtomicUsize, AtomicUsize)> = Arc::default();
        let count = Arc::clone(&held);
        let dial = move || {
            let (here, there) = tokio::io::duplex(1 << 16);
            let sent = dialled.send(there).map_err(|_| io::Error::other("nobody listens"));
            let held = Held::new(here, Arc::clone(&count));
            async move { sent.map(|()| held) }
        };
        let uplink = Uplink::new(rig.agent.clone(), about());
        let (stop, asked) = Stop::new();
        let agent = tokio::spawn(uplink::run(uplink, dial, asked));
        Self { incoming, held, stop, agent }
    }

    /// Takes the agent's next connection, hears it out and answers.
    async fn welcome(&mut self, welcome: &wire::Welcome) -> (wire::Hello, DuplexStream) {
        let mut stream = patiently(self.incoming.recv()).await.unwrap();
        let hello = patiently(link::read(&mut stream)).await.unwrap();
        link::write(&mut stream, welcome).await.unwrap();
        (hello, stream)
    }

    async fn accept(&mut self) -> AgentClient<Channel> {
        let (_, stream) = self.welcome(&yes(HOLDER)).await;
        client(stream).await
    }
}

impl Held {
    fn new(stream: DuplexStream, count: Arc<(AtomicUsize, AtomicUsize)>) -> Self {
        let now = count.0.fetch_add(1, Ordering::SeqCst) + 1;
        count.1.fetch_max(now, Ordering::SeqCst);
        Self { stream, count }
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn yes(holder: Holder) -> wire::Welcome {
    wire::Welcome { holder: Some(holder.into()), refused: String::new() }
}

/// Waits longer than an agent does before it tries again; time that stands still costs nothing.
pub(crate) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), future).await.unwrap()
}

pub(crate) async fn client(stream: DuplexStream) -> AgentClient<Channel> {
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| io::Error::other("one connection only"));
        async move { stream.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://agent");
    AgentClient::new(endpoint.connect_with_connector(connector).await.unwrap())
}

async fn begin(rig: &Rig, client: &mut AgentClient<Channel>, fault: &Fault) {
    let holder = Some(HOLDER.into());
    let request = wire::PrepareRequest { faults: vec![fault.into()], dry_run: false, holder };
    client.prepare(request).await.unwrap();
    let request =
        wire::CommitRequest { ids: vec![fault.id.into()], start: 0, holder: Some(HOLDER.into()) };
    client.commit(request).await.unwrap();
    assert_eq!(rig.state(fault.id.part).await, Some(State::Active));
}

#[tokio::test]
async fn it_says_who_it_is_and_serves_what_it_serves_on_its_socket() {
    let rig = Rig::frozen().await;
    let mut network = Network::of(&rig);
    let (hello, stream) = network.welcome(&yes(HOLDER)).await;
    assert_eq!((hello.protocol, hello.node.as_str()), (1, "fake"));
    assert_eq!(hello.boot_id.len(), 16);
    let mut client = client(stream).await;
    let described = client.describe(wire::DescribeRequest {}).await.unwrap().into_inner();
    assert_eq!(described.instance, hello.instance);
    assert_eq!((described.node, described.version), (hello.node, hello.version));
    // Whoever answered the hello has been heard.
    let former = Holder { epoch: 4, ..HOLDER };
    let faults = vec![(&rig.cut(1, "netns:a", "netns:b")).into()];
    let request = wire::PrepareRequest { faults, dry_run: false, holder: Some(former.into()) };
    let status = client.prepare(request).await.unwrap_err();
    assert_eq!(detail(&status), Detail::Superseded(wire::Superseded { by_epoch: 5 }));
}

#[tokio::test]
async fn over_the_network_nothing_is_put_in_or_renewed_for_nobody() {
    let rig = Rig::frozen().await;
    let mut network = Network::of(&rig);
    let mut client = network.accept().await;
    let field = || Detail::InvalidField(wire::InvalidField { field: "holder".to_owned() });
    let faults = vec![(&rig.cut(1, "netns:a", "netns:b")).into()];
    let request = wire::PrepareRequest { faults, dry_run: false, holder: None };
    assert_eq!(detail(&client.prepare(request).await.unwrap_err()), field());
    let request = wire::CommitRequest { ids: ids(&[1]), start: 0, holder: None };
    assert_eq!(detail(&client.commit(request).await.unwrap_err()), field());
    let (heartbeats, stream) = mpsc::channel(1);
    let mut events = client.session(ReceiverStream::new(stream)).await.unwrap().into_inner();
    heartbeats.send(wire::Heartbeat::default()).await.unwrap();
    events.message().await.unwrap().unwrap();
    let heartbeat = wire::Heartbeat { renew: ids(&[1]), ..wire::Heartbeat::default() };
    heartbeats.send(heartbeat).await.unwrap();
    assert_eq!(detail(&events.message().await.unwrap_err()), field());
}

#[tokio::test]
async fn a_link_lost_and_found_within_the_lease_changes_nothing() {
    let rig = Rig::frozen().await;
    let mut network = Network::of(&rig);
    let mut client = network.accept().await;
    begin(&rig, &mut client, &rig.cut(1, "netns:a", "netns:b")).await;
    let before = (rig.kernel.performed(), rig.lease("b", 0));
    drop(client);
    let mut client = network.accept().await;
    let listed = client.list(wire::ListRequest {}).await.unwrap().into_inner().faults;
    assert_eq!(listed[0].holder, Some(HOLDER.into()));
    assert_eq!((rig.kernel.performed(), rig.lease("b", 0)), before);
    let (heartbeats, stream) = mpsc::channel(1);
    let mut events = client.session(ReceiverStream::new(stream)).await.unwrap().into_inner();
    let heartbeat = wire::Heartbeat {
        renew: ids(&[1]),
        holder: Some(HOLDER.into()),
        number: 7,
        ..wire::Heartbeat::default()
    };
    heartbeats.send(heartbeat).await.unwrap();
    let Event::Renewed(renewed) = events.message().await.unwrap().unwrap().kind.unwrap() else {
        panic!("no answer");
    };
    assert_eq!((renewed.ids, renewed.number), (ids(&[1]), 7));
    assert_eq!(network.held.1.load(Ordering::SeqCst), 1, "never two at once");
}

#[tokio::test]
async fn without_its_controller_a_fault_ends_by_its_lease() {
    let rig = Rig::running().await;
    let mut network = Network::of(&rig);
    let mut client = network.accept().await;
    let lease = LeaseTerms::SHORTEST;
    let terms = LeaseTerms::new(lease, Duration::from_secs(60)).unwrap();
    let mut watch = rig.watch();
    begin(&rig, &mut client, &Fault { terms, ..rig.cut(1, "netns:a", "netns:b") }).await;
    drop(client);
    watch.state(1, State::Expired).await;
    assert!(rig.is_clean());
}

#[tokio::test(start_paused = true)]
async fn refused_or_answered_with_nonsense_it_tries_again_and_again() {
    let rig = Rig::frozen().await;
    let mut network = Network::of(&rig);
    let no = wire::Welcome { refused: "not issued".to_owned(), ..wire::Welcome::default() };
    drop(network.welcome(&no).await);
    let begun = tokio::time::Instant::now();
    drop(network.welcome(&no).await);
    assert!(begun.elapsed() >= Duration::from_secs(5), "a refusal is not hurried");
    // Neither yes nor no.
    drop(network.welcome(&wire::Welcome::default()).await);
    let short = wire::Holder { controller: vec![1; 3].into(), epoch: 1 };
    drop(network.welcome(&wire::Welcome { holder: Some(short), ..wire::Welcome::default() }).await);
    // A gigabyte, another protocol, the end.
    let mut stream = patiently(network.incoming.recv()).await.unwrap();
    stream.write_u32(1 << 30).await.unwrap();
    let mut stream = patiently(network.incoming.recv()).await.unwrap();
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    drop(patiently(network.incoming.recv()).await.unwrap());
    // One that never answers, and one that never reads.
    let silent = patiently(network.incoming.recv()).await.unwrap();
    network.accept().await.describe(wire::DescribeRequest {}).await.unwrap();
    drop(silent);
    assert_eq!(network.held.1.load(Ordering::SeqCst), 1, "never two at once");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_has_died_silently_is_noticed() {
    let rig = Rig::frozen().await;
    let mut network = Network::of(&rig);
    let (_, mut stream) = network.welcome(&yes(HOLDER)).await;
    // HTTP/2 begins; then nobody answers any more.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let begun = tokio::time::Instant::now();
    let _again = patiently(network.incoming.recv()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let mut unread = Vec::new();
    stream.read_to_end(&mut unread).await.unwrap();
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_dials_no_more() {
    let rig = Rig::frozen().await;
    let mut network = Network::of(&rig);
    let mut client = network.accept().await;
    begin(&rig, &mut client, &rig.cut(1, "netns:a", "netns:b")).await;
    let (heartbeats, stream) = mpsc::channel(1);
    let mut events = client.session(ReceiverStream::new(stream)).await.unwrap().into_inner();
    heartbeats.send(wire::Heartbeat::default()).await.unwrap();
    events.message().await.unwrap().unwrap();
    soon(rig.agent.drain()).await;
    network.stop.send(true).unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        match soon(events.message()).await.unwrap().unwrap().kind.unwrap() {
            Event::Draining(_) => told.push("draining"),
            Event::Status(status) if status.state == i32::from(wire::State::Healed) => {
                assert_eq!(status.fault.unwrap().id, Some(id(1).into()));
                told.push("healed");
            }
            Event::Status(_) | Event::Renewed(_) | Event::Braked(_) => {}
        }
    }
    assert_eq!(told, ["draining", "healed"]);
    drop((heartbeats, events, client));
    soon(network.agent).await.unwrap();
    assert!(soon(network.incoming.recv()).await.is_none());
}
