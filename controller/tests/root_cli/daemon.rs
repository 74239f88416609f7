//! Commands beside a real `schism-agent`.

use std::process::Command;

use lab::clock::BootTime;
use nix::sys::signal::Signal;

use crate::machine::{Machine, comes_back, falls_silent};

#[test]
fn a_detached_cut_outlives_its_command() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let stream = machine.stream("a", "b");
    let detached = machine.run("cut @a @b --for 60s --detach");
    assert_eq!(detached.code, Some(0), "{detached:?}");
    assert!(detached.stderr.starts_with("agent: schism-agent "), "{detached:?}");
    assert!(detached.stderr.contains("effect not yet known"), "{detached:?}");
    falls_silent(&stream);
    let id = detached.stdout.trim();
    let status = machine.run("status -o name");
    assert_eq!(status.stdout.trim(), format!("{id}.0"), "{status:?}");

    let since = BootTime::now();
    let healed = machine.run(&format!("heal {id}"));
    assert_eq!(healed.code, Some(0), "{healed:?}");
    comes_back(&stream, since);

    let again = machine.run("cut @a @b --for 60s --detach");
    assert_eq!(again.code, Some(0), "{again:?}");
    falls_silent(&stream);
    let since = BootTime::now();
    agent.signal(Signal::SIGTERM);
    comes_back(&stream, since);
    assert_eq!(agent.ended().code, Some(0));
    drop(stream);
    machine.is_clean();
}

#[test]
fn whether_an_agent_answers_is_told_in_time() {
    let machine = Machine::pair();
    let answers = || {
        let asking = machine.start_daemon(|program| {
            let mut command = Command::new(program);
            command.arg("--answers");
            command
        });
        let ended = asking.ended();
        (ended.code, ended.stderr)
    };
    let (code, said) = answers();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("schism-agent: nobody serves "), "{said}");
    let agent = machine.daemon();
    assert_eq!(answers(), (Some(0), String::new()));
    agent.signal(Signal::SIGSTOP);
    let (code, said) = answers();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not answer within 3 s"), "{said}");
    agent.signal(Signal::SIGCONT);
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));
    machine.is_clean();
}

#[test]
fn a_watched_status_shows_a_cut_come_and_go() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let status = machine.begin("status --watch --all");
    status.prints("no fault is active");
    let cut = machine.run("cut @a @b --for 1500ms --detach");
    assert_eq!(cut.code, Some(0), "{cut:?}");
    let id = cut.stdout.trim();
    status.prints(id);
    status.prints("  active  ");
    status.prints("  expired  ");
    status.signal(Signal::SIGINT);
    let status = status.ended();
    assert_eq!(status.code, Some(0), "{status:?}");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));
    machine.is_clean();
}

#[test]
fn a_killed_agent_ends_what_a_command_holds() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let stream = machine.stream("a", "b");
    let cut = machine.cut("cut @a @b --for 60s --lease 30s");
    falls_silent(&stream);
    let since = BootTime::now();
    agent.signal(Signal::SIGKILL);
    comes_back(&stream, since);
    let cut = cut.ended();
    assert_eq!(cut.code, Some(5), "{cut:?}");
    assert!(cut.stderr.contains("not confirmed by the agent"), "{cut:?}");
    agent.ended();
    machine.run("residue --remove");
    drop(stream);
    machine.is_clean();
}

#[test]
fn what_a_living_agent_has_is_no_residue() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let cut = machine.run("cut @a @b --for 60s --detach");
    assert_eq!(cut.code, Some(0), "{cut:?}");
    let holder = format!("  {}", agent.id());
    let residue = machine.finds_no_residue();
    assert!(residue.stdout.starts_with("nothing was left behind; "), "{residue:?}");
    assert!(residue.stdout.trim_end().ends_with(&agent.id().to_string()), "{residue:?}");
    let residue = machine.run("residue -o wide");
    let held = residue.stdout.lines().filter(|line| line.ends_with(&holder));
    assert!(held.count() > 10, "{residue:?}");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));
    machine.is_clean();
}
