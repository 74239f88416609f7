//! Who may capture by objects: decided by the API server, as for faults, by a verb of its own.

use serde_json::{Value, json};

use crate::keeping::GROUP;
use crate::objects::policy::{in_namespace, policy as decided, validation};

/// The verb, on pods.
pub(crate) const VERB: &str = "capture";

/// The policy with its binding.
pub(crate) fn policy() -> [Value; 2] {
    let mut validations = in_namespace(VERB, "capture packets of pods", "schism-capture");
    validations.push(own_name());
    decided(&format!("captures.{GROUP}"), "CREATE", &["captures"], &json!([]), validations)
}

/// Whoever asks is named, for the audit log: packets are handed over to nobody else.
fn own_name() -> Value {
    validation(
        "has(object.spec.requestedBy) && object.spec.requestedBy == request.userInfo.username",
        "'requestedBy names ' + (has(object.spec.requestedBy) ? object.spec.requestedBy : 'nobody') + ', and it is ' + \
         request.userInfo.username + ' who asks: name yourself'",
    )
}
