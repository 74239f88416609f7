//! Somebody wants a run to end.

use super::event::Interruption;
use super::phase::Phase;
use super::progress::Progress;
use super::standing::Reason;
use super::terms::Verdicts;
use super::{Moment, Run};
use crate::redaction::Redaction;

/// The longest reason that is told, in characters: it may be all that a step has returned.
const LONGEST_REASON: usize = 2000;

impl Run {
    /// Whatever goes on is stopped, and the way out begins. On the way out nothing that is owed is left out;
    /// a second word stops the one step that is waited for, which stays owed.
    pub(super) fn interrupt(&mut self, by: Interruption, now: Moment) {
        let by = by.shown(&self.shared.redaction);
        self.shared.tell(Progress::Interrupted(by.clone()));
        let again = self.leaving.is_some();
        let is_rolling_back = matches!(
            self.phase,
            Phase::RollbackOpening(_) | Phase::Rollbacks | Phase::RollbackClosing(_)
        );
        if by == Interruption::Sigusr2 && !is_rolling_back {
            self.without_rollbacks = true;
        }
        if !again {
            self.shared.note(Reason::Interrupted(by.clone()));
            self.leaving = Some(by.clone());
        }
        let is_strict = self.shared.terms.verdicts == Verdicts::Strict;
        let shared = &mut self.shared;
        match &mut self.phase {
            Phase::Configuring(Some((_, queue))) => {
                queue.stop();
                queue.abort(shared, now);
            }
            Phase::Opening(hooks)
            | Phase::MethodOpening(hooks)
            | Phase::MethodClosing(hooks)
            | Phase::RollbackClosing(hooks)
            | Phase::Closing(hooks) => hooks.abort(shared),
            Phase::Before(evaluation) | Phase::After(evaluation) => evaluation.abort(shared, now),
            Phase::Method => {
                self.method.stop();
                self.during.abort(shared, now);
                // The original waits for what runs in the background, but for SIGUSR2; a Ctrl-C at a
                // terminal reaches its programs as well.
                if is_strict || again || ends_all(&by) {
                    self.method.abort(shared, now);
                } else {
                    self.method.abort_front(shared, now);
                }
            }
            Phase::RollbackOpening(hooks) => {
                if again || !is_strict {
                    hooks.abort(shared);
                }
                if !is_strict {
                    self.rollbacks.leave();
                }
            }
            Phase::Rollbacks if is_strict => {
                // What a rollback itself asks for is no reason to wait for the others any less.
                if again && !matches!(by, Interruption::Asked(_)) {
                    self.rollbacks.hurry(shared, now);
                }
            }
            Phase::Rollbacks => {
                self.rollbacks.leave();
                if again || ends_all(&by) {
                    self.rollbacks.abort(shared, now);
                } else {
                    self.rollbacks.abort_front(shared, now);
                }
            }
            Phase::New | Phase::Configuring(None) | Phase::Healing(_) | Phase::Ended => (),
        }
    }
}

impl Interruption {
    /// As anybody may see it. A secret is hidden before the rest is cut off, so that no part of it stays.
    fn shown(self, redaction: &Redaction) -> Self {
        let short = |why: &str| redaction.text(why).chars().take(LONGEST_REASON).collect();
        match self {
            Self::Asked(why) => Self::Asked(short(&why)),
            Self::Unwritten(why) => Self::Unwritten(short(&why)),
            Self::Sigint
            | Self::Sigterm
            | Self::Sighup
            | Self::Sigusr1
            | Self::Sigusr2
            | Self::Lost => self,
        }
    }
}

/// Whether what runs in the background ends with the rest in the original, too.
const fn ends_all(by: &Interruption) -> bool {
    matches!(by, Interruption::Sigint | Interruption::Sigusr2)
}
