//! What this node can do, what is missing, and what that means.

use std::fs;

use fault::{Capability, Clocks, Ending, Extent, Offset, Presence, Shape, Skew};

use crate::clock::image::Image;
use crate::clock::patch::{Moved, Patch};
use crate::daemon::StartError;
use crate::kernel::clock::memory::Memory;
use crate::kernel::clock::vdso;
use crate::kernel::{bpf, clock, netns, route};

/// Capabilities that a cut needs, by their bit (include/uapi/linux/capability.h), and what for.
const CAPABILITIES: [(&str, u32, &str); 5] = [
    ("CAP_NET_BROADCAST", 11, "hear of changes in all network namespaces"),
    ("CAP_NET_ADMIN", 12, "attach programs to devices"),
    ("CAP_SYS_PTRACE", 19, "find the namespaces of other users' processes"),
    ("CAP_SYS_ADMIN", 21, "enter network namespaces"),
    ("CAP_BPF", 39, "load programs and maps"),
];
/// What a packet socket takes, by its bit.
const NET_RAW: (&str, u32) = ("CAP_NET_RAW", 13);
/// What is wrong with PREEMPT_RT: since 6.18 softirqs that are preempted no longer keep each other off
/// a CPU (CONFIG_PREEMPT_RT_NEEDS_BH_LOCK), and what is known of a packet stands in per-CPU memory.
const REAL_TIME: &str = "where one packet could be judged by what is known of another";
/// The first kernel with tcx.
const OLDEST: (u32, u32) = (6, 6);

fn there(name: &str, finding: impl Into<String>) -> Capability {
    Capability {
        name: name.to_owned(),
        presence: Presence::There,
        finding: finding.into(),
        meaning: String::new(),
    }
}

fn missing(name: &str, finding: impl Into<String>, meaning: &str) -> Capability {
    Capability {
        name: name.to_owned(),
        presence: Presence::Missing,
        finding: finding.into(),
        meaning: meaning.to_owned(),
    }
}

fn warning(name: &str, finding: impl Into<String>, meaning: &str) -> Capability {
    Capability { presence: Presence::Warning, ..missing(name, finding, meaning) }
}

/// The kernel's release.
#[must_use]
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Refuses before anything is touched what cannot work here.
///
/// # Errors
/// Privilege or kernel do not suffice.
pub fn preflight() -> Result<(), StartError> {
    let lacking: Vec<&str> = lacking().into_iter().map(|(name, _)| name).collect();
    if !lacking.is_empty() {
        return Err(StartError::Unprivileged(lacking.join(", ")));
    }
    let release = kernel_release();
    if version(&release).is_none_or(|version| version < OLDEST) {
        let needed = "Linux 6.6 or newer is needed for now";
        return Err(StartError::Unsupported(format!("it is Linux {release}; {needed}")));
    }
    match preemption() {
        Preemption::Usual => Ok(()),
        Preemption::RealTime => Err(StartError::Unsupported(format!(
            "Linux {release} is a real-time kernel (PREEMPT_RT), {REAL_TIME}; one without it is \
             needed for now"
        ))),
    }
}

/// Refuses before anything is touched to hand over packets that cannot be had.
///
/// # Errors
/// Privilege does not suffice.
pub fn can_capture() -> Result<(), StartError> {
    match effective() & (1 << NET_RAW.1) {
        0 => Err(StartError::Unprivileged(format!("{} for --allow-capture", NET_RAW.0))),
        _ => Ok(()),
    }
}

/// Looks at everything, one thing after the other; needs no privilege to say what is missing.
#[must_use]
pub fn examine() -> Vec<Capability> {
    let mut found = vec![privileges(), kernel()];
    if lacking().is_empty() {
        found.push(tcx());
        found.push(namespaces());
    }
    found.push(clock_of_leases());
    found.push(skewing());
    found.extend(acting());
    found.push(processes());
    found.push(containers());
    found.extend(bypasses());
    found
}

fn effective() -> u64 {
    fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or(0)
}

fn lacking() -> Vec<(&'static str, &'static str)> {
    let effective = effective();
    let absent = CAPABILITIES.iter().filter(|(_, bit, _)| effective & (1 << bit) == 0);
    absent.map(|(name, _, purpose)| (*name, *purpose)).collect()
}

