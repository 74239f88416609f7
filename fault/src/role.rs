//! Members of an etcd cluster by what they are.

use std::fmt;
use std::str::FromStr;

use crate::{MemberName, MemberNameError};

/// The PATH of `etcd:`. Which members play a role is for the cluster to say, at the time of asking.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EtcdRole {
    /// `leader`, the member that leads.
    Leader,
    /// `follower`, each member that votes and does not lead.
    Follower,
    /// `member/NAME`, the member of that name.
    Member(MemberName),
}

/// A text is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EtcdRoleError {
    /// None of the forms.
    #[error("of etcd there are leader, follower and member/NAME")]
    Form,
    /// A member that cannot be named so.
    #[error(transparent)]
    Member(#[from] MemberNameError),
}

impl FromStr for EtcdRole {
    type Err = EtcdRoleError;

    fn from_str(text: &str) -> Result<Self, EtcdRoleError> {
        match (text, text.strip_prefix("member/")) {
            ("leader", _) => Ok(Self::Leader),
            ("follower", _) => Ok(Self::Follower),
            (_, Some(name)) => Ok(Self::Member(name.parse()?)),
            (_, None) => Err(EtcdRoleError::Form),
        }
    }
}

impl fmt::Display for EtcdRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("leader"),
            Self::Follower => f.write_str("follower"),
            Self::Member(name) => write!(f, "member/{name}"),
        }
    }
}
