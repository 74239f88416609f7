//! The object loaded into the kernel, its maps filled from a world, and test runs.
#![expect(clippy::unwrap_used, reason = "a helper of tests, which fail where it fails")]

use std::time::Duration;

use agent_ebpf::{OBJECT, abi::*, tables::Words};
use aya::{
    Ebpf, Pod, TestRun as _,
    maps::{Array, HashMap, PerCpuArray, PerCpuValues},
    programs::{SchedClassifier, TestRunOptions},
};

use crate::cases::world::{World, lease};

/// TC_ACT_SHOT, TC_ACT_REDIRECT and TCX_NEXT of uapi/linux.
const SHOT: u32 = 2;
const REDIRECT: u32 = 7;
const NEXT: u32 = u32::MAX;

/// The loaded object.
pub(crate) struct Kernel {
    ebpf: Ebpf,
}

impl Kernel {
    /// Loads the object; panics with a sentence where that is not possible.
    pub(crate) fn load() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let root = status.lines().any(|line| {
            line.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
        });
        assert!(root, "this loads BPF programs: run it as root");
        let mut ebpf = Ebpf::load(OBJECT).unwrap();
        for name in [names::INGRESS, names::EGRESS] {
            let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        Self { ebpf }
    }

    fn program(&self, side: Side) -> &SchedClassifier {
        let name = match side {
            Side::Ingress => names::INGRESS,
            Side::Egress => names::EGRESS,
        };
        self.ebpf.program(name).unwrap().try_into().unwrap()
    }

    /// Instructions that the verifier followed.
    pub(crate) fn verified(&self, side: Side) -> u32 {
        self.program(side).info().unwrap().verified_instruction_count().unwrap()
    }

    fn array<V: Pod>(&mut self, name: &str, values: impl IntoIterator<Item = V>) {
        let mut map = Array::<_, V>::try_from(self.ebpf.map_mut(name).unwrap()).unwrap();
        for (index, value) in values.into_iter().enumerate() {
            map.set(index as u32, value, 0).unwrap();
        }
    }

    fn hash<K: Pod, V: Pod>(&mut self, name: &str, entries: impl IntoIterator<Item = (K, V)>) {
        let mut map = HashMap::<_, K, V>::try_from(self.ebpf.map_mut(name).unwrap()).unwrap();
        for key in map.keys().collect::<Result<Vec<_>, _>>().unwrap() {
            map.remove(&key).unwrap();
        }
        for (key, value) in entries {
            map.insert(key, value, 0).unwrap();
        }
    }

    /// Fills every map from the world, at this boot time (ns), and forgets what was counted.
    pub(crate) fn fill(&mut self, world: &World, now: u64) {
        let (mut rules, mut leases) = ([Rule::default(); 64], [Lease::default(); 64]);
        for (slot, rule, when) in &world.rules {
            rules[*slot as usize] = *rule;
            leases[*slot as usize] = lease(now, *when);
        }
        self.array(names::RULES, rules);
        self.array(names::LEASES, leases);
        self.array(names::SEQUENCE, [Sequence::default(); 64]);
        self.array(names::TARGET, [world.target(now)]);
        let filter: Words = world.filter().try_into().unwrap();
        self.array(names::PREFILTER, [filter]);
        self.hash(names::PEERS, world.masks());
        self.hash(names::LOCAL, world.local.iter().map(|address| (*address, 1u8)));
        self.hash(names::DEVICES, world.devices.iter().copied());
        self.hash(names::EXEMPT, world.exempt.iter().map(|endpoint| (*endpoint, 1u8)));
        self.hash(names::PROBES, world.probes.iter().map(|port| (*port, 1u8)));
        self.hash(names::SERVED, world.served.iter().copied());
        self.hash(names::FLOWS, (0..world.flows.len()).map(|index| world.flow_at(index, now)));
        let cpus = aya::util::nr_cpus().unwrap();
        let map = self.ebpf.map_mut(names::COUNTERS).unwrap();
        let mut counters = PerCpuArray::<_, Counters>::try_from(map).unwrap();
        for slot in 0..64 {
            let zero = PerCpuValues::try_from(vec![Counters::default(); cpus]).unwrap();
            counters.set(slot, zero, 0).unwrap();
        }
        let map = self.ebpf.map_mut(names::SEEN).unwrap();
        let mut seen = PerCpuArray::<_, Seen>::try_from(map).unwrap();
        for side in 0..2 {
            let zero = PerCpuValues::try_from(vec![Seen::default(); cpus]).unwrap();
            seen.set(side, zero, 0).unwrap();
        }
    }

    /// Whether the packet is lost, and what a run took on average.
    pub(crate) fn run(&self, side: Side, frame: &[u8], repeat: u32) -> (bool, Duration) {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = repeat;
        let result = self.program(side).test_run(options);
        let result = result.unwrap_or_else(|error| panic!("{error:?} for {frame:02x?}"));
        let lost = match (result.return_value, side) {
            (NEXT, _) => false,
            (SHOT, Side::Ingress) | (REDIRECT, Side::Egress) => true,
            (other, _) => panic!("{side:?} returned {other}"),
        };
        (lost, result.duration)
    }

    /// The counters of a slot over all CPUs; times are the largest.
    pub(crate) fn counters(&self, slot: u32) -> Counters {
        let map = self.ebpf.map(names::COUNTERS).unwrap();
        let counters = PerCpuArray::<_, Counters>::try_from(map).unwrap();
        let mut sum = Counters::default();
        for cpu in counters.get(&slot, 0).unwrap().iter() {
            sum.matched += cpu.matched;
            sum.lost += cpu.lost;
            sum.lost_segments += cpu.lost_segments;
            sum.lost_bytes += cpu.lost_bytes;
            sum.spared += cpu.spared;
            sum.expired += cpu.expired;
            sum.not_begun += cpu.not_begun;
            sum.exempt += cpu.exempt;
            sum.other_opener += cpu.other_opener;
            sum.opener_guessed += cpu.opener_guessed;
            sum.opener_unknown += cpu.opener_unknown;
            sum.other_age += cpu.other_age;
            sum.fragment += cpu.fragment;
            sum.probes_matched += cpu.probes_matched;
            sum.probes_lost += cpu.probes_lost;
            sum.first_loss = sum.first_loss.max(cpu.first_loss);
            sum.last_loss = sum.last_loss.max(cpu.last_loss);
        }
        sum
    }

    /// What passed, and what could not be parsed, at both sides.
    pub(crate) fn seen(&self) -> Seen {
        let map = self.ebpf.map(names::SEEN).unwrap();
        let seen = PerCpuArray::<_, Seen>::try_from(map).unwrap();
        let mut sum = Seen::default();
        for side in 0..2 {
            for cpu in seen.get(&side, 0).unwrap().iter() {
                sum.packets += cpu.packets;
                sum.unparsable += cpu.unparsable;
            }
        }
        sum
    }
}

/// Boot time in ns, to 10 ms.
pub(crate) fn boot_time() -> u64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
    (seconds * 1e9) as u64
}
