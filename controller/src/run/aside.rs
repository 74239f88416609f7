//! What a journal says is owed, when it is about to be written over, or played.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::iter::once;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use experiment::journal::Owed;
use nix::fcntl::OFlag;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::book::{Book, TAIL, beside};
use super::claim::Claim;
use super::places::is_one;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;

/// How many journals are put aside at the most.
const MOST: u32 = 100;
/// By what a copy says of which journal it is one.
const COPY_OF: &str = "copy_of";

/// Puts a journal aside that says what another run owes, since nobody else knows it, and says so.
///
/// # Errors
/// It cannot be put aside.
pub(super) fn put(journal: &Claim, output: Output) -> Result<(), Failure> {
    let path = journal.path();
    let aside = moved(path).map_err(|error| {
        let attempted = format!("cannot put {} aside, which says what is owed", path.display());
        Failure::new(Outcome::WrongUsage, attempted, error)
    })?;
    if let Some(aside) = aside {
        let (path, aside) = (path.display(), aside.display());
        output.note(format!(
            "{path} says what another run owes, and stands in {aside} now: \
             `schism run --resume-rollbacks {aside}` sees to it"
        ));
    }
    Ok(())
}

/// Whether a file is the journal of a run, of whatever run: by what stands in it, since a link has another name.
pub(super) fn is_journal(path: &Path) -> bool {
    #[derive(Deserialize)]
    struct Whole {
        #[serde(rename = "schism")]
        _schism: Ours,
    }
    #[derive(Deserialize)]
    struct Ours {
        /// It tells a journal of ours from others.
        #[serde(rename = "unfinished")]
        _unfinished: bool,
    }
    // Nobody waits for a pipe.
    let mut options = File::options();
    options.read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    let Ok(file) = options.open(path) else { return false };
    // Of other files the first value is read, and no more.
    file.metadata().is_ok_and(|there| there.is_file())
        && serde_json::from_reader::<_, Whole>(BufReader::new(file)).is_ok()
}

/// Where it is then; `None` where nothing had to be kept.
fn moved(path: &Path) -> io::Result<Option<PathBuf>> {
    let Ok(journal) = Book::read(path) else { return Ok(None) };
    let is_kept_elsewhere = |owed: &Owed| {
        // What a controller decided it keeps itself.
        owed.run.is_some() || original(&journal, path).is_some()
    };
    match Owed::read(&journal) {
        Ok((_, owed)) if !is_kept_elsewhere(&owed) => (),
        // Who can read it knows what is owed.
        Err(error) if error.may_owe() => (),
        Ok(_) | Err(_) => return Ok(None),
    }
    let free = |place: &PathBuf| fs::symlink_metadata(place).is_err();
    let Some(aside) = places(path).find(free) else {
        return Err(io::Error::other(format!("{MOST} others were put aside before it")));
    };
    let (tail, its_tail) = (beside(path, TAIL), beside(&aside, TAIL));
    fs::rename(path, &aside)?;
    match fs::rename(tail, its_tail) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(Some(aside)),
    }
}

fn places(path: &Path) -> impl Iterator<Item = PathBuf> {
    (1..=MOST).map(|number| beside(path, &format!(".owed-{number}")))
}

/// Has a journal say that it is the copy of another one, by which what is owed is finished.
pub(super) fn mark(copy: &mut Map<String, Value>, original: &Path) {
    let place = fs::canonicalize(original).unwrap_or_else(|_| original.to_owned());
    if let Some(Value::Object(ours)) = copy.get_mut("schism") {
        ours.insert(COPY_OF.to_owned(), place.to_string_lossy().into());
    }
}

/// Has a journal stand for itself.
pub(super) fn unmark(copy: &mut Map<String, Value>) {
    if let Some(Value::Object(ours)) = copy.get_mut("schism") {
        ours.shift_remove(COPY_OF);
    }
}

/// The journal of which this one is a copy, if it is still there, or where it was put aside. That one is never
/// behind: whoever was killed between the two had written it first.
pub(super) fn original(copy: &Map<String, Value>, path: &Path) -> Option<PathBuf> {
    let place = PathBuf::from(copy.get("schism")?.get(COPY_OF)?.as_str()?);
    let asides: Vec<PathBuf> = places(&place).collect();
    once(place)
        .chain(asides)
        .filter(|place| !is_one(place, path))
        .find(|place| Book::read(place).is_ok_and(|journal| is_of_one_run(&journal, copy)))
}

fn is_of_one_run(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let seed = |journal: &Map<String, Value>| journal.get("schism")?.get("seed").cloned();
    ["start", "experiment"].iter().all(|key| one.get(*key) == other.get(*key))
        && seed(one) == seed(other)
}
