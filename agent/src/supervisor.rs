//! Whoever supervises this process, such as systemd, by sd_notify(3).

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;

/// How often within the watchdog's time it is told: one answer that comes late is no reason to be killed.
const PINGS: u32 = 3;

/// Who is told how this process is doing; nobody without NOTIFY_SOCKET.
#[derive(Clone, Copy, Debug)]
pub struct Supervisor {
    /// After so long without a word this process counts as hung.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment says: NOTIFY_SOCKET, and for a watchdog WATCHDOG_USEC and WATCHDOG_PID.
    #[must_use]
    pub fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled().filter(|every| !every.is_zero()) }
    }

    /// Everything serves.
    pub fn ready(&self) {
        say(&NotifyState::Ready);
    }

    /// The end has begun.
    pub fn stopping(&self) {
        say(&NotifyState::Stopping);
    }

    /// Tells again and again that this process is alive, for ever. `answers` asks whoever does the work: as
    /// long as that gives no answer, or says no, nobody is told anything.
    pub async fn watched(&self, answers: impl AsyncFn() -> bool) {
        match self.watchdog {
            Some(watchdog) => ping(watchdog, answers, || say(&NotifyState::Watchdog)).await,
            None => std::future::pending().await,
        }
    }
}

async fn ping(watchdog: Duration, answers: impl AsyncFn() -> bool, say: impl Fn()) {
    let mut tick = tokio::time::interval(watchdog / PINGS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if answers().await {
            say();
        }
    }
}

fn say(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, %state, "the supervisor was not told");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    const WATCHDOG: Duration = Duration::from_secs(9);

    #[tokio::test(start_paused = true)]
    async fn who_answers_is_said_to_live_in_time() {
        let said = Cell::new(0);
        let pings = ping(WATCHDOG, async || true, || said.set(said.get() + 1));
        assert!(timeout(WATCHDOG * 10, pings).await.is_err(), "for ever");
        assert!((30..=31).contains(&said.get()), "{said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_hangs_or_says_no_is_not_said_to_live() {
        let said = Cell::new(0);
        let (asked, never) = (Cell::new(0), Notify::new());
        let hangs = async || {
            asked.set(asked.get() + 1);
            if asked.get() == 3 {
                never.notified().await;
            }
            true
        };
        let pings = ping(WATCHDOG, hangs, || said.set(said.get() + 1));
        assert!(timeout(WATCHDOG * 10, pings).await.is_err());
        assert_eq!((said.get(), asked.get()), (2, 3), "before it hung");
        let pings = ping(WATCHDOG, async || false, || said.set(said.get() + 1));
        assert!(timeout(WATCHDOG * 10, pings).await.is_err());
        assert_eq!(said.get(), 2);
    }
}
