//! What is applied, and until when. Pure: time is passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fault::{
    BootTime, Drift, Effect, Fault, FaultId, Holder, Hook, Lease, Measured, NamespaceCookie, State,
};

use crate::kernel::{Peer, PeerSet, Slot, Step};
use crate::truth::Recorded;

/// How long a prepared fault waits for its commit before it is taken out again (30 s).
pub const PREPARED_FOR: Duration = Duration::from_secs(30);
/// How long a fault that ended is remembered, so that a replayed request finds its result (10 min).
pub const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// How many faults that ended are remembered.
pub const REMEMBERED: usize = 1_024;

/// Everything known of one fault.
#[derive(Clone, Debug)]
pub struct Record {
    /// What was asked.
    pub fault: Fault,
    /// On whose behalf it stands; `None` for a command on the node itself.
    pub holder: Option<Holder>,
    /// What has become of it.
    pub state: State,
    /// Its place on the target.
    pub slot: Slot,
    /// When it acts; `None` before the commit.
    pub lease: Option<Lease>,
    /// Its peers by now.
    pub peers: BTreeSet<Peer>,
    /// What was done for it, in order.
    pub done: Vec<Step>,
    /// What it does not do, for people.
    pub notes: Vec<String>,
    /// What differs.
    pub drifts: Vec<Drift>,
    /// What it did, once it has ended.
    pub effect: Effect,
    /// The same of what is not packets.
    pub measured: Option<Measured>,
    /// What passed its hook, once it has ended.
    pub hook: Hook,
    /// When it was prepared, and later when it ended.
    pub changed: BootTime,
}

impl Record {
    /// Which target it acts on.
    #[must_use]
    pub fn target(&self) -> NamespaceCookie {
        self.fault.target.namespace
    }

    /// Notes a change of its peers that was made while it stands: what takes the fault out must take
    /// these out.
    pub fn note(&mut self, step: &Step) {
        if let Step::AddPeers(added) = step {
            self.peers.extend(added.peers.iter().cloned());
            for done in &mut self.done {
                if let Step::AddPeers(PeerSet { peers, .. }) | Step::ReadOpeners(peers) = done {
                    peers.extend(added.peers.iter().cloned());
                }
            }
        }
        if let Step::RemovePeers(removed) = step {
            self.peers.retain(|peer| !removed.peers.contains(peer));
            for done in &mut self.done {
                if let Step::AddPeers(PeerSet { peers, .. }) = done {
                    peers.retain(|peer| !removed.peers.contains(peer));
                }
            }
        }
    }

    /// What the kernel should have of it.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        Recorded {
            slot: self.slot,
            sides: self.fault.kind.cut().map(crate::plan::sides).unwrap_or_default(),
            aspect: self.fault.kind.aspect(),
            lease: self.lease.map(|lease| (lease.start(), lease.end())),
        }
    }
}

/// All faults of an agent, and those that ended lately.
#[derive(Debug, Default)]
pub struct Ledger {
    records: BTreeMap<FaultId, Record>,
}

/// What came of a wish to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease has this end now.
    Until(BootTime),
    /// It has ended, has not begun, or was never heard of.
    Refused,
}

impl Ledger {
    /// Enters a fault.
    pub fn insert(&mut self, record: Record) {
        self.records.insert(record.fault.id, record);
    }

    /// Takes a fault out that never came to be.
    pub fn remove(&mut self, id: FaultId) {
        self.records.remove(&id);
    }

    /// One fault.
    #[must_use]
    pub fn get(&self, id: FaultId) -> Option<&Record> {
        self.records.get(&id)
    }

    /// One fault, to change.
    pub fn get_mut(&mut self, id: FaultId) -> Option<&mut Record> {
        self.records.get_mut(&id)
    }

    /// All faults, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// On whose behalf what has not ended stands.
    pub fn holders(&self) -> impl Iterator<Item = Holder> {
        self.iter().filter(|record| !record.state.is_final()).filter_map(|record| record.holder)
    }

    /// The faults of a target that have not ended.
    pub fn living(&self, target: NamespaceCookie) -> impl Iterator<Item = &Record> {
        self.iter().filter(move |record| record.target() == target && !record.state.is_final())
    }

    /// A free place on a target; `None` if all are taken. In the spoiled ones something of an earlier
    /// fault stayed.
    #[must_use]
    pub fn free_slot(&self, target: NamespaceCookie, spoiled: &BTreeSet<Slot>) -> Option<Slot> {
        let taken: BTreeSet<Slot> = self.living(target).map(|record| record.slot).collect();
        Slot::all().find(|slot| !taken.contains(slot) && !spoiled.contains(slot))
    }

    /// Renews one fault.
    pub fn renew(&mut self, id: FaultId, now: BootTime) -> Renewal {
        let Some(record) = self.records.get_mut(&id) else { return Renewal::Refused };
        match (record.state, record.lease.as_mut()) {
            (State::Active | State::Shadowed, Some(lease)) => match lease.renew(now) {
                Ok(()) => Renewal::Until(lease.end()),
                Err(_) => Renewal::Refused,
            },
            _ => Renewal::Refused,
        }
    }

    /// Faults whose time is over: lease or deadline ended, or never committed.
    #[must_use]
    pub fn due(&self, now: BootTime) -> Vec<FaultId> {
        let due = self.iter().filter(|record| end_of(record).is_some_and(|end| end <= now));
        due.map(|record| record.fault.id).collect()
    }

