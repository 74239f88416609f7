//! Who leads, by what all members said.

use std::{collections::BTreeSet, fmt};

use fault::{MemberName, Standing};

use super::{EtcdAnswer, EtcdView, MemberId, Silence};

/// What one member said about who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who.
    pub member: MemberName,
    /// What, or why nothing.
    pub says: Result<Claim, Silence>,
}

/// Whom a member takes for the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name, or its number if no member has it; `None` for nobody.
    pub leader: Option<String>,
    /// In which term.
    pub term: u64,
    /// The revision of the member's store.
    pub revision: u64,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = &self.member;
        match &self.says {
            Ok(Claim { leader, term, revision }) => {
                let leader = leader
                    .as_ref()
                    .map_or_else(|| "no leader".to_owned(), |leader| format!("leader {leader}"));
                write!(f, "{member} says {leader} (term {term}, revision {revision})")
            }
            Err(silence) => write!(f, "{member} says nothing: {silence}"),
        }
    }
}

/// Who plays which role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Who leads.
    pub leader: MemberName,
    /// In which term.
    pub term: u64,
    /// Who votes and does not lead, by name.
    pub followers: Vec<MemberName>,
    /// Who does not vote, by name.
    pub learners: Vec<MemberName>,
    /// What every member said, by name.
    pub said: Vec<Said>,
}

/// Why nobody can be said to lead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// Not one member says anything.
    #[error("no member of etcd answers: {}", list(.0))]
    Silent(Vec<Said>),
    /// Nobody knows of a leader: an election, or no majority.
    #[error("etcd has no leader: {}", list(.0))]
    NoLeader(Vec<Said>),
    /// Different leaders are named, or one that denies it.
    #[error("the members of etcd do not agree on who leads: {}", list(.0))]
    Disagreement(Vec<Said>),
    /// The one that is named is no member.
    #[error("the leader {leader} is no member of etcd: {}", list(said))]
    Stranger {
        /// Its number.
        leader: MemberId,
        /// What was said.
        said: Vec<Said>,
    },
    /// Too few follow it to rule out that others follow another.
    #[error(
        "only {votes} of {voters} voters of etcd say in term {term} that {leader} leads: {}",
        list(said)
    )]
    Minority {
        /// Who is named.
        leader: MemberName,
        /// In which term.
        term: u64,
        /// By how many voters.
        votes: usize,
        /// Of how many.
        voters: usize,
        /// What was said.
        said: Vec<Said>,
    },
}

impl EtcdView {
    /// What every member said, by name.
    #[must_use]
    pub fn said(&self) -> Vec<Said> {
        let claim = |answer: &EtcdAnswer| Claim {
            leader: answer.leader.map(|id| {
                self.member(id).map_or_else(|| id.to_string(), |member| member.name.to_string())
            }),
            term: answer.term,
            revision: answer.revision,
        };
        let said = self.members.iter().map(|member| Said {
            member: member.name.clone(),
            says: member.answer.as_ref().map(claim).map_err(Clone::clone),
        });
        said.collect()
    }

    /// Who plays which role.
    ///
    /// The leader is the one that a majority of all voters names in the latest term in which anybody
    /// names one; by the rules of raft no other can commit in that term. A member that names nobody
    /// (cut off, it stands for election in ever later terms) contradicts nobody but itself. Members that
    /// name another, in whatever term, are not outvoted: that is told.
    ///
    /// # Errors
    /// Nobody answers, nobody leads, or it is not known for certain who does.
    pub fn roles(&self) -> Result<Roles, RoleError> {
        let said = self.said();
        let answers: Vec<(Standing, MemberId, &EtcdAnswer)> = self
            .members
            .iter()
            .filter_map(|member| Some((member.standing, member.id, member.answer.as_ref().ok()?)))
            .collect();
        if answers.is_empty() {
            return Err(RoleError::Silent(said));
        }
        let named: BTreeSet<MemberId> =
            answers.iter().filter_map(|(_, _, answer)| answer.leader).collect();
        let leader = match named.first() {
            None => return Err(RoleError::NoLeader(said)),
            Some(_) if named.len() > 1 => return Err(RoleError::Disagreement(said)),
            Some(leader) => *leader,
        };
        let denies = |(_, id, answer): &(Standing, MemberId, &EtcdAnswer)| {
            *id == leader && answer.leader != Some(leader)
        };
        if answers.iter().any(denies) {
            return Err(RoleError::Disagreement(said));
        }
        let Some(member) = self.member(leader) else {
            return Err(RoleError::Stranger { leader, said });
        };
        let terms = answers.iter().filter(|(_, _, answer)| answer.leader.is_some());
        let term = terms.map(|(_, _, answer)| answer.term).max().unwrap_or_default();
        let votes = answers.iter().filter(|(standing, _, answer)| {
            *standing == Standing::Voter && answer.leader.is_some() && answer.term == term
        });
        let (votes, (voters, majority)) = (votes.count(), self.voters());
        if votes < majority {
            let leader = member.name.clone();
            return Err(RoleError::Minority { leader, term, votes, voters, said });
        }
        let others = |standing: Standing| {
            let others = self.members.iter().filter(move |other| other.id != leader);
            let others = others.filter(move |other| other.standing == standing);
            others.map(|other| other.name.clone()).collect()
        };
        Ok(Roles {
            leader: member.name.clone(),
            term,
            followers: others(Standing::Voter),
            learners: others(Standing::Learner),
            said,
        })
    }
}

fn list(said: &[Said]) -> String {
    said.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
