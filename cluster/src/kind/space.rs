//! Namespaces.

use serde::{Deserialize, Serialize};

use super::resource;
use crate::Metadata;

/// A namespace as an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NamespaceObject {
    /// Its name and labels.
    pub metadata: Metadata,
}

resource!(NamespaceObject, "", "v1", "Namespace", "namespaces");
