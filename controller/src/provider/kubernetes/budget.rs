//! How many pods may be down at once, as their PodDisruptionBudgets have it.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{ApiError, Budget, NameError, Pod, Reason, Selection, Within};
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
    /// One that was changed a moment ago.
    #[error(
        "PodDisruptionBudget {0} was changed, and how many of its pods may be down is not known yet"
    )]
    Changed(PodName),
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
            Self::Changed(_) => "try again in a moment",
            Self::Over { .. } => "if that is what you want, say --allow-quorum-loss",
        };
        hint.to_owned()
    }
}

/// What budgets say of pods that are to be down, as it was when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disruptions {
    budgets: Vec<Limit>,
    /// Those that are to be down.
    asked: BTreeSet<PodName>,
    /// The labels of these, and of those that were being ended when it was asked; `None` of one that is gone.
    labels: BTreeMap<PodName, Option<BTreeMap<String, String>>>,
}

/// A budget that has a pod of those.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit {
    budget: PodName,
    /// What cannot be understood is not taken for nothing.
    selector: Option<LabelSelector>,
    allowed: u32,
}

impl Limit {
    fn has(&self, pod: &PodName, labels: &BTreeMap<String, String>) -> bool {
        let selects = self.selector.as_ref().is_none_or(|one| one.selects(labels));
        pod.namespace == self.budget.namespace && selects
    }
}

impl Disruptions {
    /// Makes sure that these pods may be down at once, beside those that are and those that are being ended right now:
    /// of these the budgets may not know yet. One of which nobody has asked since counts for all budgets of its namespace.
    ///
    /// # Errors
    /// A budget does not let them.
    pub fn admit(&self, ending: &BTreeSet<PodName>) -> Result<(), BudgetError> {
        for limit in &self.budgets {
            let is_meant = |pod: &&PodName| match self.labels.get(*pod) {
                Some(Some(labels)) => limit.has(pod, labels),
                Some(None) => false,
                None => pod.namespace == limit.budget.namespace,
            };
            let hit: BTreeSet<PodName> =
                self.asked.union(ending).filter(is_meant).cloned().collect();
            if hit.len() > usize::try_from(limit.allowed).unwrap_or(usize::MAX) {
                let (budget, allowed) = (limit.budget.clone(), limit.allowed);
                return Err(BudgetError::Over { budget, allowed, pods: hit });
            }
        }
        Ok(())
    }
}

impl Kubernetes {
    /// What budgets say of these pods, if they are to be down, beside others that are being ended. One question for each
    /// namespace, and one for each of the others in it.
    ///
    /// # Errors
    /// Nobody knows.
    pub async fn disruptions(
        &self,
        pods: &[&Located],
        ending: &BTreeSet<PodName>,
    ) -> Result<Disruptions, BudgetError> {
        let asked: BTreeSet<PodName> = pods.iter().map(|one| one.pod.clone()).collect();
        let namespaces: BTreeSet<&str> = asked.iter().map(|one| one.namespace.as_str()).collect();
        let budgets = namespaces.into_iter().map(|namespace| self.limits(namespace, pods));
        let budgets: Vec<Limit> = try_join_all(budgets).await?.into_iter().flatten().collect();
        let is_near = |pod: &&PodName| {
            let mut budgets = budgets.iter();
            !asked.contains(*pod) && budgets.any(|one| one.budget.namespace == pod.namespace)
        };
        let others = ending.iter().filter(is_near).map(async |pod| {
            let found = self.labels(pod).await?;
            Ok::<_, BudgetError>((pod.clone(), found))
        });
        let mut labels: BTreeMap<_, _> = try_join_all(others).await?.into_iter().collect();
        labels.extend(pods.iter().map(|one| (one.pod.clone(), Some(one.labels.clone()))));
        Ok(Disruptions { budgets, asked, labels })
    }

    /// The budgets of a namespace that have one of these pods.
    async fn limits(&self, namespace: &str, pods: &[&Located]) -> Result<Vec<Limit>, BudgetError> {
        let within = Within::Namespace(namespace.parse()?);
        let all = self.client.list::<Budget>(&within, &Selection::default()).await?.items;
        let mut limits = Vec::new();
        for budget in all {
            let Some(selector) = &budget.spec.selector else { continue };
            let limit = Limit {
                budget: PodName {
                    namespace: namespace.to_owned(),
                    name: budget.metadata.name.clone(),
                },
                selector: selector.to_string().parse().ok(),
                allowed: budget.status.disruptions_allowed,
            };
            if !pods.iter().any(|one| limit.has(&one.pod, &one.labels)) {
                continue;
            }
            if !budget.is_observed() {
                return Err(BudgetError::Changed(limit.budget));
            }
            limits.push(limit);
        }
        Ok(limits)
    }

