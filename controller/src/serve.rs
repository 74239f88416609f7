//! A running controller: store, listeners, and the two doors.
//!
//! Agents come to one port, people and programs to another, both over mutual TLS; whoever may open the
//! unix socket, its owner, is an administrator.

mod authority;
mod caller;
pub(crate) mod capturing;
pub(crate) mod command;
mod connection;
mod disrupting;
mod exposition;
mod nodes;
mod reading;
mod redeeming;
pub(crate) mod refusal;
mod revocation;
pub(crate) mod running;
mod service;
mod socket;
#[cfg(test)]
mod tests;
mod tokens;
pub(crate) mod watching;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Held, Leadership};
use fault::Limits;
use link::{AcceptError, Acceptor, Door, Files, Issued, Material, MaterialError, Principal};
use proto::agent::Holder;
use proto::control::control_server::ControlServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::transport::server::Connected as Known;

use crate::agents::{Agents, Way};
use crate::archive::{self, Archive, ArchiveError, Copies};
use crate::control::{Clusters, Control, ControlError, Means, Wall};
use crate::disruptions;
use crate::experiments;
use crate::objects;
use crate::runs::{Execution, Runs};
use crate::sight::GroupName;
use crate::store::{IdentityError, Objects, Sqlite, Store, StoreError, incarnate};
use crate::tickets;
pub use agent::server::Captures;
pub use authority::{AuthorityError, House};
use capturing::Capturers;
use connection::Introduced;
use reading::Readers;
use redeeming::Tickets;
use revocation::{Connected, Revocable};
use service::{Service, Shared};
use socket::OwnSocket;
pub use tokens::{Account, ByToken};

/// How long open calls may take to end.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);
/// How often a caller that says nothing is asked whether it is there, and how long it may take to answer.
const ASK_EVERY: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The largest request (20 MiB): what a step returned that a command performs for a run.
const LARGEST_REQUEST: usize = 20 << 20;
/// Callers that were let in and may wait to be served.
const WAITING: usize = 512;

/// Where a controller of this machine is found.
#[must_use]
pub fn default_socket() -> PathBuf {
    PathBuf::from("/run/schism/control.sock")
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the archive is, and the store where it is not in a cluster.
    pub state: PathBuf,
    /// The cluster in which the store is.
    pub store_in: Option<House>,
    /// The unix socket for this machine.
    pub socket: PathBuf,
    /// Where agents dial.
    pub listen_agents: Option<SocketAddr>,
    /// Where people and programs dial.
    pub listen_control: Option<SocketAddr>,
    /// Where metrics are read, in the clear.
    pub metrics: Option<SocketAddr>,
    /// Authority, certificate and key; needed for either port, but for that of agents where they come by token.
    pub files: Option<Files>,
    /// By which tokens agents come, where not by certificates.
    pub by_token: Option<ByToken>,
    /// The file of issued certificates.
    pub issued: PathBuf,
    /// How much may be hit at once.
    pub limits: Limits,
    /// The clusters that can be asked.
    pub clusters: Clusters,
    /// Whether steps of experiments are performed by this process.
    pub execution: Execution,
    /// Where experiments may run as Jobs, and from which image.
    pub jobs: Option<experiments::Jobs>,
    /// Whether packets of targets are handed over.
    pub captures: Captures,
}

/// A controller that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Who this is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What an earlier life has left.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Certificate or key.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// The authority of the own cluster.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A port without mutual TLS.
    #[error(
        "a TCP port needs --ca, --certificate and --key: it is served over mutual TLS or not at all"
    )]
    Bare,
    /// A socket.
    #[error("listen on {place}: {source}")]
    Listen {
        /// Which.
        place: String,
        /// Why not.
        source: io::Error,
    },
}

