//! What a run reads and what it writes: no file for two things.

use std::fs::{self, OpenOptions};
use std::io;
use std::iter::once;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;

use super::claim::{Claim, ClaimError};
use super::news::{News, NewsError};
use super::starting::settings_file;
use super::{JOURNAL, Reads, Source, aside, book, journal_of};
use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::outcome::Outcome;

/// How many links are followed to a file that is not there.
const MOST_LINKS: usize = 40;

/// Where what a run comes to is written.
#[derive(Debug)]
pub(super) struct Outs {
    /// Nobody else writes it meanwhile.
    pub(super) journal: Arc<Claim>,
    /// The same.
    pub(super) junit: Option<Arc<Claim>>,
    /// One for all runs of a command.
    pub(super) events: Option<News>,
}

impl Outs {
    /// Of each run of a command, in their order. The journal of the run that is finished may be taken already.
    ///
    /// # Errors
    /// Something cannot be written there, or somebody else writes it.
    pub(super) fn of(
        args: &RunArgs,
        runs: usize,
        taken: Option<&Arc<Claim>>,
    ) -> Result<Vec<Self>, Failure> {
        let numbers: Vec<Option<usize>> = match runs {
            1 => vec![None],
            several => (1..=several).map(Some).collect(),
        };
        let outs = numbers.into_iter().map(|number| Self::numbered(args, number, taken));
        let mut outs = outs.collect::<Result<Vec<_>, _>>()?;
        // With nothing in it, and only when nobody else has the journals.
        let Some(path) = &args.events else { return Ok(outs) };
        free(Purpose::Events, path)?;
        let failed = |error: &dyn std::fmt::Display| unwritten(Purpose::Events, path, error);
        let events = News::open(path).map_err(|error| match error {
            NewsError::Unread => {
                failed(&error).hint(format!("begin to read it first: `cat {} &`", path.display()))
            }
            NewsError::Held => failed(&error).hint("`--events FILE` names another file"),
            NewsError::Io(_) => failed(&error),
        })?;
        for outs in &mut outs {
            outs.events = Some(events.clone());
        }
        Ok(outs)
    }

    fn numbered(
        args: &RunArgs,
        number: Option<usize>,
        taken: Option<&Arc<Claim>>,
    ) -> Result<Self, Failure> {
        let journal = journal_of(journal(args), number);
        let taken = taken.filter(|taken| resolved(taken.path()) == resolved(&journal));
        let claim = match taken {
            Some(taken) => Arc::clone(taken),
            None => claimed(Purpose::Journal, &journal)?,
        };
        let suite = args.junit.as_deref().map(|path| journal_of(path, number));
        let junit = suite.map(|suite| claimed(Purpose::Suite, &suite)).transpose()?;
        for (purpose, claim) in [(Purpose::Journal, Some(&claim)), (Purpose::Suite, junit.as_ref())]
        {
            let Some(path) = claim.map(|claim| claim.path()) else { continue };
            book::writable(path).map_err(|error| unwritten(purpose, path, &error))?;
        }
        Ok(Self { journal: claim, junit, events: None })
    }
}

fn claimed(purpose: Purpose, path: &Path) -> Result<Arc<Claim>, Failure> {
    free(purpose, path)?;
    Claim::take(path).map_err(|error| {
        let failure = unwritten(purpose, path, &error);
        match error {
            ClaimError::Held => {
                failure.hint(format!("`{} FILE` names another file", purpose.flag()))
            }
            ClaimError::Lock { .. } | ClaimError::Unsteady(_) | ClaimError::Journal(_) => failure,
        }
    })
}

fn unwritten(purpose: Purpose, path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let attempted = format!("cannot write {} to {}", purpose.written(), path.display());
    Failure::new(Outcome::WrongUsage, attempted, error)
}

