//! TCP connections that are tried at the same time, each carrying its number.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Delivery;
use crate::topology::Node;

/// Opens `count` connections from a node's namespace; those count as arrived whose number was read
/// by the listener before the limit.
pub(super) fn run(
    from: &Node,
    listener: &TcpListener,
    count: u32,
    limit: Duration,
    connect: impl Fn(Duration) -> io::Result<TcpStream> + Sync,
) -> io::Result<Delivery> {
    let deadline = Instant::now() + limit;
    let (arrival, arrivals) = mpsc::channel();
    let (failure, failures) = mpsc::channel();
    thread::scope(|scope| {
        let accepting = scope.spawn(move || accept(listener, count, deadline, &arrival));
        let connect = &connect;
        let tried = from.namespace.inside(|| {
            // Threads that are started inside a namespace are inside.
            thread::scope(|inside| {
                for number in 0..count {
                    let failure = failure.clone();
                    inside.spawn(move || {
                        if let Err(error) = attempt(connect, number, deadline) {
                            // The collector outlives every attempt.
                            let _: Result<(), _> = failure.send(error.kind());
                        }
                    });
                }
            });
        });
        let accepted = accepting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        tried.map_err(io::Error::other).and(accepted)
    })?;
    drop(failure);
    Ok(Delivery {
        sent: count,
        arrived: arrivals.iter().collect(),
        errors: failures.iter().collect(),
    })
}

fn attempt(
    connect: &(impl Fn(Duration) -> io::Result<TcpStream> + Sync),
    number: u32,
    deadline: Instant,
) -> io::Result<()> {
    let mut stream = connect(left(deadline))?;
    stream.write_all(&number.to_be_bytes())?;
    stream.set_read_timeout(Some(left(deadline)))?;
    // The listener closes when it has read the number: until then the connection stays open.
    match stream.read(&mut [0; 1]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::ErrorKind::TimedOut.into())
        }
        other => other.map(drop),
    }
}

fn accept(
    listener: &TcpListener,
    count: u32,
    deadline: Instant,
    arrival: &mpsc::Sender<u32>,
) -> io::Result<()> {
    thread::scope(|readers| {
        for _ in 0..count {
            let timeout = PollTimeout::try_from(left(deadline)).unwrap_or(PollTimeout::MAX);
            let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            if poll(&mut waiting, timeout)? == 0 {
                break;
            }
            let (mut stream, _) = listener.accept()?;
            let arrival = arrival.clone();
            readers.spawn(move || {
                let mut number = [0; 4];
                let read = stream
                    .set_read_timeout(Some(left(deadline)))
                    .and_then(|()| stream.read_exact(&mut number));
                if read.is_ok() {
                    // The collector outlives every reader.
                    let _: Result<(), _> = arrival.send(u32::from_be_bytes(number));
                }
            });
        }
        Ok(())
    })
}

/// The time to the deadline; a little where it has passed, since zero would mean no limit.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}
