//! What is kept in a cluster: secrets, and what is no secret.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::resource;
use crate::{Metadata, Secret};

/// A Secret.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct SecretObject {
    /// Its name.
    pub metadata: Metadata,
    /// What it holds, in base64.
    data: BTreeMap<String, Secret>,
}

resource!(SecretObject, "", "v1", "Secret", "secrets");

/// A ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ConfigMap {
    /// Its name.
    pub metadata: Metadata,
    /// What it holds.
    pub data: BTreeMap<String, String>,
    /// Whether that can be changed by nobody; `None` where it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
}

resource!(ConfigMap, "", "v1", "ConfigMap", "configmaps");

impl SecretObject {
    /// One that holds these texts.
    #[must_use]
    pub fn new(name: &str, texts: &[(&str, &str)]) -> Self {
        let metadata = Metadata { name: name.to_owned(), ..Metadata::default() };
        let data = texts
            .iter()
            .map(|(key, text)| ((*key).to_owned(), Secret::new(&BASE64_STANDARD.encode(text))));
        Self { metadata, data: data.collect() }
    }

    /// A text that it holds; `None` where there is none, or something that is no text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<String> {
        let bytes = BASE64_STANDARD.decode(self.data.get(key)?.reveal()).ok()?;
        String::from_utf8(bytes).ok()
    }

    /// A patch by which a Secret holds these texts, if it is still in the state in which it was read.
    #[must_use]
    pub fn patch(&self, texts: &[(&str, &str)]) -> Value {
        let data: BTreeMap<&str, String> =
            texts.iter().map(|(key, text)| (*key, BASE64_STANDARD.encode(text))).collect();
        json!({ "metadata": { "resourceVersion": self.metadata.resource_version }, "data": data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_and_not_shown() {
        let secret = SecretObject::new("authority", &[("ca.key", "hidden words")]);
        assert_eq!(secret.text("ca.key").as_deref(), Some("hidden words"));
        assert_eq!(secret.text("ca.pem"), None);
        let shown = format!("{secret:?}");
        assert!(!shown.contains("hidden") && !shown.contains("aGlkZGVu"), "{shown}");
        let written = serde_json::to_value(&secret).unwrap();
        assert_eq!(written["data"]["ca.key"], "aGlkZGVuIHdvcmRz");
        assert_eq!(secret.patch(&[("a", "b")])["data"]["a"], "Yg==");
    }
}
