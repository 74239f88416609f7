//! What is told of logs: from marks on, within bounds.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use fault::{LogFile, LogForm, LogMark};

use crate::kernel::Log;

/// The most that is told at once (64 MiB).
pub(crate) const MOST: u64 = 64 << 20;
/// How much is read at a time (256 KiB).
pub(crate) const PIECE: usize = 256 << 10;
/// How much of a file is told where only its end is wanted: enough to find where its last line begins (64 KiB).
const TAIL: u64 = 64 << 10;

/// What is wanted of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All that is new.
    News,
    /// Only where they end.
    Ends,
}

/// A part of a file.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    /// Which file.
    pub(crate) number: LogFile,
    /// How it is written.
    pub(crate) form: LogForm,
    /// Whether it goes on with the one before it.
    pub(crate) goes_on: bool,
    /// Where it begins.
    pub(crate) from: u64,
    /// From where on it is new.
    pub(crate) fresh: u64,
    /// Where it ends: what is written meanwhile is for the next look.
    end: u64,
}

/// What is to be told.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// These parts, in this order.
    pub(crate) parts: Vec<Part>,
    /// Why something that came since may be missing.
    pub(crate) missing: Option<String>,
}

/// Why it is not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// It could not be read.
    #[error("its log cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is more than is told at once.
    #[error("{} MiB have been written since, and no more than {} are looked through at once", .0 >> 20, MOST >> 20)]
    Long(u64),
}

impl Reading {
    /// What there is to tell of logs since these marks.
    pub(crate) fn of(logs: Vec<Log>, since: &[LogMark], wanted: Wanted) -> Result<Self, LogError> {
        let mut reading = Self::default();
        let mut known = Vec::new();
        for log in logs {
            let numbers = log.files.iter().map(Log::number).collect::<Result<Vec<_>, _>>()?;
            let mark = |number: &LogFile| since.iter().find(|mark| mark.file == *number);
            let marked = numbers.iter().rposition(|number| mark(number).is_some());
            let first = match (wanted, marked) {
                // Where nothing is known of it, all that is left may be new.
                (Wanted::News, None) if !since.is_empty() => 0,
                (Wanted::News, Some(first)) => first,
                (Wanted::News | Wanted::Ends, _) => numbers.len().saturating_sub(1),
            };
            let files = log.files.into_iter().zip(numbers).enumerate().skip(first);
            for (place, (file, number)) in files {
                let end = file.metadata()?.len();
                let goes_on = place > first;
                let mark = mark(&number).filter(|_| !goes_on);
                known.extend(mark);
                let fresh = match (wanted, mark) {
                    (Wanted::Ends, _) => end,
                    (Wanted::News, None) => 0,
                    (Wanted::News, Some(mark)) if stands(&file, mark, end)? => mark.offset,
                    (Wanted::News, Some(_)) => {
                        reading.missing = Some("a log was emptied since".to_owned());
                        0
                    }
                };
                let from = match wanted {
                    Wanted::News => LogMark::printed_from(fresh),
                    Wanted::Ends => end.saturating_sub(TAIL),
                };
                let form = log.form;
                reading.parts.push(Part { file, number, form, goes_on, from, fresh, end });
            }
        }
        if wanted == Wanted::News && since.iter().any(|mark| !known.contains(&mark)) {
            let why = "a file that was written to is not there any more, or nobody writes to it";
            reading.missing = Some(why.to_owned());
        }
        let long =
            reading.parts.iter().map(|part| part.end - part.fresh).fold(0, u64::saturating_add);
        if long > MOST { Err(LogError::Long(long)) } else { Ok(reading) }
    }
}

