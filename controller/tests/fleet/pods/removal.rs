//! Pods that are restarted, terminated and evicted, through an API server that may forbid it.

use std::time::Duration;

use controller::control::{AskError, ControlError, Standing};
use controller::disruption::{Disruption, Manner, What, is_over};
use controller::spec::QuorumLoss;
use fault::{IntentId, Limits};
use proto::control as wire;
use proto::control::removed_pod::Fate;
use serde_json::{Value, json};

use super::{Estate, PODS};
use crate::rig::{LIMIT, soon, until};

const BUDGETS: &str = "/apis/policy/v1/namespaces/prod/poddisruptionbudgets";

fn asked(manner: Manner, target: &str) -> Disruption {
    Disruption {
        what: What::Removal { manner, targets: vec![target.parse().unwrap()], grace: None },
        seed: 7,
        quorum_loss: QuorumLoss::Refused,
        patience: LIMIT,
        insistence: Duration::ZERO,
    }
}

/// What an API server says where a budget forbids an eviction.
pub(super) fn forbidden_by_budget() -> Value {
    let said = "The disruption budget web needs 2 healthy pods and has 2 currently";
    let causes = json!([{ "reason": "DisruptionBudget", "message": said }]);
    json!({ "reason": "TooManyRequests", "message": "no", "code": 429, "details": { "causes": causes } })
}

/// What one says that lets nobody do it.
pub(super) fn forbidden() -> Value {
    json!({ "reason": "Forbidden", "message": "not with these rights", "code": 403 })
}

impl Estate {
    pub(super) async fn disrupt(&self, id: u64, asked: &Disruption) -> Result<Standing, AskError> {
        let (control, limits) = (&self.fleet.control, Limits::default());
        let id = IntentId::from_random(id);
        let undertaking = control.undertake(id, asked.into(), "a test", &limits);
        let undertaking = soon(undertaking).await?;
        Ok(soon(control.disrupt(undertaking)).await?)
    }

    /// A pod that runs, and says that it is ready.
    fn ready(&self, name: &str) {
        let mut pod = self.api.get(PODS, name).unwrap();
        pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
        self.api.put(PODS, pod);
    }

    fn budget(&self, allowed: u32) {
        let selector = json!({ "matchLabels": { "app": "web" } });
        let budget = json!({
            "metadata": { "name": "web", "namespace": "prod" }, "spec": { "selector": selector },
            "status": { "disruptionsAllowed": allowed },
        });
        self.api.put(BUDGETS, budget);
    }

    fn has_written(&self) -> bool {
        self.api.asked().iter().any(|path| path.starts_with("DELETE") || path.starts_with("POST"))
    }
}

/// How it stands once that is so.
pub(super) async fn once(
    standing: &mut Standing,
    is: impl FnMut(&wire::Disruption) -> bool,
) -> wire::Disruption {
    soon(standing.wait_for(is)).await.unwrap().clone()
}

#[tokio::test]
async fn a_pod_that_is_restarted_is_waited_for_until_another_one_is_ready_in_its_place() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.run("web-1", 2, "b", 2);
    let restart = asked(Manner::Restart, "k8s:prod/pod/web-0");
    let mut standing = estate.disrupt(1, &restart).await.unwrap();
    until(async || estate.api.get(PODS, "web-0").is_none()).await;
    estate.run("web-0", 3, "b", 3);
    let is_there = |one: &wire::Disruption| one.pods[0].trouble.ends_with("and not ready");
    let waits = once(&mut standing, is_there).await;
    assert_eq!(waits.stage(), wire::DisruptionStage::UnderWay);
    estate.ready("web-0");
    let done = once(&mut standing, is_over).await;
    assert_eq!((done.stage(), done.reason.as_str()), (wire::DisruptionStage::Done, ""));
    assert_eq!((done.pods.len(), done.pods[0].fate()), (1, Fate::Replaced));
    assert_eq!(done.pods[0].successor, "prod/web-0");
    assert!(estate.api.get(PODS, "web-1").is_some());
    let kept = estate.fleet.control.listing().await.unwrap().disruptions;
    assert_eq!(kept, [done]);
}

#[tokio::test]
async fn a_pod_that_is_terminated_is_not_waited_for_and_the_same_request_is_the_same() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    let terminate = asked(Manner::Terminate, "k8s:prod/pod/web-0");
    let mut standing = estate.disrupt(1, &terminate).await.unwrap();
    let done = once(&mut standing, is_over).await;
    assert_eq!(done.stage(), wire::DisruptionStage::Done, "{done:?}");
    assert!(estate.api.get(PODS, "web-0").is_none());
    let (control, id) = (&estate.fleet.control, IntentId::from_random(1));
    let known = control.known_disruption(id, &(&terminate).into()).await.unwrap().unwrap();
    assert_eq!(*known.borrow(), done);
    let other = asked(Manner::Restart, "k8s:prod/pod/web-0");
    let conflict = control.known_disruption(id, &(&other).into()).await;
    assert!(matches!(conflict, Err(ControlError::Conflict(_))), "{conflict:?}");
}