/// A controller that serves.
pub struct Controller {
    tasks: JoinSet<()>,
    driven: Control,
    runs: Runs,
    leadership: Option<Leadership>,
    stop: watch::Sender<bool>,
    socket: OwnSocket,
    /// Where agents dial, with the port that was given.
    pub agents: Option<SocketAddr>,
    /// Where people and programs dial.
    pub control: Option<SocketAddr>,
    /// Where metrics are read.
    pub metrics: Option<SocketAddr>,
}

/// All that a controller stands on.
struct Ground {
    archive: Archive,
    unix: UnixListener,
    socket: OwnSocket,
    agents_port: Option<TcpListener>,
    control_port: Option<TcpListener>,
    holder: Holder,
    agents: Agents,
    control: Control,
}

/// Opens the store, takes over what an earlier life has left, and serves.
///
/// # Errors
/// Nothing is served, and why.
pub async fn start(options: Options) -> Result<Controller, ServeError> {
    match start_unless(options, std::future::pending()).await? {
        Some(controller) => Ok(controller),
        None => unreachable!("nobody asks it to end"),
    }
}

/// The same, unless it is asked to end while it waits for its turn to lead: then there is none. What it has
/// begun once it leads it does to its end, which is soon, so that it can be stopped as a whole.
///
/// # Errors
/// Nothing is served, and why.
pub async fn start_unless(
    options: Options,
    asked_to_end: impl Future<Output = ()>,
) -> Result<Option<Controller>, ServeError> {
    let by_certificates = match &options.by_token {
        Some(_) => options.listen_control,
        None => options.listen_agents.or(options.listen_control),
    };
    if options.files.is_none() && by_certificates.is_some() {
        return Err(ServeError::Bare);
    }
    let material = options.files.as_ref().map(Material::load).transpose()?;
    let metrics_port = listen(options.metrics).await?;
    let leadership = match &options.store_in {
        None => None,
        Some(house) => tokio::select! {
            leadership = turn(house, metrics_port.as_ref()) => Some(leadership),
            () = asked_to_end => return Ok(None),
        },
    };
    let ground = match Ground::lay(&options, leadership.as_ref()).await {
        Ok(ground) => ground,
        Err(error) => {
            // Nothing acts yet.
            resign(leadership).await;
            return Err(error);
        }
    };
    let control = ground.control.clone();
    match ground.open(options, material, metrics_port).await {
        Ok(controller) => Ok(Some(Controller { leadership, ..controller })),
        Err(error) => {
            end(&control, leadership).await;
            Err(error)
        }
    }
}

impl Ground {
    /// Opens all that may fail, and takes over what stands in the store.
    async fn lay(options: &Options, leadership: Option<&Leadership>) -> Result<Self, ServeError> {
        let store: Arc<dyn Store> = match &options.store_in {
            None => Arc::new(Sqlite::open(&options.state.join("store.sqlite")).await?),
            Some(house) => {
                let (client, namespace) = (house.client.clone(), house.namespace.clone());
                Arc::new(Objects::open(client, namespace, leadership.map(Held::of)).await?)
            }
        };
        let limits = archive::Limits::default();
        let mut archive = Archive::open(options.state.join("archive"), limits).await?;
        if options.store_in.is_some() {
            archive.audit = archive.audit.copied(Copies::Stdout);
        }
        let (unix, socket) = OwnSocket::listen(&options.socket)?;
        let agents_port = listen(options.listen_agents).await?;
        let control_port = listen(options.listen_control).await?;
        let holder: Holder = incarnate(store.as_ref()).await?.into();
        let (agents, notices) = Agents::new(holder.clone());
        let means = Means {
            store,
            ended: Some(archive.ended.clone()),
            // By who leads alone: others ask for nothing.
            clusters: options.clusters.clone().watched(),
            limits: options.limits,
            wall: Wall::System,
        };
        let control = Control::start(means, agents.clone(), notices).await?;
        Ok(Self { archive, unix, socket, agents_port, control_port, holder, agents, control })
    }

