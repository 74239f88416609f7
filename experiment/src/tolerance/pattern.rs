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
    // The end of the text has another letter there.
    let text = text.replace("\\Z", "\\z");
    RegexBuilder::new(&text)
        .backtrack_limit(STEPS)
        .build()
        .map(Pattern)
        .map_err(|error| PatternError::Syntax(error.to_string()))
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
