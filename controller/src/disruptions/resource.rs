//! The two kinds of objects, as the API server has them.

use cluster::{Metadata, Name, NameError, Resource, Within};
use fault::IntentId;
use proto::control as wire;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::status::Status;
use crate::keeping::{id_of, is_before, is_held, kind, or_nothing, seed_of};
use crate::run::zeebe::Behind;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// In a namespace, about pods of that namespace.
    Disruption,
    /// Of the cluster, about a node.
    ClusterDisruption,
}

impl Kind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Disruption, Self::ClusterDisruption];

    /// Its word in objects.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Disruption => "Disruption",
            Self::ClusterDisruption => "ClusterDisruption",
        }
    }

    /// Its word where many are meant.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Disruption => "disruptions",
            Self::ClusterDisruption => "clusterdisruptions",
        }
    }
}

/// A kind as a type, for whoever asks the API server for it.
pub(crate) trait OfKind: Resource + Serialize + From<Object> + Into<Object> {
    /// Which.
    const OWN: Kind;
}

impl OfKind for Disruption {
    const OWN: Kind = Kind::Disruption;
}

impl OfKind for ClusterDisruption {
    const OWN: Kind = Kind::ClusterDisruption;
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Pods are deleted, and others come.
    Restart,
    /// Pods are deleted at once.
    Terminate,
    /// Pods are evicted.
    Evict,
    /// No pods come to a node.
    Cordon,
    /// The same, and those that are there are evicted.
    Drain,
}

impl Deed {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Restart, Self::Terminate, Self::Evict, Self::Cordon, Self::Drain];

    /// Its word, in objects and behind `schism pod` or `schism node`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Terminate => "terminate",
            Self::Evict => "evict",
            Self::Cordon => "cordon",
            Self::Drain => "drain",
        }
    }

    /// Behind which command it stands.
    pub(crate) const fn behind(self) -> Behind {
        match self.kind() {
            Kind::Disruption => Behind::Pod,
            Kind::ClusterDisruption => Behind::Node,
        }
    }

    /// Which kind of objects asks for it.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Restart | Self::Terminate | Self::Evict => Kind::Disruption,
            Self::Cordon | Self::Drain => Kind::ClusterDisruption,
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
            Kind::Disruption => Within::Namespace(self.namespace.parse()?),
            Kind::ClusterDisruption => Within::Cluster,
        };
        Ok((within, self.name.parse()?))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Disruption => write!(f, "Disruption {}/{}", self.namespace, self.name),
            Kind::ClusterDisruption => write!(f, "ClusterDisruption {}", self.name),
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

/// What an object asks for: exactly one of the five, with the words of the command line.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restart: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terminate: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) evict: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cordon: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drain: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// Who says that it is his: the policy makes sure of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requested_by: Option<String>,
}

impl Spec {
    /// What is asked for, with its words; `None` for nothing, or for more than one.
    pub(crate) fn wish(&self) -> Option<(Deed, &Map<String, Value>)> {
        let of = |deed| match deed {
            Deed::Restart => &self.restart,
            Deed::Terminate => &self.terminate,
            Deed::Evict => &self.evict,
            Deed::Cordon => &self.cordon,
            Deed::Drain => &self.drain,
        };
        let said = |deed| of(deed).as_ref().map(|words| (deed, words));
        let mut said = Deed::ALL.into_iter().filter_map(said);
        said.next().filter(|_| said.next().is_none())
    }

    /// The same, to be written.
    pub(crate) fn asking(deed: Deed, words: Map<String, Value>) -> Self {
        let mut spec = Self::default();
        let place = match deed {
            Deed::Restart => &mut spec.restart,
            Deed::Terminate => &mut spec.terminate,
            Deed::Evict => &mut spec.evict,
            Deed::Cordon => &mut spec.cordon,
            Deed::Drain => &mut spec.drain,
        };
        *place = Some(words);
        spec
    }

    /// The node that it is about, if it is about one.
    pub(crate) fn node(&self) -> Option<&str> {
        self.wish()?.1.get("node")?.as_str()
    }
}

impl Object {
    /// The id of what it asks for; `None` where its UID is none that an API server makes.
    pub(crate) fn id(&self) -> Option<IntentId> {
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

    /// As its disruption names it.
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

    /// Whether it waits for what it asks for to be over before it goes.
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
    /// Pods of one namespace go.
    Disruption,
    Kind::Disruption
);
kind!(
    /// No pods come to a node.
    ClusterDisruption,
    Kind::ClusterDisruption
);