fn stands(file: &File, mark: &LogMark, end: u64) -> io::Result<bool> {
    if mark.offset > end {
        return Ok(false);
    }
    let from = LogMark::printed_from(mark.offset);
    // No more than 256.
    let mut before = vec![0; usize::try_from(mark.offset - from).unwrap_or_default()];
    match file.read_exact_at(&mut before, from) {
        Ok(()) => Ok(mark.stands_behind(&before)),
        // Emptied at this moment.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

impl Part {
    /// What stands at a place; nothing at its end.
    pub(crate) fn read(&self, at: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.end.saturating_sub(at)).unwrap_or(PIECE).min(PIECE);
        let mut bytes = vec![0; length];
        let count = self.file.read_at(&mut bytes, at)?;
        bytes.truncate(count);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::path::Path;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn reading(paths: &[&Path], since: &[LogMark], wanted: Wanted) -> Result<Reading, LogError> {
        let files = paths.iter().map(|path| File::open(path).unwrap()).collect();
        Reading::of(vec![Log { form: LogForm::Plain, files }], since, wanted)
    }

    /// What is new, and a mark at the end of each file.
    fn news(reading: &Reading) -> (String, Vec<LogMark>) {
        let (mut text, mut marks) = (String::new(), Vec::new());
        for part in &reading.parts {
            let bytes = part.read(part.from).unwrap();
            let behind = usize::try_from(part.fresh - part.from).unwrap();
            text.push_str(std::str::from_utf8(&bytes[behind..]).unwrap());
            let printed = usize::try_from(LogMark::PRINTED).unwrap().min(bytes.len());
            marks.push(LogMark::new(part.number, part.end, &bytes[bytes.len() - printed..]));
        }
        (text, marks)
    }

    #[test]
    fn what_is_new_is_told_and_what_may_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        let (log, before) = (directory.path().join("log"), directory.path().join("log.1"));
        append(&log, "one\n");
        let first = reading(&[&log], &[], Wanted::News).unwrap();
        assert_eq!(news(&first).0, "one\n");
        let ends = reading(&[&log], &[], Wanted::Ends).unwrap();
        assert_eq!(news(&ends).0, "", "only where it ends");
        let since = news(&first).1;
        assert_eq!(news(&ends).1, since);
        append(&log, "two\n");
        assert_eq!(news(&reading(&[&log], &since, Wanted::News).unwrap()).0, "two\n");

        // It was rotated: what came before that, too.
        fs::rename(&log, &before).unwrap();
        append(&log, "three\n");
        let rotated = reading(&[&before, &log], &since, Wanted::News).unwrap();
        let (text, marks) = news(&rotated);
        assert_eq!((text.as_str(), &rotated.missing), ("two\nthree\n", &None));
        assert!(!rotated.parts[0].goes_on && rotated.parts[1].goes_on);
        let later = &marks[1..];
        append(&log, "four\n");
        let both = reading(&[&before, &log], later, Wanted::News).unwrap();
        assert_eq!((news(&both).0.as_str(), &both.missing), ("four\n", &None));
        let gone = reading(&[&log], &since, Wanted::News).unwrap();
        assert_eq!(news(&gone).0, "three\nfour\n");
        assert!(gone.missing.unwrap().contains("not there any more"));

        // It was emptied, and has grown beyond the mark again.
        fs::write(&log, "something else that is longer\n").unwrap();
        let emptied = reading(&[&log], later, Wanted::News).unwrap();
        assert_eq!(news(&emptied).0, "something else that is longer\n");
        assert!(emptied.missing.unwrap().contains("emptied"));
        fs::write(&log, "").unwrap();
        assert!(reading(&[&log], later, Wanted::News).unwrap().missing.is_some());
    }

    #[test]
    fn no_more_is_told_than_may_be_however_long_a_file_says_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        append(&path, &"x".repeat(1_000));
        let since = news(&reading(&[&path], &[], Wanted::News).unwrap()).1;
        assert_eq!(since[0].offset, 1_000);
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let refused = reading(&[&path], &since, Wanted::News).unwrap_err();
        assert!(refused.to_string().contains("1048575 MiB have been written"), "{refused}");
        let end = reading(&[&path], &since, Wanted::Ends).unwrap();
        assert_eq!(
            (end.parts[0].fresh, end.parts[0].read(end.parts[0].from).unwrap().len()),
            (1 << 40, 65_536)
        );
        let rest = reading(&[&path], &[], Wanted::Ends).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(
            rest.parts[0].read(rest.parts[0].from).unwrap(),
            [0; 0],
            "emptied while it is read"
        );
    }
}
