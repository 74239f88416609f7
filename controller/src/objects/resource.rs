//! The two kinds of objects, as the API server has them.

use cluster::{Metadata, Name, NameError, Resource, Within};
use experiment::model::FaultVerb;
use fault::IntentId;
use proto::control as wire;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::status::Status;

/// The group of both kinds.
pub(crate) const GROUP: &str = "schism.dev";

/// Their version.
pub(crate) const VERSION: &str = "v1alpha1";

/// What an object has as long as its fault may act: it is not gone before.
pub(crate) const FINALIZER: &str = "schism.dev/heal";

/// By which annotation counts are asked for: its value comes back as `counted` of the status that has them.
pub(crate) const COUNT: &str = "schism.dev/count";

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// In a namespace, about pods of that namespace.
    Fault,
    /// Of the cluster, about anything.
    ClusterFault,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Fault, Self::ClusterFault];

    /// Its word in objects.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Fault => "Fault",
            Self::ClusterFault => "ClusterFault",
        }
    }

    /// Its word where many are meant.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Fault => "faults",
            Self::ClusterFault => "clusterfaults",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
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
            Kind::Fault => Within::Namespace(self.namespace.parse()?),
            Kind::ClusterFault => Within::Cluster,
        };
        Ok((within, self.name.parse()?))
    }

    /// Where the object is, or was, by which an intent was asked for.
    pub(crate) fn of(object: &wire::Object) -> Option<Self> {
        let kind = Kind::of(&object.kind)?;
        Some(Self { kind, namespace: object.namespace.clone(), name: object.name.clone() })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Fault => write!(f, "Fault {}/{}", self.namespace, self.name),
            Kind::ClusterFault => write!(f, "ClusterFault {}", self.name),
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

/// What makes no sense is nothing: a definition that others have changed lets it in, and one object must not keep
/// all others from being read.
pub(crate) fn or_nothing<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

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
    /// The id of its intent: the last 48 bits of its UID, which are random (RFC 9562, version 4). `None` of what is no
    /// such UID.
    pub(crate) fn intent(&self) -> Option<IntentId> {
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

    /// As its intent names it.
    pub(crate) fn wire(&self, kind: Kind) -> wire::Object {
        let Place { kind, namespace, name } = self.place(kind);
        wire::Object {
            kind: kind.word().to_owned(),
            namespace,
            name,
            uid: self.metadata.uid.clone(),
        }
    }

    /// Whether it waits for its fault to be healed before it goes.
    pub(crate) fn is_held(&self) -> bool {
        is_held(&self.metadata)
    }

    /// By what counts were last asked for; empty for not at all.
    pub(crate) fn counted(&self) -> &str {
        self.metadata.annotations.get(COUNT).map(String::as_str).unwrap_or_default()
    }

    /// Whether it is on its way out.
    pub(crate) fn is_leaving(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether it is an earlier state than another one of the same object. API servers number them, and promise
    /// nothing of it: what cannot be told is later.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        is_before(&self.metadata, &other.metadata)
    }
}

/// The id of what an object asks for.
pub(crate) fn id_of(metadata: &Metadata) -> Option<IntentId> {
    let (_, last) = metadata.uid.rsplit_once('-')?;
    let number = u64::from_str_radix(last, 16).ok().filter(|number| *number != 0)?;
    (last.len() == 12).then(|| IntentId::from_random(number))
}

/// From what is drawn where an object names no seed: the first bits of its UID, so that whoever leads draws the same.
pub(crate) fn seed_of(metadata: &Metadata) -> u64 {
    let digits: String = metadata.uid.chars().filter(char::is_ascii_hexdigit).collect();
    let own = digits.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    own.unwrap_or_default()
}

/// Whether an object waits for what it asks for to be over before it goes.
pub(crate) fn is_held(metadata: &Metadata) -> bool {
    metadata.finalizers.iter().any(|one| one == FINALIZER)
}

/// Whether this is an earlier state of an object than that.
pub(crate) fn is_before(this: &Metadata, that: &Metadata) -> bool {
    let number = |metadata: &Metadata| metadata.resource_version.parse::<u64>().ok();
    number(this).zip(number(that)).is_some_and(|(this, that)| this < that)
}

/// A kind of objects that are all of one form, `Object`, told apart by its name alone.
macro_rules! kind {
    ($(#[$about:meta])* $name:ident, $kind:expr) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) Object);

        impl Resource for $name {
            const KIND: cluster::Kind = cluster::Kind {
                group: GROUP,
                version: VERSION,
                kind: $kind.word(),
                plural: $kind.plural(),
            };

            fn metadata(&self) -> &Metadata {
                &self.0.metadata
            }
        }

        impl From<$name> for Object {
            fn from(object: $name) -> Self {
                object.0
            }
        }

        impl From<Object> for $name {
            fn from(object: Object) -> Self {
                Self(object)
            }
        }
    };
}
pub(crate) use kind;

kind!(
    /// A fault among pods of one namespace.
    Fault,
    Kind::Fault
);
kind!(
    /// A fault among whatever there is.
    ClusterFault,
    Kind::ClusterFault
);
