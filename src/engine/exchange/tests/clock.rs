//! Clocks that are put ahead, and put right again: no payment is forgotten, nothing is proven by
//! time that did not pass, and nobody waits for the clock to come to where it was.

use super::*;

const DAY: u64 = 86_400_000;
/// The longest that anything waits with the default configuration.
const LONGEST_S: u64 = 60;
const NOT_FOUND: &str = r#"{"responseCode":"4045501"}"#;
const CANCELLED: &str = r#"{"responseCode":"2005700","originalPartnerReferenceNo":"r-1"}"#;

fn order(number: u32) -> Asked {
    post(CREATE, &ORDER.replace("r-1", &format!("many-{number}")))
}

fn success(number: u32) -> String {
    OK.replace("r-1", &format!("many-{number}"))
}

/// Many payments, all settled.
fn pay_many(world: &mut World, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let ok = success(number);
        let told = world.ask(&order(number), Some(upstream(200, &ok)));
        assert_eq!(told, "relayed from primary", "{number}");
    }
}

fn retry_after(run: &Run) -> u64 {
    run.reply_header("retry-after").unwrap().parse().unwrap()
}

#[test]
fn a_clock_a_day_ahead_for_a_moment_forgets_no_payment() {
    for leap in [DAY, 40 * DAY] {
        // Four buckets, each with more than it was laid out for.
        let mut world = World::new();
        world.tick();
        pay_many(&mut world, 0..100);
        world.pass_ticking(2000);
        for ticks_first in [true, false] {
            world.now += leap;
            if ticks_first {
                world.tick();
            }
            let more = if ticks_first { 100..110 } else { 110..120 };
            pay_many(&mut world, more);
            world.now -= leap;
            world.tick();
        }
        pay_many(&mut world, 120..130);
        for number in 0..130 {
            let told = world.ask(&order(number), None);
            assert!(told.ends_with("replay") || told.contains("executed"), "{number}: {told}");
        }
    }
}

#[test]
fn a_worker_that_begins_after_the_leap_knows_of_it() {
    let mut world = World::new();
    world.tick();
    pay_many(&mut world, 0..100);
    world.now += DAY;
    world.tick();
    world.counters = WorkerCounters::default();
    pay_many(&mut world, 100..110);
    assert_eq!(world.store.claims().len(), 110);
}

#[test]
fn a_store_whose_payments_are_really_old_finds_room_and_grows_no_further() {
    let mut world = World::new();
    world.tick();
    pay_many(&mut world, 0..120);
    world.pass_ticking(DAY + 1000);
    pay_many(&mut world, 200..400);
    let kept = world.store.claims().len();
    assert!((200..=230).contains(&kept), "{kept} claims: as many as were needed made room");
}

#[test]
fn a_clock_that_was_ahead_wedges_no_repeat() {
    let mut world = World::new();
    world.now += 29 * DAY;
    assert_eq!(world.pay(TIMEOUT.at("primary")), "504 unknown unknown");
    world.now -= 29 * DAY;
    let asked = post(CREATE, ORDER);
    let again = world.begin(&asked);
    assert_eq!(again.told(), "504 unknown unknown");
    assert!(retry_after(&again) <= LONGEST_S, "{}", retry_after(&again));
    world.pass(5000);
    assert_eq!(world.ask(&asked, Some(upstream(200, OK))), "relayed from primary");
    assert_eq!(world.state(), "settled");
}

#[test]
fn a_payment_in_flight_when_the_clock_is_put_back_is_in_doubt_one_lease_later_and_never_free() {
    let mut world = World::new();
    world.now += DAY;
    let asked = post(CREATE, ORDER);
    let first = world.begin(&asked);
    // The secondary's heartbeat is a day old by that clock.
    assert_eq!(first.told(), "to dana_primary");
    world.now -= DAY;
    let again = world.begin(&asked);
    assert_eq!(again.told(), "429 in_progress in_progress");
    assert!(retry_after(&again) <= LONGEST_S, "{}", retry_after(&again));
    world.pass(29_999);
    assert_eq!(world.ask(&asked, None), "429 in_progress in_progress");
    world.pass(1);
    assert_eq!(world.state(), "in_doubt");
    assert_eq!(world.ask(&asked, None), "504 unknown unknown");
}

