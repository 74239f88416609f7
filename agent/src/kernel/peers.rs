//! The peers of one target: which map entries, prefilter bits and prefix lengths they need.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;

use agent_ebpf::abi::{self, Address, MAX_LENGTHS, PeerKey};
use agent_ebpf::prefilter;
use fault::{Prefix, Side};

use super::{Peer, PeerSet};

/// The 16-byte form of an address.
pub(super) const fn mapped(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// A hook as the programs call it.
pub(super) const fn hook(side: Side) -> abi::Side {
    match side {
        Side::Ingress => abi::Side::Ingress,
        Side::Egress => abi::Side::Egress,
    }
}

/// Which of the two families of a target's prefix lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn of(prefix: &Prefix) -> Self {
        if prefix.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Its index in `Target::lengths`.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::V4 => 0,
            Self::V6 => 1,
        }
    }
}

/// One change of the maps, in the order in which they are to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Write this slot mask.
    Put(PeerKey, u64),
    /// Remove the entry.
    Delete(PeerKey),
    /// Set a prefilter bit.
    Set(u32),
    /// Clear a prefilter bit.
    Unset(u32),
    /// Look this length up from now on.
    Length(Side, Family, u8),
}

/// What stands in the maps.
#[derive(Debug, Default)]
pub(super) struct PeerTable {
    masks: HashMap<PeerKey, u64>,
    bits: HashMap<u32, u32>,
    lengths: BTreeMap<(Side, Family), Vec<u8>>,
}

/// More prefix lengths than the programs look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyLengths;

impl PeerTable {
    /// Adds peers. An entry comes before the bit that leads to it, and both before their length.
    pub(super) fn add(&mut self, set: &PeerSet) -> Result<Vec<Change>, TooManyLengths> {
        self.check_lengths(set)?;
        let mut changes = Vec::with_capacity(set.peers.len() * 2);
        for side in &set.sides {
            for peer in &set.peers {
                let key = key(peer, *side);
                let mask = self.masks.entry(key).or_insert(0);
                let fresh = *mask == 0;
                *mask |= 1 << set.slot.index();
                changes.push(Change::Put(key, *mask));
                if fresh {
                    let bit = bit(&key, *side);
                    *self.bits.entry(bit).or_insert(0) += 1;
                    changes.push(Change::Set(bit));
                }
                let family = Family::of(&peer.prefix);
                let lengths = self.lengths.entry((*side, family)).or_default();
                if !lengths.contains(&key.length) {
                    lengths.push(key.length);
                    changes.push(Change::Length(*side, family, key.length));
                }
            }
        }
        Ok(changes)
    }

    /// Removes peers. Lengths stay: an unused one costs a test of a bit, taking it out could cost
    /// another fault a packet.
    pub(super) fn remove(&mut self, set: &PeerSet) -> Vec<Change> {
        let mut changes = Vec::new();
        for side in &set.sides {
            for peer in &set.peers {
                let key = key(peer, *side);
                let Some(mask) = self.masks.get_mut(&key) else { continue };
                *mask &= !(1 << set.slot.index());
                if *mask != 0 {
                    changes.push(Change::Put(key, *mask));
                    continue;
                }
                self.masks.remove(&key);
                let bit = bit(&key, *side);
                if let Some(count) = self.bits.get_mut(&bit) {
                    *count -= 1;
                    if *count == 0 {
                        self.bits.remove(&bit);
                        changes.push(Change::Unset(bit));
                    }
                }
                changes.push(Change::Delete(key));
            }
        }
        changes
    }

    fn check_lengths(&self, set: &PeerSet) -> Result<(), TooManyLengths> {
        for side in &set.sides {
            for family in [Family::V4, Family::V6] {
                let known = self.lengths.get(&(*side, family)).into_iter().flatten().copied();
                let new = set.peers.iter().filter(|peer| Family::of(&peer.prefix) == family);
                let new = new.map(|peer| peer.prefix.length());
                let mut all: Vec<u8> = known.chain(new).collect();
                all.sort_unstable();
                all.dedup();
                if all.len() > MAX_LENGTHS {
                    return Err(TooManyLengths);
                }
            }
        }
        Ok(())
    }
}

fn key(peer: &Peer, side: Side) -> PeerKey {
    PeerKey {
        address: peer.prefix.network(),
        ifindex: peer.interface,
        length: peer.prefix.length(),
        side: hook(side) as u8,
        pad: 0,
    }
}

fn bit(key: &PeerKey, side: Side) -> u32 {
    prefilter::index(hook(side), key.length, &key.address)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::kernel::Slot;

    fn set(slot: usize, peers: &[(u8, u8)]) -> PeerSet {
        let peer = |(last, length): &(u8, u8)| Peer {
            prefix: Prefix::new(mapped(IpAddr::from([10, 0, 0, *last])), *length, None).unwrap(),
            interface: 0,
        };
        PeerSet {
            slot: Slot::all().nth(slot).unwrap(),
            sides: BTreeSet::from([Side::Ingress]),
            peers: peers.iter().map(peer).collect(),
        }
    }

    proptest! {
        #[test]
        fn removing_what_was_added_leaves_nothing(
            sets in proptest::collection::vec(
                proptest::collection::vec((any::<u8>(), 112u8..=128), 1..10), 1..10),
        ) {
            let mut table = PeerTable::default();
            let sets: Vec<PeerSet> =
                sets.iter().enumerate().map(|(slot, peers)| set(slot, peers)).collect();
            let added: Vec<&PeerSet> = sets.iter().filter(|set| table.add(set).is_ok()).collect();
            for set in added {
                table.remove(set);
            }
            prop_assert!(table.masks.is_empty());
            prop_assert!(table.bits.is_empty());
        }
    }

    #[test]
    fn a_seventeenth_length_is_refused_and_changes_nothing() {
        let mut table = PeerTable::default();
        let sixteen: Vec<(u8, u8)> = (113..=128).map(|length| (1, length)).collect();
        table.add(&set(0, &sixteen)).unwrap();
        let before = table.masks.len();
        assert_eq!(table.add(&set(1, &[(1, 100)])), Err(TooManyLengths));
        assert_eq!(table.masks.len(), before);
    }
}
