//! The journal of a run as a file.
//!
//! A short one is written whole for everything that happens: beside its place, and then put there. A long one
//! is so as often as its length allows, and what changes in between is added to a file beside it, its *tail*:
//! writing costs in proportion to what happens, not to its square. Whoever reads the journal of a run that was
//! killed finds a whole one, which may be some steps behind its tail; [`Book::read`] takes both.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use experiment::journal;
use experiment::run::Run;
use serde_json::{Map, Value};

use super::aside;
use super::claim::Claim;

/// Up to this length (bytes) it is written whole each time.
const SHORT: u64 = 16 << 10;
/// A longer one is written whole after this time (1 s), …
const PAUSE: Duration = Duration::from_secs(1);
/// … and so many times as long as writing it took: two thousandths of the time.
const SHARE: u32 = 500;
/// What orders a journal and its tail.
const NUMBER: &str = "record";

/// The journal of a run.
pub(super) struct Book {
    claim: Arc<Claim>,
    /// The journal of the run whose rollbacks are played, and where it stands.
    before: Option<(Arc<Claim>, Map<String, Value>)>,
    number: u64,
    /// How long it was when it was written whole (bytes); `None` if it never was, or has to be again.
    whole: Option<u64>,
    written: Instant,
    took: Duration,
    tail: Option<File>,
    tail_length: u64,
}

impl Book {
    /// A journal that is not written yet.
    ///
    /// # Errors
    /// It cannot be written there, or something else than a file stands where it goes.
    pub(super) fn open(
        claim: Arc<Claim>,
        before: Option<(Arc<Claim>, Map<String, Value>)>,
    ) -> io::Result<Self> {
        replaceable(&beside(claim.path(), TAIL))?;
        writable(claim.path())?;
        let (written, took) = (Instant::now(), Duration::ZERO);
        let (number, tail_length) = (0, 0);
        Ok(Self { claim, before, number, whole: None, written, took, tail: None, tail_length })
    }

    pub(super) fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Writes down what a run has come to.
    ///
    /// # Errors
    /// It could not be written. What was written before stands.
    pub(super) fn record(&mut self, run: &mut Run, now: Duration) -> io::Result<()> {
        self.number += 1;
        // What changed is asked for in any case: a whole journal has it, too.
        let mut changes = run.changes(now);
        match self.whole.filter(|length| !self.is_due(*length) && !run.is_over()) {
            Some(_) => {
                changes.now.schism.insert(NUMBER.to_owned(), self.number.into());
                self.add(&changes)
            }
            None => self.write(run, now),
        }
    }

    /// Writes the journal as somebody else has it: whole, or not at all.
    ///
    /// # Errors
    /// It could not be written. What was written before stands.
    pub(super) fn keep(&self, text: &[u8]) -> io::Result<()> {
        replace(self.path(), text, Readers::Owner)?;
        remove(&beside(self.path(), TAIL))
    }

    fn is_due(&self, length: u64) -> bool {
        // What finishes another run has few steps, whose places are not those of the whole.
        self.before.is_some()
            || length + self.tail_length <= SHORT
            || self.tail_length > length
            || self.written.elapsed() >= PAUSE.max(self.took * SHARE)
    }

    fn write(&mut self, run: &Run, now: Duration) -> io::Result<()> {
        self.whole = None;
        let began = Instant::now();
        let mut journal = run.journal(now);
        journal.ours.insert(NUMBER.to_owned(), self.number.into());
        let text = match &self.before {
            None => serde_json::to_vec_pretty(&journal)?,
            Some((place, before)) => {
                let mut whole = journal::resumed(before, &journal);
                if place.path() != self.path() {
                    // First: what is owed is kept there.
                    let text = serde_json::to_vec_pretty(&whole)?;
                    replace(place.path(), &text, Readers::Owner)?;
                    aside::mark(&mut whole, place.path());
                }
                serde_json::to_vec_pretty(&whole)?
            }
        };
        replace(self.path(), &text, Readers::Owner)?;
        // It is all in there.
        self.tail = None;
        self.tail_length = 0;
        remove(&beside(self.path(), TAIL))?;
        if let Some((place, _)) = &self.before {
            remove(&beside(place.path(), TAIL))?;
        }
        self.whole = Some(text.len() as u64);
        self.took = began.elapsed();
        self.written = Instant::now();
        Ok(())
    }

