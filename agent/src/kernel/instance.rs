//! What one target has of ours in the kernel, and the steps that change it.

use std::collections::{BTreeMap, BTreeSet, HashMap as StdHashMap};
use std::hash::Hash;
use std::mem::offset_of;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_ebpf::abi::{
    Counters, DEVICE_TAGGED_ELSEWHERE, EndpointKey, FlowKey, Lengths, MAX_LENGTHS, Rule, Target,
    names,
};
use aya::Pod;
use aya::maps::{HashMap, MapData, MapError, PerCpuValues};
use fault::{BootTime, Cut, Effect, Hook, Prefix, Protocol, Side};

use super::encode::{effect_of, protocol_number, rule_of};
use super::peers::{Change, PeerTable, hook, mapped};
use super::programs::{self, Programs, Words};
use super::sockets::{Sockets, port_key};
use super::{Attachment, Chain, KernelError, Peer, PeerSet, Slot, bpf};

/// A link that ends with its descriptor.
struct Link {
    descriptor: OwnedFd,
    id: u32,
}

/// One target's programs, maps and links.
pub(super) struct Instance {
    words: Words,
    maps: Mutex<Maps>,
    links: Mutex<BTreeMap<Attachment, Link>>,
}

struct Maps {
    programs: Programs,
    peers: PeerTable,
}

/// A thread that panicked while it held a lock left the maps as they are in the kernel: go on with that.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(map: &'static str) -> impl FnOnce(MapError) -> KernelError {
    move |error| KernelError::Map { map, source: Box::new(error) }
}

/// Where fields of [`Target`] stand, in words; two flags share one.
const OBSERVED_SINCE: usize = offset_of!(Target, observed_since) / 8;
const FLAGS: usize = offset_of!(Target, probing) / 8;
const FLOW_SLOTS: usize = offset_of!(Target, flow_slots) / 8;
const _: () = assert!(
    offset_of!(Target, observed_since).is_multiple_of(8)
        && offset_of!(Target, flow_slots).is_multiple_of(8)
        && offset_of!(Target, exempting) / 8 == FLAGS
);

impl Instance {
    pub(super) fn load() -> Result<Self, KernelError> {
        let (programs, words) = programs::load()?;
        let maps = Maps { programs, peers: PeerTable::default() };
        Ok(Self { words, maps: Mutex::new(maps), links: Mutex::default() })
    }

    /// Must be called inside the target's namespace, where the index has its meaning.
    pub(super) fn attach(&self, attachment: Attachment) -> Result<(), KernelError> {
        let maps = lock(&self.maps);
        let program = match attachment.side {
            Side::Ingress => maps.programs.ingress.as_fd(),
            Side::Egress => maps.programs.egress.as_fd(),
        };
        let descriptor = bpf::attach_first(program, attachment.interface, attachment.side)
            .map_err(KernelError::call("bpf(BPF_LINK_CREATE)"))?;
        let info = bpf::link_info(descriptor.as_fd())
            .map_err(KernelError::call("bpf(BPF_OBJ_GET_INFO_BY_FD)"))?;
        lock(&self.links).insert(attachment, Link { descriptor, id: info.id });
        Ok(())
    }

    pub(super) fn detach(&self, attachment: Attachment) {
        lock(&self.links).remove(&attachment);
    }

    /// Our place in every hook where we are. Must be called inside the target's namespace.
    pub(super) fn chains(&self) -> Result<BTreeMap<Attachment, Chain>, KernelError> {
        let links = lock(&self.links);
        let place = |(attachment, link): (&Attachment, &Link)| {
            // A link outlives its device, with index 0.
            let info = bpf::link_info(link.descriptor.as_fd())
                .map_err(KernelError::call("bpf(BPF_OBJ_GET_INFO_BY_FD)"))?;
            if info.interface != attachment.interface {
                return Ok((*attachment, Chain::Absent));
            }
            let chain = match bpf::chain(attachment.interface, attachment.side) {
                Ok(chain) => chain,
                // The device is gone.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Vec::new(),
                Err(error) => return Err(KernelError::call("bpf(BPF_PROG_QUERY)")(error)),
            };
            let place = match chain.iter().position(|entry| entry.link == link.id) {
                Some(0) => Chain::First,
                Some(at) => Chain::Behind(chain[..at].iter().map(|entry| entry.program).collect()),
                None => Chain::Absent,
            };
            Ok((*attachment, place))
        };
        links.iter().map(place).collect()
    }

