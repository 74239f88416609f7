//! The two kinds of objects, as the API server has them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::definition::definition;
use super::job::Job;
use super::status::Status;
use crate::keeping::{asker, pair};

pair!(
    Spec, Status, definition;
    /// A run whose faults are among pods of one namespace.
    Experiment, "experiments", Namespaced;
    /// A run whose faults are among whatever there is.
    ClusterExperiment, "clusterexperiments", OfCluster;
);

/// What an object asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Spec {
    /// The experiment as a file would have it.
    pub(crate) experiment: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// Whether it looks at what pods write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reads_logs: Option<bool>,
    /// Who says that it is his: the policy makes sure of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requested_by: Option<String>,
    /// Where it runs, where that is not the controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<Job>,
}

impl Object {
    /// From what is drawn.
    pub(crate) fn seed(&self) -> u64 {
        self.spec.seed.unwrap_or_else(|| self.drawn())
    }

    /// Who asks, for people.
    pub(crate) fn asker(&self, place: &Place) -> String {
        asker(self.spec.requested_by.as_deref(), place)
    }
}
