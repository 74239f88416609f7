//! What stands recorded is held against what the kernel has, and put right.

use std::collections::{BTreeMap, BTreeSet};

use fault::{Aspect, Cut, Drift, Extent, FaultId, Gone, NamespaceCookie, OwnAddress, State};

use super::deciding::Worker;
use super::target::{Task, place};
use crate::executor::Job;
use crate::kernel::{KernelError, Observed, Peer, PeerSet, Sight, Step, bound_process};
use crate::ledger::Record;
use crate::{plan, truth};

impl Worker {
    /// Sets states and drifts by what was observed; what the correction is to do comes back, and what is over.
    pub(super) fn judge(
        &mut self,
        cookie: NamespaceCookie,
        observed: &mut Observed,
    ) -> (Vec<Step>, Vec<(FaultId, State)>) {
        let nothing = (Vec::new(), Vec::new());
        let Some(target) = self.targets.get(&cookie) else { return nothing };
        let records: BTreeMap<FaultId, truth::Recorded> = self
            .ledger
            .living(cookie)
            .filter(|record| !record.done.is_empty() && record.state != State::Healing)
            .map(|record| (record.fault.id, record.recorded()))
            .collect();
        let all: Vec<truth::Recorded> = records.values().cloned().collect();
        // Leases may have been renewed since the look; reading them never waits.
        let lease =
            |fault: &truth::Recorded| Some((fault.slot, self.kernel.lease(cookie, fault.slot)?));
        observed.leases = all.iter().filter_map(lease).collect();
        let correction = truth::compare(observed, &target.holdings, &all);
        for (id, recorded) in &records {
            let Some(record) = self.ledger.get_mut(*id) else { continue };
            let (shadowed, found) = match recorded.aspect {
                Aspect::Network => (correction.is_shadowed(), Some(&correction.drifts)),
                Aspect::Processes => (false, correction.of_processes.get(&recorded.slot)),
            };
            let state = match record.state {
                State::Active | State::Shadowed if shadowed => State::Shadowed,
                State::Active | State::Shadowed => State::Active,
                state @ (State::Prepared
                | State::Healing
                | State::Healed
                | State::Expired
                | State::Gone(_)
                | State::Failed) => state,
            };
            let passing = |drift: &Drift| {
                matches!(
                    drift,
                    Drift::ShadowedBy { .. } | Drift::LeaseDiffers { .. } | Drift::Altered(_)
                )
            };
            // What happened stays told; what merely is goes when it is over.
            let mut drifts: Vec<Drift> =
                record.drifts.iter().filter(|drift| !passing(drift)).cloned().collect();
            drifts.extend(found.into_iter().flatten().cloned());
            drifts.sort();
            drifts.dedup();
            if (state, &drifts) != (record.state, &record.drifts) {
                record.state = state;
                record.drifts = drifts;
                self.tell(*id);
            }
        }
        let fate = |(id, recorded): (&FaultId, &truth::Recorded)| {
            let fate = if correction.released.contains(&recorded.slot) {
                State::Failed
            } else if correction.over.contains(&recorded.slot) {
                State::Gone(Gone::Process)
            } else {
                return None;
            };
            Some((*id, fate))
        };
        let over = records.iter().filter_map(fate).collect();
        (correction.steps, over)
    }

    pub(super) fn compared(
        &mut self,
        cookie: NamespaceCookie,
        target: Result<Sight, KernelError>,
        peers: Vec<(FaultId, Result<Sight, KernelError>)>,
    ) {
        // First: a namespace often goes with the process that was named, and then that is the reason.
        let mut lost = self.lost_processes(cookie);
        let mut observed = match target {
            Ok(Sight::Present(observed)) => observed,
            Ok(Sight::Gone(_)) => {
                self.end_all(lost);
                return self.lose_target(cookie);
            }
            Err(error) => {
                tracing::warn!(%error, "a target cannot be read; its leases go on");
                return self.end_all(lost);
            }
        };
        let (mut steps, over) = self.judge(cookie, &mut observed);
        lost.extend(over);
        for (id, sight) in peers {
            match sight {
                Ok(Sight::Present(peer)) => {
                    steps.extend(self.follow(id, &observed, &peer.addresses));
                }
                // Its addresses may be somebody else's at any time. A fault on its way in finds that
                // out itself.
                Ok(Sight::Gone(_)) if self.has_arrived(id) => {
                    lost.push((id, State::Gone(Gone::Peer)));
                }
                Ok(Sight::Gone(_)) => {}
                Err(error) => tracing::warn!(%error, fault = %id, "a peer cannot be read"),
            }
        }
        if !steps.is_empty()
            && let Some(target) = self.targets.get(&cookie)
        {
            let place = self.way_in(cookie).unwrap_or_else(|| target.place.clone());
            self.go_on(cookie, Task::Compare, Job::TakeOut { place, steps });
        }
        // Only now: ending begins the next task where none is under way.
        self.end_all(lost);
    }

