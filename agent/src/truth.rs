//! What stands recorded against what the kernel has. Pure.

use std::collections::{BTreeMap, BTreeSet};

use fault::{Aspect, BootTime, Drift, Side};

use crate::kernel::{Attachment, Chain, Observed, Release, Slot, Step};
use crate::plan::{self, Holdings};

/// What stands recorded of a fault that acts.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place.
    pub slot: Slot,
    /// What of the target it acts on.
    pub aspect: Aspect,
    /// Its hooks.
    pub sides: BTreeSet<Side>,
    /// First instant and first one after it; `None` before the commit.
    pub lease: Option<(BootTime, BootTime)>,
}

/// What is to be done about a target, and what to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correction {
    /// What brings the kernel back to what was asked.
    pub steps: Vec<Step>,
    /// What was found to differ on the target's network.
    pub drifts: Vec<Drift>,
    /// What was found to differ in the processes of single faults.
    pub of_processes: BTreeMap<Slot, Vec<Drift>>,
    /// Faults whose processes nobody holds any more, before their time.
    pub released: BTreeSet<Slot>,
    /// Faults that have nobody left on whom they could act.
    pub over: BTreeSet<Slot>,
}

impl Correction {
    /// Whether another program stands before ours.
    #[must_use]
    pub fn is_shadowed(&self) -> bool {
        self.drifts.iter().any(|drift| matches!(drift, Drift::ShadowedBy { .. }))
    }
}

/// Compares a target with what stands recorded of it.
///
/// A device that left is let go of at once: its link would go on acting elsewhere. One that came gets
/// our programs. A lease that somebody moved is put back by nobody, but told: the kernel's is in force.
#[must_use]
pub fn compare(observed: &Observed, holdings: &Holdings, faults: &[Recorded]) -> Correction {
    let mut correction = Correction::default();
    let of = |aspect| faults.iter().filter(move |fault| fault.aspect == aspect);
    for fault in of(Aspect::Processes) {
        compare_processes(observed, fault, &mut correction);
    }
    if !holdings.loaded {
        return correction;
    }
    let present: BTreeSet<u32> =
        observed.devices.iter().map(|device| device.interface.index).collect();
    let sides: BTreeSet<Side> = faults.iter().flat_map(|fault| fault.sides.clone()).collect();
    let wanted = plan::wanted(observed, &sides);

    for attachment in &holdings.attached {
        let Attachment { interface, side } = *attachment;
        if !present.contains(&interface) {
            correction.steps.push(Step::Detach(*attachment));
            correction.drifts.push(Drift::DeviceLeft(interface));
            continue;
        }
        let judges = plan::judged(observed).any(|device| device.interface.index == interface);
        match observed.chains.get(attachment) {
            // Another device judges its packets by now, and a packet is judged once.
            Some(Chain::First | Chain::Behind(_)) if !judges => {
                correction.steps.push(Step::Detach(*attachment));
            }
            Some(Chain::First) => {}
            Some(Chain::Behind(programs)) => correction.drifts.push(Drift::ShadowedBy {
                interface,
                side,
                programs: programs.clone(),
            }),
            // The index is there, but our link is not: the device under it is another one by now.
            Some(Chain::Absent) | None => {
                correction.steps.push(Step::Detach(*attachment));
                correction.drifts.push(Drift::Detached(interface));
                if wanted.contains(attachment) {
                    correction.steps.push(Step::Attach(*attachment));
                }
            }
        }
    }
    for attachment in wanted.difference(&holdings.attached) {
        correction.steps.push(Step::Attach(*attachment));
        correction.drifts.push(Drift::DeviceJoined(attachment.interface));
    }
    correction.steps.extend(plan::refresh(observed, holdings));
    correction
        .drifts
        .extend(of(Aspect::Network).filter_map(|fault| lease_differs(observed, fault)));
    correction.drifts.sort();
    correction.drifts.dedup();
    correction
}

fn lease_differs(observed: &Observed, fault: &Recorded) -> Option<Drift> {
    // One that somebody took away reads as an end at zero.
    let found = observed.leases.get(&fault.slot).map_or_else(BootTime::default, |l| l.1);
    let (_, recorded) = fault.lease?;
    (recorded != found).then_some(Drift::LeaseDiffers { recorded, found })
}

