//! The session stream: leases renewed one way, transitions and effects the other.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use fault::FaultId;
use proto::Invalid;
use proto::agent as wire;
use proto::agent::event::Kind;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Status, Streaming};

use super::refusal::{invalid, refuse};
use super::{Way, asker, claimant};
use crate::worker::{Agent, Transition};

/// Events that a slow client may be behind before the session waits for it.
const BACKLOG: usize = 64;
/// Effects are not reported more often than this.
const FASTEST_REPORT: Duration = Duration::from_millis(50);

type Events = Pin<Box<dyn Stream<Item = Result<wire::Event, Status>> + Send>>;

/// Opens a session; it ends with the client's side of the stream. Nothing is healed then: leases end.
pub(super) fn open(agent: Agent, way: Way, heartbeats: Streaming<wire::Heartbeat>) -> Events {
    let (events, stream) = mpsc::channel(BACKLOG);
    tokio::spawn(async move {
        if let Err(status) = serve(&agent, way, heartbeats, &events).await {
            // The client may be gone.
            let _ = events.send(Err(status)).await;
        }
    });
    Box::pin(ReceiverStream::new(stream))
}

#[derive(Default)]
struct Wish {
    watched: BTreeSet<FaultId>,
    every: Option<Duration>,
}

impl Wish {
    fn watches(&self, id: FaultId) -> bool {
        self.watched.is_empty() || self.watched.contains(&id)
    }
}

async fn serve(
    agent: &Agent,
    way: Way,
    mut heartbeats: Streaming<wire::Heartbeat>,
    events: &mpsc::Sender<Result<wire::Event, Status>>,
) -> Result<(), Status> {
    let mut transitions = agent.transitions();
    let mut wish = Wish::default();
    let mut report = tokio::time::interval(Duration::from_secs(3600));
    loop {
        let kinds = tokio::select! {
            // Renewals first: whatever there is to tell, a fault must not end for it.
            biased;
            heartbeat = heartbeats.next() => match heartbeat {
                None => return Ok(()),
                Some(Err(_)) => return Ok(()),
                Some(Ok(heartbeat)) => {
                    let before = wish.every;
                    let renewed = heard(agent, way, heartbeat, &mut wish).await?;
                    if wish.every != before {
                        report = tokio::time::interval(wish.every.unwrap_or(Duration::from_secs(3600)));
                    }
                    vec![renewed]
                }
            },
            transition = transitions.recv() => match transition {
                Ok(Transition::Changed(status)) if wish.watches(status.fault.id) => {
                    vec![Kind::Status((*status).into())]
                }
                Ok(Transition::Changed(_)) => Vec::new(),
                Ok(Transition::Draining) => vec![Kind::Draining(wire::Draining {})],
                Ok(Transition::Braked) => vec![Kind::Braked(wire::Braked {})],
                // What was missed is reported as it is by now.
                Err(RecvError::Lagged(_)) => reports(agent, &wish).await?,
                Err(RecvError::Closed) => return Ok(()),
            },
            _ = report.tick(), if wish.every.is_some() => reports(agent, &wish).await?,
        };
        for kind in kinds {
            if events.send(Ok(wire::Event { kind: Some(kind) })).await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn heard(
    agent: &Agent,
    way: Way,
    heartbeat: wire::Heartbeat,
    wish: &mut Wish,
) -> Result<Kind, Status> {
    let ids = |ids: Vec<wire::FaultId>| {
        ids.into_iter()
            .map(FaultId::try_from)
            .collect::<Result<Vec<_>, Invalid>>()
            .map_err(|error| invalid(&error))
    };
    let number = heartbeat.number;
    let renew = ids(heartbeat.renew)?;
    let asker =
        if renew.is_empty() { asker(heartbeat.holder)? } else { claimant(way, heartbeat.holder)? };
    wish.watched = ids(heartbeat.watch)?.into_iter().collect();
    wish.every = (heartbeat.report_every_ns != 0)
        .then(|| Duration::from_nanos(heartbeat.report_every_ns).max(FASTEST_REPORT));
    let renewed = agent.renew(renew, asker).await.map_err(|error| refuse(&error))?;
    Ok(Kind::Renewed(wire::Renewed {
        ids: renewed.renewed.into_iter().map(Into::into).collect(),
        refused: renewed.refused.into_iter().map(Into::into).collect(),
        now: agent.kernel().now().nanos(),
        number,
        halted: Some(renewed.brake.reason()),
    }))
}

async fn reports(agent: &Agent, wish: &Wish) -> Result<Vec<Kind>, Status> {
    let all = agent.list().await.map_err(|error| refuse(&error))?;
    let watched = all.into_iter().filter(|status| wish.watches(status.fault.id));
    Ok(watched.map(|status| Kind::Status(status.into())).collect())
}
