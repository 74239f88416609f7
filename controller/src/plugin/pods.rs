//! Pods that a text names, as the user finds them: nobody but the API server is asked.

use cluster::Client;
use fault::{KubernetesPods, PodsBy, Scheme, Selector};

use crate::control::{ResolveError, pick, usable};
use crate::failure::Failure;
use crate::fleet::client::failure;
use crate::objects::asked::{in_namespace, is_within};
use crate::outcome::Outcome;
use crate::provider::kubernetes::{Guard, Kubernetes, Located, Purpose};
use crate::serve::refusal::refuse_resolve;

/// What an object may name that is none of a namespace's pods.
const OTHER: &str = "selector k8s:NAMESPACE/…";

/// The pods that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meant {
    selector: Selector,
    pods: KubernetesPods,
    /// Where pods are that say no namespace.
    own: String,
}

impl Meant {
    /// What a text means in a namespace.
    ///
    /// # Errors
    /// It names no pods, or some that only a controller finds.
    pub(crate) fn of(text: &str, own: &str) -> Result<Self, String> {
        let shown = fault::Legible(text);
        let whole = match is_within(text) {
            true => in_namespace(own, text, OTHER)?,
            false => text.to_owned(),
        };
        let parsed = whole.parse::<Selector>();
        let selector = parsed.map_err(|error| format!("`{shown}`: {}", error.kind))?;
        let pods = match &selector.scheme {
            Scheme::Kubernetes(pods) => match &pods.which {
                PodsBy::Service(_) => {
                    return Err(format!(
                        "`{shown}` is a service, and no pod: name those behind it"
                    ));
                }
                PodsBy::Name { .. }
                | PodsBy::StatefulSet { .. }
                | PodsBy::Deployment(_)
                | PodsBy::Labels(_) => (**pods).clone(),
            },
            Scheme::Etcd(_) | Scheme::Zeebe(_) => {
                return Err(format!(
                    "`{shown}` is a role, and who plays it a controller finds out when a fault is put in: name pods, as \
                     sts/NAME or label:SELECTOR"
                ));
            }
            Scheme::Netns(_)
            | Scheme::Pid(_)
            | Scheme::Container(_)
            | Scheme::Pod(_)
            | Scheme::Host(_)
            | Scheme::Addr(_) => {
                return Err(format!(
                    "`{shown}` names no pods, and the API server knows of nothing else: write pod/NAME, sts/NAME, \
                     deploy/NAME, label:SELECTOR, or k8s:NAMESPACE/… with one of them"
                ));
            }
        };
        Ok(Self { selector, pods, own: own.to_owned() })
    }

    /// Those that it names now, after its pick.
    ///
    /// # Errors
    /// There are none, several without a pick, or one that is of no use; or the user may not list them.
    pub(crate) async fn find(
        &self,
        client: &Client,
        (purpose, seed): (Purpose, u64),
        attempted: &str,
    ) -> Result<Vec<Located>, Failure> {
        let kubernetes = Kubernetes::of(client.clone(), Guard::default());
        let found = kubernetes.list(&self.pods, purpose).await.and_then(|found| {
            let found = match &self.selector.node {
                Some(node) => found.on(node),
                None => found,
            };
            usable(found, &self.selector)
        });
        let selector = || self.selector.clone();
        let found = found
            .map_err(|error| ResolveError::Pods { selector: selector(), error: Box::new(error) })
            .and_then(|found| {
                let asked = || format!("namespace {}", self.pods.namespace);
                pick(&self.selector, found, seed, |one| one.pod.to_string(), asked)
            });
        found.map_err(|error| failure(attempted, &refuse_resolve(&error)))
    }

    /// One of them, as a step names it.
    pub(crate) fn name(&self, pod: &Located) -> String {
        let name = match self.container() {
            Some(container) => format!("pod/{}/{container}", pod.pod.name),
            None => format!("pod/{}", pod.pod.name),
        };
        match pod.pod.namespace == self.own {
            true => name,
            false => format!("k8s:{}/{name}", pod.pod.namespace),
        }
    }

