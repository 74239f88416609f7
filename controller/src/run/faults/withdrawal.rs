//! A fault that is on its way in, and that nobody wants any more.

use std::future::pending;

use tokio::sync::watch;

use crate::failure::{Cause, Failure};

/// Who says so.
#[derive(Debug)]
pub(in crate::run) struct Withdrawal(watch::Sender<bool>);

/// Who is told so.
#[derive(Debug)]
pub(in crate::run) struct Withdrawn(watch::Receiver<bool>);

impl Withdrawal {
    /// Of one fault, with whoever puts it in.
    pub(in crate::run) fn new() -> (Self, Withdrawn) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Withdrawn(receiver))
    }

    /// It is not wanted any more.
    pub(in crate::run) fn say(&self) {
        // It may be in by now.
        let _ = self.0.send(true);
    }

    /// Whether somebody puts it in still.
    pub(in crate::run) fn is_heard(&self) -> bool {
        !self.0.is_closed()
    }
}

impl Withdrawn {
    async fn said(&mut self) {
        let is_said = self.0.wait_for(|said| *said).await.is_ok();
        if !is_said {
            // Nobody can say it any more.
            pending::<()>().await;
        }
    }

    /// Does work that may be dropped, and gives it up when the fault is not wanted any more.
    ///
    /// # Errors
    /// The work's, or that it was given up.
    pub(super) async fn unless<T>(
        &mut self,
        attempted: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.said() => {
                let why = "given up while it was put in";
                Err(Failure::caused(Cause::Interrupted, attempted, why))
            }
            done = work => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_given_up_when_nobody_wants_it_any_more() {
        let (withdrawal, mut withdrawn) = Withdrawal::new();
        let done = withdrawn.unless("cannot", async { Ok(1) }).await;
        assert_eq!(done, Ok(1));
        let (work, _) =
            tokio::join!(withdrawn.unless("cannot", pending::<Result<(), _>>()), async {
                withdrawal.say();
            });
        assert_eq!(work.unwrap_err().cause, Cause::Interrupted);
        // Also what is begun after that, whoever said it.
        drop(withdrawal);
        let late = withdrawn.unless("cannot", async { Ok(1) }).await;
        assert_eq!(late.unwrap_err().cause, Cause::Interrupted);
    }

    #[tokio::test]
    async fn work_goes_on_where_nobody_can_say_it() {
        let (withdrawal, mut withdrawn) = Withdrawal::new();
        assert!(withdrawal.is_heard());
        drop(withdrawal);
        assert_eq!(withdrawn.unless("cannot", async { Ok(1) }).await, Ok(1));
    }
}
