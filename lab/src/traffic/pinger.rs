//! A steady stream of datagrams whose gaps show when a cut began and ended.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::time::TimeSpec,
    time::{ClockId, ClockNanosleepFlags, clock_nanosleep},
};

use super::recording::{Recording, Sending};
use crate::{
    clock::BootTime,
    topology::{Family, Node},
};

/// How long the receiver waits for the last datagrams after the sender has stopped.
const LATE: Duration = Duration::from_millis(50);

/// Datagrams from one node to another at a fixed interval, until it is finished or dropped.
#[derive(Debug)]
pub struct Pinger {
    stop: Arc<AtomicBool>,
    arrivals: Arc<Arrivals>,
    sender: Option<JoinHandle<Vec<Sending>>>,
    receiver: Option<JoinHandle<Vec<(u32, BootTime)>>>,
}

/// When datagrams arrived, in that order.
#[derive(Debug, Default)]
struct Arrivals {
    times: Mutex<Vec<BootTime>>,
    another: Condvar,
}

impl Pinger {
    /// Starts to send; 100 µs as interval resolve an outage to about 0.2 ms on an idle machine.
    ///
    /// # Errors
    /// When a socket can't be opened.
    pub fn start(from: &Node, to: &Node, family: Family, interval: Duration) -> io::Result<Self> {
        let receiver = to.udp_socket(to.socket_address(family, 0))?;
        receiver.set_read_timeout(Some(LATE))?;
        let sender = from.udp_socket(from.socket_address(family, 0))?;
        let destination = receiver.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let arrivals = Arc::new(Arrivals::default());
        let sender = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || send(&sender, destination, interval, &stop))
        };
        let receiver = {
            let (stop, arrivals) = (Arc::clone(&stop), Arc::clone(&arrivals));
            thread::spawn(move || receive(&receiver, &stop, &arrivals))
        };
        Ok(Self { stop, arrivals, sender: Some(sender), receiver: Some(receiver) })
    }

    /// Waits for the first datagram that arrives after `since`, which may be past, and says when it did.
    #[must_use]
    pub fn wait_arrival(&self, since: BootTime, limit: Duration) -> Option<BootTime> {
        let first = |times: &[BootTime]| {
            times.get(times.partition_point(|arrival| *arrival <= since)).copied()
        };
        let times = self.arrivals.times.lock().unwrap_or_else(PoisonError::into_inner);
        let waited =
            self.arrivals.another.wait_timeout_while(times, limit, |times| first(times).is_none());
        let (times, _) = waited.unwrap_or_else(PoisonError::into_inner);
        first(&times)
    }

    /// Waits until nothing has arrived for as long as `gap`; false when the limit came first.
    #[must_use]
    pub fn wait_silence(&self, gap: Duration, limit: Duration) -> bool {
        let deadline = BootTime::now() + limit;
        let mut since = BootTime::now();
        while since < deadline {
            match self.wait_arrival(since, gap) {
                None => return true,
                Some(arrival) => since = arrival,
            }
        }
        false
    }

    /// Stops and returns what was recorded.
    #[must_use]
    pub fn finish(mut self) -> Recording {
        self.stop.store(true, Ordering::Relaxed);
        Recording::new(join(self.sender.take()), &join(self.receiver.take()))
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        join(self.sender.take());
        join(self.receiver.take());
    }
}

fn join<T>(thread: Option<JoinHandle<Vec<T>>>) -> Vec<T> {
    thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
}

fn send(
    socket: &UdpSocket,
    destination: SocketAddr,
    interval: Duration,
    stop: &AtomicBool,
) -> Vec<Sending> {
    exact_timers();
    let mut sendings = Vec::new();
    let mut due = BootTime::now();
    while !stop.load(Ordering::Relaxed) {
        let number = u32::try_from(sendings.len()).unwrap_or(u32::MAX);
        let before = BootTime::now();
        // What the sender is told is not asked here: a datagram that was refused did not arrive.
        let _: io::Result<usize> = socket.send_to(&number.to_be_bytes(), destination);
        sendings.push(Sending { before, after: BootTime::now() });
        // The beat is kept, but one that was missed is not made up for by a burst.
        due = (due + interval).max(before);
        let until = TimeSpec::from_duration(Duration::from_nanos(due.nanos()));
        let at = ClockNanosleepFlags::TIMER_ABSTIME;
        let _: nix::Result<TimeSpec> = clock_nanosleep(ClockId::CLOCK_BOOTTIME, at, &until);
    }
    sendings
}

fn receive(socket: &UdpSocket, stop: &AtomicBool, shared: &Arrivals) -> Vec<(u32, BootTime)> {
    exact_timers();
    let mut arrivals = Vec::new();
    let mut stopped: Option<Instant> = None;
    // Who has stopped sending has nothing under way after a while, whatever else arrives.
    while stopped.is_none_or(|since| since.elapsed() < LATE) {
        if stop.load(Ordering::Relaxed) && stopped.is_none() {
            stopped = Some(Instant::now());
        }
        let mut number = [0; 4];
        if socket.recv(&mut number).is_ok() {
            let now = BootTime::now();
            arrivals.push((u32::from_be_bytes(number), now));
            shared.times.lock().unwrap_or_else(PoisonError::into_inner).push(now);
            shared.another.notify_all();
        }
    }
    arrivals
}

/// Has the kernel wake this thread when it should, not up to 50 µs later (prctl(2),
/// PR_SET_TIMERSLACK).
fn exact_timers() {
    let _: nix::Result<()> = nix::sys::prctl::set_timerslack(1);
}