    fn add(&mut self, changes: &journal::Changes) -> io::Result<()> {
        let mut line = serde_json::to_vec(changes)?;
        line.push(b'\n');
        let tail = match self.tail.take() {
            Some(tail) => Ok(tail),
            None => create(&beside(self.path(), TAIL), Readers::Owner).inspect(|tail| {
                // Nobody takes it for a place of their own, by another name either. Nobody else has it yet.
                let _: Result<(), TryLockError> = tail.try_lock();
            }),
        };
        let added = tail.and_then(|mut tail| tail.write_all(&line).map(|()| tail));
        match added {
            Ok(tail) => {
                self.tail = Some(tail);
                self.tail_length += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Nothing can follow a line that may be half there.
                self.whole = None;
                Err(error)
            }
        }
    }

    /// A journal as it was left, with what its tail has of it.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(super) fn read(path: &Path) -> io::Result<Map<String, Value>> {
        let mut journal: Map<String, Value> = serde_json::from_slice(&fs::read(path)?)?;
        let tail = match fs::read(beside(path, TAIL)) {
            Ok(tail) => tail,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(journal),
            Err(error) => return Err(error),
        };
        let number = |ours: Option<&Value>| ours?.get(NUMBER)?.as_u64();
        let written = number(journal.get("schism")).unwrap_or_default();
        for line in tail.split(|byte| *byte == b'\n') {
            // The last one may be half there.
            let Ok(change) = serde_json::from_slice::<Map<String, Value>>(line) else { continue };
            let ours = change.get("now").and_then(|now| now.get("schism"));
            if number(ours).is_some_and(|number| number > written) {
                journal::apply(&mut journal, change);
            }
        }
        Ok(journal)
    }
}

/// What stands beside a journal that is long.
pub(super) const TAIL: &str = ".tail";
/// What is put in the place of another file.
const NEW: &str = ".new";
/// What says that a run writes it.
pub(super) const LOCK: &str = ".lock";

/// What stands beside a journal while it is written; a suite has no tail.
pub(super) fn companions(path: &Path) -> [PathBuf; 3] {
    [TAIL, NEW, LOCK].map(|ending| beside(path, ending))
}

/// The journal beside which a file stands by its name, if it does.
pub(super) fn accompanied(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let own = [TAIL, NEW, LOCK].iter().find_map(|ending| name.strip_suffix(ending))?;
    (!own.is_empty()).then(|| path.with_file_name(own))
}

/// Whether a file can be put somewhere: where nothing can be written is known before anything is touched.
///
/// # Errors
/// It cannot, or something else than a file stands there.
pub(super) fn writable(path: &Path) -> io::Result<()> {
    replaceable(path)?;
    let new = beside(path, NEW);
    create(&new, Readers::Owner)?;
    remove(&new)
}

/// What stands beside a file, by how its name goes on.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Who wrote it.
    Owner,
    /// Whoever may read other files of that user.
    Everybody,
}

