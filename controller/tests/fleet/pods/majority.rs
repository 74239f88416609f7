//! Whoever takes a place is asked about as whoever was there first: three members of an etcd in pods, one on each node.

use controller::control::Clusters;
use controller::provider::kubernetes::{Guard, Kubernetes};
use controller::settings::{EtcdPods, Groups};
use fault::PodUid;
use proto::control as wire;
use serde_json::{Value, json};

use super::PODS;
use super::api::Api;
use crate::namespaces::etcd::Members;
use crate::namespaces::space::{addresses, uid};
use crate::rig::{Fleet, spec, until};

const NODES: [&str; 3] = ["a", "b", "c"];

struct Estate {
    fleet: Fleet,
    api: Api,
}

impl Estate {
    async fn new(members: &Members) -> Self {
        let (api, client) = Api::start().await;
        for node in NODES {
            let ready = json!([{ "type": "Ready", "status": "True" }]);
            let object = json!({ "metadata": { "name": node }, "status": { "conditions": ready } });
            api.put("/api/v1/nodes", object);
        }
        api.put("/api/v1/namespaces", json!({ "metadata": { "name": "prod" } }));
        let etcd = EtcdPods { port: members.port, ..EtcdPods::default() };
        let groups = Groups { etcd, ..Groups::default() };
        let kubernetes = Kubernetes::of(client, Guard::default()).finding(groups);
        let clusters = Clusters::default().within(Some(kubernetes));
        let estate = Self { fleet: Fleet::with(clusters, &NODES).await, api };
        for number in 0..3 {
            estate.run(number, &uid(number));
        }
        estate
    }

    /// The pod of a member, on its node and for the API server.
    fn run(&self, number: u8, uid: &PodUid) {
        let (name, node) = (format!("etcd-{number}"), NODES[usize::from(number)]);
        self.fleet.nodes[node].kernel.node(|node| {
            let _ = node.add_pod(uid, &addresses(number));
        });
        let labels =
            json!({ "app.kubernetes.io/name": "etcd", "app.kubernetes.io/instance": "store" });
        let ips: Vec<Value> =
            addresses(number).iter().map(|address| json!({ "ip": address })).collect();
        self.api.put(
            PODS,
            json!({
                "metadata": {
                    "name": name, "namespace": "prod", "uid": uid.to_string(), "labels": labels,
                },
                "spec": { "nodeName": node, "containers": [{ "name": "etcd" }] },
                "status": { "phase": "Running", "podIPs": ips },
            }),
        );
    }

    /// How many faults act on the node of a member.
    async fn acting(&self, number: u8) -> usize {
        self.fleet.nodes[NODES[usize::from(number)]].living().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_place_does_not_take_the_majority_along() {
    let members = Members::start().await;
    let estate = Estate::new(&members).await;
    let asked = spec("k8s:prod/pod/etcd-0", "k8s:prod/pod/etcd-1");
    let cut = estate.fleet.ask(1, asked).await.unwrap();
    assert_eq!(cut.stage(), wire::Stage::Active, "{}", cut.reason);
    assert_eq!(estate.acting(1).await, 1);

    // While one member is away the last one is cut off from all.
    estate.fleet.nodes["b"].kernel.node(|node| node.remove_pod(&uid(1)));
    estate.api.remove(PODS, "etcd-1");
    until(async || estate.acting(1).await == 0).await;
    let alone = wire::Spec {
        allow_quorum_loss: true,
        enforcement: wire::Enforcement::Sender.into(),
        ..spec("k8s:prod/pod/etcd-2", "addr:10.7.0.10/31")
    };
    estate.fleet.ask(2, alone).await.unwrap();

    // With both nobody could talk to two.
    estate.run(1, &uid(4));
    let refused = "not put in again yet: etcd:prod/store would lose its majority";
    until(async || {
        let notes = estate.fleet.intent(1).await.notes;
        notes.iter().any(|note| note.starts_with(refused))
    })
    .await;
    assert_eq!(estate.acting(1).await, 0);
    assert_eq!(estate.fleet.intent(1).await.stage(), wire::Stage::Active);
    // It is asked again and again; as long as the answer is the same one there is nothing to be written.
    drop(estate.api.asked());
    let asked_again = async || {
        let (pod, mut times) = (format!("{PODS}/etcd-1"), 0);
        until(async || {
            times += estate.api.asked().iter().filter(|path| **path == pod).count();
            times > 2
        })
        .await;
    };
    asked_again().await;
    let held = estate.fleet.intent(1).await;
    asked_again().await;
    assert_eq!(estate.fleet.intent(1).await.revision, held.revision);
    // Who sits at the other end is looked at as well, and has never left.
    assert!(!held.notes.iter().any(|note| note.starts_with("pod prod/etcd-0")), "{:?}", held.notes);

    // It comes once that is over.
    estate.fleet.heal(2).await;
    until(async || estate.acting(1).await == 1).await;
    let healed = estate.fleet.heal(1).await;
    assert_eq!(healed.stage(), wire::Stage::Healed, "{}", healed.reason);
}
