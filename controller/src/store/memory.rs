//! A store that ends with its process: for simulations and tests.

use std::{
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{
    Change, ChangesError, Expected, Key, Kind, Pending, PutError, Record, Revision, Store,
    StoreError, TOMBSTONES, check_size, state::State,
};

/// Records in memory. It never waits and never fails but for values that are too large.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
    latest: watch::Sender<Revision>,
    tombstones: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self::keeping(TOMBSTONES)
    }
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that remembers so many deletions.
    pub(super) fn keeping(tombstones: u64) -> Self {
        let latest = watch::Sender::new(Revision(0));
        Self { state: Mutex::default(), latest, tombstones }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(
        &self,
        key: Key,
        expected: Expected,
        value: Option<Vec<u8>>,
    ) -> Result<Revision, PutError> {
        if let Some(value) = &value {
            check_size(&key, value)?;
        }
        let mut state = self.state();
        expected.of(state.found(&key))?;
        let (revision, _) = state.write(key, value, self.tombstones);
        // Under the lock, so that nobody is told an older revision after a newer one.
        self.latest.send_replace(revision);
        Ok(revision)
    }
}

impl Store for Memory {
    fn get(&self, key: Key) -> Pending<'_, Result<Option<Record>, StoreError>> {
        Box::pin(ready(Ok(self.state().get(key))))
    }

    fn list(&self, kind: Kind) -> Pending<'_, Result<(Revision, Vec<Record>), StoreError>> {
        Box::pin(ready(Ok(self.state().list(kind))))
    }

    fn put(
        &self,
        key: Key,
        expected: Expected,
        value: Vec<u8>,
    ) -> Pending<'_, Result<Revision, PutError>> {
        Box::pin(async move { self.write(key, expected, Some(value)) })
    }

    fn delete(&self, key: Key, at: Revision) -> Pending<'_, Result<Revision, PutError>> {
        Box::pin(async move { self.write(key, Expected::At(at), None) })
    }

    fn changes_since(&self, since: Revision) -> Pending<'_, Result<Vec<Change>, ChangesError>> {
        Box::pin(ready(self.state().changes_since(since)))
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.latest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Id, LARGEST};

    fn key(name: &str) -> Key {
        Key { kind: Kind::Intent, id: Id::new(name).unwrap() }
    }

    #[tokio::test]
    async fn a_write_is_told_and_a_deletion_leaves_a_tombstone() {
        let store = Memory::new();
        let mut watch = store.watch();
        let first = store.put(key("a"), Expected::Absent, b"1".to_vec()).await.unwrap();
        watch.changed().await.unwrap();
        assert_eq!((first, *watch.borrow_and_update()), (Revision(1), Revision(1)));
        let gone = store.delete(key("a"), first).await.unwrap();
        let changes = store.changes_since(first).await.unwrap();
        assert_eq!(changes, [Change { key: key("a"), revision: gone, value: None }]);
        assert!(matches!(
            store.delete(key("a"), gone).await,
            Err(PutError::Conflict { found: None })
        ));
        assert_eq!(store.list(Kind::Intent).await.unwrap(), (Revision(2), vec![]));
    }

    #[tokio::test]
    async fn a_value_that_is_too_large_is_refused() {
        let store = Memory::new();
        let refused = store.put(key("a"), Expected::Any, vec![0; LARGEST + 1]).await;
        assert!(matches!(refused, Err(PutError::Store(StoreError::TooLarge { .. }))));
        assert_eq!(*store.watch().borrow(), Revision(0));
    }

    #[tokio::test]
    async fn deletions_are_forgotten_one_day() {
        let store = Memory::keeping(1);
        for name in ["a", "b"] {
            let at = store.put(key(name), Expected::Absent, vec![]).await.unwrap();
            store.delete(key(name), at).await.unwrap();
        }
        let refused = store.changes_since(Revision(1)).await;
        assert!(matches!(refused, Err(ChangesError::Compacted { kept: Revision(2) })));
        assert_eq!(store.changes_since(Revision(2)).await.unwrap().len(), 1);
    }
}
