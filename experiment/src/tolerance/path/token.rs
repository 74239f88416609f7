//! The words of a path.

use serde_json::Value;

use super::PathError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// One or two signs, or a word with a meaning.
    Sign(&'static str),
    /// A name.
    Name(String),
    /// Text as it stands between its quotes.
    Text(String),
    /// A number as it is written.
    Number(String),
}

const SIGNS: &[&str] = &[
    "..", ">=", "<=", "!=", "@", "$", ".", "*", "=", ">", "<", "{", "}", "[", "]", ":", ",", "(",
    ")", "?",
];
const WORDS: &[&str] = &["and", "not", "or", "true", "false", "null"];

/// The words of a path, each with its place from 1.
pub(super) fn split(text: &str) -> Result<Vec<(usize, Token)>, PathError> {
    let letters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(letter) = letters.get(at) {
        if letter.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let rest = &letters[at..];
        let (token, length) = token(rest).ok_or(PathError::Character(at + 1))?;
        tokens.push((at + 1, token));
        at += length;
    }
    Ok(tokens)
}

fn token(rest: &[char]) -> Option<(Token, usize)> {
    let sign = SIGNS.iter().find(|sign| rest.starts_with(&sign.chars().collect::<Vec<_>>()));
    if let Some(sign) = sign {
        return Some((Token::Sign(sign), sign.len()));
    }
    match rest.first()? {
        '"' => text(rest),
        '_' | 'a'..='z' | 'A'..='Z' => {
            let is_part = |letter: &&char| letter.is_ascii_alphanumeric() || **letter == '_';
            let name: String = rest.iter().take_while(is_part).collect();
            let length = name.len();
            let token = WORDS.iter().find(|word| **word == name).map(|word| Token::Sign(word));
            Some((token.unwrap_or(Token::Name(name)), length))
        }
        '-' | '0'..='9' => number(rest),
        _ => None,
    }
}

fn text(rest: &[char]) -> Option<(Token, usize)> {
    let mut escaped = false;
    for (index, letter) in rest.iter().enumerate().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some((Token::Text(rest[1..index].iter().collect()), index + 1)),
            _ => (),
        }
    }
    None
}

/// The longest number that begins here.
fn number(rest: &[char]) -> Option<(Token, usize)> {
    let is_part = |letter: &&char| matches!(letter, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
    let mut digits: String = rest.iter().take_while(is_part).collect();
    while !digits.is_empty() && !matches!(serde_json::from_str(&digits), Ok(Value::Number(_))) {
        digits.pop();
    }
    let length = digits.len();
    (length > 0).then_some((Token::Number(digits), length))
}
