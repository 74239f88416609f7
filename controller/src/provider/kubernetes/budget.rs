//! How many pods may be down at once, as their PodDisruptionBudgets have it.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{ApiError, Budget, NameError, Reason, Selection, Within};
use fault::LabelSelector;
use futures_util::future::try_join_all;

use super::Kubernetes;
use super::selection::{Located, PodName};

/// Why pods are not ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// The API server did not say.
    #[error("whether pods may be ended is not known: {0}")]
    Api(#[from] ApiError),
    /// A name that it would not take.
    #[error(transparent)]
    Name(#[from] NameError),
    /// More of them than may be.
    #[error(
        "PodDisruptionBudget {budget} lets {allowed} more of its pods be down, and {} would be: {}",
        pods.len(), list(pods)
    )]
    Over {
        /// Which one, by its name and namespace.
        budget: PodName,
        /// How many more may be.
        allowed: u32,
        /// Those that would be.
        pods: BTreeSet<PodName>,
    },
}

fn list(pods: &BTreeSet<PodName>) -> String {
    pods.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl BudgetError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::Api(error) if error.reason() == Some(&Reason::Forbidden) => {
                "the controller has to be allowed to list poddisruptionbudgets, as `schism install` says it"
            }
            Self::Api(error) => error.hint(),
            Self::Name(_) => "",
            Self::Over { .. } => "if that is what you want, say --allow-quorum-loss",
        };
        hint.to_owned()
    }
}

impl Kubernetes {
    /// Makes sure that these pods may be down at once, beside those that are. One question for each namespace.
    ///
    /// # Errors
    /// A budget does not let them, or nobody knows.
    pub async fn spare(&self, pods: &[&Located]) -> Result<(), BudgetError> {
        let mut by_namespace: BTreeMap<&str, Vec<&Located>> = BTreeMap::new();
        for pod in pods {
            by_namespace.entry(&pod.pod.namespace).or_default().push(pod);
        }
        let asked = by_namespace.into_iter();
        let asked = asked.map(|(namespace, pods)| self.spare_in(namespace, pods));
        try_join_all(asked).await.map(drop)
    }

    async fn spare_in(&self, namespace: &str, pods: Vec<&Located>) -> Result<(), BudgetError> {
        let within = Within::Namespace(namespace.parse()?);
        let all = self.client.list::<Budget>(&within, &Selection::default()).await?.items;
        all.iter().try_for_each(|budget| check(budget, &pods))
    }
}

fn check(budget: &Budget, pods: &[&Located]) -> Result<(), BudgetError> {
    let Some(selector) = &budget.spec.selector else { return Ok(()) };
    let text = selector.to_string();
    // One that says nothing means all; what cannot be understood is not taken for nothing.
    let selector = text.parse::<LabelSelector>().ok();
    let is_meant = |pod: &&&Located| selector.as_ref().is_none_or(|one| one.selects(&pod.labels));
    let hit: BTreeSet<PodName> = pods.iter().filter(is_meant).map(|pod| pod.pod.clone()).collect();
    let allowed = budget.status.disruptions_allowed;
    if hit.len() <= usize::try_from(allowed).unwrap_or(usize::MAX) {
        return Ok(());
    }
    let namespace = budget.metadata.namespace.clone().unwrap_or_default();
    let budget = PodName { namespace, name: budget.metadata.name.clone() };
    Err(BudgetError::Over { budget, allowed, pods: hit })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::kubernetes::{Guard, mock};

    fn pod(name: &str, app: &str) -> Located {
        Located {
            pod: PodName { namespace: "prod".to_owned(), name: name.to_owned() },
            uid: format!("uid-{name}"),
            node: fault::NodeName::new("n1").unwrap(),
            addresses: BTreeSet::new(),
            labels: [("app".to_owned(), app.to_owned())].into(),
        }
    }

    fn budget(name: &str, selector: &Value, allowed: u32) -> Value {
        json!({
            "metadata": { "name": name, "namespace": "prod" }, "spec": { "selector": selector },
            "status": { "disruptionsAllowed": allowed },
        })
    }

    #[tokio::test]
    async fn no_more_pods_are_down_at_once_than_their_budgets_say() {
        let path = "/apis/policy/v1/namespaces/prod/poddisruptionbudgets";
        let of = |app: &str| json!({ "matchLabels": { "app": app } });
        let all = json!([
            budget("one", &of("etcd"), 1),
            budget("none", &of("zeebe"), 0),
            budget("nobody", &Value::Null, 0),
        ]);
        let kubernetes = |all: Value| async {
            Kubernetes::of(mock::client([(path, all)].into()).await, Guard::default())
        };
        let pods = [pod("e0", "etcd"), pod("e1", "etcd"), pod("z0", "zeebe"), pod("w", "web")];
        let [e0, e1, z0, web] = &pods;
        let table: [(&[&Located], Option<&str>); 6] = [
            (&[], None),
            (&[web], None),
            (&[e0, web], None),
            (&[e0, e0], None),
            (
                &[e0, e1],
                Some("prod/one lets 1 more of its pods be down, and 2 would be: prod/e0, prod/e1"),
            ),
            (&[z0], Some("prod/none lets 0 more")),
        ];
        let budgets = kubernetes(all).await;
        for (pods, expected) in table {
            let found = budgets.spare(pods).await.map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(found, Ok(())),
                Some(said) => {
                    assert!(found.as_ref().is_err_and(|error| error.contains(said)), "{found:?}")
                }
            }
        }
        let everybody = kubernetes(json!([budget("all", &json!({}), 0)])).await;
        let error = everybody.spare(&[web]).await.unwrap_err();
        assert!(error.hint().contains("--allow-quorum-loss"), "{error}");
    }
}