#[tokio::test]
async fn what_guards_forbid_is_asked_of_nobody() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.run("alone", 2, "a", 2);
    let mut alone = estate.api.get(PODS, "alone").unwrap();
    alone["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    alone["metadata"]["labels"] = json!({});
    estate.api.put(PODS, alone);
    estate.budget(0);
    let table = [
        (Manner::Terminate, "k8s:prod/pod/web-0", "PodDisruptionBudget prod/web lets 0 more"),
        (Manner::Restart, "k8s:prod/pod/web-0", "PodDisruptionBudget prod/web lets 0 more"),
        (Manner::Restart, "k8s:prod/pod/alone", "nothing makes it anew"),
        (Manner::Evict, "k8s:kube-system/pod/dns", "the cluster's own"),
        (Manner::Evict, "all:k8s:prod/label:app=nobody", "names nothing"),
    ];
    for (manner, target, expected) in table {
        let refused = estate.disrupt(1, &asked(manner, target)).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{target}: {refused}");
    }
    assert!(!estate.has_written());
    let halted = wire::Brake { on: true, reason: "lunch".to_owned(), ..Default::default() };
    estate.fleet.control.brake(halted).await.unwrap();
    let refused = estate.disrupt(1, &asked(Manner::Evict, "k8s:prod/pod/web-0")).await;
    assert!(refused.unwrap_err().to_string().contains("lunch"));
}

#[tokio::test]
async fn a_budget_that_forbids_an_eviction_is_told_and_asked_again_for_as_long_as_was_said() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    // Ours does not decide it.
    estate.budget(0);
    estate.api.refuse("/eviction", 429, forbidden_by_budget());
    let evict = asked(Manner::Evict, "k8s:prod/pod/web-0");
    let mut standing = estate.disrupt(1, &evict).await.unwrap();
    let failed = once(&mut standing, is_over).await;
    assert!(failed.refused && failed.stage() == wire::DisruptionStage::Failed, "{failed:?}");
    assert_eq!(failed.pods[0].fate(), Fate::Refused);
    assert!(failed.reason.contains("disruption budget web needs 2"), "{}", failed.reason);

    let insistent = Disruption { insistence: LIMIT, ..evict };
    let mut standing = estate.disrupt(2, &insistent).await.unwrap();
    let is_refused = |one: &wire::Disruption| one.pods[0].fate() == Fate::Refused;
    let waits = once(&mut standing, is_refused).await;
    assert_eq!(waits.stage(), wire::DisruptionStage::UnderWay);
    estate.api.refuse_nothing();
    let done = once(&mut standing, is_over).await;
    assert_eq!((done.stage(), done.pods[0].fate()), (wire::DisruptionStage::Done, Fate::Gone));
    assert!(!done.refused);
}

#[tokio::test]
async fn who_goes_on_asking_can_be_stopped() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.api.refuse("/eviction", 429, forbidden_by_budget());
    let evict = asked(Manner::Evict, "k8s:prod/pod/web-0");
    let insistent = Disruption { insistence: LIMIT, ..evict };
    let mut standing = estate.disrupt(1, &insistent).await.unwrap();
    let is_refused = |one: &wire::Disruption| one.pods[0].fate() == Fate::Refused;
    once(&mut standing, is_refused).await;
    let control = &estate.fleet.control;
    let ended = soon(control.end_disruption(IntentId::from_random(1), "a test")).await;
    let ended = ended.unwrap().unwrap();
    assert_eq!(ended.stage(), wire::DisruptionStage::Failed);
    assert!(estate.api.get(PODS, "web-0").is_some());
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.api.refuse("/web-0", 403, forbidden());
    let terminate = asked(Manner::Terminate, "k8s:prod/pod/web-0");
    let mut standing = estate.disrupt(1, &terminate).await.unwrap();
    let failed = once(&mut standing, is_over).await;
    assert!(failed.refused, "{failed:?}");
    assert!(failed.reason.contains("`schism install --allow pods`"), "{}", failed.reason);
}

#[tokio::test]
async fn who_is_on_its_way_counts_for_what_is_asked_next() {
    let estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.run("web-1", 2, "b", 2);
    estate.budget(1);
    let restart = |target| asked(Manner::Restart, target);
    let mut first = estate.disrupt(1, &restart("k8s:prod/pod/web-0")).await.unwrap();
    until(async || estate.api.get(PODS, "web-0").is_none()).await;
    estate.run("web-0", 3, "a", 3);
    let refused = estate.disrupt(2, &restart("k8s:prod/pod/web-1")).await.unwrap_err().to_string();
    assert!(refused.contains("2 would be: prod/web-0, prod/web-1"), "{refused}");
    estate.ready("web-0");
    once(&mut first, is_over).await;
    estate.disrupt(2, &restart("k8s:prod/pod/web-1")).await.unwrap();
}

#[tokio::test]
async fn what_was_under_way_has_broken_off_with_its_controller() {
    let mut estate = Estate::new().await;
    estate.run("web-0", 1, "a", 1);
    estate.disrupt(1, &asked(Manner::Restart, "k8s:prod/pod/web-0")).await.unwrap();
    until(async || estate.api.get(PODS, "web-0").is_none()).await;
    estate.fleet.restart().await;
    until(async || {
        let all = estate.fleet.control.listing().await.unwrap().disruptions;
        all[0].stage() == wire::DisruptionStage::Failed
    })
    .await;
    let all = estate.fleet.control.listing().await.unwrap().disruptions;
    assert!(all[0].reason.contains("broke off"), "{}", all[0].reason);
}
