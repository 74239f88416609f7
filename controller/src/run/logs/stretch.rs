//! What of a container's log is new, line by line, as the API server tells it. Pure.
//!
//! Lines come with their times, and can be asked for from a whole second on. So where a look ended is the last second
//! in that log, with how many lines stand in it and a print of them: the next look asks from there, and what it finds
//! first are those lines, or the log is another one by then. A node tells only of the last file of a log that it has
//! rotated.

use std::hash::{DefaultHasher, Hasher as _};

use serde::{Deserialize, Serialize};

/// Where a look at a log has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// When the last line was written (RFC 3339, as its node has it); empty where there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    last: String,
    /// How many lines were written in that second.
    count: u64,
    /// Of those lines, with their times.
    print: String,
}

impl Mark {
    /// From when on the log is asked for (RFC 3339, a whole second); `None` for all of it.
    pub(super) fn since(&self) -> Option<String> {
        Stamp::of(&self.last).map(|stamp| format!("{}{}", stamp.second, stamp.zone))
    }
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    /// It was there before.
    Old,
    /// What was written.
    New(&'l str),
}

/// What stands before a mark is not what was there: the log was rotated, or it is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Another;

/// A log that is read behind a mark.
#[derive(Debug)]
pub(super) struct Stretch {
    before: Mark,
    /// How many of the lines before the mark are still to come.
    left: u64,
    way: Way,
    /// What is the end of it so far.
    end: Mark,
    print: DefaultHasher,
}

/// By what it is known which lines are new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// They stand behind those that were there.
    Counted,
    /// They are younger: what was there is there no more, or not as it was.
    Dated,
}

impl Stretch {
    /// The log from the second of a mark on, or all of it where that says none.
    pub(super) fn behind(before: Mark) -> Self {
        Self::by(Way::Counted, before)
    }

    /// The same where what stood before the mark is not what was there.
    pub(super) fn after(before: Mark) -> Self {
        Self::by(Way::Dated, before)
    }

    fn by(way: Way, before: Mark) -> Self {
        let (end, print) = (Mark::default(), DefaultHasher::new());
        Self { left: before.count, before, way, end, print }
    }

    /// Takes the next line, with its time.
    ///
    /// # Errors
    /// What comes first is not what was there.
    pub(super) fn take<'l>(&mut self, line: &'l str) -> Result<Line<'l>, Another> {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        let (stamp, text) = match Stamp::of(word) {
            Some(stamp) => (Some(stamp), text),
            None => (None, line),
        };
        self.count(stamp, (word, line));
        match self.way {
            Way::Counted if self.left > 0 => {
                self.left -= 1;
                let is_known = self.left > 0 || print(&self.print) == self.before.print;
                if is_known { Ok(Line::Old) } else { Err(Another) }
            }
            Way::Counted => Ok(Line::New(text)),
            Way::Dated if stamp > Stamp::of(&self.before.last) => Ok(Line::New(text)),
            Way::Dated => Ok(Line::Old),
        }
    }

    /// Counts a line, if it is one of the last second.
    fn count(&mut self, stamp: Option<Stamp<'_>>, (word, line): (&str, &str)) {
        let last = Stamp::of(&self.end.last);
        if let Some(stamp) = stamp {
            let is_later = last.is_none_or(|last| stamp.is_of_later_second(&last));
            // Two streams of a container may come in another order than that of their times. Whoever asks from the last
            // second on is not told of one before it.
            if last.is_some_and(|last| !is_later && stamp.second < last.second) {
                return;
            }
            if is_later {
                (self.end.count, self.print) = (0, DefaultHasher::new());
            }
            if is_later || Some(stamp) > last {
                word.clone_into(&mut self.end.last);
            }
        }
        self.end.count += 1;
        self.print.write(line.as_bytes());
        self.print.write_u8(b'\n');
    }

    /// Where the next look begins.
    ///
    /// # Errors
    /// Not even what was there has come.
    pub(super) fn end(self) -> Result<Mark, Another> {
        match self.way {
            Way::Counted if self.left > 0 => Err(Another),
            Way::Counted | Way::Dated => Ok(Mark { print: print(&self.print), ..self.end }),
        }
    }
}

fn print(hasher: &DefaultHasher) -> String {
    format!("{:016x}", hasher.finish())
}

/// The time of a line (RFC 3339), in its parts: within a zone a later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
struct Stamp<'t> {
    /// `2026-01-01T00:00:00`.
    second: &'t str,
    /// `.5`, or nothing.
    fraction: &'t str,
    /// `Z`, or `+01:00`.
    zone: &'t str,
}

