//! The journal of a run on its way to the disk.

use std::sync::Arc;
use std::time::Duration;

use fault::IntentId;
use tokio::sync::watch;

use crate::archive::{self, Of};

/// How often a short journal is written, at most.
const EVERY: Duration = Duration::from_millis(250);
/// For each time that a journal is as long as this (256 KiB) it is written that much more seldom: it is
/// rendered and written as a whole.
const SHORT: usize = 256 << 10;
/// The longest journal that is told (60 MiB): a command takes messages of 64 MiB.
pub(super) const LONGEST_TOLD: usize = 60 << 20;

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

    /// How long the next one may wait.
    pub(super) fn pause(&self) -> Duration {
        pause(self.latest.borrow().len())
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

fn pause(length: usize) -> Duration {
    EVERY.saturating_mul(u32::try_from(length / SHORT).unwrap_or(u32::MAX).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_journal_is_written_more_seldom() {
        let of = |length| pause(length).as_millis();
        assert_eq!([of(0), of(SHORT - 1), of(SHORT), of(32 << 20)], [250, 250, 500, 32_250]);
    }
}
