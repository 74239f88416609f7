//! `schism capture`: packets of a target, kept in a file.

pub(crate) mod file;
mod pcapng;
pub(crate) mod recording;
pub(crate) mod report;
pub(crate) mod standing;
pub(crate) mod writing;

use std::time::{Duration, SystemTime};

use fault::{
    Aspect, Capture, FaultId, Kept, NodeNetwork, Prefix, Scheme, Selector, Target, TargetIdentity,
};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use proto::agent as wire;
use tokio::time::Instant;

use crate::cli::{CaptureArgs, NamedError, NoRole};
use crate::connect::{self, Absence, Choice, Connection};
use crate::cut::random_seed;
use crate::failure::{Cause, Failure};
use crate::host;
use crate::interrupts::Interrupts;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::output::quantity::time;
use crate::settings::Names;
use file::{Destination, Existing, Made};
use recording::{GRACE, Recording, Why};
use report::{CaptureReport, Subject};
use standing::Heard;
use writing::{WriteError, Writing, Written};

/// What was typed, checked as far as that goes without an agent.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What is attempted, for people.
    pub(crate) attempted: String,
    /// Whose packets.
    pub(crate) target: Selector,
    /// Only those from or to these.
    pub(crate) peers: Vec<Selector>,
    /// Which and for how long, but for the peers' addresses; how large a file of them may become.
    pub(crate) capture: Capture,
    /// Where they are kept, if they are.
    destination: Option<Destination>,
    /// From what picks are drawn.
    pub(crate) seed: u64,
    local: bool,
}

/// What was typed makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum AskedError {
    #[error(transparent)]
    Name(#[from] NamedError),
    #[error(transparent)]
    NoRole(#[from] NoRole),
    #[error("it names several targets")]
    Several,
    #[error("addresses are peers, never a target")]
    Addresses,
    #[error("{0} is all of a node")]
    WholeNode(Scheme),
    #[error("--for {} is too long: a capture lasts at most {}", time(*.0), time(Capture::LONGEST))]
    TooLong(Duration),
}

impl AskedError {
    /// One thing to do about it.
    fn hint(&self) -> String {
        let hint = match self {
            Self::Name(error) => return error.hint(),
            Self::NoRole(error) => return error.hint(),
            Self::Several => "capture them one by one",
            Self::Addresses => "name a target such as netns:NAME, and the addresses with --peer",
            Self::WholeNode(_) => {
                "if the packets of everybody there are meant, say so: --whole-node"
            }
            Self::TooLong(_) => "capture again when it is over, into another file",
        };
        hint.to_owned()
    }
}

/// What is asked for.
///
/// # Errors
/// It makes no sense, whatever there is on the machine.
pub(crate) fn asked(args: &CaptureArgs, names: &Names) -> Result<Asked, Failure> {
    let attempted = args.attempt();
    let checked = checked(args, names).map_err(|error| {
        let hint = error.hint();
        Failure::new(Outcome::WrongUsage, attempted.clone(), error).hint(hint)
    });
    let (target, peers) = checked?;
    let existing = if args.force { Existing::Replaced } else { Existing::Kept };
    Ok(Asked {
        attempted,
        target,
        peers,
        capture: Capture {
            peers: Vec::new(),
            port: args.port,
            kept: args.snaplen.map_or(Kept::Headers, Kept::Bytes),
            total: args.total,
            most: args.max,
            node: if args.whole_node { NodeNetwork::Meant } else { NodeNetwork::Refused },
        },
        destination: args.write.clone().map(|path| Destination::of(path, existing)),
        seed: random_seed()?,
        local: args.local,
    })
}

fn checked(args: &CaptureArgs, names: &Names) -> Result<(Selector, Vec<Selector>), AskedError> {
    let mut targets = args.target.stands_for(names)?;
    let mut peers = match &args.peer {
        Some(peer) => peer.stands_for(names)?,
        None => Vec::new(),
    };
    args.within.apply(targets.iter_mut().chain(&mut peers))?;
    let Some(target) = targets.pop() else { return Err(AskedError::Several) };
    if !targets.is_empty() {
        return Err(AskedError::Several);
    }
    match &target.scheme {
        Scheme::Addr(_) => return Err(AskedError::Addresses),
        Scheme::Host(_) if !args.whole_node => {
            return Err(AskedError::WholeNode(target.scheme));
        }
        Scheme::Host(_)
        | Scheme::Netns(_)
        | Scheme::Pid(_)
        | Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_)
        | Scheme::Kubernetes(_) => {}
    }
    if args.total > Capture::LONGEST {
        return Err(AskedError::TooLong(args.total));
    }
    Ok((target, peers))
}