fn privileges() -> Capability {
    let lacking = lacking();
    if lacking.is_empty() {
        return there("privileges", "all capabilities that a cut needs");
    }
    let names: Vec<&str> = lacking.iter().map(|(name, _)| *name).collect();
    let purposes: Vec<&str> = lacking.iter().map(|(_, purpose)| *purpose).collect();
    let meaning = format!("cannot {}; run as root", purposes.join(", "));
    missing("privileges", format!("without {}", names.join(", ")), &meaning)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// How a kernel lets what it does be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preemption {
    Usual,
    RealTime,
}

fn preemption() -> Preemption {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    preemption_of(&read("/sys/kernel/realtime"), &read("/proc/version"))
}

/// By the flag that kernels with the real-time patches have, and by what every kernel says of its build.
fn preemption_of(flag: &str, version: &str) -> Preemption {
    if flag.trim() == "1" || version.contains(" PREEMPT_RT") {
        Preemption::RealTime
    } else {
        Preemption::Usual
    }
}

fn kernel() -> Capability {
    let release = kernel_release();
    let finding = format!("Linux {release}");
    match (version(&release), preemption()) {
        (Some(version), Preemption::Usual) if version >= OLDEST => there("kernel", finding),
        (Some(version), Preemption::RealTime) if version >= OLDEST => missing(
            "kernel",
            format!("{finding}, a real-time one (PREEMPT_RT)"),
            &format!("{REAL_TIME}; no cut will be put in"),
        ),
        (Some(_) | None, Preemption::Usual | Preemption::RealTime) => missing(
            "kernel",
            finding,
            "cuts need tcx, which Linux has since 6.6; none will be put in",
        ),
    }
}

/// Tried out in a namespace of our own, which goes away with the trial.
fn tcx() -> Capability {
    let meaning = "cuts are put in by tcx links; none will be";
    let trial = || -> Result<(), String> {
        let devices = route::devices().map_err(|error| format!("rtnetlink: {error}"))?;
        let device = devices.first().ok_or("a new namespace without loopback")?;
        bpf::chain(device.interface.index, fault::Side::Ingress)
            .map(drop)
            .map_err(|error| format!("bpf(BPF_PROG_QUERY): {error}"))
    };
    match netns::inside_new(trial) {
        Ok(Ok(())) => there("tcx", "asked in a new namespace, and it answers"),
        Ok(Err(error)) => missing("tcx", error, meaning),
        Err(error) => missing("tcx", format!("new namespace: {error}"), meaning),
    }
}

fn namespaces() -> Capability {
    match netns::own_cookie() {
        Ok(cookie) => there("namespace cookies", format!("ours is {cookie}")),
        Err(error) => missing(
            "namespace cookies",
            format!("getsockopt(SO_NETNS_COOKIE): {error}"),
            "a re-created namespace could not be told from the old one (Linux 5.14)",
        ),
    }
}

fn clock_of_leases() -> Capability {
    let now = clock::boot_now();
    if now.nanos() > 0 {
        return there("boot clock", "leases are timed by CLOCK_BOOTTIME, which nobody can set");
    }
    missing("boot clock", "CLOCK_BOOTTIME does not run", "leases could not be timed")
}

