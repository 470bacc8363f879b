//! A store that is young knows nothing of what was sent before it began, and says so.

use super::*;
use crate::engine::time::{Leaps, Millis};

/// A world whose store began `age` before the present.
fn aged(config: &str, age: u64) -> World {
    let mut world = World::with(config);
    let mut policy = Policy::clone(&world.policy);
    policy.born = Timestamp::from_millis(world.now - age);
    world.policy = Rc::new(policy);
    world
}

/// What a charge is told, and why another reference is not safe.
fn told(world: &mut World, ending: Ending<'_>) -> (String, String) {
    let mut run = world.begin(&post(CREATE, ORDER));
    if run.exchange.is_sent() {
        world.end(&mut run, ending);
    }
    (run.told(), run.body()["detail"].as_str().unwrap().to_owned())
}

/// What happens before.
type Prepare = fn(&mut World);

const NO: &str = r#"{"responseCode":"4035414"}"#;

#[test]
fn what_is_not_known_of_an_earlier_life_makes_no_other_reference_safe() {
    let young = "This Envoy started at 2026-09-21T14:13:20.000Z and does not know what was sent before: \
                 ask for the payment's status before you use another reference.";
    let scenes: [(&str, Prepare); 4] = [
        ("503 never_sent not_executed", |_| {}),
        ("503 no_gateway not_executed", |world| {
            world.trip("primary");
            world.trip("secondary");
        }),
        ("503 pinned_gateway_down not_executed", |world| {
            world.pay(upstream(403, NO).at("primary"));
            world.trip("primary");
        }),
        ("503 claim_store_full not_executed", |world| {
            for number in 0..4 * limits::BUCKET_RECORDS_MAX {
                let order = ORDER.replace("r-1", &format!("n-{number}"));
                world.ask(&post(CREATE, &order), Some(TIMEOUT));
            }
        }),
    ];
    let config = CONFIG.replace("\"claims_max\": 64", "\"claims_max\": 16");
    for (expected, prepare) in scenes {
        for (age, is_young) in [(0, true), (3_599_999, true), (3_600_000, false)] {
            let mut world = aged(&config, age);
            prepare(&mut world);
            world.now = 1_790_000_000_000;
            let (what, detail) = told(&mut world, REFUSED);
            let safe = if is_young { "" } else { " safe" };
            assert_eq!(what, format!("{expected}{safe}"), "{age}");
            let started = detail.contains("This Envoy started at");
            assert_eq!(started, is_young, "{detail}");
            assert!(age != 0 || detail.ends_with(young), "{detail}");
        }
    }
    // What is forgotten early is not known either.
    let short = CONFIG.replace(
        r#""body_bytes_max""#,
        r#""retention_s": 3600, "repeat_max_age_s": 7200, "body_bytes_max""#,
    );
    let (what, detail) = told(&mut aged(&short, 1 << 40), REFUSED);
    assert_eq!(what, "503 never_sent not_executed");
    assert!(detail.contains("does not know what was sent more than 1 h 00 min ago"), "{detail}");
}

/// A proof by a record is one in a young store too.
#[test]
fn what_a_record_proves_is_as_safe_as_ever() {
    let told = r#"{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"06"}"#;
    let mut world = aged(CONFIG, 0);
    world.pay(TIMEOUT.at("primary"));
    // It may be said of an attempt of before, while this one still travels.
    world.ask(&post(STATUS, OF_ORDER), Some(upstream(200, told)));
    assert_eq!(world.state(), "in_doubt");
    world.pass(60_000);
    world.ask(&post(STATUS, OF_ORDER), Some(upstream(200, told)));
    assert_eq!(world.pay(TIMEOUT), "404 closed_failed not_executed safe");
}

/// A clock that is put right by an hour makes a store of a minute no older.
#[test]
fn time_that_the_clock_skipped_is_no_memory() {
    let mut world = aged(CONFIG, 60_000);
    let (mut shared, longest) = (Leaps::default(), Millis::new(86_400_000));
    world.counters.tick(world.time(), &mut shared, longest);
    world.pass(2 * 3_600_000);
    let (what, detail) = told(&mut world, REFUSED);
    assert_eq!(what, "503 never_sent not_executed", "{detail}");
    assert!(detail.contains("This Envoy started at"), "{detail}");
}

/// Not even where nothing is ever repeated: what was sent just before it began may still arrive.
#[test]
fn a_store_that_has_just_begun_knows_nothing_whatever_is_configured() {
    let config =
        CONFIG.replacen("\"idempotency\": {", "\"idempotency\": {\"repeat_max_age_s\": 0, ", 1);
    assert_ne!(config, CONFIG);
    for (age, expected) in
        [(149_999, "503 never_sent not_executed"), (150_000, "503 never_sent not_executed safe")]
    {
        assert_eq!(told(&mut aged(&config, age), REFUSED).0, expected, "{age}");
    }
}
