//! From pods to targets: the API server says where they are, and the agent there what they are.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fault::{
    Aspect, ContainerName, KubernetesPods, NodeName, Pick, Pod, PodUid, PodsBy, Scheme, Selector,
    Target,
};
use futures_util::future::try_join_all;

use super::resolving::{ResolveError, pick};
use crate::agents::Agents;
use crate::failure::{Cause, Failure};
use crate::planning::{End, Place};
use crate::provider::kubernetes::{Excluded, Found, Kubernetes, Located, PodsError};
use crate::sight::Player;

/// How long an agent may take to say what a pod is.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a selector names, after its pick: only of those that were picked their agents are asked.
///
/// # Errors
/// It does not name what was meant, or something of it that cannot be hit.
pub(super) async fn ends(
    kubernetes: Option<&Kubernetes>,
    agents: &Agents,
    selector: &Selector,
    pods: &KubernetesPods,
    aspect: Aspect,
    seed: u64,
) -> Result<Vec<End>, ResolveError> {
    let failed = |error| ResolveError::Pods { selector: selector.clone(), error: Box::new(error) };
    let kubernetes = kubernetes.ok_or_else(|| failed(PodsError::NoCluster))?;
    // Before: it may be otherwise by the time that agents have answered.
    let may_be_told = kubernetes.is_current();
    let found = kubernetes.find(pods).await.map_err(failed)?;
    match picked(agents, selector, pods, found, aspect, seed).await {
        // What was told of them may be old.
        Err(error) if may_be_told && may_pass_when_asked(&error) => {
            let found = kubernetes.find_anew(pods).await.map_err(failed)?;
            picked(agents, selector, pods, found, aspect, seed).await
        }
        picked => picked,
    }
}

/// Whether other pods, or the same elsewhere, would do.
pub(super) const fn may_pass_when_asked(error: &ResolveError) -> bool {
    match error {
        ResolveError::Nothing { .. }
        | ResolveError::Ambiguous { .. }
        | ResolveError::TooFew { .. }
        | ResolveError::Agent { .. }
        | ResolveError::Other { .. }
        | ResolveError::Unreachable(_)
        | ResolveError::Pods { .. } => true,
        ResolveError::Away { .. }
        | ResolveError::Refused { .. }
        | ResolveError::Sight { .. }
        | ResolveError::Service(_) => false,
    }
}

/// Those of what was found that are meant, as the agents of their nodes find them.
async fn picked(
    agents: &Agents,
    selector: &Selector,
    pods: &KubernetesPods,
    found: Found,
    aspect: Aspect,
    seed: u64,
) -> Result<Vec<End>, ResolveError> {
    let failed = |error| ResolveError::Pods { selector: selector.clone(), error: Box::new(error) };
    let mut named: BTreeSet<String> = found.names().map(ToString::to_string).collect();
    let found = match &selector.node {
        Some(node) => found.on(node),
        None => found,
    };
    let left_out: Vec<String> = found
        .unusable
        .iter()
        .chain(&found.leaving)
        .map(|one| format!("not {}, for {}", one.pod.name, one.why))
        .collect();
    let usable = usable(found, selector).map_err(failed)?;
    let asked = || format!("namespace {}", pods.namespace);
    let picked = pick(selector, usable, seed, |one| one.pod.to_string(), asked)?;
    for one in &picked {
        named.remove(&one.pod.to_string());
    }
    let passed_over = Arc::new(named);
    let one = async |located| {
        let end = end(agents, selector, located, aspect, &left_out).await?;
        Ok(End { passed_over: Arc::clone(&passed_over), ..end })
    };
    try_join_all(picked.into_iter().map(one)).await
}