    /// Opens the doors.
    async fn open(
        self,
        options: Options,
        material: Option<Material>,
        metrics_port: Option<TcpListener>,
    ) -> Result<Controller, ServeError> {
        let Self { archive, unix, socket, agents_port, control_port, holder, agents, control } =
            self;
        let issued = Arc::new(Issued::load(&options.issued));
        let by_certificate = agents_port.is_some() && options.by_token.is_none();
        let (limits, execution) = (options.limits, options.execution);
        let runs = Runs::start(control.clone(), archive.clone(), limits, execution).await?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let tenure = watch::Sender::new(objects::Tenure::Unknown);
        let tickets_port = match (&options.store_in, options.captures) {
            // All else goes on without it.
            (Some(_), Captures::Allowed) => {
                listen(Some(tickets::ADDRESS)).await.unwrap_or_else(|error| {
                    tracing::error!(%error, "no captures by objects");
                    None
                })
            }
            (Some(_), Captures::Refused) | (None, _) => None,
        };
        // Where captures are off, their objects say so.
        let keeps = options.captures == Captures::Refused || tickets_port.is_some();
        let tickets = match &options.store_in {
            Some(house) if keeps => {
                let (news, heard) = tokio::sync::mpsc::unbounded_channel();
                let kept = tickets::keeper::Shared::default();
                let means = tickets::keeper::Means {
                    client: house.client.clone(),
                    captures: options.captures,
                    tickets: kept.clone(),
                    of_settings: {
                        let control = control.clone();
                        Box::new(move |group: &GroupName| control.has_cluster(group))
                    },
                    // A pod's host name is its own.
                    pod: format!("{}/{}", house.namespace, agent::kernel::node_name()),
                    tenure: tenure.subscribe(),
                    news: heard,
                };
                tasks.spawn(tickets::keeper::run(means, stopped.clone()));
                tickets_port.is_some().then_some(Tickets { tickets: kept, news })
            }
            Some(_) | None => None,
        };
        let service = Arc::new(Service {
            control,
            archive,
            limits,
            holder,
            runs: runs.clone(),
            readers: Readers::default(),
            capturers: Capturers::new(options.captures),
            tickets,
            issued: by_certificate.then(|| Arc::clone(&issued)),
            stopped: stopped.clone(),
        });
        if let Some(listener) = tickets_port {
            // Nobody is known there, so that nothing is done but for a ticket.
            let incoming = TcpListenerStream::new(listener);
            tasks.spawn(serve(Arc::clone(&service), incoming, stopped.clone()));
        }
        let mut controller = Controller {
            tasks: JoinSet::new(),
            driven: service.control.clone(),
            runs,
            leadership: None,
            stop,
            socket,
            agents: None,
            control: None,
            metrics: None,
        };
        if let Some(listener) = metrics_port {
            controller.metrics = listener.local_addr().ok();
            let client = options.clusters.kubernetes().map(|cluster| cluster.client().clone());
            let tenure = options.store_in.as_ref().map(|_| tenure.subscribe());
            let exposed = exposition::Exposed { control: service.control.clone(), client, tenure };
            tasks.spawn(exposition::run(listener, exposed, stopped.clone()));
        }
        if let Some(House { client, namespace }) = options.store_in.clone() {
            let (control, audit) = (service.control.clone(), service.archive.audit.clone());
            let runs = experiments::Means {
                client: client.clone(),
                control: control.clone(),
                runs: service.runs.clone(),
                jobs: options.jobs.clone(),
                tenure: tenure.subscribe(),
            };
            let disruptions = disruptions::Means {
                tenure: tenure.subscribe(),
                client: client.clone(),
                control: control.clone(),
                runs: service.runs.clone(),
                audit: audit.clone(),
                limits,
            };
            tasks.spawn(disruptions::keep(disruptions, stopped.clone()));
            tasks.spawn(experiments::keep(runs, stopped.clone()));
            let means = objects::Means { client, namespace, control, audit, limits, tenure };
            tasks.spawn(objects::keep(means, stopped.clone()));
        }
        let incoming = tokio_stream::StreamExt::map(UnixListenerStream::new(unix), |accepted| {
            accepted.map(Introduced::from)
        });
        tasks.spawn(serve(Arc::clone(&service), incoming, stopped.clone()));
        let connected = Connected::new(Arc::clone(&issued), options.issued);
        if agents_port.is_some() || control_port.is_some() {
            tasks.spawn(Arc::clone(&connected).watch(stopped.clone()));
        }
        let agents_port = match (agents_port, options.by_token) {
            (Some(listener), Some(by_token)) => {
                controller.agents = listener.local_addr().ok();
                let (client, control) = (by_token.house.client.clone(), service.control.clone());
                tasks.spawn(nodes::forget_removed(client, control, stopped.clone()));
                let entrance = by_token.open(listener).await?;
                tasks.spawn(Arc::clone(&entrance).keep_certificate(stopped.clone()));
                tasks.spawn(entrance.let_agents_in(agents.clone(), stopped.clone()));
                None
            }
            (listener, _) => listener,
        };
        if let (Some(listener), Some(material)) = (agents_port, &material) {
            controller.agents = listener.local_addr().ok();
            let acceptor = material.acceptor(Door::Agents, Arc::clone(&issued))?;
            let door = Entrance { listener, acceptor, connected: Arc::clone(&connected) };
            tasks.spawn(let_agents_in(door, agents, stopped.clone()));
        }
        if let (Some(listener), Some(material)) = (control_port, &material) {
            controller.control = listener.local_addr().ok();
            let acceptor = material.acceptor(Door::Control, issued)?;
            let (known, incoming) = tokio::sync::mpsc::channel(WAITING);
            let incoming = tokio_stream::wrappers::ReceiverStream::new(incoming);
            let door = Entrance { listener, acceptor, connected };
            tasks.spawn(let_people_in(door, known, stopped.clone()));
            tasks.spawn(serve(service, incoming, stopped));
        }
        controller.tasks = tasks;
        tracing::info!(socket = %options.socket.display(), "controller serves");
        Ok(controller)
    }
}