/// Runs `schism capture` with this machine's agent.
pub(crate) async fn run(
    asked: Asked,
    mut choice: Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    let output = asked.words(output);
    let attempted = asked.attempted.as_str();
    choice.absence = if asked.local { Absence::BecomeAsked } else { Absence::Become };
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, attempted, error))?;
    let made = asked.make()?;
    let found = interrupts.unless(attempted, connect::find(&choice, output)).await?;
    let Some(mut connection) = found else {
        return Err(Failure::caused(Cause::Unreachable, attempted, "there is no agent"));
    };
    let result = here(&asked, made, &mut connection, &mut interrupts, output).await;
    host::leave(connection, &mut interrupts, output, result).await
}

async fn here(
    asked: &Asked,
    made: Option<Made>,
    connection: &mut Connection,
    interrupts: &mut Interrupts,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = asked.attempted.as_str();
    let begun = async {
        let target = asked.target_here(connection).await?;
        let peers = asked.peers_here(connection).await?;
        let before = heard(connection).await?;
        let capture = asked.wanted(peers);
        let pieces = connection.link.capture(attempted, &target, &capture).await?;
        Ok((target, before, pieces))
    };
    let (target, before, pieces) = interrupts.unless(attempted, begun).await?;
    let owned = asked.attempted.clone();
    let pieces = pieces.map(move |piece| {
        piece.map_err(|status| Failure::answered(&owned, &crate::link::lost(status)))
    });
    let told = Told {
        target: target.selector.to_string(),
        node: connection.description.node.clone(),
        identity: target.identity,
        pieces: pieces.boxed(),
    };
    let kept = told.keep(asked, made, &before, interrupts, output).await?;
    // What is known by then is better than nothing.
    let after = heard(connection).await.unwrap_or_default();
    kept.conclude(&after, output).await
}

/// How faults of this machine's agent stand now.
async fn heard(connection: &mut Connection) -> Result<Vec<Heard>, Failure> {
    let statuses = connection.link.list().await?;
    let at = SystemTime::now();
    Ok(statuses.into_iter().map(|status| Heard { status, at }).collect())
}

impl Asked {
    /// What is asked for through a cluster.
    pub(crate) const fn of_cluster(
        attempted: String,
        target: Selector,
        capture: Capture,
        destination: Option<Destination>,
    ) -> Self {
        Self { attempted, target, peers: Vec::new(), capture, destination, seed: 0, local: false }
    }

    /// Where words go: not among packets.
    pub(crate) const fn words(&self, output: Output) -> Output {
        match self.destination {
            Some(Destination::Stdout) => output.aside(),
            Some(Destination::File(..)) | None => output,
        }
    }

    /// What an agent is asked for, with these addresses of peers.
    pub(crate) fn wanted(&self, peers: Vec<Prefix>) -> Capture {
        let most = recording::for_packets(self.capture.most);
        Capture { peers, most, ..self.capture.clone() }
    }

    /// Makes the file: what cannot be written is known before anybody is asked for anything.
    pub(crate) fn make(&self) -> Result<Option<Made>, Failure> {
        let Some(destination) = &self.destination else { return Ok(None) };
        let made = destination.make().map_err(|error| {
            let attempted = format!("cannot write to {destination}");
            let hint = destination.hint(&error);
            Failure::new(Outcome::WrongUsage, attempted, error).hint(hint)
        });
        made.map(Some)
    }

    async fn target_here(&self, connection: &mut Connection) -> Result<Target, Failure> {
        let mut found = self.found_here(connection, &self.target).await?;
        match (found.pop(), found.is_empty()) {
            (Some(target), true) => Ok(target),
            (Some(_) | None, _) => Err(self.several()),
        }
    }

    /// That more than one target is named.
    pub(crate) fn several(&self) -> Failure {
        let error = AskedError::Several;
        Failure::new(Outcome::WrongUsage, self.attempted.clone(), &error).hint(error.hint())
    }

    async fn found_here(
        &self,
        connection: &mut Connection,
        selector: &Selector,
    ) -> Result<Vec<Target>, Failure> {
        let (node, link) = (&connection.description.node, &mut connection.link);
        crate::resolve::targets(link, node, selector, Aspect::Network, self.seed).await
    }

    /// The addresses of the other side, as they are now.
    async fn peers_here(&self, connection: &mut Connection) -> Result<Vec<Prefix>, Failure> {
        let mut prefixes = Vec::new();
        for selector in &self.peers {
            if let Scheme::Addr(prefix) = &selector.scheme {
                prefixes.push(prefix.clone());
                continue;
            }
            for target in self.found_here(connection, selector).await? {
                let own = addresses(&target);
                if own.is_empty() {
                    let reason = format!("{} has no address", target.selector);
                    return Err(Failure::not_found(self.attempted.clone(), reason));
                }
                prefixes.extend(own);
            }
        }
        Ok(prefixes)
    }
}

/// What others reach a target by.
pub(crate) fn addresses(target: &Target) -> Vec<Prefix> {
    let reachable = |own: &&fault::OwnAddress| own.is_reachable() && !own.is_link_local();
    target.addresses.iter().filter(reachable).map(|own| Prefix::host(own.address)).collect()
}

