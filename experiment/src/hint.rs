//! What to do about an error: it stands behind it, on a line of its own.

/// What stands between an error and what to do about it.
pub const MARK: &str = "\n  hint: ";

/// An error, and what to do about it where that stands behind it.
#[must_use]
pub fn apart(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(MARK) {
        Some((error, hint)) => (error, Some(hint)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_so_is_the_hint() {
        assert_eq!(apart("no"), ("no", None));
        assert_eq!(apart("no\n  hint: do"), ("no", Some("do")));
        assert_eq!(apart("a\n  hint: b\n  hint: c"), ("a\n  hint: b", Some("c")));
    }
}
