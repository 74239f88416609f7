//! Shapes of partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{Grudge, GrudgeError};
use crate::MemberName;
use crate::lot::Lots;

/// A shape of a partition.
///
/// Who takes which part in it is drawn from a seed, but for the member that the shape is built around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// One member and all others lose what they send to each other.
    Isolate,
    /// One member loses what all others send to it; they hear it.
    IsolateIn,
    /// All others lose what one member sends to them; it hears them.
    IsolateOut,
    /// Two halves do not hear each other; the smaller one has n/2 members, rounded down. With an even n
    /// neither has a majority.
    Split,
    /// Two halves do not hear each other, but one member of the second hears and is heard by all.
    Bridge,
    /// Each member and a majority hear each other, and no two see the same majority.
    ///
    /// "Majority" is n/2 + 1 of the members, rounded down and the member itself counted: each keeps n/2
    /// neighbours, rounded down, which for an even n makes a majority of half the members and one.
    /// Where n leaves a remainder of 3 by 4, one member keeps one neighbour more: an odd number of
    /// members cannot have an odd number of neighbours each. Links are cut in both directions or not at
    /// all, for any n, since TCP needs both; Jepsen's ring of 3 is one-way, and from 6 members on it
    /// draws the links at random.
    MajoritiesRing,
    /// A minority does not hear the rest and is not heard: the most members that are less than a third,
    /// which a Byzantine quorum survives, but at least one (of 3 members that is a third).
    MinorityThird,
}

impl Preset {
    /// Every shape.
    pub const ALL: [Self; 7] = [
        Self::Isolate,
        Self::IsolateIn,
        Self::IsolateOut,
        Self::Split,
        Self::Bridge,
        Self::MajoritiesRing,
        Self::MinorityThird,
    ];

    /// How many members it takes at least.
    #[must_use]
    pub const fn least(self) -> usize {
        match self {
            Self::Isolate | Self::IsolateIn | Self::IsolateOut | Self::Split => 2,
            Self::Bridge | Self::MajoritiesRing | Self::MinorityThird => 3,
        }
    }

    /// The shape over members. The same members, seed and member in the middle make the same grudge on
    /// every machine.
    ///
    /// `around` names the member that is isolated, stands in the smaller half or in the minority, is
    /// the bridge, or has the one neighbour more; without it the seed says which.
    ///
    /// # Errors
    /// Too few members, or `around` is none of them.
    pub fn grudge(
        self,
        members: BTreeSet<MemberName>,
        around: Option<&MemberName>,
        seed: u64,
    ) -> Result<Grudge, GrudgeError> {
        let found = members.len();
        if found < self.least() {
            return Err(GrudgeError::TooFew { preset: self, least: self.least(), found });
        }
        let mut order: Vec<MemberName> = members.iter().cloned().collect();
        Lots::new(seed).shuffle(&mut order);
        if let Some(middle) = around {
            let place = order.iter().position(|member| member == middle);
            order.swap(0, place.ok_or_else(|| GrudgeError::Stranger(middle.clone()))?);
        }
        let places: BTreeMap<MemberName, usize> =
            order.into_iter().enumerate().map(|(place, member)| (member, place)).collect();
        Ok(Grudge::new(members, |to, from| self.hears(places[to], places[from], found)))
    }

    /// Whether the member at place `to` hears the one at place `from`, of `n` in an order by lot.
    fn hears(self, to: usize, from: usize, n: usize) -> bool {
        let together = |first: usize| (to < first) == (from < first);
        match self {
            Self::Isolate => together(1),
            Self::IsolateIn => to != 0,
            Self::IsolateOut => from != 0,
            Self::Split => together(n / 2),
            Self::Bridge => to == 0 || from == 0 || together(1 + n / 2),
            Self::MajoritiesRing => adjoin(to, from, n),
            Self::MinorityThird => together(((n - 1) / 3).max(1)),
        }
    }
}

/// Whether two places of a ring of `n` see each other: each sees the nearest n/4 on either side and,
/// where n/2 is odd, one across, which makes n/2 neighbours.
///
/// Places are turned by n/2, so that place 0 stands in the middle: there, with an odd n, is the one
/// that has a place across on both sides.
const fn adjoin(one: usize, other: usize, n: usize) -> bool {
    let half = n / 2;
    let apart = ((one + half) % n).abs_diff((other + half) % n);
    let near = apart <= n / 4 || n - apart <= n / 4;
    let across = half % 2 == 1 && apart == half;
    near || across
}

/// A text is no shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no preset '{0}'; there are isolate, isolate-in, isolate-out, split, bridge, \
     majorities-ring and minority-third"
)]
pub struct PresetError(String);

impl FromStr for Preset {
    type Err = PresetError;

    fn from_str(text: &str) -> Result<Self, PresetError> {
        let named = |preset: &Self| preset.name() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| PresetError(text.to_owned()))
    }
}

impl Preset {
    /// Its name, as it is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Isolate => "isolate",
            Self::IsolateIn => "isolate-in",
            Self::IsolateOut => "isolate-out",
            Self::Split => "split",
            Self::Bridge => "bridge",
            Self::MajoritiesRing => "majorities-ring",
            Self::MinorityThird => "minority-third",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Preset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
