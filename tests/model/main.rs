//! The truth about the money, kept beside the engine.
//!
//! Clients pay, ask and cancel over two workers that share one store; two gateways with ledgers of
//! their own execute or refuse, lose answers, answer nonsense and let requests travel; clocks
//! advance, workers die between any two effects, clients leave while the store is asked, stores fail and
//! answer twice. The ledgers are the truth. After
//! each act nothing the engine has written, sent or said may contradict it.
//!
//! - `steps`: what may happen
//! - `ledger`: what the gateways really did
//! - `world`: the engine at work, driven effect by effect
//! - `notices`: what gateways notify the merchant of
//! - `operator`: somebody looks where the money is, and says so
//! - `invariants`: what must hold whatever happens
//! - `regressions`: stories that go wrong
//! - `remote`: an etcd that two Envoys share, and the network between
//! - `setup`: what the stories are about, beside the usual: header keys (`keys`), one ledger behind
//!   both gateways (`shared`), a time in which nothing is enforced (`handover`)
//!
//! The stories are the same each time: `MODEL_SEED` asks for others, `MODEL_CASES` for more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod exhaustive;
mod gateways;
mod handover;
mod invariants;
mod keys;
mod ledger;
mod notices;
mod operator;
mod proof;
mod reference;
mod regressions;
mod remote;
mod setup;
mod shared;
mod steps;
mod table;
mod wishes;
mod world;

use std::cell::RefCell;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use setup::Milestone::{
    Bound, Confirmed, Executed, Fetched, Forged, HandedOver, InDoubt, Landed, LandedInTime, Leaps,
    Left, Mismatched, MovedOn, Notified, NotifiedMeanwhile, Observed, ProvenByNotice, Repeated,
    Replayed, Resolved, Restarted, Retracted, TakenOver, Transitions, Unclear, Walked,
};
use setup::{Kind, Milestone, Reached, Setup};
use world::World;

const CASES: u32 = 4400;

#[expect(
    clippy::disallowed_methods,
    reason = "how long and where to search is the caller's choice"
)]
fn setting(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

/// Plays stories of a kind: as many as asked for, or so many.
#[expect(clippy::print_stdout, reason = "how far a search got, for whoever asks")]
fn play(kind: Kind, usual: u32) -> Told {
    let cases = setting("MODEL_CASES").unwrap_or(usual);
    let seed = setting("MODEL_SEED").unwrap_or_default();
    // Unlike the default generator it takes no third of the time when it is not optimised.
    let mut entropy = [1; 16];
    entropy[..4].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &entropy);
    let (setup, told) = (Setup::new(kind), RefCell::new(Told::default()));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&steps::stories(kind), |story| {
        let mut world = World::new(&setup);
        for act in &story {
            world.act(*act);
        }
        world.settle_down();
        told.borrow_mut().add(&world, story.len());
        Ok(())
    });
    let told = told.into_inner();
    println!("{kind:?}, seed {seed}: {told:?}");
    outcome.unwrap_or_else(|error| panic!("{kind:?}, MODEL_SEED={seed}: {error}"));
    told
}

impl Told {
    /// A search that never gets anywhere proves nothing.
    fn often(&self, milestones: &[Milestone]) {
        let enough = milestones.iter().all(|what| self.reached.times(*what) > self.stories / 20);
        assert!(enough, "{self:?}");
    }
}

#[test]
fn no_story_contradicts_the_ledgers() {
    let told = play(Kind::Plain, CASES);
    if told.stories >= u64::from(CASES) {
        assert!(told.reached.times(Transitions) >= 1_000_000, "{told:?}");
    }
    told.often(&[Executed, InDoubt, MovedOn, Replayed, Repeated, Walked, Resolved, Fetched]);
    told.often(&[Left, Notified, ProvenByNotice, NotifiedMeanwhile, Confirmed, Forged]);
}

#[test]
fn no_header_key_names_two_payments() {
    let told = play(Kind::HeaderKeys, 900);
    told.often(&[Executed, Replayed, Repeated, Bound, Mismatched, Notified, Confirmed]);
}

#[test]
fn a_shared_ledger_executes_once() {
    for lag in [0, 25_000] {
        let told = play(Kind::SharedLedger { lag }, 450);
        told.often(&[Executed, Replayed, Repeated, TakenOver, Notified, ProvenByNotice]);
    }
}

#[test]
fn what_was_observed_is_handed_over() {
    let told = play(Kind::HandOver, 900);
    told.often(&[Executed, Replayed, Repeated, Observed, HandedOver]);
}

#[test]
fn no_clock_that_leaps_pays_twice_forgets_or_wedges() {
    let told = play(Kind::Clock, 300);
    told.often(&[Executed, InDoubt, Replayed, Leaps, Notified]);
}

#[test]
fn no_envoys_that_share_an_etcd_pay_twice_or_deny_what_was_paid() {
    for (ahead, usual) in [(0, 700), (1900, 500)] {
        let told = play(Kind::Remote { ahead }, usual);
        told.often(&[Executed, InDoubt, Replayed, Repeated, Walked, Left]);
        told.often(&[Unclear, Retracted, Landed, LandedInTime, Restarted, Notified]);
    }
}

/// What the stories reached.
#[derive(Debug, Default)]
struct Told {
    stories: u64,
    acts: u64,
    reached: Reached,
}

impl Told {
    fn add(&mut self, world: &World<'_>, acts: usize) {
        self.stories += 1;
        self.acts += acts as u64;
        self.reached.add(&world.reached);
    }
}