/// A pod as an end, once the agent of its node has found it.
///
/// # Errors
/// That agent is not there, or finds nothing of it, or something else.
pub(super) async fn end(
    agents: &Agents,
    selector: &Selector,
    located: Located,
    aspect: Aspect,
    more: &[String],
) -> Result<End, ResolveError> {
    let container = match &selector.scheme {
        Scheme::Kubernetes(pods) => container(pods),
        Scheme::Netns(_)
        | Scheme::Pid(_)
        | Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Host(_)
        | Scheme::Addr(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_) => None,
    };
    let target = target(agents, selector, &located, container, aspect).await?;
    let Located { pod, uid, node, .. } = &located;
    let mut evidence =
        vec![format!("the API server has pod {pod}, {uid}, on {node}, and its agent found it")];
    evidence.extend(more.iter().cloned());
    let place = Place::Target(node.clone(), Box::new(target));
    let (member, pod) = (pod.member(), Some(Box::new(located)));
    Ok(End { member, pod, ..End::found(selector.clone(), place, evidence) })
}

/// The container of pods that is meant.
fn container(pods: &KubernetesPods) -> Option<&ContainerName> {
    match &pods.which {
        PodsBy::Name { container, .. } => container.as_ref(),
        PodsBy::StatefulSet { .. }
        | PodsBy::Deployment(_)
        | PodsBy::Service(_)
        | PodsBy::Labels(_) => None,
    }
}

/// Those among which is picked. What is meant and cannot be hit is left out where any will do, and an error where
/// it was named, or how many there are is part of what was asked.
pub(crate) fn usable(found: Found, selector: &Selector) -> Result<Vec<Located>, PodsError> {
    let any_will_do = match selector.pick {
        Some(Pick::One | Pick::Count(_)) => true,
        Some(Pick::All | Pick::Percent(_)) | None => false,
    };
    let nobody = found.usable.is_empty();
    let first = match found.unusable.into_iter().next() {
        Some(first) if nobody || !any_will_do => Some(first),
        Some(_) => None,
        None if nobody => found.leaving.into_iter().next(),
        None => None,
    };
    match first {
        None => Ok(found.usable),
        Some(Excluded { pod, why, .. }) => Err(PodsError::Unusable { pod, why }),
    }
}

/// Makes sure that none of what was found under another name than a pod's is in one that is left alone: whoever
/// may not name it may not reach it by its number, its namespace or its role either. Returned: the same, with the pods
/// in which they are.
///
/// # Errors
/// It may not be hit, or nobody can say whether it may.
pub(super) async fn admit(
    kubernetes: Option<&Kubernetes>,
    selector: &Selector,
    found: Vec<End>,
) -> Result<Vec<End>, ResolveError> {
    let Some(kubernetes) = kubernetes else { return Ok(found) };
    let in_pod = |end: &End| match &end.place {
        Place::Target(node, target) => Some((node.clone(), uid(target)?.clone())),
        Place::Addresses(_) => None,
    };
    let pods: BTreeSet<(NodeName, PodUid)> = found.iter().filter_map(in_pod).collect();
    let failed = |error| ResolveError::Pods { selector: selector.clone(), error: Box::new(error) };
    let known = kubernetes.admit(&pods).await.map_err(failed)?;
    let with_pod = found.into_iter().map(|end| {
        let pod = in_pod(&end).and_then(|place| known.get(&place));
        End { pod: pod.cloned().map(Box::new), ..end }
    });
    Ok(with_pod.collect())
}

/// The pod in which a target is.
fn uid(target: &Target) -> Option<&PodUid> {
    let named = match &target.selector.scheme {
        Scheme::Pod(pod) => Some(&pod.uid),
        Scheme::Netns(_)
        | Scheme::Pid(_)
        | Scheme::Container(_)
        | Scheme::Host(_)
        | Scheme::Addr(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_)
        | Scheme::Kubernetes(_) => None,
    };
    target.pod.as_ref().or(named)
}

