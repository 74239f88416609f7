//! A gateway in this process, some of whose answers are lost.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use zeebe::PartitionId;
use zeebe::wire::{self, gateway_server};

/// A gateway of three partitions and one broker, that loses its first answer to what changes something.
#[derive(Clone, Default)]
pub(crate) struct Gateway(pub(crate) Arc<Mutex<Told>>);

#[derive(Default)]
pub(crate) struct Told {
    /// The ids of messages, each once.
    pub(crate) published: BTreeSet<String>,
    /// How often somebody published.
    pub(crate) tries: u32,
    /// How many jobs were asked for, each time.
    pub(crate) wanted: Vec<i32>,
    pub(crate) completed: Vec<i64>,
    pub(crate) failed: bool,
    /// When each instance was asked for.
    pub(crate) asked: Vec<Instant>,
    /// What becomes of each.
    pub(crate) creation: Creation,
    /// How many jobs are given out and not completed, and how many were at the most.
    pub(crate) in_hand: (i64, i64),
    /// How jobs are given out.
    pub(crate) giving: Giving,
    /// How often somebody wanted jobs to be pushed.
    pub(crate) streams: u32,
    /// Where the broker is.
    pub(crate) broker: Option<SocketAddr>,
}

impl Gateway {
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(
            Server::builder()
                .add_service(gateway_server::GatewayServer::new(self.clone()))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        at
    }
}

/// What becomes of instances.
#[derive(Clone, Copy, Default)]
pub(crate) enum Creation {
    /// There is no such thing here.
    #[default]
    Unknown,
    /// Every fourth is too much; all others are created.
    EveryFourthTooMuch,
    /// All are created, and none is answered until so long after the first was asked for.
    Stalled(Duration),
    /// All are the same.
    OneKey,
    /// All are answered, and none is created.
    Empty,
}

/// How jobs are given out.
#[derive(Clone, Copy, Default)]
pub(crate) enum Giving {
    /// At once.
    #[default]
    Prompt,
    /// The answer comes so long after they were given out.
    Late(Duration),
    /// The answer never comes.
    Mute,
}

type Answer<T> = Result<Response<T>, Status>;
type Stream<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

#[tonic::async_trait]
impl gateway_server::Gateway for Gateway {
    type ActivateJobsStream = Stream<wire::ActivateJobsResponse>;
    type StreamActivatedJobsStream = Stream<wire::ActivatedJob>;

    async fn topology(&self, _: Request<wire::TopologyRequest>) -> Answer<wire::TopologyResponse> {
        let host = self.0.lock().unwrap().broker.map(|at| at.ip().to_string());
        let broker =
            |host| wire::BrokerInfo { node_id: 0, host, port: 26501, ..Default::default() };
        Ok(Response::new(wire::TopologyResponse {
            brokers: host.into_iter().map(broker).collect(),
            cluster_size: 1,
            partitions_count: 3,
            replication_factor: 1,
            gateway_version: "8.5.8".to_owned(),
        }))
    }

    async fn publish_message(
        &self,
        request: Request<wire::PublishMessageRequest>,
    ) -> Answer<wire::PublishMessageResponse> {
        let mut told = self.0.lock().unwrap();
        told.tries += 1;
        let asked = request.into_inner();
        if !told.published.insert(asked.message_id) {
            return Err(Status::already_exists("a message with this id"));
        }
        if told.tries == 1 {
            return Err(Status::unavailable("the answer is lost"));
        }
        let partition = PartitionId::of_message(&asked.correlation_key, 3).number();
        Ok(Response::new(wire::PublishMessageResponse { key: i64::from(partition) << 51 | 1 }))
    }

    async fn activate_jobs(
        &self,
        request: Request<wire::ActivateJobsRequest>,
    ) -> Answer<Self::ActivateJobsStream> {
        let most = request.into_inner().max_jobs_to_activate;
        let (first, giving) = {
            let mut told = self.0.lock().unwrap();
            told.wanted.push(most);
            told.in_hand.0 += i64::from(most);
            told.in_hand.1 = told.in_hand.1.max(told.in_hand.0);
            (i64::try_from(told.wanted.len() * 10).unwrap(), told.giving)
        };
        match giving {
            Giving::Prompt => {}
            Giving::Late(time) => tokio::time::sleep(time).await,
            Giving::Mute => std::future::pending().await,
        }
        let job = |key| wire::ActivatedJob { key, retries: 3, ..Default::default() };
        let jobs = (first..first + i64::from(most)).map(job).collect();
        Ok(Response::new(tokio_stream::iter(vec![Ok(wire::ActivateJobsResponse { jobs })])))
    }

    async fn complete_job(
        &self,
        request: Request<wire::CompleteJobRequest>,
    ) -> Answer<wire::CompleteJobResponse> {
        let mut told = self.0.lock().unwrap();
        if told.completed.len() == 1 && !told.failed {
            told.failed = true;
            return Err(Status::unavailable("no leader"));
        }
        told.completed.push(request.into_inner().job_key);
        told.in_hand.0 -= 1;
        Ok(Response::new(wire::CompleteJobResponse {}))
    }

    async fn deploy_resource(
        &self,
        _: Request<wire::DeployResourceRequest>,
    ) -> Answer<wire::DeployResourceResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn create_process_instance(
        &self,
        _: Request<wire::CreateProcessInstanceRequest>,
    ) -> Answer<wire::CreateProcessInstanceResponse> {
        let (number, first, creation) = {
            let mut told = self.0.lock().unwrap();
            told.asked.push(Instant::now());
            (told.asked.len(), told.asked[0], told.creation)
        };
        let key = i64::try_from(number % 3 + 1).unwrap() << 51 | i64::try_from(number).unwrap();
        let key = match creation {
            Creation::Unknown => return Err(Status::unimplemented("not here")),
            Creation::EveryFourthTooMuch if number % 4 == 0 => {
                return Err(Status::resource_exhausted("too much to do"));
            }
            Creation::EveryFourthTooMuch => key,
            Creation::Stalled(time) => {
                tokio::time::sleep_until((first + time).into()).await;
                key
            }
            Creation::OneKey => 1 << 51 | 1,
            Creation::Empty => 0,
        };
        Ok(Response::new(wire::CreateProcessInstanceResponse {
            process_instance_key: key,
            version: 1,
            ..Default::default()
        }))
    }

    async fn create_process_instance_with_result(
        &self,
        _: Request<wire::CreateProcessInstanceWithResultRequest>,
    ) -> Answer<wire::CreateProcessInstanceWithResultResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn cancel_process_instance(
        &self,
        _: Request<wire::CancelProcessInstanceRequest>,
    ) -> Answer<wire::CancelProcessInstanceResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn stream_activated_jobs(
        &self,
        _: Request<wire::StreamActivatedJobsRequest>,
    ) -> Answer<Self::StreamActivatedJobsStream> {
        let mut told = self.0.lock().unwrap();
        told.streams += 1;
        let first = i64::from(told.streams) * 1000;
        let job = |key| Ok(wire::ActivatedJob { key, retries: 3, ..Default::default() });
        let broken = Err(Status::unavailable("the gateway ends"));
        Ok(Response::new(tokio_stream::iter(vec![job(first), job(first + 1), broken])))
    }

    async fn fail_job(&self, _: Request<wire::FailJobRequest>) -> Answer<wire::FailJobResponse> {
        Err(Status::unimplemented("not here"))
    }
}
