//! A disk that is slow or full, and that outlives whoever writes to it.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use controller::store::{
    Attempted, Change, ChangesError, Expected, Key, Kind, Memory, Pending, PutError, Record,
    Revision, Store, StoreError,
};
use tokio::sync::watch;

use crate::dice::Dice;

/// What every life of the controller finds.
#[derive(Clone)]
pub(crate) struct Platter {
    pub(crate) memory: Arc<Memory>,
    pub(crate) weather: Arc<Weather>,
}

/// How the disk does.
#[derive(Default)]
pub(crate) struct Weather {
    pub(crate) full: AtomicBool,
    /// The most that a call takes, ms.
    pub(crate) slow: AtomicU64,
}

/// The store as one life has it: when that has ended, nothing is answered or written any more.
pub(crate) struct Disk {
    platter: Platter,
    dead: Arc<AtomicBool>,
    dice: Dice,
}

impl Platter {
    pub(crate) fn new() -> Self {
        Self { memory: Arc::new(Memory::new()), weather: Arc::default() }
    }

    pub(crate) fn disk(&self, dead: Arc<AtomicBool>, dice: Dice) -> Disk {
        Disk { platter: self.clone(), dead, dice }
    }
}

impl Disk {
    /// Before and after everything: a crash comes at any moment.
    async fn wait(&self) {
        let slow = self.platter.weather.slow.load(Ordering::Relaxed);
        if slow > 0 {
            tokio::time::sleep(self.dice.millis(0, slow)).await;
        } else if self.dice.happens(30) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if self.dead.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }

    fn room(&self) -> Result<(), StoreError> {
        if self.platter.weather.full.load(Ordering::Relaxed) {
            return Err(StoreError::Full { attempted: Attempted::Write });
        }
        Ok(())
    }
}

impl Store for Disk {
    fn get(&self, key: Key) -> Pending<'_, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            self.wait().await;
            self.platter.memory.get(key).await
        })
    }

    fn list(&self, kind: Kind) -> Pending<'_, Result<(Revision, Vec<Record>), StoreError>> {
        Box::pin(async move {
            self.wait().await;
            self.platter.memory.list(kind).await
        })
    }

    fn put(
        &self,
        key: Key,
        expected: Expected,
        value: Vec<u8>,
    ) -> Pending<'_, Result<Revision, PutError>> {
        Box::pin(async move {
            self.wait().await;
            self.room()?;
            let written = self.platter.memory.put(key, expected, value).await;
            self.wait().await;
            written
        })
    }

    fn delete(&self, key: Key, at: Revision) -> Pending<'_, Result<Revision, PutError>> {
        Box::pin(async move {
            self.wait().await;
            self.room()?;
            self.platter.memory.delete(key, at).await
        })
    }

    fn changes_since(&self, since: Revision) -> Pending<'_, Result<Vec<Change>, ChangesError>> {
        Box::pin(async move {
            self.wait().await;
            self.platter.memory.changes_since(since).await
        })
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.platter.memory.watch()
    }
}
