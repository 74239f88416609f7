//! Small records that outlive the controller: compare-and-swap, one revision for everything, watch.
//!
//! What must survive a restart is here and nothing else: intents and runs with what is owed for them,
//! who this controller is, the brake. Renewals are never stored, and what has ended goes to the
//! [archive](crate::archive).

mod identity;
mod memory;
mod objects;
#[cfg(test)]
mod same;
mod sqlite;
mod state;

use std::{fmt, future::Future, path::PathBuf, pin::Pin};

use tokio::sync::watch;

pub use identity::{IdentityError, Incarnation, incarnate};
pub use memory::Memory;
pub use objects::{Objects, definition};
pub use sqlite::Sqlite;

/// A record holds at most so many bytes: an intent over a thousand nodes fits, a journal does not.
pub const LARGEST: usize = 4 << 20;

/// How many tombstones are kept. Who has not looked for longer than so many deletions lists anew.
const TOMBSTONES: u64 = 1024;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What was asked for, and what the controller owes for it.
    Intent,
    /// Who this controller is.
    Identity,
    /// Whether new faults are refused.
    Brake,
    /// A run of an experiment, and what is owed for it.
    Run,
    /// What the API server of a cluster was asked for, and what has to be undone of it.
    Disruption,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Intent, Self::Identity, Self::Brake, Self::Run, Self::Disruption];
}

/// The name of a record among those of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// Takes a name of letters, digits, `.`, `_` and `-`, at most 253 bytes, as custom resources have
    /// them; `None` for anything else.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        (!name.is_empty() && name.len() <= 253 && name.chars().all(fits))
            .then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<fault::IntentId> for Id {
    fn from(id: fault::IntentId) -> Self {
        Self(id.to_string())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Which record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is about.
    pub kind: Kind,
    /// Its name among those.
    pub id: Id,
}

impl Key {
    /// The record of an intent.
    #[must_use]
    pub fn intent(id: fault::IntentId) -> Self {
        Self { kind: Kind::Intent, id: id.into() }
    }

    /// The record of a run.
    #[must_use]
    pub fn run(id: fault::IntentId) -> Self {
        Self { kind: Kind::Run, id: id.into() }
    }

    /// The record of a disruption.
    #[must_use]
    pub fn disruption(id: fault::IntentId) -> Self {
        Self { kind: Kind::Disruption, id: id.into() }
    }

    /// The one record of the brake.
    #[must_use]
    pub fn brake() -> Self {
        Self { kind: Kind::Brake, id: Id("brake".to_owned()) }
    }

    /// The one record of who this controller is.
    #[must_use]
    pub fn identity() -> Self {
        Self { kind: Kind::Identity, id: Id("controller".to_owned()) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Intent => "intent",
            Kind::Identity => "identity",
            Kind::Brake => "brake",
            Kind::Run => "run",
            Kind::Disruption => "disruption",
        };
        write!(f, "{kind}/{}", self.id)
    }
}

/// Counts the writes of a store, over all kinds: the first is 1, and each write adds 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What must stand in the store for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No such record.
    Absent,
    /// Nor one that was deleted, as far as deletions are remembered: who used a name keeps it for as long.
    Never,
    /// The record as it was written at this revision.
    At(Revision),
    /// Whatever there is.
    Any,
}

/// What stands there in the place of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, and nothing is remembered.
    Nothing,
    /// A record was there, and was deleted.
    Tombstone,
    /// A record that was written at this revision.
    Record(Revision),
}

impl Expected {
    /// Makes sure that what stands there is what is expected.
    ///
    /// # Errors
    /// It is something else.
    pub fn of(self, found: Found) -> Result<(), PutError> {
        let revision = match found {
            Found::Nothing | Found::Tombstone => None,
            Found::Record(revision) => Some(revision),
        };
        let fits = match self {
            Self::Never if found == Found::Tombstone => return Err(PutError::Gone),
            Self::Never | Self::Absent => revision.is_none(),
            Self::At(expected) => revision == Some(expected),
            Self::Any => true,
        };
        if fits { Ok(()) } else { Err(PutError::Conflict { found: revision }) }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which.
    pub key: Key,
    /// Of its last write.
    pub revision: Revision,
    /// What it holds; the store does not look into it.
    pub value: Vec<u8>,
}

/// The last that became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub key: Key,
    /// When.
    pub revision: Revision,
    /// What it holds since; `None` if it was deleted.
    pub value: Option<Vec<u8>>,
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no file, and none can be made.
    #[error("cannot open the store {path}: {reason}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why, as the system says it.
        reason: String,
    },
    /// Another process has it open.
    #[error("the store {path} is in use by another controller")]
    Held {
        /// Which.
        path: PathBuf,
    },
    /// A newer version has written it; nothing was changed.
    #[error(
        "the store {path} was written by a newer version (schema {found}, this version knows {known})"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// A database, but none of Schism's; nothing was changed.
    #[error("{path} is no store of Schism's")]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// A migration failed, and was taken back.
    #[error("cannot bring the store {path} to schema {to}: {source}")]
    Migrate {
        /// Which.
        path: PathBuf,
        /// The schema that it was to have.
        to: u32,
        /// Why.
        source: rusqlite::Error,
    },
    /// No room on the disk.
    #[error("cannot {attempted}: the store's disk is full")]
    Full {
        /// What.
        attempted: Attempted,
    },
    /// The disk, the directory or the file can't be written.
    #[error("cannot {attempted}: the store is read-only")]
    ReadOnly {
        /// What.
        attempted: Attempted,
    },
    /// What is in the file makes no sense.
    #[error("cannot {attempted}: the store is damaged ({reason})")]
    Damaged {
        /// What.
        attempted: Attempted,
        /// How it shows.
        reason: String,
    },
    /// Anything else that SQLite says.
    #[error("cannot {attempted}: {source}")]
    Database {
        /// What.
        attempted: Attempted,
        /// Why.
        source: rusqlite::Error,
    },
    /// The store was closed, or its thread has ended.
    #[error("cannot {0}: the store is closed")]
    Closed(Attempted),
    /// A value over [`LARGEST`], or over what a cluster takes.
    #[error("{key} would have {size} bytes; a record has {most} at most")]
    TooLarge {
        /// Which.
        key: Key,
        /// Of how many bytes.
        size: usize,
        /// How many there may be.
        most: usize,
    },
    /// The API server of a cluster failed.
    #[error("cannot {attempted}: {error}")]
    Cluster {
        /// What.
        attempted: Attempted,
        /// Why.
        error: cluster::ApiError,
    },
    /// Another controller leads.
    #[error("cannot {0}: another controller leads by now")]
    Superseded(Attempted),
}

