//! Which steps are under way, in memory that outlives the run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Pid;

/// A longer one is begun anew (1 MiB), some ten thousand steps.
const LONG: u64 = 1 << 20;
/// Up to this length (64 KiB) one on which nobody is stays as it is: to empty it for each step costs more.
const SHORT: u64 = 64 << 10;

/// The steps that are under way, with the groups that their programs lead: a line for each that begins, leads and ends.
/// What is written whole stands, whoever is killed.
#[derive(Debug)]
pub(super) struct Roll {
    file: File,
    length: u64,
    steps: BTreeMap<String, Option<Pid>>,
}

impl Roll {
    /// One with the steps of a former one.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new(former: Option<&Self>) -> io::Result<Self> {
        let file = File::from(memfd_create("schism-steps", MFdFlags::MFD_CLOEXEC)?);
        let mut roll = Self { file, length: 0, steps: BTreeMap::new() };
        for (mark, group) in former.iter().flat_map(|former| &former.steps) {
            roll.begin(mark)?;
            if let Some(group) = group {
                roll.lead(mark, *group)?;
            }
        }
        Ok(roll)
    }

    /// For the standard output of whoever reads it.
    ///
    /// # Errors
    /// There are too many open files.
    pub(super) fn shared(&self) -> io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }

    /// Whether somebody is on it.
    pub(super) fn has_somebody(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Whether it is time for another one.
    pub(super) const fn is_long(&self) -> bool {
        self.length > LONG
    }

    /// A step is about to start a program.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn begin(&mut self, mark: &str) -> io::Result<()> {
        self.add(&format!("begin {mark}\n"))?;
        self.steps.insert(mark.to_owned(), None);
        Ok(())
    }

    /// Its program leads a group.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn lead(&mut self, mark: &str, group: Pid) -> io::Result<()> {
        self.add(&format!("group {mark} {group}\n"))?;
        self.steps.insert(mark.to_owned(), Some(group));
        Ok(())
    }

    /// It is over.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn end(&mut self, mark: &str) -> io::Result<()> {
        self.steps.remove(mark);
        if self.steps.is_empty() && self.length > SHORT {
            return self.clear();
        }
        self.add(&format!("end {mark}\n"))
    }

    /// Nothing is under way, or somebody else knows of it.
    ///
    /// # Errors
    /// The kernel does not empty it.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.steps.clear();
        self.length = 0;
        self.file.set_len(0)
    }

    fn add(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all_at(line.as_bytes(), self.length)?;
        self.length += line.len() as u64;
        Ok(())
    }
}

/// The steps that were under way when nobody wrote any more.
///
/// # Errors
/// It is none.
pub(super) fn read(roll: BorrowedFd<'_>) -> io::Result<BTreeMap<String, Option<Pid>>> {
    let file = File::from(roll.try_clone_to_owned()?);
    let mut text = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut text, 0)?;
    let mut steps = BTreeMap::new();
    // What has no end was not written whole: half a number is another process.
    for line in String::from_utf8_lossy(&text).split_inclusive('\n') {
        let Some(line) = line.strip_suffix('\n') else { break };
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("begin"), Some(mark), None) => drop(steps.insert(mark.to_owned(), None)),
            (Some("group"), Some(mark), Some(group)) => {
                let group = group.parse().ok().map(Pid::from_raw);
                steps.insert(mark.to_owned(), group);
            }
            (Some("end"), Some(mark), None) => drop(steps.remove(mark)),
            _ => (),
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    fn found(roll: &Roll) -> Vec<(String, Option<i32>)> {
        let steps = read(roll.file.as_fd()).unwrap();
        steps.into_iter().map(|(mark, group)| (mark, group.map(Pid::as_raw))).collect()
    }

    #[test]
    fn what_is_under_way_is_found_and_what_is_over_is_not() {
        let mut roll = Roll::new(None).unwrap();
        roll.begin("a.1").unwrap();
        roll.begin("a.2").unwrap();
        roll.lead("a.2", Pid::from_raw(7)).unwrap();
        assert_eq!(found(&roll), [("a.1".to_owned(), None), ("a.2".to_owned(), Some(7))]);
        roll.end("a.1").unwrap();
        assert_eq!(found(&roll), [("a.2".to_owned(), Some(7))]);
        let next = Roll::new(Some(&roll)).unwrap();
        roll.clear().unwrap();
        assert_eq!((found(&roll), found(&next)), (vec![], vec![("a.2".to_owned(), Some(7))]));
    }

    #[test]
    fn what_was_not_written_whole_does_not_count() {
        let mut roll = Roll::new(None).unwrap();
        roll.begin("a.1").unwrap();
        roll.lead("a.1", Pid::from_raw(12_345)).unwrap();
        let whole = roll.length;
        for cut in 1..=4 {
            roll.file.set_len(whole - cut).unwrap();
            assert_eq!(found(&roll), [("a.1".to_owned(), None)]);
        }
    }

    #[test]
    fn it_is_short_again_when_nothing_is_under_way() {
        let mut roll = Roll::new(None).unwrap();
        roll.begin("long").unwrap();
        while !roll.is_long() {
            roll.begin("short").unwrap();
            roll.end("short").unwrap();
        }
        assert_eq!(found(&roll), [("long".to_owned(), None)]);
        roll.end("long").unwrap();
        assert!(!roll.is_long() && found(&roll).is_empty());
        roll.begin("next").unwrap();
        assert_eq!(found(&roll), [("next".to_owned(), None)]);
    }
}
