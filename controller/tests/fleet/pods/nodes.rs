//! Nodes that are cordoned and drained for a while, over the death of the controller that did it.

use std::time::Duration;

use controller::control::Standing;
use controller::disruption::{Disruption, Inmates, What, is_over};
use controller::provider::kubernetes::{CORDON, Guard, Kubernetes};
use controller::runs::Execution;
use controller::spec::QuorumLoss;
use fault::{IntentId, NodeName};
use proto::control as wire;
use proto::control::removed_pod::Fate;
use serde_json::{Map, Value, json};

use super::removal::{forbidden, forbidden_by_budget, once};
use super::{Estate, PODS};
use crate::rig::{LIMIT, soon, until};
use crate::runs;

const NODES: &str = "/api/v1/nodes";

fn cordon(total: Duration, inmates: Inmates) -> Disruption {
    Disruption {
        what: What::Cordon { node: NodeName::new("a").unwrap(), total, inmates },
        seed: 7,
        quorum_loss: QuorumLoss::Refused,
        patience: LIMIT,
        insistence: LIMIT,
    }
}

fn stands(one: &wire::Disruption) -> bool {
    one.stage() == wire::DisruptionStage::Standing
}

impl Estate {
    fn node(&self) -> Value {
        self.api.get(NODES, "a").unwrap()
    }

    fn is_cordoned(&self) -> bool {
        self.node()["spec"]["unschedulable"] == true
    }

    /// As it was before anybody came.
    fn is_untouched(&self) -> bool {
        !self.is_cordoned() && self.node()["metadata"]["annotations"][CORDON].is_null()
    }