    pub(super) fn own(&self, addresses: &BTreeSet<IpAddr>) -> Result<(), KernelError> {
        let wanted = addresses.iter().map(|address| (mapped(*address), 1)).collect();
        replace(&mut lock(&self.maps).programs.local, &wanted, names::LOCAL)
    }

    pub(super) fn tagged_elsewhere(&self, devices: &BTreeSet<u32>) -> Result<(), KernelError> {
        let wanted = devices.iter().map(|index| (*index, DEVICE_TAGGED_ELSEWHERE)).collect();
        replace(&mut lock(&self.maps).programs.devices, &wanted, names::DEVICES)
    }

    pub(super) fn control_path(&self, ends: &BTreeSet<SocketAddr>) -> Result<(), KernelError> {
        let entry = |end: &SocketAddr| {
            let address = mapped(end.ip().to_canonical());
            (EndpointKey { address, port: end.port(), pad: 0 }, 1)
        };
        let wanted = ends.iter().map(entry).collect();
        replace(&mut lock(&self.maps).programs.exempt, &wanted, names::EXEMPT)?;
        self.flag(Flag::Exempting, !ends.is_empty());
        Ok(())
    }

    /// Writes a rule while its lease is empty, and zeroes its counts.
    pub(super) fn rule(&self, slot: Slot, cut: &Cut) -> Result<(), KernelError> {
        let at = u32::try_from(slot.index()).map_err(|e| KernelError::Answer(e.to_string()))?;
        self.end(slot);
        self.words.leases.store(slot.index(), 0, 0);
        self.words.sequence.store(slot.index(), 0, 0);
        self.words.sequence.store(slot.index(), 1, 0);
        let mut maps = lock(&self.maps);
        let cpus =
            aya::util::nr_cpus().map_err(|(_, error)| KernelError::call("nr_cpus")(error))?;
        let zero = PerCpuValues::try_from(vec![Counters::default(); cpus])
            .map_err(KernelError::call("per-CPU values"))?;
        maps.programs.counters.set(at, zero, 0).map_err(refused(names::COUNTERS))?;
        let rule = rule_of(cut);
        maps.programs.rules.set(at, rule, 0).map_err(refused(names::RULES))?;
        self.set_bit(FLOW_SLOTS, 1 << slot.index(), rule.needs_flows());
        Ok(())
    }

    pub(super) fn clear(&self, slot: Slot) -> Result<(), KernelError> {
        let at = u32::try_from(slot.index()).map_err(|e| KernelError::Answer(e.to_string()))?;
        self.end(slot);
        self.set_bit(FLOW_SLOTS, 1 << slot.index(), false);
        let mut maps = lock(&self.maps);
        maps.programs.rules.set(at, Rule::default(), 0).map_err(refused(names::RULES))
    }

    /// `now` (ns) is since when the openers of flows with these peers are observed.
    pub(super) fn add_peers(&self, set: &PeerSet, now: u64) -> Result<(), KernelError> {
        let mut maps = lock(&self.maps);
        let limit = |_| KernelError::Limit {
            what: "prefix lengths of one family at one hook",
            most: MAX_LENGTHS as u64,
        };
        let changes = maps.peers.add(set).map_err(limit)?;
        if let Err(error) = self.apply(&mut maps.programs, &changes) {
            let undone = maps.peers.remove(set);
            // The first error is the one to tell.
            let _ = self.apply(&mut maps.programs, &undone);
            return Err(error);
        }
        if set.sides.len() > 1 {
            self.words.target.store(0, OBSERVED_SINCE, now);
        }
        Ok(())
    }

