//! Faults as documents have them.

use fault::Status;
use serde::{Serialize, Serializer};

use super::route::Route;

/// A fault's status with what follows from it, so that no reader has to know that a cut's target is its
/// TO at one hook and its FROM at the other.
#[derive(Serialize)]
struct Record {
    #[serde(flatten)]
    route: Route,
    #[serde(flatten)]
    status: Status,
}

impl From<&Status> for Record {
    fn from(status: &Status) -> Self {
        let state = status.standing();
        Self { route: Route::from(&status.fault), status: Status { state, ..status.clone() } }
    }
}

/// For `serialize_with`.
pub(crate) fn faults<S: Serializer>(statuses: &[Status], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(statuses.iter().map(Record::from))
}
