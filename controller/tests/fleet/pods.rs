//! Pods that go and come while a fault is about them, and services that lead elsewhere.

mod api;
mod majority;
mod nodes;
mod removal;
mod replicas;
mod told;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use agent::fake::{Call, Trouble};
use agent::kernel::Step;
use controller::control::Clusters;
use controller::provider::kubernetes::{Guard, Kubernetes};
use fault::{PodUid, State};
use proto::control as wire;
use serde_json::{Value, json};

use self::api::Api;
use super::rig::{Fleet, LIMIT, spec, until};

const PODS: &str = "/api/v1/namespaces/prod/pods";
const SETS: &str = "/apis/apps/v1/namespaces/prod/statefulsets";
const SERVICES: &str = "/api/v1/namespaces/prod/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices";

/// A cluster of two nodes with a fake kernel each, and an API server that says what is there.
struct Estate {
    fleet: Fleet,
    api: Api,
    kubernetes: Kubernetes,
}

/// The UID of a pod by a number.
fn uid(number: u64) -> String {
    format!("7f3e2a10-4b5c-4d6e-8f90-{number:012x}")
}

impl Estate {
    async fn new() -> Self {
        Self::knowing(|kubernetes| kubernetes).await
    }

    /// Where the cluster is known like this.
    async fn knowing(how: impl FnOnce(Kubernetes) -> Kubernetes) -> Self {
        let (api, client) = Api::start().await;
        for node in ["a", "b"] {
            let ready = json!([{ "type": "Ready", "status": "True" }]);
            let object = json!({ "metadata": { "name": node }, "status": { "conditions": ready } });
            api.put("/api/v1/nodes", object);
        }
        api.put("/api/v1/namespaces", json!({ "metadata": { "name": "prod" } }));
        let kubernetes = how(Kubernetes::of(client, Guard::default()));
        let clusters = Clusters::default().within(Some(kubernetes.clone()));
        let fleet = Fleet::with(clusters, &["a", "b"]).await;
        Self { fleet, api, kubernetes }
    }

    /// A pod that runs, on its node and for the API server.
    fn run(&self, name: &str, number: u64, node: &'static str, last: u8) {
        self.run_of(("StatefulSet", "s"), (name, number, node, last));
    }