impl<'t> Stamp<'t> {
    fn of(word: &'t str) -> Option<Self> {
        let form = b"0000-00-00T00:00:00";
        let fits = |(byte, form): (&u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        };
        let (second, rest) = word.split_at_checked(form.len())?;
        let is_one = second.as_bytes().iter().zip(form).all(fits);
        let (fraction, zone) = rest.split_at(rest.find(['Z', '+', '-'])?);
        is_one.then_some(Self { second, fraction, zone })
    }

    /// Whether its second is a later one. One of another zone is: only the clock of a node that goes on has its zone
    /// changed.
    fn is_of_later_second(&self, other: &Self) -> bool {
        self.zone != other.zone || self.second > other.second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is new in a log behind a mark, and where it ends.
    fn read(before: &Mark, lines: &[&str]) -> Result<(Vec<String>, Mark), Another> {
        all(Stretch::behind(before.clone()), lines)
    }

    fn all(mut stretch: Stretch, lines: &[&str]) -> Result<(Vec<String>, Mark), Another> {
        let mut new = Vec::new();
        for line in lines {
            if let Line::New(text) = stretch.take(line)? {
                new.push(text.to_owned());
            }
        }
        Ok((new, stretch.end()?))
    }

    /// What an API server tells from the second of a mark on.
    fn asked<'l>(mark: &Mark, log: &[&'l str]) -> Vec<&'l str> {
        let since = mark.since().map(|since| since.trim_end_matches('Z').to_owned());
        let is_told = |line: &&&str| since.as_ref().is_none_or(|since| **line >= since.as_str());
        log.iter().filter(is_told).copied().collect()
    }

    const LOG: [&str; 6] = [
        "2026-01-01T00:00:00.1Z a",
        "2026-01-01T00:00:01Z b",
        "2026-01-01T00:00:02.25Z c d",
        // A line of another stream.
        "2026-01-01T00:00:01.9Z e",
        "2026-01-01T00:00:02.2Z f",
        "2026-01-01T00:00:02.9Z",
    ];

    #[test]
    fn each_line_is_new_once_wherever_a_look_ends() {
        let texts = ["a", "b", "c d", "e", "f", ""];
        for end in 0..=LOG.len() {
            let (first, mark) = read(&Mark::default(), &LOG[..end]).unwrap();
            assert_eq!(first, texts[..end]);
            let (second, _) = read(&mark, &asked(&mark, &LOG)).unwrap();
            // One that is written late with an early time is told to nobody who asks from later on.
            let late: Vec<&str> =
                texts[end..].iter().copied().filter(|text| end < 3 || *text != "e").collect();
            assert_eq!(second, late, "after {end}");
            let (none, _) = read(&mark, &asked(&mark, &LOG[..end])).unwrap();
            assert_eq!(none, Vec::<String>::new());
        }
        let (_, mark) = read(&Mark::default(), &LOG).unwrap();
        assert_eq!((mark.since().as_deref(), mark.count), (Some("2026-01-01T00:00:02Z"), 3));
    }

    #[test]
    fn a_log_that_was_rotated_is_another_one_of_which_what_is_younger_is_new() {
        let (_, mark) = read(&Mark::default(), &LOG[..3]).unwrap();
        let rotated = ["2026-01-01T00:00:02.9Z f", "2026-01-01T00:00:03Z g"];
        assert_eq!(read(&mark, &rotated), Err(Another));
        assert_eq!(read(&mark, &[]), Err(Another));
        let (new, end) = all(Stretch::after(mark.clone()), &rotated).unwrap();
        assert_eq!(new, ["f", "g"]);
        assert_eq!(end.since().as_deref(), Some("2026-01-01T00:00:03Z"));
        assert_eq!(
            all(Stretch::after(mark), &[]).unwrap(),
            (Vec::new(), all(Stretch::behind(Mark::default()), &[]).unwrap().1)
        );
    }

    #[test]
    fn times_are_those_of_their_nodes() {
        let (_, mark) = read(&Mark::default(), &["2026-01-01T00:00:00.5+01:00 a"]).unwrap();
        assert_eq!(mark.since().as_deref(), Some("2026-01-01T00:00:00+01:00"));
        let none = read(&Mark::default(), &["no time", "at all"]).unwrap();
        assert_eq!(none.0, ["no time", "at all"]);
        assert_eq!((none.1.since(), none.1.count), (None, 2));
        assert_eq!(Mark::default().since(), None);
    }
}
