//! Whether what a watch has told is how things are.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What has happened before a watch was opened is told by then: the API server has it in memory.
const CAUGHT_UP: Duration = Duration::from_secs(1);

/// An API server says of a watch on which nothing happens how far it has come, once a minute and a quarter of one at
/// most (`bookmarkFrequency`). What is silent for longer than this may hang.
pub(crate) const SILENT: Duration = Duration::from_secs(90);

/// Tells of a watch, from elsewhere than where it is waited for, whether it is current. Clones tell of the same.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Open>>>);

/// A watch that is being told.
#[derive(Clone, Copy, Debug)]
struct Open {
    since: Instant,
    heard: Instant,
}

impl Pulse {
    /// Whether everything is told that has happened, but for the last moments: never while it is broken, listed, or
    /// has just been opened, or has hung for more than 90 s.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.kept().is_some_and(|open| open.is_current(Instant::now()))
    }

    pub(crate) fn opened(&self) {
        let now = Instant::now();
        *self.kept() = Some(Open { since: now, heard: now });
    }

    pub(crate) fn heard(&self) {
        if let Some(open) = self.kept().as_mut() {
            open.heard = Instant::now();
        }
    }

    pub(crate) fn closed(&self) {
        *self.kept() = None;
    }

    fn kept(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn is_current(self, now: Instant) -> bool {
        now.duration_since(self.since) >= CAUGHT_UP && now.duration_since(self.heard) <= SILENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_believed_while_it_is_open_and_speaks() {
        let pulse = Pulse::default();
        let after = async |seconds: u64| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            pulse.is_current()
        };
        assert!(!after(5).await, "nothing was opened yet");
        pulse.heard();
        assert!(!pulse.is_current());
        pulse.opened();
        assert!(!pulse.is_current(), "what it is behind is not told yet");
        assert!(after(1).await);
        assert!(after(89).await);
        assert!(!after(1).await, "it may hang");
        pulse.heard();
        assert!(pulse.is_current(), "a bookmark is enough");
        pulse.closed();
        assert!(!after(2).await);
        pulse.opened();
        assert!(!pulse.is_current());
        assert!(after(1).await);
    }
}
