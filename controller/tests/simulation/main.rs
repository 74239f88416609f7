//! Histories of a controller and its agents under partitions, crashes, restarts, delays and full disks.
//!
//! Everything real but the network, the disk, the kernels and the clocks: `Control`, its driver and its
//! agents, runs of experiments, gRPC, the uplink, the agent's service and worker. Whoever starts runs is not. One seed decides a history; time stands
//! still until nobody is busy. `SCHISM_SEED=7` replays one seed and prints what happened, `SCHISM_SEEDS`
//! says how many are tried from `SCHISM_FIRST_SEED` on.
#![expect(clippy::unwrap_used, reason = "a test fails where it fails")]

mod dice;
mod disk;
mod errands;
mod network;
mod node;
mod office;
mod oracle;
mod world;

use std::cell::RefCell;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};

use world::World;

/// Without a wish.
const SEEDS: u64 = 300;

thread_local! {
    /// A task that panics takes nobody with it: what it said is kept here.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            usual(info);
        }));
    });
}

/// What happened, and what should not have.
fn history(seed: u64) -> (String, Vec<String>) {
    keep_panics();
    PANICS.take();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let (history, mut complaints) = runtime.block_on(async {
        let mut world = World::new(seed).await;
        world.run().await;
        (world.history, world.oracle.complaints)
    });
    drop(runtime);
    complaints.extend(PANICS.take());
    (history, complaints)
}

fn wish(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn promises_hold_whatever_breaks() {
    if let Some(seed) = wish("SCHISM_SEED") {
        let (history, complaints) = history(seed);
        println!("{history}");
        assert!(complaints.is_empty(), "seed {seed}:\n{}", complaints.join("\n"));
        return;
    }
    let first = wish("SCHISM_FIRST_SEED").unwrap_or(0);
    let last = first + wish("SCHISM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let failed: Arc<Mutex<Vec<String>>> = Arc::default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        return;
                    }
                    let (_, complaints) = history(seed);
                    if !complaints.is_empty() {
                        let complaint = format!("SCHISM_SEED={seed}: {}", complaints.join("\n  "));
                        failed.lock().unwrap().push(complaint);
                    }
                }
            });
        }
    });
    let failed = failed.lock().unwrap();
    println!("{} histories", last - first);
    let told: Vec<&str> = failed.iter().take(10).map(String::as_str).collect();
    assert!(failed.is_empty(), "{} of {} seeds:\n{}", failed.len(), last - first, told.join("\n"));
}

#[test]
fn the_same_seed_makes_the_same_history() {
    for seed in 0..10 {
        assert_eq!(history(seed), history(seed), "seed {seed}");
    }
}
