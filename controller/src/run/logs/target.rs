//! Logs of targets, as agents tell them.

use std::pin::Pin;

use experiment::tolerance::pattern::Pattern;
use fault::{
    BootId, LogFile, LogMark, NamespaceCookie, NodeName, ProcessIdentity, Selector, TargetIdentity,
};
use futures_util::{Stream, StreamExt as _};
use proto::agent as agent_wire;
use proto::agent::log_piece::Kind as Piece;
use proto::control as wire;
use proto::control::log_piece::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Found;
use super::lines::Lines;
use crate::failure::Failure;
use crate::log::Wanted;

/// What is told of logs; why not, where it is not.
pub(crate) type Telling = Pin<Box<dyn Stream<Item = Result<wire::LogPiece, String>> + Send>>;

/// What agents of several nodes tell.
pub(crate) fn telling(
    pieces: impl Stream<Item = Result<wire::LogPiece, (NodeName, Failure)>> + Send + 'static,
) -> Telling {
    Box::pin(pieces.map(|piece| piece.map_err(|(_, why)| why.text())))
}

/// Where a look at logs has ended, as the next one is given it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ends {
    targets: Vec<End>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    node: String,
    target: String,
    /// Of the boot, the network namespace, and the process with the time at which it began.
    is: (String, String, Option<(u32, String)>),
    /// Device, inode, offset, print.
    marks: Vec<String>,
}

/// Where an earlier look has ended.
///
/// # Errors
/// It is no such thing.
pub(super) fn since(end: &Value) -> Result<Vec<wire::TargetLog>, String> {
    let none = "`since` is what an earlier `logs` of a target returned, or `now`";
    let ends = Ends::deserialize(end).map_err(|_| none.to_owned())?;
    let logs: Option<Vec<wire::TargetLog>> = ends.targets.iter().map(End::log).collect();
    logs.filter(|logs| !logs.is_empty()).ok_or_else(|| none.to_owned())
}

impl End {
    fn log(&self) -> Option<wire::TargetLog> {
        let (boot, namespace, process) = &self.is;
        let process = match process {
            None => None,
            Some((pid, started)) => {
                Some(ProcessIdentity { pid: *pid, started: started.parse().ok()? })
            }
        };
        let identity = TargetIdentity {
            boot: BootId::parse(boot)?,
            namespace: NamespaceCookie::new(namespace.parse().ok()?),
            process,
        };
        let selector: Selector = self.target.parse().ok()?;
        Some(wire::TargetLog {
            node: self.node.clone(),
            selector: Some((&selector).into()),
            identity: Some(identity.into()),
            marks: self
                .marks
                .iter()
                .map(|mark| Some(mark_of(mark)?.into()))
                .collect::<Option<_>>()?,
        })
    }

    fn of(log: wire::TargetLog, marks: &[LogMark]) -> Option<Self> {
        let identity = TargetIdentity::try_from(log.identity?).ok()?;
        let process = identity.process.map(|one| (one.pid, one.started.to_string()));
        let boot = format!("{:032x}", identity.boot.get());
        Some(Self {
            node: log.node,
            target: Selector::try_from(log.selector?).ok()?.to_string(),
            is: (boot, identity.namespace.to_string(), process),
            marks: marks.iter().map(shown).collect(),
        })
    }
}

fn shown(mark: &LogMark) -> String {
    let LogFile { device, inode } = mark.file;
    format!("{device}:{inode}:{}:{:016x}", mark.offset, mark.print())
}

fn mark_of(text: &str) -> Option<LogMark> {
    let mut fields = text.split(':');
    let mut number = || fields.next()?.parse().ok();
    let (device, inode, offset) = (number()?, number()?, number()?);
    let print = u64::from_str_radix(fields.next()?, 16).ok()?;
    Some(LogMark::restored(LogFile { device, inode }, offset, print))
}

/// One target, as far as it was told.
struct Looked {
    log: wire::TargetLog,
    marks: Vec<LogMark>,
    lines: Option<Lines>,
}

/// What a look at logs finds. Lines are looked at as they come, which may take long: it is for a thread that may wait.
///
/// # Errors
/// Not all of it was told; or nothing was found, and what may be missing.
pub(super) async fn look(
    telling: Telling,
    pattern: &Pattern,
    wanted: Wanted,
) -> Result<Value, String> {
    let mut found = Found::default();
    let (ends, missing) = gather(telling, wanted, &mut |line| found.look(line, pattern)).await?;
    match missing {
        // What was found is there, whatever else is not.
        Some(why) if found.count == 0 && wanted == Wanted::News => {
            Err(format!("nothing was found, but something may be missing: {why}"))
        }
        Some(_) | None => {
            let ends = serde_json::to_value(ends).map_err(|error| error.to_string())?;
            Ok(found.value(ends))
        }
    }
}

