//! What targets write, read by the agents of their nodes, one target after the other.

use std::time::Duration;

use fault::{LogMark, NodeName, Scheme, Selector, Target, TargetIdentity};
use proto::agent as agent_wire;
use proto::agent::log_piece::Kind as Piece;
use proto::control as wire;
use proto::control::log_piece::Kind;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use crate::failure::{Cause, Failure};
use crate::link::Link;

/// Pieces that may wait to be taken.
pub(crate) const BACKLOG: usize = 4;
/// How long an agent may take for the next piece (15 s): by itself it gives up after 10.
const PIECE: Duration = Duration::from_secs(15);

/// What is wanted of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All that is new.
    News,
    /// Only where it ends.
    Ends,
}

/// A target whose log is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Sought {
    /// Where it is.
    pub(crate) node: NodeName,
    /// What it is.
    pub(crate) target: Target,
    /// Where the last look at it ended.
    since: Vec<LogMark>,
}

/// Other targets are meant than those that were looked at before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Other {
    /// Of one it is not known what was there before.
    #[error("{0} is meant, which was not when its log was looked at before")]
    New(String),
    /// Of one it is not known what came since.
    #[error("{0} is not meant any more, whose log was looked at before")]
    Gone(String),
}

/// Targets with what is known of their logs. All of them were meant when that was found, or nothing is known.
pub(crate) fn sought(
    found: Vec<(NodeName, Target)>,
    since: &[wire::TargetLog],
) -> Result<Vec<Sought>, Other> {
    let is_meant =
        |log: &wire::TargetLog| found.iter().any(|(node, target)| is_of(log, node, target));
    if let Some(gone) = since.iter().find(|log| !is_meant(log)) {
        let selector = gone.selector.clone().and_then(|one| Selector::try_from(one).ok());
        let name = selector.map_or_else(|| "a target".to_owned(), |one| one.scheme.to_string());
        return Err(Other::Gone(format!("{name}@{}", gone.node)));
    }
    let sought = |(node, target): (NodeName, Target)| {
        let known = since.iter().find(|log| is_of(log, &node, &target));
        match known {
            None if !since.is_empty() => {
                Err(Other::New(format!("{}@{node}", target.selector.scheme)))
            }
            None => Ok(Sought { node, target, since: Vec::new() }),
            Some(log) => {
                let since = log.marks.iter().copied().map(Into::into).collect();
                Ok(Sought { node, target, since })
            }
        }
    };
    found.into_iter().map(sought).collect()
}

/// Whether it is the log of this target. The process by which a container is found may be another one by now.
fn is_of(log: &wire::TargetLog, node: &NodeName, target: &Target) -> bool {
    let Some(identity) = log.identity.clone().and_then(|one| TargetIdentity::try_from(one).ok())
    else {
        return false;
    };
    let own = target.identity;
    let is_bound = matches!(target.selector.scheme, Scheme::Pid(_));
    log.node == node.as_str()
        && log.selector.as_ref() == Some(&agent_wire::Selector::from(&target.selector))
        && (identity.boot, identity.namespace) == (own.boot, own.namespace)
        && (!is_bound || identity.process == own.process)
}

/// What is told of logs, or why not, and by whose node.
pub(crate) type Piecemeal = Result<wire::LogPiece, (NodeName, Failure)>;
/// Somebody who takes what is told.
pub(crate) type Told = mpsc::Sender<Piecemeal>;

/// All that is new of these logs, or where they end, until the end or the first failure.
pub(crate) fn told(sought: Vec<(Link, Sought)>, wanted: Wanted) -> ReceiverStream<Piecemeal> {
    let (told, pieces) = mpsc::channel(BACKLOG);
    tokio::spawn(tell(sought, wanted, told));
    ReceiverStream::new(pieces)
}

