//! Paths into values, in the dialect of the original: a path begins with `$`, a filter compares with one
//! `=` and looks at the value itself (`$.list[*][?(@.id = 4)]`), and `or` binds more than `and`.

mod expression;
mod token;
mod tree;

use serde_json::Value;

use tree::Node;

/// How many values a path may find, at any place in it.
const MOST: usize = 100_000;
/// The longest path.
const LONGEST: usize = 4_000;

/// A path that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Path(Node);

/// A path that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A character that stands in no path.
    #[error("character {0} stands in no path")]
    Character(usize),
    /// Something else was expected.
    #[error("{wanted} was expected at character {at}")]
    Expected {
        /// What.
        wanted: &'static str,
        /// Where, from 1.
        at: usize,
    },
    /// A function that does not exist.
    #[error("callable subscript '{0}' not found")]
    Function(String),
    /// Longer than any path.
    #[error("a path has at most {LONGEST} characters")]
    TooLong,
    /// A slice that goes nowhere.
    #[error("a slice with a step of 0")]
    Step,
    /// It finds too much.
    #[error("the path finds more than {MOST} values")]
    TooMany,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(text: &str) -> Result<Self, PathError> {
        if text.chars().count() > LONGEST {
            return Err(PathError::TooLong);
        }
        tree::read(text).map(Self)
    }

    /// What it finds in a value, in order.
    ///
    /// # Errors
    /// If it finds too much, or a slice has no step.
    pub fn matches(&self, value: &Value) -> Result<Vec<Value>, PathError> {
        self.0.matches(value, value)
    }
}
