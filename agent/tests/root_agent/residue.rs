//! What counts as left behind.

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

/// A process that has stopped itself. Killed and reaped with its handle.
struct Stopped(Child);

impl Stopped {
    fn start(command: &mut Command) -> Self {
        let stopped = Self(command.spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(10);
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", stopped.0.id())).unwrap();
        while !state().contains(") T ") {
            assert!(Instant::now() < until, "it does not stop: {}", state());
            std::thread::yield_now();
        }
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
    command.stderr(Stdio::null());
    let mut held = Stopped::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stray = Stopped::start(command.stdin(Stdio::null()).stdout(Stdio::null()));

    let socket = directory.path().join("agent.sock");
    let mine = |remnant: &Remnant| {
        remnant.kind == RemnantKind::Holder && [held.0.id(), stray.0.id()].contains(&remnant.id)
    };
    let mut found = residue::search(Removal::Keep, &socket).unwrap();
    found.retain(mine);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].id == stray.0.id() && found[0].holders.is_empty(), "{found:?}");
    let mut removed = residue::search(Removal::Remove, &socket).unwrap();
    removed.retain(mine);
    assert!(removed.len() == 1 && removed[0].removed, "{removed:?}");
    assert_eq!(stray.0.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(held.0.try_wait().unwrap().is_none(), "whoever started it can still speak to it");
}
