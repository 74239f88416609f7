//! Which agent a command speaks to.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::kernel::priority;
use nix::unistd::Uid;
use proto::agent::Description;

use crate::failure::{Cause, Failure};
use crate::link::Link;
use crate::local::{self, OwnAgent, StartError};
use crate::outcome::Outcome;
use crate::output::Output;

/// How long the winner of two commands that start at once may take until it answers.
const WINNER: Duration = Duration::from_secs(3);
/// How long to wait between two looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// Which agent was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// From the flag or the environment.
    pub(crate) socket: Option<PathBuf>,
    /// What to do if there is none.
    pub(crate) absence: Absence,
    /// The command as it was typed, for the line to type instead.
    pub(crate) typed: Vec<String>,
}

/// What to do where no agent answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Nothing: without an agent there is no fault to see or to end.
    Accept,
    /// Become the agent if that is allowed.
    Become,
    /// Become the agent, as `--local` says.
    BecomeAsked,
    /// Refuse: what is asked needs an agent that outlives the command.
    Detach,
    /// The same, although `--local` was said.
    DetachLocal,
}

/// An agent that answers.
#[derive(Debug)]
pub(crate) struct Connection {
    /// To it.
    pub(crate) link: Link,
    /// This command, if it is the agent.
    pub(crate) own: Option<OwnAgent>,
    /// What it said of itself.
    pub(crate) description: Description,
}

/// What a first look at the socket found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Somebody,
    Nobody,
    Forbidden,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Use,
    Become,
    NoAgent,
    FailAbsent,
    FailForbidden,
    FailUnprivileged,
    FailDetach,
}

/// Whether this command may do what an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Privilege {
    Root,
    User,
}

/// Whether the socket was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Default,
    Named,
}

const fn decide(answer: Answer, place: Place, absence: Absence, privilege: Privilege) -> Decision {
    match (answer, absence, place, privilege) {
        (Answer::Somebody, _, _, _) => Decision::Use,
        (Answer::Forbidden, _, _, _) => Decision::FailForbidden,
        (Answer::Nobody, Absence::BecomeAsked, _, _)
        | (Answer::Nobody, Absence::Become, Place::Default, Privilege::Root) => Decision::Become,
        (Answer::Nobody, Absence::DetachLocal, _, _)
        | (Answer::Nobody, Absence::Detach, Place::Default, Privilege::Root) => {
            Decision::FailDetach
        }
        (Answer::Nobody, Absence::Accept, Place::Default, _) => Decision::NoAgent,
        (Answer::Nobody, _, Place::Named, _) => Decision::FailAbsent,
        (Answer::Nobody, _, Place::Default, Privilege::User) => Decision::FailUnprivileged,
    }
}

impl Choice {
    /// Where an agent is looked for.
    pub(crate) fn place(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(local::default_socket)
    }
}

/// Finds the agent, or becomes it, and says which; `None` where there is none and none is needed. Given
/// up half-way it leaves no file behind.
///
/// # Errors
/// No agent, where one is needed.
pub(crate) async fn find(choice: &Choice, output: Output) -> Result<Option<Connection>, Failure> {
    let socket = choice.place();
    let (answer, link) = match Link::open(&socket).await {
        Ok(link) => (Answer::Somebody, Some(link)),
        Err(error) => (look(&socket, &error)?, None),
    };
    let place = if choice.socket.is_some() { Place::Named } else { Place::Default };
    let privilege = if Uid::effective().is_root() { Privilege::Root } else { Privilege::User };
    let fail =
        |reason: String| Failure::caused(Cause::Unreachable, "cannot reach an agent", reason);
    let socket_name = socket.display();
    match decide(answer, place, choice.absence, privilege) {
        Decision::Use => match link {
            Some(link) => greet(link, None, &socket, output).await.map(Some),
            None => Err(fail(format!("the one at {socket_name} went away"))),
        },
        Decision::Become => begin(&socket, choice, output).await.map(Some),
        Decision::NoAgent => Ok(None),
        Decision::FailAbsent => Err(fail(format!("none listens at {socket_name}"))
            .hint(
                "start one with `schism-agent`, let this command be it with --local, or ask a controller with \
                 --controller",
            )),
        Decision::FailForbidden => Err(fail(format!("EACCES, Permission denied at {socket_name}"))
            .hint(format!("type: {}", elevated(&choice.typed)))),
        Decision::FailUnprivileged => {
            Err(fail(format!("none listens at {socket_name}, and only root can be one"))
                .hint(format!("type: {}", elevated(&choice.typed))))
        }
        Decision::FailDetach => Err(Failure::new(
            Outcome::WrongUsage,
            "cannot detach",
            "no agent runs on this machine, and a fault ends with the command that is its own agent",
        )
        .hint("start `schism-agent`, or leave --detach out")),
    }
}

/// What an error says about who is there.
fn look(socket: &Path, error: &io::Error) -> Result<Answer, Failure> {
    let kind = error.kind();
    if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
        Ok(Answer::Nobody)
    } else if kind == io::ErrorKind::PermissionDenied {
        Ok(Answer::Forbidden)
    } else {
        let attempted = format!("cannot reach the agent at {}", socket.display());
        Err(Failure::caused(Cause::Unreachable, attempted, error))
    }
}

