//! What counts as left behind.

use std::os::fd::AsFd;

use agent::kernel::bpf::{self, ObjectKind};
use agent::residue::{self, Removal};
use agent_ebpf::OBJECT;
use agent_ebpf::abi::names;
use aya::EbpfLoader;
use aya::programs::SchedClassifier;
use fault::RemnantKind;
use lab::directory::Directory;

#[test]
fn a_map_without_a_descriptor_is_held_by_who_holds_its_program() {
    assert!(nix::unistd::geteuid().is_root(), "this test loads programs: run it as root");
    let mut ebpf = EbpfLoader::new().load(OBJECT).unwrap();
    let program: &mut SchedClassifier =
        ebpf.program_mut(names::INGRESS).unwrap().try_into().unwrap();
    program.load().unwrap();
    let id = program.info().unwrap().id();
    let descriptor = program.fd().unwrap().as_fd().try_clone_to_owned().unwrap();
    // The descriptors of all maps go with it.
    drop(ebpf);

    let programs = bpf::objects(ObjectKind::Program, "schism_").unwrap();
    let maps = programs.into_iter().find(|object| object.id == id).unwrap().maps;
    let directory = Directory::create("residue").unwrap();
    let mut found = residue::search(Removal::Keep, &directory.path().join("agent.sock")).unwrap();
    found.retain(|remnant| remnant.kind == RemnantKind::Map && maps.contains(&remnant.id));
    assert!(found.len() > 10, "{found:?}");
    for remnant in found {
        assert!(remnant.holders.contains(&std::process::id()), "{remnant:?}");
    }
    drop(descriptor);
}