    /// The container of them that is meant; `None` for all.
    pub(crate) fn container(&self) -> Option<&str> {
        match &self.pods.which {
            PodsBy::Name { container, .. } => container.as_ref().map(fault::ContainerName::as_str),
            PodsBy::StatefulSet { .. }
            | PodsBy::Deployment(_)
            | PodsBy::Service(_)
            | PodsBy::Labels(_) => None,
        }
    }
}

/// The pods that a step is repeated for, each as a step names it.
///
/// # Errors
/// The text names none, or the user may not list them.
pub(crate) async fn names(
    (client, own): (&Client, &str),
    text: &str,
    seed: u64,
) -> Result<Vec<String>, Failure> {
    let attempted = "cannot find targets";
    let meant = Meant::of(text, own);
    let meant = meant.map_err(|why| Failure::new(Outcome::WrongUsage, attempted, why))?;
    let found = meant.find(client, (Purpose::Fault, seed), attempted).await?;
    Ok(found.iter().map(|pod| meant.name(pod)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::kubernetes::mock;

    fn pod(name: &str, more: &Value) -> Value {
        let mut pod = json!({
            "metadata": { "name": name, "namespace": "prod", "uid": format!("uid-{name}") },
            "spec": { "nodeName": "n1", "containers": [{ "name": "web" }] },
            "status": {
                "phase": "Running", "podIPs": [{ "ip": "10.0.0.1" }],
                "containerStatuses": [{ "name": "web", "containerID": "c://1", "state": { "running": {} } }],
            },
        });
        for (key, value) in more.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        pod
    }

    /// Nothing is told of nodes: whoever asks may not know of them.
    async fn found(text: &str) -> Result<Vec<String>, String> {
        let (a, b) = (pod("a", &json!({})), pod("b", &json!({})));
        let host = pod("on-host", &json!({ "hostNetwork": true }));
        let client = mock::client(mock::Objects::from([
            ("/api/v1/namespaces/prod/pods?app%3Dweb", json!([b, a])),
            ("/api/v1/namespaces/prod/pods?app%3Ddns", json!([host])),
            ("/api/v1/namespaces/prod/pods/a", a.clone()),
            ("/api/v1/namespaces/prod", json!({ "metadata": { "name": "prod" } })),
        ]))
        .await;
        let found = names((&client, "prod"), text, 7).await;
        found.map_err(|failure| failure.to_string())
    }

    #[tokio::test]
    async fn pods_are_found_by_the_api_server_alone_and_named_as_steps_name_them() {
        assert_eq!(found("all:label:app=web").await.unwrap(), ["pod/a", "pod/b"]);
        assert_eq!(found("pod/a/web").await.unwrap(), ["pod/a/web"]);
        assert_eq!(found("one:label:app=web").await.unwrap().len(), 1);
        assert_eq!(found("k8s:prod/pod/a").await.unwrap(), ["pod/a"]);
        let table = [
            ("label:app=web", "names 2 targets: prod/a, prod/b"),
            ("3:label:app=web", "asks for more than the 2 that there are"),
            ("label:app=dns", "its network is that of its node n1"),
            ("label:app=none", "names nothing on namespace prod"),
            ("pod/c", "namespace prod has no Pod c"),
            ("pod/a/db", "has no container db"),
        ];
        for (text, said) in table {
            let why = found(text).await.unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }

    #[test]
    fn what_the_api_server_cannot_answer_is_refused_with_a_sentence() {
        let table = [
            ("etcd:leader", "who plays it a controller finds out"),
            ("zeebe:partition/1/leader", "is a role"),
            ("svc/web", "is a service, and no pod"),
            ("host:n1", "names no pods"),
            ("pod/a@n1/b", "`pod/a@n1/b`"),
            ("nets:a", "`nets:a`"),
        ];
        for (text, said) in table {
            let why = Meant::of(text, "prod").unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
        let other = Meant::of("k8s:store/sts/db", "prod").unwrap();
        assert_eq!(other.pods.namespace.as_str(), "store");
    }
}
