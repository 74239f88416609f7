//! What the demo prints: as it happens, at most 92 columns wide, coloured on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};

/// Where lines are broken.
const WIDTH: usize = 92;
/// Where what is told of a label begins.
const COLUMN: usize = 20;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const CYAN: &str = "\x1b[36m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// Whether lines carry colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colours {
    On,
    Off,
}

/// The standard output.
#[derive(Debug)]
pub(crate) struct Page {
    colours: Colours,
}

impl Page {
    /// Of this process; in colours on a terminal unless NO_COLOR is set (no-color.org).
    pub(crate) fn stdout() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = if !plain && io::stdout().is_terminal() { Colours::On } else { Colours::Off };
        Self { colours }
    }

    /// The beginning of a part.
    pub(crate) fn chapter(&mut self, title: &str) -> io::Result<()> {
        self.lines("\n", BOLD, &[title.to_owned()])
    }

    /// A command as one would type it; an option stays on one line with its value.
    pub(crate) fn command(&mut self, words: &[String]) -> io::Result<()> {
        let mut units: Vec<String> = Vec::new();
        for word in words {
            match units.last_mut() {
                Some(option) if is_option(option) && !is_option(word) => {
                    option.push_str(&format!(" {word}"));
                }
                _ => units.push(word.clone()),
            }
        }
        let mut lines = fill(units.iter().map(String::as_str), WIDTH - 6);
        let last = lines.len().saturating_sub(1);
        for (number, line) in lines.iter_mut().enumerate() {
            let lead = if number == 0 { "  $ " } else { "      " };
            let tail = if number < last { " \\" } else { "" };
            *line = format!("{lead}{line}{tail}");
        }
        self.lines("", CYAN, &lines)
    }

    /// Sentences.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        let lines: Vec<String> =
            wrap(text, WIDTH - 2).into_iter().map(|line| format!("  {line}")).collect();
        self.lines("", "", &lines)
    }

    /// Sentences that explain what was measured.
    pub(crate) fn explain(&mut self, text: &str) -> io::Result<()> {
        let mut lines = Vec::new();
        for (number, line) in wrap(text, WIDTH - 5).into_iter().enumerate() {
            lines.push(if number == 0 { format!("  => {line}") } else { format!("     {line}") });
        }
        self.lines("", BOLD, &lines)
    }

    /// What happens meanwhile.
    pub(crate) fn aside(&mut self, text: &str) -> io::Result<()> {
        self.lines("", DIM, &[format!("    {text}")])
    }

    /// Something that was measured.
    pub(crate) fn figure(&mut self, label: &str, text: &str) -> io::Result<()> {
        self.labelled(label, "", text)
    }

    /// A line of the summary: what, in a column of this width, and its figure.
    pub(crate) fn row(&mut self, what: &str, width: usize, figure: &str) -> io::Result<()> {
        let mut lines = Vec::new();
        for line in wrap(figure, WIDTH.saturating_sub(width + 4)) {
            let what = if lines.is_empty() { what } else { "" };
            lines.push(format!("  {what:<width$}  {line}").trim_end().to_owned());
        }
        self.lines("", "", &lines)
    }

    /// Something that is otherwise than promised.
    pub(crate) fn deviation(&mut self, text: &str) -> io::Result<()> {
        self.labelled("DEVIATION", RED, text)
    }

    fn labelled(&mut self, label: &str, colour: &str, text: &str) -> io::Result<()> {
        let mut lines = Vec::new();
        for paragraph in text.lines() {
            for line in wrap(paragraph, WIDTH - COLUMN) {
                let label = if lines.is_empty() { label } else { "" };
                lines.push(format!("    {label:<width$}{line}", width = COLUMN - 4));
            }
        }
        self.lines("", colour, &lines)
    }

    /// Prints at once: a tale that is told after it happened is no demonstration.
    fn lines(&mut self, before: &str, colour: &str, lines: &[String]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(before.as_bytes())?;
        for line in lines {
            match self.colours {
                Colours::On if !colour.is_empty() => writeln!(out, "{colour}{line}{PLAIN}")?,
                Colours::On | Colours::Off => writeln!(out, "{line}")?,
            }
        }
        out.flush()
    }
}

/// Breaks a text between words; one that fits keeps its runs of blanks, so that columns stay columns.
fn wrap(text: &str, width: usize) -> Vec<String> {
    if text.chars().count() <= width {
        return vec![text.to_owned()];
    }
    fill(text.split_whitespace(), width)
}

/// As many units on a line as fit.
fn fill<'a>(units: impl Iterator<Item = &'a str>, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for unit in units {
        if !line.is_empty() && line.chars().count() + 1 + unit.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(unit);
    }
    lines.push(line);
    lines
}

/// Whether a word may have its value behind it.
fn is_option(unit: &str) -> bool {
    unit.starts_with('-') && !unit.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("a  b", 4), ["a  b"]);
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("unbreakable", 4), ["unbreakable"]);
    }
}
