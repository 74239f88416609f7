//! What is told of pods and nodes anyway is not asked for, and what is told late does no harm.

use super::api::Watches;
use super::*;

const WEB: [(&str, u64, &str, u8); 2] = [("web-0", 1, "a", 1), ("web-1", 2, "b", 2)];

impl Estate {
    /// Two pods, of which all is told.
    async fn told() -> Self {
        let estate = Self::knowing(Kubernetes::watched).await;
        for (name, number, node, last) in WEB {
            estate.run(name, number, node, last);
        }
        estate.is_current().await;
        estate.api.asked();
        estate
    }

    async fn is_current(&self) {
        until(async || self.kubernetes.is_current()).await;
    }

    /// Waits until somebody has asked for this.
    async fn is_asked(&self, path: &str) -> Vec<String> {
        let mut all = Vec::new();
        until(async || {
            all.extend(self.api.asked());
            all.iter().any(|one| one == path)
        })
        .await;
        all
    }

    async fn healed(&self) {
        let healed = self.fleet.heal(1).await;
        assert_eq!(healed.stage(), wire::Stage::Healed, "{}", healed.reason);
    }
}

#[tokio::test]
async fn a_fault_and_a_pod_that_is_made_anew_ask_for_nothing() {
    let estate = Estate::told().await;
    estate.cut("k8s:prod/pod/web-0", "k8s:prod/label:app=web,!old@b").await;
    estate.comes_to("a", &[(1, &["10.1.0.2"])]).await;
    estate.comes_to("b", &[(2, &["10.1.0.1"])]).await;
    estate.kill(1, "a");
    estate.comes_to("b", &[]).await;
    estate.api.remove(PODS, "web-0");
    estate.run("innocent", 9, "a", 1);
    estate.run("web-0", 3, "b", 3);
    estate.comes_to("b", &[(2, &["10.1.0.3"])]).await;
    estate.comes_to("a", &[]).await;
    estate.healed().await;
    assert_eq!(estate.api.asked(), [""; 0]);
}

#[tokio::test]
async fn who_was_made_just_now_is_asked_for_and_stays() {
    let estate = Estate::told().await;
    estate.api.watches(Watches::Lag);
    estate.run("new", 9, "b", 9);
    estate.cut("k8s:prod/pod/web-0", "k8s:prod/pod/new").await;
    estate.comes_to("b", &[(9, &["10.1.0.1"])]).await;
    // Of whom nothing is told yet is watched by itself, and not taken for gone.
    let asked = estate.is_asked(&format!("watch {PODS}")).await;
    let one = format!("{PODS}/new");
    assert_eq!(asked, [one.as_str(), PODS, &format!("watch {PODS}")]);
    estate.api.watches(Watches::Tell);
    // Whatever is told from here on is told of all.
    estate.kill(1, "a");
    estate.api.remove(PODS, "web-0");
    estate.comes_to("b", &[]).await;
    let intent = estate.fleet.intent(1).await;
    let gone: Vec<&String> = intent.notes.iter().filter(|note| note.ends_with("is gone")).collect();
    assert_eq!(gone, ["pod prod/web-0 is gone"]);
    estate.healed().await;
}

#[tokio::test]
async fn a_pod_behind_a_service_that_has_another_address_by_now_is_asked_for() {
    let estate = Estate::told().await;
    estate.api.watches(Watches::Lag);
    estate.run("web-0", 1, "a", 5);
    let target = json!({ "kind": "Pod", "name": "web-0", "uid": uid(1) });
    estate.service(&json!([{ "addresses": ["10.1.0.5"], "targetRef": target }]));
    estate.cut("k8s:prod/svc/web", "k8s:prod/pod/web-1").await;
    estate.comes_to("a", &[(1, &["10.1.0.2"])]).await;
    estate.comes_to("b", &[(2, &["10.1.0.5"]), (2, &["10.96.0.7", "fd79::7"])]).await;
    estate.healed().await;
}

#[tokio::test]
async fn who_is_told_of_by_a_watch_of_its_own_is_not_missed_by_what_is_told_of_all() {
    let estate = Estate::told().await;
    estate.api.watches(Watches::LagOfAll);
    estate.run("new", 9, "b", 9);
    estate.cut("k8s:prod/pod/web-0", "k8s:prod/pod/new").await;
    estate.comes_to("b", &[(9, &["10.1.0.1"])]).await;
    estate.is_asked(&format!("watch {PODS}")).await;
    estate.kill(9, "b");
    estate.api.remove(PODS, "new");
    estate.comes_to("b", &[]).await;
    estate.run("new", 8, "b", 8);
    estate.comes_to("b", &[(8, &["10.1.0.1"])]).await;
    estate.healed().await;
}

