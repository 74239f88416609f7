//! The words that were typed: a command line, or what is wrong with them.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{Parser, ValueEnum};
use fault::Legible;

use super::Cli;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::{Format, Output};

/// How long a suggestion may be: a longer one repeats what nobody meant.
const SUGGESTION: usize = 200;

/// The words make no command line, or they ask for help.
#[derive(Debug)]
pub struct Misuse {
    error: clap::Error,
    format: Option<Format>,
}

impl Cli {
    /// Reads the words of a command line, the command's own name first.
    ///
    /// # Errors
    /// They make none, or they ask for help.
    pub fn read(words: &[OsString]) -> Result<Self, Misuse> {
        Self::try_parse_from(words).map_err(|error| Misuse::of(error, words))
    }
}

impl Misuse {
    /// What is wrong with words, as it may be printed.
    pub(crate) fn of(error: clap::Error, words: &[OsString]) -> Self {
        let (error, format) = (legible(error), asked_format(words));
        Self { error, format }
    }

    /// Says it, and with which code the command exits.
    #[must_use]
    pub fn tell(&self) -> u8 {
        match self.format {
            Some(Format::Json | Format::Yaml) if self.error.use_stderr() => {
                Output::new(self.format).fail(&self.failure());
            }
            // Nobody is there to be told that nobody can be told.
            Some(_) | None => drop(self.error.print()),
        }
        let outcome =
            if self.error.use_stderr() { Outcome::WrongUsage } else { Outcome::Effective };
        outcome.code()
    }

    fn failure(&self) -> Failure {
        let text = self.error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let ends = ["\n\nUsage:", "\n\nFor more information"].map(|mark| text.find(mark));
        let end = ends.into_iter().flatten().min().unwrap_or(text.len());
        Failure::new(Outcome::WrongUsage, "cannot read the command line", text[..end].trim_end())
            .hint("`schism --help` and `schism COMMAND --help` say what can be typed")
    }
}

/// The format that was asked for, read off words that are otherwise not understood.
fn asked_format(words: &[OsString]) -> Option<Format> {
    let mut words = words.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let value = match word.as_ref() {
            "--" => return None,
            "-o" | "--output" => words.next()?.into_owned(),
            word => {
                let short = || word.strip_prefix("-o").filter(|_| !word.starts_with("--"));
                let Some(value) = word.strip_prefix("--output=").or_else(short) else { continue };
                value.strip_prefix('=').unwrap_or(value).to_owned()
            }
        };
        if let Ok(format) = Format::from_str(&value, false) {
            return Some(format);
        }
    }
    None
}

/// The error with what was typed in a form that may be printed.
fn legible(mut error: clap::Error) -> clap::Error {
    let context: Vec<(ContextKind, ContextValue)> =
        error.context().map(|(kind, value)| (kind, value.clone())).collect();
    let plain = |text: &str| Legible(text).to_string();
    let unfit = |text: &str| text.len() > SUGGESTION || text.chars().any(char::is_control);
    for (kind, value) in context {
        match value {
            ContextValue::String(text) => {
                error.insert(kind, ContextValue::String(plain(&text)));
            }
            ContextValue::Strings(texts) => {
                let texts = texts.iter().map(|text| plain(text)).collect();
                error.insert(kind, ContextValue::Strings(texts));
            }
            ContextValue::StyledStrs(texts) => {
                if texts.iter().any(|text| unfit(&text.to_string())) {
                    error.remove(kind);
                }
            }
            // Usage, which is ours.
            ContextValue::StyledStr(_)
            | ContextValue::None
            | ContextValue::Bool(_)
            | ContextValue::Number(_)
            | _ => {}
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_format_is_known_of_words_that_are_not_understood() {
        let table = [
            ("schism cut -o json", Some(Format::Json)),
            ("schism -ojson cut", Some(Format::Json)),
            ("schism cut -o=yaml --nonsense", Some(Format::Yaml)),
            ("schism cut --output=json", Some(Format::Json)),
            ("schism cut --output wide a", Some(Format::Wide)),
            ("schism cut -o", None),
            ("schism cut -o nothing", None),
            ("schism cut -- -o json", None),
            ("schism --output-socket json", None),
        ];
        for (line, format) in table {
            assert_eq!(asked_format(&words(line)), format, "{line}");
        }
    }

    #[test]
    fn what_was_typed_is_told_in_a_form_that_can_be_read() {
        let long = "x".repeat(10_000);
        let lines =
            [vec![long.clone()], vec!["cut".into(), long.clone()], vec![format!("--{long}")]];
        for line in lines {
            let typed = std::iter::once("schism".to_owned()).chain(line).map(OsString::from);
            let misuse = Cli::read(&typed.collect::<Vec<_>>()).unwrap_err();
            let failure = misuse.failure();
            assert!(failure.reason.len() < 800, "{}", failure.reason);
        }
        let typed = ["schism", "cut", "netns:a", "netns:b\u{1b}[2J"].map(OsString::from);
        let failure = Cli::read(&typed).unwrap_err().failure();
        assert!(!failure.reason.contains('\u{1b}'), "{}", failure.reason);
        assert!(failure.reason.contains(r"netns:b\u{1b}[2J"), "{}", failure.reason);
    }

    #[test]
    fn a_negative_value_is_wrong_at_its_place() {
        for option in ["--loss -5", "--for -1s", "--lease -1s", "--port -1", "--seed -1"] {
            let line = words(&format!("schism cut netns:a netns:b {option}"));
            let reason = Cli::read(&line).unwrap_err().failure().reason;
            let (name, value) = option.split_once(' ').unwrap();
            assert!(
                reason.starts_with(&format!("invalid value '{value}' for '{name}")),
                "{reason}"
            );
            assert!(!reason.contains("'-- "), "{reason}");
        }
    }
}
