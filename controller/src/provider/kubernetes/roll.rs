//! Pods that agents have found on their nodes, and who the API server says that is. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster::Pod;
use fault::{NodeName, PodUid};

/// By what a pod is known to its node that a kubelet has from a file. Whoever makes a pod may give it any.
const HASH: &str = "kubernetes.io/config.hash";

/// Who is looked for, by node and by what the node knows them, and who that is as far as it is known.
#[derive(Debug)]
pub(super) struct Roll<'a>(BTreeMap<&'a str, BTreeMap<&'a str, Known>>);

/// Who one of them may be.
#[derive(Debug, Default)]
struct Known {
    /// The pod whose UID it is, which nobody can choose.
    own: Option<Arc<Pod>>,
    /// Those that say so themselves.
    claiming: Vec<Arc<Pod>>,
}

impl Known {
    /// All that it may be: whoever claims to be another pod is nobody.
    fn all(&self) -> &[Arc<Pod>] {
        if self.own.is_some() { self.own.as_slice() } else { &self.claiming }
    }
}

impl<'a> Roll<'a> {
    /// Nobody is known yet.
    pub(super) fn of(found: &'a BTreeSet<(NodeName, PodUid)>) -> Self {
        let mut all: BTreeMap<&str, BTreeMap<&str, Known>> = BTreeMap::new();
        for (node, uid) in found {
            all.entry(node.as_str()).or_default().insert(uid.as_str(), Known::default());
        }
        Self(all)
    }