    fn end_all(&mut self, lost: Vec<(FaultId, State)>) {
        for (id, fate) in lost {
            self.end(id, fate);
        }
    }

    fn has_arrived(&self, id: FaultId) -> bool {
        self.ledger.get(id).is_some_and(|record| !record.done.is_empty())
    }

    fn arrived(&self, cookie: NamespaceCookie) -> impl Iterator<Item = &Record> {
        self.ledger.living(cookie).filter(|record| !record.done.is_empty())
    }

    /// A target is gone with everything in it.
    fn lose_target(&mut self, cookie: NamespaceCookie) {
        let lost: Vec<FaultId> = self.arrived(cookie).map(|record| record.fault.id).collect();
        for id in lost {
            self.end(id, State::Gone(Gone::Namespace));
        }
    }

    /// A process may be gone while its namespace stays. A tree goes on without its first process.
    fn lost_processes(&self, cookie: NamespaceCookie) -> Vec<(FaultId, State)> {
        let is_lost = |record: &&Record| {
            let alone = record.fault.kind.extent() != Some(Extent::Tree);
            alone
                && bound_process(&place(&record.fault))
                    .is_some_and(|process| !self.kernel.lives(process))
        };
        let lost = self.arrived(cookie).filter(is_lost);
        lost.map(|record| (record.fault.id, State::Gone(Gone::Process))).collect()
    }

    /// The steps that bring a fault's peers up to date with the addresses of the target that it follows.
    pub(super) fn follow(
        &self,
        id: FaultId,
        target: &Observed,
        addresses: &[OwnAddress],
    ) -> Vec<Step> {
        let Some(record) = self.ledger.get(id) else { return Vec::new() };
        let Some(cut) = record.fault.kind.cut() else { return Vec::new() };
        if record.done.is_empty() || record.state == State::Healing {
            return Vec::new();
        }
        // No address left: the old ones must not be cut any longer.
        let peers = plan::resolve_peers(&record.fault, target, addresses)
            .map(|resolved| resolved.peers)
            .unwrap_or_default();
        if peers == record.peers {
            return Vec::new();
        }
        let set =
            |peers: BTreeSet<Peer>| PeerSet { slot: record.slot, sides: plan::sides(cut), peers };
        let added: BTreeSet<Peer> = peers.difference(&record.peers).cloned().collect();
        let removed: BTreeSet<Peer> = record.peers.difference(&peers).cloned().collect();
        let mut steps = Vec::new();
        if !removed.is_empty() {
            steps.push(Step::RemovePeers(set(removed)));
        }
        if !added.is_empty() {
            steps.push(Step::AddPeers(set(added.clone())));
            if Cut::tracks_flows(cut) {
                steps.push(Step::ReadOpeners(added));
            }
        }
        steps
    }

    pub(super) fn corrected(
        &mut self,
        cookie: NamespaceCookie,
        steps: &[Step],
        failed: &[(Step, KernelError)],
    ) {
        for (step, error) in failed {
            // The next comparison tries again.
            tracing::warn!(%step, %error, "not corrected");
        }
        if let Some(target) = self.targets.get_mut(&cookie) {
            target.note(steps);
        }
        for step in steps {
            let (Step::AddPeers(PeerSet { slot, .. })
            | Step::RemovePeers(PeerSet { slot, .. })
            | Step::Cover { slot }) = step
            else {
                continue;
            };
            let found = self.ledger.living(cookie).find(|record| record.slot == *slot);
            let Some(id) = found.map(|record| record.fault.id) else { continue };
            if let Some(record) = self.ledger.get_mut(id) {
                record.note(step);
            }
            self.tell(id);
        }
    }
}
