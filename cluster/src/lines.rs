//! The lines of an answer that comes bit by bit.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    Cause, Client,
    call::Call,
    connection::{Connection, broken},
};

/// No line is longer (8 MiB): an object has at most 3 MiB, with what is escaped.
const LONGEST: usize = 8 << 20;

/// How long lines may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// All of them together.
    pub(crate) lasts: Duration,
    /// From one bit to the next: after that they are taken to have ended.
    pub(crate) silent: Option<Duration>,
}

/// The lines of a body.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Incoming,
    _connection: Connection,
    buffer: Vec<u8>,
    /// How much of the buffer has no end of a line.
    searched: usize,
    begun: Instant,
    /// When anything came last.
    heard: Instant,
    times: Times,
}

impl Lines {
    /// Asks for them; until the first the client has patience.
    pub(crate) async fn open(client: &Client, call: &Call, times: Times) -> Result<Self, Cause> {
        let (patience, connections) = (client.patience(), client.connections());
        // Somebody may have to log in for it, which is no time of the API server.
        let shown = connections.logins().shown().await?;
        let opened = timeout(patience, call.open(connections, &shown)).await;
        let (answer, connection) = opened.map_err(|_| Cause::Late(patience)).flatten()?;
        let begun = Instant::now();
        Ok(Self {
            body: answer.into_body(),
            _connection: connection,
            buffer: Vec::new(),
            searched: 0,
            begun,
            heard: begun,
            times,
        })
    }

    /// How long ago it was opened.
    pub(crate) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The next line with its end, or `None` at the end of the body, or where nothing came for too long. What follows the
    /// last end of a line is no line.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, Cause> {
        loop {
            let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
            if let Some(at) = found {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > LONGEST {
                return Err(Cause::TooLong(LONGEST));
            }
            let end = self.begun + self.times.lasts;
            let silent = self.times.silent.map(|silent| self.heard + silent);
            let until = silent.map_or(end, |silent| silent.min(end));
            let Ok(frame) = timeout_at(until, self.body.frame()).await else {
                return if until == end { Err(Cause::Late(self.times.lasts)) } else { Ok(None) };
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&error)),
                Some(Ok(frame)) => {
                    self.heard = Instant::now();
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }
}
