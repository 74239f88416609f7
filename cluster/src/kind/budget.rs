//! How many pods may be down at once.

use serde::{Deserialize, Serialize};

use super::resource;
use crate::{LabelSelector, Metadata};

/// A PodDisruptionBudget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Budget {
    /// Its name.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: BudgetSpec,
    /// How it is.
    pub status: BudgetStatus,
}

resource!(Budget, "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets");

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct BudgetSpec {
    /// Whose pods: without one nobody's; one that says nothing means all of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// How it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BudgetStatus {
    /// How many more may be down now. 0 before anybody has looked.
    pub disruptions_allowed: u32,
    /// The [`Metadata::generation`] that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Budget {
    /// Whether its status is of what is asked for now: somebody has looked since that was changed.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.status.observed_generation.unwrap_or_default()
            >= self.metadata.generation.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_meant_by_nothing_and_by_everything_is_told_apart() {
        let read = |text: &str| serde_json::from_str::<Budget>(text).unwrap();
        let own = read(
            r#"{"spec":{"minAvailable":2,"selector":{"matchLabels":{"app":"a"}}},
                "status":{"disruptionsAllowed":1,"currentHealthy":3}}"#,
        );
        assert_eq!(own.spec.selector.unwrap().to_string(), "app=a");
        assert_eq!(own.status.disruptions_allowed, 1);
        let all = read(r#"{"spec":{"selector":{}}}"#);
        assert_eq!(
            (all.spec.selector, all.status.disruptions_allowed),
            (Some(LabelSelector::default()), 0)
        );
        assert_eq!(read("{}").spec.selector, None);
    }

    #[test]
    fn a_status_is_of_what_was_asked_for_when_it_was_written() {
        let table = [
            (r#"{"metadata":{"generation":2},"status":{"observedGeneration":2}}"#, true),
            (r#"{"metadata":{"generation":2},"status":{"observedGeneration":1}}"#, false),
            (r#"{"metadata":{"generation":1},"status":{}}"#, false),
            ("{}", true),
        ];
        for (text, expected) in table {
            let budget: Budget = serde_json::from_str(text).unwrap();
            assert_eq!(budget.is_observed(), expected, "{text}");
        }
    }
}