    async fn cordoned(&self, total: Duration) -> Standing {
        let mut standing = self.disrupt(1, &cordon(total, Inmates::Stay)).await.unwrap();
        once(&mut standing, stands).await;
        assert!(self.is_cordoned());
        let mark = self.node()["metadata"]["annotations"][CORDON].as_str().unwrap().to_owned();
        assert!(mark.contains(r#""id":"000000000001""#), "{mark}");
        standing
    }

    async fn heal_one(&self) -> wire::Disruption {
        let ended = self.fleet.control.end_disruption(IntentId::from_random(1), "healed by a test");
        soon(ended).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_node_is_cordoned_until_somebody_heals_it() {
    let estate = Estate::new().await;
    let mut standing = estate.cordoned(LIMIT * 10).await;
    let second = Disruption { seed: 8, ..cordon(LIMIT, Inmates::Stay) };
    let mut second = estate.disrupt(2, &second).await.unwrap();
    let second = once(&mut second, is_over).await;
    assert!(second.refused, "{second:?}");
    assert!(second.reason.contains("000000000001 has cordoned it already"), "{}", second.reason);
    let healed = estate.heal_one().await;
    assert_eq!(healed.stage(), wire::DisruptionStage::Done);
    assert_eq!(healed.reason, "healed by a test");
    assert!(estate.is_untouched(), "{:#}", estate.node());
    assert_eq!(once(&mut standing, is_over).await.revision, healed.revision);
    assert!(healed.notes.is_empty(), "{:?}", healed.notes);
}

#[tokio::test]
async fn pods_may_come_again_at_the_deadline() {
    let estate = Estate::new().await;
    let asked = cordon(Duration::from_millis(300), Inmates::Stay);
    let mut standing = estate.disrupt(1, &asked).await.unwrap();
    let done = once(&mut standing, is_over).await;
    assert_eq!((done.stage(), done.reason.as_str()), (wire::DisruptionStage::Done, ""));
    assert!(estate.is_untouched(), "{:#}", estate.node());
    let asked = estate.api.asked();
    let writes = asked.iter().filter(|path| path.starts_with("PATCH")).count();
    assert_eq!(writes, 2, "{asked:?}");
}

#[tokio::test]
async fn what_somebody_else_has_cordoned_stays_so_and_what_they_have_uncordoned_too() {
    let estate = Estate::new().await;
    let mut node = estate.node();
    node["spec"] = json!({ "unschedulable": true });
    estate.api.put(NODES, node);
    let before = estate.node();
    let asked = cordon(LIMIT, Inmates::Stay);
    let mut standing = estate.disrupt(1, &asked).await.unwrap();
    let idle = once(&mut standing, is_over).await;
    assert_eq!(idle.stage(), wire::DisruptionStage::Idle, "{idle:?}");
    assert_eq!(estate.node(), before);

    let mut node = estate.node();
    node["spec"] = json!({});
    estate.api.put(NODES, node);
    let mut standing = estate.disrupt(2, &asked).await.unwrap();
    once(&mut standing, stands).await;
    let mut node = estate.node();
    node["spec"] = json!({ "unschedulable": false });
    estate.api.put(NODES, node);
    let ended = estate.fleet.control.end_disruption(IntentId::from_random(2), "a test");
    let ended = soon(ended).await.unwrap().unwrap();
    assert_eq!(ended.stage(), wire::DisruptionStage::Done);
    assert!(ended.notes[0].contains("somebody had uncordoned a before"), "{:?}", ended.notes);
    assert!(estate.is_untouched(), "{:#}", estate.node());
}

#[tokio::test]
async fn the_next_life_of_a_controller_undoes_what_the_former_one_has_done() {
    let mut estate = Estate::new().await;
    let standing = estate.cordoned(LIMIT * 10).await;
    drop(standing);
    estate.fleet.restart().await;
    let kept = estate.fleet.control.listing().await.unwrap().disruptions;
    assert_eq!((kept.len(), kept[0].stage()), (1, wire::DisruptionStage::Standing));
    assert!(estate.is_cordoned(), "it goes on until its deadline");
    let healed = estate.heal_one().await;
    assert_eq!(healed.stage(), wire::DisruptionStage::Done, "{healed:?}");
    assert!(estate.is_untouched(), "{:#}", estate.node());
}

#[tokio::test]
async fn a_deadline_that_passed_while_nobody_led_is_made_up_for() {
    let mut estate = Estate::new().await;
    let mut standing = estate.cordoned(Duration::from_secs(1)).await;
    // Whoever tries it then does not succeed.
    estate.api.refuse("/nodes/a", 503, json!({ "message": "not now", "code": 503 }));
    once(&mut standing, |one| one.stage() == wire::DisruptionStage::Undoing).await;
    estate.fleet.restart().await;
    assert!(estate.is_cordoned());
    estate.api.refuse_nothing();
    until(async || estate.is_untouched()).await;
}

#[tokio::test]
async fn a_node_says_itself_what_is_to_be_undone_where_no_store_does() {
    let mut estate = Estate::new().await;
    let mark =
        |until: &str| json!({ "id": "0000000000aa", "until": until, "by": "ann" }).to_string();
    let marked = |mark: String| {
        let mut node = estate.node();
        node["spec"] = json!({ "unschedulable": true });
        node["metadata"]["annotations"] = json!({ CORDON: mark });
        node
    };
    let (long, past) = (marked(mark("2400-01-01T00:00:00Z")), marked(mark("2020-01-01T00:00:00Z")));
    estate.api.put(NODES, long);
    estate.fleet.restart().await;
    let adopted = async || estate.fleet.control.listing().await.unwrap().disruptions;
    until(async || !adopted().await.is_empty()).await;
    let found = adopted().await.remove(0);
    assert_eq!((found.id, found.asker.as_str()), (0xaa, "ann"));
    assert!(stands(&found) && estate.is_cordoned());
    let ended = estate.fleet.control.end_disruption(IntentId::from_random(0xaa), "a test");
    soon(ended).await.unwrap().unwrap();
    assert!(estate.is_untouched(), "{:#}", estate.node());
    // One of another store, whose time is over.
    let mut other = Estate::new().await;
    other.api.put(NODES, past);
    other.fleet.restart().await;
    until(async || other.is_untouched()).await;
}

#[tokio::test]
async fn what_another_installation_has_cordoned_is_theirs_unless_they_are_gone() {
    let own = Guard { own: Some("schism".to_owned()), ..Guard::default() };
    let mut estate = Estate::knowing(|known| Kubernetes::of(known.client().clone(), own)).await;
    let mark = |name: &str, id: &str, until: &str, installation: &str| {
        let mark = json!({ "id": id, "until": until, "by": "ann", "in": installation });
        let mut node = estate.api.get(NODES, name).unwrap();
        node["spec"] = json!({ "unschedulable": true });
        node["metadata"]["annotations"] = json!({ CORDON: mark.to_string() });
        estate.api.put(NODES, node);
    };
    mark("a", "0000000000aa", "2400-01-01T00:00:00Z", "chaos");
    mark("b", "0000000000bb", "2400-01-01T00:00:00Z", "schism");
    estate.fleet.restart().await;
    let adopted = async || estate.fleet.control.listing().await.unwrap().disruptions;
    // They are looked at in the order of their names.
    until(async || !adopted().await.is_empty()).await;
    let found: Vec<u64> = adopted().await.iter().map(|one| one.id).collect();
    assert_eq!(found, [0xbb]);
    assert!(estate.is_cordoned());
    let mut node = estate.node();
    let over = r#"{"id":"0000000000aa","until":"2020-01-01T00:00:00Z","by":"ann","in":"chaos"}"#;
    node["metadata"]["annotations"] = json!({ CORDON: over });
    estate.api.put(NODES, node);
    estate.fleet.restart().await;
    until(async || estate.is_untouched()).await;
}

#[tokio::test]
async fn what_came_to_a_node_after_it_was_over_is_undone_by_the_next_life() {
    let mut estate = Estate::new().await;
    drop(estate.cordoned(LIMIT * 10).await);
    let late = estate.node();
    estate.heal_one().await;
    estate.api.put(NODES, late);
    assert!(estate.is_cordoned());
    estate.fleet.restart().await;
    until(async || estate.is_untouched()).await;
}

#[tokio::test]
async fn a_drained_node_has_no_pods_but_those_that_would_come_back() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.run("web-1", 2, "b", 2);
    estate.run_of(("DaemonSet", "d"), ("log-a", 3, "a", 3));
    let drain = cordon(LIMIT * 10, Inmates::Evicted(None));
    let mut standing = estate.disrupt(1, &drain).await.unwrap();
    let drained = once(&mut standing, stands).await;
    let fates: Vec<_> = drained.pods.iter().map(|pod| (pod.pod.as_str(), pod.fate())).collect();
    assert_eq!(fates, [("prod/web-0", Fate::Gone)]);
    assert!(estate.api.get(PODS, "web-0").is_none() && estate.is_cordoned());
    assert!(estate.api.get(PODS, "web-1").is_some() && estate.api.get(PODS, "log-a").is_some());
    let healed = estate.heal_one().await;
    assert_eq!(healed.stage(), wire::DisruptionStage::Done);
    assert!(estate.is_untouched(), "{:#}", estate.node());
}

#[tokio::test]
async fn a_node_that_could_not_be_drained_is_uncordoned_again() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.api.refuse("/eviction", 429, forbidden_by_budget());
    let late = Duration::from_millis(100);
    let drain = cordon(LIMIT * 10, Inmates::Evicted(None));
    let drain = Disruption { patience: late, insistence: late, ..drain };
    let mut standing = estate.disrupt(1, &drain).await.unwrap();
    let failed = once(&mut standing, is_over).await;
    assert!(failed.refused && failed.stage() == wire::DisruptionStage::Failed, "{failed:?}");
    assert!(failed.reason.contains("disruption budget web"), "{}", failed.reason);
    assert!(estate.is_untouched(), "{:#}", estate.node());
    assert!(estate.api.get(PODS, "web-0").is_some());
}

#[tokio::test]
async fn a_drain_that_failed_has_failed_whoever_undoes_it() {
    let mut estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    // The pod is let go, and does not go.
    estate.api.refuse("/eviction", 201, json!({ "status": "Success" }));
    let drain = cordon(LIMIT * 10, Inmates::Evicted(None));
    let mut standing = estate.disrupt(1, &drain).await.unwrap();
    until(async || estate.is_cordoned()).await;
    estate.api.refuse("/nodes/a", 503, json!({ "message": "not now", "code": 503 }));
    let halted = wire::Brake { on: true, reason: "lunch".to_owned(), ..Default::default() };
    estate.fleet.control.brake(halted).await.unwrap();
    let undoing = |one: &wire::Disruption| one.stage() == wire::DisruptionStage::Undoing;
    let undoing = once(&mut standing, undoing).await;
    assert!(!undoing.refused && !undoing.reason.is_empty(), "{undoing:?}");
    estate.fleet.restart().await;
    assert!(estate.is_cordoned());
    estate.api.refuse_nothing();
    let kept = async || estate.fleet.control.listing().await.unwrap().disruptions;
    until(async || kept().await.iter().all(is_over)).await;
    let failed = kept().await.remove(0);
    assert_eq!((failed.stage(), failed.reason), (wire::DisruptionStage::Failed, undoing.reason));
    assert!(estate.is_untouched(), "{:#}", estate.node());
}

#[tokio::test]
async fn nodes_that_are_left_alone_and_rights_that_are_missing() {
    let estate = Estate::new().await;
    estate.api.refuse("/nodes/a", 403, forbidden());
    let asked = cordon(LIMIT, Inmates::Stay);
    let mut standing = estate.disrupt(1, &asked).await.unwrap();
    let failed = once(&mut standing, is_over).await;
    assert!(failed.refused, "{failed:?}");
    assert!(failed.reason.contains("`schism install --allow nodes`"), "{}", failed.reason);
    estate.api.refuse_nothing();
    let mut node = estate.node();
    node["metadata"]["labels"] = json!({ "node-role.kubernetes.io/control-plane": "" });
    estate.api.put(NODES, node);
    let refused = estate.disrupt(2, &asked).await.unwrap_err().to_string();
    assert!(refused.contains("it is a node of the control plane"), "{refused}");
    // A pod that is left alone is not evicted with the others.
    let mut node = estate.node();
    node["metadata"]["labels"] = json!({});
    estate.api.put(NODES, node);
    estate.api.put(
        "/api/v1/namespaces/kube-system/pods",
        json!({
            "metadata": { "name": "dns", "namespace": "kube-system", "uid": "d" },
            "spec": { "nodeName": "a" }, "status": { "phase": "Running" },
        }),
    );
    let drain = cordon(LIMIT, Inmates::Evicted(None));
    let refused = estate.disrupt(3, &drain).await.unwrap_err().to_string();
    assert!(refused.contains("pod kube-system/dns cannot be hit"), "{refused}");
    assert!(estate.is_untouched());
}

#[tokio::test]
async fn the_brake_undoes_it() {
    let estate = Estate::new().await;
    let mut standing = estate.cordoned(LIMIT * 10).await;
    let halted = wire::Brake { on: true, reason: "lunch".to_owned(), ..Default::default() };
    estate.fleet.control.brake(halted).await.unwrap();
    let done = once(&mut standing, is_over).await;
    assert_eq!(done.reason, "the brake is on: lunch");
    assert!(estate.is_untouched(), "{:#}", estate.node());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_drains_a_node_and_its_rollback_lets_pods_come_again() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    let step = |name: &str, arguments: Value| {
        let provider = json!({ "type": "schism", "action": "node", "arguments": arguments });
        json!({ "type": "action", "name": name, "provider": provider })
    };
    let experiment = json!({
        "title": "a drain", "description": "d",
        "method": [step("drain", json!({ "command": "drain", "node": "a", "for": "10m" }))],
        "rollbacks": [step("back", json!({ "command": "uncordon", "node": "a" }))],
    });
    let runs = runs::runs(&estate.fleet, Execution::Refused).await;
    let begin = runs::begin(9, &runs::beginning(&experiment, Map::new()));
    drop(estate.api.asked());
    let mut command = runs::Command::begin(&runs, begin).await.unwrap();
    let verdict = command.finish().await.run.unwrap().verdict.unwrap();
    assert_eq!(verdict.exit(), wire::RunExit::Done, "{verdict:?}");
    let asked = estate.api.asked().into_iter();
    let writes: Vec<String> =
        asked.filter(|path| path.contains(" /") && !path.starts_with("watch")).collect();
    let (node, pod) = ("PATCH /api/v1/nodes/a", format!("POST {PODS}/web-0/eviction"));
    assert_eq!(writes, [node, pod.as_str(), node]);
    assert!(estate.is_untouched() && estate.api.get(PODS, "web-0").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_refused_fails_and_says_why() {
    let estate = Estate::new().await;
    let provider = json!({ "type": "schism", "action": "node", "arguments": { "command": "cordon", "node": "aa" } });
    let experiment = json!({
        "title": "no such node", "description": "d", "rollbacks": [],
        "method": [{ "type": "action", "name": "cordon", "provider": provider }],
    });
    let runs = runs::runs(&estate.fleet, Execution::Refused).await;
    let begin = runs::begin(9, &runs::beginning(&experiment, Map::new()));
    let mut command = runs::Command::begin(&runs, begin).await.unwrap();
    let verdict = command.finish().await.run.unwrap().verdict.unwrap();
    assert_eq!(verdict.exit(), wire::RunExit::Failed, "{verdict:?}");
    assert_eq!(verdict.reasons, ["`cordon` failed"]);
    let written = runs::journal(&estate.fleet, 9).await;
    let said = written["run"][0]["exception"].to_string();
    assert!(said.contains("the cluster has no node aa"), "{written:#}");
}
