//! A store on a disk that can be filled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use controller::store::{
    Attempted, Change, ChangesError, Expected, Key, Kind, Memory, Pending, PutError, Record,
    Revision, Store, StoreError,
};
use tokio::sync::watch;

/// Memory that runs out when it is told to, or writes and does not say so.
pub(crate) struct Disk {
    memory: Memory,
    full: AtomicBool,
    mute: AtomicBool,
    written: AtomicUsize,
}

impl Disk {
    pub(crate) fn new() -> Arc<Self> {
        let (full, written) = (AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Self { memory: Memory::new(), full, mute: AtomicBool::new(false), written })
    }

    /// How often it was written to since the last time.
    pub(crate) fn written(&self) -> usize {
        self.written.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn fill(&self) {
        self.full.store(true, Ordering::Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.full.store(false, Ordering::Relaxed);
    }

    /// What is written next is written, and nobody hears so.
    pub(crate) fn mute(&self) {
        self.mute.store(true, Ordering::Relaxed);
    }

    fn room(&self) -> Result<(), StoreError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(StoreError::Full { attempted: Attempted::Write });
        }
        Ok(())
    }
}

impl Store for Disk {
    fn get(&self, key: Key) -> Pending<'_, Result<Option<Record>, StoreError>> {
        self.memory.get(key)
    }

    fn list(&self, kind: Kind) -> Pending<'_, Result<(Revision, Vec<Record>), StoreError>> {
        self.memory.list(kind)
    }

    fn put(
        &self,
        key: Key,
        expected: Expected,
        value: Vec<u8>,
    ) -> Pending<'_, Result<Revision, PutError>> {
        Box::pin(async move {
            self.room()?;
            self.written.fetch_add(1, Ordering::Relaxed);
            let written = self.memory.put(key, expected, value).await;
            if self.mute.swap(false, Ordering::Relaxed) {
                return Err(StoreError::Closed(Attempted::Write).into());
            }
            written
        })
    }

    fn delete(&self, key: Key, at: Revision) -> Pending<'_, Result<Revision, PutError>> {
        Box::pin(async move {
            self.room()?;
            self.memory.delete(key, at).await
        })
    }

    fn changes_since(&self, since: Revision) -> Pending<'_, Result<Vec<Change>, ChangesError>> {
        self.memory.changes_since(since)
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.memory.watch()
    }
}