/// Packets as an agent tells them.
pub(crate) struct Told {
    /// What is captured, for people.
    pub(crate) target: String,
    /// Where it is.
    pub(crate) node: String,
    /// Which it is.
    pub(crate) identity: TargetIdentity,
    /// What is told.
    pub(crate) pieces: BoxStream<'static, Result<wire::CapturePiece, Failure>>,
}

/// A capture that is over.
pub(crate) struct Over {
    subject: Subject,
    identity: TargetIdentity,
    recording: Recording,
    writing: Option<Writing>,
    before: Vec<FaultId>,
    began: SystemTime,
    lasted: Duration,
    /// Why it ended, where its agent has not told.
    otherwise: Why,
    /// Why it ended before its time.
    failed: Option<Failure>,
}

impl Told {
    /// Keeps what is told until its end, or until somebody ends the command.
    pub(crate) async fn keep(
        mut self,
        asked: &Asked,
        made: Option<Made>,
        before: &[Heard],
        interrupts: &mut Interrupts,
        output: Output,
    ) -> Result<Over, Failure> {
        let (began, since) = (SystemTime::now(), Instant::now());
        let name = format!("{}@{}", self.target, self.node);
        let mut recording = Recording::new(name.clone(), asked.capture.kept, asked.capture.most);
        let writing = made.map(Made::begin).transpose();
        let writing = writing
            .map_err(|error| Failure::new(Outcome::Unconfirmed, asked.attempted.clone(), error))?;
        let beginning = recording.beginning(&standing::standing(before, &self.identity));
        if let Some(writing) = &writing {
            // Of one that cannot be written the end says why.
            let _ = writing.add(beginning).await;
        }
        output.note(format!("capturing {name} for {}", time(asked.capture.total)));
        let limit = since + asked.capture.total + GRACE;
        let (otherwise, failed) = tokio::select! {
            biased;
            _ = interrupts.next() => (Why::Interrupted, None),
            told = tokio::time::timeout_at(limit, self.take(&mut recording, writing.as_ref())) => {
                let told = told.unwrap_or_else(|_| {
                    let reason = "the agent has not ended it in time";
                    Err(Failure::caused(Cause::Unreachable, asked.attempted.clone(), reason))
                });
                match told {
                    // Nobody takes any more of it.
                    Ok(()) => (Why::Unread, None),
                    Err(failure) => (Why::Lost, Some(failure)),
                }
            }
        };
        Ok(Over {
            subject: Subject {
                target: self.target,
                node: self.node,
                destination: asked.destination.clone(),
            },
            recording,
            writing,
            before: standing::known(before, &self.identity),
            identity: self.identity,
            began,
            lasted: since.elapsed(),
            otherwise,
            failed,
        })
    }

    async fn take(
        &mut self,
        recording: &mut Recording,
        writing: Option<&Writing>,
    ) -> Result<(), Failure> {
        while let Some(piece) = self.pieces.next().await {
            let piece = piece?;
            // Before they are counted: who ends this while a disk is waited for has counted none that are not written.
            let has_packets = matches!(piece.kind, Some(wire::capture_piece::Kind::Packets(_)));
            let room = match writing.filter(|_| has_packets) {
                Some(writing) => {
                    let Some(room) = writing.room().await else { return Ok(()) };
                    Some(room)
                }
                None => None,
            };
            let bytes = recording.take(piece).map_err(|invalid| {
                let reason = format!("the agent's answer makes no sense: {invalid}");
                Failure::new(Outcome::Unconfirmed, "cannot read packets", reason)
            })?;
            if let Some(room) = room.filter(|_| !bytes.is_empty()) {
                room.send(bytes);
            }
            if recording.end().is_some() {
                return Ok(());
            }
        }
        let reason = "the agent has not told its end";
        Err(Failure::caused(Cause::Unreachable, "cannot capture any longer", reason))
    }
}

impl Over {
    /// Ends the file, and says what it has come to.
    pub(crate) async fn conclude(
        self,
        after: &[Heard],
        output: Output,
    ) -> Result<Outcome, Failure> {
        let Self {
            subject,
            identity,
            recording,
            writing,
            before,
            began,
            lasted,
            otherwise,
            failed,
        } = self;
        let faults = standing::stood(after, &identity, &before, began);
        let written = match writing {
            None => Written { size: 0, found: None },
            Some(writing) => match writing.end(recording.ending(&faults)).await {
                // Whoever ends a program that reads has had enough.
                Err(WriteError::Unread { size }) => Written { size, found: None },
                written => written.map_err(|error| {
                    let to = subject.destination.as_ref().map(ToString::to_string);
                    let attempted = format!("cannot write to {}", to.unwrap_or_default());
                    let hint = "write it where there is room, or keep less with --max, --snaplen or --port";
                    Failure::new(Outcome::Unconfirmed, attempted, error).hint(hint)
                })?,
            },
        };
        let figures = (written, lasted);
        let report = CaptureReport::new(subject, &recording, figures, otherwise, faults);
        output.show(&report)?;
        failed.map_or(Ok(report.outcome()), Err)
    }
}