/// Whether a file, with what is made beside it, is none that another run writes, and no journal that would be gone.
///
/// # Errors
/// It is one.
fn free(purpose: Purpose, path: &Path) -> Result<(), Failure> {
    let path = &resolved(path);
    let companions = match purpose {
        Purpose::Journal => book::companions(path).to_vec(),
        Purpose::Suite => once(path.clone()).chain(book::companions(path)).collect(),
        Purpose::Events
        | Purpose::Summary
        | Purpose::Resumed
        | Purpose::Experiment
        | Purpose::Values
        | Purpose::Settings
        | Purpose::Credentials => vec![path.clone()],
    };
    let owner = book::accompanied(path);
    let reason = if let Some(journal) = companions.iter().find(|path| Claim::is_taken(path)) {
        format!("a run that goes on writes {}", journal.display())
    } else if let Some(journal) = owner.as_ref().filter(|path| Claim::is_taken(path)) {
        format!("it belongs to {}, which a run that goes on writes", journal.display())
    } else if once(path).chain(&companions).any(|path| Claim::is_locked(path)) {
        "a run that goes on writes it".to_owned()
    } else if purpose != Purpose::Journal && aside::is_journal(path) {
        // Whoever was killed owes what stands there, and a link may be that of a run that goes on. What one that was
        // killed left on its way to a journal's place is in nobody's way.
        "it is the journal of a run, which would be gone".to_owned()
    } else if let Some(journal) = owner.as_ref().filter(|path| aside::is_journal(path)) {
        format!("it belongs to {}, the journal of a run", journal.display())
    } else {
        return Ok(());
    };
    let hint = format!("`{} FILE` names another file", purpose.flag());
    Err(unwritten(purpose, path, &reason).hint(hint))
}

/// Where the journal goes: in the place of that whose rollbacks are played, unless that is the name of a run.
pub(super) fn journal(args: &RunArgs) -> &Path {
    let resumed = args.resume_rollbacks.as_deref().filter(|journal| journal.exists());
    args.journal.as_deref().or(resumed).unwrap_or(Path::new(JOURNAL))
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Experiment,
    Values,
    Settings,
    /// Certificates, keys and secrets.
    Credentials,
    /// A journal, and what belongs to it while it is written.
    Journal,
    /// The journal of the run whose rollbacks are played: it is read and written.
    Resumed,
    Suite,
    Events,
    /// The last words of the command.
    Summary,
}

impl Purpose {
    const fn is_written(self) -> bool {
        match self {
            Self::Experiment | Self::Values | Self::Settings | Self::Credentials => false,
            Self::Journal | Self::Resumed | Self::Suite | Self::Events | Self::Summary => true,
        }
    }

    /// Whether a file is for both: a journal with what another one owed goes on in its own place.
    const fn goes_with(self, other: Self) -> bool {
        matches!((self, other), (Self::Journal, Self::Resumed) | (Self::Resumed, Self::Journal))
    }

    const fn written(self) -> &'static str {
        match self {
            Self::Experiment => "the experiment",
            Self::Values => "values",
            Self::Settings => "the settings",
            Self::Credentials => "a certificate or a key",
            Self::Journal | Self::Resumed => "the journal",
            Self::Suite => "the suite of tests",
            Self::Events => "the events",
            Self::Summary => "the summary",
        }
    }

    const fn said(self) -> &'static str {
        match self {
            Self::Experiment => "the experiment is read from it",
            Self::Values => "values are read from it",
            Self::Settings => "the settings are read from it",
            Self::Credentials => "a certificate, a key or a secret is read from it",
            Self::Journal => "the journal is written there",
            Self::Resumed => "it is the journal of the run whose rollbacks are played",
            Self::Suite => "the suite of tests is written there",
            Self::Events => "the events are written there",
            Self::Summary => "the summary is written there",
        }
    }

    const fn flag(self) -> &'static str {
        match self {
            Self::Experiment
            | Self::Values
            | Self::Settings
            | Self::Credentials
            | Self::Journal
            | Self::Resumed => "--journal",
            Self::Suite => "--junit",
            Self::Events => "--events",
            Self::Summary => "--summary",
        }
    }
}

/// What makes two paths one file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    /// Device and inode.
    There(u64, u64),
    /// Where it would be made.
    Missing(PathBuf),
}

