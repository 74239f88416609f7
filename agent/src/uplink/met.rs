//! The controllers to which there is a connection.

use std::collections::BTreeSet;

use fault::Holder;
use tokio::sync::watch;

/// Whom an agent is connected to, by all its ways together: one connection each, by whatever address.
#[derive(Clone, Debug, Default)]
pub(super) struct Met(watch::Sender<BTreeSet<Holder>>);

/// One of them, for as long as this lives.
#[derive(Debug)]
pub(super) struct Meeting {
    met: Met,
    holder: Holder,
}

impl Met {
    /// Notes a connection to a life of a controller; `None` where there is one already.
    pub(super) fn meet(&self, holder: Holder) -> Option<Meeting> {
        let is_new = self.0.send_if_modified(|met| met.insert(holder));
        is_new.then(|| Meeting { met: self.clone(), holder })
    }

    /// Returns once there is no connection to it.
    pub(super) async fn parted(&self, holder: Holder) {
        // Who waits has a sender himself.
        let _ = self.0.subscribe().wait_for(|met| !met.contains(&holder)).await;
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// Returns once there are fewer than so many.
    pub(super) async fn fewer_than(&self, count: usize) {
        let _ = self.0.subscribe().wait_for(|met| met.len() < count).await;
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        self.met.0.send_if_modified(|met| met.remove(&self.holder));
    }
}