/// Becomes the agent, or finds the one that was quicker.
async fn begin(socket: &Path, choice: &Choice, output: Output) -> Result<Connection, Failure> {
    let attempted = format!("cannot become this machine's agent at {}", socket.display());
    priority::come_first();
    match OwnAgent::start(socket).await {
        Ok(own) => match Link::open(socket).await {
            Ok(link) => greet(link, Some(own), socket, output).await,
            Err(error) => {
                let failure = Failure::new(Outcome::Unconfirmed, attempted, error);
                // It holds nothing yet; the first trouble is the one to tell.
                let _ = own.stop().await;
                Err(failure)
            }
        },
        Err(StartError::Busy) => {
            let link = winner(socket).await.map_err(|error| {
                let reason =
                    format!("another agent holds this machine but does not answer: {error}");
                Failure::new(Outcome::Unconfirmed, attempted, reason)
            })?;
            greet(link, None, socket, output).await
        }
        Err(StartError::Unprivileged(reason)) => {
            Err(Failure::new(Outcome::Unconfirmed, attempted, reason)
                .hint(format!("type: {}", elevated(&choice.typed))))
        }
        Err(StartError::Place(reason)) => Err(Failure::new(
            Outcome::Unconfirmed,
            attempted,
            reason,
        )
        .hint(
            "name another place with --agent-socket; of its directories only the last one is made",
        )),
        Err(StartError::Other(reason)) => {
            Err(Failure::new(Outcome::Unconfirmed, attempted, reason)
                .hint("`schism doctor` says what is missing"))
        }
    }
}

/// The agent of another command that started at the same time and is about to listen.
async fn winner(socket: &Path) -> io::Result<Link> {
    let give_up = tokio::time::Instant::now() + WINNER;
    loop {
        match Link::open(socket).await {
            Ok(link) => return Ok(link),
            Err(error) if tokio::time::Instant::now() >= give_up => return Err(error),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn greet(
    mut link: Link,
    own: Option<OwnAgent>,
    socket: &Path,
    output: Output,
) -> Result<Connection, Failure> {
    let description = match link.describe().await {
        Ok(description) => description,
        Err(mut failure) => {
            failure.attempted = format!("cannot reach the agent at {}", socket.display());
            if let Some(own) = own {
                let _ = own.stop().await;
            }
            return Err(failure);
        }
    };
    output.note(who(&description, own.is_some(), socket));
    Ok(Connection { link, own, description })
}

/// The first line: which agent does it.
fn who(description: &Description, is_own: bool, socket: &Path) -> String {
    let socket = socket.display();
    let Description { node, version, pid, .. } = description;
    match (is_own, description.embedded) {
        (true, _) => format!("agent: this command (node {node}, pid {pid}), at {socket}"),
        (false, true) => {
            format!("agent: another schism command (node {node}, pid {pid}), at {socket}")
        }
        (false, false) => {
            format!("agent: schism-agent {version} (node {node}, pid {pid}), at {socket}")
        }
    }
}

/// The command as root would type it.
fn elevated(typed: &[String]) -> String {
    let words = typed.iter().map(|word| quoted(word));
    std::iter::once("sudo".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// A word that a shell reads as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_agent() {
        use Absence::{Accept, Become, BecomeAsked, Detach, DetachLocal};
        use Answer::{Forbidden, Nobody, Somebody};
        use Place::{Default, Named};
        use Privilege::{Root, User};
        let table = [
            ((Somebody, Default, BecomeAsked, Root), Decision::Use),
            ((Somebody, Named, Detach, User), Decision::Use),
            ((Nobody, Default, Become, Root), Decision::Become),
            ((Nobody, Default, Become, User), Decision::FailUnprivileged),
            ((Nobody, Named, Become, Root), Decision::FailAbsent),
            ((Nobody, Named, BecomeAsked, Root), Decision::Become),
            ((Nobody, Default, BecomeAsked, User), Decision::Become),
            ((Nobody, Default, Accept, User), Decision::NoAgent),
            ((Nobody, Named, Accept, Root), Decision::FailAbsent),
            ((Nobody, Default, Detach, Root), Decision::FailDetach),
            ((Nobody, Named, Detach, Root), Decision::FailAbsent),
            ((Nobody, Named, DetachLocal, User), Decision::FailDetach),
            ((Forbidden, Default, Accept, User), Decision::FailForbidden),
        ];
        for ((answer, place, absence, privilege), decision) in table {
            let decided = decide(answer, place, absence, privilege);
            assert_eq!(decided, decision, "{answer:?} {place:?} {absence:?} {privilege:?}");
        }
    }

    #[test]
    fn the_line_to_type_is_safe_to_type() {
        let typed = ["schism", "cut", "netns:a", "it's; x", ""].map(str::to_owned);
        assert_eq!(elevated(&typed), r"sudo schism cut netns:a 'it'\''s; x' ''");
    }
}