/// Whether processes can be killed, targets be loaded, and packets be captured.
fn acting() -> [Capability; 3] {
    let effective = effective();
    let absent = |of: &[(&'static str, u32)]| {
        let absent = of.iter().filter(|(_, bit)| effective & (1 << bit) == 0);
        absent.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    };
    let kill = match absent(&[("CAP_KILL", 5)]) {
        none if none.is_empty() => there("kill", "other users' processes can be sent signals"),
        some => warning("kill", format!("without {some}"), "no process of another user is killed"),
    };
    // They change from root to nobody; joining a control group takes none where root owns it.
    let stress = match absent(&[("CAP_SETGID", 6), ("CAP_SETUID", 7)]) {
        none if none.is_empty() => there("stress", "what loads a target gives up its privileges"),
        some => warning("stress", format!("without {some}"), "no target is loaded"),
    };
    let capture = match absent(&[NET_RAW]) {
        none if none.is_empty() => there("capture", "packets of targets can be heard"),
        some => warning("capture", format!("without {some}"), "no packet of a target is captured"),
    };
    [kill, stress, capture]
}

/// Whether clocks of processes can be moved: tried out on this process's own, without a change.
fn skewing() -> Capability {
    let name = "clocks";
    match try_to_skew() {
        Ok(()) => there(name, "the vDSO of this kernel has room for our code, and can be written"),
        Err(finding) => warning(name, finding, "clocks of processes cannot be moved on this node"),
    }
}

fn try_to_skew() -> Result<(), String> {
    let told = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    if lacking().iter().any(|(name, _)| *name == "CAP_SYS_PTRACE") {
        return Err("without CAP_SYS_PTRACE".to_owned());
    }
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    if scope.trim() == "3" {
        return Err("no process may be held here (kernel.yama.ptrace_scope is 3)".to_owned());
    }
    let (place, bytes) = vdso::own().map_err(told("read the vDSO"))?;
    let image = Image::parse(bytes).map_err(|error| error.to_string())?;
    let skew = Skew {
        shape: Shape::Offset(Offset::saturating(1)),
        clocks: Clocks::REALTIME,
        ending: Ending::Step,
        extent: Extent::Named,
    };
    let patch = Patch::plan(&image, Moved::by(&skew, 0)).map_err(|error| error.to_string())?;
    // What stands there already, and nobody reads. EIO where the kernel forbids it (≥ 6.12,
    // proc_mem.force_override).
    let unused = place.start + u64::from(patch.used().end) - 1;
    let memory = Memory::open(std::process::id()).map_err(told("open the own memory"))?;
    memory.write(unused, &[0]).map_err(told("write the vDSO"))
}

fn processes() -> Capability {
    match fs::read_link("/proc/1/ns/net") {
        Ok(_) => there("processes", "all of /proc can be read"),
        Err(error) => warning(
            "processes",
            format!("/proc/1/ns/net: {error}"),
            "host: means the agent's own network namespace",
        ),
    }
}

fn containers() -> Capability {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let v2 = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.clone().nth(2) == Some("cgroup2")).then(|| words.nth(1)).flatten()
    });
    match v2 {
        Some(path) => there("cgroup v2", format!("mounted at {path}")),
        None => warning(
            "cgroup v2",
            "not mounted",
            "containers are found by their v1 paths; their cgroup is not told",
        ),
    }
}

/// What goes around tc altogether.
fn bypasses() -> Vec<Capability> {
    let mut found = Vec::new();
    let devices = route::devices().unwrap_or_default();
    let tapped: Vec<&str> = devices
        .iter()
        .filter(|device| device.interface.kind.as_deref() == Some("macvtap"))
        .map(|device| device.interface.name.as_str())
        .collect();
    if !tapped.is_empty() {
        let meaning = "what a virtual machine sends through it is not seen at this node's hooks";
        found.push(warning("macvtap", tapped.join(", "), meaning));
    }
    let rdma = fs::read_dir("/sys/class/infiniband").map(Iterator::count).unwrap_or(0);
    if rdma > 0 {
        let meaning = "RDMA traffic passes by the kernel's packet path and is never lost";
        found.push(warning("RDMA", format!("{rdma} devices"), meaning));
    }
    let express = fs::read_to_string("/proc/net/xdp").is_ok_and(|text| text.lines().count() > 1);
    if express {
        let meaning = "sockets that take packets before tc do not see a cut";
        found.push(warning("AF_XDP", "sockets are open", meaning));
    }
    if sockmaps() > 0 {
        let meaning =
            "local connections that are joined by it (Istio ambient and the like) do not see a cut";
        found.push(warning("sockmap", "socket maps are loaded", meaning));
    }
    found
}

/// Socket maps in the kernel; 0 without the privilege to look.
fn sockmaps() -> usize {
    bpf::sock_maps().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("6.6.0"), Some((6, 6)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("nonsense"), None);
    }

    #[test]
    fn real_time_kernels() {
        let usual = "Linux version 6.18.44 (gcc) #1 SMP PREEMPT_DYNAMIC Sat Nov 21 2026";
        let real_time = "Linux version 6.12.9-rt (gcc) #1 SMP PREEMPT_RT Debian 6.12.9-1";
        let table = [
            ("", usual, Preemption::Usual),
            ("0\n", usual, Preemption::Usual),
            ("1\n", usual, Preemption::RealTime),
            ("", real_time, Preemption::RealTime),
            ("", "", Preemption::Usual),
        ];
        for (flag, version, expected) in table {
            assert_eq!(preemption_of(flag, version), expected, "{flag:?} {version:?}");
        }
    }
}
