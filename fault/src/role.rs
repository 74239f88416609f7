//! Members of an etcd cluster by what they are.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::{ClusterPath, MemberName, MemberNameError};

/// The words that say a role of Zeebe, which name no cluster either, so that all clusters are named alike.
const OF_ZEEBE: [&str; 3] = ["partition", "broker", "gateway"];

/// The words that say a role, and so name no cluster.
const LEADER: &str = "leader";
const FOLLOWER: &str = "follower";
const MEMBER: &str = "member";

/// What a controller calls one of the clusters that it can ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(MemberName);

impl ClusterName {
    /// Takes a name of letters, digits, `.`, `_` and `-`, at most 253 bytes, that is no word of a role;
    /// `None` for anything else.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        if matches!(name, LEADER | FOLLOWER | MEMBER) || OF_ZEEBE.contains(&name) {
            return None;
        }
        MemberName::new(name).map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for ClusterName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The PATH of `etcd:`, `[CLUSTER/]ROLE` or `[NAMESPACE/[INSTANCE/]]ROLE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtcdMembers {
    /// In which cluster; `None` for the only one that there is.
    pub cluster: Option<ClusterPath>,
    /// Which of its members.
    pub role: EtcdRole,
}

/// Which members play a role is for the cluster to say, at the time of asking.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EtcdRole {
    /// `leader`, the member that leads.
    Leader,
    /// `follower`, each member that votes and does not lead.
    Follower,
    /// `member`, each one, whoever leads.
    Any,
    /// `member/NAME`, the member of that name.
    Member(MemberName),
}

/// A text is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EtcdRoleError {
    /// None of the forms.
    #[error(
        "of etcd there are leader, follower, member and member/NAME, after CLUSTER/, NAMESPACE/ or \
         NAMESPACE/INSTANCE/, or alone"
    )]
    Form,
    /// A member that cannot be named so.
    #[error(transparent)]
    Member(#[from] MemberNameError),
}

impl FromStr for EtcdMembers {
    type Err = EtcdRoleError;

    fn from_str(text: &str) -> Result<Self, EtcdRoleError> {
        let (cluster, role) = ClusterPath::before(text);
        Ok(Self { cluster, role: role.parse()? })
    }
}

impl FromStr for EtcdRole {
    type Err = EtcdRoleError;

    fn from_str(text: &str) -> Result<Self, EtcdRoleError> {
        match (text, text.split_once('/')) {
            (LEADER, _) => Ok(Self::Leader),
            (FOLLOWER, _) => Ok(Self::Follower),
            (MEMBER, _) => Ok(Self::Any),
            (_, Some((MEMBER, name))) => Ok(Self::Member(name.parse()?)),
            (_, Some(_) | None) => Err(EtcdRoleError::Form),
        }
    }
}

impl fmt::Display for EtcdMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cluster) = &self.cluster {
            write!(f, "{cluster}/")?;
        }
        self.role.fmt(f)
    }
}

impl fmt::Display for EtcdRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str(LEADER),
            Self::Follower => f.write_str(FOLLOWER),
            Self::Any => f.write_str(MEMBER),
            Self::Member(name) => write!(f, "{MEMBER}/{name}"),
        }
    }
}
