//! How a cut ends when its command does.

use lab::clock::BootTime;
use nix::sys::signal::Signal;

use crate::machine::{Machine, comes_back, falls_silent};
use crate::running::PATIENCE;

#[test]
fn a_signal_heals_and_the_effect_is_printed() {
    for asked in [Signal::SIGINT, Signal::SIGTERM] {
        let machine = Machine::pair();
        let stream = machine.stream("a", "b");
        let cut = machine.cut("cut --local @a @b --for 60s");
        falls_silent(&stream);
        let since = BootTime::now();
        cut.signal(asked);
        comes_back(&stream, since);
        let ended = cut.ended();
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert!(ended.stdout.contains("  healed  "), "{ended:?}");
        drop(stream);
        machine.is_clean();
    }
}

#[test]
fn a_command_that_is_killed_takes_its_cut_along() {
    let machine = Machine::pair();
    let stream = machine.stream("a", "b");
    let cut = machine.cut("cut --local @a @b --for 60s --lease 30s");
    falls_silent(&stream);
    let since = BootTime::now();
    cut.signal(Signal::SIGKILL);
    comes_back(&stream, since);
    assert_eq!(cut.ended().code, None);

    // Its files stay, inert: they are found, they are no agent, and they can be taken away.
    let status = machine.run("status");
    assert_eq!(status.code, Some(5), "{status:?}");
    let found = machine.run("residue");
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stdout.contains("agent.sock") && found.stdout.contains("left behind"));
    machine.run("residue --remove");
    drop(stream);
    machine.is_clean();
}

#[test]
fn the_files_of_a_killed_command_are_no_obstacle() {
    let machine = Machine::pair();
    let killed = machine.cut("cut --local @a @b --for 60s");
    killed.signal(Signal::SIGKILL);
    killed.ended();
    let next = machine.cut("cut --local @a @b --for 1s");
    assert!(machine.datagrams("a", "b").is_lost());
    let next = next.ended();
    assert_eq!(next.code, Some(0), "{next:?}");
    machine.is_clean();
}

#[test]
fn a_command_that_is_interrupted_while_it_becomes_the_agent_leaves_nothing() {
    let machine = Machine::pair();
    let cut = machine.begin("cut --local @a @b --for 60s");
    let began = BootTime::now();
    // The first thing that an agent makes is its lock.
    while std::fs::read_dir(machine.directory()).unwrap().next().is_none() {
        assert!(began.elapsed() < PATIENCE, "the command does not begin");
        std::thread::yield_now();
    }
    cut.signal(Signal::SIGINT);
    let ended = cut.ended();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(machine.datagrams("a", "b").is_whole());
    machine.is_clean();
}
