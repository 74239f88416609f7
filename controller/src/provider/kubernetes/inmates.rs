//! The pods of a node that goes out of use: which of them are evicted. Pure.

use cluster::{Phase, Pod};

/// The annotation of a pod that a kubelet has from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Why a pod stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stays {
    /// A DaemonSet would make it anew at once.
    DaemonSet,
    /// Its kubelet has it from a file.
    Mirror,
    /// All of its containers have ended.
    Finished,
    /// It is on its way out.
    Leaving,
}

/// Why a pod stays where its node is drained; `None` for one that is evicted.
pub(super) fn stays(pod: &Pod) -> Option<Stays> {
    if pod.metadata.annotations.contains_key(MIRROR) {
        return Some(Stays::Mirror);
    }
    if pod.metadata.controller().is_some_and(|maker| maker.kind == "DaemonSet") {
        return Some(Stays::DaemonSet);
    }
    match pod.status.phase {
        Phase::Succeeded | Phase::Failed => return Some(Stays::Finished),
        Phase::Pending | Phase::Running | Phase::Unknown => {}
    }
    pod.metadata.deletion_timestamp.is_some().then_some(Stays::Leaving)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn whoever_would_come_back_at_once_or_does_nothing_stays() {
        let owner =
            |kind: &str| json!([{ "kind": kind, "name": "x", "uid": "u", "controller": true }]);
        let pod = |metadata: Value, phase: &str| {
            let pod = json!({ "metadata": metadata, "status": { "phase": phase } });
            stays(&serde_json::from_value(pod).unwrap())
        };
        let table = [
            (json!({}), "Running", None),
            (json!({ "ownerReferences": owner("ReplicaSet") }), "Pending", None),
            (json!({ "ownerReferences": owner("DaemonSet") }), "Running", Some(Stays::DaemonSet)),
            (json!({ "annotations": { MIRROR: "x" } }), "Running", Some(Stays::Mirror)),
            (json!({ "ownerReferences": owner("Job") }), "Succeeded", Some(Stays::Finished)),
            (
                json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" }),
                "Running",
                Some(Stays::Leaving),
            ),
        ];
        for (metadata, phase, expected) in table {
            assert_eq!(pod(metadata.clone(), phase), expected, "{metadata}");
        }
    }
}
