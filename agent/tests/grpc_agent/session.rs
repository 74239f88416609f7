//! A session's two ends.

use fault::Holder;
use proto::agent as wire;
use proto::agent::event::Kind as Event;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::rig::{Rig, ids, soon};

pub(crate) struct Session {
    pub(crate) heartbeats: mpsc::Sender<wire::Heartbeat>,
    events: tonic::Streaming<wire::Event>,
    sent: u64,
}

impl Session {
    pub(crate) async fn open(rig: &Rig) -> Self {
        let (heartbeats, stream) = mpsc::channel(4);
        let events = rig.client.clone().session(ReceiverStream::new(stream)).await.unwrap();
        Self { heartbeats, events: events.into_inner(), sent: 0 }
    }

    pub(crate) async fn renew(&mut self, parts: &[u16]) -> wire::Renewed {
        self.renew_for(parts, None).await
    }

    /// Names faults on behalf of somebody, and waits for the answer.
    pub(crate) async fn renew_for(
        &mut self,
        parts: &[u16],
        asker: Option<Holder>,
    ) -> wire::Renewed {
        self.beat(parts, asker).await;
        self.until(|event| match event {
            Event::Renewed(renewed) => Some(renewed),
            Event::Status(_) | Event::Draining(_) | Event::Braked(_) => None,
        })
        .await
    }

    /// Names faults on behalf of somebody.
    pub(crate) async fn beat(&mut self, parts: &[u16], asker: Option<Holder>) {
        self.sent += 1;
        let heartbeat = wire::Heartbeat {
            renew: ids(parts),
            holder: asker.map(Into::into),
            number: self.sent,
            ..wire::Heartbeat::default()
        };
        self.heartbeats.send(heartbeat).await.unwrap();
    }

    pub(crate) async fn until<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            let event = soon(self.events.message()).await.unwrap().unwrap();
            if let Some(found) = wanted(event.kind.unwrap()) {
                return found;
            }
        }
    }

    /// With what the agent ended it.
    pub(crate) async fn end(&mut self) -> tonic::Status {
        loop {
            if let Err(status) = soon(self.events.message()).await {
                return status;
            }
        }
    }
}
