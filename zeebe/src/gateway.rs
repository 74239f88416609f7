//! A gateway, asked over gRPC.

mod dial;
mod error;
mod topology;
mod work;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;

use self::{dial::dial, error::error, topology::topology};
pub use self::{
    error::GatewayError,
    topology::{Broker, Health, Role, Topology},
    work::{Deployed, Instance, Job, Jobs, Message, NewInstance, Resource, Version},
};
use super::{
    GatewayUrl, Key, OAuthClient, TokenError, Transport, Trust, TrustError, http,
    oauth::Tokens,
    wire::{self, gateway_client::GatewayClient},
};

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an authorization server may take at most; a call whose limit is shorter does not wait so long.
const TOKEN: Duration = Duration::from_secs(10);

/// While something is under way, so often it is asked whether the gateway is there still: a stream of jobs may
/// say nothing for hours. Gateways refuse to be asked more often than every 30 s.
const PING: Duration = Duration::from_secs(45);

/// How long it may take to answer that.
const PONG: Duration = Duration::from_secs(20);

/// By so much a call that has its own limit outlasts it, so that the gateway's own word comes first.
const GRACE: Duration = Duration::from_millis(500);

/// The largest message: Zeebe takes 4 MB.
const LARGEST: usize = 8 << 20;

/// Why a gateway cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody can be believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A place that makes no URI.
    #[error("{0} is no place that can be dialled")]
    Place(GatewayUrl),
}

/// A gateway, and who we are to it.
#[derive(Clone, Debug)]
pub struct Gateway {
    at: GatewayUrl,
    client: GatewayClient<Channel>,
    tokens: Option<Arc<Tokens>>,
}

