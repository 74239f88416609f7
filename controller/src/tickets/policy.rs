//! Who may capture by objects: decided by the API server, as for faults, by a verb of its own.

use serde_json::{Value, json};

use crate::objects::policy::{in_namespace, own_name, policy as decided};
use crate::objects::resource::GROUP;

/// The verb, on pods.
pub(crate) const VERB: &str = "capture";

/// The policy with its binding.
pub(crate) fn policy() -> [Value; 2] {
    let mut validations = in_namespace(VERB, "capture packets of pods", "schism-capture");
    validations.push(own_name());
    decided(&format!("captures.{GROUP}"), "CREATE", &["captures"], &json!([]), validations)
}
