//! What the API server knows of kinds that are not its own.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::resource;
use crate::Metadata;

/// A CustomResourceDefinition.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Definition {
    /// Its name: the plural of the kind, and its group.
    pub metadata: Metadata,
    /// What it says of the kind.
    pub spec: DefinitionSpec,
}

resource!(
    Definition,
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions"
);

/// What it says of the kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct DefinitionSpec {
    /// The versions of the kind.
    pub versions: Vec<DefinitionVersion>,
}

/// A version of a kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct DefinitionVersion {
    /// Its name.
    pub name: String,
    /// Whether the API server takes and gives objects of it.
    pub served: bool,
    /// What objects of it may have.
    pub schema: DefinitionSchema,
}

/// What objects of a version may have.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DefinitionSchema {
    /// A structural schema: fields that it does not name are dropped, but where it says otherwise.
    #[serde(rename = "openAPIV3Schema")]
    pub structure: Value,
}
