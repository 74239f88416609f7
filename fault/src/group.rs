//! Members that stand together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The name by which a group knows one of its members.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(String);

impl MemberName {
    /// Takes a name of letters, digits, `.`, `_` and `-`, at most 253 bytes; `None` for anything else.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        (!name.is_empty() && name.len() <= 253 && name.chars().all(fits))
            .then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text names no member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a member's name has 1 to 253 letters, digits, '.', '_' and '-'")]
pub struct MemberNameError;

impl FromStr for MemberName {
    type Err = MemberNameError;

    fn from_str(text: &str) -> Result<Self, MemberNameError> {
        Self::new(text).ok_or(MemberNameError)
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for MemberName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What a member's voice counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It counts for majorities, and the member can lead.
    Voter,
    /// It does not: a learner of etcd, an observer.
    Learner,
}

/// The members of a group, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Group(BTreeMap<MemberName, Standing>);

/// Members that make no group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Two members of one name: which one is meant could not be told.
    #[error("two members are named {0}")]
    NamedTwice(MemberName),
}

impl Group {
    /// Takes members in any order.
    ///
    /// # Errors
    /// Two members of one name.
    pub fn new(
        members: impl IntoIterator<Item = (MemberName, Standing)>,
    ) -> Result<Self, GroupError> {
        let mut group = BTreeMap::new();
        for (name, standing) in members {
            if group.contains_key(&name) {
                return Err(GroupError::NamedTwice(name));
            }
            group.insert(name, standing);
        }
        Ok(Self(group))
    }

    /// All members.
    #[must_use]
    pub fn names(&self) -> BTreeSet<MemberName> {
        self.0.keys().cloned().collect()
    }

    /// Those that vote.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<MemberName> {
        let votes = |standing: &Standing| match standing {
            Standing::Voter => true,
            Standing::Learner => false,
        };
        self.0
            .iter()
            .filter(|(_, standing)| votes(standing))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// One direction between two members: what `from` sends to `to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Link {
    /// Who sends.
    pub from: MemberName,
    /// Who would receive it.
    pub to: MemberName,
}

impl Link {
    /// The other direction.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { from: self.to.clone(), to: self.from.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> MemberName {
        text.parse().unwrap()
    }

    #[test]
    fn names() {
        for good in ["default", "etcd-0", "etcd-0.etcd.default.svc", "m_1", "0"] {
            assert_eq!(
                good.parse::<MemberName>().map(|name| name.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in ["", "a b", "a/b", "a@b", "a:b", "é", &"a".repeat(254)] {
            assert_eq!(bad.parse::<MemberName>(), Err(MemberNameError), "{bad}");
        }
    }

    #[test]
    fn a_group_is_sorted_and_has_each_name_once() {
        let members = [("c", Standing::Voter), ("a", Standing::Learner), ("b", Standing::Voter)];
        let group = Group::new(members.map(|(text, standing)| (name(text), standing))).unwrap();
        assert_eq!(group.names().into_iter().collect::<Vec<_>>(), ["a", "b", "c"].map(name));
        assert_eq!(group.voters().into_iter().collect::<Vec<_>>(), ["b", "c"].map(name));
        let twice = [(name("a"), Standing::Voter), (name("a"), Standing::Learner)];
        assert_eq!(Group::new(twice), Err(GroupError::NamedTwice(name("a"))));
    }
}