    /// One that something of this kind and UID has made.
    fn run_of(&self, maker: (&str, &str), pod: (&str, u64, &'static str, u8)) {
        let (_, number, node, last) = pod;
        let own: IpAddr = [10, 1, 0, last].into();
        self.fleet.nodes[node].kernel.node(|node| {
            let _ = node.add_pod(&PodUid::new(&uid(number)).unwrap(), &[own]);
        });
        self.tell_of(maker, pod);
    }

    /// A pod with the labels of `web`, for the API server.
    fn tell_of(
        &self,
        (kind, maker): (&str, &str),
        (name, number, node, last): (&str, u64, &str, u8),
    ) {
        let owner = json!([{ "kind": kind, "name": "web", "uid": maker, "controller": true }]);
        self.api.put(
            PODS,
            json!({
                "metadata": {
                    "name": name, "namespace": "prod", "uid": uid(number), "labels": { "app": "web" },
                    "ownerReferences": owner,
                },
                "spec": { "nodeName": node, "containers": [{ "name": "app" }] },
                "status": {
                    "phase": "Running", "podIPs": [{ "ip": format!("10.1.0.{last}") }],
                    "containerStatuses": [{
                        "name": "app", "containerID": "containerd://aa", "state": { "running": {} },
                    }],
                },
            }),
        );
    }

    /// It is gone from its node and, if that was told, for the API server.
    fn kill(&self, number: u64, node: &'static str) {
        let uid = PodUid::new(&uid(number)).unwrap();
        self.fleet.nodes[node].kernel.node(|node| node.remove_pod(&uid));
    }

    fn set(&self) {
        let labels = json!({ "matchLabels": { "app": "web" } });
        let set =
            json!({ "metadata": { "name": "web", "uid": "s" }, "spec": { "selector": labels } });
        self.api.put(SETS, set);
    }

    fn service(&self, endpoints: &Value) {
        let addresses = ["10.96.0.7", "fd79::7"];
        let spec = json!({ "clusterIPs": addresses, "selector": { "app": "web" } });
        self.api.put(SERVICES, json!({ "metadata": { "name": "web" }, "spec": spec }));
        self.endpoints(endpoints);
    }

    fn endpoints(&self, endpoints: &Value) {
        let labels = json!({ "kubernetes.io/service-name": "web" });
        let metadata = json!({ "name": "web-1", "labels": labels });
        self.api.put(SLICES, json!({ "metadata": metadata, "endpoints": endpoints }));
    }

    async fn cut(&self, from: &str, to: &str) -> wire::Intent {
        let asked = wire::Spec { enforcement: 0, ..spec(from, to) };
        let cut = self.fleet.ask(1, asked).await.unwrap();
        assert_eq!(cut.stage(), wire::Stage::Active, "{}", cut.reason);
        cut
    }

    /// Of what acts on a node: on which pod, and who the peers are.
    async fn acting(&self, node: &'static str) -> Vec<(String, Vec<String>)> {
        let all = self.fleet.nodes[node].agent.list().await.unwrap();
        let acting = all.into_iter().filter(|one| one.state == State::Active);
        let mut told: Vec<_> = acting
            .map(|one| {
                let mut peers: Vec<_> = one.peers.iter().map(ToString::to_string).collect();
                peers.sort();
                (one.fault.selector.to_string(), peers)
            })
            .collect();
        told.sort();
        told
    }

    async fn comes_to(&self, node: &'static str, expected: &[(u64, &[&str])]) {
        let expected: Vec<(String, Vec<String>)> = expected
            .iter()
            .map(|(number, peers)| {
                let peers = peers.iter().map(|peer| (*peer).to_owned()).collect();
                (format!("pod:{}", uid(*number)), peers)
            })
            .collect();
        let waited = async {
            loop {
                let found = self.acting(node).await;
                if found == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(LIMIT, waited).await.is_err() {
            let (found, intent) = (self.acting(node).await, self.fleet.intent(1).await);
            panic!("{node}: {found:?} is not {expected:?}; {:?} {}", intent.notes, intent.reason);
        }
    }
}

#[tokio::test]
async fn a_pod_that_is_made_anew_is_cut_again_and_its_old_address_is_let_go_of() {
    let estate = Estate::new().await;
    estate.set();
    estate.run("web-0", 1, "a", 1);
    estate.run("web-1", 2, "b", 2);
    estate.cut("k8s:prod/sts/web/0", "k8s:prod/sts/web/1").await;
    estate.comes_to("a", &[(1, &["10.1.0.2"])]).await;
    estate.comes_to("b", &[(2, &["10.1.0.1"])]).await;

    // Its node says so first: the address may be anybody's from then on.
    estate.kill(1, "a");
    estate.comes_to("b", &[]).await;
    estate.api.remove(PODS, "web-0");
    // It comes to another node, and somebody else has got its address.
    estate.run("innocent", 9, "a", 1);
    estate.run("web-0", 3, "b", 3);
    let known = Instant::now();
    // Both on one node: where TO receives, from wherever the other one is.
    estate.comes_to("b", &[(2, &["10.1.0.3"])]).await;
    assert!(known.elapsed() < Duration::from_secs(1), "{:?}", known.elapsed());
    estate.comes_to("a", &[]).await;

    let intent = estate.fleet.intent(1).await;
    assert_eq!(intent.stage(), wire::Stage::Active);
    assert!(intent.notes.iter().any(|note| note == "pod prod/web-0 is gone"), "{:?}", intent.notes);
    let healed = estate.fleet.heal(1).await;
    assert_eq!(healed.stage(), wire::Stage::Healed, "{}", healed.reason);
    for node in ["a", "b"] {
        assert_eq!(estate.fleet.nodes[node].living().await, 0);
    }
}

#[tokio::test]
async fn who_takes_a_place_slowly_keeps_it_no_longer() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.run("web-1", 2, "b", 2);
    estate.cut("k8s:prod/pod/web-0", "k8s:prod/pod/web-1").await;
    estate.comes_to("a", &[(1, &["10.1.0.2"])]).await;
    let deadline = async || {
        let all = estate.fleet.nodes["a"].agent.list().await.unwrap();
        let acting = all.into_iter().find(|one| one.state == State::Active).unwrap();
        acting.lease.unwrap().deadline
    };
    let first = deadline().await;
    estate.kill(1, "a");
    estate.api.remove(PODS, "web-0");
    estate.comes_to("b", &[]).await;
    // Far longer than the first one took from its start to the answer.
    let slow = Duration::from_millis(900);
    let load = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Load));
    estate.fleet.nodes["a"].kernel.trouble(Trouble::delay(slow, load).once());
    estate.run("web-0", 3, "a", 3);
    estate.comes_to("a", &[(3, &["10.1.0.2"])]).await;
    let again = deadline().await;
    let longer = again.since(first);
    assert!(longer < slow / 2, "{longer:?} longer");
    assert!(first.since(again) < slow / 2, "{:?} shorter", first.since(again));
}