/// What a store was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// Opening it.
    Open,
    /// Reading one record, a kind, or changes.
    Read,
    /// Writing or deleting a record.
    Write,
}

impl fmt::Display for Attempted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open the store",
            Self::Read => "read the store",
            Self::Write => "write to the store",
        })
    }
}

/// Why a record was not written. Unless it says so nobody knows whether it was: see [`Store::put`].
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// Something else stands there, and nothing was written.
    #[error("{}", conflict(*found))]
    Conflict {
        /// The revision of what stands there; `None` for nothing.
        found: Option<Revision>,
    },
    /// A record was there, and was deleted; nothing was written.
    #[error("a record of this name was there, and was deleted")]
    Gone,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why changes can't be told.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// Deletions since then are forgotten: list anew, and go on from the revision of the list.
    #[error("what was deleted up to revision {kept} is forgotten; list anew")]
    Compacted {
        /// The earliest revision from which changes can be told.
        kept: Revision,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a store will answer.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Records with compare-and-swap and watch.
///
/// A write that was answered is durable. A future that is dropped may have done its work.
pub trait Store: Send + Sync + 'static {
    /// One record.
    fn get(&self, key: Key) -> Pending<'_, Result<Option<Record>, StoreError>>;

    /// All records of a kind, by name, and the revision of the store at that moment.
    fn list(&self, kind: Kind) -> Pending<'_, Result<(Revision, Vec<Record>), StoreError>>;

    /// Writes a record if what stands there is what is expected. After an error other than a conflict
    /// the record has to be read to know whether it was written.
    fn put(
        &self,
        key: Key,
        expected: Expected,
        value: Vec<u8>,
    ) -> Pending<'_, Result<Revision, PutError>>;

    /// Deletes the record that was written at this revision.
    fn delete(&self, key: Key, at: Revision) -> Pending<'_, Result<Revision, PutError>>;

    /// Of each record that has changed after a revision the last change, in their order.
    fn changes_since(&self, since: Revision) -> Pending<'_, Result<Vec<Change>, ChangesError>>;

    /// The revision of the last write, now and whenever it changes.
    fn watch(&self) -> watch::Receiver<Revision>;
}

fn conflict(found: Option<Revision>) -> String {
    match found {
        Some(revision) => {
            format!("the record was changed by somebody else, at revision {revision}")
        }
        None => "the record is not there".to_owned(),
    }
}

fn check_size(key: &Key, value: &[u8]) -> Result<(), StoreError> {
    match value.len() {
        0..=LARGEST => Ok(()),
        size => Err(StoreError::TooLarge { key: key.clone(), size, most: LARGEST }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_legible_and_of_plain_letters() {
        let id = fault::IntentId::from_random(0xabc);
        assert_eq!(Key::intent(id).to_string(), "intent/000000000abc");
        assert_eq!(Key::brake().to_string(), "brake/brake");
        for bad in ["", "a b", "a/b", "é", "a\0", &"a".repeat(254)] {
            assert_eq!(Id::new(bad), None, "{bad:?}");
        }
        for fixed in [Key::brake(), Key::identity(), Key::intent(id)] {
            assert_eq!(Id::new(fixed.id.as_str()), Some(fixed.id));
        }
    }

    #[test]
    fn what_is_expected() {
        let (two, three) = (Found::Record(Revision(2)), Found::Record(Revision(3)));
        let (none, gone) = (Found::Nothing, Found::Tombstone);
        let conflict = |found: Option<u64>| super::conflict(found.map(Revision));
        let deleted = || PutError::Gone.to_string();
        let table = [
            (Expected::Absent, none, None),
            (Expected::Absent, gone, None),
            (Expected::Absent, two, Some(conflict(Some(2)))),
            (Expected::Never, none, None),
            (Expected::Never, gone, Some(deleted())),
            (Expected::Never, two, Some(conflict(Some(2)))),
            (Expected::At(Revision(2)), two, None),
            (Expected::At(Revision(2)), three, Some(conflict(Some(3)))),
            (Expected::At(Revision(2)), none, Some(conflict(None))),
            (Expected::At(Revision(2)), gone, Some(conflict(None))),
            (Expected::Any, none, None),
            (Expected::Any, gone, None),
            (Expected::Any, three, None),
        ];
        for (expected, found, refused) in table {
            let told = expected.of(found).err().map(|error| error.to_string());
            assert_eq!(told, refused, "{expected:?} of {found:?}");
        }
    }
}
