//! Whom the faults of a run may be about that an object asks for.
//!
//! What its steps say is bounded before it is read, and what was read is looked at once more before anybody is
//! asked: whatever stands in an experiment, it reaches no further than an object of its kind may.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use experiment::hint;
use fault::{Scheme, Selector};
use proto::control as wire;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::objects::asked::{self, PLACES};
use crate::objects::consent::{Consent, Withheld};
use crate::sight::GroupName;

/// What names whom a fault is about, beside the places of an object.
const AROUND: &str = "around";

/// What an object in a namespace has no right to: somebody else's fault may be what is replaced.
const REPLACE: &str = "replace";

/// Which objects may name anything.
const KIND: &str = "ClusterExperiment";

/// How long is waited until somebody has told of namespaces: a leader that is new hears of them within moments.
const PATIENCE: Duration = Duration::from_secs(15);

/// The bounds of a run.
#[derive(Debug)]
pub(super) struct Bounds {
    /// In which it stays; all of the cluster otherwise.
    namespace: Option<String>,
    /// Single targets that were found within, by their selectors.
    found: Mutex<BTreeSet<String>>,
    consent: watch::Receiver<Consent>,
}

/// What is out of bounds.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stray {
    /// What a text names.
    #[error("{0}")]
    Named(String),
    /// Nobody is replaced by it.
    #[error("an Experiment replaces no fault: one that is in its way may be somebody else's")]
    Replacing,
    /// What was read from it.
    #[error("{selector} leaves namespace {namespace}")]
    Leaves { selector: Selector, namespace: String },
    /// A namespace does not let it in.
    #[error(transparent)]
    Withheld(#[from] Withheld),
}

impl Stray {
    /// What people read.
    pub(super) fn text(&self) -> String {
        let hint = match self {
            Self::Withheld(withheld) => withheld.hint(),
            Self::Named(_) | Self::Replacing | Self::Leaves { .. } => String::new(),
        };
        if hint.is_empty() { self.to_string() } else { format!("{self}{}{hint}", hint::MARK) }
    }
}

impl Bounds {
    /// Those of a run, if an object asks for it.
    pub(super) fn of(run: &wire::Run, consent: watch::Receiver<Consent>) -> Option<Self> {
        let namespace = run.object.as_ref()?.namespace.clone();
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        Some(Self { namespace, found: Mutex::default(), consent })
    }