    /// The nodes on which anybody is looked for.
    pub(super) fn nodes(&self) -> BTreeSet<&'a str> {
        self.0.keys().copied().collect()
    }

    /// These are wherever they say. Each is looked at once, however many nodes there are.
    pub(super) fn call(&mut self, pods: &[Arc<Pod>]) {
        for pod in pods {
            if let Some(node) = pod.spec.node_name.as_deref() {
                self.enter(node, pod);
            }
        }
    }

    /// All that there are on a node.
    pub(super) fn call_on(&mut self, node: &str, pods: &[Arc<Pod>]) {
        self.forget(node);
        for pod in pods {
            self.enter(node, pod);
        }
    }

    fn enter(&mut self, node: &str, pod: &Arc<Pod>) {
        let Some(wanted) = self.0.get_mut(node) else { return };
        if let Some(known) = wanted.get_mut(pod.metadata.uid.as_str()) {
            known.own = Some(Arc::clone(pod));
        }
        let of_file = pod.metadata.annotations.get(HASH);
        if let Some(known) = of_file.and_then(|hash| wanted.get_mut(hash.as_str())) {
            known.claiming.push(Arc::clone(pod));
        }
    }

    /// What is known of a node is not believed.
    pub(super) fn forget(&mut self, node: &str) {
        if let Some(wanted) = self.0.get_mut(node) {
            wanted.values_mut().for_each(|known| *known = Known::default());
        }
    }

    /// The nodes with somebody who is not known but by what is claimed, or is not fine there.
    pub(super) fn doubtful(&self, is_fine: impl Fn(&Pod, &str) -> bool) -> BTreeSet<&'a str> {
        let is_open =
            |node: &str, known: &Known| known.own.as_ref().is_none_or(|pod| !is_fine(pod, node));
        let open =
            self.0.iter().filter(|(node, wanted)| wanted.values().any(|one| is_open(node, one)));
        open.map(|(node, _)| *node).collect()
    }

    /// Who that is; several where more than one say so, of which nobody knows whose word is true.
    pub(super) fn found(&self, node: &NodeName, uid: &PodUid) -> &[Arc<Pod>] {
        let known = self.0.get(node.as_str()).and_then(|wanted| wanted.get(uid.as_str()));
        known.map(Known::all).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ONE: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";
    const OTHER: &str = "7f3e2a10-4b5c-4d6e-8f90-000000000001";
    const OF_FILE: &str = "0123456789abcdef0123456789abcdef";

    fn pod(name: &str, node: &str, uid: &str, hash: Option<&str>) -> Arc<Pod> {
        let annotations = hash.map_or(json!({}), |hash| json!({ HASH: hash }));
        let pod = json!({
            "metadata": { "name": name, "uid": uid, "annotations": annotations },
            "spec": { "nodeName": node },
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn wanted(all: &[(&str, &str)]) -> BTreeSet<(NodeName, PodUid)> {
        let one =
            |(node, uid): &(&str, &str)| (NodeName::new(node).unwrap(), PodUid::new(uid).unwrap());
        all.iter().map(one).collect()
    }

    fn name(roll: &Roll<'_>, node: &str, uid: &str) -> Option<String> {
        let (node, uid) = (NodeName::new(node).unwrap(), PodUid::new(uid).unwrap());
        roll.found(&node, &uid).first().map(|pod| pod.metadata.name.clone())
    }

    #[test]
    fn who_is_on_which_node_is_known_by_one_look_at_all() {
        let found = wanted(&[("a", ONE), ("b", ONE), ("b", OF_FILE), ("c", OTHER)]);
        let mut roll = Roll::of(&found);
        assert_eq!(roll.nodes(), ["a", "b", "c"].into());
        roll.call(&[
            pod("web", "a", ONE, None),
            pod("etcd", "b", OTHER, Some(OF_FILE)),
            pod("elsewhere", "d", OTHER, None),
        ]);
        assert_eq!(name(&roll, "a", ONE).as_deref(), Some("web"));
        // The same id on another node is not that pod.
        assert_eq!(name(&roll, "b", ONE), None);
        assert_eq!(name(&roll, "b", OF_FILE).as_deref(), Some("etcd"));
        assert_eq!((name(&roll, "b", OTHER), name(&roll, "c", OTHER)), (None, None));
        assert_eq!(roll.doubtful(|_, _| true), ["b", "c"].into());
        assert_eq!(roll.doubtful(|_, node| node != "a"), ["a", "b", "c"].into());
    }

    #[test]
    fn nobody_is_taken_for_another_pod_because_he_says_so() {
        let found = wanted(&[("a", ONE), ("a", OF_FILE)]);
        let of = |roll: &Roll<'_>, uid: &str| -> Vec<String> {
            let (node, uid) = (NodeName::new("a").unwrap(), PodUid::new(uid).unwrap());
            roll.found(&node, &uid).iter().map(|pod| pod.metadata.name.clone()).collect()
        };
        let mut all = [
            pod("dns", "a", ONE, None),
            pod("liar", "a", OTHER, Some(ONE)),
            pod("etcd", "a", "mirrored", Some(OF_FILE)),
            pod("other-liar", "a", "other", Some(OF_FILE)),
        ];
        for _ in 0..2 {
            let mut roll = Roll::of(&found);
            roll.call(&all);
            assert_eq!(of(&roll, ONE), ["dns"]);
            // All of them have to be fine.
            assert_eq!(of(&roll, OF_FILE).len(), 2);
            all.reverse();
        }
        // The one that it is may have been told of nowhere yet.
        let found = wanted(&[("a", ONE)]);
        let mut roll = Roll::of(&found);
        roll.call(&[pod("liar", "a", OTHER, Some(ONE))]);
        assert_eq!(roll.doubtful(|_, _| true), ["a"].into());
        roll.call(&[pod("dns", "a", ONE, None)]);
        assert_eq!(roll.doubtful(|_, _| true), BTreeSet::new());
    }

    #[test]
    fn what_is_asked_of_a_node_takes_the_place_of_what_was_told() {
        let found = wanted(&[("a", ONE), ("a", OTHER)]);
        let mut roll = Roll::of(&found);
        roll.call(&[pod("web", "a", ONE, None)]);
        // The API server was asked for those of that node, and need not say so again.
        roll.call_on("a", &[pod("other", "", OTHER, None)]);
        let names = (name(&roll, "a", ONE), name(&roll, "a", OTHER));
        assert_eq!(names, (None, Some("other".to_owned())));
    }
}
