//! The truth about the money, kept beside the engine.
//!
//! Clients pay, ask and cancel over two workers that share one store; two gateways with ledgers of
//! their own execute or refuse, lose answers, answer nonsense and let requests travel; clocks
//! advance, workers die between any two effects, stores fail. The ledgers are the truth. After
//! each act nothing the engine has written, sent or said may contradict it.
//!
//! - `acts`: what may happen
//! - `ledger`: what the gateways really did
//! - `world`: the engine at work, driven effect by effect
//! - `truth`: what must hold whatever happens
//!
//! The stories are the same each time: `MODEL_SEED` asks for others, `MODEL_CASES` for more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod acts;
mod exhaustive;
mod ledger;
mod proof;
mod reference;
mod store;
mod table;
mod truth;
mod wishes;
mod world;

use std::cell::Cell;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use world::{Setup, World};

const CASES: u32 = 4400;

#[expect(
    clippy::disallowed_methods,
    reason = "how long and where to search is the caller's choice"
)]
fn setting(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_story_contradicts_the_ledgers() {
    let cases = setting("MODEL_CASES").unwrap_or(CASES);
    let seed = setting("MODEL_SEED").unwrap_or_default();
    // Unlike the default generator it takes no third of the time when it is not optimised.
    let mut entropy = [1; 16];
    entropy[..4].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &entropy);
    let (setup, told) = (Setup::new(), Cell::new(Told::default()));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&acts::stories(), |story| {
        let mut world = World::new(&setup);
        for act in &story {
            world.act(*act);
        }
        world.settle_down();
        told.set(told.get().plus(&world, story.len()));
        Ok(())
    });
    let told = told.get();
    println!("seed {seed}: {told:?}");
    outcome.unwrap_or_else(|error| panic!("MODEL_SEED={seed}: {error}"));
    // A search that never gets anywhere proves nothing.
    if cases >= CASES {
        assert!(told.transitions >= 1_000_000, "{told:?}");
    }
    let reached =
        [told.executed, told.in_doubt, told.moved_on, told.replayed, told.repeated, told.walked];
    assert!(reached.iter().all(|count| *count > u64::from(cases / 20)), "{told:?}");
}

/// What the stories reached.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    stories: u64,
    acts: u64,
    transitions: u64,
    steps: u64,
    executed: u64,
    in_doubt: u64,
    moved_on: u64,
    replayed: u64,
    repeated: u64,
    crashed: u64,
    walked: u64,
}

impl Told {
    fn plus(self, world: &World<'_>, acts: usize) -> Self {
        let reached = world.reached;
        Self {
            stories: self.stories + 1,
            acts: self.acts + acts as u64,
            transitions: self.transitions + reached.transitions,
            steps: self.steps + reached.steps,
            executed: self.executed + reached.executed,
            in_doubt: self.in_doubt + reached.in_doubt,
            moved_on: self.moved_on + reached.moved_on,
            replayed: self.replayed + reached.replayed,
            repeated: self.repeated + reached.repeated,
            crashed: self.crashed + reached.crashed,
            walked: self.walked + reached.walked,
        }
    }
}
