//! Processes that execute another program, as the kernel tells at once (tracepoint sched_process_exec).

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use agent_ebpf::OBJECT;
use agent_ebpf::abi::names;
use aya::maps::{MapData, RingBuf};
use aya::programs::RawTracePoint;
use aya::{Ebpf, EbpfLoader};
use fault::BootTime;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::KernelError;
use super::clock::boot_now;

/// Where they happen.
const TRACEPOINT: &str = "sched_process_exec";

/// What is told of them, if anybody wants to know.
#[derive(Debug, Default)]
pub(super) struct Execs {
    listening: Mutex<Option<Listening>>,
}

/// The thread that listens, and with it the program and its ring.
#[derive(Debug)]
struct Listening {
    /// Dropped, it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Execs {
    fn listening(&self) -> MutexGuard<'_, Option<Listening>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of every process from now on, and when it was heard of, unless somebody is told already.
    ///
    /// # Errors
    /// The program cannot be loaded or attached.
    pub(super) fn start(
        &self,
        told: impl Fn(u32, BootTime) + Send + 'static,
    ) -> Result<(), KernelError> {
        let mut listening = self.listening();
        if listening.is_some() {
            return Ok(());
        }
        let (object, ring) = load()?;
        let (stop, stopped) = UnixStream::pair().map_err(KernelError::call("socketpair"))?;
        let thread = thread::Builder::new()
            .name("schism-execs".to_owned())
            .spawn(move || {
                listen(ring, &stopped, told);
                // What is attached is attached as long as it is held.
                drop(object);
            })
            .map_err(KernelError::call("start a thread"))?;
        *listening = Some(Listening { stop: Some(stop), thread: Some(thread) });
        Ok(())
    }

    /// Tells of nothing any more, unless somebody wants to know still; nothing of it is left in the kernel.
    /// Whoever wants to know has said so before it asks for [`Self::start`].
    pub(super) fn stop_unless(&self, wanted: impl FnOnce() -> bool) {
        let mut listening = self.listening();
        if !wanted() {
            drop(listening.take());
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // One that has panicked listens no more, either.
            let _ = thread.join();
        }
    }
}

fn load() -> Result<(Ebpf, RingBuf<MapData>), KernelError> {
    let object = |error: &dyn std::fmt::Display| KernelError::Object(error.to_string());
    // The large one of the maps that cuts have and nobody needs here.
    let mut loader = EbpfLoader::new();
    loader.map_max_entries(names::FLOWS, 1);
    let mut ebpf = loader.load(OBJECT).map_err(|error| object(&error))?;
    let program: &mut RawTracePoint = ebpf
        .program_mut(names::EXEC)
        .ok_or_else(|| object(&"it has no program for executions"))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| object(&error))?;
    program.load().map_err(|error| object(&error))?;
    program.attach(TRACEPOINT).map_err(|error| object(&error))?;
    let map = ebpf.take_map(names::EXECS).ok_or_else(|| object(&"it has no ring"))?;
    let ring = RingBuf::try_from(map).map_err(|error| object(&error))?;
    let others: Vec<String> = ebpf.maps().map(|(name, _)| name.to_owned()).collect();
    others.iter().for_each(|name| drop(ebpf.take_map(name)));
    Ok((ebpf, ring))
}

fn listen(mut ring: RingBuf<MapData>, stopped: &UnixStream, told: impl Fn(u32, BootTime)) {
    loop {
        let stop = {
            let mut awaited = [
                PollFd::new(ring.as_fd(), PollFlags::POLLIN),
                PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
            ];
            // Interrupted or not, what is there is read.
            let _ = poll(&mut awaited, PollTimeout::NONE);
            awaited[1].any().unwrap_or(true)
        };
        if stop {
            return;
        }
        let mut executed = Vec::new();
        while let Some(item) = ring.next() {
            if let Ok(pid) = <[u8; 4]>::try_from(&*item) {
                executed.push((u32::from_ne_bytes(pid), boot_now()));
            }
        }
        // Only now: to tell of one takes its time, and is none of the others' executions.
        executed.into_iter().for_each(|(pid, at)| told(pid, at));
    }
}
