//! The programs and maps of one target, loaded and typed.

use std::os::fd::{AsFd, OwnedFd};

use agent_ebpf::OBJECT;
use agent_ebpf::abi::{
    Address, Counters, Device, EndpointKey, Flow, FlowKey, Lease, MAX_FAULTS, PeerKey, PortKey,
    Rule, Seen, Sequence, Target, names,
};
use agent_ebpf::prefilter;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::programs::SchedClassifier;
use aya::{Ebpf, EbpfLoader};

use super::KernelError;
use super::mapped::Mapped;

/// Everything of a loaded object. Dropped, the kernel frees it.
pub(super) struct Programs {
    pub(super) ingress: OwnedFd,
    pub(super) egress: OwnedFd,
    pub(super) peers: HashMap<MapData, PeerKey, u64>,
    pub(super) local: HashMap<MapData, Address, u8>,
    pub(super) devices: HashMap<MapData, u32, Device>,
    pub(super) exempt: HashMap<MapData, EndpointKey, u8>,
    pub(super) probes: HashMap<MapData, PortKey, u8>,
    pub(super) served: HashMap<MapData, PortKey, u8>,
    pub(super) flows: HashMap<MapData, FlowKey, Flow>,
    pub(super) rules: Array<MapData, Rule>,
    pub(super) counters: PerCpuArray<MapData, Counters>,
    pub(super) seen: PerCpuArray<MapData, Seen>,
    /// Read by nobody here; a map without a descriptor would look as if nobody held it.
    _sight: Map,
}

/// The parts that are memory of ours.
pub(super) struct Words {
    pub(super) prefilter: Mapped<u64>,
    pub(super) target: Mapped<Target>,
    pub(super) leases: Mapped<Lease>,
    pub(super) sequence: Mapped<Sequence>,
}

/// Loads the object. Needs CAP_BPF and CAP_NET_ADMIN.
pub(super) fn load() -> Result<(Programs, Words), KernelError> {
    let object = |error: &dyn std::fmt::Display| KernelError::Object(error.to_string());
    let mut ebpf = EbpfLoader::new().load(OBJECT).map_err(|error| describe(&error))?;
    let ingress = program(&mut ebpf, names::INGRESS)?;
    let egress = program(&mut ebpf, names::EGRESS)?;
    let words = Words {
        prefilter: mapped(&mut ebpf, names::PREFILTER, prefilter::WORDS as usize)?,
        target: mapped(&mut ebpf, names::TARGET, 1)?,
        leases: mapped(&mut ebpf, names::LEASES, MAX_FAULTS)?,
        sequence: mapped(&mut ebpf, names::SEQUENCE, MAX_FAULTS)?,
    };
    macro_rules! typed {
        ($type:ident, $name:expr) => {
            $type::try_from(take(&mut ebpf, $name)?).map_err(|error| object(&error))?
        };
    }
    let programs = Programs {
        ingress,
        egress,
        peers: typed!(HashMap, names::PEERS),
        local: typed!(HashMap, names::LOCAL),
        devices: typed!(HashMap, names::DEVICES),
        exempt: typed!(HashMap, names::EXEMPT),
        probes: typed!(HashMap, names::PROBES),
        served: typed!(HashMap, names::SERVED),
        flows: typed!(HashMap, names::FLOWS),
        rules: typed!(Array, names::RULES),
        counters: typed!(PerCpuArray, names::COUNTERS),
        seen: typed!(PerCpuArray, names::SEEN),
        _sight: take(&mut ebpf, names::SIGHT)?,
    };
    Ok((programs, words))
}

/// Keeps the errno where there is one: a map for which there is no memory is told apart from the rest.
fn describe(error: &aya::EbpfError) -> KernelError {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>()
            && let Some(code) = io.raw_os_error()
        {
            return KernelError::Call {
                call: "bpf(BPF_MAP_CREATE)",
                source: std::io::Error::from_raw_os_error(code),
            };
        }
        cause = inner.source();
    }
    KernelError::Object(error.to_string())
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, KernelError> {
    ebpf.take_map(name).ok_or_else(|| KernelError::Object(format!("has no map {name}")))
}

fn mapped<T>(
    ebpf: &mut Ebpf,
    name: &'static str,
    elements: usize,
) -> Result<Mapped<T>, KernelError> {
    let Map::Array(data) = take(ebpf, name)? else {
        return Err(KernelError::Object(format!("{name} is no array")));
    };
    let descriptor = data.fd().as_fd().try_clone_to_owned();
    descriptor
        .and_then(|descriptor| Mapped::new(descriptor, elements))
        .map_err(KernelError::call("mmap of a map"))
}

fn program(ebpf: &mut Ebpf, name: &'static str) -> Result<OwnedFd, KernelError> {
    let program: &mut SchedClassifier = ebpf
        .program_mut(name)
        .ok_or_else(|| KernelError::Object(format!("has no program {name}")))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| KernelError::Object(error.to_string()))?;
    program.load().map_err(|error| KernelError::Object(error.to_string()))?;
    let descriptor = program.fd().map_err(|error| KernelError::Object(error.to_string()))?;
    descriptor.as_fd().try_clone_to_owned().map_err(KernelError::call("fcntl(F_DUPFD_CLOEXEC)"))
}
