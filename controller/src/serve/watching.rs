//! One watcher, who may be slow.

use std::collections::VecDeque;

use futures_util::stream::{self, Stream};
use proto::control as wire;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tonic::Status;

use super::refusal::refuse_control;
use crate::control::{Control, ControlError, Watching};

struct Watcher {
    control: Control,
    standing: VecDeque<wire::Event>,
    coming: Receiver<wire::Event>,
    /// Up to where it has been told.
    last: u64,
}

/// What has happened since a revision, then whatever happens. Who falls behind is told again what was
/// stored since the last that it was told.
pub(crate) async fn told(
    control: Control,
    since: u64,
) -> Result<impl Stream<Item = Result<wire::Event, Status>> + Send + use<>, ControlError> {
    let Watching { standing, coming } = control.watch(since).await?;
    let watcher = Watcher { control, standing: standing.into(), coming, last: since };
    Ok(stream::unfold(Some(watcher), |watcher| async {
        let mut watcher = watcher?;
        match watcher.next().await {
            Ok(Some(event)) => Some((Ok(event), Some(watcher))),
            Ok(None) => None,
            Err(error) => Some((Err(refuse_control(&error)), None)),
        }
    }))
}

impl Watcher {
    async fn next(&mut self) -> Result<Option<wire::Event>, ControlError> {
        loop {
            if let Some(event) = self.standing.pop_front() {
                self.last = self.last.max(event.revision);
                return Ok(Some(event));
            }
            match self.coming.recv().await {
                Ok(event) => {
                    self.last = self.last.max(event.revision);
                    return Ok(Some(event));
                }
                Err(RecvError::Closed) => return Ok(None),
                Err(RecvError::Lagged(_)) => {
                    let Watching { standing, coming } = self.control.watch(self.last).await?;
                    self.standing = standing.into();
                    self.coming = coming;
                }
            }
        }
    }
}
