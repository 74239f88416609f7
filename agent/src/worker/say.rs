//! Who may have something done here, and whether anything may be done at all.

use fault::{FaultId, Holder, State};

use super::deciding::Worker;
use super::target::place;
use super::{AgentError, Renewed, Transition};
use crate::brake::Standing;
use crate::holders::is_own;
use crate::kernel::Step;
use crate::ledger::Renewal;

impl Worker {
    /// Whether something new may be put in or made to act, on whose behalf ever.
    pub(super) fn admit(&mut self, asker: Option<Holder>) -> Result<(), AgentError> {
        if self.draining.is_some() {
            return Err(AgentError::Draining);
        }
        if let Standing::On(reason) = self.obey() {
            return Err(AgentError::Halted(reason));
        }
        Ok(self.holders.admit(asker, self.ledger.holders())?)
    }

    pub(super) fn renew(
        &mut self,
        ids: Vec<FaultId>,
        asker: Option<Holder>,
    ) -> Result<Renewed, AgentError> {
        let (renewed, refused) = (Vec::new(), Vec::new());
        let mut result = Renewed { renewed, refused, brake: self.obey() };
        match self.holders.hear(asker) {
            // Who names nothing only listens.
            Err(error) if !ids.is_empty() => return Err(error.into()),
            Err(_) | Ok(()) => {}
        }
        for id in ids {
            let before = self.ledger.get(id).and_then(|record| record.lease).map(|l| l.end());
            match self.ledger.get_mut(id) {
                Some(record) if is_own(asker, record.holder) => record.holder = asker,
                Some(_) | None => {
                    result.refused.push(id);
                    continue;
                }
            }
            let Renewal::Until(end) = self.ledger.renew(id, self.kernel.now()) else {
                result.refused.push(id);
                continue;
            };
            let Some(record) = self.ledger.get(id) else { continue };
            let step = Step::Renew { slot: record.slot, end };
            let stored = self.kernel.perform(&place(&record.fault), &step);
            // A process that was stopped right here wakes up after the lease has ended: it is not
            // brought back.
            if stored.is_err() || before.is_none_or(|before| self.kernel.now() >= before) {
                self.end(id, State::Expired);
                result.refused.push(id);
            } else {
                result.renewed.push(id);
            }
        }
        Ok(result)
    }

    pub(super) fn halt(&mut self, unkept: Option<String>) -> Vec<FaultId> {
        self.unkept = unkept;
        let ended = self.end_everything();
        self.obey();
        ended
    }

    /// Looks whether the brake is on, and lets nothing stand while it is. The look is made right here:
    /// one made before, and handed over, might be older than the brake.
    pub(super) fn obey(&mut self) -> Standing {
        let standing = match (self.brake.read(), &self.unkept) {
            (Standing::Off, Some(reason)) => Standing::On(reason.clone()),
            (standing @ (Standing::Off | Standing::On(_)), _) => standing,
        };
        if standing != self.braked {
            self.braked = standing.clone();
            // Nobody may be listening.
            let _ = self.transitions.send(Transition::Braked);
        }
        if let Standing::On(reason) = &standing {
            let ended = self.end_everything().len();
            if ended > 0 {
                tracing::warn!(%reason, faults = ended, "the brake is on: all faults are healed");
            }
        }
        standing
    }
}
