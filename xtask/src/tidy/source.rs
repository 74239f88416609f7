//! Rust source reduced to its code, so that words in comments and strings break no rule.

/// The same text with the contents of comments, strings and character literals turned to blanks.
/// Lines stay where they are.
pub(super) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !after_word(bytes, at) => raw_string_end(bytes, at).unwrap_or(at),
            // b"…", br"…" and c"…": the prefix is code, the quote is met next.
            b'\'' => char_end(bytes, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Only whole literals and comments were blanked, and each begins and ends at an ASCII byte.
    String::from_utf8(code).expect("blanks keep UTF-8 whole")
}

/// Whether `word` occurs in `code` with no letter, digit or underscore beside it.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn after_word(bytes: &[u8], at: usize) -> bool {
    // `br"…"` is a raw string too, so a single b before the r is no word.
    let before = |back: usize| at.checked_sub(back).map(|index| char::from(bytes[index]));
    match before(1) {
        Some('b' | 'c') => before(2).is_some_and(is_word),
        Some(other) => is_word(other),
        None => false,
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut index = at;
    while index < bytes.len() {
        if bytes[index..].starts_with(b"/*") {
            depth += 1;
            index += 2;
        } else if bytes[index..].starts_with(b"*/") {
            depth -= 1;
            index += 2;
            if depth == 0 {
                return index;
            }
        } else {
            index += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut index = at + 1;
    while index < bytes.len() {
        match bytes[index] {
            b'\\' => index += 2,
            b'"' => return index + 1,
            _ => index += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let length = bytes[open + 1..].windows(close.len()).position(|window| window == close);
    Some(length.map_or(bytes.len(), |length| open + 1 + length + close.len()))
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let close = bytes.get(at + 3..)?.iter().position(|byte| *byte == b'\'')?;
        return Some(at + 3 + close + 1);
    }
    // At most four bytes of UTF-8 stand between the quotes; a lifetime has no second quote there
    // but in `'a'`, which is a literal.
    let text = std::str::from_utf8(bytes.get(at + 1..(at + 5).min(bytes.len()))?);
    let valid = match text {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[at + 1..at + 1 + error.valid_up_to()]).ok()?,
    };
    let width = valid.chars().next()?.len_utf8();
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + 1 + width + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let code = code_only("a // unsafe\nb /* x /* unsafe */ y */ c \"un\\\"safe\" d");
        assert!(!code.contains("safe"), "{code}");
        for kept in ["a ", "\nb", " c ", " d"] {
            assert!(code.contains(kept), "{kept:?} in {code:?}");
        }
    }

    #[test]
    fn raw_strings_and_characters_are_blanked() {
        let code = code_only("r#\"unsafe \" \"# x br\"unsafe\" '\"' y '\\'' z '\\u{41}' 'ß' w");
        assert!(!code.contains("unsafe"), "{code}");
        for kept in ["x", "y", "z", "w"] {
            assert!(has_word(&code, kept), "{kept:?} in {code:?}");
        }
    }

    #[test]
    fn lifetimes_are_code() {
        let text = "fn f<'a>(x: &'a str) -> &'a str { unsafe { x } }";
        assert_eq!(code_only(text), text);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
        assert!(!has_word("not_unsafe", "unsafe"));
    }
}