#[tokio::test]
async fn what_is_told_of_a_peer_alone_lets_go_of_its_address() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.run("web-1", 2, "b", 2);
    // At the receiver alone: nothing is on the node of the pod that goes.
    let asked = spec("k8s:prod/pod/web-0", "k8s:prod/pod/web-1");
    estate.fleet.ask(1, asked).await.unwrap();
    estate.comes_to("b", &[(2, &["10.1.0.1"])]).await;
    estate.api.remove(PODS, "web-0");
    estate.comes_to("b", &[]).await;
    estate.run("web-0", 3, "a", 7);
    estate.comes_to("b", &[(2, &["10.1.0.7"])]).await;
    // One whose containers have ended has no address any more either, whoever still tells of it.
    let mut over = json!({ "metadata": { "name": "web-0", "namespace": "prod", "uid": uid(3) } });
    over["status"] = json!({ "phase": "Succeeded", "podIPs": [{ "ip": "10.1.0.7" }] });
    estate.api.put(PODS, over);
    estate.comes_to("b", &[]).await;
}

#[tokio::test]
async fn who_was_not_picked_takes_nobodys_place() {
    let estate = Estate::new().await;
    estate.run("web-x", 1, "a", 1);
    estate.run("web-y", 2, "a", 2);
    estate.run("db", 5, "b", 5);
    let cut = estate.cut("one:k8s:prod/label:app=web", "addr:192.0.2.1").await;
    let (number, name, node) = match cut.ends[0].member.as_str() {
        "prod.web-x" => (1, "web-x", "a"),
        "prod.web-y" => (2, "web-y", "a"),
        "prod.db" => (5, "db", "b"),
        other => panic!("{other}"),
    };
    until(async || estate.fleet.intent(1).await.bystanders.len() == 2).await;
    estate.kill(number, node);
    estate.api.remove(PODS, name);
    estate.comes_to(node, &[]).await;
    estate.run("web-z", 3, "b", 3);
    estate.comes_to("b", &[(3, &["192.0.2.1"])]).await;
    estate.comes_to("a", &[]).await;
}

#[tokio::test]
async fn a_fault_that_is_to_end_with_its_pod_does() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.run("web-1", 2, "b", 2);
    let on_restart = wire::OnRestart::End.into();
    let asked = wire::Spec { on_restart, ..spec("k8s:prod/pod/web-0", "k8s:prod/pod/web-1") };
    estate.fleet.ask(1, asked).await.unwrap();
    estate.comes_to("b", &[(2, &["10.1.0.1"])]).await;
    estate.api.remove(PODS, "web-0");
    let failed = estate.fleet.comes_to(1, wire::Stage::Failed).await;
    assert_eq!(failed.reason, "pod prod/web-0 is gone, with which it was to end");
    estate.comes_to("b", &[]).await;
}

#[tokio::test]
async fn the_next_life_of_a_controller_sees_to_pods_as_well() {
    let mut estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.run("web-1", 2, "b", 2);
    estate.cut("k8s:prod/pod/web-0", "k8s:prod/pod/web-1").await;
    estate.fleet.restart().await;
    estate.kill(1, "a");
    estate.api.remove(PODS, "web-0");
    estate.fleet.connect("a").await;
    estate.fleet.connect("b").await;
    estate.comes_to("b", &[]).await;
    estate.run("web-0", 3, "a", 3);
    estate.comes_to("a", &[(3, &["10.1.0.2"])]).await;
    estate.comes_to("b", &[(2, &["10.1.0.3"])]).await;
}

