//! Ctrl-C and SIGTERM: a program of the lab ends where it is, and what it made is taken away.

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

/// As a shell tells of who ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Somebody asked this program to end.
#[derive(Clone, Copy, Debug, Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Whether somebody asked this program to end.
#[derive(Clone, Debug)]
pub struct Interruption(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    flag: Mutex<bool>,
    changed: Condvar,
}

impl Interruption {
    /// Listens to SIGINT, SIGTERM and SIGHUP from now on. Who sends a second one ends the process at once.
    ///
    /// # Errors
    /// When signals can't be listened to.
    pub fn listen() -> io::Result<Self> {
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
                        exit(INTERRUPTED);
                    }
                    *asked.flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
                    asked.changed.notify_all();
                }
            });
        });
        Ok(interruption)
    }

    /// Fails if somebody asked.
    ///
    /// # Errors
    /// Somebody did.
    pub fn check(&self) -> Result<(), Interrupted> {
        self.pause(Duration::ZERO)
    }

    /// Lets this much time pass, unless somebody asks.
    ///
    /// # Errors
    /// Somebody did.
    pub fn pause(&self, time: Duration) -> Result<(), Interrupted> {
        let flag = self.0.flag.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.changed.wait_timeout_while(flag, time, |asked| !*asked);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 { Err(Interrupted) } else { Ok(()) }
    }
}
