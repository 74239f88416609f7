//! Who is at the other end of a run's stream.

use proto::control as wire;
use proto::control::run_reply::Kind as Reply;
use proto::control::run_request::Kind as Request;
use tokio::sync::{mpsc, watch};

/// Words that somebody may be behind before nobody waits for him any more.
const BACKLOG: usize = 1024;
/// Answers that may wait to be taken.
const ANSWERS: usize = 16;

/// This end of the stream of a run.
#[derive(Debug)]
pub struct Line {
    replies: mpsc::Sender<Reply>,
    requests: mpsc::Receiver<Request>,
    journal: watch::Sender<Vec<u8>>,
}

/// The other end.
#[derive(Debug)]
pub struct Peer {
    /// What it is told.
    pub replies: mpsc::Receiver<Reply>,
    /// What it says; it is gone once this is dropped.
    pub requests: mpsc::Sender<Request>,
    /// The journal so far, the last one only.
    pub journal: watch::Receiver<Vec<u8>>,
}

/// The other end reads no more, or is too far behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the line that started the run is lost")]
pub(super) struct Lost;

impl Line {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Self, Peer) {
        let (replies, told) = mpsc::channel(BACKLOG);
        let (said, requests) = mpsc::channel(ANSWERS);
        let (journal, written) = watch::channel(Vec::new());
        let line = Self { replies, requests, journal };
        (line, Peer { replies: told, requests: said, journal: written })
    }

    /// Tells it something. Nothing waits for who does not read.
    pub(super) fn tell(&self, reply: Reply) -> Result<(), Lost> {
        self.replies.try_send(reply).map_err(|_| Lost)
    }

    /// Lets it have the journal so far, when it has time for it.
    pub(super) fn keep(&self, journal: &[u8]) {
        self.journal.send_replace(journal.to_vec());
    }

    /// The next that it says; `None` once it is gone.
    pub(super) async fn next(&mut self) -> Option<Request> {
        self.requests.recv().await
    }

    /// The last word.
    pub(super) fn end(self, run: wire::Run, journal: Vec<u8>, junit: String) {
        let end = wire::RunEnd { run: Some(run), journal: journal.into(), junit };
        // It may have gone long ago.
        let _ = self.tell(Reply::End(end));
    }
}