    /// When [`Self::due`] will next have something to say.
    #[must_use]
    pub fn next_due(&self) -> Option<BootTime> {
        self.iter().filter_map(end_of).min()
    }

    /// Forgets what ended long ago.
    pub fn forget(&mut self, now: BootTime) {
        self.records.retain(|_, record| {
            !record.state.is_final() || now.since(record.changed) < REMEMBERED_FOR
        });
        let mut finals: Vec<(BootTime, FaultId)> = self
            .iter()
            .filter(|record| record.state.is_final())
            .map(|record| (record.changed, record.fault.id))
            .collect();
        finals.sort_unstable();
        let surplus = finals.len().saturating_sub(REMEMBERED);
        for (_, id) in &finals[..surplus] {
            self.records.remove(id);
        }
    }
}

fn end_of(record: &Record) -> Option<BootTime> {
    match (record.state, &record.lease) {
        (State::Prepared, None) => Some(record.changed + PREPARED_FOR),
        (State::Prepared | State::Active | State::Shadowed, Some(lease)) => Some(lease.end()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fake::sample::{Node, fault, plain_cut, slot};

    fn record(part: u16, place: usize, state: State, lease: Option<Lease>) -> Record {
        let wish = (plain_cut(), [1].into());
        Record {
            fault: fault(part, &Node::new().place, &wish),
            holder: None,
            state,
            slot: slot(place),
            lease,
            peers: BTreeSet::new(),
            done: Vec::new(),
            notes: Vec::new(),
            drifts: Vec::new(),
            effect: Effect::default(),
            measured: None,
            hook: Hook::default(),
            changed: BootTime::from_nanos(0),
        }
    }

    fn at(seconds: u64) -> BootTime {
        BootTime::from_nanos(seconds * 1_000_000_000)
    }

    proptest! {
        #[test]
        fn no_fault_outlives_its_lease_or_its_deadline(
            start in 0u64..100, pauses in proptest::collection::vec((0u64..25, any::<bool>()), 1..30),
        ) {
            let mut ledger = Ledger::default();
            let mut one = record(1, 0, State::Active, None);
            let id = one.fault.id;
            let terms = one.fault.terms;
            one.lease = Some(Lease::begin(at(start), terms));
            ledger.insert(one);
            let mut now = 0;
            let mut heard = start;
            for (pause, renews) in pauses {
                now += pause;
                let over = now >= heard + 15 || now >= start + 60;
                prop_assert_eq!(ledger.due(at(now)).contains(&id), over);
                prop_assert_eq!(ledger.next_due().is_some_and(|due| due <= at(now)), over);
                if renews {
                    match ledger.renew(id, at(now)) {
                        Renewal::Until(end) => {
                            prop_assert!(!over);
                            heard = heard.max(now);
                            prop_assert_eq!(end, at((heard + 15).min(start + 60)));
                        }
                        Renewal::Refused => prop_assert!(over),
                    }
                }
            }
            prop_assert_eq!(ledger.due(at(start + 60)), vec![id]);
        }

        #[test]
        fn a_free_slot_is_neither_taken_nor_spoiled(taken: u64, spoiled: u64, over: u64) {
            let mut ledger = Ledger::default();
            let spoiled: BTreeSet<Slot> =
                (0..64).filter(|n| spoiled >> n & 1 == 1).map(slot).collect();
            for number in (0..64).filter(|number| taken >> number & 1 == 1) {
                let state = if over >> number & 1 == 1 { State::Healed } else { State::Active };
                let part = u16::try_from(number).unwrap();
                ledger.insert(record(part, number, state, None));
            }
            let target = record(0, 0, State::Active, None).target();
            let living: BTreeSet<Slot> = ledger.living(target).map(|record| record.slot).collect();
            match ledger.free_slot(target, &spoiled) {
                Some(free) => prop_assert!(!living.contains(&free) && !spoiled.contains(&free)),
                None => prop_assert_eq!(living.union(&spoiled).count(), 64),
            }
            let elsewhere = NamespaceCookie::new(u64::MAX);
            prop_assert_eq!(ledger.free_slot(elsewhere, &BTreeSet::new()), Some(slot(0)));
        }
    }

    #[test]
    fn a_prepared_fault_waits_for_its_commit_and_no_longer() {
        let mut ledger = Ledger::default();
        ledger.insert(record(1, 0, State::Prepared, None));
        let id = record(1, 0, State::Prepared, None).fault.id;
        assert!(ledger.due(at(29)).is_empty());
        assert_eq!(ledger.due(at(30)), [id]);
        assert_eq!(ledger.renew(id, at(1)), Renewal::Refused);
        ledger.remove(id);
        assert_eq!(ledger.next_due(), None);
        assert_eq!(ledger.renew(id, at(1)), Renewal::Refused);
    }

    #[test]
    fn what_ended_long_ago_is_forgotten_and_what_lives_is_not() {
        let mut ledger = Ledger::default();
        for part in 0..=1_100 {
            let ended =
                Record { changed: at(u64::from(part)), ..record(part, 0, State::Healed, None) };
            ledger.insert(ended);
        }
        ledger.insert(record(2_000, 0, State::Active, None));
        ledger.forget(at(500));
        assert_eq!(ledger.iter().count(), REMEMBERED + 1);
        // The youngest stay.
        assert!(ledger.iter().all(|record| record.fault.id.part > 76));
        ledger.forget(at(100_000));
        let left: Vec<u16> = ledger.iter().map(|record| record.fault.id.part).collect();
        assert_eq!(left, [2_000]);
    }
}
