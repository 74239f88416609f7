//! The kinds of objects that are read, each with the fields that are used.

pub(crate) mod binding;
pub(crate) mod budget;
pub(crate) mod definition;
pub(crate) mod happening;
pub(crate) mod job;
pub(crate) mod kept;
pub(crate) mod lease;
pub(crate) mod logged;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod service;
pub(crate) mod space;
pub(crate) mod token;
pub(crate) mod workload;

/// Says of a struct with a `metadata` of which kind it is.
macro_rules! resource {
    ($object:ty, $group:literal, $version:literal, $kind:literal, $plural:literal) => {
        impl $crate::Resource for $object {
            const KIND: $crate::Kind =
                $crate::Kind { group: $group, version: $version, kind: $kind, plural: $plural };

            fn metadata(&self) -> &$crate::Metadata {
                &self.metadata
            }
        }
    };
}
pub(crate) use resource;
