//! Names, which become parts of paths.

use std::{fmt, str::FromStr};

/// The longest name of an object, in bytes (a DNS subdomain, RFC 1123).
const LONGEST: usize = 253;

/// The longest name of a namespace, in bytes (a DNS label, RFC 1123).
const LONGEST_LABEL: usize = 63;

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// The name of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

/// A text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Of an object.
    #[error(
        "the name of an object of Kubernetes has at most {LONGEST} small letters, digits, '-' and '.', and \
         begins and ends with a letter or digit"
    )]
    Object,
    /// Of a namespace.
    #[error(
        "the name of a namespace of Kubernetes has at most {LONGEST_LABEL} small letters, digits and '-', \
         and begins and ends with a letter or digit"
    )]
    Namespace,
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (first, last) = (text.bytes().next(), text.bytes().last());
    first.is_some_and(plain)
        && last.is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
}

impl Name {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Namespace {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = text.len() <= LONGEST && text.split('.').all(is_label);
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::Object) }
    }
}

impl FromStr for Namespace {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = text.len() <= LONGEST_LABEL && is_label(text);
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::Namespace) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_lead_to_another_path_is_no_name() {
        for good in ["web", "web-0", "0", "a.b-c.d", &"a".repeat(253)] {
            assert_eq!(good.parse::<Name>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "a/b", "a b", "a%2fb", "Web", "-a", "a-", "a..b", "a.-b", "é"] {
            assert_eq!(bad.parse::<Name>(), Err(NameError::Object), "{bad}");
            assert_eq!(bad.parse::<Namespace>(), Err(NameError::Namespace), "{bad}");
        }
        assert_eq!("a.b".parse::<Namespace>(), Err(NameError::Namespace));
        assert!("a".repeat(63).parse::<Namespace>().is_ok());
        assert!("a".repeat(64).parse::<Namespace>().is_err());
    }
}
