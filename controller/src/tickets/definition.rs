//! What the API server has to know of the kind.

use serde_json::{Value, json};

use crate::objects::definition::field::{matching, number, rule, text, time};
use crate::objects::definition::{LONGEST, Names, WITHIN, custom_resource, object, selector};
use crate::objects::resource::Kind;

/// The definition.
pub(crate) fn definition() -> Value {
    let names = Names { kind: "Capture", plural: "captures", short: "cap", scope: "Namespaced" };
    let about = "Packets of a pod of this namespace, for whoever knows the secret of which it has a hash: kubectl \
                 schism capture makes both.";
    custom_resource(&names, about, &spec(), &status(), &columns())
}

fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str| json!({ "name": name, "type": kind, "jsonPath": path });
    json!([
        column("Target", "string", ".spec.target"),
        column("State", "string", ".status.phase"),
        column("Packets", "integer", ".status.packets"),
        column("Age", "date", ".metadata.creationTimestamp"),
        {
            "name": "By", "type": "string", "jsonPath": ".spec.requestedBy", "priority": 1,
        },
        {
            "name": "Message", "type": "string", "jsonPath": ".status.message", "priority": 1,
        },
    ])
}

fn spec() -> Value {
    let mut peer = text("Only packets from or to this.", LONGEST);
    peer["x-kubernetes-validations"] = json!([rule(
        &format!("{WITHIN} || self.startsWith('addr:')"),
        "a peer is pods of this namespace, as a target is, or addr:PREFIX",
    )]);
    let properties = json!({
        "target": selector(Kind::Fault, "Whose packets: one pod."),
        "peer": peer,
        "port": number("Only packets from or to this port.", 1, 65_535),
        "snaplen": number("How many bytes of each, from its network header on [its headers, and no payload].", 1, 65_535),
        "max": text("How large a file of it may become: it ends before that [64MiB].", 32),
        "for": time("How long [10s]; at most 10 minutes."),
        "ticket": matching(
            "The SHA-256 of a secret of 16 bytes, which only whoever asks knows.",
            64,
            "^[0-9a-f]{64}$",
            "a ticket has 64 hexadecimal digits",
        ),
        "requestedBy": text("Who asks: nobody but the user who creates the object can be named.", 253),
    });
    let rules =
        vec![rule("self == oldSelf", "what a capture is cannot be changed: create another one")];
    object(
        "What is asked for. It cannot be changed.",
        &["target", "ticket", "requestedBy"],
        properties,
        rules,
    )
}

fn status() -> Value {
    let properties = json!({
        "phase": { "type": "string", "description": "Ready, Running, Over, Expired or Refused." },
        "pod": { "type": "string", "description": "The pod in which the ticket is good, NAMESPACE/NAME." },
        "message": { "type": "string", "description": "Why." },
        "packets": { "type": "integer", "format": "int64", "description": "How many were handed over." },
        "bytes": { "type": "integer", "format": "int64", "description": "How much of them." },
        "missed": { "type": "integer", "format": "int64", "description": "How many more passed and were not seen." },
    });
    object("What has become of it.", &[], properties, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::super::resource::{Capture, Phase, Spec, Status};
    use super::*;

    #[test]
    fn it_has_the_fields_that_objects_have() {
        let definition = definition();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let some = Capture {
            spec: Spec {
                target: "pod/a".to_owned(),
                peer: Some("pod/b".to_owned()),
                port: Some(1),
                snaplen: Some(1),
                max: Some("1MB".to_owned()),
                total: Some("1s".to_owned()),
                ticket: "0".repeat(64),
                requested_by: Some("ann".to_owned()),
            },
            status: Status {
                phase: Some(Phase::Over),
                pod: Some("schism/c".to_owned()),
                message: Some("why".to_owned()),
                packets: Some(1),
                bytes: Some(1),
                missed: Some(1),
            },
            ..Capture::default()
        };
        let written = serde_json::to_value(&some).unwrap();
        for part in ["spec", "status"] {
            let keys = |value: &Value| -> Vec<String> {
                value.as_object().unwrap().keys().cloned().collect()
            };
            let mut known = keys(&schema["properties"][part]["properties"]);
            let mut own = keys(&written[part]);
            known.sort_unstable();
            own.sort_unstable();
            assert_eq!(known, own, "{part}");
        }
        let read: Capture = serde_json::from_value(written).unwrap();
        assert_eq!((read.spec, read.status), (some.spec, some.status));
        let odd = json!({ "spec": { "target": 5 }, "status": { "phase": "Dreaming" } });
        let odd: Capture = serde_json::from_value(odd).unwrap();
        assert_eq!(odd, Capture::default());
    }
}
