//! What the driver counts of what happens. Pure but for the counters.

use std::collections::HashMap;

use fault::{Effect, FaultId, IntentId};

use super::intent::Intent;
use crate::metrics::{Metrics, Verdict, Written};
use crate::sequence::{Moment, Stage};

/// Since when what is on its way is, and what is counted already.
pub(super) struct Tally {
    metrics: Metrics,
    since: HashMap<IntentId, Moment>,
    counted: HashMap<FaultId, Effect>,
}

impl Tally {
    /// What an earlier life has been told of was counted by it.
    pub(super) fn new<'a>(metrics: Metrics, restored: impl Iterator<Item = &'a Intent>) -> Self {
        let parts = restored.flat_map(|intent| intent.sequence.parts());
        let told = parts.filter_map(|part| Some((part.fault.id, part.status.as_ref()?.effect)));
        Self { metrics, since: HashMap::new(), counted: told.collect() }
    }

    /// An intent is on its way in.
    pub(super) fn begun(&mut self, id: IntentId, now: Moment) {
        self.since.insert(id, now);
    }

    /// An intent has come from one stage to its present one.
    pub(super) fn moved(&mut self, intent: &Intent, before: Stage, now: Moment) {
        let after = intent.sequence.stage();
        if before == after {
            return;
        }
        let took = |since: Option<Moment>| since.map(|since| now.saturating_sub(since));
        match after {
            Stage::Pending | Stage::Preparing => {}
            Stage::Active => {
                if let Some(took) = took(self.since.remove(&intent.id)) {
                    self.metrics.applied(took);
                }
            }
            Stage::Healing => self.begun(intent.id, now),
            Stage::Healed | Stage::Failed => {
                if let Some(took) = took(self.since.remove(&intent.id)) {
                    self.metrics.healed(took);
                }
            }
            // Nobody has confirmed it, or nobody was asked.
            Stage::Unconfirmed | Stage::Expired => drop(self.since.remove(&intent.id)),
        }
        if after.is_final() && !before.is_final() {
            self.metrics.ended(after);
        }
    }

    /// Nodes may have told of more packets.
    pub(super) fn heard(&mut self, intent: &Intent) {
        for part in intent.sequence.parts() {
            let Some(effect) = part.status.as_ref().map(|status| status.effect) else { continue };
            let before = self.counted.insert(part.fault.id, effect).unwrap_or_default();
            // What has to do with no packet counts none.
            let Some(cut) = part.fault.kind.cut() else { continue };
            let loses = match cut.verdict {
                fault::Verdict::Drop => Verdict::Lost,
                fault::Verdict::Count => Verdict::Shadowed,
            };
            // An agent that was started anew counts from zero.
            let more = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
            let matched = more(effect.matched, before.matched);
            let lost = more(effect.lost, before.lost).min(matched);
            for (verdict, more) in
                [(Verdict::Matched, matched), (loses, lost), (Verdict::Passed, matched - lost)]
            {
                self.metrics.packets(&part.node, verdict, more);
            }
        }
    }

    /// An intent is not kept any more.
    pub(super) fn forgotten(&mut self, intent: &Intent) {
        self.since.remove(&intent.id);
        for part in intent.sequence.parts() {
            self.counted.remove(&part.fault.id);
        }
    }

    /// Reports of agents were merged into later ones.
    pub(super) fn merged(&self, reports: u64) {
        self.metrics.merged(reports);
    }

    /// Something could not be written.
    pub(super) fn failed(&self, written: Written) {
        self.metrics.failed(written);
    }
}