    pub(super) fn remove_peers(&self, set: &PeerSet) -> Result<(), KernelError> {
        let mut maps = lock(&self.maps);
        let changes = maps.peers.remove(set);
        self.apply(&mut maps.programs, &changes)
    }

    fn apply(&self, programs: &mut Programs, changes: &[Change]) -> Result<(), KernelError> {
        use std::sync::atomic::Ordering::SeqCst;
        let word = |bit: u32| self.words.prefilter.word((bit / 64) as usize, 0);
        let mut first = Ok(());
        for change in changes {
            let result = match change {
                Change::Put(key, mask) => programs.peers.insert(key, mask, 0),
                Change::Delete(key) => programs.peers.remove(key),
                Change::Set(bit) => {
                    word(*bit).fetch_or(1 << (bit % 64), SeqCst);
                    Ok(())
                }
                Change::Unset(bit) => {
                    word(*bit).fetch_and(!(1 << (bit % 64)), SeqCst);
                    Ok(())
                }
                Change::Length(side, family, length) => {
                    self.add_length(hook(*side) as usize, family.index(), *length);
                    Ok(())
                }
            };
            first = first.and(result);
        }
        first.map_err(refused(names::PEERS))
    }

    /// Appends a length, then counts it: a reader never looks at a length that is not there yet.
    fn add_length(&self, side: usize, family: usize, length: u8) {
        let at = (side * 2 + family) * size_of::<Lengths>();
        let count = self.byte(at);
        let value = at + size_of::<u32>() + usize::from(count);
        self.set_byte(value, length);
        self.set_byte(at, count + 1);
    }

    fn byte(&self, at: usize) -> u8 {
        self.words.target.load(0, at / 8).to_ne_bytes()[at % 8]
    }

    fn set_byte(&self, at: usize, byte: u8) {
        let mut bytes = self.words.target.load(0, at / 8).to_ne_bytes();
        bytes[at % 8] = byte;
        self.words.target.store(0, at / 8, u64::from_ne_bytes(bytes));
    }

    fn flag(&self, flag: Flag, on: bool) {
        let mut bytes = [0_u8; 8];
        bytes[match flag {
            Flag::Probing => offset_of!(Target, probing) % 8,
            Flag::Exempting => offset_of!(Target, exempting) % 8,
        }] = 1;
        self.set_bit(FLAGS, u64::from_ne_bytes(bytes), on);
    }

    /// Bits of one word are set by different threads.
    fn set_bit(&self, word: usize, bit: u64, on: bool) {
        use std::sync::atomic::Ordering::SeqCst;
        let word = self.words.target.word(0, word);
        if on {
            word.fetch_or(bit, SeqCst)
        } else {
            word.fetch_and(!bit, SeqCst)
        };
    }

    /// Enters who serves and who opened the flows with these peers. What was seen on the wire since the
    /// observers stand is not overwritten.
    pub(super) fn openers(
        &self,
        peers: &BTreeSet<Peer>,
        sockets: &Sockets,
    ) -> Result<(), KernelError> {
        let mut maps = lock(&self.maps);
        let served = sockets
            .served
            .iter()
            .map(|((protocol, port), sureness)| (port_key(*protocol, *port), *sureness))
            .collect();
        replace(&mut maps.programs.served, &served, names::SERVED)?;
        for (key, flow) in sockets.flows.iter().filter(|(key, _)| concerns(key, peers)) {
            match maps.programs.flows.insert(key, flow, NOEXIST) {
                Ok(()) => {}
                Err(error) if super::error::map_errno(&error) == Some(libc::EEXIST) => {}
                Err(error) => return Err(refused(names::FLOWS)(error)),
            }
        }
        Ok(())
    }

    pub(super) fn forget_openers(
        &self,
        peers: &BTreeSet<Peer>,
        kept: &BTreeSet<Peer>,
    ) -> Result<(), KernelError> {
        let mut maps = lock(&self.maps);
        let keys: Vec<FlowKey> = maps.programs.flows.keys().flatten().collect();
        for key in keys.iter().filter(|key| concerns(key, peers) && !concerns(key, kept)) {
            // It may have been evicted since.
            let _ = maps.programs.flows.remove(key);
        }
        Ok(())
    }

