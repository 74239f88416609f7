//! Packets of namespaces, kept by a command.

use std::fs;
use std::path::Path;
use std::process::Command;

use lab::directory::Directory;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::machine::Machine;
use crate::running::{Ended, Running};

/// Blocks of a file: kind, and all of it.
fn blocks(path: &Path) -> Vec<(u32, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let length = usize::try_from(word(4)).unwrap();
        assert_eq!(word(length - 4), word(4), "a block says twice how long it is");
        blocks.push((word(0), rest[..length].to_vec()));
        rest = &rest[length..];
    }
    blocks
}

/// The kind of a packet's block.
const PACKET: u32 = 6;
/// Where in it stands how long it was, and where the header of the link begins.
const LENGTH: std::ops::Range<usize> = 24..28;
const LINK: usize = 28;

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
}

fn allowing(machine: &Machine) -> Running {
    machine.daemon_by(|program| {
        let mut command = Command::new(program);
        command.arg("--allow-capture");
        command
    })
}

#[test]
fn a_file_has_the_packets_of_both_directions_and_nothing_remains() {
    let machine = Machine::pair();
    let files = Directory::create("captures").unwrap();
    let file = files.path().join("b.pcapng");
    let streams = [machine.stream("a", "b"), machine.stream("b", "a")];
    let line = format!("capture --local @b --for 1s --write {} -o json", file.display());
    let ended = machine.run(&line);
    drop(streams);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = report(&ended);
    let device = &report["devices"][0];
    assert_eq!(device["name"], lab::topology::DEVICE, "{report:#}");
    let [received, sent] = ["received", "sent"].map(|way| device[way].as_u64().unwrap());
    assert!(received > 100 && sent > 100, "{report:#}");
    assert_eq!(report["why"], "time", "{report:#}");
    // Between the last that is read and the moment at which they are counted a few may pass.
    assert!(report["missed"].as_u64().unwrap() < 10, "{report:#}");
    let blocks = blocks(&file);
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!((kinds[0], kinds[1], kinds[kinds.len() - 1]), (0x0a0d_0d0a, 1, 5));
    let packets: Vec<&Vec<u8>> =
        blocks.iter().filter(|(kind, _)| *kind == PACKET).map(|(_, block)| block).collect();
    assert_eq!(packets.len() as u64, report["packets"].as_u64().unwrap());
    // UDP over IPv4 without options: 28 bytes of headers behind the 20 of the link, and no payload.
    let udp =
        packets.iter().filter(|block| block[LINK..LINK + 2] == [8, 0] && block[LINK + 29] == 17);
    let udp: Vec<_> = udp.collect();
    assert!(udp.len() > 100, "{} of {}", udp.len(), packets.len());
    for block in udp {
        assert_eq!(block[20..24], 48_u32.to_le_bytes());
        assert!(u32::from_le_bytes(block[LENGTH].try_into().unwrap()) > 48);
    }
    let sent_ones = packets.iter().filter(|block| block[LINK + 10] == 4).count();
    assert_eq!(sent_ones as u64, sent);
    machine.is_clean();
}

#[test]
fn an_agent_hands_packets_over_where_it_was_told_to_and_says_what_was_cut() {
    let machine = Machine::pair();
    let agent = machine.daemon();
    let refused = machine.run("capture @b --for 1s");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("hands over no packets"), "{refused:?}");
    assert!(refused.stderr.contains("--allow-capture"), "{refused:?}");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));

    let agent = allowing(&machine);
    let cut = machine.run("cut @a @b --for 60s --detach");
    assert_eq!(cut.code, Some(0), "{cut:?}");
    let id = cut.stdout.trim();
    let files = Directory::create("captures").unwrap();
    let file = files.path().join("b.pcapng");
    let stream = machine.stream("a", "b");
    let line = format!("capture @b --peer @a --for 1s --write {} -o json", file.display());
    let ended = machine.run(&line);
    drop(stream);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = report(&ended);
    // What the cut loses on its way in has come to the device all the same.
    assert!(report["devices"][0]["received"].as_u64().unwrap() > 100, "{report:#}");
    assert!(report["faults"][0].as_str().unwrap().starts_with(id), "{report:#}");
    let section = &blocks(&file)[0].1;
    let said = String::from_utf8_lossy(section);
    assert!(said.contains(id) && said.contains(" until "), "{said}");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.ended().code, Some(0));
    machine.is_clean();
}

#[test]
fn nobodys_file_is_lost_and_an_interruption_leaves_a_whole_one() {
    let machine = Machine::pair();
    let files = Directory::create("captures").unwrap();
    let file = files.path().join("b.pcapng");
    fs::write(&file, "mine").unwrap();
    let line = format!("capture --local @b --for 60s --write {}", file.display());
    let refused = machine.run(&line);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let capture = machine.begin(&format!("{line} --force"));
    capture.says("capturing ");
    capture.signal(Signal::SIGINT);
    let ended = capture.ended();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.stdout.contains("interrupted before its time"), "{ended:?}");
    assert_eq!(blocks(&file)[0].0, 0x0a0d_0d0a);
    machine.is_clean();
}

#[test]
fn what_makes_no_sense_is_refused_and_silence_is_told_as_that() {
    let machine = Machine::pair();
    let node = agent::kernel::node_name();
    for (line, code, expected) in [
        ("capture --local @b --for 200ms --port 9".to_owned(), 3, "0 packets of netns:"),
        (format!("capture --local host:{node}"), 2, "--whole-node"),
        ("capture --local addr:10.0.0.1".to_owned(), 2, "never a target"),
        ("capture --local @b --for 11m".to_owned(), 2, "at most 10m"),
        ("capture --local @b --max 5".to_owned(), 2, "is no size"),
        ("capture --local netns:nobody".to_owned(), 5, "no network namespace"),
    ] {
        let ended = machine.run(&line);
        assert_eq!(ended.code, Some(code), "{line}: {ended:?}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(expected), "{line}: {ended:?}");
    }
    machine.is_clean();
}
