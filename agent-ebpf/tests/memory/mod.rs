//! The decision's tables in memory, over a case's world, and a frame as an skb.
#![expect(clippy::unwrap_used, reason = "a helper of tests, which fail where it fails")]

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    mem::MaybeUninit,
    ops::ControlFlow,
};

use agent_ebpf::{
    abi::*,
    decide::Outcome,
    packet::{Addressee, Bytes, Packet, Tag},
    sight::Sight,
    tables::{Series, Slot, Tables, Words},
};

use crate::cases::world::{SECOND, World, lease};

thread_local! {
    /// As on a CPU, what is left of the packet before, also of another world's: a field that a decision
    /// does not set anew shows.
    static SIGHT: RefCell<Sight> = const { RefCell::new(Sight::NONE) };
}

/// The tables in memory.
pub(crate) struct Memory {
    world: World,
    masks: HashMap<PeerKey, u64>,
    filter: Vec<u64>,
    target: Target,
    rules: Vec<Rule>,
    leases: Vec<Lease>,
    flows: RefCell<HashMap<FlowKey, Flow>>,
    numbers: RefCell<Vec<[u64; 2]>>,
    pub(crate) counters: RefCell<Vec<Counters>>,
    pub(crate) seen: RefCell<[Seen; 2]>,
    pub(crate) clock_reads: Cell<u32>,
    pub(crate) now: u64,
}

impl Memory {
    pub(crate) fn new(world: &World) -> Self {
        let now = 1_000_000 * SECOND as u64;
        let (mut rules, mut leases) = (vec![Rule::default(); 64], vec![Lease::default(); 64]);
        for (slot, rule, when) in &world.rules {
            rules[*slot as usize] = *rule;
            leases[*slot as usize] = lease(now, *when);
        }
        Self {
            masks: world.masks(),
            filter: world.filter(),
            target: world.target(now),
            flows: RefCell::new((0..world.flows.len()).map(|i| world.flow_at(i, now)).collect()),
            numbers: RefCell::new(vec![[0; 2]; 64]),
            counters: RefCell::new(vec![Counters::default(); 64]),
            seen: RefCell::default(),
            clock_reads: Cell::new(0),
            world: world.clone(),
            rules,
            leases,
            now,
        }
    }
}

impl Tables for Memory {
    fn target(&self) -> Option<&Target> {
        Some(&self.target)
    }
    fn seen(&self, side: Side, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.borrow_mut()[side as usize]);
    }
    fn filter(&self) -> Option<&Words> {
        self.filter.as_slice().try_into().ok()
    }
    fn peer(&self, key: &PeerKey) -> u64 {
        self.masks.get(key).copied().unwrap_or(0)
    }
    fn is_local(&self, address: &Address) -> bool {
        self.world.local.contains(address)
    }
    fn device(&self, ifindex: u32) -> Device {
        self.world.devices.iter().find(|known| known.0 == ifindex).map_or(0, |known| known.1)
    }
    fn is_exempt(&self, endpoint: &EndpointKey) -> bool {
        self.world.exempt.contains(endpoint)
    }
    fn is_probe(&self, port: &PortKey) -> bool {
        self.world.probes.contains(port)
    }
    fn served(&self, port: &PortKey) -> u8 {
        self.world.served.iter().find(|known| known.0 == *port).map_or(0, |known| known.1)
    }
    fn rule(&self, slot: Slot) -> Option<&Rule> {
        self.rules.get(slot as usize)
    }
    fn lease(&self, slot: Slot) -> Lease {
        self.leases[slot as usize]
    }
    fn counters(&self, slot: Slot, change: impl FnOnce(&mut Counters)) {
        change(&mut self.counters.borrow_mut()[slot as usize]);
    }
    fn number(&self, slot: Slot, series: Series) -> u64 {
        let mut numbers = self.numbers.borrow_mut();
        let number = &mut numbers[slot as usize][series as usize];
        *number += 1;
        *number - 1
    }
    fn flow<R>(&self, key: &FlowKey, visit: impl FnOnce(&mut Flow) -> R) -> Option<R> {
        self.flows.borrow_mut().get_mut(key).map(visit)
    }
    fn record(&self, key: &FlowKey, flow: &Flow) {
        self.flows.borrow_mut().insert(*key, *flow);
    }
    fn workspace(&self, work: impl FnOnce(&mut Sight) -> Outcome) -> Outcome {
        SIGHT.with_borrow_mut(work)
    }
    fn each_slot<V: FnMut(Slot) -> ControlFlow<()>>(&self, visit: &mut V) {
        let _ = (0..MAX_FAULTS as Slot).try_for_each(visit);
    }
    fn now(&self) -> u64 {
        self.clock_reads.set(self.clock_reads.get() + 1);
        self.now
    }
}

/// A frame as an skb on the loopback device.
pub(crate) struct Skb<'a> {
    pub(crate) frame: &'a [u8],
    pub(crate) tag: Tag,
}

impl Packet for Skb<'_> {
    fn load<'a, const N: usize>(
        &self,
        offset: u32,
        room: &'a mut MaybeUninit<Bytes<N>>,
    ) -> Option<&'a Bytes<N>> {
        let bytes = self.frame.get(14 + offset as usize..14 + offset as usize + N)?;
        Some(room.write(Bytes(bytes.try_into().unwrap())))
    }
    fn ethertype(&self) -> u16 {
        u16::from_be_bytes([self.frame[12], self.frame[13]])
    }
    fn tag(&self) -> Tag {
        self.tag
    }
    fn length(&self) -> u32 {
        self.frame.len() as u32
    }
    fn segments(&self) -> u32 {
        1
    }
    fn ifindex(&self) -> u32 {
        1
    }
    fn addressee(&self) -> Addressee {
        if self.frame[..6] == [0; 6] { Addressee::ThisDevice } else { Addressee::OtherDevice }
    }
}