struct Place {
    purpose: Purpose,
    path: PathBuf,
    /// `None` for what is no file: a device or a pipe is for whoever is behind it.
    identity: Option<Identity>,
}

impl Place {
    fn new(purpose: Purpose, path: PathBuf) -> Self {
        let identity = match fs::metadata(&path) {
            Ok(there) if there.is_file() => Some(Identity::There(there.dev(), there.ino())),
            Ok(_) => None,
            Err(_) => Some(Identity::Missing(resolved(&path))),
        };
        Self { purpose, path, identity }
    }

    fn is(&self, other: &Self) -> bool {
        self.identity.is_some() && self.identity == other.identity
    }
}

/// Where a file would be made that is not there.
fn resolved(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")));
    match (parent, path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        (Ok(_) | Err(_), _) => path,
    }
}

/// Whether nothing that is read is written over, and nothing is written over by something else.
///
/// # Errors
/// One file is for two things.
pub(super) fn apart(args: &RunArgs, reads: &Reads) -> Result<(), Failure> {
    let mut places = Vec::new();
    let mut add = |purpose, path: &Path| places.push(Place::new(purpose, path.to_owned()));
    for source in &args.files {
        match source {
            Source::File(path) => add(Purpose::Experiment, path),
            Source::Url(_) => (),
        }
    }
    args.variable_files.iter().for_each(|path| add(Purpose::Values, path));
    settings_file(args).iter().for_each(|path| add(Purpose::Settings, path));
    reads.settings.iter().for_each(|path| add(Purpose::Settings, path));
    reads.credentials.iter().for_each(|path| add(Purpose::Credentials, path));
    args.resume_rollbacks.iter().for_each(|path| add(Purpose::Resumed, path));
    let numbers: Vec<Option<usize>> = match args.files.len() {
        0 | 1 => vec![None],
        several => (1..=several).map(Some).collect(),
    };
    for number in numbers {
        let journal = journal_of(journal(args), number);
        add(Purpose::Journal, &journal);
        book::companions(&journal).iter().for_each(|path| add(Purpose::Journal, path));
        if let Some(suite) = &args.junit {
            let suite = journal_of(suite, number);
            add(Purpose::Suite, &suite);
            book::companions(&suite).iter().for_each(|path| add(Purpose::Suite, path));
        }
    }
    args.events.iter().for_each(|path| add(Purpose::Events, path));
    args.summary.iter().for_each(|path| add(Purpose::Summary, path));
    for (place, one) in places.iter().enumerate() {
        if let Some(other) = places.iter().take(place).find(|other| one.clashes(other)) {
            return Err(one.refusal(other));
        }
    }
    Ok(())
}

/// Whether the last words of the command can be written, and nothing is lost by them.
///
/// # Errors
/// They would stand in the place of a journal, or of what another run writes, or cannot be written there.
pub(super) fn last_words(args: &RunArgs) -> Result<(), Failure> {
    let Some(path) = &args.summary else { return Ok(()) };
    free(Purpose::Summary, path)?;
    open(path).map_err(|error| unwritten(Purpose::Summary, path, &error))
}

/// Opens what is written in its own place, which may be one that was mounted, and leaves it as it is.
fn open(path: &Path) -> io::Result<()> {
    // Whoever reads a pipe would take this for its end.
    if fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo()) {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    options.custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    options.open(path).map(drop)
}

/// Whether two paths are one file.
pub(super) fn is_one(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| Place::new(Purpose::Journal, path.to_owned());
    place(one).is(&place(other))
}

impl Place {
    fn clashes(&self, other: &Self) -> bool {
        let (one, two) = (self.purpose, other.purpose);
        (one.is_written() || two.is_written()) && !one.goes_with(two) && self.is(other)
    }

