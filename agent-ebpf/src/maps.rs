//! The maps of the object, as the decision's tables.

use core::{
    ffi::c_void,
    hint::black_box,
    intrinsics::{AtomicOrdering, atomic_xadd},
    ops::ControlFlow,
    ptr,
};

use agent_ebpf::{
    abi::{
        Address, Counters, Device, EXECS_BYTES, EndpointKey, Flow, FlowKey, Lease, MAX_FAULTS,
        PeerKey, PortKey, Rule, Seen, Sequence, Side, Target,
    },
    decide::Outcome,
    sight::Sight,
    tables::{Series, Slot, Tables, Words},
};
use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    helpers::{bpf_ktime_get_boot_ns, bpf_loop},
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};

const FAULTS: u32 = MAX_FAULTS as u32;

#[map(name = "schism_peers")]
static PEERS: HashMap<PeerKey, u64> = HashMap::with_max_entries(65536, BPF_F_NO_PREALLOC);
#[map(name = "schism_filter")]
static FILTER: Array<Words> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map(name = "schism_local")]
static LOCAL: HashMap<Address, u8> = HashMap::with_max_entries(4096, BPF_F_NO_PREALLOC);
#[map(name = "schism_devices")]
static DEVICES: HashMap<u32, Device> = HashMap::with_max_entries(4096, BPF_F_NO_PREALLOC);
#[map(name = "schism_exempt")]
static EXEMPT: HashMap<EndpointKey, u8> = HashMap::with_max_entries(64, BPF_F_NO_PREALLOC);
#[map(name = "schism_probes")]
static PROBES: HashMap<PortKey, u8> = HashMap::with_max_entries(64, BPF_F_NO_PREALLOC);
#[map(name = "schism_served")]
static SERVED: HashMap<PortKey, u8> = HashMap::with_max_entries(8192, BPF_F_NO_PREALLOC);
#[map(name = "schism_flows")]
static FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(16384, 0);
#[map(name = "schism_target")]
static TARGET: Array<Target> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map(name = "schism_leases")]
static LEASES: Array<Lease> = Array::with_max_entries(FAULTS, BPF_F_MMAPABLE);
#[map(name = "schism_rules")]
static RULES: Array<Rule> = Array::with_max_entries(FAULTS, 0);
#[map(name = "schism_sequence")]
static SEQUENCE: Array<Sequence> = Array::with_max_entries(FAULTS, BPF_F_MMAPABLE);
#[map(name = "schism_counters")]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(FAULTS, 0);
#[map(name = "schism_seen")]
static SEEN: PerCpuArray<Seen> = PerCpuArray::with_max_entries(2, 0);
#[map(name = "schism_sight")]
static SIGHT: PerCpuArray<Sight> = PerCpuArray::with_max_entries(1, 0);
#[map(name = "schism_execs")]
pub(crate) static EXECS: RingBuf = RingBuf::with_byte_size(EXECS_BYTES, 0);

/// The maps above.
pub(crate) struct Maps;

/// The value of a hash for this key, copied.
#[inline(always)]
fn value<K, V: Copy>(map: &HashMap<K, V>, key: &K) -> Option<V> {
    // SAFETY: the map is not preallocated, so that an element lives until the program has ended.
    unsafe { map.get(key) }.copied()
}

impl Tables for Maps {
    #[inline(always)]
    fn target(&self) -> Option<&Target> {
        TARGET.get(0)
    }

    #[inline(always)]
    fn seen(&self, side: Side, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = SEEN.get_ptr_mut(side as u32) {
            // SAFETY: tc programs run with bottom halves off, so that nothing else uses this CPU's
            // value meanwhile. Not so with PREEMPT_RT since 6.18, which the agent refuses.
            change(unsafe { &mut *seen });
        }
    }

    #[inline(always)]
    fn filter(&self) -> Option<&Words> {
        FILTER.get(0)
    }

    #[inline(always)]
    fn peer(&self, key: &PeerKey) -> u64 {
        value(&PEERS, key).unwrap_or(0)
    }

