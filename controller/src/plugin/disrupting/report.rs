//! Objects that have pods go and nodes cordoned, as people and programs read them. Pure.

use std::time::UNIX_EPOCH;

use serde_json::Value;

use crate::disruptions::asked::TARGET;
use crate::disruptions::resource::{Kind, Object};
use crate::disruptions::status::{Phase, PodStatus};
use crate::fleet::disrupted::{DisruptionRecord, PodRecord};
use crate::link::nanos;

/// An object, as what a controller is asked for itself.
pub(in crate::plugin) fn record(kind: Kind, object: &Object) -> DisruptionRecord {
    let status = &object.status;
    let until = status.until.as_deref().and_then(|text| humantime::parse_rfc3339(text).ok());
    let until = until.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let what = match (status.what.as_str(), object.spec.wish()) {
        // Nobody has said anything of it yet.
        ("", Some((deed, words))) => {
            let about = words.get(TARGET).or_else(|| words.get("node"));
            let about = about.and_then(Value::as_str).unwrap_or_default();
            format!("{} {} {about}", deed.behind().name(), deed.word())
        }
        (said, _) => said.to_owned(),
    };
    DisruptionRecord {
        id: status.disruption.clone(),
        object: Some(object.place(kind).to_string()),
        what,
        stage: status.phase.word(),
        deadline: until.map(|until| until.as_secs_f64()),
        asker: object.spec.requested_by.clone().unwrap_or_default(),
        reason: status.message.clone(),
        notes: status.notes.clone(),
        pods: status.pods.iter().map(PodRecord::from).collect(),
        until: until.filter(|_| status.phase == Phase::Standing).map_or(0, nanos),
        name: object.metadata.name.clone(),
    }
}

impl From<&PodStatus> for PodRecord {
    fn from(one: &PodStatus) -> Self {
        let PodStatus { pod, uid, node, fate, trouble, successor } = one.clone();
        Self { pod, uid, node, fate, trouble, successor }
    }
}

#[cfg(test)]
mod tests {
    use cluster::Metadata;
    use serde_json::json;

    use super::*;
    use crate::disruptions::status::Status;
    use crate::fleet::disrupted::{DisruptionReport, list};
    use crate::outcome::Outcome;
    use crate::output::{Detail, Report as _};

    fn object(status: Value) -> Object {
        Object {
            metadata: Metadata { name: "drain-f01234".to_owned(), ..Metadata::default() },
            spec: serde_json::from_value(
                json!({ "drain": { "node": "n1" }, "requestedBy": "ann" }),
            )
            .unwrap(),
            status: serde_json::from_value::<Status>(status).unwrap(),
        }
    }

    #[test]
    fn an_object_is_told_as_what_a_controller_did() {
        let pod = json!({ "pod": "prod/web-0", "uid": "u", "node": "n1", "fate": "gone" });
        let one = object(json!({
            "phase": "Standing", "what": "node drain n1", "disruption": "a1b2c3d4e5f6",
            "until": "2023-11-14T22:13:20Z", "pods": [pod], "notes": ["something else"],
        }));
        let report =
            DisruptionReport::new(record(Kind::ClusterDisruption, &one), Outcome::Effective);
        let text = anstream::adapter::strip_str(&report.text(Detail::Normal)).to_string();
        let expected = "\
POD         NODE  IT IS  IN ITS PLACE
prod/web-0  n1    gone   -
drain-f01234: something else";
        assert_eq!(text, expected);
        let document = serde_json::to_value(&report).unwrap();
        assert_eq!(document["schema"], "schism.disruption/v1");
        assert_eq!(document["object"], "ClusterDisruption drain-f01234");
        assert_eq!(
            (&document["stage"], &document["deadline"]),
            (&json!("standing"), &json!(1.7e9))
        );
        assert_eq!((&document["asker"], &document["exit_code"]), (&json!("ann"), &json!(0)));
    }

    #[test]
    fn one_of_which_nobody_has_said_anything_is_told_as_it_was_asked_for() {
        let one = record(Kind::ClusterDisruption, &object(json!({})));
        assert_eq!((one.what.as_str(), one.stage), ("node drain n1", "pending"));
        let text = list(&[one], Detail::Normal);
        assert!(text.contains("drain-f01234") && text.contains("node drain n1"), "{text}");
    }
}
