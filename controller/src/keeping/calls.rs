//! What is asked of the API server about an object, one call each.

use cluster::{ApiError, Cause, Client, NameError};
use serde_json::{Value, json};

use super::decision::Said as _;
use super::{ObjectOf, Pair, Place, Scope};

/// Which part of an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Object,
    Status,
}

/// Has an object be held by these.
pub(super) async fn keep<K: Pair>(
    client: &Client,
    place: &Place<K>,
    object: &ObjectOf<K>,
    finalizers: Vec<String>,
) -> Result<ObjectOf<K>, ApiError> {
    let mut patch = of_that_state::<K>(object);
    patch["metadata"]["finalizers"] = finalizers.into();
    change(client, place, &patch, Part::Object).await
}

/// Writes its status.
pub(super) async fn tell<K: Pair>(
    client: &Client,
    place: &Place<K>,
    object: &ObjectOf<K>,
    status: &K::Status,
) -> Result<ObjectOf<K>, ApiError> {
    let mut patch = of_that_state::<K>(object);
    patch["status"] = status.written();
    change(client, place, &patch, Part::Status).await
}

/// What changes an object in the very state that is known, and no later one of its name.
fn of_that_state<K: Pair>(object: &ObjectOf<K>) -> Value {
    json!({ "metadata": { "resourceVersion": object.metadata.resource_version } })
}

async fn change<K: Pair>(
    client: &Client,
    place: &Place<K>,
    patch: &Value,
    part: Part,
) -> Result<ObjectOf<K>, ApiError> {
    let failed = |error: NameError| ApiError {
        attempted: format!("change {place}"),
        cause: Cause::Malformed(error.to_string()),
    };
    let (within, name) = place.path().map_err(failed)?;
    match (place.kind.scope(), part) {
        (Scope::Namespaced, Part::Object) => {
            client.merge::<K::Namespaced>(&within, &name, patch).await.map(Into::into)
        }
        (Scope::Namespaced, Part::Status) => {
            client.merge_status::<K::Namespaced>(&within, &name, patch).await.map(Into::into)
        }
        (Scope::OfCluster, Part::Object) => {
            client.merge::<K::OfCluster>(&within, &name, patch).await.map(Into::into)
        }
        (Scope::OfCluster, Part::Status) => {
            client.merge_status::<K::OfCluster>(&within, &name, patch).await.map(Into::into)
        }
    }
}
