//! The two kinds of objects, as the API server has them.

use experiment::model::FaultVerb;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::definition::definition;
use super::status::Status;
use crate::keeping::pair;

/// By which annotation counts are asked for: its value comes back as `counted` of the status that has them.
pub(crate) const COUNT: &str = "schism.dev/count";

pair!(
    Spec, Status, definition;
    /// A fault among pods of one namespace.
    Fault, "faults", Namespaced;
    /// A fault among whatever there is.
    ClusterFault, "clusterfaults", OfCluster;
);

/// What an object asks for: exactly one of the five, with the words of the command line.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skew: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) freeze: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kill: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stress: Option<Map<String, Value>>,
    /// How long, in any case.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<String>,
    /// How long without a renewal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// What becomes of it when a pod goes that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_restart: Option<String>,
    /// Who says that it is his: the policy makes sure of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requested_by: Option<String>,
}

impl Spec {
    /// What is asked for, with its words; `None` for nothing, or for more than one.
    pub(crate) fn wish(&self) -> Option<(FaultVerb, &Map<String, Value>)> {
        let all = [
            (FaultVerb::Cut, &self.cut),
            (FaultVerb::Skew, &self.skew),
            (FaultVerb::Freeze, &self.freeze),
            (FaultVerb::Kill, &self.kill),
            (FaultVerb::Stress, &self.stress),
        ];
        let mut said = all.into_iter().filter_map(|(verb, words)| Some((verb, words.as_ref()?)));
        said.next().filter(|_| said.next().is_none())
    }

    /// The same, to be written.
    pub(crate) fn asking(verb: FaultVerb, words: Map<String, Value>) -> Self {
        let mut spec = Self::default();
        let place = match verb {
            FaultVerb::Cut => &mut spec.cut,
            FaultVerb::Skew => &mut spec.skew,
            FaultVerb::Freeze => &mut spec.freeze,
            FaultVerb::Kill => &mut spec.kill,
            FaultVerb::Stress => &mut spec.stress,
        };
        *place = Some(words);
        spec
    }

    /// From whom, and to whom or in whom; what is not said is empty.
    pub(crate) fn ends(&self) -> (&str, &str) {
        let Some((_, words)) = self.wish() else { return ("", "") };
        let text = |key| words.get(key).and_then(Value::as_str).unwrap_or_default();
        match words.get("target") {
            Some(_) => ("", text("target")),
            None => (text("from"), text("to")),
        }
    }
}

impl Object {
    /// From what is drawn.
    pub(crate) fn seed(&self) -> u64 {
        self.spec.seed.unwrap_or_else(|| self.drawn())
    }

    /// By what counts were last asked for; empty for not at all.
    pub(crate) fn counted(&self) -> &str {
        self.metadata.annotations.get(COUNT).map(String::as_str).unwrap_or_default()
    }
}
