//! What the programs cost per packet, by BPF_PROG_TEST_RUN: 1,000 packets from different sources,
//! each run 200 times in each of 10 rounds over all rows; a line of JSON per row. Needs root.
#![expect(unsafe_code, reason = "an empty program is loaded without a loader")]

#[path = "../tests/cases/mod.rs"]
#[expect(dead_code, reason = "the rows of the table are not run here")]
mod cases;
#[path = "../tests/kernel/mod.rs"]
#[expect(dead_code, reason = "counters are not read here")]
mod kernel;

use std::{
    net::Ipv4Addr,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use agent_ebpf::abi::{PROTOCOL_TCP, Rule, Side};
use cases::{CUT, INITIATOR, frames, world::World};
use kernel::{Kernel, boot_time};

const PACKETS: u32 = 1000;
const REPEAT: u32 = 200;
const ROUNDS: u32 = 10;
const TARGET: &str = "10.0.0.1";

fn main() {
    let frames = |first: u32| -> Vec<Vec<u8>> {
        let source = |n| Ipv4Addr::from(first + n * 37).to_string();
        (0..PACKETS).map(|n| frames::tcp(&source(n), 1, TARGET, 80, frames::ACK)).collect()
    };
    let strangers = frames(0xc0a8_0000);
    let six: Vec<Vec<u8>> = (0..PACKETS)
        .map(|n| frames::tcp(&format!("2001:db8:{n:x}::7"), 1, "fd00::1", 80, frames::ACK))
        .collect();
    let known: Vec<Vec<u8>> = vec![frames::tcp("10.1.0.0", 1, TARGET, 80, frames::ACK)];

    let empty = Empty::load();
    let mut kernel = Kernel::load();
    let mut table = Table::default();
    for _ in 0..ROUNDS {
        table.add("empty", mean(&strangers, |frame| empty.run(frame)));
        for (faults, peers, lengths) in [
            (1, 1, 1),
            (1, 10_000, 1),
            (64, 64, 1),
            (1, 2, 2),
            (1, 3, 3),
            (1, 4, 4),
            (64, 10_000, 4),
        ] {
            kernel.fill(&world(CUT, faults, peers, lengths), boot_time());
            let row = format!("stranger, {faults} faults, {peers} peers, {lengths} lengths");
            table.add(&row, mean(&strangers, |frame| run(&kernel, frame)));
            table.add(&format!("{row}, v6"), mean(&six, |frame| run(&kernel, frame)));
        }
        for (name, rule, faults) in [
            ("lost", CUT, 1),
            ("lost by the first of 64", CUT, 64),
            ("another port", Rule { protocol: PROTOCOL_TCP, port: 81, ..CUT }, 1),
            ("another port of 64", Rule { protocol: PROTOCOL_TCP, port: 81, ..CUT }, 64),
            ("initiator, unknown", INITIATOR, 1),
        ] {
            let world = World::new();
            let one = (0..faults).fold(world, |world, slot| world.fault(slot, rule, &["10.1.0.0"]));
            kernel.fill(&one, boot_time());
            table.add(&format!("peer, {name}"), mean(&known, |frame| run(&kernel, frame)));
        }
    }
    table.print();
}

/// The best of all rounds, row by row: what else the machine does comes and goes.
#[derive(Default)]
struct Table(Vec<(String, f64)>);

impl Table {
    fn add(&mut self, row: &str, ns: f64) {
        match self.0.iter_mut().find(|(known, _)| known == row) {
            Some((_, best)) => *best = best.min(ns),
            None => self.0.push((row.to_owned(), ns)),
        }
    }

    fn print(&self) {
        for (row, ns) in &self.0 {
            println!(r#"{{"row": "{row}", "ns": {ns:.1}}}"#);
        }
    }
}

/// `peers` peers of the first `lengths` of four prefix lengths, spread over `faults` faults.
fn world(rule: Rule, faults: u32, peers: u32, lengths: u32) -> World {
    let mut world = World::new();
    for slot in 0..faults {
        world = world.fault(slot, rule, &[]);
    }
    for n in 0..peers {
        let length = [32, 24, 30, 28][(n % lengths) as usize];
        let network = Ipv4Addr::from(0x0a01_0000 + n * 256);
        world.peers.push((cases::world::peer(&format!("{network}/{length}")), 1 << (n % faults)));
        let length = [128, 64, 96, 80][(n % lengths) as usize];
        world.peers.push((cases::world::peer(&format!("fd01:0:{n:x}::/{length}")), 1));
    }
    world
}

fn run(kernel: &Kernel, frame: &[u8]) -> f64 {
    kernel.run(Side::Ingress, frame, REPEAT).1.as_nanos() as f64
}

fn mean(frames: &[Vec<u8>], run: impl Fn(&[u8]) -> f64) -> f64 {
    frames.iter().map(|frame| run(frame)).sum::<f64>() / frames.len() as f64
}

/// A tc program of two instructions: `r0 = -1; exit`.
struct Empty(OwnedFd);

impl Empty {
    fn load() -> Self {
        const INSTRUCTIONS: [u64; 2] = [0xffff_ffff_0000_00b7, 0x95];
        // union bpf_attr of BPF_PROG_LOAD: type (BPF_PROG_TYPE_SCHED_CLS 3) and count, two pointers.
        let license = c"Apache-2.0";
        let mut attributes = [0u64; 16];
        attributes[0] = 3 | (2 << 32);
        attributes[1] = INSTRUCTIONS.as_ptr() as u64;
        attributes[2] = license.as_ptr() as u64;
        Self(
            // SAFETY: a descriptor that bpf(2) has just given belongs to nobody else.
            unsafe { OwnedFd::from_raw_fd(bpf(5, &mut attributes) as i32) },
        )
    }

    fn run(&self, frame: &[u8]) -> f64 {
        // union bpf_attr of BPF_PROG_TEST_RUN: descriptor, size of data, data; repeat and duration
        // share the fifth word.
        let mut attributes = [0u64; 16];
        attributes[0] = self.0.as_raw_fd() as u64;
        attributes[1] = frame.len() as u64;
        attributes[2] = frame.as_ptr() as u64;
        attributes[4] = REPEAT.into();
        bpf(10, &mut attributes);
        (attributes[4] >> 32) as f64
    }
}

fn bpf(command: i32, attributes: &mut [u64; 16]) -> i64 {
    // SAFETY: the attributes are as large as said, and what they point to outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(attributes))
    };
    assert!(result >= 0, "bpf({command}): {}", std::io::Error::last_os_error());
    result
}
