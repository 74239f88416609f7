//! Packets of a namespace in memory: each is a datagram from a test to whoever captures.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fault::{Packet, PacketWay};

use crate::kernel::Tap;

/// The test's end.
#[derive(Debug)]
pub struct Wire {
    socket: UnixDatagram,
    passed: Arc<AtomicU64>,
}

/// The end of who captures.
pub(super) struct Tapped {
    socket: UnixDatagram,
    passed: Arc<AtomicU64>,
    bytes: Vec<u8>,
}

/// Both ends.
///
/// # Errors
/// There are no descriptors left.
pub(super) fn pair() -> io::Result<(Wire, Tapped)> {
    let (ours, theirs) = UnixDatagram::pair()?;
    for socket in [&ours, &theirs] {
        socket.set_nonblocking(true)?;
    }
    let passed = Arc::new(AtomicU64::new(0));
    let bytes = vec![0; usize::from(u16::MAX)];
    let tapped = Tapped { socket: theirs, passed: Arc::clone(&passed), bytes };
    Ok((Wire { socket: ours, passed }, tapped))
}

impl Wire {
    /// Lets a packet pass; false where nobody hears it, as there is no room or nobody captures any more.
    #[must_use]
    pub fn pass(&self, bytes: &[u8]) -> bool {
        self.passed.fetch_add(1, Ordering::Relaxed);
        self.socket.send(bytes).is_ok()
    }

    /// Whether somebody captures, or still may.
    #[must_use]
    pub fn is_tapped(&self) -> bool {
        Arc::strong_count(&self.passed) > 1
    }
}

impl AsFd for Tapped {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Tap for Tapped {
    fn take(&mut self) -> io::Result<Option<Packet>> {
        let count = match self.socket.recv(&mut self.bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            count => count?,
        };
        Ok(Some(Packet {
            time: 1_000,
            interface: 2,
            protocol: 0x0800,
            hardware: 1,
            way: PacketWay::Here,
            sender: None,
            length: u32::try_from(count).unwrap_or(u32::MAX),
            bytes: self.bytes[..count].to_vec(),
        }))
    }

    fn device(&self, index: u32) -> String {
        format!("eth{}", index.saturating_sub(2))
    }

    fn passed(&mut self) -> io::Result<u64> {
        Ok(self.passed.load(Ordering::Relaxed))
    }
}
