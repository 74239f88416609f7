//! An agent that does nothing but answer, and the command run against it.

#![expect(dead_code, reason = "each test file uses what it needs of this")]
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prost::Message;
use proto::agent as wire;
use proto::agent::agent_server::{Agent, AgentServer};
use proto::agent::event::Kind;
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Code, Request, Response, Status, Streaming};

/// How long anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the agent does that an agent does not always do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Nothing special.
    #[default]
    Sound,
    /// Goes away at the second heartbeat.
    Dies,
    /// Takes heartbeats and calls, but never answers any after the commit.
    Hangs,
    /// Heals everything at the second heartbeat, says so, and goes away.
    Drains,
    /// Finds the target gone at the second heartbeat.
    LosesTarget,
    /// Finds another program before its own at the second heartbeat.
    IsShadowed,
    /// Has no room for the fault.
    IsFull,
    /// The kernel refuses the commit.
    IsRefusedByTheKernel,
    /// Never answers what a selector names.
    HangsAtNames,
    /// Never answers what became of probes.
    HangsAtProbes,
    /// Never answers a commit.
    HangsAtCommit,
    /// Loses nothing of the probes.
    DeliversAll,
}

/// What the agent was asked, and when.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) faults: Vec<wire::Status>,
    pub(crate) heartbeats: Vec<(Instant, wire::Heartbeat)>,
    pub(crate) heals: Vec<wire::HealRequest>,
    pub(crate) dry_runs: usize,
    pub(crate) resolved: usize,
    pub(crate) probes: Vec<wire::ProbeRequest>,
    pub(crate) committed: Option<Instant>,
    pub(crate) gone: bool,
}

/// An agent on a socket of its own.
pub(crate) struct Fake {
    pub(crate) record: Arc<Mutex<Record>>,
    directory: tempfile::TempDir,
    die: mpsc::Sender<()>,
}

#[derive(Clone)]
struct Service {
    habit: Habit,
    /// How many packets every fault matches.
    matched: u64,
    record: Arc<Mutex<Record>>,
    begun: Instant,
    die: mpsc::Sender<()>,
}

impl Fake {
    /// Serves an agent with two namespaces `a` and `b` and two containers `c0ffee…`.
    pub(crate) fn serve(habit: Habit, matched: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = StdListener::bind(directory.path().join("agent.sock")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let record = Arc::new(Mutex::new(Record::default()));
        let (die, mut dead) = mpsc::channel(1);
        let service = Service {
            habit,
            matched,
            record: record.clone(),
            begun: Instant::now(),
            die: die.clone(),
        };
        // A runtime of its own: its end closes every connection, as the end of a process does.
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = UnixListener::from_std(listener).unwrap();
                let server = tonic::transport::Server::builder()
                    .add_service(AgentServer::new(service))
                    .serve_with_incoming(UnixListenerStream::new(listener));
                tokio::select! {
                    served = server => served.unwrap(),
                    _ = dead.recv() => {}
                }
            });
        });
        Self { record, directory, die }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    /// Begins `schism` with these words.
    pub(crate) fn begin(&self, line: &str) -> Child {
        schism(line).arg("--agent-socket").arg(self.socket()).spawn().unwrap()
    }

    /// Runs `schism` with these words to its end.
    pub(crate) async fn run(&self, line: &str) -> Ended {
        ended(self.begin(line)).await
    }

    /// Puts a fault there that nobody of this test began.
    pub(crate) fn plant(&self, intent: u64, part: u32, state: wire::State) {
        let fault = wire::Fault {
            id: Some(wire::FaultId { intent, part }),
            selector: Some(netns("b")),
            target: Some(identity(2)),
            peer_target: Some(wire::PeerTarget {
                identity: Some(identity(1)),
                selector: Some(netns("a")),
            }),
            kind: Some(wire::fault::Kind::Cut(wire::Cut {
                mode: wire::Mode::Packet.into(),
                flows: wire::FlowAge::All.into(),
                loss: 1 << 32,
                verdict: wire::Verdict::Drop.into(),
                side: wire::Side::Ingress.into(),
                ..wire::Cut::default()
            })),
            lease_ns: 15_000_000_000,
            total_ns: 60_000_000_000,
            ..wire::Fault::default()
        };
        let second = 1_000_000_000;
        self.record.lock().unwrap().faults.push(wire::Status {
            fault: Some(fault),
            state: state.into(),
            start: second,
            lease_end: 16 * second,
            deadline: 61 * second,
            effect: Some(wire::Effect { matched: 12, lost: 10, ..wire::Effect::default() }),
            now: 2 * second,
            ..wire::Status::default()
        });
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.die.try_send(());
    }
}