impl Controller {
    /// Whether the task that drives every intent does its work: it answers this in its turn.
    pub async fn answers(&self) -> bool {
        self.driven.snapshot().await.is_ok()
    }

    /// Why it cannot go on, once that is so: the task that drives every intent has failed, or another controller
    /// leads.
    pub fn failed(&self) -> impl Future<Output = &'static str> + Send + use<> {
        let (over, held) = (self.driven.over(), self.leadership.as_ref().map(Held::of));
        async move {
            let lost = async {
                match held {
                    Some(held) => held.lost().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => "the driver of intents has failed",
                () = lost => "another controller may lead by now: the API server was away for too long",
            }
        }
    }

    /// Answers what is under way, and ends. Faults of runs are healed, and the next life does the rest of
    /// them. Other faults go on: their agents hold them until their leases end,
    /// and the next life of this controller renews them.
    pub async fn stop(mut self) {
        self.runs.stop().await;
        drop(self.runs);
        // Tasks that have ended already need no telling.
        let _ = self.stop.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_LIMIT, all).await.is_err() {
            // Somebody has asked for what takes longer.
            self.tasks.shutdown().await;
        }
        end(&self.driven, self.leadership).await;
        drop(self.socket);
    }
}

/// Ends what drives intents, then gives up the lead by which it did. Where it does not end the lead is left to
/// its lease: there are never two of them.
async fn end(control: &Control, leadership: Option<Leadership>) {
    match tokio::time::timeout(CLOSE_LIMIT, control.end()).await {
        Ok(()) => resign(leadership).await,
        Err(_) => tracing::error!("the driver of intents does not end"),
    }
}

/// Gives up the lead, so that the next one need not wait for its end.
async fn resign(leadership: Option<Leadership>) {
    if let Some(leadership) = leadership {
        // Who is not told waits for its end.
        let _ = tokio::time::timeout(CLOSE_LIMIT, leadership.resign()).await;
    }
}

