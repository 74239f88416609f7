//! A grudge as a table for people.

use std::fmt;

use super::Grudge;
use crate::Link;

/// Prints a row for each member that sends, a column for each that receives.
///
/// Columns are headed by numbers and names stand at the end of the rows, so that long names make
/// no wide table.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a>(&'a Grudge);

impl<'a> Matrix<'a> {
    pub(super) const fn new(grudge: &'a Grudge) -> Self {
        Self(grudge)
    }
}

const CORNER: &str = "FROM\\TO";

impl fmt::Display for Matrix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grudge { members, cuts } = self.0;
        let (corner, column) = (CORNER.len(), members.len().to_string().len() + 1);
        write!(f, "{CORNER}")?;
        (1..=members.len()).try_for_each(|number| write!(f, "{number:>column$}"))?;
        for (row, from) in members.iter().enumerate() {
            write!(f, "\n{:>corner$}", row + 1)?;
            for to in members {
                let cell = if from == to {
                    '-'
                } else if cuts.contains(&Link { from: from.clone(), to: to.clone() }) {
                    'x'
                } else {
                    '.'
                };
                write!(f, "{cell:>column$}")?;
            }
            write!(f, "  {from}")?;
        }
        write!(f, "\nx is lost, . passes")
    }
}
