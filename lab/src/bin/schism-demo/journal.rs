//! What raft wrote into the members' logs since a moment.
//!
//! `raftTerm` of etcd 3.4's status is the term of the last entry that was applied, so a member that
//! stands for election in vain shows it in its log only.

use anyhow::Result;
use lab::etcd::Cluster;

/// Where the members' logs ended at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    ends: Vec<usize>,
}

impl Journal {
    /// From now on.
    pub(crate) fn open(cluster: &Cluster) -> Result<Self> {
        let ends = (0..cluster.size()).map(|member| Ok(cluster.log(member)?.len()));
        Ok(Self { ends: ends.collect::<Result<_>>()? })
    }

    /// The terms for which a member stood for election.
    pub(crate) fn candidacies(&self, cluster: &Cluster, member: usize) -> Result<Vec<u64>> {
        Ok(candidacies(&self.read(cluster, member)?))
    }

    /// Whether a leader gave up because too few answered it.
    pub(crate) fn missed_quorum(&self, cluster: &Cluster, member: usize) -> Result<bool> {
        Ok(self.read(cluster, member)?.contains("since quorum is not active"))
    }

    fn read(&self, cluster: &Cluster, member: usize) -> Result<String> {
        let log = cluster.log(member)?;
        Ok(log.get(self.ends[member]..).unwrap_or_default().to_owned())
    }
}

fn candidacies(log: &str) -> Vec<u64> {
    let terms = log.split("became candidate at term ").skip(1);
    terms
        .filter_map(|rest| {
            let end = rest.find(|next: char| !next.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_from_the_log() {
        let log = "{\"msg\":\"bc9f became candidate at term 3\"}\n{\"msg\":\"x\"}\n\
                   {\"msg\":\"bc9f became candidate at term 14\"}\n";
        assert_eq!(candidacies(log), [3, 14]);
        assert_eq!(candidacies("nothing"), Vec::<u64>::new());
    }
}
