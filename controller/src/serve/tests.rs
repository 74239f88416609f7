//! How a controller begins and ends in a cluster.

use std::path::Path;

use proto::control::DescribeRequest;
use proto::control::control_client::ControlClient;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::fleet::client::Client;
use crate::link::Direct;
use crate::provider::kubernetes::mock::Living;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/schism/leases/schism-controller";

/// One that keeps its store in a cluster, and listens on its socket alone.
async fn options(server: &Living, directory: &Path) -> Options {
    let house = House { client: server.client().await, namespace: "schism".parse().unwrap() };
    Options {
        state: directory.to_owned(),
        store_in: Some(house),
        socket: directory.join("control.sock"),
        listen_agents: None,
        listen_control: None,
        metrics: None,
        files: None,
        by_token: None,
        issued: directory.join("issued"),
        limits: Limits::default(),
        clusters: Clusters::default(),
        execution: Execution::Refused,
        jobs: None,
        captures: Captures::Refused,
    }
}

fn holder(server: &Living) -> String {
    let lease = server.get(LEASE).unwrap();
    lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn the_lead_is_given_up_by_one_that_ends_and_by_one_that_cannot_begin() {
    let (server, directory) = (Living::default(), directory());
    let options = options(&server, directory.path()).await;
    let controller = start(options.clone()).await.unwrap();
    assert_ne!(holder(&server), "");
    controller.stop().await;
    assert_eq!(holder(&server), "");
    assert!(!options.socket.exists());
    // Its socket's place is taken, which it learns once it leads.
    std::fs::write(&options.socket, "mine").unwrap();
    let Err(error) = start(options.clone()).await else { panic!("it serves nowhere") };
    assert!(matches!(error, ServeError::Listen { .. }), "{error}");
    assert_eq!(holder(&server), "");
    assert!(options.socket.exists(), "it is somebody else's");
}

#[tokio::test]
async fn one_that_waits_for_its_turn_ends_at_once_when_it_is_asked_to() {
    let (server, directory) = (Living::default(), directory());
    let spec = json!({ "holderIdentity": "another", "leaseDurationSeconds": 3600 });
    let metadata = json!({ "name": "schism-controller", "resourceVersion": "7" });
    server.put(LEASE, json!({ "metadata": metadata, "spec": spec }));
    let options = options(&server, directory.path()).await;
    let begun = start_unless(options.clone(), std::future::ready(())).await.unwrap();
    assert!(begun.is_none() && !options.socket.exists());
    assert_eq!(holder(&server), "another");
}

#[tokio::test]
async fn the_lead_is_kept_while_what_it_led_has_not_ended() {
    let (server, directory) = (Living::default(), directory());
    let controller = start(options(&server, directory.path()).await).await.unwrap();
    let own = holder(&server);
    // Its driver waits for an answer, and may write when the next one has begun.
    server.deaf_to("records");
    let control = controller.driven.clone();
    let brake = proto::control::Brake { on: true, ..Default::default() };
    let braking = tokio::spawn(async move { control.brake(brake).await });
    while controller.driven.halted().is_none() {
        tokio::task::yield_now().await;
    }
    controller.stop().await;
    assert_eq!(holder(&server), own, "it runs out by itself");
    braking.abort();
}

#[tokio::test]
async fn its_health_tells_who_keeps_objects_where_it_does_not() {
    let (server, directory) = (Living::default(), directory());
    let name = "schism:elders:faults";
    let binding =
        json!({ "metadata": { "name": name, "creationTimestamp": "2026-01-01T00:00:00Z" } });
    server.put(&format!("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}"), binding);
    let metrics = Some("127.0.0.1:0".parse().unwrap());
    let options = Options { metrics, ..options(&server, directory.path()).await };
    let controller = start(options).await.unwrap();
    let at = controller.metrics.unwrap();
    let told = async {
        loop {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            if said.contains("elders") {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    let expected = "ok, but faults as objects are kept by the installation in namespace elders, which is older: it has \
                    ClusterRoleBinding schism:elders:faults\n";
    assert!(said.ends_with(expected), "{said}");
    controller.stop().await;
}

#[tokio::test]
async fn where_tickets_are_good_nothing_is_done_but_for_one() {
    const STATUS: &str = "/apis/schism.dev/v1alpha1/namespaces/prod/captures/one/status";
    let (server, directory) = (Living::default(), directory());
    let labels = json!({ "schism.dev/faults": "allowed" });
    let namespace = json!({ "metadata": { "name": "prod", "labels": labels } });
    server.put("/api/v1/namespaces/prod", namespace);
    let metadata = json!({ "name": "one", "namespace": "prod", "uid": "u" });
    let ticket = tickets::book::Hash::of(&[7; 16]).to_string();
    let spec = json!({ "target": "pod/a", "ticket": ticket });
    let listed = json!({ "metadata": metadata, "spec": spec });
    server.put("/apis/schism.dev/v1alpha1/captures/one", listed);
    server.put(STATUS, json!({ "metadata": metadata }));
    let phase = async |expected: &str| {
        let is = || server.get(STATUS).unwrap()["status"]["phase"] == expected;
        let waited = async {
            while !is() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap();
    };
    let options = options(&server, directory.path()).await;
    let controller = start(Options { captures: Captures::Allowed, ..options }).await.unwrap();
    phase("Ready").await;
    let dial = async || TcpStream::connect(tickets::ADDRESS).await.unwrap();
    let channel = Direct::over(dial().await).await.unwrap();
    let mut client = ControlClient::with_origin(channel, Direct::origin());
    let refused = client.describe(DescribeRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused:?}");
    let redeem = async |secret: [u8; 16]| {
        let redeemed = Client::redeem(dial().await, "cannot capture", secret.to_vec()).await;
        redeemed.unwrap_err().reason
    };
    let none = "there is no such ticket";
    assert!(redeem([8; 16]).await.starts_with(none));
    // It is good, and this controller knows no cluster in which the pod could be.
    let why = redeem([7; 16]).await;
    assert!(!why.starts_with(none), "{why}");
    phase("Refused").await;
    assert!(redeem([7; 16]).await.starts_with(none), "it was used");
    controller.stop().await;
}
