//! Labels, in the words of `kubectl -l`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::Legible;

/// The longest name or value, in bytes.
const LONGEST: usize = 63;

/// The longest prefix of a key, in bytes.
const LONGEST_PREFIX: usize = 253;

/// What is said of labels, all of which must be so; at least one thing. Printing and parsing are inverse to each
/// other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelSelector(Vec<LabelRequirement>);

/// What is said of one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelRequirement {
    /// Which.
    pub key: LabelKey,
    /// What of it.
    pub test: LabelTest,
}

/// What may be said of a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LabelTest {
    /// `KEY`: it is there.
    Exists,
    /// `!KEY`: it is not there.
    Absent,
    /// `KEY=VALUE`: it is there with this value.
    Equals(LabelValue),
    /// `KEY!=VALUE`: it is not there, or has another value.
    Differs(LabelValue),
    /// `KEY in (A,B)`: it is there with one of these values.
    In(BTreeSet<LabelValue>),
    /// `KEY notin (A,B)`: it is not there, or has none of these values.
    NotIn(BTreeSet<LabelValue>),
    /// `KEY>NUMBER`: it is there, and a greater number.
    Above(u64),
    /// `KEY<NUMBER`: it is there, and a smaller number.
    Below(u64),
}

/// The key of a label: `[PREFIX/]NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelKey(String);

/// The value of a label; may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelValue(String);

/// A text says nothing of labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Nothing where a label should stand.
    #[error("a label is missing, such as app=web")]
    Missing,
    /// No key.
    #[error(
        "'{}' is no key of a label: that has at most 63 letters, digits, '-', '_' and '.', after a domain and \
         '/' or alone",
        Legible(.0)
    )]
    Key(String),
    /// No value.
    #[error(
        "'{}' is no value of a label: that has at most 63 letters, digits, '-', '_' and '.'", Legible(.0)
    )]
    Value(String),
    /// No number.
    #[error("'{}' is no number, which '<' and '>' compare with", Legible(.0))]
    Number(String),
    /// Something that does not follow a key.
    #[error(
        "after a label's key there may be =, !=, in (A,B), notin (A,B), < and >, not '{}'", Legible(.0)
    )]
    Operator(String),
    /// No values in parentheses; `()` is the empty value, as kubectl has it.
    #[error("after in and notin there are values in parentheses, such as in (a,b)")]
    Values,
    /// Something that follows no comma.
    #[error("a comma is missing before '{}'", Legible(.0))]
    Comma(String),
}

impl LabelSelector {
    /// Takes what is said of labels; `None` for nothing.
    #[must_use]
    pub fn new(requirements: Vec<LabelRequirement>) -> Option<Self> {
        (!requirements.is_empty()).then_some(Self(requirements))
    }

    /// All that is said.
    #[must_use]
    pub fn requirements(&self) -> &[LabelRequirement] {
        &self.0
    }

    /// Whether it selects what has these labels, as the API server would.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|one| one.test.holds(labels.get(one.key.as_str()).map(String::as_str)))
    }
}

impl LabelTest {
    /// Whether it holds of a label with this value, or of one that is not there.
    fn holds(&self, value: Option<&str>) -> bool {
        let is = |wanted: &LabelValue| value == Some(wanted.as_str());
        let number = || value.and_then(|value| value.parse::<u64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::Equals(wanted) => is(wanted),
            Self::Differs(other) => !is(other),
            Self::In(wanted) => wanted.iter().any(is),
            Self::NotIn(others) => !others.iter().any(is),
            Self::Above(least) => number().is_some_and(|number| number > *least),
            Self::Below(most) => number().is_some_and(|number| number < *most),
        }
    }
}

/// A word or a sign of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Sign(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Sign(text) => text,
        }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let is_sign = |c: char| matches!(c, '!' | '=' | '(' | ')' | ',' | '<' | '>');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_sign(first) {
            let twice = ["==", "!="].iter().any(|sign| rest.starts_with(sign));
            if twice { 2 } else { 1 }
        } else {
            rest.find(|c: char| is_sign(c) || c.is_whitespace()).unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(length);
        tokens.push(if is_sign(first) { Token::Sign(token) } else { Token::Word(token) });
        rest = after.trim_start();
    }
    tokens
}

