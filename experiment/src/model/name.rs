//! Names that an experiment gives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name of letters, digits, `-` and `_` that begins with a letter or `_` was expected here, found `{0}`"
)]
pub struct NameError(pub String);

fn checked(text: &str) -> Result<String, NameError> {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let goes_on =
        text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
    if begins && goes_on { Ok(text.to_owned()) } else { Err(NameError(text.to_owned())) }
}

/// What a fault is called in its experiment (`as` of a step of ours).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FaultLabel(String);

/// What the output of a step is called, for `${outputs.NAME}` in later ones (`as` of a step).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputName(String);

macro_rules! name {
    ($type:ident) => {
        impl $type {
            /// The name itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                checked(text).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

impl TryFrom<String> for FaultLabel {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<FaultLabel> for String {
    fn from(label: FaultLabel) -> Self {
        label.0
    }
}

name!(FaultLabel);
name!(OutputName);
