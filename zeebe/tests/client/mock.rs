//! A gateway that says what it is told to.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{net::TcpListener, sync::Notify};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use zeebe::{
    Gateway, GatewayUrl, Trust,
    wire::{self, gateway_server},
};

/// Long enough on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// What it answers to everything; `None` for an answer that fits.
pub(crate) type Mood = Arc<Mutex<Option<Status>>>;

/// A gateway of three partitions.
#[derive(Clone, Default)]
pub(crate) struct Mock {
    pub(crate) mood: Mood,
    /// The credentials of every call.
    pub(crate) shown: Arc<Mutex<Vec<Option<String>>>>,
    created: Arc<Mutex<i64>>,
    /// Before it no job is pushed, and nothing said of the stream.
    pub(crate) first: Arc<Mutex<Option<Arc<Notify>>>>,
}

impl Mock {
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let shown = request.metadata().get("authorization");
        let shown = shown.map(|value| value.to_str().unwrap().to_owned());
        self.shown.lock().unwrap().push(shown);
        self.mood.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    /// Keys on one partition after the other, as a gateway gives them out.
    fn next_key(&self) -> i64 {
        let mut created = self.created.lock().unwrap();
        *created += 1;
        ((*created - 1) % 3 + 1) << 51 | *created
    }
}

/// Serves a mock, and gives a client of it.
pub(crate) async fn serve(mock: Mock) -> Gateway {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(
        Server::builder()
            .add_service(gateway_server::GatewayServer::new(mock))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    client(at)
}

pub(crate) fn client(at: SocketAddr) -> Gateway {
    let at: GatewayUrl = at.to_string().parse().unwrap();
    Gateway::new(at, &Trust::Machine, None).unwrap()
}

type Stream<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

fn jobs(count: i32) -> Vec<wire::ActivatedJob> {
    let job = |key| wire::ActivatedJob { key, retries: 3, ..Default::default() };
    (1..=i64::from(count)).map(job).collect()
}

#[tonic::async_trait]
impl gateway_server::Gateway for Mock {
    type ActivateJobsStream = Stream<wire::ActivateJobsResponse>;
    type StreamActivatedJobsStream = Stream<wire::ActivatedJob>;

    async fn topology(
        &self,
        request: Request<wire::TopologyRequest>,
    ) -> Result<Response<wire::TopologyResponse>, Status> {
        self.admit(&request)?;
        let broker = |node_id: i32| wire::BrokerInfo {
            node_id,
            host: format!("10.0.0.{node_id}"),
            port: 26501,
            partitions: vec![wire::Partition {
                partition_id: 1,
                role: i32::from(node_id != 10),
                health: 0,
            }],
            version: "8.5.8".to_owned(),
        };
        Ok(Response::new(wire::TopologyResponse {
            // As gateways list them: by no order.
            brokers: [10, 2, 0, 1, 3, 9, 8, 4, 5, 7, 6].map(broker).into(),
            cluster_size: 11,
            partitions_count: 3,
            replication_factor: 11,
            gateway_version: "8.5.8".to_owned(),
        }))
    }

    async fn deploy_resource(
        &self,
        request: Request<wire::DeployResourceRequest>,
    ) -> Result<Response<wire::DeployResourceResponse>, Status> {
        self.admit(&request)?;
        let deployment = |resource: wire::Resource| wire::Deployment {
            metadata: Some(wire::deployment::Metadata::Process(wire::ProcessMetadata {
                bpmn_process_id: resource.name,
                version: i32::try_from(resource.content.len()).unwrap(),
                process_definition_key: 7,
                resource_name: String::new(),
            })),
        };
        let deployments = request.into_inner().resources.into_iter().map(deployment).collect();
        Ok(Response::new(wire::DeployResourceResponse { key: 1, deployments }))
    }

    async fn create_process_instance(
        &self,
        request: Request<wire::CreateProcessInstanceRequest>,
    ) -> Result<Response<wire::CreateProcessInstanceResponse>, Status> {
        self.admit(&request)?;
        Ok(Response::new(wire::CreateProcessInstanceResponse {
            process_instance_key: self.next_key(),
            version: request.into_inner().version,
            ..Default::default()
        }))
    }

    async fn create_process_instance_with_result(
        &self,
        request: Request<wire::CreateProcessInstanceWithResultRequest>,
    ) -> Result<Response<wire::CreateProcessInstanceWithResultResponse>, Status> {
        self.admit(&request)?;
        Ok(Response::new(wire::CreateProcessInstanceWithResultResponse {
            process_instance_key: self.next_key(),
            variables: request.into_inner().request.unwrap().variables,
            ..Default::default()
        }))
    }

    async fn cancel_process_instance(
        &self,
        request: Request<wire::CancelProcessInstanceRequest>,
    ) -> Result<Response<wire::CancelProcessInstanceResponse>, Status> {
        self.admit(&request)?;
        Ok(Response::new(wire::CancelProcessInstanceResponse {}))
    }

    async fn publish_message(
        &self,
        request: Request<wire::PublishMessageRequest>,
    ) -> Result<Response<wire::PublishMessageResponse>, Status> {
        self.admit(&request)?;
        let key = &request.get_ref().correlation_key;
        let partition = zeebe::PartitionId::of_message(key, 3).number();
        Ok(Response::new(wire::PublishMessageResponse { key: i64::from(partition) << 51 | 1 }))
    }

    async fn activate_jobs(
        &self,
        request: Request<wire::ActivateJobsRequest>,
    ) -> Result<Response<Self::ActivateJobsStream>, Status> {
        self.admit(&request)?;
        let parts = [1, request.get_ref().max_jobs_to_activate - 1]
            .map(|count| Ok(wire::ActivateJobsResponse { jobs: jobs(count) }));
        Ok(Response::new(tokio_stream::iter(Vec::from(parts))))
    }

    async fn stream_activated_jobs(
        &self,
        request: Request<wire::StreamActivatedJobsRequest>,
    ) -> Result<Response<Self::StreamActivatedJobsStream>, Status> {
        self.admit(&request)?;
        let first = self.first.lock().unwrap().clone();
        if let Some(first) = first {
            first.notified().await;
        }
        let mut pushed: Vec<_> = jobs(2).into_iter().map(Ok).collect();
        pushed.push(Err(Status::unavailable("the gateway ends")));
        Ok(Response::new(tokio_stream::iter(pushed)))
    }

    async fn complete_job(
        &self,
        request: Request<wire::CompleteJobRequest>,
    ) -> Result<Response<wire::CompleteJobResponse>, Status> {
        self.admit(&request)?;
        Ok(Response::new(wire::CompleteJobResponse {}))
    }

    async fn fail_job(
        &self,
        request: Request<wire::FailJobRequest>,
    ) -> Result<Response<wire::FailJobResponse>, Status> {
        self.admit(&request)?;
        Ok(Response::new(wire::FailJobResponse {}))
    }
}