async fn gather(
    mut telling: Telling,
    wanted: Wanted,
    look: &mut impl FnMut(&str) -> Result<bool, String>,
) -> Result<(Ends, Option<String>), String> {
    let (mut ends, mut missing, mut looked) = (Ends::default(), None, None::<Looked>);
    while let Some(piece) = telling.next().await {
        let kind = match piece?.kind {
            Some(Kind::Target(log)) => {
                if looked.is_some() {
                    return Err(BROKEN.to_owned());
                }
                looked = Some(Looked { log, marks: Vec::new(), lines: None });
                continue;
            }
            Some(Kind::Piece(piece)) => piece.kind,
            None => None,
        };
        let Some(at) = &mut looked else { return Err(BROKEN.to_owned()) };
        match kind {
            Some(Piece::File(file)) => {
                // Of one that was rotated away nothing comes any more.
                let mark = at.close(look)?;
                at.marks.extend(mark.filter(|_| !file.goes_on));
                at.lines = Some(lines(&file, wanted)?);
            }
            Some(Piece::Bytes(bytes)) => {
                if let Some(lines) = &mut at.lines {
                    lines.take(&bytes, &mut *look)?;
                }
            }
            Some(Piece::End(end)) => {
                let mark = at.close(look)?;
                at.marks.extend(mark);
                missing = missing.or(Some(end.missing).filter(|why| !why.is_empty()));
                let Some(Looked { log, marks, .. }) = looked.take() else { continue };
                ends.targets.extend(End::of(log, &marks));
            }
            None => return Err(BROKEN.to_owned()),
        }
    }
    if looked.is_some() || ends.targets.is_empty() {
        return Err(BROKEN.to_owned());
    }
    Ok((ends, missing))
}

const BROKEN: &str = "what was told of the log was broken off";

impl Looked {
    fn close(
        &mut self,
        look: &mut impl FnMut(&str) -> Result<bool, String>,
    ) -> Result<Option<LogMark>, String> {
        self.lines.take().map(|lines| lines.end(look)).transpose()
    }
}

fn lines(file: &agent_wire::LogFile, wanted: Wanted) -> Result<Lines, String> {
    let form =
        file.written().map_err(|error| format!("the agent's answer makes no sense: {error}"))?;
    Ok(Lines::new((file.number(), form), (file.from, file.fresh), wanted))
}

#[cfg(test)]
mod tests {
    use experiment::tolerance::pattern;
    use serde_json::json;

    use super::*;

    fn target(name: &str) -> Kind {
        let identity = TargetIdentity {
            boot: BootId::new(5),
            namespace: NamespaceCookie::new(u64::MAX),
            process: Some(ProcessIdentity { pid: 7, started: u64::MAX }),
        };
        let selector: Selector = name.parse().unwrap();
        Kind::Target(wire::TargetLog {
            node: "n1".to_owned(),
            selector: Some((&selector).into()),
            identity: Some(identity.into()),
            marks: Vec::new(),
        })
    }

    fn piece(kind: Piece) -> Kind {
        Kind::Piece(agent_wire::LogPiece { kind: Some(kind) })
    }

    fn file(inode: u64, goes_on: bool) -> Kind {
        let form = agent_wire::LogForm::Plain.into();
        let file = agent_wire::LogFile { device: 1, inode, from: 0, fresh: 0, form, goes_on };
        piece(Piece::File(file))
    }

    fn bytes(text: &'static str) -> Kind {
        piece(Piece::Bytes(text.as_bytes().into()))
    }

    fn end(missing: &str) -> Kind {
        piece(Piece::End(agent_wire::LogEnd { missing: missing.to_owned() }))
    }

    async fn looked(kinds: Vec<Kind>) -> Result<Value, String> {
        let pieces = kinds.into_iter().map(|kind| Ok(wire::LogPiece { kind: Some(kind) }));
        let telling = Box::pin(futures_util::stream::iter(pieces));
        look(telling, &pattern::compile("lead").unwrap(), Wanted::News).await
    }

    #[tokio::test]
    async fn lines_of_all_targets_are_found_and_where_the_next_look_begins() {
        let found = looked(vec![
            target("netns:a"),
            file(2, false),
            bytes("a lea"),
            bytes("der\nnobody\nlea"),
            file(3, true),
            bytes("leads\n"),
            file(4, false),
            end(""),
            target("pid:7"),
            end("a log was emptied since"),
        ])
        .await
        .unwrap();
        assert_eq!(found["lines"], json!(["a leader", "leads"]));
        let since = since(&found["end"]).unwrap();
        assert_eq!(since.iter().map(|log| log.marks.len()).collect::<Vec<_>>(), [2, 0]);
        let Kind::Target(first) = target("netns:a") else { panic!() };
        assert_eq!((&since[0].selector, &since[0].identity), (&first.selector, &first.identity));
        let mark = LogMark::new(LogFile { device: 1, inode: 3 }, 6, b"leads\n");
        assert_eq!(LogMark::from(since[0].marks[0]), mark);
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_said_of_what_could_not_be_looked_at() {
        let missing =
            looked(vec![target("pid:7"), file(2, false), bytes("x\n"), end("it was emptied")]);
        assert!(missing.await.unwrap_err().contains("something may be missing: it was emptied"));
        for broken in [
            vec![],
            vec![target("pid:7"), file(2, false), bytes("a leader\n")],
            vec![target("pid:7"), target("pid:7"), end("")],
            vec![end("")],
        ] {
            assert_eq!(looked(broken).await.unwrap_err(), BROKEN);
        }
        for nonsense in
            [json!(5), json!({}), json!({"targets": []}), json!({"inode": 1, "offset": 2})]
        {
            assert!(since(&nonsense).unwrap_err().contains("of a target"), "{nonsense}");
        }
    }
}
