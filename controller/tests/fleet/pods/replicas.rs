//! A Deployment of one replica: a pod of another name takes its place.

use agent::fake::Call;
use agent::kernel::Step;
use proto::control as wire;
use serde_json::json;

use super::{Estate, PODS};
use crate::rig::{soon, spec};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/prod/deployments";
const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/prod/replicasets";
const OWN: (&str, &str) = ("ReplicaSet", "r");

/// Of the deployment `web`, with what makes its pods.
async fn deployed() -> Estate {
    let estate = Estate::new().await;
    let labels = json!({ "app": "web" });
    let spec = json!({ "selector": { "matchLabels": labels } });
    estate.api.put(DEPLOYMENTS, json!({ "metadata": { "name": "web", "uid": "d" }, "spec": spec }));
    let owner = json!([{ "kind": "Deployment", "name": "web", "uid": "d", "controller": true }]);
    let metadata = json!({ "name": "web", "uid": "r", "labels": labels, "ownerReferences": owner });
    estate.api.put(REPLICA_SETS, json!({ "metadata": metadata }));
    estate
}

#[tokio::test]
async fn the_one_replica_of_a_deployment_is_followed() {
    let mut estate = deployed().await;
    estate.run_of(OWN, ("web-x", 1, "a", 1));
    let cut = estate.cut("one:k8s:prod/deploy/web", "addr:192.0.2.1").await;
    assert_eq!(cut.ends[0].member, "prod.web-x");
    estate.comes_to("a", &[(1, &["192.0.2.1"])]).await;

    // That there was nobody else is known, and stays so in another life.
    assert!(cut.bystanders_known);
    estate.fleet.restart().await;
    estate.fleet.connect("a").await;
    estate.fleet.connect("b").await;
    assert!(estate.fleet.intent(1).await.bystanders_known);
    estate.kill(1, "a");
    estate.api.remove(PODS, "web-x");
    estate.comes_to("a", &[]).await;
    estate.run_of(OWN, ("web-y", 2, "b", 2));
    estate.comes_to("b", &[(2, &["192.0.2.1"])]).await;
    assert!(estate.fleet.intent(1).await.bystanders.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_it_is_put_in_was_not_passed_over() {
    let estate = deployed().await;
    estate.run_of(OWN, ("web-x", 1, "a", 1));
    let load = |call: &Call<'_>| matches!(call, Call::Step(_, Step::Load));
    let gate = estate.fleet.nodes["a"].kernel.gate(load);
    let asked = spec("one:k8s:prod/deploy/web", "addr:192.0.2.1");
    let asking = estate.fleet.asking(1, wire::Spec { enforcement: 0, ..asked });
    soon(gate.reached(1)).await;
    // Nobody watches its pods before it acts.
    estate.run_of(OWN, ("web-y", 2, "b", 2));
    gate.open();
    soon(asking).await.unwrap();
    estate.comes_to("a", &[(1, &["192.0.2.1"])]).await;
    estate.kill(1, "a");
    estate.api.remove(PODS, "web-x");
    estate.comes_to("b", &[(2, &["192.0.2.1"])]).await;
}