    fn refusal(&self, other: &Self) -> Failure {
        // What is read is told as what stands in the way.
        let (written, other) =
            if self.purpose.is_written() { (self, other) } else { (other, self) };
        let (path, said) = (written.path.display(), other.purpose.said());
        let attempted = format!("cannot write {} to {path}", written.purpose.written());
        let reason = if written.path == other.path {
            said.to_owned()
        } else {
            format!("it is the same file as {}: {said}", other.path.display())
        };
        let flag = written.purpose.flag();
        Failure::new(Outcome::WrongUsage, attempted, reason)
            .hint(format!("`{flag} FILE` names another file"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn last_words_are_written_in_their_place_or_refused_beforehand() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("there"), "x").unwrap();
        symlink("there", path("soft")).unwrap();
        for name in ["there", "soft", "new"] {
            open(&path(name)).unwrap();
        }
        open(Path::new("/dev/null")).unwrap();
        assert_eq!(fs::read_to_string(path("there")).unwrap(), "x", "it is only opened");
        assert!(fs::symlink_metadata(path("soft")).unwrap().is_symlink());
        for name in ["", "there/in", "missing/in"] {
            assert!(open(&path(name)).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_file_is_the_same_by_whatever_way_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("there"), "x").unwrap();
        fs::create_dir(path("in")).unwrap();
        fs::hard_link(path("there"), path("hard")).unwrap();
        symlink("there", path("soft")).unwrap();
        symlink("../missing", path("in/dangling")).unwrap();
        symlink(path("in"), path("elsewhere")).unwrap();
        let place = |name: &str| Place::new(Purpose::Journal, path(name));
        for (one, two) in [
            ("there", "hard"),
            ("there", "soft"),
            ("there", "in/../there"),
            ("missing", "in/dangling"),
            ("in/missing", "elsewhere/missing"),
        ] {
            assert!(place(one).is(&place(two)), "{one} {two}");
        }
        for (one, two) in [("there", "missing"), ("missing", "in/missing"), ("in", "in")] {
            assert!(!place(one).is(&place(two)), "{one} {two}");
        }
        let journal = path("journal.json");
        let claim = Claim::take(&journal).unwrap();
        fs::write(&journal, "{}").unwrap();
        symlink("journal.json.lock", path("elsewhere.jsonl")).unwrap();
        for (purpose, name) in [
            (Purpose::Events, "journal.json"),
            (Purpose::Events, "journal.json.lock"),
            (Purpose::Events, "elsewhere.jsonl"),
            (Purpose::Suite, "journal.json"),
            (Purpose::Suite, "journal.json.tail"),
            (Purpose::Journal, "journal.json.lock"),
            (Purpose::Journal, "journal.json.new"),
        ] {
            let refused = free(purpose, &path(name)).unwrap_err();
            assert!(refused.reason.contains("a run that goes on"), "{name}: {refused}");
        }
        for name in ["journal.json.lock2", "there", "missing"] {
            assert_eq!(free(Purpose::Events, &path(name)), Ok(()), "{name}");
        }
        drop(claim);
        assert_eq!(free(Purpose::Events, &journal), Ok(()));
        // It is a journal of a run, whether that goes on, was killed or has ended.
        let written = r#"{"status": "interrupted", "schism": {"unfinished": true}}"#;
        fs::write(&journal, written).unwrap();
        fs::hard_link(&journal, path("other")).unwrap();
        for (purpose, name, reason) in [
            (Purpose::Events, "journal.json", "it is the journal of a run"),
            (Purpose::Events, "other", "it is the journal of a run"),
            (Purpose::Suite, "journal.json", "it is the journal of a run"),
            (Purpose::Events, "journal.json.tail", "it belongs to"),
            (Purpose::Journal, "journal.json.tail", "it belongs to"),
        ] {
            let refused = free(purpose, &path(name)).unwrap_err();
            assert!(refused.reason.contains(reason), "{name}: {refused}");
        }
        assert_eq!(free(Purpose::Journal, &journal), Ok(()), "it is put aside");
        fs::hard_link(&journal, path("journal.json.new")).unwrap();
        assert_eq!(free(Purpose::Journal, &journal), Ok(()), "of a run that was killed");
        let null = || Place::new(Purpose::Events, "/dev/null".into());
        assert!(!null().is(&null()), "a device takes whatever comes");
    }
}
