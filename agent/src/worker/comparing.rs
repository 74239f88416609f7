//! What stands recorded is held against what the kernel has, and put right.

use std::collections::{BTreeMap, BTreeSet};

use fault::{Drift, FaultId, Gone, Kind, NamespaceCookie, OwnAddress, State};

use super::deciding::Worker;
use super::target::{Comparing, Task, place};
use crate::executor::Job;
use crate::kernel::{KernelError, Observed, Peer, PeerSet, Sight, Step, bound_process};
use crate::ledger::Record;
use crate::{plan, truth};

impl Worker {
    /// Sets states and drifts by what was observed; what the correction is to do comes back.
    pub(super) fn judge(&mut self, cookie: NamespaceCookie, observed: &Observed) -> Vec<Step> {
        let Some(target) = self.targets.get(&cookie) else { return Vec::new() };
        let records: BTreeMap<FaultId, truth::Recorded> = self
            .ledger
            .living(cookie)
            .filter(|record| !record.done.is_empty() && record.state != State::Healing)
            .map(|record| (record.fault.id, record.recorded()))
            .collect();
        let all: Vec<truth::Recorded> = records.values().cloned().collect();
        let correction = truth::compare(observed, &target.holdings, &all);
        for id in records.keys() {
            let Some(record) = self.ledger.get_mut(*id) else { continue };
            let state = match record.state {
                State::Active | State::Shadowed if correction.is_shadowed() => State::Shadowed,
                State::Active | State::Shadowed => State::Active,
                state @ (State::Prepared
                | State::Healing
                | State::Healed
                | State::Expired
                | State::Gone(_)
                | State::Failed) => state,
            };
            let passing = |drift: &Drift| {
                matches!(drift, Drift::ShadowedBy { .. } | Drift::LeaseDiffers { .. })
            };
            // What happened stays told; what merely is goes when it is over.
            let mut drifts: Vec<Drift> =
                record.drifts.iter().filter(|drift| !passing(drift)).cloned().collect();
            drifts.extend(correction.drifts.iter().cloned());
            drifts.sort();
            drifts.dedup();
            if (state, &drifts) != (record.state, &record.drifts) {
                record.state = state;
                record.drifts = drifts;
                self.tell(*id);
            }
        }
        correction.steps
    }

    pub(super) fn compared(
        &mut self,
        cookie: NamespaceCookie,
        mut comparing: Comparing,
        target: Result<Sight, KernelError>,
        peers: Vec<(FaultId, Result<Sight, KernelError>)>,
    ) {
        let observed = match target {
            Ok(Sight::Present(observed)) => observed,
            Ok(Sight::Gone(_)) => return self.lose_target(cookie),
            Err(error) => {
                tracing::warn!(%error, "a target cannot be read; its leases go on");
                return;
            }
        };
        self.lose_processes(cookie);
        let mut steps = self.judge(cookie, &observed);
        for (id, sight) in peers {
            match sight {
                Ok(Sight::Present(peer)) => {
                    steps.extend(self.follow(id, &observed, &peer.addresses, &mut comparing));
                }
                // Its addresses may be somebody else's at any time.
                Ok(Sight::Gone(_)) => self.end(id, State::Gone(Gone::Peer)),
                Err(error) => tracing::warn!(%error, fault = %id, "a peer cannot be read"),
            }
        }
        if !steps.is_empty()
            && let Some(target) = self.targets.get(&cookie)
        {
            let place = target.place.clone();
            self.go_on(cookie, Task::Compare(comparing), Job::TakeOut { place, steps });
        }
    }

    /// A target is gone with everything in it.
    fn lose_target(&mut self, cookie: NamespaceCookie) {
        let lost: Vec<FaultId> = self.ledger.living(cookie).map(|record| record.fault.id).collect();
        for id in lost {
            self.end(id, State::Gone(Gone::Namespace));
        }
    }

    /// A process may be gone while its namespace stays.
    fn lose_processes(&mut self, cookie: NamespaceCookie) {
        let kernel = &self.kernel;
        let is_lost = |record: &&Record| {
            bound_process(&place(&record.fault)).is_some_and(|process| !kernel.lives(process))
        };
        let lost: Vec<FaultId> =
            self.ledger.living(cookie).filter(is_lost).map(|record| record.fault.id).collect();
        for id in lost {
            self.end(id, State::Gone(Gone::Process));
        }
    }

    /// The steps that bring a fault's peers up to date with the addresses of the target that it follows.
    pub(super) fn follow(
        &self,
        id: FaultId,
        target: &Observed,
        addresses: &[OwnAddress],
        comparing: &mut Comparing,
    ) -> Vec<Step> {
        let Some(record) = self.ledger.get(id) else { return Vec::new() };
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
        let Kind::Cut(cut) = record.fault.kind;
        let set =
            |peers: BTreeSet<Peer>| PeerSet { slot: record.slot, sides: plan::sides(&cut), peers };
        let added: BTreeSet<Peer> = peers.difference(&record.peers).cloned().collect();
        let removed: BTreeSet<Peer> = record.peers.difference(&peers).cloned().collect();
        comparing.peers.push((id, peers));
        let mut steps = Vec::new();
        if !removed.is_empty() {
            steps.push(Step::RemovePeers(set(removed)));
        }
        if !added.is_empty() {
            steps.push(Step::AddPeers(set(added.clone())));
            if cut.tracks_flows() {
                steps.push(Step::ReadOpeners(added));
            }
        }
        steps
    }

    pub(super) fn corrected(
        &mut self,
        cookie: NamespaceCookie,
        comparing: Comparing,
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
        for (id, peers) in comparing.peers {
            let Some(record) = self.ledger.get_mut(id) else { continue };
            if !failed.is_empty() {
                continue;
            }
            // What takes the fault out must take these peers out.
            let Kind::Cut(cut) = record.fault.kind;
            let set = PeerSet { slot: record.slot, sides: plan::sides(&cut), peers: peers.clone() };
            for step in &mut record.done {
                if matches!(step, Step::AddPeers(_)) {
                    *step = Step::AddPeers(set.clone());
                }
            }
            record.peers = peers;
            self.tell(id);
        }
    }
}
