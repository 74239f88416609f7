//! Patterns as Python has them, look-around and back references included.

use fancy_regex::{Regex, RegexBuilder};

/// How many steps back a search may take: some patterns need more than the age of the world.
const STEPS: usize = 1_000_000;

/// A pattern that was read.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is none.
    #[error("{0}")]
    Syntax(String),
    /// It needs too many steps on this text.
    #[error("the pattern takes more than {STEPS} steps back on this text")]
    Endless,
}

/// Reads a pattern.
///
/// # Errors
/// What is wrong with it.
pub fn compile(text: &str) -> Result<Pattern, PatternError> {
    let text = translated(text);
    RegexBuilder::new(&text)
        .backtrack_limit(STEPS)
        .build()
        .map(Pattern)
        .map_err(|error| PatternError::Syntax(error.to_string()))
}

/// The same pattern in the words of another library: `\\Z` is the end of the text, `$` also stands before a
/// line break that is the last character, and `{,2}` begins at 0. In a multi-line pattern `$` means the same
/// to both.
fn translated(text: &str) -> String {
    let flags =
        text.strip_prefix("(?").and_then(|rest| rest.split_once(')')).map(|(flags, _)| flags);
    let is_multiline =
        flags.is_some_and(|flags| flags.contains('m') && flags.chars().all(char::is_alphabetic));
    let mut translated = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    // How far inside of `[…]`, where a `]` at the start stands for itself.
    let mut class: Option<usize> = None;
    while let Some(letter) = letters.next() {
        class = match (class, letter) {
            (None, '[') => Some(0),
            (Some(0), '^') => Some(0),
            (Some(inside), ']') if inside > 0 => None,
            (Some(inside), _) => Some(inside + 1),
            (None, _) => None,
        };
        match letter {
            '\\' => match letters.next() {
                Some('Z') if class.is_none() => translated.push_str("\\z"),
                Some(other) => translated.extend(['\\', other]),
                None => translated.push('\\'),
            },
            '[' if class.is_some_and(|inside| inside > 0) => translated.push_str("\\["),
            ']' if class == Some(1) => translated.push_str("\\]"),
            '$' if class.is_none() && !is_multiline => translated.push_str("(?=\\n?\\z)"),
            '{' if class.is_none() && letters.peek() == Some(&',') => translated.push_str("{0"),
            other => translated.push(other),
        }
    }
    translated
}

impl Pattern {
    /// Whether it is found anywhere in a text.
    ///
    /// # Errors
    /// If the search was given up.
    pub fn finds(&self, text: &str) -> Result<bool, PatternError> {
        self.0.is_match(text).map_err(|_| PatternError::Endless)
    }
}