/// The same, to somebody.
pub(crate) async fn tell(sought: Vec<(Link, Sought)>, wanted: Wanted, told: Told) {
    for (link, sought) in sought {
        let node = sought.node.clone();
        match tell_one(link, sought, wanted, &told).await {
            Ok(Heard::All) => {}
            Ok(Heard::Nobody) => return,
            Err(failure) => {
                // Who does not listen any more need not know.
                let _ = told.send(Err((node, failure))).await;
                return;
            }
        }
    }
}

enum Heard {
    All,
    Nobody,
}

async fn tell_one(
    mut link: Link,
    sought: Sought,
    wanted: Wanted,
    told: &Told,
) -> Result<Heard, Failure> {
    let Sought { node, target, since } = sought;
    let attempted = format!("cannot read the log of {}@{node}", target.selector.scheme);
    let mut pieces = link.read_log(&attempted, &target, &since, wanted).await?;
    let log = wire::TargetLog {
        node: node.to_string(),
        selector: Some((&target.selector).into()),
        identity: Some(target.identity.into()),
        marks: Vec::new(),
    };
    if told.send(Ok(wire::LogPiece { kind: Some(Kind::Target(log)) })).await.is_err() {
        return Ok(Heard::Nobody);
    }
    loop {
        let Ok(piece) = timeout(PIECE, pieces.message()).await else {
            let reason = format!("the agent has said nothing for {} s", PIECE.as_secs());
            return Err(Failure::caused(Cause::Unreachable, attempted, reason));
        };
        let piece =
            piece.map_err(|status| Failure::answered(&attempted, &crate::link::lost(status)))?;
        let Some(piece) = piece else {
            let reason = "the agent has not told its end";
            return Err(Failure::caused(Cause::Other, attempted, reason));
        };
        let is_last = matches!(piece.kind, Some(Piece::End(_)));
        if told.send(Ok(wire::LogPiece { kind: Some(Kind::Piece(piece)) })).await.is_err() {
            return Ok(Heard::Nobody);
        }
        if is_last {
            return Ok(Heard::All);
        }
    }
}

#[cfg(test)]
mod tests {
    use fault::{LogFile, ProcessIdentity};

    use super::*;
    use crate::cut::specimen;

    fn target(name: &str, namespace: u64, started: u64) -> (NodeName, Target) {
        let process = Some(ProcessIdentity { pid: 7, started });
        let target = specimen::target(name, specimen::identity(namespace, process));
        (NodeName::new("n1").unwrap(), target)
    }

    fn log((node, target): &(NodeName, Target)) -> wire::TargetLog {
        let mark = LogMark::new(LogFile { device: 1, inode: 2 }, 3, b"abc");
        wire::TargetLog {
            node: node.to_string(),
            selector: Some((&target.selector).into()),
            identity: Some(target.identity.into()),
            marks: vec![mark.into()],
        }
    }

    #[test]
    fn what_was_looked_at_is_what_is_meant() {
        let (one, two) = (target("container:abcd1234", 1, 5), target("pid:7", 2, 5));
        let both = vec![one.clone(), two.clone()];
        let first = sought(both.clone(), &[]).unwrap();
        assert!(first.iter().all(|one| one.since.is_empty()));
        let known = [log(&two), log(&one)];
        let again = sought(both, &known).unwrap();
        assert!(again.iter().all(|one| one.since.len() == 1));
        // The first process of a container may end before it.
        let grown = target("container:abcd1234", 1, 9);
        assert!(sought(vec![grown, two.clone()], &known).is_ok());
        for (found, expected) in [
            (vec![one.clone(), target("pid:7", 2, 9)], "pid:7@n1 is not meant any more"),
            (vec![target("container:abcd1234", 9, 5), two.clone()], "is not meant any more"),
            (vec![one.clone()], "pid:7@n1 is not meant any more"),
            (vec![one.clone(), two.clone(), target("netns:c", 3, 5)], "netns:c@n1 is meant, which"),
        ] {
            let other = sought(found, &known).unwrap_err().to_string();
            assert!(other.contains(expected), "{other}");
        }
    }
}
