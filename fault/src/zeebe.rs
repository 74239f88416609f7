//! Members of a Zeebe cluster by what they are.

use std::fmt;
use std::str::FromStr;

use crate::ClusterPath;

/// The words that say what is meant, and so name no cluster.
const PARTITION: &str = "partition";
const BROKER: &str = "broker";
const GATEWAY: &str = "gateway";
const LEADER: &str = "leader";
const FOLLOWER: &str = "follower";

/// The highest number of a partition: 13 bits of Zeebe's keys.
const HIGHEST_PARTITION: u32 = 8192;

/// The number of a partition, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionNumber(u32);

impl PartitionNumber {
    /// Takes a number from 1 to 8192; `None` for any other.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number >= 1 && number <= HIGHEST_PARTITION { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PartitionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The PATH of `zeebe:`, `[CLUSTER/]ROLE` or `[NAMESPACE/[INSTANCE/]]ROLE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZeebeMembers {
    /// In which cluster; `None` for the only one that there is.
    pub cluster: Option<ClusterPath>,
    /// Which of its members.
    pub role: ZeebeRole,
}

/// Which members play a role is for the cluster to say, at the time of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ZeebeRole {
    /// `partition/N/leader`, the broker that leads a partition.
    Leader(PartitionNumber),
    /// `partition/N/follower`, each broker that follows its leader.
    Follower(PartitionNumber),
    /// `broker`, each one.
    AnyBroker,
    /// `broker/N`, the broker of that number, from 0.
    Broker(u32),
    /// `gateway`, each gateway that stands alone.
    Gateway,
}

/// A text is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZeebeRoleError {
    /// None of the forms.
    #[error(
        "of Zeebe there are partition/N/leader, partition/N/follower, broker, broker/N and gateway, \
         after CLUSTER/, NAMESPACE/ or NAMESPACE/INSTANCE/, or alone"
    )]
    Form,
    /// No number of a partition.
    #[error("a partition of Zeebe is a number from 1 to {HIGHEST_PARTITION}")]
    Partition,
    /// No number of a broker.
    #[error("a broker of Zeebe is a number from 0 on")]
    Broker,
}

impl FromStr for ZeebeMembers {
    type Err = ZeebeRoleError;

    fn from_str(text: &str) -> Result<Self, ZeebeRoleError> {
        let (cluster, role) = ClusterPath::before(text);
        Ok(Self { cluster, role: role.parse()? })
    }
}

impl FromStr for ZeebeRole {
    type Err = ZeebeRoleError;

    fn from_str(text: &str) -> Result<Self, ZeebeRoleError> {
        let parts: Vec<&str> = text.split('/').collect();
        let partition = |number: &str| {
            let number = plain(number).and_then(PartitionNumber::new);
            number.ok_or(ZeebeRoleError::Partition)
        };
        match parts.as_slice() {
            [PARTITION, number, LEADER] => Ok(Self::Leader(partition(number)?)),
            [PARTITION, number, FOLLOWER] => Ok(Self::Follower(partition(number)?)),
            [BROKER] => Ok(Self::AnyBroker),
            [BROKER, number] => plain(number).map(Self::Broker).ok_or(ZeebeRoleError::Broker),
            [GATEWAY] => Ok(Self::Gateway),
            _ => Err(ZeebeRoleError::Form),
        }
    }
}

/// A number as it is printed: no sign and no zeros before it, so that a selector has one text only.
fn plain(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

impl fmt::Display for ZeebeMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cluster) = &self.cluster {
            write!(f, "{cluster}/")?;
        }
        self.role.fmt(f)
    }
}

impl fmt::Display for ZeebeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader(partition) => write!(f, "{PARTITION}/{partition}/{LEADER}"),
            Self::Follower(partition) => write!(f, "{PARTITION}/{partition}/{FOLLOWER}"),
            Self::AnyBroker => f.write_str(BROKER),
            Self::Broker(number) => write!(f, "{BROKER}/{number}"),
            Self::Gateway => f.write_str(GATEWAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let partition = |number| PartitionNumber::new(number).unwrap();
        let table = [
            ("partition/1/leader", None, ZeebeRole::Leader(partition(1))),
            ("partition/8192/follower", None, ZeebeRole::Follower(partition(8192))),
            ("blue/partition/3/leader", Some("blue"), ZeebeRole::Leader(partition(3))),
            ("broker/0", None, ZeebeRole::Broker(0)),
            ("blue/broker/10", Some("blue"), ZeebeRole::Broker(10)),
            ("broker", None, ZeebeRole::AnyBroker),
            ("gateway", None, ZeebeRole::Gateway),
            ("blue/gateway", Some("blue"), ZeebeRole::Gateway),
            ("prod/blue/partition/3/leader", Some("prod/blue"), ZeebeRole::Leader(partition(3))),
            ("prod/blue/broker", Some("prod/blue"), ZeebeRole::AnyBroker),
        ];
        for (text, cluster, role) in table {
            let cluster = cluster.map(|path| path.parse().unwrap());
            let members = ZeebeMembers { cluster, role };
            assert_eq!(text.parse(), Ok(members.clone()));
            assert_eq!(members.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_role_is_refused() {
        use ZeebeRoleError::{Broker, Form, Partition};
        let table = [
            ("", Form),
            ("leader", Form),
            ("partition", Form),
            ("partition/1", Form),
            ("partition/1/king", Form),
            ("partition/1/leader/x", Form),
            ("partition/0/leader", Partition),
            ("partition/8193/leader", Partition),
            ("partition/01/leader", Partition),
            ("partition/+1/leader", Partition),
            ("broker/x", Broker),
            ("broker/-1", Broker),
            ("broker/00", Broker),
            ("gateway/1", Form),
            ("member/gateway", Form),
            ("a b/gateway", Form),
            ("a/b c/gateway", Form),
            ("a/b/c/gateway", Form),
            ("a/b/leader", Form),
            ("a/b", Form),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<ZeebeMembers>(), Err(error), "{text}");
        }
    }
}
