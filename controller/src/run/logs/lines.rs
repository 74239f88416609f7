//! Lines of a file that comes in pieces, and where the next look at it begins. Pure.

use std::collections::BTreeMap;

use fault::{LogFile, LogForm, LogMark};
use serde_json::Value;

use super::LONGEST;
use crate::log::Wanted;

/// How much of what stands before a mark is kept where only the end is wanted: what an agent tells of it.
const TAIL: usize = 64 << 10;

/// A file, as far as it was read.
#[derive(Debug)]
pub(super) struct Lines {
    number: LogFile,
    form: LogForm,
    wanted: Wanted,
    /// From where on it is new.
    fresh: u64,
    /// Where `rest` begins.
    at: u64,
    /// What stands right before that.
    before: Vec<u8>,
    /// What has no end yet.
    rest: Vec<u8>,
    /// Beginnings of lines that a runtime has cut in pieces, by their streams.
    cut: BTreeMap<String, Cut>,
}

/// The beginning of a line.
#[derive(Debug)]
struct Cut {
    text: String,
    /// Where it begins.
    mark: LogMark,
    /// Whether something was found behind that, which is not to be found again.
    is_passed: bool,
}

impl Lines {
    /// Nothing of it yet; it is told from a place on.
    pub(super) fn new(
        (number, form): (LogFile, LogForm),
        (from, fresh): (u64, u64),
        wanted: Wanted,
    ) -> Self {
        let (before, rest) = (Vec::new(), Vec::new());
        Self { number, form, wanted, fresh, at: from, before, rest, cut: BTreeMap::new() }
    }

    /// Looks at the lines that end in the next bytes.
    ///
    /// # Errors
    /// Those of who looks.
    pub(super) fn take<E>(
        &mut self,
        bytes: &[u8],
        mut look: impl FnMut(&str) -> Result<bool, E>,
    ) -> Result<(), E> {
        let known = self.fresh.saturating_sub(self.at);
        let known = usize::try_from(known).unwrap_or(bytes.len()).min(bytes.len());
        self.pass(&bytes[..known]);
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(&bytes[known..]);
        let mut begin = 0;
        loop {
            let left = &rest[begin..];
            let end = left.iter().take(LONGEST).position(|byte| *byte == b'\n').map(|end| end + 1);
            let Some(end) = end.or((left.len() >= LONGEST).then_some(LONGEST)) else { break };
            if let Some(line) = self.decoded(&left[..end])
                && look(&line)?
            {
                self.cut.values_mut().for_each(|cut| cut.is_passed = true);
            }
            self.pass(&left[..end]);
            begin += end;
        }
        rest.drain(..begin);
        self.rest = rest;
        Ok(())
    }

    fn pass(&mut self, bytes: &[u8]) {
        let kept = match self.wanted {
            Wanted::News => PRINTED,
            Wanted::Ends => TAIL,
        };
        self.at += bytes.len() as u64;
        self.before.extend_from_slice(&bytes[bytes.len().saturating_sub(kept)..]);
        let more = self.before.len().saturating_sub(kept);
        self.before.drain(..more);
    }

    /// What was written, where that is known by now.
    fn decoded(&mut self, line: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        match self.form {
            LogForm::Plain => Some(text.to_owned()),
            // TIME STREAM TAG TEXT, where the tag of a line that goes on is P.
            LogForm::Cri => {
                let mut fields = text.splitn(4, ' ').skip(1);
                let (stream, tag) = (fields.next()?, fields.next()?);
                let text = fields.next().unwrap_or_default();
                let is_cut = tag.split(':').next() == Some("P");
                self.put_together(stream, text, is_cut)
            }
            // Docker ends the text of a line with its end, and of one that goes on with nothing.
            LogForm::Json => {
                let value: Value = serde_json::from_str(text).ok()?;
                let field =
                    |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
                let (stream, text) = (field("stream").to_owned(), field("log").to_owned());
                let is_cut = !text.ends_with('\n');
                self.put_together(&stream, text.trim_end_matches(['\n', '\r']), is_cut)
            }
        }
    }

    fn put_together(&mut self, stream: &str, text: &str, is_cut: bool) -> Option<String> {
        let begun = self.cut.remove(stream);
        if !is_cut {
            return Some(begun.map_or_else(|| text.to_owned(), |cut| cut.text + text));
        }
        let mut cut = begun.unwrap_or_else(|| self.begin());
        cut.text.push_str(text);
        if cut.text.len() >= LONGEST {
            return Some(cut.text);
        }
        self.cut.insert(stream.to_owned(), cut);
        None
    }

