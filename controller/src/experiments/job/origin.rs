//! Of which Job a command is a part: what its pod tells it, and what it says of that by the objects that it makes.

use cluster::{Metadata, Owner};
use fault::IntentId;
use serde_json::{Value, json};

use super::LABEL;

/// Of which run.
const RUN: &str = "SCHISM_EXPERIMENT_RUN";

/// In which pod, and of which UID, in which namespace.
const POD: [&str; 3] = ["SCHISM_POD", "SCHISM_POD_UID", "SCHISM_POD_NAMESPACE"];

/// Where a pod finds them (downward API).
const FIELDS: [&str; 3] = ["metadata.name", "metadata.uid", "metadata.namespace"];

/// The pod of the Job that a command is a part of, itself or as a program of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    run: String,
    pod: String,
    uid: String,
    namespace: String,
}

impl Origin {
    /// What the environment of a command says; `None` outside of such a pod.
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let said = |name: &str| get(name).filter(|value| !value.is_empty());
        let [pod, uid, namespace] = POD.map(said);
        Some(Self { run: said(RUN)?, pod: pod?, uid: uid?, namespace: namespace? })
    }

    /// The same as its pod is told it.
    pub(super) fn told(id: IntentId) -> impl Iterator<Item = Value> {
        let field = |(name, path): (&str, &str)| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
        let run = json!({ "name": RUN, "value": id.to_string() });
        std::iter::once(run).chain(POD.into_iter().zip(FIELDS).map(field))
    }

    /// Says it of an object that is made: which run it is of, and that it goes with the pod, where that can be. What is
    /// of the cluster, or elsewhere, goes with nothing in a namespace.
    pub(crate) fn mark(&self, metadata: &mut Metadata) {
        metadata.labels.insert(LABEL.to_owned(), self.run.clone());
        if metadata.namespace.as_ref() == Some(&self.namespace) {
            metadata.owner_references.push(Owner {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: self.pod.clone(),
                uid: self.uid.clone(),
                // It heals its faults itself; that nobody waits for them takes no right to its pod.
                controller: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        let given = |name: &str| match name {
            RUN => Some("00000000000a".to_owned()),
            "SCHISM_POD" => Some("its-pod".to_owned()),
            "SCHISM_POD_UID" => Some("u-1".to_owned()),
            "SCHISM_POD_NAMESPACE" => Some("prod".to_owned()),
            _ => None,
        };
        Origin::read(given).unwrap()
    }

    #[test]
    fn what_a_pod_is_told_is_what_a_command_reads() {
        let told: Vec<Value> = Origin::told(IntentId::from_random(0xa)).collect();
        let names: Vec<&str> = told.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, [RUN, POD[0], POD[1], POD[2]]);
        assert_eq!(told[0]["value"], "00000000000a");
        assert_eq!(told[2]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.uid");
        assert_eq!(Origin::read(|_| None), None);
        assert_eq!(Origin::read(|name| (name != RUN).then(|| "x".to_owned())), None);
        assert_eq!(Origin::read(|_| Some(String::new())), None);
    }

    #[test]
    fn a_fault_goes_with_the_pod_where_that_can_be() {
        let marked = |namespace: Option<&str>| {
            let namespace = namespace.map(ToOwned::to_owned);
            let mut metadata = Metadata { namespace, ..Metadata::default() };
            origin().mark(&mut metadata);
            metadata
        };
        let own = marked(Some("prod"));
        assert_eq!(own.labels[LABEL], "00000000000a");
        let owners = serde_json::to_value(&own.owner_references).unwrap();
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "name": "its-pod", "uid": "u-1" });
        assert_eq!(owners, json!([pod]));
        for elsewhere in [marked(None), marked(Some("store"))] {
            assert_eq!(elsewhere.labels[LABEL], "00000000000a");
            assert_eq!(elsewhere.owner_references, []);
        }
    }
}