impl Gateway {
    /// Dials nobody yet: the first call does.
    ///
    /// # Errors
    /// Nobody can be believed.
    pub fn new(
        at: GatewayUrl,
        trust: &Trust,
        oauth: Option<OAuthClient>,
    ) -> Result<Self, OpenError> {
        let tls = match at.transport() {
            Transport::Plain => None,
            Transport::Tls => Some(TlsConnector::from(trust.config()?)),
        };
        let tokens = match oauth {
            None => None,
            Some(client) => {
                let http = http::client(&client.trust, TOKEN)?;
                Some(Arc::new(Tokens::new(client, http)))
            }
        };
        let uri = |text: String| text.parse::<Uri>().map_err(|_| OpenError::Place(at.clone()));
        // The connector speaks TLS itself, so for tonic the connection is a plain one.
        let plain = uri(at.to_string().replacen("https:", "http:", 1))?;
        let endpoint = Endpoint::from(plain)
            .origin(uri(at.to_string())?)
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .tcp_nodelay(true);
        let dialled = at.clone();
        let channel = endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
            dial(dialled.clone(), tls.clone())
        }));
        let client = GatewayClient::new(channel)
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(LARGEST);
        Ok(Self { at, client, tokens })
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &GatewayUrl {
        &self.at
    }

    /// The cluster as it sees it.
    ///
    /// # Errors
    /// It does not tell in time.
    pub async fn topology(&self, limit: Duration) -> Result<Topology, GatewayError> {
        let asked = wire::TopologyRequest {};
        let said = self
            .call(asked, limit, async |mut client, request| client.topology(request).await)
            .await?;
        topology(said).map_err(|why| self.malformed(why))
    }

    /// Deploys files together.
    ///
    /// # Errors
    /// They are no processes or decisions, or it is not answered in time: then they may be deployed.
    pub async fn deploy(
        &self,
        resources: Vec<Resource>,
        limit: Duration,
    ) -> Result<Vec<Deployed>, GatewayError> {
        use wire::deployment::Metadata;
        let resource = |Resource { name, content }| wire::Resource { name, content };
        let resources = resources.into_iter().map(resource).collect();
        let asked = wire::DeployResourceRequest { resources };
        let said = self
            .call(asked, limit, async |mut client, request| client.deploy_resource(request).await)
            .await?;
        let deployed = said.deployments.into_iter().filter_map(|one| match one.metadata? {
            Metadata::Process(process) => Some(Deployed {
                id: process.bpmn_process_id,
                version: process.version,
                key: Key(process.process_definition_key),
            }),
            Metadata::Decision(decision) => Some(Deployed {
                id: decision.dmn_decision_id,
                version: decision.version,
                key: Key(decision.decision_key),
            }),
        });
        Ok(deployed.collect())
    }

    /// Creates a process instance on the partition whose turn it is.
    ///
    /// # Errors
    /// The partition does not know the process, or does not answer in time: then there may be one.
    pub async fn create(
        &self,
        instance: &NewInstance,
        limit: Duration,
    ) -> Result<Instance, GatewayError> {
        let said = self
            .call(creation(instance), limit, async |mut client, request| {
                client.create_process_instance(request).await
            })
            .await?;
        Ok(Instance { key: Key(said.process_instance_key), version: said.version, variables: None })
    }

    /// Creates a process instance, and waits until it is completed.
    ///
    /// # Errors
    /// As [`Gateway::create`], or it is not completed in time.
    pub async fn create_and_await(
        &self,
        instance: &NewInstance,
        limit: Duration,
    ) -> Result<Instance, GatewayError> {
        let asked = wire::CreateProcessInstanceWithResultRequest {
            request: Some(creation(instance)),
            request_timeout: milliseconds(limit),
        };
        let said = self
            .call(asked, limit + GRACE, async |mut client, request| {
                client.create_process_instance_with_result(request).await
            })
            .await?;
        Ok(Instance {
            key: Key(said.process_instance_key),
            version: said.version,
            variables: Some(said.variables),
        })
    }

    /// Ends a process instance.
    ///
    /// # Errors
    /// There is none, or no answer in time.
    pub async fn cancel(&self, instance: Key, limit: Duration) -> Result<(), GatewayError> {
        let asked = wire::CancelProcessInstanceRequest { process_instance_key: instance.0 };
        self.call(asked, limit, async |mut client, request| {
            client.cancel_process_instance(request).await
        })
        .await
        .map(drop)
    }

    /// Publishes a message, and says its key, which tells its partition.
    ///
    /// # Errors
    /// No answer in time: then it may be published. [`GatewayError::Exists`] while a message of the same id,
    /// name and correlation key waits already.
    pub async fn publish(&self, message: &Message, limit: Duration) -> Result<Key, GatewayError> {
        let asked = wire::PublishMessageRequest {
            name: message.name.clone(),
            correlation_key: message.correlation_key.clone(),
            time_to_live: milliseconds(message.time_to_live),
            message_id: message.id.clone(),
            variables: message.variables.clone(),
        };
        let said = self
            .call(asked, limit, async |mut client, request| client.publish_message(request).await)
            .await?;
        Ok(Key(said.key))
    }

    /// The jobs that there are, or that come within `wait`.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn activate(
        &self,
        jobs: &Jobs,
        wait: Option<Duration>,
        limit: Duration,
    ) -> Result<Vec<Job>, GatewayError> {
        let asked = wire::ActivateJobsRequest {
            r#type: jobs.kind.clone(),
            worker: jobs.worker.clone(),
            timeout: milliseconds(jobs.timeout),
            max_jobs_to_activate: i32::try_from(jobs.most).unwrap_or(i32::MAX),
            request_timeout: wait.map_or(-1, milliseconds),
        };
        self.call(asked, limit, async |mut client, request| {
            let mut stream = client.activate_jobs(request).await?.into_inner();
            let mut found = Vec::new();
            while let Some(part) = stream.next().await {
                found.extend(part?.jobs.into_iter().map(job));
            }
            Ok(Response::new(found))
        })
        .await
    }

    /// A stream of jobs, which goes on until it breaks or is dropped. It is opened by the first wait for a
    /// job: a gateway of Zeebe's says nothing at all before there is one, so that nobody knows from it whether
    /// the stream stands; `/actuator/jobstreams` tells ([`crate::Management::job_streams`]).
    #[must_use]
    pub fn stream(&self, jobs: &Jobs) -> JobStream {
        let asked = wire::StreamActivatedJobsRequest {
            r#type: jobs.kind.clone(),
            worker: jobs.worker.clone(),
            timeout: milliseconds(jobs.timeout),
        };
        let gateway = self.clone();
        let opening = async move {
            let until = Instant::now() + TOKEN;
            let request = gateway.authorized(asked, until).await?;
            let opened = gateway.client.clone().stream_activated_jobs(request).await;
            let opened = opened.map_err(|status| error(&gateway.at, &status))?;
            Ok::<_, GatewayError>(opened.into_inner())
        };
        JobStream { at: self.at.clone(), state: Pushing::Opening(Box::pin(opening)) }
    }

    /// Completes a job.
    ///
    /// # Errors
    /// It is not given out any more, or there is no answer in time.
    pub async fn complete(&self, job: Key, limit: Duration) -> Result<(), GatewayError> {
        let asked = wire::CompleteJobRequest { job_key: job.0, variables: String::new() };
        self.call(asked, limit, async |mut client, request| client.complete_job(request).await)
            .await
            .map(drop)
    }

    /// A call with its token: both within `limit`, and the gateway gives up no later than we do.
    async fn call<Q, A>(
        &self,
        asked: Q,
        limit: Duration,
        send: impl AsyncFnOnce(GatewayClient<Channel>, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, GatewayError> {
        let until = Instant::now() + limit;
        let call = async {
            let mut request = self.authorized(asked, until).await?;
            request.set_timeout(until.saturating_duration_since(Instant::now()));
            Ok(send(self.client.clone(), request).await?)
        };
        match timeout_at(until, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(Stopped::Said(status))) => Err(error(&self.at, &status)),
            Ok(Err(Stopped::Token(error))) => Err(error.into()),
            Err(_) => {
                let late = format!("{} did not answer within {} ms", self.at, limit.as_millis());
                Err(GatewayError::Late(late))
            }
        }
    }

    async fn authorized<T>(&self, message: T, until: Instant) -> Result<Request<T>, TokenError> {
        let mut request = Request::new(message);
        if let Some(tokens) = &self.tokens {
            let late = |_| TokenError::Silent("no answer in time".to_owned());
            let token = timeout_at(until, tokens.token()).await.map_err(late)??;
            let bearer = format!("Bearer {}", token.reveal()).parse();
            let mut bearer: tonic::metadata::MetadataValue<_> =
                bearer.map_err(|_| TokenError::Malformed)?;
            bearer.set_sensitive(true);
            request.metadata_mut().insert("authorization", bearer);
        }
        Ok(request)
    }

    fn malformed(&self, why: String) -> GatewayError {
        GatewayError::Malformed { at: self.at.clone(), why }
    }
}