#[tokio::test]
async fn a_service_is_its_own_addresses_and_those_behind_it_as_they_come_and_go() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    let behind = |name: &str, number: u64, last: u8| {
        let target = json!({ "kind": "Pod", "name": name, "uid": uid(number) });
        json!({ "addresses": [format!("10.1.0.{last}")], "targetRef": target })
    };
    estate.run("client", 4, "b", 4);
    estate.service(&json!([behind("web-0", 1, 1), { "addresses": ["192.0.2.9"] }]));
    estate.cut("k8s:prod/pod/client", "k8s:prod/svc/web").await;
    estate.comes_to("b", &[(4, &["10.1.0.1", "10.96.0.7", "192.0.2.9", "fd79::7"])]).await;
    estate.comes_to("a", &[]).await;
    // Ready or not, it may be sent to; and whoever is gone may not.
    estate.run("web-1", 2, "a", 2);
    let changed = Instant::now();
    estate.endpoints(&json!([behind("web-1", 2, 2)]));
    estate.comes_to("b", &[(4, &["10.1.0.2", "10.96.0.7", "fd79::7"])]).await;
    assert!(changed.elapsed() < Duration::from_secs(1), "{:?}", changed.elapsed());
    // What has not changed is not asked about.
    until(async || estate.fleet.intent(1).await.parts.iter().filter(|one| one.owed).count() == 1)
        .await;
    until(async || {
        drop(estate.api.asked());
        // Long enough for whatever asks again and again.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        estate.api.asked().is_empty()
    })
    .await;
    // Without an address it is nothing to be cut from.
    estate.api.put(
        SERVICES,
        json!({ "metadata": { "name": "web" }, "spec": { "clusterIPs": ["None"] } }),
    );
    estate.endpoints(&Value::Null);
    estate.comes_to("b", &[]).await;
    estate.endpoints(&json!([behind("web-1", 2, 2)]));
    estate.comes_to("b", &[(4, &["10.1.0.2"])]).await;
    let healed = estate.fleet.heal(1).await;
    assert_eq!(healed.stage(), wire::Stage::Healed, "{}", healed.reason);
}

#[tokio::test]
async fn what_the_pods_of_a_service_send_is_lost_whoever_they_are() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.run("client", 4, "b", 4);
    let behind = |name: &str, number: u64, last: u8| {
        let target = json!({ "kind": "Pod", "name": name, "uid": uid(number) });
        json!({ "addresses": [format!("10.1.0.{last}")], "targetRef": target })
    };
    // Nobody is behind it in the beginning.
    estate.service(&json!([]));
    estate.cut("k8s:prod/svc/web", "k8s:prod/pod/client").await;
    estate.comes_to("b", &[(4, &["10.96.0.7", "fd79::7"])]).await;
    estate.endpoints(&json!([behind("web-0", 1, 1)]));
    estate.comes_to("a", &[(1, &["10.1.0.4"])]).await;
    // What it answers under its own address is from its pods as well.
    estate.comes_to("b", &[(4, &["10.1.0.1"]), (4, &["10.96.0.7", "fd79::7"])]).await;
    estate.run("web-1", 2, "a", 2);
    estate.endpoints(&json!([behind("web-0", 1, 1), behind("web-1", 2, 2)]));
    estate.comes_to("a", &[(1, &["10.1.0.4"]), (2, &["10.1.0.4"])]).await;
    estate.endpoints(&json!([behind("web-1", 2, 2)]));
    estate.comes_to("a", &[(2, &["10.1.0.4"])]).await;
    estate.comes_to("b", &[(4, &["10.1.0.2"]), (4, &["10.96.0.7", "fd79::7"])]).await;
}

#[tokio::test]
async fn a_pod_of_a_service_that_cannot_be_cut_is_said_to_be_left_out() {
    let estate = Estate::new().await;
    let behind = |name: &str, number: u64, last: u8| {
        let target = json!({ "kind": "Pod", "name": name, "uid": uid(number) });
        json!({ "addresses": [format!("10.1.0.{last}")], "targetRef": target })
    };
    let (web, client) = (behind("web-0", 1, 1), behind("client", 4, 4));
    estate.run("web-0", 1, "a", 1);
    estate.run("client", 4, "b", 4);
    estate.service(&json!([web]));
    estate.cut("k8s:prod/svc/web", &format!("pod:{}", uid(4))).await;
    let told = async || {
        let notes = estate.fleet.intent(1).await.notes;
        let left_out = "pod prod/client is left out, and not tried again: ";
        notes.iter().any(|note| note.starts_with(left_out))
    };
    assert!(!told().await);
    // It is whom the others cannot reach, too.
    estate.endpoints(&json!([web, client]));
    until(told).await;
    // Nobody else is kept out by that.
    estate.run("web-1", 2, "a", 2);
    estate.endpoints(&json!([web, client, behind("web-1", 2, 2)]));
    until(async || {
        let acting = estate.acting("a").await;
        acting.iter().any(|(who, _)| *who == format!("pod:{}", uid(2)))
    })
    .await;
}
