//! A record as an object of a cluster.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use cluster::{Metadata, Resource};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::store::{Id, Key, Kind};

/// What stands before the digits of an id that is no name of an object.
const ENCODED: &str = "x-";

/// A record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct RecordObject {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
}

/// What it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Spec {
    kind: String,
    id: String,
    pub(super) revision: u64,
    /// Up to where deletions were forgotten when it was written.
    pub(super) compacted: u64,
    /// Whether all that is left of it is that it was there.
    deleted: bool,
    /// In base64.
    value: String,
}

impl Resource for RecordObject {
    const KIND: cluster::Kind = cluster::Kind {
        group: "schism.dev",
        version: "v1alpha1",
        kind: "Record",
        plural: "records",
    };

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl RecordObject {
    pub(super) fn new(name: &str, spec: Spec) -> Self {
        Self { metadata: Metadata { name: name.to_owned(), ..Metadata::default() }, spec }
    }

    /// What it holds; `None` for a record that was deleted.
    pub(super) fn read(&self) -> Result<(Key, Option<Vec<u8>>), &'static str> {
        let Spec { kind, id, deleted, value, .. } = &self.spec;
        let kind = Kind::ALL.into_iter().find(|one| word(*one) == kind).ok_or("an unknown kind")?;
        let id = Id::new(id).ok_or("no id")?;
        let value = match deleted {
            true => None,
            false => Some(BASE64_STANDARD.decode(value).map_err(|_| "no base64")?),
        };
        Ok((Key { kind, id }, value))
    }
}

impl Spec {
    pub(super) fn of(key: &Key, revision: u64, compacted: u64, value: Option<&[u8]>) -> Self {
        Self {
            kind: word(key.kind).to_owned(),
            id: key.id.to_string(),
            revision,
            compacted,
            deleted: value.is_none(),
            value: value.map(|value| BASE64_STANDARD.encode(value)).unwrap_or_default(),
        }
    }
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Intent => "intent",
        Kind::Identity => "identity",
        Kind::Brake => "brake",
        Kind::Run => "run",
        Kind::Disruption => "disruption",
    }
}

/// What the object of a record is called.
pub(super) fn name(key: &Key) -> String {
    let (kind, id) = (word(key.kind), key.id.as_str());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = id.len() < 200 && !id.starts_with(ENCODED) && id.bytes().all(plain);
    if fits {
        return format!("{kind}-{id}");
    }
    // Parts of 63 letters, so that it stays a name whatever its length.
    let digits: String = id.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}-{ENCODED}{digits}")
}

/// What the API server has to know of records before there can be any.
#[must_use]
pub fn definition() -> Value {
    let text = json!({ "type": "string" });
    let number = json!({ "type": "integer", "format": "int64", "minimum": 0 });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "records.schism.dev" },
        "spec": {
            "group": "schism.dev", "scope": "Namespaced",
            "names": {
                "kind": "Record", "listKind": "RecordList", "plural": "records", "singular": "record",
            },
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object", "required": ["spec"],
                    "description": "What a controller of Schism has to know after a restart. It is written by \
                                    the controller alone.",
                    "properties": { "spec": {
                        "type": "object", "required": ["kind", "id", "revision"],
                        "properties": {
                            "kind": { "type": "string", "enum": Kind::ALL.map(word) },
                            "id": text, "revision": number, "compacted": number,
                            "deleted": { "type": "boolean" }, "value": text,
                        },
                        "x-kubernetes-validations": [{
                            "rule": "self.kind == oldSelf.kind && self.id == oldSelf.id",
                            "message": "a record stays what it is about",
                        }, {
                            "rule": "self.revision > oldSelf.revision",
                            "message": "a record is never written over by an older one",
                        }],
                    } },
                } },
                "additionalPrinterColumns": [
                    { "name": "Kind", "type": "string", "jsonPath": ".spec.kind" },
                    { "name": "Revision", "type": "integer", "jsonPath": ".spec.revision" },
                    { "name": "Deleted", "type": "boolean", "jsonPath": ".spec.deleted" },
                ],
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_an_object_and_back() {
        for id in ["000000000abc", "brake", "A_b", "x-61", "é".trim_matches('é'), "a.b"] {
            let Some(id) = Id::new(id) else { continue };
            for kind in Kind::ALL {
                let key = Key { kind, id: id.clone() };
                let name = name(&key);
                assert!(name.parse::<cluster::Name>().is_ok(), "{name}");
                for value in [Some(vec![0, 255]), Some(Vec::new()), None] {
                    let spec = Spec::of(&key, 7, 3, value.as_deref());
                    let object = RecordObject::new(&name, spec);
                    assert_eq!(object.read(), Ok((key.clone(), value)));
                }
            }
        }
    }

    #[test]
    fn no_two_records_have_one_name() {
        let ids = ["a", "A", "x-61", "x-41", "61", "a-b", "a.b"];
        let names: std::collections::BTreeSet<String> = ids
            .iter()
            .flat_map(|id| Kind::ALL.map(|kind| Key { kind, id: Id::new(id).unwrap() }))
            .map(|key| name(&key))
            .collect();
        assert_eq!(names.len(), ids.len() * Kind::ALL.len());
    }
}
