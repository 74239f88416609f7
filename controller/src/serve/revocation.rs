//! Connections whose certificate is taken out of the list of issued ones.

use std::future::Future as _;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use agent::kernel::FileWatch;
use link::{Fingerprint, Issued};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

/// How often the list is looked at besides its events: those of a directory tell nothing of a link that
/// leads elsewhere now, as in mounted secrets.
const LOOK: Duration = Duration::from_secs(1);
/// How long a list that names somebody no more may be on its way to the next version: one that is written
/// in place is empty in between.
const SETTLES: Duration = Duration::from_millis(200);

/// Everybody who is connected by a certificate.
pub(super) struct Connected {
    issued: Arc<Issued>,
    path: PathBuf,
    all: Mutex<Vec<Held>>,
}

struct Held {
    fingerprint: Fingerprint,
    revoked: oneshot::Sender<()>,
}

impl Connected {
    /// Nobody yet; `path` is where the list is.
    pub(super) fn new(issued: Arc<Issued>, path: PathBuf) -> Arc<Self> {
        Arc::new(Self { issued, path, all: Mutex::default() })
    }

    /// A stream that breaks once its certificate is not admitted any more.
    pub(super) fn hold<S>(&self, stream: S, fingerprint: Fingerprint) -> Revocable<S> {
        let (revoked, when) = oneshot::channel();
        self.all().push(Held { fingerprint, revoked });
        Revocable { stream, standing: Standing::Admitted(when) }
    }

    /// Breaks them, until the controller ends.
    pub(super) async fn watch(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut events = FileWatch::start(&self.path).ok();
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                alive = changed(&mut events) => if !alive {
                    events = None;
                },
                _ = tick.tick() => if events.is_none() {
                    events = FileWatch::start(&self.path).ok();
                },
            }
            if self.unlisted().is_empty() {
                continue;
            }
            tokio::time::sleep(SETTLES).await;
            self.part();
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Held>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unlisted(&self) -> Vec<Fingerprint> {
        let mut all = self.all();
        all.retain(|held| !held.revoked.is_closed());
        let fingerprints: Vec<Fingerprint> = all.iter().map(|held| held.fingerprint).collect();
        drop(all);
        self.issued.unlisted(fingerprints)
    }

    fn part(&self) {
        let gone = self.unlisted();
        for held in self.all().extract_if(.., |held| gone.contains(&held.fingerprint)) {
            let fingerprint = held.fingerprint.short();
            tracing::warn!(%fingerprint, "certificate is not issued any more: disconnected");
            // It may have ended by itself.
            let _ = held.revoked.send(());
        }
    }
}

/// Whether there will be more events.
async fn changed(events: &mut Option<FileWatch>) -> bool {
    match events {
        Some(events) => events.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// A stream by a certificate that may be revoked.
pub(super) struct Revocable<S> {
    stream: S,
    standing: Standing,
}

enum Standing {
    Admitted(oneshot::Receiver<()>),
    Revoked,
    /// Nobody looks any more: the controller ends.
    Unwatched,
}

impl<S> Revocable<S> {
    /// A stream that breaks once it is told to.
    pub(super) fn new(stream: S) -> (Self, oneshot::Sender<()>) {
        let (revoked, when) = oneshot::channel();
        (Self { stream, standing: Standing::Admitted(when) }, revoked)
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Standing::Admitted(revoked) = &mut self.standing {
            match Pin::new(revoked).poll(context) {
                Poll::Ready(Ok(())) => self.standing = Standing::Revoked,
                Poll::Ready(Err(_)) => self.standing = Standing::Unwatched,
                Poll::Pending => {}
            }
        }
        match self.standing {
            Standing::Admitted(_) | Standing::Unwatched => Ok(()),
            Standing::Revoked => {
                let reason = "what it has proved itself by is not good any more";
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Revocable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Revocable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
