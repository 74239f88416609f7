//! A further thread of a holder, with a share of its own.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use super::share::{Answer, Order, Share};
use super::{HoldError, Look};

/// How a further thread is told what to do. It lets go of its share, and ends, when this is dropped.
pub(super) struct Hand<T> {
    orders: Sender<Order>,
    answers: Receiver<Result<Answer<T>, HoldError>>,
}

impl<T: Send + 'static> Hand<T> {
    /// Starts it.
    ///
    /// # Errors
    /// The process may have no more threads.
    pub(super) fn start<'scope, 's: 'scope>(
        scope: &'scope Scope<'scope, 's>,
        pid: u32,
        look: Look<'s, T>,
    ) -> io::Result<Self> {
        let (orders, ordered) = channel();
        let (said, answers) = channel();
        std::thread::Builder::new().spawn_scoped(scope, move || {
            // Made here: what a thread seizes, no other may ask anything of.
            let mut share = Share::new(pid, look);
            for order in ordered {
                if said.send(share.perform(order)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { orders, answers })
    }

    /// Tells it to do something; [`Self::answer`] is what came of it.
    pub(super) fn tell(&self, order: Order) {
        // That it is gone is what its answer says.
        let _ = self.orders.send(order);
    }

    pub(super) fn answer(&self) -> Result<Answer<T>, HoldError> {
        self.answers.recv().unwrap_or(Err(HoldError::Alone))
    }
}
