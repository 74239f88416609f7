//! What was changed in a process, on disk before it is changed.
//!
//! In a directory that a reboot empties (/run): one file for each process. Whoever comes next finds there
//! what stood where.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use fault::{BootId, BootTime, ProcessIdentity};
use serde::{Deserialize, Serialize};

use crate::clock::block;

/// The form of the records; another one is left alone.
const FORM: u32 = 1;

/// What was changed in one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    form: u32,
    boot: String,
    pid: u32,
    started: u64,
    /// Which build of the vDSO it has.
    pub build_id: String,
    /// Where it has it.
    pub vdso: Range<u64>,
    /// Entries of functions.
    pub sites: Vec<Entry>,
    /// Unused bytes that are used: they were zero.
    pub slack: Range<u64>,
    /// Until when its clocks come back to the truth by these bytes (boot time, ns); 0 if they do not.
    #[serde(default)]
    pub returning_until: u64,
    /// Whether its skew is over and its bytes could not be taken back then.
    #[serde(default)]
    pub left: bool,
}

/// An entry that leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where.
    pub at: u64,
    /// What stood there.
    pub original: Vec<u8>,
    /// What stands there.
    pub jump: Vec<u8>,
}

/// A record could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {source}")]
pub struct RecordError {
    /// What was attempted.
    pub what: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    let path = path.to_owned();
    move |source| RecordError { what, path, source }
}

impl Record {
    /// Of a process in this boot.
    #[must_use]
    pub fn new(boot: BootId, process: ProcessIdentity, build_id: String, vdso: Range<u64>) -> Self {
        Self {
            form: FORM,
            boot: name(boot),
            pid: process.pid,
            started: process.started,
            build_id,
            vdso,
            sites: Vec::new(),
            slack: 0..0,
            returning_until: 0,
            left: false,
        }
    }

    /// Which process.
    #[must_use]
    pub const fn process(&self) -> ProcessIdentity {
        ProcessIdentity { pid: self.pid, started: self.started }
    }

    /// Where the parameters of its stub stand.
    #[must_use]
    pub fn block(&self) -> u64 {
        self.slack.start.next_multiple_of(u64::from(block::ALIGNMENT))
    }

    /// From when on its process is owed its own bytes; `None` while a skew has it.
    #[must_use]
    pub fn owed_from(&self) -> Option<BootTime> {
        (self.left || self.returning_until > 0).then(|| BootTime::from_nanos(self.returning_until))
    }

    /// Whether it is of this boot.
    #[must_use]
    pub fn is_of(&self, boot: BootId) -> bool {
        self.boot == name(boot)
    }
}

fn name(boot: BootId) -> String {
    format!("{:032x}", boot.get())
}

/// A directory of records.
#[derive(Clone, Debug)]
pub struct Records(PathBuf);

impl Records {
    /// Those in a directory, which is made when there is one to keep.
    #[must_use]
    pub const fn of(directory: PathBuf) -> Self {
        Self(directory)
    }

    fn path(&self, process: ProcessIdentity) -> PathBuf {
        self.0.join(format!("{}-{}.json", process.pid, process.started))
    }

    /// Keeps one: whole, or not at all.
    ///
    /// # Errors
    /// It could not be written.
    pub fn keep(&self, record: &Record) -> Result<(), RecordError> {
        // Whoever forgets the last record removes the directory, perhaps right now.
        for _ in 0..8 {
            match self.try_keep(record) {
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => {}
                kept => return kept,
            }
        }
        self.try_keep(record)
    }

    fn try_keep(&self, record: &Record) -> Result<(), RecordError> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.0);
        made.map_err(failed("create", &self.0))?;
        let path = self.path(record.process());
        let new = path.with_extension("new");
        let text = serde_json::to_vec(record).map_err(io::Error::from);
        text.and_then(|text| fs::write(&new, text)).map_err(failed("write", &new))?;
        fs::rename(&new, &path).map_err(failed("rename", &new))
    }

    /// Forgets one.
    ///
    /// # Errors
    /// Its file could not be removed.
    pub fn forget(&self, process: ProcessIdentity) -> Result<(), RecordError> {
        let path = self.path(process);
        remove(&path)?;
        // Only if it is empty.
        let _ = fs::remove_dir(&self.0);
        Ok(())
    }

    /// That of a process, if there is one.
    ///
    /// # Errors
    /// It could not be read.
    pub fn get(&self, process: ProcessIdentity) -> Result<Option<Record>, RecordError> {
        read(&self.path(process))
    }

    /// All of them. What a killed writer left half done was not acted upon, and is removed.
    ///
    /// # Errors
    /// The directory or a file in it could not be read.
    pub fn all(&self) -> Result<Vec<Record>, RecordError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed("read", &self.0))?,
        };
        let mut records = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("new") => remove(&path)?,
                Some("json") => {
                    records.extend(read(&path)?);
                }
                Some(_) | None => {}
            }
        }
        records.sort_by_key(|record| (record.pid, record.started));
        Ok(records)
    }
}

fn remove(path: &Path) -> Result<(), RecordError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `None` if somebody has forgotten it meanwhile.
fn read(path: &Path) -> Result<Option<Record>, RecordError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(failed("read", path))?,
    };
    let record: Record = serde_json::from_slice(&text)
        .map_err(io::Error::from)
        .map_err(failed("understand", path))?;
    if record.form != FORM {
        let other = io::Error::other("it is of another version");
        return Err(failed("understand", path)(other));
    }
    Ok(Some(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: u32) -> Record {
        let boot = super::super::boot_id().unwrap();
        let process = ProcessIdentity { pid, started: 7 };
        let mut record = Record::new(boot, process, "ab".to_owned(), 0x1000..0x3000);
        record.sites.push(Entry { at: 0x1010, original: vec![1; 5], jump: vec![2; 5] });
        record
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::of(directory.path().join("clock"));
        assert!(records.all().unwrap().is_empty());
        records.keep(&record(5)).unwrap();
        records.keep(&record(4)).unwrap();
        records.keep(&record(4)).unwrap();
        // A writer was killed.
        fs::write(directory.path().join("clock/6-7.new"), "{").unwrap();
        assert_eq!(records.all().unwrap(), [record(4), record(5)]);
        assert!(record(4).is_of(super::super::boot_id().unwrap()));
        assert_eq!(records.get(record(4).process()).unwrap(), Some(record(4)));
        records.forget(record(4).process()).unwrap();
        assert_eq!(records.get(record(4).process()).unwrap(), None);
        records.forget(record(4).process()).unwrap();
        assert_eq!(records.all().unwrap(), [record(5)]);
        records.forget(record(5).process()).unwrap();
        assert!(!directory.path().join("clock").exists(), "nothing is left behind");
    }

    #[test]
    fn what_is_not_understood_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::of(directory.path().to_owned());
        fs::write(directory.path().join("1-1.json"), "{}").unwrap();
        assert_eq!(records.all().unwrap_err().what, "understand");
    }
}
