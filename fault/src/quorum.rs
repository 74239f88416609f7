//! Whether a majority could still talk, under all faults that would be active together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::{Chance, Cut, Group, Link, MemberName, Verdict};

/// What a fault, active or planned, does to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impairment {
    /// What goes over a link is lost, always or by chance.
    Loss {
        /// Which link.
        link: Link,
        /// How much of it.
        chance: Chance,
    },
    /// A member does not run.
    Stop {
        /// Which one.
        member: MemberName,
        /// Why.
        cause: Stop,
    },
}

/// Why a member does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// A fault holds it.
    Frozen,
    /// A fault ended it.
    Killed,
    /// It was not there before any fault.
    Absent,
}

/// A loss from which on a link counts as cut: 10 %.
///
/// Reckoned, not measured: Linux sends a lost segment again after 200 ms and then 400 ms (TCP_RTO_MIN,
/// doubled), so the third loss in a row outlasts etcd's election timeout of 1 s. At 10 % that is one of
/// 1,000 heartbeats, which etcd sends every 100 ms: about every 100 s a leader is lost.
const SEVERING: u64 = Chance::CERTAIN.fraction() / 10;

impl Impairment {
    /// What a cut does to a link; `None` for a shadow, which loses nothing.
    ///
    /// One that selects (a protocol, a port, flows by opener or age) counts as if it lost them all:
    /// whether the group talks over what it selects is not known here.
    #[must_use]
    pub fn of_cut(link: Link, cut: &Cut) -> Option<Self> {
        match cut.verdict {
            Verdict::Drop => Some(Self::Loss { link, chance: cut.loss }),
            Verdict::Count => None,
        }
    }
}

/// A voter, and the voters with which it can talk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// Who could lead.
    pub leader: MemberName,
    /// Which other voters run, hear it and are heard by it.
    pub followers: BTreeSet<MemberName>,
}

impl Contact {
    /// How many they are together.
    #[must_use]
    pub fn count(&self) -> usize {
        self.followers.len() + 1
    }
}

/// A majority that could still talk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// How many members vote.
    pub voters: usize,
    /// How many make a majority.
    pub needed: usize,
    /// The voter with the most others in contact; the first by name of several.
    pub best: Contact,
}

/// No majority could talk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuorumLoss {
    /// How many members vote.
    pub voters: usize,
    /// How many make a majority.
    pub needed: usize,
    /// The voter with the most others in contact; `None` if no voter would run.
    pub best: Option<Contact>,
}

impl Group {
    /// Looks for a voter that could lead a majority: it runs, and has two-way contact with so many other
    /// running voters that they and it are more than half of all voters.
    ///
    /// Directly and in both directions, because Raft relays nothing: votes and entries go straight from
    /// a candidate or leader to each member, and their answers straight back (Ongaro, Ousterhout: In
    /// Search of an Understandable Consensus Algorithm, 2014, 5.2 and 5.3). Not each with each, because
    /// followers need not hear one another; a majorities ring of 5 has no three that do, and can have a
    /// leader.
    ///
    /// Necessary for a group to work, not sufficient: the voter found may lack entries that others have,
    /// and not be elected (Ng, Haridi, Carbone: Omni-Paxos, EuroSys 2023, "constrained election"), and
    /// members that do not hear the leader may disturb it.
    ///
    /// Losses of a link add up, and from 10 % on it counts as cut. Links and stops of strangers and of
    /// learners do not count.
    ///
    /// # Errors
    /// There is no such voter, as in a group without voters.
    pub fn quorum(&self, impairments: &[Impairment]) -> Result<Quorum, QuorumLoss> {
        let all = self.voters();
        let (voters, needed) = (all.len(), all.len() / 2 + 1);
        let mut running = all;
        let mut losses = BTreeMap::<&Link, u64>::new();
        for impairment in impairments {
            match impairment {
                Impairment::Loss { link, chance } => {
                    let sum = losses.entry(link).or_default();
                    *sum = sum.saturating_add(chance.fraction());
                }
                Impairment::Stop { member, cause: Stop::Frozen | Stop::Killed | Stop::Absent } => {
                    running.remove(member);
                }
            }
        }
        let hears = |to: &MemberName, from: &MemberName| {
            let link = Link { from: from.clone(), to: to.clone() };
            losses.get(&link).is_none_or(|loss| *loss < SEVERING)
        };
        let contact = |leader: &MemberName| {
            let others = running.iter().filter(|other| *other != leader);
            let heard = others.filter(|other| hears(leader, other) && hears(other, leader));
            Contact { leader: leader.clone(), followers: heard.cloned().collect() }
        };
        // Of several equals, max_by_key takes the last.
        match running.iter().rev().map(contact).max_by_key(Contact::count) {
            Some(best) if best.count() >= needed => Ok(Quorum { voters, needed, best }),
            best => Err(QuorumLoss { voters, needed, best }),
        }
    }
}

impl fmt::Display for QuorumLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { voters, needed, best } = self;
        let Some(Contact { leader, followers }) = best else {
            return match voters {
                0 => write!(f, "the group has no voters"),
                _ => write!(f, "of {voters} voters {needed} must run, and none would"),
            };
        };
        write!(f, "of {voters} voters {needed} must be able to talk with one of them; at best ")?;
        write!(f, "{leader} would, with ")?;
        if followers.is_empty() {
            return write!(f, "nobody");
        }
        for (number, follower) in followers.iter().enumerate() {
            write!(f, "{}{follower}", if number == 0 { "" } else { ", " })?;
        }
        write!(f, ", which makes {}", followers.len() + 1)
    }
}

impl std::error::Error for QuorumLoss {}

#[cfg(test)]
mod tests;
