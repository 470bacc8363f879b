//! The whole health engine in a simulated world: two workers, one shared value, gateways that fail,
//! slow down, lie, flap, hang and heal, operators who force and drain them.
//!
//! Everything goes through the engine's door: payments through `Exchange`, ticks and heartbeats
//! through `Pulse`, and both through one value under compare-and-set that they read a little before
//! they write it. A story follows from its seed alone.
//!
//! - `scenario`: what a seed makes of the limits and the gateways
//! - `world`: the clock, the workers and the wires
//! - `invariants`: what must hold after each write and of each payment
//! - `checkers`: two promises that have stories of their own
//! - `limits`: the configurations, and by when everything must be well again
//!
//! `SIM_SEEDS` asks for so many stories, `SIM_SEED` for the one that failed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "people read what it prints")]

mod checkers;
mod invariants;
mod limits;
mod scenario;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use invariants::Reached;
use limits::Setting;
use scenario::Plot;
use world::World;

/// As many as fit well into a minute of a debug build on two cores that have other work too; of
/// the longer stories fewer. `make simulation` plays ten thousand of each.
const fn seeds_of(plot: Plot) -> u64 {
    match plot {
        Plot::Anything => 5_000,
        Plot::OneBadPartner | Plot::Hang => 1_000,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how a test is asked for more than it does by itself"
)]
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found {value}")))
}

fn play(seed: u64, plot: Plot, settings: &[Setting]) -> Reached {
    World::new(seed, plot, settings).play()
}

/// Plays as many stories of a plot as are asked for; the seed of one that fails is told.
fn play_all(plot: Plot, settings: fn() -> Vec<Setting>) -> (u64, Reached) {
    let (first, seeds) = match setting("SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (0, setting("SIM_SEEDS").unwrap_or_else(|| seeds_of(plot))),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let work = || {
        let settings = settings();
        let mut reached = Reached::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds || failed.load(Ordering::Relaxed) {
                return reached;
            }
            match catch_unwind(AssertUnwindSafe(|| play(seed, plot, &settings))) {
                Ok(one) => reached = reached.plus(&one),
                Err(_) => {
                    failed.store(true, Ordering::Relaxed);
                    println!("SIM_SEED={seed} replays this story of {plot:?}");
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
    println!("{seeds} seeds of {plot:?}: {reached:?}");
    assert!(!failed.load(Ordering::Relaxed), "a seed failed; it is named above");
    (seeds, reached)
}

#[test]
fn gateways_fail_and_heal_and_no_payment_goes_where_it_must_not() {
    let (seeds, reached) = play_all(Plot::Anything, limits::all);
    if seeds >= 200 {
        // Stories in which nothing happens prove nothing.
        reached.assert_each_happened(seeds);
    }
}

/// A partner whose payments always fail closes no gateway to those whose payments go well.
#[test]
fn one_bad_partner_closes_no_gateway_for_longer_than_one_trial() {
    let (seeds, reached) = play_all(Plot::OneBadPartner, || {
        limits::all().into_iter().chain(limits::defaults()).collect()
    });
    if seeds >= 200 {
        reached.assert_bad_partners_were_tried(seeds);
    }
}

#[test]
fn a_gateway_that_answers_nothing_is_left_whatever_clients_do() {
    let (seeds, reached) = play_all(Plot::Hang, limits::defaults);
    reached.assert_left(seeds);
}

#[test]
fn a_seed_is_one_story() {
    let settings = limits::all();
    for seed in [3, 1_000_003] {
        let told = || play(seed, Plot::Anything, &settings);
        assert_eq!(told(), told());
    }
}
