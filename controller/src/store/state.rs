//! Records as they stand, for stores that have all of them in memory. Pure.

use std::collections::BTreeMap;

use super::{Change, ChangesError, Found, Key, Kind, Record, Revision};

/// All records, and the deletions that are remembered.
#[derive(Debug, Default)]
pub(super) struct State {
    revision: u64,
    /// Deletions up to this revision are forgotten.
    compacted: u64,
    /// Tombstones hold no value.
    records: BTreeMap<Key, (u64, Option<Vec<u8>>)>,
}

impl State {
    /// Of the last write.
    pub(super) fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    /// What stands in the place of a record.
    pub(super) fn found(&self, key: &Key) -> Found {
        match self.records.get(key) {
            None => Found::Nothing,
            Some((_, None)) => Found::Tombstone,
            Some((revision, Some(_))) => Found::Record(Revision(*revision)),
        }
    }

    /// Takes what was written before this life, in any order.
    pub(super) fn restore(&mut self, key: Key, revision: u64, value: Option<Vec<u8>>) {
        self.revision = self.revision.max(revision);
        self.records.insert(key, (revision, value));
    }

    /// Writes a record, or that it was deleted; which deletions are forgotten by that.
    pub(super) fn write(
        &mut self,
        key: Key,
        value: Option<Vec<u8>>,
        kept: u64,
    ) -> (Revision, Vec<Key>) {
        let compacted = self.compacted_after(&key, value.is_none(), kept);
        self.revision += 1;
        self.records.insert(key, (self.revision, value));
        (Revision(self.revision), self.compact(compacted))
    }

    /// Up to where deletions will be forgotten once a record is written, or `deleted`.
    pub(super) fn compacted_after(&self, key: &Key, deleted: bool, kept: u64) -> u64 {
        let others =
            self.records.iter().filter(|(other, (_, value))| *other != key && value.is_none());
        let mut tombstones: Vec<u64> = others.map(|(_, (revision, _))| *revision).collect();
        tombstones.extend(deleted.then_some(self.revision + 1));
        tombstones.sort_unstable();
        let surplus = (tombstones.len() as u64).saturating_sub(kept);
        let last = usize::try_from(surplus).ok().and_then(|surplus| surplus.checked_sub(1));
        let last = last.and_then(|last| tombstones.get(last));
        last.map_or(self.compacted, |last| self.compacted.max(*last))
    }

    /// Forgets deletions up to a revision; which.
    pub(super) fn compact(&mut self, compacted: u64) -> Vec<Key> {
        self.compacted = compacted;
        let is_forgotten =
            |(revision, value): &(u64, Option<Vec<u8>>)| value.is_none() && *revision <= compacted;
        let forgotten = self.records.extract_if(.., |_, record| is_forgotten(record));
        forgotten.map(|(key, _)| key).collect()
    }

    /// One record.
    pub(super) fn get(&self, key: Key) -> Option<Record> {
        match self.records.get(&key) {
            Some((revision, Some(value))) => {
                Some(Record { key, revision: Revision(*revision), value: value.clone() })
            }
            Some((_, None)) | None => None,
        }
    }

    /// All records of a kind, by name, and the revision of the last write.
    pub(super) fn list(&self, kind: Kind) -> (Revision, Vec<Record>) {
        let records = self.records.iter().filter(|(key, _)| key.kind == kind);
        let records = records.filter_map(|(key, (revision, value))| {
            let value = value.clone()?;
            Some(Record { key: key.clone(), revision: Revision(*revision), value })
        });
        (Revision(self.revision), records.collect())
    }

    /// Of each record that has changed after a revision the last change, in their order.
    pub(super) fn changes_since(&self, since: Revision) -> Result<Vec<Change>, ChangesError> {
        if since.0 < self.compacted {
            return Err(ChangesError::Compacted { kept: Revision(self.compacted) });
        }
        let later = self.records.iter().filter(|(_, (revision, _))| *revision > since.0);
        let mut changes: Vec<Change> = later
            .map(|(key, (revision, value))| Change {
                key: key.clone(),
                revision: Revision(*revision),
                value: value.clone(),
            })
            .collect();
        changes.sort_unstable_by_key(|change| change.revision);
        Ok(changes)
    }
}
