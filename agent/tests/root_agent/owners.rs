//! Whose addresses are whose, on the real kernel.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use agent::kernel::Kernel as _;
use fault::{Scheme, Target};
use lab::process::Process;

use crate::rig::{Rig, eventually, idler, selector};

#[tokio::test(flavor = "multi_thread")]
async fn an_address_leads_to_the_namespace_that_owns_it() {
    let rig = Rig::pair();
    let owners = |addresses: &[IpAddr]| rig.kernel.owners(addresses).unwrap();
    for label in ["a", "b"] {
        let node = rig.node(label);
        for address in [IpAddr::V4(node.v4), IpAddr::V6(node.v6)] {
            let found = owners(&[address]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].selector, selector(node));
            assert_eq!(found[0].identity, rig.target(label).identity);
        }
    }
    let (a, b) = (rig.node("a"), rig.node("b"));
    let both = owners(&[a.v4.into(), a.v6.into(), b.v4.into()]);
    assert_eq!(both.len(), 2, "each once: {both:?}");
    let nobodys = Ipv4Addr::new(203, 0, 113, 77);
    assert_eq!(owners(&[nobodys.into()]), []);
    let everybodys =
        [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into()];
    assert_eq!(owners(&everybodys), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_a_name_is_named_by_its_process() {
    let rig = Rig::pair();
    let address = Ipv4Addr::new(198, 18, 77, 1);
    let script = format!("ip addr add {address}/32 dev lo && exec sleep 600");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script]);
    let nameless = Process::start(&mut command).unwrap();
    let owners = || rig.kernel.owners(&[address.into()]).unwrap();
    eventually("the address is there", || !owners().is_empty());
    let found = owners().remove(0);
    assert_eq!(found.selector.scheme, Scheme::Pid(nameless.id()));
    assert_eq!(found.identity.process.map(|process| process.pid), Some(nameless.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_named_so_whatever_its_namespace_is_called() {
    let rig = Rig::pair();
    let node = rig.node("a");
    let owner = || rig.kernel.owners(&[node.v4.into()]).unwrap().remove(0);
    assert_eq!(owner().selector, selector(node));
    let (uid, group) = pod_group();
    let mut command = node.namespace.exec("sleep");
    let inside = Process::start(command.arg("600")).unwrap();
    fs::write(group.join("cgroup.procs"), inside.id().to_string()).unwrap();
    let named = format!("pod:{uid}");
    eventually("its process is inside", || owner().selector.to_string() == named);
    let found = owner();
    assert_eq!(found.identity.process.map(|process| process.pid), Some(inside.id()));
    let resolved = rig.kernel.resolve(&found.selector, fault::Aspect::Network).unwrap();
    assert_eq!(resolved[0].identity, found.identity);
    let names = rig.kernel.listing().targets;
    let names: Vec<String> = names.iter().map(|one| one.selector.to_string()).collect();
    assert!(names.contains(&named), "{names:?}");
    assert!(!names.contains(&selector(node).to_string()), "once: {names:?}");
    inside.stop().unwrap();
    assert_eq!(owner().selector, selector(node));
    remove(&group, 3);
}

/// A pod that nobody else has, and the control group of its container `c0`.
fn pod_group() -> (String, PathBuf) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let root = Path::new("/sys/fs/cgroup");
    let root = if root.join("unified").is_dir() { root.join("unified") } else { root.to_owned() };
    let uid = format!("5c150001-{number:04x}-4000-8000-{:012x}", std::process::id());
    let above = root.join(format!("schism-{}-owners-{number}", std::process::id()));
    let group = above.join(format!("pod{uid}/c0"));
    fs::create_dir_all(&group).unwrap();
    (uid, group)
}

/// Removes a group and those above it, so many in all.
fn remove(group: &Path, count: usize) {
    for group in group.ancestors().take(count) {
        eventually("its control group is empty", || fs::remove_dir(group).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_within_a_pod_whose_network_is_its_own_is_not_taken_for_the_pod() {
    let rig = Rig::pair();
    let (uid, group) = pod_group();
    let mut command = rig.node("a").namespace.exec("sleep");
    let inside = Process::start(command.arg("600")).unwrap();
    fs::write(group.join("cgroup.procs"), inside.id().to_string()).unwrap();
    let owner = |address: Ipv4Addr| rig.kernel.owners(&[address.into()]).unwrap().pop();
    let named = |found: &Target| found.selector.to_string();
    let of_pod = rig.node("a").v4;
    eventually("its process is inside", || {
        owner(of_pod).is_some_and(|found| named(&found) == format!("pod:{uid}"))
    });

    let nested = group.join("docker").join(format!("5c15{:060x}", std::process::id()));
    fs::create_dir_all(&nested).unwrap();
    let address = Ipv4Addr::new(198, 18, 77, 2);
    let script = format!("ip addr add {address}/32 dev lo && exec sleep 600");
    let mut command = Command::new("unshare");
    let within = Process::start(command.args(["--net", "sh", "-c", &script])).unwrap();
    fs::write(nested.join("cgroup.procs"), within.id().to_string()).unwrap();
    eventually("the address is there", || owner(address).is_some());
    let found = owner(address).unwrap();
    let name = format!("container:{}", nested.file_name().unwrap().to_str().unwrap());
    assert_eq!(named(&found), name);
    assert_eq!(found.identity.process.map(|process| process.pid), Some(within.id()));
    let listed = rig.kernel.listing().targets;
    let listed: Vec<_> = listed.iter().filter(|one| one.identity == found.identity).collect();
    assert!(listed.len() == 1 && named(listed[0]) == name, "{listed:?}");

    // Nor is the network of somebody else in which a process of it is.
    let other = rig.node("b");
    let guest = idler(other);
    fs::write(nested.join("cgroup.procs"), guest.id().to_string()).unwrap();
    let found = owner(other.v4).unwrap();
    assert_eq!(found.selector, selector(other), "not the pod: {found:?}");
    assert_eq!(named(&owner(of_pod).unwrap()), format!("pod:{uid}"));
    for process in [inside, within, guest] {
        process.stop().unwrap();
    }
    remove(&nested, 5);
}
