//! Three brokers and a gateway that answer at once.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status};
use zeebe::wire::{self, gateway_server};

/// How many brokers, and partitions that each has.
const SIZE: i32 = 3;

/// Members on loopback, which live as long as the process.
pub(crate) struct Cluster {
    pub(crate) gateway: SocketAddr,
    pub(crate) brokers: [SocketAddr; 3],
}

impl Cluster {
    /// Begins to answer, on threads of its own.
    ///
    /// # Errors
    /// There is no port.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let gateway = listener.local_addr()?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let service = gateway_server::GatewayServer::new(Gateway::default());
                // As a real gateway does: an answer of two segments else waits 40 ms for a delayed acknowledgement.
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                let served = Server::builder().add_service(service).serve_with_incoming(incoming);
                served.await.map_err(io::Error::other)
            })
        });
        let brokers = [broker(0)?, broker(1)?, broker(2)?];
        Ok(Self { gateway, brokers })
    }
}

/// A broker for those who manage it: it leads the partition after its number, and follows in the others.
fn broker(number: i32) -> Result<SocketAddr> {
    let role = |partition: i32| if partition == number + 1 { "LEADER" } else { "FOLLOWER" };
    let own = |partition| format!("\"{partition}\":{{\"role\":\"{}\"}}", role(partition));
    let body: Vec<String> = (1..=SIZE).map(own).collect();
    let body = format!("{{{}}}", body.join(","));
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("a port for a broker")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let body = body.clone();
            // Who goes away makes an error that nobody needs.
            thread::spawn(move || drop(answer(stream, &body)));
        }
    });
    Ok(address)
}

fn answer(stream: TcpStream, body: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        let length = body.len();
        write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")?;
    }
}

/// A gateway that gives out keys of one partition after the other.
#[derive(Default)]
struct Gateway(AtomicI64);

type Answer<T> = Result<Response<T>, Status>;
type Stream<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

fn not_here<T>() -> Answer<T> {
    Err(Status::unimplemented("not here"))
}

#[tonic::async_trait]
impl gateway_server::Gateway for Gateway {
    type ActivateJobsStream = Stream<wire::ActivateJobsResponse>;
    type StreamActivatedJobsStream = Stream<wire::ActivatedJob>;

    async fn topology(&self, _: Request<wire::TopologyRequest>) -> Answer<wire::TopologyResponse> {
        let broker = |number: i32| {
            let partition = |id: i32| wire::Partition {
                partition_id: id,
                role: i32::from(id != number + 1),
                health: 0,
            };
            let (host, port) = ("127.0.0.1".to_owned(), 26501);
            wire::BrokerInfo {
                node_id: number,
                host,
                port,
                partitions: (1..=SIZE).map(partition).collect(),
                version: "8.5.8".to_owned(),
            }
        };
        Ok(Response::new(wire::TopologyResponse {
            brokers: (0..SIZE).map(broker).collect(),
            cluster_size: SIZE,
            partitions_count: SIZE,
            replication_factor: SIZE,
            gateway_version: "8.5.8".to_owned(),
        }))
    }

    async fn create_process_instance(
        &self,
        _: Request<wire::CreateProcessInstanceRequest>,
    ) -> Answer<wire::CreateProcessInstanceResponse> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let partition = number % i64::from(SIZE) + 1;
        Ok(Response::new(wire::CreateProcessInstanceResponse {
            process_instance_key: partition << 51 | (number + 1),
            version: 1,
            ..Default::default()
        }))
    }

    async fn create_process_instance_with_result(
        &self,
        _: Request<wire::CreateProcessInstanceWithResultRequest>,
    ) -> Answer<wire::CreateProcessInstanceWithResultResponse> {
        not_here()
    }

    async fn deploy_resource(
        &self,
        _: Request<wire::DeployResourceRequest>,
    ) -> Answer<wire::DeployResourceResponse> {
        not_here()
    }

    async fn cancel_process_instance(
        &self,
        _: Request<wire::CancelProcessInstanceRequest>,
    ) -> Answer<wire::CancelProcessInstanceResponse> {
        not_here()
    }

    async fn publish_message(
        &self,
        _: Request<wire::PublishMessageRequest>,
    ) -> Answer<wire::PublishMessageResponse> {
        not_here()
    }

    async fn activate_jobs(
        &self,
        _: Request<wire::ActivateJobsRequest>,
    ) -> Answer<Self::ActivateJobsStream> {
        not_here()
    }

    async fn stream_activated_jobs(
        &self,
        _: Request<wire::StreamActivatedJobsRequest>,
    ) -> Answer<Self::StreamActivatedJobsStream> {
        not_here()
    }

    async fn complete_job(
        &self,
        _: Request<wire::CompleteJobRequest>,
    ) -> Answer<wire::CompleteJobResponse> {
        not_here()
    }

    async fn fail_job(&self, _: Request<wire::FailJobRequest>) -> Answer<wire::FailJobResponse> {
        not_here()
    }
}
