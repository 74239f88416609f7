//! Where calls wait until a test lets them go on.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::watch;

/// Calls that reach it wait until it is opened; when the last handle of the test is gone it stays as it is.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    open: Mutex<bool>,
    opened: Condvar,
    reached: watch::Sender<usize>,
}

impl Gate {
    pub(super) fn new() -> Self {
        let inner = Inner {
            open: Mutex::new(false),
            opened: Condvar::new(),
            reached: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Lets everybody go on, and nobody wait any more.
    pub fn open(&self) {
        *self.inner.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.inner.opened.notify_all();
    }

    /// Waits until this many calls have reached it since it was made.
    pub async fn reached(&self, calls: usize) {
        let mut reached = self.inner.reached.subscribe();
        // The sender lives as long as this gate.
        let _ = reached.wait_for(|reached| *reached >= calls).await;
    }

    pub(super) fn pass(&self) {
        self.inner.reached.send_modify(|reached| *reached += 1);
        let mut open = self.inner.open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            open = self.inner.opened.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
