//! Text of others, fit to stand in a sentence.

use std::fmt;

/// How many columns are shown of a text that is too long for a line.
const SHOWN: usize = 60;

/// Somebody's text as it may be printed: control characters are escaped, and of a long text only the
/// beginning is shown.
///
/// What was typed may be a file that was pasted, or a name that moves the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legible<'a>(pub &'a str);

impl fmt::Display for Legible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&beginning(&printed(self.0), SHOWN))
    }
}

/// Somebody's text, whole and on one line: control characters are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnOneLine<'a>(pub &'a str);

impl fmt::Display for OnOneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printed(self.0))
    }
}

/// The text with what does not print escaped.
pub(crate) fn printed(text: &str) -> String {
    let mut printed = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            // These mean nothing outside of a literal.
            '\'' | '"' | '\\' => printed.push(character),
            _ => printed.extend(character.escape_debug()),
        }
    }
    printed
}

/// At most so many columns from the beginning.
pub(crate) fn beginning(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// At most so many columns from the end.
pub(crate) fn end(text: &str, columns: usize) -> String {
    let count = text.chars().count();
    if count <= columns {
        return text.to_owned();
    }
    ['…'].into_iter().chain(text.chars().skip(count - columns.saturating_sub(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_print_is_escaped() {
        assert_eq!(Legible("a\n\u{1b}[2J\u{202e}b").to_string(), "a\\n\\u{1b}[2J\\u{202e}b");
        assert_eq!(OnOneLine("✓ a\n\u{1b}[2J").to_string(), "✓ a\\n\\u{1b}[2J");
        assert_eq!(Legible("it's \"so\" → é\\").to_string(), "it's \"so\" → é\\");
    }

    #[test]
    fn a_long_text_is_shortened() {
        let text = Legible(&"x".repeat(10_000)).to_string();
        assert_eq!(text, format!("{}…", "x".repeat(59)));
        assert_eq!(beginning("abcdef", 6), "abcdef");
        assert_eq!(beginning("abcdefg", 6), "abcde…");
        assert_eq!(end("abcdefg", 6), "…cdefg");
    }
}
