//! A file of lines that only grows, until it is put aside.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    marker::PhantomData,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::spawn_blocking;

use super::{ArchiveError, Ended, ended::Subject};

/// How much is kept of one sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A file that would have more bytes is put aside before the line is written.
    pub bytes: u64,
    /// How many files that were put aside are kept.
    pub aside: u32,
}

impl Default for Limits {
    /// Ten files of 16 MiB besides the one that grows.
    fn default() -> Self {
        Self { bytes: 16 << 20, aside: 10 }
    }
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines<T> {
    /// From the oldest on.
    pub entries: Vec<T>,
    /// How many lines made no sense: the last one before a crash, or a newer version's.
    pub broken: usize,
}

/// Where lines go besides their file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copies {
    /// Nowhere.
    #[default]
    None,
    /// To standard output, where a cluster collects them.
    Stdout,
}

/// Lines of one sort; clones write to the same file.
#[derive(Debug)]
pub struct Journal<T> {
    grown: Arc<Mutex<Growing>>,
    copies: Copies,
    entries: PhantomData<fn(T) -> T>,
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self { grown: Arc::clone(&self.grown), copies: self.copies, entries: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Journal<T> {
    /// Goes on with a file, or begins one; makes its directory.
    pub(super) async fn open(path: PathBuf, limits: Limits) -> Result<Self, ArchiveError> {
        let grown = blocking(move || Growing::open(path, limits)).await?;
        let grown = Arc::new(Mutex::new(grown));
        Ok(Self { grown, copies: Copies::default(), entries: PhantomData })
    }

    /// The same, where lines go elsewhere as well.
    #[must_use]
    pub fn copied(self, copies: Copies) -> Self {
        Self { copies, ..self }
    }

    /// Adds a line; it is on the disk when this returns.
    ///
    /// # Errors
    /// The disk is full, read-only or failed. Nothing or a part of the line may be there; the next line
    /// is not hurt by it.
    pub async fn append(&self, entry: &T) -> Result<(), ArchiveError> {
        let mut line = serde_json::to_vec(entry).map_err(ArchiveError::Form)?;
        line.push(b'\n');
        let (grown, copies) = (Arc::clone(&self.grown), self.copies);
        blocking(move || {
            let appended = grown.lock().unwrap_or_else(PoisonError::into_inner).append(&line);
            match copies {
                Copies::None => {}
                // Whoever reads it may be gone; the file has it.
                Copies::Stdout => drop(io::stdout().lock().write_all(&line)),
            }
            appended
        })
        .await
    }

    /// Everything that is kept.
    ///
    /// # Errors
    /// A file can't be read.
    pub async fn read(&self) -> Result<Lines<T>, ArchiveError> {
        self.lines().await
    }
}

impl<T> Journal<T> {
    /// Everything that is kept, as something else that can be made of its lines.
    async fn lines<U: DeserializeOwned + Send + 'static>(&self) -> Result<Lines<U>, ArchiveError> {
        let grown = Arc::clone(&self.grown);
        blocking(move || {
            // Nothing is put aside meanwhile.
            let grown = grown.lock().unwrap_or_else(PoisonError::into_inner);
            let mut lines = Lines { entries: Vec::new(), broken: 0 };
            for number in (0..=grown.limits.aside).rev() {
                read(&aside(&grown.path, number), &mut lines)?;
            }
            Ok(lines)
        })
        .await
    }
}

impl Journal<Ended> {
    /// Which intents have a line among those that are kept; 12 hexadecimal digits each.
    ///
    /// # Errors
    /// A file can't be read.
    pub async fn subjects(&self) -> Result<HashSet<String>, ArchiveError> {
        let lines: Lines<Subject> = self.lines().await?;
        Ok(lines.entries.into_iter().map(|line| line.id).collect())
    }
}

#[derive(Debug)]
struct Growing {
    path: PathBuf,
    limits: Limits,
    file: File,
    bytes: u64,
    end: End,
}

/// How the file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// In a line that was not finished: a crash, or a full disk.
    Torn,
}

impl Growing {
    fn open(path: PathBuf, limits: Limits) -> Result<Self, ArchiveError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let failed = |source| ArchiveError::Open { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let (file, bytes, end) = grow(&path).map_err(failed)?;
        Ok(Self { path, limits, file, bytes, end })
    }

    fn append(&mut self, line: &[u8]) -> Result<(), ArchiveError> {
        let length = line.len() as u64;
        if self.bytes > 0 && self.bytes + length > self.limits.bytes {
            self.rotate()
                .map_err(|source| ArchiveError::Rotate { path: self.path.clone(), source })?;
        }
        self.write(line).map_err(|source| ArchiveError::Append { path: self.path.clone(), source })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let mut whole = Vec::with_capacity(line.len() + 1);
        match self.end {
            End::Whole => {}
            End::Torn => whole.push(b'\n'),
        }
        whole.extend_from_slice(line);
        // Until it is known to be there.
        self.end = End::Torn;
        self.bytes += whole.len() as u64;
        self.file.write_all(&whole)?;
        self.file.sync_data()?;
        self.end = End::Whole;
        Ok(())
    }

