//! Records as rows.

use rusqlite::{
    Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, named_params, params,
};

use super::trouble::told;
use crate::store::{
    Attempted, Change, ChangesError, Expected, Found, Id, Key, Kind, PutError, Record, Revision,
    StoreError,
};

/// A migrated database.
pub(super) struct Records {
    pub(super) connection: Connection,
    /// How many deletions are remembered.
    pub(super) tombstones: u64,
}

impl Records {
    pub(super) fn revision(&self) -> Result<Revision, StoreError> {
        head(&self.connection).map(|(revision, _)| revision)
    }

    pub(super) fn get(&self, key: Key) -> Result<Option<Record>, StoreError> {
        let row = self.connection.query_row(
            "SELECT revision, value FROM record WHERE kind = ? AND id = ? AND value IS NOT NULL",
            params![number(key.kind), key.id.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        );
        let row = row.optional().map_err(told(Attempted::Read))?;
        Ok(row.map(|(revision, value)| Record { key, revision: Revision(revision), value }))
    }

    pub(super) fn list(&mut self, kind: Kind) -> Result<(Revision, Vec<Record>), StoreError> {
        // Nobody else writes, so the two statements see the same.
        let revision = self.revision()?;
        let rows = rows(
            &self.connection,
            "SELECT kind, id, revision, value FROM record
             WHERE kind = ? AND value IS NOT NULL ORDER BY id",
            number(kind),
        )?;
        let records = rows.into_iter().filter_map(|Change { key, revision, value }| {
            Some(Record { key, revision, value: value? })
        });
        Ok((revision, records.collect()))
    }

    /// Writes a value, or a tombstone.
    pub(super) fn write(
        &mut self,
        key: &Key,
        expected: Expected,
        value: Option<&[u8]>,
    ) -> Result<Revision, PutError> {
        let told = told(Attempted::Write);
        let keep = self.tombstones;
        // IMMEDIATE: what is compared is what is replaced.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(told)?;
        let found = transaction.query_row(
            "SELECT revision, value IS NULL FROM record WHERE kind = ? AND id = ?",
            params![number(key.kind), key.id.as_str()],
            |row| {
                let record = Found::Record(Revision(row.get(0)?));
                Ok(if row.get(1)? { Found::Tombstone } else { record })
            },
        );
        expected.of(found.optional().map_err(told)?.unwrap_or(Found::Nothing))?;
        let revision = replace(&transaction, key, value).map_err(told)?;
        if value.is_none() {
            forget(&transaction, keep).map_err(told)?;
        }
        transaction.commit().map_err(told)?;
        Ok(revision)
    }

    pub(super) fn changes_since(&mut self, since: Revision) -> Result<Vec<Change>, ChangesError> {
        let (_, kept) = head(&self.connection)?;
        if since < kept {
            return Err(ChangesError::Compacted { kept });
        }
        // SQLite counts to 2^63; nothing is later than that.
        let since = i64::try_from(since.0).unwrap_or(i64::MAX);
        Ok(rows(
            &self.connection,
            "SELECT kind, id, revision, value FROM record WHERE revision > ? ORDER BY revision",
            since,
        )?)
    }
}

fn replace(transaction: &Transaction<'_>, key: &Key, value: Option<&[u8]>) -> SqlResult<Revision> {
    let revision: u64 = transaction.query_row(
        "UPDATE head SET revision = revision + 1 RETURNING revision",
        [],
        |row| row.get(0),
    )?;
    transaction.execute(
        "INSERT INTO record (kind, id, revision, value) VALUES (:kind, :id, :revision, :value)
         ON CONFLICT (kind, id) DO UPDATE SET revision = :revision, value = :value",
        named_params! {
            ":kind": number(key.kind),
            ":id": key.id.as_str(),
            ":revision": revision,
            ":value": value,
        },
    )?;
    Ok(Revision(revision))
}

fn forget(transaction: &Transaction<'_>, keep: u64) -> SqlResult<()> {
    let surplus = transaction.query_row(
        "SELECT revision FROM record WHERE value IS NULL ORDER BY revision DESC LIMIT 1 OFFSET ?",
        [keep],
        |row| row.get::<_, u64>(0),
    );
    if let Some(last) = surplus.optional()? {
        transaction.execute("DELETE FROM record WHERE value IS NULL AND revision <= ?", [last])?;
        transaction.execute("UPDATE head SET compacted = ?", [last])?;
    }
    Ok(())
}

type SqlResult<T> = rusqlite::Result<T>;

/// The last revision, and up to which deletions are forgotten.
fn head(connection: &Connection) -> Result<(Revision, Revision), StoreError> {
    let row = connection.query_row("SELECT revision, compacted FROM head", [], |row| {
        Ok((Revision(row.get(0)?), Revision(row.get(1)?)))
    });
    row.map_err(told(Attempted::Read))
}

fn rows(connection: &Connection, query: &str, with: i64) -> Result<Vec<Change>, StoreError> {
    let told = told(Attempted::Read);
    let mut statement = connection.prepare_cached(query).map_err(told)?;
    let mut rows = statement.query([with]).map_err(told)?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next().map_err(told)? {
        changes.push(change(row)?);
    }
    Ok(changes)
}

fn change(row: &Row<'_>) -> Result<Change, StoreError> {
    let read = || Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let (kind, id, revision, value): (i64, String, u64, Option<Vec<u8>>) =
        read().map_err(told(Attempted::Read))?;
    let damaged = |reason: String| StoreError::Damaged { attempted: Attempted::Read, reason };
    let known = Kind::ALL.into_iter().find(|known| number(*known) == kind);
    let kind = known.ok_or_else(|| damaged(format!("a record of kind {kind}")))?;
    let id = Id::new(&id).ok_or_else(|| damaged(format!("a record named {id:?}")))?;
    Ok(Change { key: Key { kind, id }, revision: Revision(revision), value })
}

/// A new kind needs a new schema, so that older versions refuse the store instead of tripping over it.
const fn number(kind: Kind) -> i64 {
    match kind {
        Kind::Intent => 1,
        Kind::Identity => 2,
        Kind::Brake => 3,
        Kind::Run => 4,
        Kind::Disruption => 5,
    }
}
