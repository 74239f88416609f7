//! What a shelf has after whatever was told.

use cluster::{ApiError, Cause, Metadata, Pulse};
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A pod of one of two namespaces, by a number, and which of its name it is.
fn pod((place, life): (u8, u8)) -> Pod {
    let metadata = Metadata {
        namespace: Some(format!("ns-{}", place % 2)),
        name: format!("pod-{place}"),
        uid: format!("{place}-{life}"),
        ..Metadata::default()
    };
    Pod { metadata, ..Pod::default() }
}

#[derive(Clone, Debug)]
enum Tale {
    Listed(Vec<(u8, u8)>),
    Applied((u8, u8)),
    Deleted(u8),
    Trouble,
}

fn any_tale() -> impl Strategy<Value = Tale> {
    let one = || (0u8..6, 0u8..3);
    prop_oneof![
        1 => proptest::collection::btree_map(0u8..6, 0u8..3, 0..6)
            .prop_map(|all| Tale::Listed(all.into_iter().collect())),
        6 => one().prop_map(Tale::Applied),
        3 => (0u8..6).prop_map(Tale::Deleted),
        1 => Just(Tale::Trouble),
    ]
}

proptest! {
    /// It has what a list would have by then, and says what has changed.
    #[test]
    fn it_has_what_there_is(tales in proptest::collection::vec(any_tale(), 0..40)) {
        let shelf = Arc::new(Shelf::<Pod>::new(Pulse::default()));
        let mut there: BTreeMap<u8, u8> = BTreeMap::new();
        let mut subscription = Subscription::of(&shelf);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for tale in tales {
            let moved = !matches!(tale, Tale::Trouble);
            let event = match tale {
                Tale::Listed(all) => {
                    there = all.iter().copied().collect();
                    Event::Listed(all.into_iter().map(pod).collect())
                }
                Tale::Applied(one) => {
                    there.insert(one.0, one.1);
                    Event::Applied(pod(one))
                }
                Tale::Deleted(place) => {
                    let life = there.remove(&place).unwrap_or_default();
                    Event::Deleted(pod((place, life)))
                }
                Tale::Trouble => {
                    let cause = Cause::Broken("it hangs".to_owned());
                    Event::Trouble(ApiError { attempted: "watch pods".to_owned(), cause })
                }
            };
            shelf.take(event);
            if moved {
                let told = runtime.block_on(subscription.moved());
                if let Moved::One(place) = told {
                    let (found, own) = (subscription.get(&place), shelf.get(&place.0, &place.1));
                    prop_assert_eq!(found, own);
                }
            }
            let mut found = Vec::new();
            for namespace in ["ns-0", "ns-1"] {
                let all = shelf.within(namespace);
                prop_assert!(all.is_sorted_by(|a, b| a.metadata.name < b.metadata.name));
                found.extend(all.iter().map(|pod| pod.metadata.uid.clone()));
            }
            found.sort();
            let mut expected: Vec<String> =
                there.iter().map(|(place, life)| format!("{place}-{life}")).collect();
            expected.sort();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(shelf.all().len(), there.len());
        }
        prop_assert!(!shelf.is_current(), "nobody watches");
    }
}

#[test]
fn what_is_used_is_kept() {
    let condition = |kind: &str| json!({ "type": kind, "status": "False", "reason": "Asleep" });
    let node = json!({
        "metadata": {
            "name": "n1", "annotations": { "a": "b" },
            "labels": { "node-role.kubernetes.io/control-plane": "" },
        },
        "status": { "conditions": [condition("MemoryPressure"), condition("Ready")] },
    });
    let node = serde_json::from_value::<Node>(node).unwrap().slim();
    assert_eq!((node.unready(), node.is_of_control_plane()), (Some("Asleep"), true));
    assert_eq!((node.status.conditions.len(), node.metadata.annotations.len()), (1, 0));
    let owner = |uid: &str, controller: bool| json!({ "kind": "X", "name": "x", "uid": uid, "controller": controller });
    let pod = json!({
        "metadata": {
            "name": "a", "labels": { "app": "web" },
            "annotations": {
                "kubernetes.io/config.hash": "h", "kubectl.kubernetes.io/default-container": "c",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
            },
            "ownerReferences": [owner("other", false), owner("maker", true)],
        },
        "status": { "conditions": [condition("Ready")], "containerStatuses": [{ "name": "c", "state": { "running": { "startedAt": "now" } } }] },
    });
    let pod = serde_json::from_value::<Pod>(pod).unwrap().slim();
    assert_eq!(pod.metadata.annotations.len(), 2);
    assert_eq!(pod.metadata.controller().map(|owner| owner.uid.as_str()), Some("maker"));
    assert_eq!(pod.metadata.labels["app"], "web");
    assert!(pod.status.container_statuses[0].is_running());
    assert_eq!(pod.status.conditions, [], "nobody asks for them here");
}
