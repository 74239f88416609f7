//! Who leads a partition, and who follows. Pure.

use fault::PartitionNumber;
use zeebe::{NodeId, PartitionId, RaftRole};

use super::{ZeebeView, view};

/// Why it is not known who leads a partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// There is none of this number.
    #[error("Zeebe has no partition {partition}; it has 1 to {count}")]
    NoSuchPartition {
        /// Which was asked for.
        partition: PartitionNumber,
        /// How many there are.
        count: u32,
    },
    /// Nobody says that it leads.
    #[error("no broker leads partition {partition}: {}", said.join("; "))]
    NoLeader {
        /// Which.
        partition: PartitionNumber,
        /// Who said what.
        said: Vec<String>,
    },
    /// Two say that they lead, or one that does not answer is said to.
    #[error("it is not certain who leads partition {partition}: {}", said.join("; "))]
    Disagreement {
        /// Which.
        partition: PartitionNumber,
        /// Who said what.
        said: Vec<String>,
    },
    /// One says that it leads, and those who are silent may know of another: too few answer, or no gateway
    /// has heard the same.
    #[error(
        "whether broker-{leader} leads partition {partition} is not known, as only {answers} of \
         {replicas} of its brokers answer: {}", said.join("; ")
    )]
    Minority {
        /// Which.
        partition: PartitionNumber,
        /// Who says that it leads.
        leader: NodeId,
        /// How many answer.
        answers: usize,
        /// How many have the partition.
        replicas: usize,
        /// Who said what.
        said: Vec<String>,
    },
}

/// Who plays which role for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Who leads.
    pub leader: NodeId,
    /// Who says that it follows.
    pub followers: Vec<NodeId>,
    /// Who said what.
    pub said: Vec<String>,
}

impl ZeebeView {
    /// Who leads a partition, if one broker says so, none contradicts, and a majority of those that have it
    /// answer: an old leader that is cut off goes on leading by its own word for up to 5 s.
    ///
    /// A majority alone does not make it certain where one is silent: the old leader and a follower may answer,
    /// and the new leader be the silent one. Then every gateway that answers, and at least one, must have
    /// heard the same. What they have heard may be old, so even then it is wrong for as long as gossip is
    /// behind a change of leaders, and that is said.
    ///
    /// A gateway that has heard of another leader, which itself says that it is none, is behind: that is
    /// evidence, no contradiction.
    ///
    /// # Errors
    /// It is not so.
    pub fn roles(&self, number: PartitionNumber) -> Result<Roles, RoleError> {
        let absent = || RoleError::NoSuchPartition { partition: number, count: self.partitions };
        let partition = view::partition_id(number).ok_or_else(absent)?;
        if number.get() > self.partitions {
            return Err(absent());
        }
        let said = self.said(partition);
        let answers: Vec<(NodeId, RaftRole)> = self
            .brokers
            .iter()
            .filter_map(|(id, broker)| {
                let own = broker.answer.as_ref().ok()?.get(&partition)?;
                Some((*id, own.role))
            })
            .collect();
        let of = |wanted: RaftRole| {
            answers.iter().filter(move |(_, role)| *role == wanted).map(|(id, _)| *id)
        };
        let leaders: Vec<NodeId> = of(RaftRole::Leader).collect();
        let leader = match leaders[..] {
            [] => return Err(RoleError::NoLeader { partition: number, said }),
            [one] => one,
            _ => return Err(RoleError::Disagreement { partition: number, said }),
        };
        if self.others_heard(leader, partition) {
            return Err(RoleError::Disagreement { partition: number, said });
        }
        let replicas = self.brokers.keys().filter(|id| self.has(**id, partition)).count();
        let all_answer = answers.len() == replicas;
        let majority = answers.len() > replicas / 2;
        let certain = all_answer || (majority && self.all_heard(leader, partition));
        if !certain {
            let answers = answers.len();
            return Err(RoleError::Minority { partition: number, leader, answers, replicas, said });
        }
        let mut said = said;
        if !all_answer {
            said.push(format!(
                "whoever is silent may lead since, as gateways may be behind: broker-{leader} is taken \
                 at its word and theirs"
            ));
        }
        Ok(Roles { leader, followers: of(RaftRole::Follower).collect(), said })
    }

    /// Whether at least one gateway answers, and each that does takes this one for the leader.
    fn all_heard(&self, leader: NodeId, partition: PartitionId) -> bool {
        let told = self.gateways.iter().filter_map(|gateway| gateway.answer.as_ref().ok());
        let mut heard = told.map(|topology| view::heard(topology, partition)).peekable();
        heard.peek().is_some() && heard.all(|one| one == Some(leader))
    }

    /// Whether a gateway takes somebody for the leader who is not this one and cannot be asked.
    fn others_heard(&self, leader: NodeId, partition: PartitionId) -> bool {
        let topologies = self.gateways.iter().filter_map(|gateway| gateway.answer.as_ref().ok());
        let mut heard = topologies.filter_map(|topology| view::heard(topology, partition));
        heard.any(|other| {
            other != leader && self.brokers.get(&other).is_none_or(|broker| broker.answer.is_err())
        })
    }
}

#[cfg(test)]
mod tests;
