//! What the members of a cluster said, all of them, at about the same time.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use fault::{Group, GroupError, MemberName, Standing};

use super::Silence;

/// A member's number, printed in hexadecimal as by etcdctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// A cluster's number, printed in hexadecimal as by etcdctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A cluster as its members told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdView {
    /// Which.
    pub cluster: ClusterId,
    /// All of them, whether they answered or not, by name; no two have the same.
    pub members: Vec<EtcdMember>,
}

/// A member, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdMember {
    /// Its name, or its number where it has none that can be used: before its first start.
    pub name: MemberName,
    /// Its number.
    pub id: MemberId,
    /// Whether it votes.
    pub standing: Standing,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Where both lead, by the names that this machine resolves.
    pub addresses: BTreeSet<IpAddr>,
    /// Of each URL that leads nowhere in particular, why.
    pub astray: Vec<String>,
    /// What it said about itself.
    pub answer: Result<EtcdAnswer, Silence>,
}

/// What a member says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtcdAnswer {
    /// Whom it follows; itself, if it leads; `None` if it knows of no leader.
    pub leader: Option<MemberId>,
    /// Its raft term.
    pub term: u64,
    /// The revision of its store.
    pub revision: u64,
    /// The last entry of its raft log.
    pub raft_index: u64,
    /// Whether it takes itself for a voter.
    pub standing: Standing,
}

impl EtcdView {
    /// Everybody who counts, for the guard of majorities. Who did not answer counts as well.
    ///
    /// # Errors
    /// Two members of one name, which no view that was asked for has.
    pub fn group(&self) -> Result<Group, GroupError> {
        Group::new(self.members.iter().map(|member| (member.name.clone(), member.standing)))
    }

    /// The member of this number.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<&EtcdMember> {
        self.members.iter().find(|member| member.id == id)
    }

    /// How many votes there are, and how many of them decide.
    pub(super) fn voters(&self) -> (usize, usize) {
        let votes = |member: &&EtcdMember| match member.standing {
            Standing::Voter => true,
            Standing::Learner => false,
        };
        let voters = self.members.iter().filter(votes).count();
        (voters, voters / 2 + 1)
    }
}
