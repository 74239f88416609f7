//! A side of a cut as it is typed: a selector, or a name that stands for selectors.

use std::fmt;
use std::str::FromStr;

use fault::{Legible, Selector, SelectorError, SelectorErrorKind};

use crate::settings::{Names, StaticName};

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A selector.
    Selector(Selector),
    /// A word that may be a name of `schism.toml`.
    Name(StaticName),
}

/// A word that is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no selector, and schism.toml gives no such name", Legible(.0.as_str()))]
pub struct NamedError(StaticName);

impl NamedError {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        let meant = fault::likeliest(self.0.as_str());
        format!("did you mean {meant}? [names] in schism.toml gives names")
    }
}

impl FromStr for Named {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let error = match text.parse() {
            Ok(selector) => return Ok(Self::Selector(selector)),
            Err(error) => error,
        };
        match (&error, text.parse()) {
            (SelectorError { kind: SelectorErrorKind::NoScheme(_), .. }, Ok(name)) => {
                Ok(Self::Name(name))
            }
            _ => Err(error),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Selector(selector) => selector.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Named {
    /// The selectors that are meant, at least one.
    ///
    /// # Errors
    /// A word that is not among the names.
    pub fn stands_for(&self, names: &Names) -> Result<Vec<Selector>, NamedError> {
        match self {
            Self::Selector(selector) => Ok(vec![selector.clone()]),
            Self::Name(name) => {
                let known = names.get(name.as_str()).map(<[Selector]>::to_vec);
                known.ok_or_else(|| NamedError(name.clone()))
            }
        }
    }
}
