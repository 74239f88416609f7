//! What a cut does to clients.

use std::time::Duration;

use lab::etcd::{Cluster, Route, Writer, Writes};

use crate::quantity::time;

/// A write every 10 ms.
const EVERY: Duration = Duration::from_millis(10);

/// After half a second a client gives a write up.
const LIMIT: Duration = Duration::from_millis(500);

/// Begins to write.
pub(super) fn start(cluster: &Cluster, route: Route) -> Writer {
    Writer::start(cluster, route, EVERY, LIMIT)
}

/// Acknowledged of tried.
pub(super) fn share(writes: &Writes) -> String {
    format!("{}/{}", writes.acknowledged(), writes.attempts.len())
}

/// Acknowledged of tried, and the longest time without one.
pub(super) fn told(writes: &Writes) -> String {
    format!("{} acknowledged, longest gap {}", share(writes), time(writes.longest_gap()))
}
