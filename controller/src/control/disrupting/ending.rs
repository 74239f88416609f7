//! Why something that goes on is to end.

use tokio::sync::watch;

/// Why it is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Somebody wants it to, or the brake is on.
    End(String),
    /// This controller ends: whoever leads next sees to the rest.
    Leave,
}

/// Whoever may have it end.
#[derive(Debug)]
pub(super) struct Ending {
    end: watch::Receiver<Option<String>>,
    /// Its sender goes with the task that drives intents.
    brake: watch::Receiver<Option<String>>,
}

impl Ending {
    pub(super) const fn new(
        end: watch::Receiver<Option<String>>,
        brake: watch::Receiver<Option<String>>,
    ) -> Self {
        Self { end, brake }
    }

    /// Whether it is to end by now.
    pub(super) fn now(&self) -> Option<Word> {
        if self.brake.has_changed().is_err() {
            return Some(Word::Leave);
        }
        if let Some(why) = self.end.borrow().clone() {
            return Some(Word::End(why));
        }
        let halted = self.brake.borrow().clone();
        halted.map(|reason| Word::End(format!("the brake is on: {}", fault::Legible(&reason))))
    }

    /// Waits for the end of the controller, whatever else is wanted; safe to be dropped while it waits.
    pub(super) async fn leave(&mut self) {
        while self.brake.changed().await.is_ok() {}
    }

    /// Waits for it; safe to be dropped while it waits.
    pub(super) async fn come(&mut self) -> Word {
        loop {
            if let Some(word) = self.now() {
                return word;
            }
            let heard = tokio::select! {
                heard = self.end.changed() => heard,
                heard = self.brake.changed() => heard,
            };
            if heard.is_err() {
                return Word::Leave;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_by_a_word_by_the_brake_or_with_the_controller() {
        let end = || watch::channel(None);
        let ((word, first), (brake, second)) = (end(), end());
        let mut ending = Ending::new(first, second);
        assert_eq!(ending.now(), None);
        word.send_replace(Some("healed by ann".to_owned()));
        assert_eq!(ending.come().await, Word::End("healed by ann".to_owned()));
        word.send_replace(None);
        brake.send_replace(Some("lunch".to_owned()));
        assert_eq!(ending.come().await, Word::End("the brake is on: lunch".to_owned()));
        drop(brake);
        assert_eq!(ending.come().await, Word::Leave);
    }
}
