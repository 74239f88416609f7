//! Has pods go, one after the other, and sees what becomes of them.

use std::time::Duration;

use cluster::{Event, Grace, Pod, Watch};
use futures_util::future::select_all;
use proto::control::removed_pod::Fate;
use tokio::time::{Instant, sleep_until};

use super::departures::Departures;
use super::ending::{Ending, Word};
use crate::disruption::Manner;
use crate::output::quantity::time;
use crate::provider::kubernetes::{DeedError, Kubernetes};

/// From one question to the next for a pod that does not go.
const AGAIN: Duration = Duration::from_secs(1);

/// How pods are to go.
pub(super) struct Removing<'a> {
    pub(super) kubernetes: &'a Kubernetes,
    /// Who tells of the pods around those that go; nobody where nothing is waited for.
    pub(super) watches: Vec<Watch<Pod>>,
    pub(super) manner: Manner,
    pub(super) grace: Option<Grace>,
    /// How long may be waited for them to go and come.
    pub(super) patience: Duration,
    /// How long budgets are asked again.
    pub(super) insistence: Duration,
}

/// How it came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CameTo {
    /// There is nothing more to wait for.
    End,
    /// It was given up, and why.
    GivenUp(String),
    /// The controller ends.
    Left,
}

impl From<Word> for CameTo {
    fn from(word: Word) -> Self {
        match word {
            Word::End(why) => Self::GivenUp(why),
            Word::Leave => Self::Left,
        }
    }
}

impl Removing<'_> {
    /// Does it, and says each time something has become of it.
    pub(super) async fn carry_out(
        &mut self,
        all: &mut Departures,
        ending: &mut Ending,
        mut tell: impl FnMut(&Departures),
    ) -> CameTo {
        let begun = Instant::now();
        let late = begun + self.patience;
        let passed = CameTo::GivenUp(format!("{} have passed", time(self.patience)));
        // Who is there is known before anybody is asked to go.
        for (at, watch) in self.watches.iter_mut().enumerate() {
            loop {
                let event = tokio::select! {
                    event = watch.next() => event,
                    () = sleep_until(late) => return passed,
                    word = ending.come() => return word.into(),
                };
                let is_listed = matches!(event, Event::Listed(_));
                all.tell(at, event);
                if is_listed {
                    break;
                }
            }
        }
        all.begin();
        loop {
            if let Some(came_to) = self.ask(all, begun, ending).await {
                return came_to;
            }
            all.judge();
            tell(all);
            let now = Instant::now();
            let asks = all.to_ask().iter().any(|at| self.is_asked(all.of(*at).fate, begun));
            if all.is_over() && !asks {
                return CameTo::End;
            }
            if now >= late {
                return passed;
            }
            let again = if asks { late.min(now + AGAIN) } else { late };
            tokio::select! {
                (at, event) = next(&mut self.watches) => all.tell(at, event),
                () = sleep_until(again) => {}
                word = ending.come() => return word.into(),
            }
        }
    }

    /// Whether a pod is worth a question now.
    fn is_asked(&self, fate: Fate, begun: Instant) -> bool {
        match fate {
            Fate::Pending => true,
            Fate::Refused => begun.elapsed() < self.insistence,
            Fate::Unspecified | Fate::Going | Fate::Gone | Fate::Replaced | Fate::Failed => false,
        }
    }

    /// Asks for all that are to go and do not.
    async fn ask(&self, all: &mut Departures, begun: Instant, ending: &Ending) -> Option<CameTo> {
        for at in all.to_ask() {
            if let Some(word) = ending.now() {
                return Some(word.into());
            }
            let one = all.of(at).clone();
            if !self.is_asked(one.fate, begun) {
                continue;
            }
            let asked = self.kubernetes.remove(&one.pod, &one.uid, self.manner, self.grace).await;
            let trouble = asked.as_ref().err().map(ToString::to_string).unwrap_or_default();
            match asked {
                // Without grace it is gone when that is answered.
                Ok(()) if self.manner == Manner::Terminate => {
                    all.answered(at, Fate::Gone, trouble);
                }
                Ok(()) => all.answered(at, Fate::Going, trouble),
                Err(DeedError::Gone) => all.answered(at, Fate::Gone, String::new()),
                Err(DeedError::Budget(_)) => all.answered(at, Fate::Refused, trouble),
                Err(error) if error.is_passing() => all.answered(at, Fate::Pending, trouble),
                Err(error) if error.is_refusal() => {
                    all.answered(at, Fate::Refused, trouble.clone());
                    // The next one would hear the same.
                    return Some(CameTo::GivenUp(trouble));
                }
                Err(_) => all.answered(at, Fate::Failed, trouble),
            }
        }
        None
    }
}

/// What is told next, and by which watch; never anything where there is none.
async fn next(watches: &mut [Watch<Pod>]) -> (usize, Event<Pod>) {
    if watches.is_empty() {
        return std::future::pending().await;
    }
    let all = watches.iter_mut().map(|watch| Box::pin(watch.next()));
    let (event, at, _) = select_all(all).await;
    (at, event)
}
