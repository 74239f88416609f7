//! Signals that ask a command to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::failure::{Cause, Failure};

/// How the command was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Ctrl-C: somebody sits there and can press it again.
    Keyboard,
    /// SIGTERM: nobody waits.
    Termination,
    /// SIGHUP: its terminal is gone, and nobody waits either.
    Hangup,
}

/// The signals that came and were not looked at yet.
#[derive(Debug)]
pub(crate) struct Interrupts {
    signals: mpsc::UnboundedReceiver<Interrupt>,
    terminated: bool,
}

impl Interrupts {
    /// Takes SIGINT, SIGTERM and SIGHUP from their default, which is to die at once.
    pub(crate) fn listen() -> io::Result<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let kinds = [
            (SignalKind::interrupt(), Interrupt::Keyboard),
            (SignalKind::terminate(), Interrupt::Termination),
            (SignalKind::hangup(), Interrupt::Hangup),
        ];
        for (kind, interrupt) in kinds {
            let mut signals = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() && sender.send(interrupt).is_ok() {}
            });
        }
        Ok(Self { signals: receiver, terminated: false })
    }

    /// Waits for the next signal; safe to be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Interrupt {
        match self.signals.recv().await {
            Some(interrupt) => {
                self.terminated |= interrupt != Interrupt::Keyboard;
                interrupt
            }
            // The senders live as long as the runtime does.
            None => std::future::pending().await,
        }
    }

    /// Does work that has put nothing in yet, and gives it up when a signal comes.
    ///
    /// # Errors
    /// The work's, or that it was interrupted.
    pub(crate) async fn unless<T>(
        &mut self,
        attempted: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            _ = self.next() => Err(interrupted(attempted)),
            done = work => done,
        }
    }

    /// The same of work that puts nothing in.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn unless_looking<T>(
        &mut self,
        attempted: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            _ = self.next() => Err(Failure::caused(Cause::Interrupted, attempted, "interrupted")),
            done = work => done,
        }
    }

    /// Whether SIGTERM or SIGHUP came: then there is no time to wait for others.
    pub(crate) const fn terminated(&self) -> bool {
        self.terminated
    }
}

/// That somebody asked the command to end before there was anything to heal.
pub(crate) fn interrupted(attempted: &str) -> Failure {
    Failure::caused(Cause::Interrupted, attempted, "interrupted before anything was put in")
}
