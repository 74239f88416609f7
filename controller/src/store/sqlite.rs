//! A store in one file, by SQLite.

mod records;
mod schema;
mod trouble;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, MAIN_DB, OpenFlags};
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    records::Records,
    trouble::{file, opening},
};
use super::{
    Attempted, Change, ChangesError, Expected, Key, Kind, Pending, PutError, Record, Revision,
    Store, StoreError, TOMBSTONES, check_size,
};

/// How long somebody who copies the file with SQLite's own tools is waited for at the start.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many requests may wait for the disk before those who ask have to wait, too.
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&mut Records, &watch::Sender<Revision>) + Send>;

/// Records in a file that belongs to this process alone.
///
/// One thread of its own reads and writes, since SQLite blocks and each write waits for the disk. A
/// dropped store is closed as soon as that thread is done with what was asked before.
#[derive(Debug)]
pub struct Sqlite {
    jobs: mpsc::Sender<Job>,
    latest: watch::Receiver<Revision>,
    thread: JoinHandle<()>,
}

impl Sqlite {
    /// Opens the store in this file, or makes one that only its owner can read. Its directory must be
    /// there. An older schema is brought to the current one.
    ///
    /// # Errors
    /// Another process has it open, it is a newer version's or not ours, the disk is full or read-only.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_keeping(path.into(), TOMBSTONES).await
    }

    pub(super) async fn open_keeping(path: PathBuf, tombstones: u64) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (opened, answer) = oneshot::channel();
        let run = move || match open(&path, tombstones) {
            Ok((records, latest, lock)) => {
                let _: Result<_, _> = opened.send(Ok(latest.subscribe()));
                work(records, queue, &latest);
                drop(lock);
            }
            Err(error) => {
                let _: Result<_, _> = opened.send(Err(error));
            }
        };
        let thread = thread::Builder::new()
            .name("schism-store".to_owned())
            .spawn(run)
            .map_err(file(Path::new("the store's thread")))?;
        let latest = answer.await.map_err(|_| StoreError::Closed(Attempted::Open))??;
        Ok(Self { jobs, latest, thread })
    }

    /// Does what was asked before, and closes the file; when this returns, another process can open it.
    pub async fn close(self) {
        let Self { jobs, latest: _, thread } = self;
        // The thread ends when nobody can ask any more.
        drop(jobs);
        let _: Result<_, _> = tokio::task::spawn_blocking(move || thread.join()).await;
    }

    async fn ask<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        attempted: Attempted,
        work: impl FnOnce(&mut Records, &watch::Sender<Revision>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |records, latest| {
            // Nobody may wait for it any more.
            let _: Result<_, _> = answer.send(work(records, latest));
        });
        let closed = || E::from(StoreError::Closed(attempted));
        self.jobs.send(job).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    async fn write(
        &self,
        key: Key,
        expected: Expected,
        value: Option<Vec<u8>>,
    ) -> Result<Revision, PutError> {
        if let Some(value) = &value {
            check_size(&key, value)?;
        }
        self.ask(Attempted::Write, move |records, latest| {
            let revision = records.write(&key, expected, value.as_deref())?;
            latest.send_replace(revision);
            Ok(revision)
        })
        .await
    }
}

impl Store for Sqlite {
    fn get(&self, key: Key) -> Pending<'_, Result<Option<Record>, StoreError>> {
        Box::pin(self.ask(Attempted::Read, |records, _| records.get(key)))
    }

    fn list(&self, kind: Kind) -> Pending<'_, Result<(Revision, Vec<Record>), StoreError>> {
        Box::pin(self.ask(Attempted::Read, move |records, _| records.list(kind)))
    }

    fn put(
        &self,
        key: Key,
        expected: Expected,
        value: Vec<u8>,
    ) -> Pending<'_, Result<Revision, PutError>> {
        Box::pin(self.write(key, expected, Some(value)))
    }

    fn delete(&self, key: Key, at: Revision) -> Pending<'_, Result<Revision, PutError>> {
        Box::pin(self.write(key, Expected::At(at), None))
    }

    fn changes_since(&self, since: Revision) -> Pending<'_, Result<Vec<Change>, ChangesError>> {
        Box::pin(self.ask(Attempted::Read, move |records, _| records.changes_since(since)))
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.latest.clone()
    }
}

fn work(mut records: Records, mut queue: mpsc::Receiver<Job>, latest: &watch::Sender<Revision>) {
    while let Some(job) = queue.blocking_recv() {
        job(&mut records, latest);
    }
}

fn open(
    path: &Path,
    tombstones: u64,
) -> Result<(Records, watch::Sender<Revision>, Lock), StoreError> {
    let lock = Lock::take(path)?;
    create(path)?;
    // Without NO_MUTEX SQLite would lock what one thread alone uses.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(opening(path))?;
    let told = opening(path);
    // SQLite opens what it can't write for reading only, and says nothing.
    if connection.is_readonly(MAIN_DB).map_err(told)? {
        return Err(StoreError::ReadOnly { attempted: Attempted::Open });
    }
    connection.busy_timeout(PATIENCE).map_err(told)?;
    // Besides the lock file, against whoever does not know of it. Set before anything is read, it also
    // keeps the index of the log in memory instead of in a shared file.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE").map_err(told)?;
    schema::migrate(&mut connection, path, schema::MIGRATIONS)?;
    connection.execute_batch("PRAGMA journal_mode = WAL").map_err(told)?;
    // With NORMAL the log is not synced at a commit, and a power cut would lose an intent that was
    // acknowledged: a fault that acts, and that nobody knows of.
    connection.execute_batch("PRAGMA synchronous = FULL").map_err(told)?;
    let records = Records { connection, tombstones };
    let latest = watch::Sender::new(records.revision()?);
    Ok((records, latest, lock))
}

/// The lock on the file `PATH.lock`, until it is dropped or the process ends, however it ends.
///
/// SQLite's own locks alone would do, but two that open a new store at once keep each other from it:
/// both read first, and neither lets go.
struct Lock(File);

impl Lock {
    fn take(path: &Path) -> Result<Self, StoreError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let name = PathBuf::from(name);
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(false).write(true).mode(0o600).open(&name);
        let file = opened.map_err(trouble::file(&name))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Held { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(trouble::file(&name)(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec has the same open file (flock(2)).
        let _: io::Result<()> = self.0.unlock();
    }
}

/// Makes the file where there is none; SQLite would let everybody read it.
fn create(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    match made {
        Ok(_) => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = File::open(directory.unwrap_or(Path::new(".")));
            directory.and_then(|directory| directory.sync_all()).map_err(file(path))
        }
        // Never opened and closed here when it is there: that would let go of the POSIX locks that
        // SQLite of this process may have on it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(file(path)(error)),
    }
}

#[cfg(test)]
mod tests;