/// What the agent of its node finds, which must be where the API server has it.
async fn target(
    agents: &Agents,
    selector: &Selector,
    located: &Located,
    container: Option<&ContainerName>,
    aspect: Aspect,
) -> Result<Target, ResolveError> {
    let failed = |error| ResolveError::Pods { selector: selector.clone(), error: Box::new(error) };
    let Located { pod, node, .. } = located;
    let away = || failed(PodsError::NoAgent { pod: pod.clone(), node: node.clone() });
    let mut link = agents.link(node).ok_or_else(away)?;
    let absent = || failed(PodsError::NotOnNode { pod: pod.clone(), node: node.clone() });
    let scheme = scheme(located, container).ok_or_else(absent)?;
    let on_node = Selector { pick: None, scheme, node: None };
    let said = |reason| ResolveError::Agent { node: node.clone(), reason };
    let found = match tokio::time::timeout(PATIENCE, link.resolve(&on_node, aspect)).await {
        Ok(Ok(found)) => found,
        Ok(Err(Failure { cause: Cause::NotFound, .. })) => return Err(absent()),
        Ok(Err(Failure { cause: Cause::Refused, reason, hint, .. })) => {
            let hint = hint.unwrap_or_default();
            return Err(ResolveError::Refused { node: node.clone(), reason, hint });
        }
        Ok(Err(failure)) => return Err(said(failure.reason)),
        Err(_) => return Err(said("no answer in time".to_owned())),
    };
    let [target] = <[Target; 1]>::try_from(found).map_err(|_| absent())?;
    let own: BTreeSet<IpAddr> = target.addresses.iter().map(|one| one.address).collect();
    if own.is_superset(&located.addresses) {
        return Ok(target);
    }
    let reachable = own.into_iter().filter(|address| !address.is_loopback()).collect();
    let (pod, node, told) = (pod.clone(), node.clone(), located.addresses.clone());
    Err(failed(PodsError::OtherAddresses { pod, node, told, found: reachable }))
}

/// What the agent of its node finds of a pod, or of a container of it: nothing, or the one target that has its addresses.
///
/// # Errors
/// It does not say, and why.
pub(super) async fn housed(
    agents: &Agents,
    located: &Located,
    container: Option<&ContainerName>,
    aspect: Aspect,
) -> Result<Option<Target>, String> {
    let away = || "its agent is not connected".to_owned();
    let mut link = agents.link(&located.node).ok_or_else(away)?;
    let Some(scheme) = scheme(located, container) else { return Ok(None) };
    let on_node = Selector { pick: None, scheme, node: None };
    let found = match tokio::time::timeout(PATIENCE, link.resolve(&on_node, aspect)).await {
        Ok(Ok(found)) => found,
        Ok(Err(Failure { cause: Cause::NotFound, .. })) => return Ok(None),
        Ok(Err(failure)) => return Err(failure.reason),
        Err(_) => return Err("no answer in time".to_owned()),
    };
    let found = <[Target; 1]>::try_from(found).ok().map(|[target]| target);
    Ok(found.filter(|target| {
        let own: BTreeSet<IpAddr> = target.addresses.iter().map(|one| one.address).collect();
        own.is_superset(&located.addresses)
    }))
}

/// The container of each member in which something is to be done, in place of its pod: of what else is in that nothing
/// is meant.
///
/// # Errors
/// Its agent does not find it.
pub(super) async fn members(
    agents: &Agents,
    selector: &Selector,
    players: Vec<Player>,
    aspect: Aspect,
) -> Result<Vec<End>, ResolveError> {
    let one = async |Player { end, home }: Player| {
        let located = home.as_deref().and_then(|home| Some((home, home.pod.as_ref().ok()?)));
        match (located, aspect) {
            (None, _) | (_, Aspect::Network) => Ok(end),
            (Some((home, located)), Aspect::Processes) => {
                let container = home.container.as_ref();
                let target = target(agents, selector, located, container, aspect).await?;
                let place = Place::Target(located.node.clone(), Box::new(target));
                Ok(End { place, ..end })
            }
        }
    };
    try_join_all(players.into_iter().map(one)).await
}

