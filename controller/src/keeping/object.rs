//! Objects that ask for something, of kinds that come in pairs: one in a namespace, the other of the cluster.

use std::fmt::{self, Debug, Display};

use cluster::{Metadata, Name, NameError, Resource, Within};
use fault::IntentId;
use proto::control as wire;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::decision::Said;

/// The group of all kinds.
pub(crate) const GROUP: &str = "schism.dev";

/// Their version.
pub(crate) const VERSION: &str = "v1alpha1";

/// What an object has as long as what it asks for may go on: it is not gone before.
pub(crate) const FINALIZER: &str = "schism.dev/heal";

/// Two kinds of objects that ask for the same, told apart by how far they reach.
pub(crate) trait Pair: Copy + Debug + Ord + Send + Sync + 'static {
    /// What one asks for.
    type Spec: Clone + Debug + Send + Sync + 'static;
    /// What became of it.
    type Status: Said<Spec = Self::Spec>;
    /// One in a namespace, as the API server has it.
    type Namespaced: Resource + Into<ObjectOf<Self>>;
    /// One of the cluster.
    type OfCluster: Resource + Into<ObjectOf<Self>>;

    /// The one in namespaces, and the other one.
    const BOTH: [Self; 2];

    /// How far its objects reach.
    fn scope(self) -> Scope;

    /// What the API server has to know of it.
    fn definition(self) -> Value;

    /// What it is called.
    fn names(self) -> cluster::Kind {
        match self.scope() {
            Scope::Namespaced => Self::Namespaced::KIND,
            Scope::OfCluster => Self::OfCluster::KIND,
        }
    }
}

/// How far objects reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Their namespace.
    Namespaced,
    /// Everything.
    OfCluster,
}

/// An object of one of two kinds.
pub(crate) type ObjectOf<K> = Object<<K as Pair>::Spec, <K as Pair>::Status>;

/// Where an object is found, whichever it is that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place<K> {
    /// Of which kind.
    pub(crate) kind: K,
    /// In which namespace; empty for an object of the cluster.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

impl<K: Pair> Place<K> {
    /// As the API server is asked for it.
    ///
    /// # Errors
    /// It is no name that an API server has given.
    pub(crate) fn path(&self) -> Result<(Within, Name), NameError> {
        let within = match self.kind.scope() {
            Scope::Namespaced => Within::Namespace(self.namespace.parse()?),
            Scope::OfCluster => Within::Cluster,
        };
        Ok((within, self.name.parse()?))
    }

    /// Where the object is, or was, by which something was asked for; `None` of another kind.
    pub(crate) fn of(object: &wire::Object) -> Option<Self> {
        let kind = K::BOTH.into_iter().find(|kind| kind.names().kind == object.kind)?;
        Some(Self { kind, namespace: object.namespace.clone(), name: object.name.clone() })
    }
}

impl<K: Pair> Display for Place<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.names().kind;
        match self.kind.scope() {
            Scope::Namespaced => write!(f, "{kind} {}/{}", self.namespace, self.name),
            Scope::OfCluster => write!(f, "{kind} {}", self.name),
        }
    }
}

/// An object of either kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(
    default,
    bound(
        deserialize = "S: DeserializeOwned + Default, T: Said",
        serialize = "S: Serialize, T: Said"
    )
)]
pub(crate) struct Object<S, T> {
    pub(crate) metadata: Metadata,
    #[serde(deserialize_with = "or_nothing")]
    pub(crate) spec: S,
    /// As it was last written.
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Said::is_nothing")]
    pub(crate) status: T,
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

impl<S, T> Object<S, T> {
    /// The id of what it asks for: the last 48 bits of its UID, which are random (RFC 9562, version 4). `None` of what
    /// is no such UID.
    pub(crate) fn id(&self) -> Option<IntentId> {
        id_of(&self.metadata)
    }

    /// From what is drawn where it names no seed.
    pub(crate) fn drawn(&self) -> u64 {
        seed_of(&self.metadata)
    }

    /// Where it is.
    pub(crate) fn place<K: Pair>(&self, kind: K) -> Place<K> {
        let namespace = self.metadata.namespace.clone().unwrap_or_default();
        Place { kind, namespace, name: self.metadata.name.clone() }
    }

    /// As what it asks for names it.
    pub(crate) fn wire<K: Pair>(&self, kind: K) -> wire::Object {
        let Place { kind, namespace, name } = self.place(kind);
        let uid = self.metadata.uid.clone();
        wire::Object { kind: kind.names().kind.to_owned(), namespace, name, uid }
    }

    /// Whether it waits for what it asks for to be over before it goes.
    pub(crate) fn is_held(&self) -> bool {
        is_held(&self.metadata)
    }

    /// By what it is to be held as long as what it asks for may go on.
    pub(crate) fn holding(&self) -> Vec<String> {
        let mut finalizers = self.metadata.finalizers.clone();
        finalizers.push(FINALIZER.to_owned());
        finalizers
    }

    /// By what it is to be held once it waits no longer: by others.
    pub(crate) fn released(&self) -> Vec<String> {
        let mut finalizers = self.metadata.finalizers.clone();
        finalizers.retain(|one| one != FINALIZER);
        finalizers
    }

    /// Whether it is on its way out.
    pub(crate) const fn is_leaving(&self) -> bool {
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

/// Who asks for something by an object, for people.
pub(crate) fn asker<K: Pair>(named: Option<&str>, place: &Place<K>) -> String {
    match named {
        Some(who) => format!("{who}, by {place}"),
        None => format!("whoever created {place}"),
    }
}

/// A pair of kinds whose objects are all of one form, `Object`, told apart by their names alone: with their plurals, and
/// how far they reach.
macro_rules! pair {
    (
        $spec:ty, $status:ty, $definition:path;
        $($(#[$about:meta])* $name:ident, $plural:literal, $scope:ident;)*
    ) => {
        /// Which of the two it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind {
            $($(#[$about])* $name,)*
        }

        /// An object of either kind.
        pub(crate) type Object = $crate::keeping::Object<$spec, $status>;

        /// Where one is found.
        pub(crate) type Place = $crate::keeping::Place<Kind>;

        impl Kind {
            /// Both.
            pub(crate) const ALL: [Self; 2] = [$(Self::$name),*];

            /// Its word in objects.
            pub(crate) const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Its word where many are meant.
            pub(crate) const fn plural(self) -> &'static str {
                match self {
                    $(Self::$name => $plural,)*
                }
            }
        }

        impl $crate::keeping::Pair for Kind {
            type Spec = $spec;
            type Status = $status;
            $(type $scope = $name;)*

            const BOTH: [Self; 2] = Self::ALL;

            fn scope(self) -> $crate::keeping::Scope {
                match self {
                    $(Self::$name => $crate::keeping::Scope::$scope,)*
                }
            }

            fn definition(self) -> serde_json::Value {
                $definition(self)
            }
        }

        $($crate::keeping::kind!($(#[$about])* $name, Kind::$name);)*
    };
}
pub(crate) use pair;

/// A kind of objects that are all of one form, `Object`, told apart by its name alone.
macro_rules! kind {
    ($(#[$about:meta])* $name:ident, $kind:expr) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) Object);

        impl cluster::Resource for $name {
            const KIND: cluster::Kind = cluster::Kind {
                group: $crate::keeping::GROUP,
                version: $crate::keeping::VERSION,
                kind: $kind.word(),
                plural: $kind.plural(),
            };

            fn metadata(&self) -> &cluster::Metadata {
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
