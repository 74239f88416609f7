//! What etcd's members count of their talk with each other, and who opened its connections.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use lab::{
    clock::BootTime,
    etcd::{Cluster, Metrics, PEER_PORT, Status},
    topology::Node,
};

use crate::quantity::bytes;

/// The counters of all members at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Census {
    /// When.
    pub(crate) at: BootTime,
    members: Vec<(Status, Metrics)>,
}

/// What one member counts of what it sent to another, and what that one counts of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    /// Bytes of messages that the sender wrote into its connections.
    pub(crate) sent: f64,
    /// Bytes of messages that the receiver read.
    pub(crate) received: f64,
}

impl fmt::Display for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} written, {} read", bytes(self.sent), bytes(self.received))
    }
}

impl Census {
    /// Asks all members.
    pub(crate) fn take(cluster: &Cluster) -> Result<Self> {
        let at = BootTime::now();
        let ask = |member| -> Result<(Status, Metrics)> {
            Ok((cluster.status(member)?, cluster.metrics(member)?))
        };
        let members = (0..cluster.size()).map(ask).collect::<Result<_>>();
        Ok(Self { at, members: members.context("a member does not answer its clients")? })
    }

    /// What a member said of itself.
    pub(crate) fn status(&self, member: usize) -> Status {
        self.members[member].0
    }

    /// How much a counter of a member has grown since an earlier census.
    pub(crate) fn grown(&self, since: &Self, member: usize, counter: &str) -> f64 {
        self.members[member].1.sum(counter) - since.members[member].1.sum(counter)
    }

    /// What one member told another since an earlier census.
    pub(crate) fn talk(&self, since: &Self, from: usize, to: usize) -> Talk {
        let count = |census: &Self, member: usize, counter: &str, label: &str, other: usize| {
            // etcd labels with the id as strconv.FormatUint(id, 16) writes it.
            let id = format!("{:x}", census.members[other].0.member);
            census.members[member].1.labelled(counter, label, &id)
        };
        let grown = |member, counter: &str, label: &str, other| {
            count(self, member, counter, label, other) - count(since, member, counter, label, other)
        };
        Talk {
            sent: grown(from, "etcd_network_peer_sent_bytes_total", "To", to),
            received: grown(to, "etcd_network_peer_received_bytes_total", "From", from),
        }
    }
}

/// The connections between two members, by who opened them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    /// Those that this side opened.
    pub(crate) opened_here: usize,
    /// Those that the other side opened.
    pub(crate) opened_there: usize,
}

impl Connections {
    /// As `ss` sees them in one member's namespace: who opened a connection speaks to etcd's port.
    pub(crate) fn list(here: &Node, there: &Node) -> Result<Self> {
        let mut ss = here.namespace.exec("ss");
        ss.args(["-Htn", "state", "established"]);
        let output = ss.output().context("`ss` can't be run (package iproute2)")?;
        ensure!(output.status.success(), "`ss` failed in {}", here.namespace.name());
        Ok(Self::read(&String::from_utf8_lossy(&output.stdout), &there.v4.to_string()))
    }

    fn read(text: &str, there: &str) -> Self {
        let mut found = Self { opened_here: 0, opened_there: 0 };
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, _, local, remote] = fields[..] else { continue };
            let (Some(local), Some(remote)) = (local.rsplit_once(':'), remote.rsplit_once(':'))
            else {
                continue;
            };
            // Go's listeners for both families have IPv4 peers as mapped addresses.
            let address = remote.0.trim_matches(['[', ']']).trim_start_matches("::ffff:");
            if address != there {
                continue;
            }
            let port = PEER_PORT.to_string();
            found.opened_here += usize::from(remote.1 == port);
            found.opened_there += usize::from(local.1 == port);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_opened_speaks_to_the_port() {
        let text = "0 0 10.77.0.10:40000 10.77.0.11:2380\n\
                    0 0 [::ffff:10.77.0.10]:2380 [::ffff:10.77.0.11]:40001\n\
                    0 0 10.77.0.10:2380 10.77.0.11:40002\n\
                    0 0 10.77.0.10:2380 10.77.0.12:40002\n";
        let found = Connections::read(text, "10.77.0.11");
        assert_eq!(found, Connections { opened_here: 1, opened_there: 2 });
    }
}