    fn found(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arguments of a step as they are meant.
    ///
    /// # Errors
    /// One of them names what is out of bounds.
    pub(super) fn arguments(
        &self,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Stray> {
        let mut meant = given.clone();
        for (key, value) in &mut meant {
            if let Value::String(text) = value
                && (PLACES.contains(&key.as_str()) || key == AROUND)
            {
                *text = self.text(text)?;
            }
            let is_off = matches!(value, Value::Null | Value::Bool(false));
            if key == REPLACE && !is_off && self.namespace.is_some() {
                return Err(Stray::Replacing);
            }
        }
        Ok(meant)
    }

    /// The selector that a text stands for.
    ///
    /// # Errors
    /// What it names is out of bounds.
    pub(super) fn text(&self, text: &str) -> Result<String, Stray> {
        let meant = match &self.namespace {
            // A step that is repeated for it names it so.
            _ if self.found().contains(text) => return Ok(text.to_owned()),
            Some(namespace) => asked::in_namespace(namespace, text, KIND),
            None => asked::anywhere(text, KIND),
        };
        meant.map_err(Stray::Named)
    }

    /// Single targets were found, each by what may have been named.
    pub(super) fn finds(&self, selectors: &[String]) {
        self.found().extend(selectors.iter().cloned());
    }

    /// Makes sure that everything that is named is within bounds, and that its namespaces let faults in.
    ///
    /// # Errors
    /// Something is not.
    pub(super) async fn admit(
        &self,
        selectors: &[Selector],
        is_of_settings: impl Fn(&GroupName) -> bool,
    ) -> Result<(), Stray> {
        let namespaces = match &self.namespace {
            Some(namespace) => {
                selectors.iter().try_for_each(|one| self.stays(one, namespace, &is_of_settings))?;
                vec![namespace.clone()]
            }
            None => asked::namespaces_of(selectors.iter().cloned(), is_of_settings),
        };
        let mut consent = self.consent.clone();
        // Where nobody tells of them it is not known, and said so.
        let _ = tokio::time::timeout(PATIENCE, consent.wait_for(Consent::is_known)).await;
        let consent = consent.borrow_and_update();
        consent.check(&namespaces).map_err(Stray::from)
    }

    fn stays(
        &self,
        selector: &Selector,
        namespace: &str,
        is_of_settings: &impl Fn(&GroupName) -> bool,
    ) -> Result<(), Stray> {
        let is_within = match &selector.scheme {
            Scheme::Kubernetes(pods) => pods.namespace.as_str() == namespace,
            Scheme::Etcd(_) | Scheme::Zeebe(_) => {
                let Some(group) = GroupName::of(selector) else {
                    return self.leaves(selector, namespace);
                };
                if is_of_settings(&group) {
                    return Err(Withheld::Elsewhere(group.to_string()).into());
                }
                group.path.name.as_str() == namespace
            }
            Scheme::Netns(_)
            | Scheme::Pid(_)
            | Scheme::Container(_)
            | Scheme::Pod(_)
            | Scheme::Host(_)
            | Scheme::Addr(_) => self.found().contains(&selector.to_string()),
        };
        if is_within { Ok(()) } else { self.leaves(selector, namespace) }
    }

    fn leaves(&self, selector: &Selector, namespace: &str) -> Result<(), Stray> {
        let (selector, namespace) = (selector.clone(), namespace.to_owned());
        Err(Stray::Leaves { selector, namespace })
    }
}

#[cfg(test)]
mod tests {
    use cluster::{Metadata, NamespaceObject};
    use serde_json::json;

    use super::*;
    use crate::objects::consent::{ALLOWED, LABEL};

    /// The bounds of an object of a namespace, or of the cluster, where those namespaces let faults in.
    fn bounds(namespace: &str, allowed: &[&str]) -> Bounds {
        let mut consent = Consent::default();
        let space = |name: &&str| NamespaceObject {
            metadata: Metadata {
                name: (*name).to_owned(),
                labels: [(LABEL.to_owned(), ALLOWED.to_owned())].into(),
                ..Metadata::default()
            },
        };
        consent.listed(&allowed.iter().map(space).collect::<Vec<_>>());
        let object = wire::Object { namespace: namespace.to_owned(), ..wire::Object::default() };
        let run = wire::Run { object: Some(object), ..wire::Run::default() };
        Bounds::of(&run, watch::channel(consent).1).unwrap()
    }

    fn selectors(texts: &[&str]) -> Vec<Selector> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_run_of_nobodys_object_has_no_bounds() {
        let consent = watch::channel(Consent::default()).1;
        assert!(Bounds::of(&wire::Run::default(), consent).is_none());
    }

    #[test]
    fn steps_of_a_namespace_name_its_pods_as_a_fault_does() {
        let bounds = bounds("prod", &["prod"]);
        let given = json!({
            "from": "one:sts/z", "to": "etcd:leader", "around": "pod/a", "for": "5s", "replace": false,
        });
        let expected = json!({
            "from": "one:k8s:prod/sts/z", "to": "etcd:prod/leader", "around": "k8s:prod/pod/a", "for": "5s",
            "replace": false,
        });
        let meant = bounds.arguments(given.as_object().unwrap()).unwrap();
        assert_eq!(Value::Object(meant), expected);
        for (given, said) in [
            (json!({ "target": "host:n1" }), "takes a ClusterExperiment"),
            (json!({ "target": "k8s:other/pod/a" }), "takes a ClusterExperiment"),
            (
                json!({ "target": "pod:7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6" }),
                "takes a ClusterExperiment",
            ),
            (json!({ "target": "pod/a", "replace": true }), "replaces no fault"),
        ] {
            let stray = bounds.arguments(given.as_object().unwrap()).unwrap_err();
            assert!(stray.text().contains(said), "{given}: {stray}");
        }
    }

    #[test]
    fn steps_of_the_cluster_say_every_namespace() {
        let bounds = bounds("", &[]);
        assert_eq!(bounds.text("host:n1").unwrap(), "host:n1");
        let stray = bounds.text("one:pod/a").unwrap_err();
        assert!(stray.text().contains("write k8s:NAMESPACE/one:pod/a"), "{stray}");
        assert!(bounds.arguments(json!({ "replace": true }).as_object().unwrap()).is_ok());
    }

    #[tokio::test]
    async fn what_was_read_is_looked_at_once_more() {
        let bounds = bounds("prod", &["prod"]);
        let none = |_: &GroupName| false;
        let within = ["k8s:prod/pod/a", "etcd:prod/leader", "zeebe:prod/blue/gateway"];
        assert!(bounds.admit(&selectors(&within), none).await.is_ok());
        for outside in [
            "k8s:other/pod/a",
            "etcd:other/leader",
            "etcd:leader",
            "host:n1",
            "addr:10.0.0.0/8",
            "netns:a@n1",
        ] {
            let stray = bounds.admit(&selectors(&[outside]), none).await.unwrap_err();
            assert_eq!(stray.text(), format!("{outside} leaves namespace prod"));
        }
        let stray = bounds.admit(&selectors(&["etcd:prod/leader"]), |_| true).await.unwrap_err();
        assert!(stray.text().contains("a ClusterExperiment may name it"), "{}", stray.text());
    }

    #[tokio::test]
    async fn what_was_found_within_is_named_by_what_it_is() {
        let bounds = bounds("prod", &["prod"]);
        let pod = "pod:7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6@n1";
        assert!(bounds.text(pod).is_err());
        bounds.finds(&[pod.to_owned()]);
        assert_eq!(bounds.text(pod).unwrap(), pod);
        assert!(bounds.admit(&selectors(&[pod]), |_| false).await.is_ok());
    }

    #[tokio::test]
    async fn a_namespace_without_the_label_lets_no_fault_in() {
        let none = |_: &GroupName| false;
        let stray = bounds("prod", &["other"]).admit(&selectors(&["k8s:prod/pod/a"]), none).await;
        let said = stray.unwrap_err().text();
        assert!(said.contains("kubectl label namespace prod schism.dev/faults=allowed"), "{said}");
        let of_cluster = bounds("", &["prod"]);
        assert!(of_cluster.admit(&selectors(&["k8s:prod/pod/a", "host:n1"]), none).await.is_ok());
        assert!(of_cluster.admit(&selectors(&["k8s:other/pod/a"]), none).await.is_err());
    }
}
