//! Who does not hear whom: partitions of a group as sets of one-way cuts.
//!
//! The word and the shapes are those of Jepsen's nemeses (jepsen.nemesis, jepsen.nemesis.combined);
//! where a shape differs, its variant of [`Preset`] says so.

mod matrix;
mod preset;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{Link, MemberName};

pub use matrix::Matrix;
pub use preset::{Preset, PresetError};

/// The links between members that are to be cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grudge {
    members: BTreeSet<MemberName>,
    cuts: BTreeSet<Link>,
}

/// No grudge over these members.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrudgeError {
    /// The shape does not exist with so few.
    #[error("{preset} needs {least} members, and there are {found}")]
    TooFew {
        /// The shape.
        preset: Preset,
        /// How many it needs.
        least: usize,
        /// How many there are.
        found: usize,
    },
    /// The member that the shape was to be built around is none of them.
    #[error("{0} is none of the members")]
    Stranger(MemberName),
}

impl Grudge {
    /// Members of whom each loses what those send whom it does not hear; nobody loses its own.
    fn new(
        members: BTreeSet<MemberName>,
        hears: impl Fn(&MemberName, &MemberName) -> bool,
    ) -> Self {
        let mut cuts = BTreeSet::new();
        for to in &members {
            for from in members.iter().filter(|from| *from != to && !hears(to, from)) {
                cuts.insert(Link { from: from.clone(), to: to.clone() });
            }
        }
        Self { members, cuts }
    }

    /// All members, also those that lose nothing.
    #[must_use]
    pub const fn members(&self) -> &BTreeSet<MemberName> {
        &self.members
    }

    /// The links that are cut, one for each direction; sorted by FROM, then TO.
    #[must_use]
    pub const fn cuts(&self) -> &BTreeSet<Link> {
        &self.cuts
    }

    /// The table of who loses what.
    #[must_use]
    pub const fn matrix(&self) -> Matrix<'_> {
        Matrix::new(self)
    }
}

#[cfg(test)]
mod tests;
