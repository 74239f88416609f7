//! A tap for which a task of the runtime waits.
#![expect(unsafe_code, reason = "the runtime has to be promised that a descriptor stays")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use fault::Packet;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Tap;

/// A tap for which a task waits.
pub struct Listening(AsyncFd<Waited>);

/// It is never put in the place of another one.
struct Waited(Box<dyn Tap>);

impl AsRawFd for Waited {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Listening {
    /// Begins to wait, within a runtime.
    ///
    /// # Errors
    /// The kernel's.
    pub fn to(tap: Box<dyn Tap>) -> io::Result<Self> {
        // SAFETY: a tap has one descriptor, which it owns until it is dropped, and it is dropped with this.
        let waited = unsafe { AsyncFd::register_with_interest(Waited(tap), Interest::READABLE) };
        Ok(Self(waited?))
    }

    /// Waits for packets: at least one, and no more than cost so much (bytes), but for the last of them. Nothing of
    /// them is lost by whoever stops waiting.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn batch(&mut self, most: u64) -> io::Result<Vec<Packet>> {
        loop {
            let mut ready = self.0.readable_mut().await?;
            let (mut batch, mut cost) = (Vec::new(), 0);
            while batch.is_empty() || cost < most {
                let Some(packet) = ready.get_inner_mut().0.take()? else {
                    ready.clear_ready();
                    break;
                };
                cost += packet.cost();
                batch.push(packet);
            }
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }

    /// The tap itself.
    pub fn tap(&mut self) -> &mut dyn Tap {
        self.0.get_mut().0.as_mut()
    }
}
