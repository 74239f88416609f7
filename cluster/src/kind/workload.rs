//! What makes pods.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::resource;
use crate::Metadata;

/// A StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct StatefulSet {
    /// Its name.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: WorkloadSpec,
}

resource!(StatefulSet, "apps", "v1", "StatefulSet", "statefulsets");

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Deployment {
    /// Its name.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: WorkloadSpec,
}

resource!(Deployment, "apps", "v1", "Deployment", "deployments");

/// What stands between a Deployment and its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ReplicaSet {
    /// Its name, and whose it is.
    pub metadata: Metadata,
}

resource!(ReplicaSet, "apps", "v1", "ReplicaSet", "replicasets");

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadSpec {
    /// By what its pods are found.
    pub selector: LabelSelector,
}

/// By what objects are found. Printed as `kubectl -l` takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with these values.
    pub match_labels: BTreeMap<String, String>,
    /// And what else is said of labels.
    pub match_expressions: Vec<Requirement>,
}

/// What is said of one label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Requirement {
    /// Which.
    pub key: String,
    /// What of it.
    pub operator: Operator,
    /// Its values, where it is about them.
    #[serde(default)]
    pub values: Vec<String>,
}

/// What may be said of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Operator {
    /// It is there, with one of the values.
    In,
    /// It is not there, or with none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
        let said = labels.chain(self.match_expressions.iter().map(ToString::to_string));
        f.write_str(&said.collect::<Vec<_>>().join(","))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_printed_as_kubectl_takes_them() {
        let text = r#"{
            "matchLabels": { "app": "zeebe", "app.kubernetes.io/part-of": "camunda" },
            "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["a", "b"] },
                { "key": "tier", "operator": "NotIn", "values": ["c"] },
                { "key": "zone", "operator": "Exists" },
                { "key": "old", "operator": "DoesNotExist" }
            ]
        }"#;
        let selector: LabelSelector = serde_json::from_str(text).unwrap();
        let printed =
            "app=zeebe,app.kubernetes.io/part-of=camunda,tier in (a,b),tier notin (c),zone,!old";
        assert_eq!(selector.to_string(), printed);
    }
}
