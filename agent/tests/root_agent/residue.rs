//! What counts as left behind.

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use agent::kernel::bpf::{self, ObjectKind};
use agent::residue::{self, Removal};
use agent_ebpf::OBJECT;
use agent_ebpf::abi::names;
use aya::EbpfLoader;
use aya::programs::SchedClassifier;
use fault::{Remnant, RemnantKind};
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

#[test]
fn a_holder_to_whom_nobody_can_say_anything_is_left_behind_and_is_ended() {
    let directory = Directory::create("stray").unwrap();
    // By name and by what it was started with one of ours. It stands still, so that only SIGKILL ends it.
    let program = directory.path().join("schism-worker");
    std::fs::copy("/bin/sh", &program).unwrap();
    std::fs::write(directory.path().join("holder"), "kill -STOP $$").unwrap();
    let mut command = Command::new(&program);
    command.arg("holder").current_dir(directory.path());
    let mut held = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stray = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();

    let socket = directory.path().join("agent.sock");
    let mine = |remnant: &Remnant| {
        remnant.kind == RemnantKind::Holder && [held.id(), stray.id()].contains(&remnant.id)
    };
    let mut found = residue::search(Removal::Keep, &socket).unwrap();
    found.retain(mine);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].id == stray.id() && found[0].holders.is_empty(), "{found:?}");
    let mut removed = residue::search(Removal::Remove, &socket).unwrap();
    removed.retain(mine);
    assert!(removed.len() == 1 && removed[0].removed, "{removed:?}");
    assert_eq!(stray.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(held.try_wait().unwrap().is_none(), "whoever started it can still speak to it");
    held.kill().unwrap();
    held.wait().unwrap();
}
