//! What this node can do, what is missing, and what that means.

use std::fs;

use fault::{Capability, Presence};

use crate::daemon::StartError;
use crate::kernel::{bpf, clock, netns, route};

/// Capabilities that a cut needs, by their bit (include/uapi/linux/capability.h), and what for.
const CAPABILITIES: [(&str, u32, &str); 4] = [
    ("CAP_NET_ADMIN", 12, "attach programs to devices and follow their changes"),
    ("CAP_SYS_PTRACE", 19, "find the namespaces of other users' processes"),
    ("CAP_SYS_ADMIN", 21, "enter network namespaces"),
    ("CAP_BPF", 39, "load programs and maps"),
];
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
    match version(&release) {
        Some(version) if version >= OLDEST => Ok(()),
        Some(_) | None => Err(StartError::Unsupported(format!("it is Linux {release}"))),
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
    found.push(processes());
    found.push(containers());
    found.extend(bypasses());
    found
}

fn lacking() -> Vec<(&'static str, &'static str)> {
    let effective = fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or(0);
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

fn kernel() -> Capability {
    let release = kernel_release();
    let finding = format!("Linux {release}");
    match version(&release) {
        Some(version) if version >= OLDEST => there("kernel", finding),
        Some(_) | None => missing(
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
}