    /// From the oldest, which is overwritten, so that a crash in between loses none of the others.
    fn rotate(&mut self) -> io::Result<()> {
        match self.limits.aside {
            0 => fs::remove_file(&self.path)?,
            most => {
                for number in (0..most).rev() {
                    match fs::rename(aside(&self.path, number), aside(&self.path, number + 1)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        Ok(()) | Err(_) => {}
                    }
                }
            }
        }
        (self.file, self.bytes, self.end) = grow(&self.path)?;
        Ok(())
    }
}

/// Opens a file at its end, and makes sure that it is found again after a crash.
fn grow(path: &Path) -> io::Result<(File, u64, End)> {
    let mut options = OpenOptions::new();
    let mut file = options.create(true).append(true).read(true).mode(0o600).open(path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Ok((file, 0, End::Whole));
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    let end = if last == *b"\n" { End::Whole } else { End::Torn };
    Ok((file, bytes, end))
}

/// The name of the file that was put aside so many times ago; 0 for the one that grows.
fn aside(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn read<T: DeserializeOwned>(path: &Path, lines: &mut Lines<T>) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    // Bytes, because half a letter is no reason to stop.
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(failed)?;
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(entry) => lines.entries.push(entry),
            Err(_) => lines.broken += 1,
        }
    }
    Ok(())
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    // With one thread nobody would go on meanwhile but who must not: a simulation's order is its own.
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work();
    }
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ArchiveError::Closed),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    async fn journal(directory: &Path, limits: Limits) -> Journal<u64> {
        Journal::open(directory.join("archive/numbers"), limits).await.unwrap()
    }

    async fn numbers(journal: &Journal<u64>) -> (Vec<u64>, usize) {
        let Lines { entries, broken } = journal.read().await.unwrap();
        (entries, broken)
    }

    #[tokio::test]
    async fn lines_stay_and_are_private() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..3 {
            let journal = journal(directory.path(), Limits::default()).await;
            journal.append(&number).await.unwrap();
        }
        let journal = journal(directory.path(), Limits::default()).await;
        assert_eq!(numbers(&journal).await, (vec![0, 1, 2], 0));
        for (path, mode) in [("archive", 0o700), ("archive/numbers", 0o600)] {
            let metadata = fs::metadata(directory.path().join(path)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path}");
        }
    }

    #[tokio::test]
    async fn a_torn_line_hurts_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive/numbers");
        journal(directory.path(), Limits::default()).await.append(&1).await.unwrap();
        for torn in [b"[2".as_slice(), b"\"\xc3"] {
            OpenOptions::new().append(true).open(&path).unwrap().write_all(torn).unwrap();
            let journal = journal(directory.path(), Limits::default()).await;
            journal.append(&3).await.unwrap();
        }
        let journal = journal(directory.path(), Limits::default()).await;
        assert_eq!(numbers(&journal).await, (vec![1, 3, 3], 2));
    }

    #[tokio::test]
    async fn full_files_are_put_aside_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let journal = journal(directory.path(), Limits { bytes: 5, aside: 2 }).await;
        for number in 10..20 {
            journal.append(&number).await.unwrap();
        }
        // One line of three bytes each.
        assert_eq!(numbers(&journal).await, (vec![17, 18, 19], 0));
        assert_eq!(fs::read_dir(directory.path().join("archive")).unwrap().count(), 3);
    }

    #[tokio::test]
    async fn nothing_is_put_aside_where_nothing_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let journal = journal(directory.path(), Limits { bytes: 4, aside: 0 }).await;
        for number in 1..6 {
            journal.append(&number).await.unwrap();
        }
        assert_eq!(numbers(&journal).await, (vec![5], 0));
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_told() {
        // Every write to it fails with ENOSPC.
        let (file, bytes, end) = grow(Path::new("/dev/full"))
            .or_else(|_| {
                let full = OpenOptions::new().append(true).open("/dev/full");
                full.map(|file| (file, 0, End::Whole))
            })
            .unwrap();
        let path = PathBuf::from("/dev/full");
        let mut grown = Growing { path, limits: Limits::default(), file, bytes, end };
        let refused = grown.append(b"1\n").unwrap_err();
        assert!(matches!(refused, ArchiveError::Append { .. }), "{refused}");
        assert_eq!(grown.end, End::Torn);
        let file = tempfile::NamedTempFile::new().unwrap();
        let below = file.path().join("x");
        let refused = Journal::<u64>::open(below, Limits::default()).await.unwrap_err();
        assert!(matches!(refused, ArchiveError::Open { .. }), "{refused}");
    }
}
