//! `[names]`: words that stand for selectors.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use fault::{Legible, NodeName, Pick, Selector, SelectorError};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::value::Several;

/// Words that a selector begins with; those of the design that are yet to come are kept free, too.
const SCHEMES: [&str; 9] =
    ["netns", "pid", "container", "pod", "host", "addr", "etcd", "zeebe", "k8s"];

/// A word that stands for selectors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StaticName(String);

/// A word cannot stand for selectors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaticNameError {
    /// Not made of the letters of a name.
    #[error("{}: a name has 1 to 253 letters, digits, '.', '_' and '-'", Legible(.0))]
    Form(String),
    /// A scheme.
    #[error("{0}: a scheme of selectors cannot be a name")]
    Scheme(String),
    /// A pick.
    #[error("{0}: a word that picks among matches cannot be a name")]
    Pick(String),
}

impl StaticName {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StaticName {
    type Err = StaticNameError;

    fn from_str(text: &str) -> Result<Self, StaticNameError> {
        if NodeName::new(text).is_none() {
            return Err(StaticNameError::Form(text.to_owned()));
        }
        if SCHEMES.contains(&text) {
            return Err(StaticNameError::Scheme(text.to_owned()));
        }
        match Pick::parse(text) {
            Some(_) => Err(StaticNameError::Pick(text.to_owned())),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for StaticName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What each name stands for, at least one selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<StaticName, Vec<Selector>>);

impl Names {
    /// What a name stands for; `None` for one that is not given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[Selector]> {
        self.0.iter().find(|(known, _)| known.as_str() == name).map(|(_, all)| all.as_slice())
    }

    /// All names in order, and what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (&StaticName, &[Selector])> {
        self.0.iter().map(|(name, selectors)| (name, selectors.as_slice()))
    }
}

impl FromIterator<(StaticName, Vec<Selector>)> for Names {
    fn from_iter<I: IntoIterator<Item = (StaticName, Vec<Selector>)>>(names: I) -> Self {
        Self(names.into_iter().filter(|(_, selectors)| !selectors.is_empty()).collect())
    }
}

/// A selector whose error is one line: the file's line is told beside it.
struct Written(Selector);

impl FromStr for Written {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let selector: Result<Selector, SelectorError> = text.parse();
        selector.map(Self).map_err(|error| format!("'{}': {}", Legible(text), error.kind))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    let name: StaticName = key.parse().map_err(A::Error::custom)?;
                    let written = map.next_value_seed(Several::<Written> {
                        begin: format!("{name}: "),
                        expected: "a selector in quotes",
                        kind: PhantomData,
                    })?;
                    names.insert(name, written.into_iter().map(|written| written.0).collect());
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_map(Table)
    }
}