    /// Looks at what has no end yet. The next look begins behind it if something was found in it, and else before
    /// it, when it may have one.
    ///
    /// # Errors
    /// Those of who looks.
    pub(super) fn end<E>(
        mut self,
        mut look: impl FnMut(&str) -> Result<bool, E>,
    ) -> Result<LogMark, E> {
        if self.form == LogForm::Plain && !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            if look(String::from_utf8_lossy(&rest).trim_end_matches('\r'))? {
                self.pass(&rest);
            }
        }
        if self.wanted == Wanted::Ends && self.form != LogForm::Plain {
            self.cut_at_the_end();
        }
        let mut mark = self.mark();
        for (_, cut) in std::mem::take(&mut self.cut) {
            let is_found = self.wanted == Wanted::News && look(&cut.text)?;
            if !is_found && !cut.is_passed && cut.mark.offset < mark.offset {
                mark = cut.mark;
            }
        }
        Ok(mark)
    }

    /// Finds the beginnings of lines that have no end yet where nothing was looked at.
    fn cut_at_the_end(&mut self) {
        let tail = std::mem::take(&mut self.before);
        let begins = self.at - tail.len() as u64;
        // Whatever begins before that has no whole print before it.
        let first = if begins == 0 {
            0
        } else {
            let unprinted = PRINTED.min(tail.len());
            let end = tail[unprinted..].iter().position(|byte| *byte == b'\n');
            end.map_or(tail.len(), |end| unprinted + end + 1)
        };
        self.at = begins;
        self.pass(&tail[..first]);
        for line in tail[first..].split_inclusive(|byte| *byte == b'\n') {
            if line.ends_with(b"\n") {
                // It is known; only where it begins is wanted.
                let _ = self.decoded(line);
            }
            self.pass(line);
        }
    }

    /// What begins here.
    fn begin(&self) -> Cut {
        let printed = &self.before[self.before.len().saturating_sub(PRINTED)..];
        let mark = LogMark::new(self.number, self.at, printed);
        Cut { text: String::new(), mark, is_passed: false }
    }

    fn mark(&self) -> LogMark {
        let whole = &self.before;
        // A line that has begun by then is new once it has an end.
        let line = match self.wanted {
            Wanted::News => None,
            Wanted::Ends => whole.iter().rposition(|byte| *byte == b'\n').map(|end| end + 1),
        };
        let begins = self.at - whole.len() as u64;
        let end = line.filter(|end| *end >= PRINTED || begins == 0).unwrap_or(whole.len());
        let printed = &whole[end.saturating_sub(PRINTED)..end];
        LogMark::new(self.number, begins + end as u64, printed)
    }
}