/// The command with these words, cut off from the environment of the test.
pub(crate) fn schism(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    command
        .args(line.split_whitespace())
        .env_remove("SCHISM_AGENT_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Waits for a command's end.
pub(crate) async fn ended(child: Child) -> Ended {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a command a signal.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn netns(name: &str) -> wire::Selector {
    wire::Selector { scheme: Some(wire::selector::Scheme::Netns(name.to_owned())) }
}

fn identity(cookie: u64) -> wire::TargetIdentity {
    wire::TargetIdentity { boot_id: vec![7; 16].into(), namespace_cookie: cookie, process: None }
}

fn target(selector: wire::Selector, cookie: u64) -> wire::Target {
    wire::Target {
        identity: Some(identity(cookie)),
        selector: Some(selector),
        addresses: vec![wire::OwnAddress {
            address: vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, cookie as u8].into(),
            length: 24,
            interface_index: 2,
        }],
        interfaces: vec![wire::Interface {
            index: 2,
            name: "eth0".to_owned(),
            kind: "veth".to_owned(),
            up: true,
        }],
        processes: vec![wire::Process {
            identity: Some(wire::ProcessIdentity { pid: 4711, started: 1 }),
            name: "etcd".to_owned(),
            container: String::new(),
        }],
        process_count: 1,
        ..wire::Target::default()
    }
}

fn refusal(code: Code, message: &str, kind: wire::error_detail::Kind, hint: &str) -> Status {
    let detail = wire::ErrorDetail { hint: hint.to_owned(), kind: Some(kind) };
    Status::with_details(code, message, detail.encode_to_vec().into())
}

impl Service {
    fn now(&self) -> u64 {
        1_000_000_000 + u64::try_from(self.begun.elapsed().as_nanos()).unwrap()
    }

    fn is(&self, habit: Habit) -> bool {
        self.habit == habit
    }

    /// A stopped process answers nothing.
    async fn hang(&self) {
        if self.is(Habit::Hangs) && self.record.lock().unwrap().committed.is_some() {
            std::future::pending::<()>().await;
        }
    }

    fn settle(&self, state: wire::State) -> Vec<wire::Status> {
        let mut record = self.record.lock().unwrap();
        for status in &mut record.faults {
            if matches!(status.state(), wire::State::Active | wire::State::Shadowed) {
                status.set_state(state);
            }
            status.now = self.now();
        }
        record.faults.clone()
    }
}

#[tonic::async_trait]
impl Agent for Service {
    type SessionStream = ReceiverStream<Result<wire::Event, Status>>;

    async fn describe(
        &self,
        _: Request<wire::DescribeRequest>,
    ) -> Result<Response<wire::Description>, Status> {
        Ok(Response::new(wire::Description {
            node: "n1".to_owned(),
            version: "0.1.0".to_owned(),
            pid: 99,
            found_at_start: vec![wire::Remnant {
                kind: wire::remnant::Kind::Map.into(),
                name: "schism_faults".to_owned(),
                ..wire::Remnant::default()
            }],
            now: self.now(),
            ..wire::Description::default()
        }))
    }

    async fn resolve(
        &self,
        request: Request<wire::ResolveRequest>,
    ) -> Result<Response<wire::ResolveReply>, Status> {
        use wire::selector::Scheme;
        self.record.lock().unwrap().resolved += 1;
        if self.is(Habit::HangsAtNames) {
            std::future::pending::<()>().await;
        }
        let selector = request.into_inner().selector.unwrap();
        let targets = match selector.scheme.clone().unwrap() {
            Scheme::Netns(name) if name == "a" => vec![target(selector, 1)],
            Scheme::Netns(name) if name == "b" => vec![target(selector, 2)],
            Scheme::Pid(4711) => vec![target(selector, 2)],
            Scheme::Container(prefix) if "c0ffee".starts_with(&prefix) => ["c0ffee01", "c0ffee02"]
                .into_iter()
                .zip(3..)
                .map(|(id, cookie)| {
                    let scheme = Some(Scheme::Container(id.to_owned()));
                    target(wire::Selector { scheme }, cookie)
                })
                .collect(),
            Scheme::Netns(_)
            | Scheme::Pid(_)
            | Scheme::Container(_)
            | Scheme::Pod(_)
            | Scheme::Host(_)
            | Scheme::Addr(_)
            | Scheme::Etcd(_)
            | Scheme::Zeebe(_)
            | Scheme::Kubernetes(_) => Vec::new(),
        };
        Ok(Response::new(wire::ResolveReply { targets }))
    }

    async fn owners(
        &self,
        _: Request<wire::OwnersRequest>,
    ) -> Result<Response<wire::OwnersReply>, Status> {
        Err(Status::unimplemented("no command asks an agent for that"))
    }

    type ReadLogStream = ReceiverStream<Result<wire::LogPiece, Status>>;

    async fn read_log(
        &self,
        _: Request<wire::ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        Err(Status::unimplemented("no command asks an agent for that"))
    }

    type CaptureStream = ReceiverStream<Result<wire::CapturePiece, Status>>;

    async fn capture(
        &self,
        _: Request<wire::CaptureRequest>,
    ) -> Result<Response<Self::CaptureStream>, Status> {
        Err(Status::unimplemented("this agent captures nothing"))
    }

    async fn targets(
        &self,
        _: Request<wire::TargetsRequest>,
    ) -> Result<Response<wire::TargetsReply>, Status> {
        let targets = vec![target(netns("a"), 1), target(netns("b"), 2)];
        let unseen = vec!["netns:c: it cannot be read".to_owned()];
        Ok(Response::new(wire::TargetsReply { targets, left_off: 3, unseen }))
    }

    async fn prepare(
        &self,
        request: Request<wire::PrepareRequest>,
    ) -> Result<Response<wire::Prepared>, Status> {
        use wire::error_detail::Kind::Limit;
        if self.is(Habit::IsFull) {
            let limit = wire::Limit { what: "faults on one target".to_owned(), most: 64 };
            let message = "netns:b has no room for another fault";
            return Err(refusal(Code::ResourceExhausted, message, Limit(limit), "heal one first"));
        }
        let request = request.into_inner();
        let mut record = self.record.lock().unwrap();
        let mut faults = Vec::new();
        for fault in request.faults {
            faults.push(wire::PreparedFault {
                id: fault.id,
                steps: vec!["attach schism_ingress to eth0".to_owned()],
                target: Some(target(fault.selector.clone().unwrap(), 2)),
                peers: Vec::new(),
                notes: vec!["loopback is not touched".to_owned()],
            });
            if !request.dry_run {
                record.faults.push(wire::Status {
                    fault: Some(fault),
                    state: wire::State::Prepared.into(),
                    ..wire::Status::default()
                });
            }
        }
        record.dry_runs += usize::from(request.dry_run);
        Ok(Response::new(wire::Prepared { faults }))
    }

    async fn commit(
        &self,
        request: Request<wire::CommitRequest>,
    ) -> Result<Response<wire::CommitReply>, Status> {
        use wire::error_detail::Kind::KernelRefused;
        if self.is(Habit::IsRefusedByTheKernel) {
            let call = "bpf(BPF_MAP_UPDATE_ELEM)".to_owned();
            let refused = KernelRefused(wire::KernelRefused { call, errno: 12 });
            let message = "the peers of netns:b were not stored";
            return Err(refusal(Code::Internal, message, refused, "raise the memory limit"));
        }
        if self.is(Habit::HangsAtCommit) {
            self.record.lock().unwrap().committed = Some(Instant::now());
            return std::future::pending().await;
        }
        let now = self.now();
        let ids = request.into_inner().ids;
        let mut record = self.record.lock().unwrap();
        record.committed = Some(Instant::now());
        let mut faults = Vec::new();
        for status in &mut record.faults {
            let fault = status.fault.as_ref().unwrap();
            if fault.id.is_none_or(|id| !ids.contains(&id)) {
                continue;
            }
            status.start = now;
            status.lease_end = now + fault.lease_ns;
            status.deadline = now + fault.total_ns;
            status.now = now;
            status.set_state(wire::State::Active);
            status.effect = Some(wire::Effect {
                matched: self.matched,
                lost: self.matched,
                ..wire::Effect::default()
            });
            faults.push(status.clone());
        }
        Ok(Response::new(wire::CommitReply { faults }))
    }

    async fn heal(
        &self,
        request: Request<wire::HealRequest>,
    ) -> Result<Response<wire::HealReply>, Status> {
        self.hang().await;
        let request = request.into_inner();
        self.record.lock().unwrap().heals.push(request.clone());
        let faults = self
            .settle(wire::State::Healed)
            .into_iter()
            .filter(|status| {
                let id = status.fault.as_ref().and_then(|fault| fault.id);
                request.all || id.is_some_and(|id| request.ids.contains(&id))
            })
            .collect();
        Ok(Response::new(wire::HealReply { faults }))
    }

    async fn list(
        &self,
        _: Request<wire::ListRequest>,
    ) -> Result<Response<wire::ListReply>, Status> {
        let faults = self.record.lock().unwrap().faults.clone();
        Ok(Response::new(wire::ListReply { faults, now: self.now() }))
    }

    async fn session(
        &self,
        request: Request<Streaming<wire::Heartbeat>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut beats = request.into_inner();
        let (events, receiver) = mpsc::channel(16);
        let service = self.clone();
        tokio::spawn(async move {
            let mut count = 0;
            while let Ok(Some(beat)) = beats.message().await {
                count += 1;
                let ids = beat.renew.clone();
                service.record.lock().unwrap().heartbeats.push((Instant::now(), beat));
                if service.is(Habit::Hangs) {
                    continue;
                }
                if count == 2 && !service.answer_second(&events).await {
                    return;
                }
                let renewed = wire::Renewed { ids, now: service.now(), ..Default::default() };
                let event = wire::Event { kind: Some(Kind::Renewed(renewed)) };
                let _ = events.send(Ok(event)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn probe(
        &self,
        request: Request<wire::ProbeRequest>,
    ) -> Result<Response<wire::ProbeReply>, Status> {
        let request = request.into_inner();
        if self.is(Habit::HangsAtProbes) {
            self.record.lock().unwrap().probes.push(request);
            return std::future::pending().await;
        }
        let mut record = self.record.lock().unwrap();
        let active = |status: &wire::Status| {
            let target = status.fault.as_ref().and_then(|fault| fault.target.as_ref());
            status.state() == wire::State::Active && target == request.to.as_ref()
        };
        let lost = record.faults.iter().any(active) && !self.is(Habit::DeliversAll);
        let delivered = if lost { 0 } else { request.count };
        let sent = request.count;
        record.probes.push(request);
        Ok(Response::new(wire::ProbeReply { sent, delivered, not_proven: String::new() }))
    }

    async fn halt(
        &self,
        _: Request<wire::HaltRequest>,
    ) -> Result<Response<wire::HaltReply>, Status> {
        Err(Status::unimplemented("a fake"))
    }

    async fn resume(
        &self,
        _: Request<wire::ResumeRequest>,
    ) -> Result<Response<wire::ResumeReply>, Status> {
        Err(Status::unimplemented("a fake"))
    }

    async fn residue(
        &self,
        _: Request<wire::ResidueRequest>,
    ) -> Result<Response<wire::ResidueReply>, Status> {
        Ok(Response::new(wire::ResidueReply::default()))
    }
}

impl Service {
    /// What happens at the second heartbeat; whether the agent is still there afterwards.
    async fn answer_second(&self, events: &mpsc::Sender<Result<wire::Event, Status>>) -> bool {
        let (state, draining) = match self.habit {
            Habit::Dies => {
                self.record.lock().unwrap().gone = true;
                let _ = self.die.send(()).await;
                return false;
            }
            Habit::Drains => (wire::State::Healed, true),
            Habit::LosesTarget => (wire::State::GoneNamespace, false),
            Habit::IsShadowed => (wire::State::Shadowed, false),
            Habit::Sound
            | Habit::Hangs
            | Habit::HangsAtNames
            | Habit::HangsAtProbes
            | Habit::HangsAtCommit
            | Habit::IsFull
            | Habit::IsRefusedByTheKernel
            | Habit::DeliversAll => return true,
        };
        if draining {
            let event = wire::Event { kind: Some(Kind::Draining(wire::Draining {})) };
            let _ = events.send(Ok(event)).await;
        }
        for status in self.settle(state) {
            let _ = events.send(Ok(wire::Event { kind: Some(Kind::Status(status)) })).await;
        }
        if draining {
            let _ = self.die.send(()).await;
        }
        !draining
    }
}