/// How the agent of its node knows a pod.
fn scheme(located: &Located, container: Option<&ContainerName>) -> Option<Scheme> {
    let uid = PodUid::new(&located.uid)?;
    Some(Scheme::Pod(Pod { uid, container: container.cloned() }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::cut::specimen;
    use crate::provider::kubernetes::{Guard, PodName, Unusable, mock};

    fn located(name: &str, node: &str) -> Located {
        Located {
            pod: PodName { namespace: "prod".to_owned(), name: name.to_owned() },
            uid: format!("uid-{name}"),
            node: fault::NodeName::new(node).unwrap(),
            addresses: BTreeSet::from([[10, 0, 0, 1].into()]),
            labels: BTreeMap::new(),
        }
    }

    /// One whose name ends with its node, where it has one.
    fn out(name: &str, why: Unusable) -> Excluded {
        let pod = PodName { namespace: "prod".to_owned(), name: name.to_owned() };
        let node = name.split_once('@').map(|(_, node)| node.to_owned());
        Excluded { pod, node, why }
    }

    #[test]
    fn who_cannot_be_hit_matters_where_it_was_counted() {
        let found = |usable: &[&str], unusable: &[&str], leaving: &[&str]| Found {
            usable: usable.iter().map(|name| located(name, "n1")).collect(),
            unusable: unusable.iter().map(|name| out(name, Unusable::NoAddress)).collect(),
            leaving: leaving.iter().map(|name| out(name, Unusable::Terminating)).collect(),
        };
        let label = "k8s:prod/label:app";
        // Selector, what there is, and how many remain, or who is in the way.
        let table = [
            (format!("all:{label}"), found(&["a", "b"], &[], &["c"]), Ok(2)),
            (format!("all:{label}"), found(&["a", "b"], &["d"], &[]), Err("d")),
            (format!("50%:{label}"), found(&["a", "b"], &["d"], &[]), Err("d")),
            (format!("one:{label}"), found(&["a", "b"], &["d"], &["c"]), Ok(2)),
            (format!("2:{label}"), found(&["a", "b"], &["d"], &[]), Ok(2)),
            (format!("one:{label}"), found(&[], &["d"], &["c"]), Err("d")),
            (format!("one:{label}"), found(&[], &[], &["c"]), Err("c")),
            (label.to_owned(), found(&["a"], &["d"], &[]), Err("d")),
            (label.to_owned(), found(&["a"], &[], &["c"]), Ok(1)),
            (label.to_owned(), found(&[], &[], &[]), Ok(0)),
            (format!("{label}@n2"), found(&["a"], &[], &[]), Ok(0)),
            // What is on another node is not meant, and what has none is on another.
            (format!("all:{label}@n1"), found(&["a"], &["d@n2", "e"], &[]), Ok(1)),
            (format!("all:{label}@n1"), found(&["a"], &["d@n1"], &[]), Err("d@n1")),
            (format!("50%:{label}@n1"), found(&["a"], &["c@n2", "d@n1"], &[]), Err("d@n1")),
            (format!("one:{label}@n1"), found(&["a"], &["d@n1"], &[]), Ok(1)),
            (format!("{label}@n1"), found(&["a"], &["d@n1"], &[]), Err("d@n1")),
            (format!("{label}@n2"), found(&["a"], &["d@n1"], &["c@n1"]), Ok(0)),
            (format!("{label}@n2"), found(&["a"], &["d"], &["c@n1"]), Err("d")),
            (format!("{label}@n2"), found(&["a"], &["d"], &["c@n2"]), Err("c@n2")),
        ];
        for (text, found, expected) in table {
            let selector: Selector = text.parse().unwrap();
            let found = match &selector.node {
                Some(node) => found.on(node),
                None => found,
            };
            let remaining = usable(found, &selector).map(|usable| usable.len());
            let remaining = remaining.map_err(|error| {
                let PodsError::Unusable { pod, .. } = error else { panic!("{error}") };
                pod.name
            });
            assert_eq!(remaining, expected.map_err(ToOwned::to_owned), "{text}");
        }
    }

    #[test]
    fn an_agent_knows_a_pod_by_its_uid_and_a_container_by_its_name() {
        let mut one = located("a", "n1");
        assert_eq!(scheme(&one, None), None);
        one.uid = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6".to_owned();
        let text = |container: Option<&str>| {
            let container = container.and_then(ContainerName::new);
            scheme(&one, container.as_ref()).unwrap().to_string()
        };
        assert_eq!(text(None), format!("pod:{}", one.uid));
        assert_eq!(text(Some("app")), format!("pod:{}/app", one.uid));
    }

    const UID: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";

    /// What an agent has found by a name, and in which pod it says that this is.
    fn end(name: &str, pod: Option<&str>) -> End {
        let pod = pod.and_then(PodUid::new);
        let target = Target { pod, ..specimen::target(name, specimen::identity(1, None)) };
        let selector = target.selector.clone();
        let place = Place::Target(NodeName::new("n1").unwrap(), Box::new(target));
        End::found(selector, place, Vec::new())
    }

    #[tokio::test]
    async fn whoever_may_not_name_a_pod_may_not_reach_it_by_another_name() {
        let dns = json!({ "metadata": { "name": "dns", "namespace": "kube-system", "uid": UID } });
        let client = mock::client([("/api/v1/pods", json!([dns]))].into()).await;
        let kubernetes = Kubernetes::of(client, Guard::default());
        let names = ["pid:7", "container:abcd1234", "netns:cni-1", "etcd:leader"];
        let found = names.map(|name| end(name, Some(UID)));
        // An agent of before says of no target in which pod it is.
        let by_name = end(&format!("pod:{UID}/dns"), None);
        for one in found.into_iter().chain([by_name]) {
            let (selector, all) = (one.selector.clone(), [end("pid:9", None), one]);
            let refused = admit(Some(&kubernetes), &selector, all.to_vec()).await.unwrap_err();
            let ResolveError::Pods { error, .. } = &refused else { panic!("{refused}") };
            let PodsError::Unusable { why: Unusable::Protected(_), pod } = &**error else {
                panic!("{refused}")
            };
            assert_eq!(pod.to_string(), "kube-system/dns");
            // Without a cluster nothing of one is left alone.
            assert_eq!(admit(None, &selector, all.to_vec()).await.unwrap(), all);
        }
        let plain = vec![end("pid:9", None), end("netns:a", None)];
        let selector = plain[0].selector.clone();
        assert_eq!(admit(Some(&kubernetes), &selector, plain.clone()).await.unwrap(), plain);
    }

    #[tokio::test]
    async fn of_what_was_found_by_another_name_the_pod_is_known() {
        let labels = json!({ "app.kubernetes.io/name": "etcd" });
        let pod = json!({
            "metadata": { "name": "etcd-0", "namespace": "prod", "uid": UID, "labels": labels },
        });
        let client = mock::client([("/api/v1/pods", json!([pod]))].into()).await;
        let kubernetes = Kubernetes::of(client, Guard::default());
        let all = vec![end("pid:7", Some(UID)), end("netns:a", None)];
        let found = admit(Some(&kubernetes), &all[0].selector.clone(), all).await.unwrap();
        let pod = found[0].pod.as_ref().unwrap();
        assert_eq!((pod.pod.to_string().as_str(), pod.uid.as_str()), ("prod/etcd-0", UID));
        let groups = kubernetes.memberships(pod).into_iter();
        let groups: Vec<String> = groups.map(|(system, path)| format!("{system}:{path}")).collect();
        // The installation that has no name has to be known from others there.
        assert_eq!(groups, ["etcd:prod/-"]);
        assert_eq!(found[1].pod, None);
    }
}
