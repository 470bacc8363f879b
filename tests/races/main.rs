//! Two workers with clocks of their own race for one payment: every schedule of their steps.
//!
//! What the model draws by lot is walked here in full, for one key and two requests: each effect
//! of the one before and after each of the other, from every state that the claim can be in, at
//! both sides of every boundary in time, with each fate on the wire.
//!
//! - `schedules`: what a request does, as a machine with numbered states
//! - `starts`: where a race begins
//! - `world`: all schedules from there
//! - `invariants`: what must hold at each step

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "people read what it prints")]

#[path = "../model/gateways.rs"]
mod gateways;
mod invariants;
#[allow(dead_code, reason = "shared with the model")]
#[path = "../model/ledger.rs"]
mod ledger;
#[allow(dead_code, reason = "shared with the model")]
#[path = "../model/proof.rs"]
mod proof;
#[allow(dead_code, reason = "shared with the model")]
#[path = "../model/reference.rs"]
mod reference;
mod schedules;
mod starts;
#[allow(dead_code, reason = "shared with the model")]
#[path = "../model/table.rs"]
mod table;
#[allow(dead_code, reason = "shared with the model")]
#[path = "../model/wishes.rs"]
mod wishes;
mod world;

use std::rc::Rc;

use dana_failover::engine::Fingerprint;
use dana_failover::engine::Health;
use dana_failover::engine::Policy;
use dana_failover::engine::Timestamp;
use dana_failover::engine::{Bucket, Entry, KeptAnswer, Layout, Placement, Seed};

use invariants::Invariants;
use reference::Reference;
use schedules::{Input, Place, Root, Schedules, Value, Want};
use starts::{Makings, Start};
use wishes::{What, key};
use world::{Race, Walk};

const NAMES: [&str; 2] = ["primary", "secondary"];
/// The clock of the first worker.
const NOW: u64 = 1_790_000_000_000;
const RETENTION_MS: i64 = 86_400_000;

/// One bucket and one place for answers.
const CONFIG: &str = r#"
    "idempotency": {"bodies_max": 1, "retention_s": 86400, "store": {"local": {"claims_max": 16}}}"#;

const PAY: What = What::Pay { payment: 0, other_amount: false };

fn policy() -> Rc<Policy> {
    Rc::new(
        Policy::join(
            gateways::configured(CONFIG),
            &mut Layout::new(Placement::new(1, Seed::default())),
            Timestamp::default(),
        )
        .unwrap()
        .0,
    )
}

/// Both gateways are well.
fn health(policy: &Policy) -> Vec<u8> {
    let mut health = Health::default();
    for gateway in policy.order() {
        for _ in 0..2 {
            health.on_probe(gateway, true, &policy.health, Timestamp::from_millis(NOW));
        }
    }
    health.encode()
}

/// What a payment asks for, learnt from the claim that it would write.
fn print_of(policy: &Rc<Policy>, what: What) -> Fingerprint {
    let mut plays = Schedules::new(Rc::clone(policy));
    let mut node = plays.root(Root { what, now: NOW, context: 0 });
    let health = Value { bytes: plays.number(health(policy)), version: 1 };
    for value in [(Place::Health, health), (Place::Claims, Value::default())] {
        node = plays.next(node, Input::Loaded(value.0, value.1));
    }
    let Some(Want::Store(Place::Claims, bytes, _)) = plays.nodes[node].todo.first() else {
        panic!("a first payment writes its claim");
    };
    let bucket = Bucket::decode(plays.bytes(*bytes).to_vec()).unwrap();
    let Entry::Claim(claim) = bucket.find(&key(0).prefix()) else {
        panic!("its own claim");
    };
    claim.fingerprint
}

/// What all races of a test came to.
#[derive(Debug, Default)]
struct Told {
    races: u64,
    schedules: f64,
    states: usize,
    steps: u64,
    /// How often a request was let go, and how often the second one was.
    sent: [u64; 2],
    /// How often a client left while the store was asked.
    left: u64,
    fed: u64,
}

impl Told {
    /// A search that never gets anywhere proves nothing: at least so many schedules, and steps by
    /// which a request was let go first, and after the other one.
    fn check(&self, schedules: f64, sent: [u64; 2], leaves: bool) {
        println!("{self:?}");
        assert!(self.schedules >= schedules && self.races == 160, "{self:?}");
        assert!(self.sent[0] >= sent[0] && self.sent[1] >= sent[1], "{self:?}");
        assert!(self.left > 1000 || !leaves, "{self:?}");
    }
}

/// Races a payment with `other` from every start, with every difference of the clocks.
fn race(other: What) -> Told {
    let policy = policy();
    let rules = policy.claims;
    let prints =
        [false, true].map(|other_amount| print_of(&policy, What::Pay { payment: 0, other_amount }));
    let makings = Makings {
        order: policy.order().collect(),
        print: prints[0],
        lease: rules.lease.get(),
        repeat_after: rules.repeat_after.get(),
    };
    let lease = rules.lease.get().cast_signed();
    let mut told = Told::default();
    for skew in [-lease, -1, 0, 1, lease] {
        let mut plays = Schedules::new(Rc::clone(&policy));
        for start in makings.starts() {
            let truth = Invariants {
                reference: Reference::new(rules),
                order: makings.order.clone(),
                key: key(0).prefix(),
                others: start.others.iter().map(|(key, _)| *key).collect(),
                prints,
            };
            let clocks = [NOW, NOW.saturating_add_signed(skew)];
            let race = Race { whats: [PAY, other], clocks };
            let cells = cells(&start, &policy, &mut plays);
            let mut walk = Walk::new(start.name.clone(), race, &mut plays, &truth);
            let state = walk.begin(cells, start.ledger, start.travels);
            told.schedules += walk.go(&state);
            told.states += walk.states();
            told.steps += walk.steps;
            told.sent = [0, 1].map(|at| told.sent[at] + walk.sent[at]);
            told.left += walk.left;
            told.races += 1;
        }
        told.fed += plays.fed;
    }
    told
}

/// The store at the beginning.
fn cells(start: &Start, policy: &Policy, plays: &mut Schedules) -> [Value; 3] {
    let health = Value { bytes: plays.number(health(policy)), version: 1 };
    let bucket = start.bucket(&key(0).prefix()).into_bytes();
    let is_empty = bucket.is_empty();
    let claims = Value { bytes: plays.number(bucket), version: u32::from(!is_empty) };
    let executed = start.ledger.executed_at(0);
    let body = match (start.claim.filter(|_| start.is_kept), executed.first()) {
        (Some(claim), Some(gateway)) => {
            let body = ledger::Ledger::success(*gateway, 0).into_bytes();
            let kept = KeptAnswer { status: 200, content_type: None, body };
            let bytes = plays.number(kept.put(&[], &key(0), claim.incarnation));
            Value { bytes, version: 1 }
        }
        _ => Value::default(),
    };
    [health, claims, body]
}

#[test]
fn two_payments() {
    race(PAY).check(1e7, [500, 50], true);
}

#[test]
fn a_payment_and_one_of_the_same_name_that_asks_for_something_else() {
    race(What::Pay { payment: 0, other_amount: true }).check(1e6, [300, 30], true);
}

#[test]
fn a_payment_and_a_question_about_it() {
    race(What::Ask { payment: 0 }).check(1e8, [1000, 1000], true);
}

#[test]
fn a_payment_and_its_cancellation() {
    race(What::Cancel { payment: 0 }).check(1e10, [1000, 1000], false);
}