/// Whoever came is covered, who left is let go of. Bytes that somebody changed are put back by nobody, but
/// told: they are somebody's by now.
fn compare_processes(observed: &Observed, fault: &Recorded, correction: &mut Correction) {
    let Some(coverage) = observed.coverage.get(&fault.slot) else { return };
    if let Some(release) = coverage.released {
        let drift = match release {
            Release::Ended => Drift::HolderEnded,
            Release::OutOfMemory => Drift::OutOfMemory,
        };
        correction.released.insert(fault.slot);
        correction.of_processes.insert(fault.slot, vec![drift]);
        return;
    }
    if coverage.over {
        correction.over.insert(fault.slot);
        return;
    }
    if coverage.joined > 0 || coverage.left > 0 || coverage.unread {
        correction.steps.push(Step::Cover { slot: fault.slot });
    }
    let mut drifts: Vec<Drift> = coverage.altered.iter().copied().map(Drift::Altered).collect();
    drifts.extend(lease_differs(observed, fault));
    correction.of_processes.insert(fault.slot, drifts);
}

#[cfg(test)]
mod tests {
    use fault::NamespaceCookie;
    use proptest::prelude::*;

    use super::*;
    use crate::fake::World;
    use crate::fake::sample::{Node, plain_cut, wish};

    fn change(world: &mut World, target: NamespaceCookie, (what, index): (u8, u32)) {
        let last = u8::try_from(index).unwrap_or(0) + 150;
        match what {
            0 => world.add_veth(target, index, "new"),
            1 => world.remove_device(target, index),
            2 => world.rename_device(target, index, "renamed"),
            3 => world.move_device(target, index, crate::fake::HOST),
            4 => world.add_address(target, index, [10, 9, 0, last].into()),
            5 => world.remove_address(target, [10, 9, 0, last].into()),
            6 => world.alter_device(target, index, |device| device.controller = Some(2)),
            7 => world.alter_device(target, index, |device| {
                device.interface.kind = Some("vlan".to_owned());
                device.parent = Some(3);
            }),
            _ => world.put_before(target, index, Side::Ingress, &[9]),
        }
    }

    proptest! {
        #[test]
        fn what_was_just_applied_needs_no_correction(
            wishes in proptest::collection::vec(wish(), 1..5), healed in 0usize..5,
        ) {
            let mut node = Node::new();
            for (number, wish) in wishes.iter().enumerate() {
                node.put(number, wish).unwrap();
            }
            let fresh = compare(&node.look(), &node.holdings, &node.recorded());
            prop_assert_eq!(fresh, Correction::default());
            if healed < wishes.len() {
                node.heal(healed);
                let left = compare(&node.look(), &node.holdings, &node.recorded());
                prop_assert_eq!(left, Correction::default());
            }
        }

        #[test]
        fn whatever_changes_one_correction_is_enough(
            wishes in proptest::collection::vec(wish(), 1..4),
            changes in proptest::collection::vec((0u8..9, 2u32..7), 1..12),
        ) {
            let mut node = Node::new();
            for (number, wish) in wishes.iter().enumerate() {
                node.put(number, wish).unwrap();
            }
            let target = node.place.identity.namespace;
            node.kernel.node(|world| changes.iter().for_each(|one| change(world, target, *one)));
            let first = compare(&node.look(), &node.holdings, &node.recorded());
            node.perform(&first.steps);
            let observed = node.look();
            let second = compare(&observed, &node.holdings, &node.recorded());
            prop_assert!(second.steps.is_empty(), "{:?}", second);
            let shadow = |drift: &Drift| matches!(drift, Drift::ShadowedBy { .. });
            prop_assert!(second.drifts.iter().all(shadow));
            // A link that is not where its device should be would act on somebody else.
            prop_assert!(observed.chains.values().all(|chain| *chain != Chain::Absent));
            let sides = node.recorded().into_iter().flat_map(|fault| fault.sides).collect();
            let attached: BTreeSet<Attachment> = observed.chains.keys().copied().collect();
            prop_assert!(plan::wanted(&observed, &sides).is_subset(&attached));
            let judged: BTreeSet<u32> =
                plan::judged(&observed).map(|device| device.interface.index).collect();
            prop_assert!(attached.iter().all(|at| judged.contains(&at.interface)));
        }
    }

    #[test]
    fn a_lease_that_was_taken_away_is_a_drift() {
        let mut node = Node::new();
        node.put(0, &(plain_cut(), [1].into())).unwrap();
        let recorded = node.recorded();
        let (_, end) = recorded[0].lease.unwrap();
        node.perform(&[Step::End { slot: recorded[0].slot }]);
        let found = compare(&node.look(), &node.holdings, &recorded);
        let differs = Drift::LeaseDiffers { recorded: end, found: BootTime::default() };
        assert_eq!(found, Correction { drifts: vec![differs], ..Correction::default() });
    }

    #[test]
    fn where_nothing_is_loaded_nothing_is_corrected() {
        let node = Node::new();
        assert_eq!(compare(&node.look(), &Holdings::default(), &[]), Correction::default());
    }
}