    #[inline(always)]
    fn is_local(&self, address: &Address) -> bool {
        LOCAL.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn device(&self, ifindex: u32) -> Device {
        value(&DEVICES, &ifindex).unwrap_or(0)
    }

    #[inline(always)]
    fn is_exempt(&self, endpoint: &EndpointKey) -> bool {
        EXEMPT.get_ptr(endpoint).is_some()
    }

    #[inline(always)]
    fn is_probe(&self, port: &PortKey) -> bool {
        PROBES.get_ptr(port).is_some()
    }

    #[inline(always)]
    fn served(&self, port: &PortKey) -> u8 {
        value(&SERVED, port).unwrap_or(0)
    }

    #[inline(always)]
    fn rule(&self, slot: Slot) -> Option<&Rule> {
        RULES.get(slot)
    }

    #[inline(always)]
    fn lease(&self, slot: Slot) -> Lease {
        let Some(lease) = LEASES.get_ptr(slot) else { return Lease::default() };
        // SAFETY: the pointer is of a map value; user space stores each aligned word at once.
        unsafe {
            Lease {
                start: ptr::read_volatile(&raw const (*lease).start),
                end: ptr::read_volatile(&raw const (*lease).end),
            }
        }
    }

    #[inline(always)]
    fn counters(&self, slot: Slot, change: impl FnOnce(&mut Counters)) {
        if let Some(counters) = COUNTERS.get_ptr_mut(slot) {
            // SAFETY: as in `seen`.
            change(unsafe { &mut *counters });
        }
    }

    #[inline(always)]
    fn number(&self, slot: Slot, series: Series) -> u64 {
        let Some(sequence) = SEQUENCE.get_ptr_mut(slot) else { return 0 };
        // The compiler knows that this is 0 or 1, the verifier only believes what it sees masked.
        let which = black_box(series as usize) & 1;
        // SAFETY: the pointer is of a map value of two aligned words, used atomically everywhere.
        // `AtomicU64` has no `fetch_add` on a target without compare-and-swap.
        unsafe {
            let counter = sequence.cast::<u64>().add(which);
            atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(counter, 1)
        }
    }

    #[inline(always)]
    fn flow<R>(&self, key: &FlowKey, visit: impl FnOnce(&mut Flow) -> R) -> Option<R> {
        let flow = FLOWS.get_ptr_mut(key)?;
        // SAFETY: the pointer is of a map value. Another CPU may use it too, or the map may give it
        // to another flow meanwhile: then a field is of another packet, which is as good an answer.
        Some(visit(unsafe { &mut *flow }))
    }

    #[inline(always)]
    fn record(&self, key: &FlowKey, flow: &Flow) {
        // A map that is full evicts; other errors leave the flow unknown, which passes packets.
        let _ = FLOWS.insert(key, flow, 0);
    }

    #[inline(always)]
    fn workspace(&self, work: impl FnOnce(&mut Sight) -> Outcome) -> Outcome {
        let Some(place) = SIGHT.get_ptr_mut(0) else { return Outcome::Pass };
        // SAFETY: as in `seen`: no packet is decided over while another one is, on the same CPU. A map
        // begins with zeroes, which are a sight.
        work(unsafe { &mut *place })
    }

    #[inline(always)]
    fn each_slot<V: FnMut(Slot) -> ControlFlow<()>>(&self, visit: &mut V) {
        // SAFETY: the kernel (5.17) hands `visit` back to `step` and keeps neither.
        unsafe {
            bpf_loop(FAULTS, step::<V> as *mut c_void, ptr::from_mut(visit).cast(), 0);
        }
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: the helper takes nothing.
        unsafe { bpf_ktime_get_boot_ns() }
    }
}

/// One round of bpf_loop; 1 ends it.
unsafe extern "C" fn step<V: FnMut(Slot) -> ControlFlow<()>>(slot: u64, visit: *mut c_void) -> u64 {
    // SAFETY: it is the one that `each_slot` gave to bpf_loop, on the caller's stack.
    let visit = unsafe { &mut *visit.cast::<V>() };
    match visit(slot as Slot) {
        ControlFlow::Continue(()) => 0,
        ControlFlow::Break(()) => 1,
    }
}