/// Waits for the own turn.
async fn turn(house: &House, metrics: Option<&TcpListener>) -> Leadership {
    let standing_by = async {
        match metrics {
            Some(listener) => exposition::stand_by(listener).await,
            None => std::future::pending().await,
        }
    };
    tracing::info!(namespace = %house.namespace, "waits for its turn to lead");
    tokio::select! {
        leadership = house.lead() => {
            tracing::info!(transitions = leadership.transitions(), "leads");
            leadership
        }
        () = standing_by => unreachable!("it stands by for ever"),
    }
}

async fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>, ServeError> {
    let Some(address) = address else { return Ok(None) };
    let failed = |source| ServeError::Listen { place: address.to_string(), source };
    TcpListener::bind(address).await.map(Some).map_err(failed)
}

async fn serve<S, I>(service: Arc<Service>, incoming: I, mut stopped: watch::Receiver<bool>)
where
    I: tokio_stream::Stream<Item = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Known + Send + Unpin + 'static,
{
    // Who watches and is gone without a word is let go of.
    let server = Server::builder()
        .http2_keepalive_interval(Some(ASK_EVERY))
        .http2_keepalive_timeout(Some(ANSWER_WITHIN))
        .add_service(
            ControlServer::new(Shared(service)).max_decoding_message_size(LARGEST_REQUEST),
        );
    let end = async move {
        // A sender that is gone is a controller that ends.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    if let Err(error) = server.serve_with_incoming_shutdown(incoming, end).await {
        tracing::error!(%error, "a door is closed");
    }
}

/// A port, and who may come in by it for how long.
struct Entrance {
    listener: TcpListener,
    acceptor: Acceptor,
    connected: Arc<Connected>,
}

async fn let_agents_in(door: Entrance, agents: Agents, mut stopped: watch::Receiver<bool>) {
    let mut inside = JoinSet::new();
    while let Some((stream, remote)) = next(&door.listener, &mut stopped).await {
        // Those whose connection has ended.
        while inside.try_join_next().is_some() {}
        let (acceptor, agents) = (door.acceptor.clone(), agents.clone());
        let connected = Arc::clone(&door.connected);
        inside.spawn(async move {
            let way = Way { remote: Some(remote), local: stream.local_addr().ok() };
            // Boxed: of a thousand agents each is let in once, and stays for long.
            match Box::pin(acceptor.accept(stream)).await {
                Ok(accepted) => match accepted.principal {
                    Principal::Agent(node) => {
                        let stream = connected.hold(accepted.stream, accepted.fingerprint);
                        if let Err(error) = agents.admit(stream, node, way).await {
                            tracing::warn!(%remote, %error, "not an agent");
                        }
                    }
                    // The door lets in agents alone.
                    Principal::Controller(_) | Principal::User { .. } => {}
                },
                Err(error) => turned_away(remote, &error),
            }
        });
    }
}

async fn let_people_in(
    door: Entrance,
    known: tokio::sync::mpsc::Sender<io::Result<Introduced<Revocable<TlsStream<TcpStream>>>>>,
    mut stopped: watch::Receiver<bool>,
) {
    while let Some((stream, remote)) = next(&door.listener, &mut stopped).await {
        let (acceptor, known) = (door.acceptor.clone(), known.clone());
        let connected = Arc::clone(&door.connected);
        tokio::spawn(async move {
            match acceptor.accept(stream).await {
                // The server may have ended meanwhile.
                Ok(accepted) => drop(known.send(Ok(Introduced::new(accepted, &connected))).await),
                Err(error) => turned_away(remote, &error),
            }
        });
    }
}

/// The next that dials; `None` once the controller ends.
async fn next(
    listener: &TcpListener,
    stopped: &mut watch::Receiver<bool>,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return None,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            // Out of descriptors: those that are open have to end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn turned_away(remote: SocketAddr, error: &AcceptError) {
    tracing::warn!(%remote, %error, "turned away");
}
