//! What is done to members of a cluster, as people type it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use fault::{SelectorError, SelectorErrorKind, ZeebeMembers, ZeebeRoleError};

use super::super::{ModeArg, Named, TakenArgs};

/// What is done to members. All of it needs a controller.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Have members end in their own time (SIGTERM), and wait until they are back; through a controller
    Restart(EndArgs),
    /// End members at once (SIGKILL); through a controller
    Terminate(WhoArgs),
    /// Have members stand still, for a while; through a controller
    Freeze(FreezeMemberArgs),
    /// Take processor time, memory or disk from members, for a while; through a controller
    Stress(StressMemberArgs),
    /// Have groups of members hear nothing of each other until `connect`; through a controller
    Disconnect(DisconnectArgs),
    /// End what `disconnect` has begun; through a controller
    Connect(ReconnectArgs),
}

/// Who is meant.
#[derive(Debug, Args)]
pub struct WhoArgs {
    /// Which: partition/N/leader, partition/N/follower, broker/N, broker, gateway; for a worker, which Zeebe
    /// knows by name only, a selector such as pid:4711, or a name of schism.toml
    #[arg(value_name = "WHO")]
    pub who: Who,
    /// All that match, not one
    #[arg(long)]
    pub all: bool,
    /// Allow that a partition has no majority any more whose members can talk to each other
    #[arg(long)]
    pub allow_quorum_loss: bool,
}

/// `restart`.
#[derive(Debug, Args)]
pub struct EndArgs {
    /// Who.
    #[command(flatten)]
    pub who: WhoArgs,
    /// How long they may take to end before they are killed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = fault::parse_duration)]
    pub grace: Duration,
}

/// `freeze`.
#[derive(Debug, Args)]
pub struct FreezeMemberArgs {
    /// Who.
    #[command(flatten)]
    pub who: WhoArgs,
    /// How long
    #[arg(long = "for", value_name = "TIME", default_value = "6s", value_parser = fault::parse_duration)]
    pub total: Duration,
}

/// `stress`.
#[derive(Debug, Args)]
pub struct StressMemberArgs {
    /// Who.
    #[command(flatten)]
    pub who: WhoArgs,
    /// What is taken.
    #[command(flatten)]
    pub taken: TakenArgs,
    /// How long
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = fault::parse_duration)]
    pub total: Duration,
}

/// `disconnect`.
#[derive(Debug, Args)]
pub struct DisconnectArgs {
    /// Two groups or more, each of its members with commas: broker/0,broker/1 partition/3/leader
    #[arg(value_name = "GROUP", required = true, num_args = 2..)]
    pub groups: Vec<Side>,
    /// Only what the first of two groups sends to the second is lost
    #[arg(long)]
    pub one_way: bool,
    /// What one way means
    #[arg(long, value_enum, default_value_t = ModeArg::Packet)]
    pub mode: ModeArg,
    /// How long at most, without `connect`
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = fault::parse_duration)]
    pub total: Duration,
    /// Allow that a partition has no majority any more whose members can talk to each other
    #[arg(long)]
    pub allow_quorum_loss: bool,
}

/// `connect`.
#[derive(Debug, Args)]
pub struct ReconnectArgs {
    /// Only what separates one of these from others [default: all that is cut between members]
    #[arg(value_name = "WHO")]
    pub who: Vec<Who>,
}

/// A member by what it is, or something else that has processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A role in the cluster.
    Member(ZeebeMembers),
    /// A worker, or whatever a selector or a name of `schism.toml` says.
    Other(Named),
}

/// A text is neither a member nor a selector nor a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhoError {
    /// It names no scheme, and is no role.
    #[error(transparent)]
    Role(#[from] ZeebeRoleError),
    /// It names a scheme, and is no selector.
    #[error(transparent)]
    Selector(SelectorError),
}

impl FromStr for Who {
    type Err = WhoError;

    fn from_str(text: &str) -> Result<Self, WhoError> {
        let error = match text.parse() {
            Ok(members) => return Ok(Self::Member(members)),
            Err(error) => error,
        };
        text.parse().map(Self::Other).map_err(|other: SelectorError| {
            if matches!(other.kind, SelectorErrorKind::NoScheme(_)) {
                WhoError::Role(error)
            } else {
                WhoError::Selector(other)
            }
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(members) => members.fmt(f),
            Self::Other(named) => named.fmt(f),
        }
    }
}

/// Members that stay together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side(pub Vec<Who>);

impl FromStr for Side {
    type Err = WhoError;

    fn from_str(text: &str) -> Result<Self, WhoError> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command, ZeebeCommand};

    fn typed(line: &str) -> Result<MemberCommand, String> {
        let words = format!("schism zeebe {line}");
        let cli = Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        let Command::Zeebe(args) = cli.command else { panic!("{words}") };
        let ZeebeCommand::Member(command) = args.command else { panic!("{words}") };
        Ok(command)
    }

    #[test]
    fn members_are_what_follows_the_scheme_and_workers_are_any_selector() {
        let MemberCommand::Restart(asked) = typed("restart partition/1/leader").unwrap() else {
            panic!("another command");
        };
        assert_eq!(asked.who.who, Who::Member("partition/1/leader".parse().unwrap()));
        let MemberCommand::Terminate(who) = typed("terminate pid:7 --all").unwrap() else {
            panic!("another command");
        };
        assert_eq!(who.who, Who::Other(Named::Selector("pid:7".parse().unwrap())));
        assert!(who.all);
        let MemberCommand::Disconnect(asked) =
            typed("disconnect broker/0,broker/1 gateway my-worker").unwrap()
        else {
            panic!("another command");
        };
        let groups: Vec<String> = asked.groups.iter().map(ToString::to_string).collect();
        assert_eq!(groups, ["broker/0,broker/1", "gateway", "my-worker"]);
    }

    #[test]
    fn what_is_no_member_and_no_selector_is_refused() {
        for line in [
            "restart partition/1/king",
            "terminate broker/x",
            "disconnect broker/0",
            "disconnect broker/0, broker/1",
            "stress broker/0",
        ] {
            assert!(typed(line).is_err(), "{line}");
        }
    }
}