/// As a length.
#[expect(clippy::cast_possible_truncation, reason = "it is 256")]
const PRINTED: usize = LogMark::PRINTED as usize;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const FILE: LogFile = LogFile { device: 1, inode: 2 };

    /// The lines that are found in a file by a look from a place on, told in pieces of some length, and where the
    /// next look begins.
    fn found(
        form: LogForm,
        whole: &str,
        (fresh, piece): (usize, usize),
        wanted: Wanted,
    ) -> (Vec<String>, LogMark) {
        let from = match wanted {
            Wanted::News => fresh.saturating_sub(PRINTED),
            Wanted::Ends => whole.len().saturating_sub(TAIL),
        };
        let mut lines = Lines::new((FILE, form), (from as u64, fresh as u64), wanted);
        let mut found = Vec::new();
        let mut look = |line: &str| {
            found.push(line.to_owned());
            Ok::<bool, Infallible>(line.contains("found"))
        };
        for piece in whole.as_bytes()[from..].chunks(piece) {
            lines.take(piece, &mut look).unwrap();
        }
        let mark = lines.end(&mut look).unwrap();
        let end = usize::try_from(mark.offset).unwrap();
        assert!(mark.stands_behind(&whole.as_bytes()[end.saturating_sub(PRINTED)..end]));
        (found, mark)
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let whole = format!("{}\none\r\ntwo\n\nhalf", "x".repeat(300));
        for piece in [1, 7, 1_000] {
            let (all, mark) = found(LogForm::Plain, &whole, (0, piece), Wanted::News);
            assert_eq!(all[1..], ["one", "two", "", "half"]);
            assert_eq!(mark.offset as usize, whole.len() - 4, "it may go on");
            let (new, _) = found(LogForm::Plain, &whole, (301, piece), Wanted::News);
            assert_eq!(new, ["one", "two", "", "half"]);
            let told = format!("{whole} is found");
            let (_, mark) = found(LogForm::Plain, &told, (301, piece), Wanted::News);
            assert_eq!(mark.offset as usize, told.len(), "it is not found twice");
        }
        assert_eq!(found(LogForm::Plain, "", (0, 1), Wanted::News).1.offset, 0);
    }

    #[test]
    fn an_end_is_where_the_last_line_begins() {
        for (whole, expected) in [
            ("one\ntwo\nhalf".to_owned(), 8),
            (format!("{}\nhalf", "x".repeat(70_000)), 70_001),
            ("x".repeat(70_000), 70_000),
            (format!("a\n{}", "x".repeat(TAIL - 1)), TAIL + 1),
            (String::new(), 0),
        ] {
            let (lines, mark) = found(LogForm::Plain, &whole, (whole.len(), 500), Wanted::Ends);
            assert_eq!((lines.len(), mark.offset as usize), (0, expected));
        }
    }

    #[test]
    fn what_a_runtime_writes_around_lines_is_not_looked_at() {
        let cri = "2026-01-01T00:00:00.000000001Z stdout F one two\n\
            2026-01-01T00:00:00.000000002Z stderr P three \n\
            2026-01-01T00:00:00.000000003Z stdout F four\n\
            2026-01-01T00:00:00.000000004Z stderr F five\n\
            2026-01-01T00:00:00.000000005Z stdout F\nnonsense\n2026-01-01T00:00:00";
        let (lines, mark) = found(LogForm::Cri, cri, (0, 9), Wanted::News);
        assert_eq!(lines, ["one two", "four", "three five", ""]);
        assert_eq!(mark.offset as usize, cri.len() - 19);
        let docker = r#"{"log":"one \u001b[0m\n","stream":"stdout","time":"t"}
{"log":"two ","stream":"stderr","time":"t"}
{"log":"three\n","stream":"stderr","time":"t"}
{"log":"ha"#;
        let (lines, _) = found(LogForm::Json, docker, (0, 9), Wanted::News);
        assert_eq!(lines, ["one \u{1b}[0m", "two three"]);
    }

    #[test]
    fn a_line_that_a_runtime_has_not_ended_is_looked_at_and_again_when_it_has() {
        let first = "2026-01-01T00:00:00.000000001Z stdout F one\n";
        let cut = "2026-01-01T00:00:00.000000002Z stderr P is this \n";
        let other = "2026-01-01T00:00:00.000000003Z stdout F two\n";
        let end = "2026-01-01T00:00:00.000000004Z stderr F the leader\n";
        for piece in [1, 9, 1_000] {
            let until = format!("{first}{cut}{other}");
            let (lines, mark) = found(LogForm::Cri, &until, (0, piece), Wanted::News);
            assert_eq!(lines, ["one", "two", "is this "], "it may never have an end");
            assert_eq!(mark.offset as usize, first.len());
            let whole = format!("{until}{end}");
            let fresh = first.len();
            let (lines, mark) = found(LogForm::Cri, &whole, (fresh, piece), Wanted::News);
            assert_eq!(
                (lines, mark.offset as usize),
                (vec!["two".to_owned(), "is this the leader".to_owned()], whole.len())
            );
            // What was found in it, or behind its beginning, is not found twice.
            for (told, instead) in [("is this", "found, this"), ("two", "found")] {
                let until = until.replace(told, instead);
                let (_, mark) = found(LogForm::Cri, &until, (0, piece), Wanted::News);
                assert_eq!(mark.offset as usize, until.len());
            }
        }
        let docker = "{\"log\":\"one\\n\",\"stream\":\"stdout\",\"time\":\"t\"}\n";
        let cut = "{\"log\":\"two \",\"stream\":\"stderr\",\"time\":\"t\"}\n";
        for wanted in [Wanted::News, Wanted::Ends] {
            for (form, whole, expected) in [
                (LogForm::Json, format!("{docker}{cut}"), docker.len()),
                (LogForm::Json, format!("{docker}{cut}{docker}"), docker.len()),
                (LogForm::Json, format!("{cut}{docker}"), 0),
                (LogForm::Json, docker.repeat(3), 3 * docker.len()),
            ] {
                let fresh = if wanted == Wanted::News { 0 } else { whole.len() };
                let (_, mark) = found(form, &whole, (fresh, 20), wanted);
                assert_eq!(mark.offset as usize, expected, "{whole}");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_looked_at_in_parts() {
        let whole = "x".repeat(LONGEST * 2 + 5);
        let (lines, mark) = found(LogForm::Plain, &whole, (0, 300_000), Wanted::News);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LONGEST, LONGEST, 5]);
        assert_eq!(mark.offset as usize, LONGEST * 2);
    }
}
