//! The certificates that are admitted; removing one from the file revokes it.

mod listing;

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use fault::NodeName;
pub use listing::{Entry, EntryError, Listing};

use crate::{Fingerprint, Principal};

/// The longest file that is read (16 MiB, some hundred thousand certificates).
const LONGEST: u64 = 16 << 20;
/// How old a file must be for its times to tell the next change: one within the same tick of the file
/// system's clock, under an inode that was used again, would look the same.
const SETTLED: Duration = Duration::from_secs(1);

/// Which certificates are admitted, as its file says at the time of asking.
///
/// A file that is missing, unreadable or too long admits nobody, and so does a line that cannot be read.
#[derive(Debug)]
pub struct Issued {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// Of the file that was read; none if it has to be read again.
    stamp: Option<Stamp>,
    admitted: HashSet<Fingerprint>,
    /// The nodes whose agents are among them.
    nodes: BTreeSet<NodeName>,
    trouble: Option<String>,
}

/// What changes with a file's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Issued {
    /// Reads a file of [`Entry`] lines. What is wrong with it, [`Self::trouble`] tells.
    #[must_use]
    pub fn load(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let seen = Mutex::new(Seen::read(&path));
        Self { path, seen }
    }

    /// Whether a certificate is admitted now. Costs one `stat` unless the file changed.
    #[must_use]
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.with(|seen| seen.admitted.contains(fingerprint))
    }

    /// Those that are not admitted now, of these. Costs what [`Self::contains`] costs for one.
    #[must_use]
    pub fn unlisted(&self, mut of: Vec<Fingerprint>) -> Vec<Fingerprint> {
        self.with(|seen| of.retain(|fingerprint| !seen.admitted.contains(fingerprint)));
        of
    }

    /// The nodes whose agents are admitted now; `None` where the file cannot be read whole, or is empty: it may be
    /// on its way to its next version.
    #[must_use]
    pub fn nodes(&self) -> Option<BTreeSet<NodeName>> {
        self.with(|seen| {
            let is_whole = seen.trouble.is_none() && !seen.admitted.is_empty();
            is_whole.then(|| seen.nodes.clone())
        })
    }

    /// What of the file cannot be read, for people.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.with(|seen| seen.trouble.clone())
    }

    fn with<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        // A panic elsewhere leaves whole values behind: `Seen` is replaced, never changed.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        if seen.stamp.is_none() || seen.stamp != now {
            *seen = Seen::read(&self.path);
        }
        look(&seen)
    }
}

impl Seen {
    fn read(path: &Path) -> Self {
        match contents(path) {
            Ok((stamp, listing)) => {
                let trouble = listing
                    .unread
                    .first()
                    .map(|line| format!("{}:{line}: no certificate is named here", path.display()));
                let admitted = listing.entries.iter().map(|entry| entry.fingerprint).collect();
                let node = |entry: &Entry| match &entry.principal {
                    Principal::Agent(node) => Some(node.clone()),
                    Principal::Controller(_) | Principal::User { .. } => None,
                };
                let nodes = listing.entries.iter().filter_map(node).collect();
                Self { stamp, admitted, nodes, trouble }
            }
            Err(error) => {
                let trouble =
                    format!("cannot read {}, so nobody is admitted: {error}", path.display());
                let (admitted, nodes) = (HashSet::new(), BTreeSet::new());
                Self { stamp: None, admitted, nodes, trouble: Some(trouble) }
            }
        }
    }
}

fn contents(path: &Path) -> io::Result<(Option<Stamp>, Listing)> {
    let metadata = fs::metadata(path)?;
    // Reading a pipe would wait for its writer, and the handshake with it.
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if metadata.len() > LONGEST {
        return Err(io::Error::other("it is longer than 16 MiB"));
    }
    let settled = |time: SystemTime| time.elapsed().is_ok_and(|age| age > SETTLED);
    // The stamp is older than what is read: a change in between is seen the next time.
    let stamp = metadata.modified().is_ok_and(settled).then(|| Stamp::of(&metadata));
    Ok((stamp, Listing::parse(&fs::read_to_string(path)?)))
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::UNIX_EPOCH;

    use rustls::pki_types::CertificateDer;

    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            fingerprint: Fingerprint::of(&CertificateDer::from(name.as_bytes().to_vec())),
            principal: format!("schism://agent/{name}").parse().unwrap(),
            expires: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        }
    }

    /// Older than what a change within one tick could hide.
    fn age(path: &Path) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn a_change_is_seen_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issued");
        let (a, b) = (entry("a"), entry("b"));
        let issued = Issued::load(&path);
        let admitted = || (issued.contains(&a.fingerprint), issued.contains(&b.fingerprint));
        assert_eq!(admitted(), (false, false));
        assert!(issued.trouble().unwrap().contains("so nobody is admitted"));

        fs::write(&path, format!("{a}\n{b}\n")).unwrap();
        assert_eq!(admitted(), (true, true));
        assert_eq!(issued.trouble(), None);
        let both = vec![a.fingerprint, b.fingerprint];
        assert_eq!(issued.unlisted(both.clone()), []);

        // In place, in the same tick, of the same length.
        fs::write(&path, format!("{b}\n{b}\n")).unwrap();
        assert_eq!(admitted(), (false, true));
        assert_eq!(issued.unlisted(both), [a.fingerprint]);

        age(&path);
        assert_eq!(admitted(), (false, true));
        let next = dir.path().join("next");
        fs::write(&next, format!("{a}\n{a}\n")).unwrap();
        age(&next);
        fs::rename(&next, &path).unwrap();
        assert_eq!(admitted(), (true, false));

        fs::remove_file(&path).unwrap();
        assert_eq!(admitted(), (false, false));
    }

    #[test]
    fn what_did_not_change_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issued");
        let a = entry("a");
        fs::write(&path, format!("{a}\n")).unwrap();
        age(&path);
        let issued = Issued::load(&path);
        let read = issued.seen.lock().unwrap().stamp;
        assert!(read.is_some());
        issued.seen.lock().unwrap().admitted.clear();
        assert!(!issued.contains(&a.fingerprint));
    }

    #[test]
    fn what_is_no_file_of_lines_admits_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let a = entry("a");
        let directory = dir.path().join("directory");
        fs::create_dir(&directory).unwrap();
        let binary = dir.path().join("binary");
        fs::write(&binary, [format!("{a}\n").as_bytes(), &[0xff, 0xfe]].concat()).unwrap();
        let long = dir.path().join("long");
        fs::write(&long, format!("{a}\n")).unwrap();
        File::options().write(true).open(&long).unwrap().set_len(LONGEST + 1).unwrap();
        for path in [directory, binary, long, PathBuf::from("/dev/null")] {
            let issued = Issued::load(&path);
            assert!(!issued.contains(&a.fingerprint), "{}", path.display());
            assert!(issued.trouble().is_some(), "{}", path.display());
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_admits_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issued");
        let (a, b) = (entry("a"), entry("b"));
        fs::write(&path, format!("# ours\n{a}\n\n{} x\n{b}", a.fingerprint)).unwrap();
        let issued = Issued::load(&path);
        assert!(issued.contains(&a.fingerprint) && issued.contains(&b.fingerprint));
        assert!(issued.trouble().unwrap().ends_with("issued:4: no certificate is named here"));
    }
}
