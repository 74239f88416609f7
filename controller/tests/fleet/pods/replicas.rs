//! A Deployment of one replica: a pod of another name takes its place.

use serde_json::json;

use super::{Estate, PODS};
use crate::rig::until;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/prod/deployments";
const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/prod/replicasets";
const OWN: (&str, &str) = ("ReplicaSet", "r");

#[tokio::test]
async fn the_one_replica_of_a_deployment_is_followed() {
    let mut estate = Estate::new().await;
    let labels = json!({ "app": "web" });
    let spec = json!({ "selector": { "matchLabels": labels } });
    estate.api.put(DEPLOYMENTS, json!({ "metadata": { "name": "web", "uid": "d" }, "spec": spec }));
    let owner = json!([{ "kind": "Deployment", "name": "web", "uid": "d", "controller": true }]);
    let metadata = json!({ "name": "web", "uid": "r", "labels": labels, "ownerReferences": owner });
    estate.api.put(REPLICA_SETS, json!({ "metadata": metadata }));
    estate.run_of(OWN, ("web-x", 1, "a", 1));
    let cut = estate.cut("one:k8s:prod/deploy/web", "addr:192.0.2.1").await;
    assert_eq!(cut.ends[0].member, "prod.web-x");
    estate.comes_to("a", &[(1, &["192.0.2.1"])]).await;

    // That there was nobody else is known, and stays so in another life.
    until(async || estate.fleet.intent(1).await.bystanders_known).await;
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