/// A file that nobody else has: whatever stood there is gone.
fn create(path: &Path, readers: Readers) -> io::Result<File> {
    remove(path)?;
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Everybody => 0o666,
    };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    replaceable(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Puts a new file in the place of an old one, so that whoever reads has one of both.
pub(super) fn replace(path: &Path, text: &[u8], readers: Readers) -> io::Result<()> {
    replaceable(path)?;
    let new = beside(path, NEW);
    let written = create(&new, readers).and_then(|mut file| {
        file.write_all(text)?;
        file.write_all(b"\n")
    });
    let moved = written.and_then(|()| fs::rename(&new, path));
    if moved.is_err() {
        // It helps nobody.
        let _ = remove(&new);
    }
    moved
}

/// Whether a file may be put there: in the place of a device or a link nothing ever is, whoever runs this.
pub(crate) fn replaceable(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is no regular file, and is not replaced", path.display()),
        )),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Arc;

    use experiment::document::Notation;
    use experiment::journal::Host;
    use experiment::run::{Action, Beginning, Ending, Event, Terms, Verdicts};
    use experiment::timestamp::Timestamp;
    use experiment::toolkit::{self, Manner};
    use serde_json::json;

    use super::*;

    /// A run of so many steps, each of which finds so much.
    fn run(steps: usize) -> Run {
        let step =
            json!({"type": "action", "name": "s", "provider": {"type": "process", "path": "p"}});
        let experiment = json!({"title": "t", "description": "d", "method": vec![step; steps]});
        let read = toolkit::read(&experiment.to_string(), Notation::Json, Manner::Strict);
        Run::new(Beginning {
            experiment: Arc::new(read.experiment.unwrap()),
            settings: Vec::new(),
            secrets: Map::new(),
            terms: Terms::new(Verdicts::Strict),
            identity: 1,
            host: Host::default(),
            started: Timestamp::from_micros(0),
        })
    }

    /// Plays a run, writes it down, and says how much was written (bytes).
    fn play(book: &mut Book, run: &mut Run, output: &str, mut look: impl FnMut(&Run)) -> u64 {
        let mut written = 0;
        let mut actions = run.begin(Duration::ZERO);
        loop {
            let mut call = None;
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Record => {
                        let before = book.tail_length;
                        book.record(run, Duration::ZERO).unwrap();
                        written += match book.tail_length {
                            0 => book.whole.unwrap(),
                            length => length.saturating_sub(before),
                        };
                        look(run);
                    }
                    Action::Perform(perform) => call = Some(perform.call),
                    Action::End(_) => return written,
                    Action::Control(_)
                    | Action::Abort(_)
                    | Action::Heal(..)
                    | Action::Tell(_)
                    | Action::Wake(_) => (),
                }
            }
            let value = json!({"status": 0, "stdout": output});
            let call = call.unwrap();
            actions = run.on(Event::Finished(call, Ending::Returned(value)), Duration::ZERO);
        }
    }

    #[test]
    fn a_journal_and_its_tail_are_the_run_at_any_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.json");
        let mut run = run(40);
        let mut book = Book::open(Claim::take(&path).unwrap(), None).unwrap();
        let (mut number, mut tails) = (0, 0);
        play(&mut book, &mut run, &"x".repeat(4_000), |run| {
            number += 1;
            let mut expected = serde_json::to_value(run.journal(Duration::ZERO)).unwrap();
            expected["schism"][NUMBER] = number.into();
            assert_eq!(Value::Object(Book::read(&path).unwrap()), expected);
            let has_tail = beside(&path, TAIL).exists();
            assert_eq!(Claim::is_locked(&beside(&path, TAIL)), has_tail);
            tails += usize::from(has_tail);
        });
        assert!(tails > 20, "{tails}");
        assert!(!beside(&path, TAIL).exists() && !beside(&path, NEW).exists());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_written_grows_with_what_happens_and_not_with_its_square() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.json");
        let mut run = run(200);
        let mut book = Book::open(Claim::take(&path).unwrap(), None).unwrap();
        let written = play(&mut book, &mut run, &"x".repeat(50_000), |_| ());
        let length = fs::metadata(&path).unwrap().len();
        assert!(length > 10_000_000, "{length}");
        assert!(written < 6 * length, "{written} for {length}");
    }

    #[test]
    fn a_tail_that_is_older_or_half_written_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.json");
        fs::write(&path, json!({"run": [], "status": "a", "schism": {NUMBER: 5}}).to_string())
            .unwrap();
        let change = |number: u64, status: &str| {
            json!({"run": [[0, status]], "now": {"status": status, "schism": {NUMBER: number}}})
                .to_string()
        };
        let half = &change(8, "half")[..30];
        let tail = [change(5, "old"), change(6, "new"), half.to_owned()].join("\n");
        fs::write(beside(&path, TAIL), tail).unwrap();
        let read = Book::read(&path).unwrap();
        assert_eq!((&read["status"], &read["run"]), (&json!("new"), &json!(["new"])));
    }

    #[test]
    fn nothing_but_a_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        replace(&path("journal"), b"one", Readers::Owner).unwrap();
        fs::write(path("journal.new"), "of a run that was killed").unwrap();
        replace(&path("journal"), b"two", Readers::Everybody).unwrap();
        assert_eq!(fs::read_to_string(path("journal")).unwrap(), "two\n");
        symlink(path("journal"), path("link")).unwrap();
        symlink(path("journal"), path("other.new")).unwrap();
        fs::create_dir(path("directory")).unwrap();
        for other in ["link", "directory", "other"] {
            let error = replace(&path(other), b"x", Readers::Owner).unwrap_err();
            assert!(error.to_string().contains("is no regular file"), "{other}: {error}");
        }
        assert_eq!(fs::read_to_string(path("journal")).unwrap(), "two\n");
    }
}
