//! Ctrl-C and SIGTERM: the tale ends where it is, and what it made is taken away.

use std::{
    io,
    process::exit,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use thiserror::Error;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// Somebody asked the demo to end.
#[derive(Clone, Copy, Debug, Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Whether somebody asked the demo to end.
#[derive(Clone, Debug)]
pub(crate) struct Interruption(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    flag: Mutex<bool>,
    changed: Condvar,
}

impl Interruption {
    /// Listens to SIGINT, SIGTERM and SIGHUP from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate, mut hangup) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            )
        };
        let asked = Arc::new(Asked::default());
        let interruption = Self(Arc::clone(&asked));
        thread::spawn(move || {
            runtime.block_on(async {
                for count in 0.. {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hangup.recv() => {}
                    }
                    if count > 0 {
                        // Who asks twice does not wait for processes to end: the warden kills them.
                        exit(i32::from(super::INTERRUPTED));
                    }
                    *asked.flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
                    asked.changed.notify_all();
                }
            });
        });
        Ok(interruption)
    }

    /// Fails if somebody asked.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        self.pause(Duration::ZERO)
    }

    /// Lets this much time pass, unless somebody asks.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), Interrupted> {
        let flag = self.0.flag.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.changed.wait_timeout_while(flag, time, |asked| !*asked);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 { Err(Interrupted) } else { Ok(()) }
    }
}
