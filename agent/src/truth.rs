//! What stands recorded against what the kernel has. Pure.

use std::collections::BTreeSet;

use fault::{BootTime, Drift, Side};

use crate::kernel::{Attachment, Chain, Observed, Slot, Step};
use crate::plan::{self, Holdings};

/// What stands recorded of a fault that acts.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place.
    pub slot: Slot,
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
    /// What was found to differ.
    pub drifts: Vec<Drift>,
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
    for fault in faults {
        // One that somebody took away reads as an end at zero.
        let found = observed.leases.get(&fault.slot).map_or_else(BootTime::default, |l| l.1);
        if let Some((_, recorded)) = fault.lease
            && recorded != found
        {
            correction.drifts.push(Drift::LeaseDiffers { recorded, found });
        }
    }
    correction.drifts.sort();
    correction.drifts.dedup();
    correction
}