    pub(super) fn begin(&self, slot: Slot, start: BootTime, end: BootTime) {
        self.words.leases.store(slot.index(), 0, start.nanos());
        self.words.leases.store(slot.index(), 1, end.nanos());
    }

    pub(super) fn renew(&self, slot: Slot, end: BootTime) {
        self.words.leases.store(slot.index(), 1, end.nanos());
    }

    pub(super) fn end(&self, slot: Slot) {
        self.words.leases.store(slot.index(), 1, 0);
    }

    pub(super) fn lease(&self, slot: Slot) -> Option<(BootTime, BootTime)> {
        let start = self.words.leases.load(slot.index(), 0);
        let end = self.words.leases.load(slot.index(), 1);
        (end != 0).then(|| (BootTime::from_nanos(start), BootTime::from_nanos(end)))
    }

    /// Marks a port as that of a probe; a probe is never effect.
    pub(super) fn mark_probe(&self, protocol: Protocol, port: u16) -> Result<(), KernelError> {
        let mut maps = lock(&self.maps);
        let key = port_key(protocol_number(Some(protocol)), port);
        maps.programs.probes.insert(key, 1, 0).map_err(refused(names::PROBES))?;
        self.flag(Flag::Probing, true);
        Ok(())
    }

    /// Takes the marks of these ports away again; those of other probes under way stay.
    pub(super) fn unmark_probes(&self, protocol: Protocol, ports: &[u16]) {
        let mut maps = lock(&self.maps);
        for port in ports {
            // It may never have been marked here.
            let _ = maps.programs.probes.remove(&port_key(protocol_number(Some(protocol)), *port));
        }
        if maps.programs.probes.keys().next().is_none() {
            self.flag(Flag::Probing, false);
        }
    }

    pub(super) fn effect(&self, slot: Slot) -> Result<Effect, KernelError> {
        let at = u32::try_from(slot.index()).map_err(|e| KernelError::Answer(e.to_string()))?;
        let maps = lock(&self.maps);
        let values = maps.programs.counters.get(&at, 0).map_err(refused(names::COUNTERS))?;
        drop(maps);
        let mut effect = Effect::default();
        for counters in values.iter() {
            effect += effect_of(counters);
        }
        Ok(effect)
    }

    pub(super) fn hook(&self, side: Side) -> Result<Hook, KernelError> {
        let maps = lock(&self.maps);
        let at = hook(side) as u32;
        let values = maps.programs.seen.get(&at, 0).map_err(refused(names::SEEN))?;
        Ok(Hook {
            seen: values.iter().map(|seen| seen.packets).sum(),
            unparsable: values.iter().map(|seen| seen.unparsable).sum(),
        })
    }
}

#[derive(Clone, Copy)]
enum Flag {
    Probing,
    Exempting,
}

/// Makes a map hold exactly this; what stays is never absent in between.
fn replace<K: Pod + Hash + Eq, V: Pod>(
    map: &mut HashMap<MapData, K, V>,
    wanted: &StdHashMap<K, V>,
    name: &'static str,
) -> Result<(), KernelError> {
    for (key, value) in wanted {
        map.insert(key, value, 0).map_err(refused(name))?;
    }
    let surplus: Vec<K> = map.keys().flatten().filter(|key| !wanted.contains_key(key)).collect();
    for key in surplus {
        map.remove(&key).map_err(refused(name))?;
    }
    Ok(())
}

/// BPF_NOEXIST of include/uapi/linux/bpf.h.
const NOEXIST: u64 = 1;

fn concerns(key: &FlowKey, peers: &BTreeSet<Peer>) -> bool {
    peers.iter().any(|peer| {
        let length = peer.prefix.length();
        Prefix::new(key.remote, length, None)
            .is_ok_and(|net| net.network() == peer.prefix.network())
    })
}
