//! The journal of a run on its way to the disk.

use std::sync::Arc;

use fault::IntentId;
use tokio::sync::watch;

use crate::archive::{self, Of};

/// Writes journals one after the other, and where several wait only the last of them.
pub(super) struct Writing {
    latest: watch::Sender<Arc<Vec<u8>>>,
    /// The last that was tried.
    tried: watch::Receiver<Arc<Vec<u8>>>,
}

impl Writing {
    pub(super) fn begin(archive: archive::Runs, id: IntentId, of: Of) -> Self {
        let (latest, mut wanted) = watch::channel(Arc::<Vec<u8>>::default());
        let (done, tried) = watch::channel(Arc::<Vec<u8>>::default());
        tokio::spawn(async move {
            while wanted.changed().await.is_ok() {
                let text = Arc::clone(&wanted.borrow_and_update());
                if let Err(error) = archive.write(id, of, text.to_vec()).await {
                    tracing::error!(run = %id, %error, "its journal is not written");
                }
                done.send_replace(text);
            }
        });
        Self { latest, tried }
    }

    pub(super) fn write(&self, text: Arc<Vec<u8>>) {
        self.latest.send_replace(text);
    }

    /// Waits until the last one is on the disk, or the disk has failed.
    pub(super) async fn flush(&mut self) {
        let last = Arc::clone(&self.latest.borrow());
        // The task lives as long as this.
        let _ = self.tried.wait_for(|tried| Arc::ptr_eq(tried, &last)).await;
    }
}
