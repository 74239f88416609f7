//! Somebody who waits in the worker's place: writing into a process waits where that has its memory locked
//! (mmap_lock), which may be for as long as a file system hangs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long is waited for (100 ms): a write takes microseconds.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// Has work done by a thread for each, and waits for none that takes long. While one does, nothing else is
/// begun but what must not be left undone.
#[derive(Clone, Debug, Default)]
pub(super) struct Deputy {
    /// What has not come to its end.
    open: Arc<AtomicUsize>,
}

/// Work that has begun; over when it is dropped, however that comes.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether work is begun while an earlier one waits still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum Urgency {
    /// It is not: what would come of it is not known in time.
    Optional,
    /// It is, and done once the way is free.
    Owed,
}

impl Deputy {
    /// Has this done, and says what came of it; `None` if that takes too long.
    ///
    /// # Errors
    /// No thread could be started.
    pub(super) fn have<T: Send + 'static>(
        &self,
        urgency: Urgency,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        let hangs = self.open.load(Ordering::Acquire) > 0;
        if hangs && urgency == Urgency::Optional {
            return Ok(None);
        }
        self.open.fetch_add(1, Ordering::AcqRel);
        let open = Open(Arc::clone(&self.open));
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = move || {
            let done = work();
            // Whoever is told may ask for more at once.
            drop(open);
            // Nobody may be listening any more.
            let _ = sender.send(done);
        };
        thread::Builder::new().name("schism-deputy".to_owned()).spawn(work)?;
        let patience = if hangs { Duration::ZERO } else { PATIENCE };
        Ok(receiver.recv_timeout(patience).ok())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_hangs_is_not_waited_for_and_what_is_owed_is_done_afterwards() {
        let deputy = Deputy::default();
        assert_eq!(deputy.have(Urgency::Optional, || 7).unwrap(), Some(7));
        let (go, hangs) = mpsc::channel::<()>();
        let (done, after) = mpsc::channel();
        let began = Instant::now();
        assert_eq!(deputy.have(Urgency::Optional, move || hangs.recv().unwrap()).unwrap(), None);
        assert!(began.elapsed() >= PATIENCE);
        // From now on nobody waits at all.
        let began = Instant::now();
        assert_eq!(deputy.have(Urgency::Optional, || 7).unwrap(), None);
        let (free, way) = mpsc::channel::<()>();
        let owed = move || {
            way.recv().unwrap();
            done.send(()).unwrap();
        };
        assert_eq!(deputy.have(Urgency::Owed, owed).unwrap(), None);
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        // It has begun, and waits for the way to be free.
        assert_eq!(after.try_recv(), Err(mpsc::TryRecvError::Empty));
        free.send(()).unwrap();
        go.send(()).unwrap();
        after.recv_timeout(Duration::from_secs(10)).unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while deputy.have(Urgency::Optional, || 7).unwrap().is_none() {
            assert!(Instant::now() < until, "it waits for ever");
            thread::yield_now();
        }
    }
}
