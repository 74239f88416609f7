//! What one target has of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use fault::{BootTime, Cut, Effect, Hook, Side};

use super::world::{DeviceId, Namespace, World};
use crate::kernel::{Attachment, Chain, KernelError, Peer, Place, Slot, Step};

/// Programs, maps and links of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Links, with the device that each holds on to wherever it goes.
    pub links: BTreeMap<Attachment, DeviceId>,
    /// What the target owns.
    pub own: BTreeSet<IpAddr>,
    /// Devices whose tagged frames are judged elsewhere.
    pub tagged: BTreeSet<u32>,
    /// Exempt endpoints.
    pub control_path: BTreeSet<SocketAddr>,
    /// Rules.
    pub rules: BTreeMap<Slot, Cut>,
    /// Peers of rules, by hook; no set is empty.
    pub peers: BTreeMap<(Slot, Side), BTreeSet<Peer>>,
    /// Peers whose openers are known.
    pub openers: BTreeSet<Peer>,
    /// From when to when rules act.
    pub leases: BTreeMap<Slot, (BootTime, BootTime)>,
    /// What rules did.
    pub effects: BTreeMap<Slot, Effect>,
    /// What passed the hooks.
    pub hooks: BTreeMap<Side, Hook>,
}

pub(super) fn nothing() -> KernelError {
    KernelError::Answer("nothing is loaded for the target".to_owned())
}

pub(super) fn taken(what: &str) -> KernelError {
    KernelError::Answer(format!("{what} is taken"))
}

impl Loaded {
    /// Whether a rule acts at this time.
    #[must_use]
    pub fn acts(&self, slot: Slot, now: BootTime) -> bool {
        self.rules.contains_key(&slot)
            && self.leases.get(&slot).is_some_and(|(start, end)| *start <= now && now < *end)
    }

    pub(super) fn chains(&self, namespace: &Namespace) -> BTreeMap<Attachment, Chain> {
        let place = |(attachment, device): (&Attachment, &DeviceId)| {
            let chain = if namespace.holds(attachment.interface, *device) {
                match namespace.before(*device, attachment.side) {
                    [] => Chain::First,
                    foreign => Chain::Behind(foreign.to_vec()),
                }
            } else {
                Chain::Absent
            };
            (*attachment, chain)
        };
        self.links.iter().map(place).collect()
    }

    pub(super) fn perform(
        &mut self,
        world: &World,
        place: &Place,
        step: &Step,
    ) -> Result<(), KernelError> {
        let gone = || KernelError::Gone(place.selector.scheme.clone());
        match step {
            Step::Load
            | Step::Unload
            | Step::Skew { .. }
            | Step::Unskew { .. }
            | Step::Engage { .. }
            | Step::Disengage { .. }
            | Step::Cover { .. } => return Err(taken("the target")),
            Step::Attach(attachment) => {
                let namespace = world.open(place).ok_or_else(gone)?;
                let device = namespace.device(attachment.interface).ok_or_else(|| {
                    let missing = std::io::Error::from_raw_os_error(libc::ENODEV);
                    KernelError::call("bpf(BPF_LINK_CREATE)")(missing)
                })?;
                if self.links.contains_key(attachment) {
                    return Err(taken("the hook"));
                }
                self.links.insert(*attachment, device);
            }
            Step::Detach(attachment) => {
                self.links.remove(attachment);
            }
            Step::Own(addresses) => self.own.clone_from(addresses),
            Step::TaggedElsewhere(devices) => self.tagged.clone_from(devices),
            Step::ControlPath(ends) => self.control_path.clone_from(ends),
            Step::Rule { slot, .. } if self.is_used(*slot) => return Err(taken("the slot")),
            Step::Rule { slot, cut } => {
                self.rules.insert(*slot, *cut);
            }
            Step::Clear { slot } => {
                self.rules.remove(slot);
                self.leases.remove(slot);
                self.effects.remove(slot);
            }
            Step::AddPeers(set) => {
                for side in &set.sides {
                    let peers = self.peers.entry((set.slot, *side)).or_default();
                    peers.extend(set.peers.iter().cloned());
                }
                self.peers.retain(|_, peers| !peers.is_empty());
            }
            Step::RemovePeers(set) => {
                for side in &set.sides {
                    if let Some(peers) = self.peers.get_mut(&(set.slot, *side)) {
                        peers.retain(|peer| !set.peers.contains(peer));
                    }
                }
                self.peers.retain(|_, peers| !peers.is_empty());
            }
            Step::ReadOpeners(peers) => {
                world.open(place).ok_or_else(gone)?;
                self.openers.extend(peers.iter().cloned());
            }
            Step::ForgetOpeners { peers, kept } => {
                self.openers.retain(|peer| !peers.contains(peer) || kept.contains(peer));
            }
            Step::Begin { slot, start, end } => {
                self.leases.insert(*slot, (*start, *end));
            }
            Step::Renew { slot, end } => {
                // One store: where nothing began it makes a lease out of nothing.
                self.leases.entry(*slot).or_default().1 = *end;
            }
            Step::End { slot } => {
                self.leases.remove(slot);
            }
        }
        Ok(())
    }

    pub(super) fn is_used(&self, slot: Slot) -> bool {
        self.rules.contains_key(&slot) || self.peers.keys().any(|(used, _)| *used == slot)
    }
}
