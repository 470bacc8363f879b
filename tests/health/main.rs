//! The whole health engine in a simulated world: two workers, one shared value, gateways that fail,
//! slow down, lie, flap, hang and heal, operators who force and drain them.
//!
//! Everything goes through the engine's door: payments through `Exchange`, ticks and heartbeats
//! through `Pulse`, and both through one value under compare-and-set that they read a little before
//! they write it. A story follows from its seed alone.
//!
//! - `story`: what a seed makes of the limits and the gateways
//! - `world`: the clock, the workers and the wires
//! - `truth`: what must hold after each write and of each payment
//! - `limits`: the configurations, and by when everything must be well again
//!
//! `SIM_SEEDS` asks for so many stories, `SIM_SEED` for the one that failed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and is read by what it prints"
)]

mod limits;
mod story;
mod truth;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use limits::Setting;
use truth::Reached;
use world::World;

/// As many as fit well into a minute of a debug build on two cores that have other work too.
const SEEDS: u64 = 10_000;

#[expect(
    clippy::disallowed_methods,
    reason = "how a test is asked for more than it does by itself"
)]
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found {value}")))
}

fn play(seed: u64, settings: &[Setting]) -> Reached {
    World::new(seed, settings).play()
}

#[test]
fn gateways_fail_and_heal_and_no_payment_goes_where_it_must_not() {
    let (first, seeds) = match setting("SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (0, setting("SIM_SEEDS").unwrap_or(SEEDS)),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let work = || {
        let settings = limits::all();
        let mut reached = Reached::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds || failed.load(Ordering::Relaxed) {
                return reached;
            }
            match catch_unwind(AssertUnwindSafe(|| play(seed, &settings))) {
                Ok(one) => reached = reached.plus(&one),
                Err(_) => {
                    failed.store(true, Ordering::Relaxed);
                    println!("SIM_SEED={seed} replays it");
                    return reached;
                }
            }
        }
    };
    let reached = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let told = workers.into_iter().map(|worker| worker.join().unwrap());
        told.fold(Reached::default(), |all, one| all.plus(&one))
    });
    println!("{seeds} seeds: {reached:?}");
    assert!(!failed.load(Ordering::Relaxed), "a seed failed; it is named above");
    if seeds >= 200 {
        // Stories in which nothing happens prove nothing.
        reached.assert_each_happened(seeds);
    }
}

#[test]
fn a_seed_is_one_story() {
    let settings = limits::all();
    for seed in [3, 1_000_003] {
        assert_eq!(play(seed, &settings), play(seed, &settings));
    }
}