    /// The labels of a pod; `None` of one that is gone.
    async fn labels(&self, pod: &PodName) -> Result<Option<BTreeMap<String, String>>, BudgetError> {
        let within = Within::Namespace(pod.namespace.parse()?);
        match self.client.get::<Pod>(&within, &pod.name.parse()?).await {
            Ok(pod) => Ok(Some(pod.metadata.labels)),
            Err(error) if error.reason() == Some(&Reason::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
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
            let found = budgets.disruptions(pods, &BTreeSet::new()).await.unwrap();
            let found = found.admit(&BTreeSet::new()).map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(found, Ok(())),
                Some(said) => {
                    assert!(found.as_ref().is_err_and(|error| error.contains(said)), "{found:?}")
                }
            }
        }
        let everybody = kubernetes(json!([budget("all", &json!({}), 0)])).await;
        let found = everybody.disruptions(&[web], &BTreeSet::new()).await.unwrap();
        let error = found.admit(&BTreeSet::new()).unwrap_err();
        assert!(error.hint().contains("--allow-quorum-loss"), "{error}");
    }

    #[tokio::test]
    async fn pods_that_are_being_ended_count_before_their_budget_knows() {
        let path = "/apis/policy/v1/namespaces/prod/poddisruptionbudgets";
        let of = |app: &str| json!({ "matchLabels": { "app": app } });
        let said = |name: &str, app: &str| json!({ "metadata": { "name": name, "namespace": "prod", "labels": { "app": app } } });
        let objects = [
            (path, json!([budget("one", &of("etcd"), 1)])),
            ("/api/v1/namespaces/prod/pods/e0", said("e0", "etcd")),
            ("/api/v1/namespaces/prod/pods/w", said("w", "web")),
        ];
        let kubernetes = Kubernetes::of(mock::client(objects.into()).await, Guard::default());
        let of = |namespace: &str, name: &str| PodName {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let asked = pod("e1", "etcd");
        let said = "PodDisruptionBudget prod/one lets 1 more of its pods be down, and 2 would be";
        let over = |pods: &str| Err(format!("{said}: {pods}"));
        // Who was being ended when it was asked, who is when it is written, and what comes of it.
        let table = [
            (vec![], vec![], Ok(())),
            (vec![of("prod", "e0")], vec![of("prod", "e0")], over("prod/e0, prod/e1")),
            (vec![of("prod", "e1")], vec![of("prod", "e1")], Ok(())),
            // No pod of the budget, one that is gone, and one of another namespace.
            (vec![of("prod", "w")], vec![of("prod", "w")], Ok(())),
            (vec![of("prod", "gone")], vec![of("prod", "gone")], Ok(())),
            (vec![], vec![of("test", "e0")], Ok(())),
            // It has ended meanwhile.
            (vec![of("prod", "e0")], vec![], Ok(())),
            // It has come meanwhile, and nobody knows what it is.
            (vec![], vec![of("prod", "x")], over("prod/e1, prod/x")),
        ];
        for (first, then, expected) in table {
            let first: BTreeSet<PodName> = first.into_iter().collect();
            let then: BTreeSet<PodName> = then.into_iter().collect();
            let found = kubernetes.disruptions(&[&asked], &first).await.unwrap();
            assert_eq!(found.admit(&then).map_err(|error| error.to_string()), expected, "{then:?}");
        }
    }

    #[tokio::test]
    async fn a_budget_of_which_the_status_is_old_is_not_believed() {
        let path = "/apis/policy/v1/namespaces/prod/poddisruptionbudgets";
        let mut changed = budget("one", &json!({ "matchLabels": { "app": "etcd" } }), 1);
        changed["metadata"]["generation"] = json!(2);
        changed["status"]["observedGeneration"] = json!(1);
        let client = mock::client([(path, json!([changed]))].into()).await;
        let kubernetes = Kubernetes::of(client, Guard::default());
        let (etcd, web) = (pod("e0", "etcd"), pod("w", "web"));
        let error = kubernetes.disruptions(&[&etcd], &BTreeSet::new()).await.unwrap_err();
        let budget = PodName { namespace: "prod".to_owned(), name: "one".to_owned() };
        assert_eq!(error, BudgetError::Changed(budget));
        // Of no pod of its own nothing is to be known.
        let found = kubernetes.disruptions(&[&web], &BTreeSet::new()).await.unwrap();
        assert_eq!(found.admit(&BTreeSet::new()), Ok(()));
    }
}
