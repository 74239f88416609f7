//! Whose addresses are whose, on the real kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use agent::kernel::Kernel as _;
use fault::Scheme;
use lab::process::Process;

use crate::rig::{Rig, eventually, selector};

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