/// Why a call came to no answer.
enum Stopped {
    /// There is no token.
    Token(TokenError),
    /// The gateway's word, or that of the connection.
    Said(Status),
}

impl From<TokenError> for Stopped {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<Status> for Stopped {
    fn from(status: Status) -> Self {
        Self::Said(status)
    }
}

/// Jobs as they are pushed.
pub struct JobStream {
    at: GatewayUrl,
    state: Pushing,
}

/// How far a stream is.
enum Pushing {
    Opening(Opening),
    Open(Box<Streaming<wire::ActivatedJob>>),
}

/// The call that opens a stream.
type Opening =
    Pin<Box<dyn Future<Output = Result<Streaming<wire::ActivatedJob>, GatewayError>> + Send>>;

impl JobStream {
    /// The next job; `None` at the end of the stream. What is dropped while it waits is not lost. Without a word
    /// for more than a minute, a gateway that answers no ping of HTTP/2 either has broken it.
    ///
    /// # Errors
    /// The stream broke, or could not be opened; there is nothing more to come of it then.
    pub async fn next(&mut self) -> Result<Option<Job>, GatewayError> {
        let stream = match &mut self.state {
            Pushing::Open(stream) => stream,
            Pushing::Opening(opening) => {
                let opened = opening.await?;
                self.state = Pushing::Open(Box::new(opened));
                let Pushing::Open(stream) = &mut self.state else { return Ok(None) };
                stream
            }
        };
        match stream.next().await {
            None => Ok(None),
            Some(Ok(found)) => Ok(Some(job(found))),
            Some(Err(status)) => Err(error(&self.at, &status)),
        }
    }
}

impl fmt::Debug for JobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobStream").field("at", &self.at).finish_non_exhaustive()
    }
}

fn creation(instance: &NewInstance) -> wire::CreateProcessInstanceRequest {
    wire::CreateProcessInstanceRequest {
        process_definition_key: 0,
        bpmn_process_id: instance.process.clone(),
        version: match instance.version {
            Version::Latest => -1,
            Version::Number(number) => number,
        },
        variables: instance.variables.clone(),
    }
}

fn job(job: wire::ActivatedJob) -> Job {
    Job { key: Key(job.key), instance: Key(job.process_instance_key), retries: job.retries }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
