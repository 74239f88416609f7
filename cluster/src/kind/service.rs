//! Services, and what they lead to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::resource;
use crate::Metadata;

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Service {
    /// Its name and labels.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: ServiceSpec,
}

resource!(Service, "", "v1", "Service", "services");

/// What a Service should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
    /// How it is reached.
    #[serde(rename = "type")]
    pub how: ServiceType,
    /// Its virtual addresses, of one family each; `None` as a word where it has none.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    /// The name for which it stands, where it is but a name.
    pub external_name: String,
    /// The labels of the pods to which it leads; none where somebody else says whither.
    pub selector: BTreeMap<String, String>,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum ServiceType {
    /// It is another name for something outside.
    ExternalName,
    /// By addresses, or by names that have those of its endpoints.
    #[default]
    #[serde(other)]
    Addresses,
}

/// Some of the endpoints of a Service, all of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointSlice {
    /// Its name, and in its labels that of its Service.
    pub metadata: Metadata,
    /// Them; a slice without any is null.
    pub endpoints: Option<Vec<Endpoint>>,
}

resource!(EndpointSlice, "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");

impl EndpointSlice {
    /// The label of slices that says to which Service they belong.
    pub const OF: &str = "kubernetes.io/service-name";
}

/// Where a Service may send to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint {
    /// Its addresses, or names in a slice of names.
    pub addresses: Vec<String>,
    /// What is there, where the API server has an object for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
}

/// An object that is reached at an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TargetRef {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Which one it is.
    pub uid: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_is_and_whither_it_leads_is_read() {
        let text = r#"{
            "metadata": { "name": "web" },
            "spec": {
                "type": "NodePort", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd79::9"],
                "selector": { "app": "web" }, "ports": [{ "port": 80 }]
            }
        }"#;
        let service: Service = serde_json::from_str(text).unwrap();
        assert_eq!(service.spec.how, ServiceType::Addresses);
        assert_eq!(service.spec.cluster_ips, ["10.96.0.9", "fd79::9"]);
        let name = r#"{ "spec": { "type": "ExternalName", "externalName": "example.org" } }"#;
        let name: Service = serde_json::from_str(name).unwrap();
        assert_eq!(name.spec.how, ServiceType::ExternalName);
        let slice = r#"{
            "addressType": "IPv4",
            "endpoints": [
                { "addresses": ["10.0.0.1"], "conditions": { "ready": false },
                  "targetRef": { "kind": "Pod", "name": "web-0", "uid": "u" } },
                { "addresses": ["192.0.2.7"] }
            ]
        }"#;
        let slice: EndpointSlice = serde_json::from_str(slice).unwrap();
        let endpoints = slice.endpoints.unwrap();
        assert_eq!(endpoints[0].target_ref.as_ref().map(|one| one.uid.as_str()), Some("u"));
        assert_eq!(endpoints[1].target_ref, None);
        let empty: EndpointSlice = serde_json::from_str(r#"{ "endpoints": null }"#).unwrap();
        assert_eq!(empty.endpoints, None);
    }
}