impl FromStr for LabelSelector {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let tokens = tokens(text);
        let mut rest = tokens.as_slice();
        let mut requirements = Vec::new();
        loop {
            requirements.push(requirement(&mut rest)?);
            match rest {
                [] => return Ok(Self(requirements)),
                [Token::Sign(","), after @ ..] => rest = after,
                [other, ..] => return Err(LabelError::Comma(other.text().to_owned())),
            }
        }
    }
}

fn requirement(rest: &mut &[Token<'_>]) -> Result<LabelRequirement, LabelError> {
    let (key, absent) = match *rest {
        [Token::Sign("!"), Token::Word(key), after @ ..] => {
            *rest = after;
            (*key, true)
        }
        [Token::Word(key), after @ ..] => {
            *rest = after;
            (*key, false)
        }
        [Token::Sign(","), ..] | [Token::Sign("!")] | [] => return Err(LabelError::Missing),
        [other, ..] => return Err(LabelError::Key(other.text().to_owned())),
    };
    let key: LabelKey = key.parse()?;
    if absent {
        return Ok(LabelRequirement { key, test: LabelTest::Absent });
    }
    let test = match *rest {
        [] | [Token::Sign(","), ..] => LabelTest::Exists,
        [Token::Sign("=" | "=="), after @ ..] => {
            *rest = after;
            LabelTest::Equals(word(rest).parse()?)
        }
        [Token::Sign("!="), after @ ..] => {
            *rest = after;
            LabelTest::Differs(word(rest).parse()?)
        }
        [Token::Sign(sign @ ("<" | ">")), after @ ..] => {
            *rest = after;
            let number = word(rest);
            let found = number.parse().ok().filter(|found: &u64| found.to_string() == number);
            let found = found.ok_or_else(|| LabelError::Number(number.to_owned()))?;
            if *sign == "<" { LabelTest::Below(found) } else { LabelTest::Above(found) }
        }
        [Token::Word("in"), after @ ..] => {
            *rest = after;
            LabelTest::In(values(rest)?)
        }
        [Token::Word("notin"), after @ ..] => {
            *rest = after;
            LabelTest::NotIn(values(rest)?)
        }
        [other, ..] => return Err(LabelError::Operator(other.text().to_owned())),
    };
    Ok(LabelRequirement { key, test })
}

/// The word that stands next, or none: an empty value.
fn word<'a>(rest: &mut &[Token<'a>]) -> &'a str {
    match *rest {
        [Token::Word(word), after @ ..] => {
            *rest = after;
            word
        }
        _ => "",
    }
}

fn values(rest: &mut &[Token<'_>]) -> Result<BTreeSet<LabelValue>, LabelError> {
    let [Token::Sign("("), after @ ..] = *rest else { return Err(LabelError::Values) };
    *rest = after;
    let mut values = BTreeSet::new();
    loop {
        values.insert(word(rest).parse()?);
        match *rest {
            [Token::Sign(","), after @ ..] => *rest = after,
            [Token::Sign(")"), after @ ..] => {
                *rest = after;
                return Ok(values);
            }
            _ => return Err(LabelError::Values),
        }
    }
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let (first, last) = (text.bytes().next(), text.bytes().last());
    text.len() <= LONGEST
        && first.is_some_and(plain)
        && last.is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'_' | b'.'))
}

impl LabelKey {
    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl LabelValue {
    /// The value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelKey {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let fits = match text.split_once('/') {
            Some((prefix, name)) => {
                let domain =
                    prefix.len() <= LONGEST_PREFIX && prefix.split('.').all(super::is_subdomain);
                domain && is_word(name)
            }
            None => is_word(text),
        };
        if fits { Ok(Self(text.to_owned())) } else { Err(LabelError::Key(text.to_owned())) }
    }
}

impl FromStr for LabelValue {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let fits = text.is_empty() || is_word(text);
        if fits { Ok(Self(text.to_owned())) } else { Err(LabelError::Value(text.to_owned())) }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join(","))
    }
}

impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, test } = self;
        let list = |values: &BTreeSet<LabelValue>| {
            values.iter().map(LabelValue::as_str).collect::<Vec<_>>().join(",")
        };
        match test {
            LabelTest::Exists => write!(f, "{key}"),
            LabelTest::Absent => write!(f, "!{key}"),
            LabelTest::Equals(value) => write!(f, "{key}={value}"),
            LabelTest::Differs(value) => write!(f, "{key}!={value}"),
            LabelTest::In(values) => write!(f, "{key} in ({})", list(values)),
            LabelTest::NotIn(values) => write!(f, "{key} notin ({})", list(values)),
            LabelTest::Above(number) => write!(f, "{key}>{number}"),
            LabelTest::Below(number) => write!(f, "{key}<{number}"),
        }
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_selected_as_the_api_server_does() {
        let labels = [("app", "etcd"), ("tier", ""), ("n", "7")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let table = [
            ("app=etcd", true),
            ("app=etcd,tier=", true),
            ("app=etcd,tier=db", false),
            ("app!=etcd", false),
            ("old!=etcd", true),
            ("app in (a,etcd)", true),
            ("old in (a)", false),
            ("app notin (a)", true),
            ("old notin (a)", true),
            ("app notin (etcd)", false),
            ("app,!old", true),
            ("!app", false),
            ("n>6,n<8", true),
            ("n>7", false),
            ("app>1", false),
            ("old<1", false),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<LabelSelector>().unwrap().selects(&labels), expected, "{text}");
        }
    }

    #[test]
    fn the_words_of_kubectl() {
        let table = [
            ("app=web", "app=web"),
            ("app==web", "app=web"),
            (" app = web , tier != db ", "app=web,tier!=db"),
            ("app", "app"),
            ("!app", "!app"),
            ("! app", "!app"),
            ("app in (b, a,a)", "app in (a,b)"),
            ("app notin(a)", "app notin (a)"),
            ("app in (a,)", "app in (,a)"),
            ("app in ()", "app in ()"),
            ("app=", "app="),
            ("app=,x", "app=,x"),
            ("app!=", "app!="),
            ("n>3,n<10", "n>3,n<10"),
            ("app.kubernetes.io/name=zeebe", "app.kubernetes.io/name=zeebe"),
            ("in in (in),notin", "in in (in),notin"),
            ("A_b.C-d=E_f.G-h", "A_b.C-d=E_f.G-h"),
        ];
        for (text, printed) in table {
            let selector: LabelSelector = text.parse().unwrap();
            assert_eq!(selector.to_string(), printed, "{text}");
            assert_eq!(printed.parse(), Ok(selector), "{text}");
        }
    }

    #[test]
    fn what_says_nothing_of_labels_is_refused() {
        let owned = str::to_owned;
        let table = [
            ("", LabelError::Missing),
            ("app=web,", LabelError::Missing),
            (",app", LabelError::Missing),
            ("!", LabelError::Missing),
            ("=web", LabelError::Key(owned("="))),
            ("-app", LabelError::Key(owned("-app"))),
            ("a/b/c", LabelError::Key(owned("a/b/c"))),
            ("/name=x", LabelError::Key(owned("/name"))),
            ("app=we%b", LabelError::Value(owned("we%b"))),
            ("app=a=b", LabelError::Comma(owned("="))),
            ("app=a b", LabelError::Comma(owned("b"))),
            ("app web", LabelError::Operator(owned("web"))),
            ("app()", LabelError::Operator(owned("("))),
            ("!app=web", LabelError::Comma(owned("="))),
            ("app in", LabelError::Values),
            ("app in (a", LabelError::Values),
            ("app in (a b)", LabelError::Values),
            ("app in a", LabelError::Values),
            ("n>x", LabelError::Number(owned("x"))),
            ("n<-1", LabelError::Number(owned("-1"))),
            ("n<01", LabelError::Number(owned("01"))),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<LabelSelector>(), Err(error), "{text}");
        }
        let long = "a".repeat(64);
        assert!(matches!(long.parse::<LabelSelector>(), Err(LabelError::Key(_))));
    }
}