#[tokio::test]
async fn who_has_the_place_or_the_address_of_another_one_by_now_is_not_taken_for_it() {
    let estate = Estate::told().await;
    estate.api.watches(Watches::Lag);
    estate.kill(1, "a");
    estate.api.remove(PODS, "web-0");
    estate.run("innocent", 7, "a", 1);
    estate.run("web-0", 3, "b", 3);
    let cut = estate.cut("k8s:prod/pod/web-0", "k8s:prod/pod/web-1").await;
    assert!(cut.ends[0].evidence[0].contains(&uid(3)), "{:?}", cut.ends[0].evidence);
    estate.comes_to("b", &[(2, &["10.1.0.3"])]).await;
    estate.comes_to("a", &[]).await;
    let asked = estate.is_asked(&format!("watch {PODS}")).await;
    assert_eq!(asked[0], format!("{PODS}/web-0"));
    estate.healed().await;
}

#[tokio::test]
async fn what_is_not_current_is_asked_for_until_it_is_again() {
    let estate = Estate::told().await;
    estate.api.watches(Watches::Fail);
    until(async || !estate.kubernetes.is_current()).await;
    // What happens meanwhile nobody is told.
    estate.kill(1, "a");
    estate.api.remove(PODS, "web-0");
    estate.run("web-0", 3, "a", 3);
    estate.api.asked();
    estate.cut("k8s:prod/pod/web-0", "k8s:prod/pod/web-1").await;
    estate.comes_to("b", &[(2, &["10.1.0.3"])]).await;
    let asked = estate.api.asked();
    for path in ["namespaces/prod/pods/web-0", "namespaces/prod/pods/web-1", "nodes/a"] {
        assert!(asked.contains(&format!("/api/v1/{path}")), "{path}: {asked:?}");
    }
    estate.healed().await;
    // It is started anew, and has forgotten what happened.
    estate.api.forget();
    estate.api.watches(Watches::Tell);
    estate.is_current().await;
    estate.api.asked();
    let asked = wire::Spec { enforcement: 0, ..spec("k8s:prod/pod/web-0", "k8s:prod/pod/web-1") };
    let cut = estate.fleet.ask(2, asked).await.unwrap();
    assert_eq!(cut.stage(), wire::Stage::Active, "{}", cut.reason);
    assert!(cut.ends[0].evidence[0].contains(&uid(3)), "{:?}", cut.ends[0].evidence);
    estate.comes_to("b", &[(2, &["10.1.0.3"])]).await;
    assert_eq!(estate.api.asked(), [""; 0]);
}

#[tokio::test]
async fn who_takes_a_place_while_nothing_is_told_is_not_taken_for_gone() {
    let estate = Estate::told().await;
    estate.cut("k8s:prod/pod/web-0", "k8s:prod/pod/web-1").await;
    estate.comes_to("b", &[(2, &["10.1.0.1"])]).await;
    estate.api.watches(Watches::Fail);
    until(async || !estate.kubernetes.is_current()).await;
    // Their nodes say that they are gone. Who has come is asked for, and is in nothing that was told.
    estate.kill(1, "a");
    estate.api.remove(PODS, "web-0");
    estate.run("web-0", 3, "a", 3);
    estate.comes_to("b", &[(2, &["10.1.0.3"])]).await;
    estate.kill(2, "b");
    estate.api.remove(PODS, "web-1");
    estate.run("web-1", 4, "b", 4);
    estate.comes_to("b", &[(4, &["10.1.0.3"])]).await;
    let gone = async || {
        let notes = estate.fleet.intent(1).await.notes;
        notes.into_iter().filter(|note| note.ends_with("is gone")).collect::<Vec<_>>()
    };
    assert_eq!(gone().await, ["pod prod/web-0 is gone", "pod prod/web-1 is gone"]);
    estate.api.watches(Watches::Tell);
    estate.is_current().await;
    // What goes from here on is told.
    estate.api.remove(PODS, "web-0");
    estate.comes_to("b", &[]).await;
    assert_eq!(gone().await.len(), 3);
    estate.healed().await;
}

#[tokio::test]
async fn what_would_be_refused_is_asked_for_first() {
    let estate = Estate::told().await;
    let node = |ready: &str| {
        let ready = json!([{ "type": "Ready", "status": ready, "reason": "KubeletNotReady" }]);
        json!({ "metadata": { "name": "a" }, "status": { "conditions": ready } })
    };
    estate.api.watches(Watches::Fail);
    until(async || !estate.kubernetes.is_current()).await;
    estate.api.put("/api/v1/nodes", node("False"));
    estate.api.watches(Watches::Tell);
    estate.is_current().await;
    let asked = spec("k8s:prod/pod/web-0", "k8s:prod/pod/web-1");
    let error = estate.fleet.ask(2, asked).await.unwrap_err().to_string();
    assert!(error.contains("is not ready: KubeletNotReady"), "{error}");
    // Nobody has told yet that it is again.
    estate.api.watches(Watches::Lag);
    estate.api.put("/api/v1/nodes", node("True"));
    estate.api.asked();
    estate.cut("k8s:prod/pod/web-0", "k8s:prod/pod/web-1").await;
    assert_eq!(estate.api.asked()[0], "/api/v1/nodes/a");
    let nobody = estate.fleet.ask(3, spec("k8s:prod/pod/web-7", "k8s:prod/pod/web-1")).await;
    let error = nobody.unwrap_err().to_string();
    assert!(error.contains("namespace prod has no Pod web-7"), "{error}");
    estate.healed().await;
}
