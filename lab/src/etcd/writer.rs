//! A client that writes all the time, so that what a cut does to clients can be measured.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Client, Cluster};
use crate::clock::BootTime;

/// Through which member a writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// This one only.
    Through(usize),
    /// The one that answered last; after a failure the next one.
    Any,
}

/// One attempt to write.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its number; it wrote the key `PREFIX/NUMBER`.
    pub number: u64,
    /// Through which member.
    pub member: usize,
    /// When it began.
    pub began: BootTime,
    /// How long it took to succeed or fail.
    pub latency: Duration,
    /// The revision after the write, or why it was not acknowledged: then it may be written
    /// nevertheless.
    pub result: Result<u64, String>,
}

impl Attempt {
    /// When it succeeded or failed.
    #[must_use]
    pub fn ended(&self) -> BootTime {
        self.began + self.latency
    }
}

/// Everything that a writer tried.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// Every attempt, in order.
    pub attempts: Vec<Attempt>,
}

impl Writes {
    /// How many were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.attempts.iter().filter(|attempt| attempt.result.is_ok()).count()
    }

    /// How many were not.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.attempts.len() - self.acknowledged()
    }

    /// The attempts that began at or after one moment and before another.
    #[must_use]
    pub fn between(&self, since: BootTime, until: BootTime) -> Self {
        let within = |attempt: &&Attempt| (since..until).contains(&attempt.began);
        Self { attempts: self.attempts.iter().filter(within).cloned().collect() }
    }

    /// The longest time without an acknowledged write: between two acknowledgements, or between
    /// the first or last attempt and the acknowledgement next to it.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        let (Some(first), Some(last)) = (self.attempts.first(), self.attempts.last()) else {
            return Duration::ZERO;
        };
        let acknowledged = self.attempts.iter().filter(|attempt| attempt.result.is_ok());
        let mut longest = Duration::ZERO;
        let mut previous = first.began;
        for moment in acknowledged.map(Attempt::ended).chain([last.ended()]) {
            longest = longest.max(moment - previous);
            previous = moment;
        }
        longest
    }

    /// The latency that half of the acknowledged writes did not exceed; `None` without any.
    #[must_use]
    pub fn median_latency(&self) -> Option<Duration> {
        let acknowledged = self.attempts.iter().filter(|attempt| attempt.result.is_ok());
        let mut latencies: Vec<Duration> = acknowledged.map(|attempt| attempt.latency).collect();
        latencies.sort_unstable();
        latencies.get(latencies.len() / 2).copied()
    }
}

/// Writes one key after the other until it is finished or dropped.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    writes: Mutex<Writes>,
    /// After every attempt.
    attempted: Condvar,
}

impl Writer {
    /// Starts to write from the cluster's client namespace; each attempt may take `limit`, and
    /// begins `every` after the one before it, or when that has ended.
    #[must_use]
    pub fn start(cluster: &Cluster, route: Route, every: Duration, limit: Duration) -> Self {
        let clients = (0..cluster.size()).map(|member| cluster.client(member)).collect();
        Self::of(clients, "schism", route, every, limit)
    }

    /// The same with a client of each member and the beginning of all keys.
    #[must_use]
    pub fn of(
        clients: Vec<Client>,
        prefix: &str,
        route: Route,
        every: Duration,
        limit: Duration,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = {
            let (shared, prefix) = (Arc::clone(&shared), prefix.to_owned());
            thread::spawn(move || write(clients, &prefix, route, every, limit, &shared))
        };
        Self { shared, thread: Some(thread) }
    }

    /// What was tried so far.
    #[must_use]
    pub fn so_far(&self) -> Writes {
        self.shared.writes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a write that begins at or after `since` and is acknowledged, and returns it.
    #[must_use]
    pub fn wait_acknowledged(&self, since: BootTime, limit: Duration) -> Option<Attempt> {
        let found = |writes: &Writes| {
            let later = writes.attempts.iter().rev().take_while(|attempt| attempt.began >= since);
            later.filter(|attempt| attempt.result.is_ok()).last().cloned()
        };
        let writes = self.shared.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .shared
            .attempted
            .wait_timeout_while(writes, limit, |writes| found(writes).is_none());
        found(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Stops after the attempt that is under way, and returns everything.
    #[must_use]
    pub fn finish(mut self) -> Writes {
        self.halt();
        self.so_far()
    }

    fn halt(&mut self) {
        {
            // Under the lock, so that the writer can't begin to wait between the two lines.
            let _writes = self.shared.writes.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.stop.store(true, Ordering::Relaxed);
            self.shared.attempted.notify_all();
        }
        if let Some(thread) = self.thread.take() {
            let _: thread::Result<()> = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.halt();
    }
}

fn write(
    mut clients: Vec<Client>,
    prefix: &str,
    route: Route,
    every: Duration,
    limit: Duration,
    shared: &Shared,
) {
    let mut any = 0;
    for number in 0.. {
        let member = match route {
            Route::Through(member) => member,
            Route::Any => any,
        };
        let began = BootTime::now();
        let result = clients[member].put(&format!("{prefix}/{number}"), "written", limit);
        let latency = began.elapsed();
        if result.is_err() {
            any = (member + 1) % clients.len();
        }
        let result = result.map_err(|error| error.to_string());
        let attempt = Attempt { number, member, began, latency, result };
        let mut writes = shared.writes.lock().unwrap_or_else(PoisonError::into_inner);
        writes.attempts.push(attempt);
        shared.attempted.notify_all();
        let rest = every.saturating_sub(latency);
        let stop = |_: &mut Writes| !shared.stop.load(Ordering::Relaxed);
        // The pause to the next attempt ends early when the writer is to stop.
        drop(shared.attempted.wait_timeout_while(writes, rest, stop));
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u64, began: u64, latency: u64, acknowledged: bool) -> Attempt {
        let result = if acknowledged { Ok(number) } else { Err("no".to_owned()) };
        let (began, latency) = (BootTime::from_nanos(began), Duration::from_nanos(latency));
        Attempt { number, member: 0, began, latency, result }
    }

    #[test]
    fn a_gap_is_between_acknowledgements() {
        let attempts = vec![
            attempt(0, 0, 5, true),
            attempt(1, 10, 30, false),
            attempt(2, 40, 5, true),
            attempt(3, 50, 5, true),
        ];
        let writes = Writes { attempts };
        assert_eq!(writes.longest_gap(), Duration::from_nanos(40));
        assert_eq!((writes.acknowledged(), writes.failed()), (3, 1));
        let tail = writes.between(BootTime::from_nanos(10), BootTime::from_nanos(50));
        assert_eq!(tail.attempts.len(), 2);
        assert_eq!(tail.longest_gap(), Duration::from_nanos(35));
    }

    #[test]
    fn without_any_acknowledgement_all_of_it_is_a_gap() {
        let attempts = vec![attempt(0, 0, 5, false), attempt(1, 10, 5, false)];
        let writes = Writes { attempts };
        assert_eq!(writes.longest_gap(), Duration::from_nanos(15));
        assert_eq!(writes.median_latency(), None);
        assert_eq!(Writes::default().longest_gap(), Duration::ZERO);
    }
}
