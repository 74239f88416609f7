//! The two kinds of objects, as the API server has them.

use cluster::{Metadata, Name, NameError, Resource, Within};
use fault::IntentId;
use proto::control as wire;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::job::Job;
use super::status::Status;
use crate::objects::GROUP;
use crate::objects::resource::{VERSION, id_of, is_before, is_held, kind, or_nothing, seed_of};

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// In a namespace, about pods of that namespace.
    Experiment,
    /// Of the cluster, about anything.
    ClusterExperiment,
}

impl Kind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Experiment, Self::ClusterExperiment];

    /// Its word in objects.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Experiment => "Experiment",
            Self::ClusterExperiment => "ClusterExperiment",
        }
    }

    /// Its word where many are meant.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Experiment => "experiments",
            Self::ClusterExperiment => "clusterexperiments",
        }
    }
}

/// Where an object is found, whichever it is that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Of which kind.
    pub(crate) kind: Kind,
    /// In which namespace; empty for an object of the cluster.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

impl Place {
    /// As the API server is asked for it.
    ///
    /// # Errors
    /// It is no name that an API server has given.
    pub(crate) fn path(&self) -> Result<(Within, Name), NameError> {
        let within = match self.kind {
            Kind::Experiment => Within::Namespace(self.namespace.parse()?),
            Kind::ClusterExperiment => Within::Cluster,
        };
        Ok((within, self.name.parse()?))
    }

    /// Where the object is, or was, that asks for a run; `None` of another kind.
    pub(crate) fn of(object: &wire::Object) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.word() == object.kind)?;
        Some(Self { kind, namespace: object.namespace.clone(), name: object.name.clone() })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Experiment => write!(f, "Experiment {}/{}", self.namespace, self.name),
            Kind::ClusterExperiment => write!(f, "ClusterExperiment {}", self.name),
        }
    }
}

/// An object of either kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Object {
    pub(crate) metadata: Metadata,
    #[serde(deserialize_with = "or_nothing")]
    pub(crate) spec: Spec,
    /// As it was last written.
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Status::is_nothing")]
    pub(crate) status: Status,
}

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
    /// The id of its run; `None` where its UID is none that an API server makes.
    pub(crate) fn run(&self) -> Option<IntentId> {
        id_of(&self.metadata)
    }

    /// From what is drawn.
    pub(crate) fn seed(&self) -> u64 {
        self.spec.seed.unwrap_or_else(|| seed_of(&self.metadata))
    }

    /// Where it is.
    pub(crate) fn place(&self, kind: Kind) -> Place {
        let namespace = self.metadata.namespace.clone().unwrap_or_default();
        Place { kind, namespace, name: self.metadata.name.clone() }
    }

    /// As its run names it.
    pub(crate) fn wire(&self, kind: Kind) -> wire::Object {
        let Place { kind, namespace, name } = self.place(kind);
        let uid = self.metadata.uid.clone();
        wire::Object { kind: kind.word().to_owned(), namespace, name, uid }
    }

    /// Who asks, for people.
    pub(crate) fn asker(&self, place: &Place) -> String {
        match &self.spec.requested_by {
            Some(who) => format!("{who}, by {place}"),
            None => format!("whoever created {place}"),
        }
    }

    /// Whether it waits for its run to be over before it goes.
    pub(crate) fn is_held(&self) -> bool {
        is_held(&self.metadata)
    }

    /// Whether it is on its way out.
    pub(crate) fn is_leaving(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether it is an earlier state than another one of the same object.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        is_before(&self.metadata, &other.metadata)
    }
}

kind!(
    /// A run whose faults are among pods of one namespace.
    Experiment,
    Kind::Experiment
);
kind!(
    /// A run whose faults are among whatever there is.
    ClusterExperiment,
    Kind::ClusterExperiment
);