#[test]
fn a_header_key_bound_ahead_holds_nobody_up_for_longer_than_a_lease() {
    let mut world = World::new();
    world.now += 29 * DAY;
    let keyed = |body: &str| post(CREATE, body).with("idempotency-key", "key-1");
    let first = world.begin(&keyed(ORDER));
    assert_eq!(first.told(), "to dana_primary");
    // Its claim is gone with the worker that made it; its binding is there.
    world.store.retain(|cell, bytes| {
        let bucket = Bucket::decode(bytes.to_vec());
        !matches!(cell, Cell::Claims(_)) || bucket.is_none_or(|bucket| bucket.claims().count() == 0)
    });
    world.now -= 29 * DAY;
    let other = keyed(&ORDER.replace("r-1", "r-2"));
    let _ = world.ask(&other, None);
    world.pass(30_000);
    assert_eq!(world.ask(&other, None), "to dana_primary_first");
}

#[test]
fn a_leap_of_the_clock_proves_no_not_found() {
    let mut world = World::new();
    world.tick();
    assert_eq!(world.pay(TIMEOUT.at("primary")), "504 unknown unknown");
    let status = post(STATUS, OF_ORDER);
    for _ in 0..3 {
        world.pass_ticking(500);
        world.now += DAY;
        world.ask(&status, Some(upstream(404, NOT_FOUND)));
        world.tick();
        world.ask(&status, Some(upstream(404, NOT_FOUND)));
        assert_eq!(world.state(), "in_doubt", "a copy may still be travelling");
    }
    // Nor does a clock that was ahead when it was asked and put right before it was answered.
    world.now += DAY;
    let mut asked = world.begin(&status);
    world.now -= DAY;
    world.answer(&mut asked, upstream(404, NOT_FOUND));
    assert_eq!(world.state(), "in_doubt");
    // Time that passes does, and each gateway that may have it is asked.
    for _ in 0..4 {
        world.pass_ticking(61_000);
        let mut run = world.begin(&status);
        for gateway in ["primary", "secondary"] {
            if run.exchange.is_sent() {
                world.answer(&mut run, upstream(404, NOT_FOUND).at(gateway));
            }
        }
    }
    assert_eq!(world.state(), "rejected");
}

#[test]
fn a_leap_of_the_clock_ends_no_lease() {
    let mut world = World::new();
    world.tick();
    let asked = post(CREATE, ORDER);
    let mut first = world.begin(&asked);
    world.pass_ticking(1000);
    world.now += DAY;
    assert_eq!(world.ask(&asked, None), "429 in_progress in_progress");
    world.tick();
    assert_eq!(world.ask(&asked, None), "429 in_progress in_progress");
    world.end(&mut first, upstream(403, r#"{"responseCode":"4035414"}"#));
    assert_eq!((first.told().as_str(), world.state()), ("relayed from primary", "rejected"));
}

#[test]
fn a_cancel_asked_on_a_clock_that_was_ahead_ends_no_attempt_that_came_after_it() {
    let mut world = World::new();
    assert_eq!(world.pay(TIMEOUT.at("primary")), "504 unknown unknown");
    world.pass(61_000);
    world.now += DAY;
    let mut cancel = world.begin(&post(CANCEL, OF_ORDER));
    world.now -= DAY;
    if cancel.exchange.is_sent() {
        world.answer(&mut cancel, upstream(200, CANCELLED));
    }
    // When that was asked nobody knows: a later one says the same.
    world.pass(1000);
    assert_ne!(world.store.claims().iter().filter(|claim| !claim.is_resolved()).count(), 0);
}
