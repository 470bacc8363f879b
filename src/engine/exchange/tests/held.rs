//! What a gateway holds: tokens that lead to it, follow-ups at the wrong one, cancels amid a repeat,
//! gateways that are drained, and labels that say nothing.

use super::*;
use crate::engine::health::{Breaker, Override, OverrideKind};
use crate::engine::payment::{Evidence, Resolution, Step};
use crate::engine::store::Entry;

const UNKNOWN_CANCEL: &str = r#"{"responseCode":"4045701"}"#;
const CANCELLED: &str = r#"{"responseCode":"2005700","originalPartnerReferenceNo":"r-1"}"#;
const TOKEN: &str = "/v1.0/access-token/b2b2c.htm";
const ISSUED: &str = r#"{"responseCode":"2007400","accessToken":"t-1","tokenType":"Bearer"}"#;
const DAY: u64 = 86_400_000;

fn executed() -> String {
    r#"{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"00"}"#
        .to_owned()
}

/// An order that the secondary has executed, learnt from a status, and a cancel of it that timed
/// out at the primary before that was known.
fn cancel_astray() -> World {
    let mut world = World::new();
    let cancel = post(CANCEL, OF_ORDER);
    let mut run = world.begin(&cancel);
    assert_eq!(run.told(), "to dana_primary");
    world.end(&mut run, TIMEOUT.at("primary"));
    assert_eq!(run.told(), "504 unknown unknown");
    let told = executed();
    world.ask(&post(STATUS, OF_ORDER), Some(upstream(200, &told).at("secondary")));
    world
}

#[test]
fn a_cancel_in_doubt_at_the_wrong_gateway_is_rejected_there_and_begins_anew_where_its_payment_is() {
    let cancel = post(CANCEL, OF_ORDER);
    let not_found = upstream(404, UNKNOWN_CANCEL);
    let mut world = cancel_astray();
    world.pass(5000);
    // Too early: a copy may still be on its way there.
    for _ in 0..3 {
        assert_eq!(world.ask(&cancel, Some(not_found)), "504 unknown unknown");
        world.pass(1000);
    }
    world.pass(60_000);
    assert_eq!(world.ask(&cancel, None), "to dana_primary", "noted once is not proven");
    world.pass(40_000);
    for _ in 0..2 {
        assert_eq!(world.ask(&cancel, Some(not_found)), "504 unknown unknown");
        world.pass(61_000);
    }
    assert_eq!(world.ask(&cancel, Some(not_found)), "504 unknown unknown");
    assert_eq!(
        world.ask(&cancel, Some(upstream(200, CANCELLED).at("secondary"))),
        "relayed from secondary"
    );
}

#[test]
fn a_cancel_at_the_wrong_gateway_is_asked_for_however_old_it_is_and_silence_proves_nothing() {
    let cancel = post(CANCEL, OF_ORDER);
    let mut world = cancel_astray();
    world.pass(DAY);
    for _ in 0..4 {
        assert_eq!(world.ask(&cancel, Some(TIMEOUT.at("primary"))), "504 unknown unknown");
        world.pass(61_000);
    }
    let not_found = upstream(404, UNKNOWN_CANCEL);
    for _ in 0..2 {
        assert_eq!(world.ask(&cancel, Some(not_found)), "504 unknown unknown");
        assert_eq!(world.ask(&cancel, None).split(' ').next(), Some("to"), "at the primary still");
        world.pass(100_000);
    }
}

#[test]
fn not_found_ends_no_doubt_about_a_cancel_whose_payment_is_not_proven_elsewhere() {
    let cancel = post(CANCEL, OF_ORDER);
    let mut world = World::new();
    let mut run = world.begin(&cancel);
    world.end(&mut run, TIMEOUT.at("primary"));
    for _ in 0..4 {
        world.pass(61_000);
        let told = world.ask(&cancel, Some(upstream(404, UNKNOWN_CANCEL)));
        assert_eq!(told, "504 unknown unknown");
    }
    assert_eq!(world.state(), "in_doubt");
}

#[test]
fn a_cancel_that_succeeds_during_a_repeat_closes_the_payment() {
    let mut world = World::new();
    // One gateway alone can have it.
    world.trip("secondary");
    assert_eq!(world.pay(TIMEOUT.at("primary")), "504 unknown unknown");
    world.pass(5000);
    let mut repeat = world.begin(&post(CREATE, ORDER));
    assert_eq!(repeat.told(), "to dana_primary");
    let cancel = world.ask(&post(CANCEL, OF_ORDER), Some(upstream(200, CANCELLED)));
    assert_eq!(cancel, "relayed from primary");
    let order = world.store.claims().into_iter().find(|claim| claim.attempt == 2).unwrap();
    assert!(matches!(order.state, ClaimState::Closed { how: Closed::Cancelled, .. }), "{order:?}");
    world.end(&mut repeat, upstream(404, r#"{"responseCode":"4045404"}"#));
    assert_eq!(repeat.told(), "404 closed_cancelled not_executed safe");
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "404 closed_cancelled not_executed safe");
}

fn drain(world: &mut World, name: &str) {
    let (gateway, now) = (world.id(name), world.time());
    let until = Timestamp::from_millis(world.now + 3_600_000);
    let (actor, reason) = ("ops".to_owned(), "a drill".to_owned());
    world.health(|health, policy, _| {
        let steer = OverrideKind::Drain;
        let wish = Override { gateway, kind: steer, since: now, until, actor, reason };
        health.override_by(wish, &policy.health, now).unwrap();
    });
}

#[test]
fn a_drained_gateway_takes_no_repeat_and_no_retry_and_is_still_asked_and_cancelled_at() {
    let mut world = World::new();
    assert_eq!(world.pay(no_answer(0x4, true).at("primary")), "504 unknown unknown");
    let told = executed().replace("\"00\"", "\"03\"");
    world.ask(&post(STATUS, OF_ORDER), Some(upstream(200, &told)));
    drain(&mut world, "primary");
    world.pass(5000);
    let repeat = world.begin(&post(CREATE, ORDER));
    assert_eq!(repeat.told(), "504 unknown unknown");
    assert!(repeat.reply_header("retry-after").is_some());
    assert_eq!(world.ask(&post(STATUS, OF_ORDER), None), "to dana_primary");
    assert_eq!(world.ask(&post(CANCEL, OF_ORDER), None), "to dana_primary");

    let mut world = World::new();
    let no = r#"{"responseCode":"4035414"}"#;
    assert_eq!(world.pay(upstream(403, no)), "relayed from primary");
    drain(&mut world, "primary");
    assert_eq!(world.pay(upstream(200, OK)), "503 pinned_gateway_down not_executed safe");
}

#[test]
fn a_status_in_flight_asks_the_first_member_of_the_composite_that_was_named() {
    for (tripped, first) in [(None, "dana_primary"), (Some("primary"), "dana_secondary")] {
        let mut world = World::new();
        if let Some(name) = tripped {
            world.trip(name);
            // Only the wait is over: so it stands behind the other one, on trial.
            let (gateway, policy) = (world.id(name), Rc::clone(&world.policy));
            world.health(|health, _, now| {
                health.update_active(&policy.health, now);
                let breaker = &mut health.member_mut(gateway).breaker;
                *breaker = Breaker::default();
            });
        }
        let pay = world.begin(&post(CREATE, ORDER));
        assert_eq!(pay.told(), format!("to {first}_first"));
        assert_eq!(world.ask(&post(STATUS, OF_ORDER), None), format!("to {first}"));
    }
}

/// A world in which the secondary has issued a token.
fn with_token(config: &str) -> World {
    let mut world = World::with(config);
    let asked = post(TOKEN, r#"{"grantType":"AUTHORIZATION_CODE","authCode":"c"}"#);
    let told = world.ask(&asked, Some(upstream(200, ISSUED).at("secondary")));
    assert_eq!(told, "relayed from secondary");
    world
}

#[test]
fn a_customers_token_in_use_is_not_forgotten_and_not_written_with_each_payment() {
    let pay = |world: &mut World, number: usize| {
        let name = format!("t-{number}");
        let asked = post(CREATE, &ORDER.replace("r-1", &name));
        let asked = asked.with("authorization-customer", "Bearer t-1");
        let mut run = world.begin(&asked);
        assert_eq!(run.told(), "to dana_secondary", "payment {number}");
        let calls = world.calls;
        let ok = OK.replace("r-1", &name);
        world.end(&mut run, upstream(200, &ok).at("secondary"));
        world.calls - calls
    };
    // One bucket for all, so that whatever may leave does.
    let config = CONFIG.replace("\"claims_max\": 64", "\"claims_max\": 16");
    let mut world = with_token(&config);
    let usual = pay(&mut world, 0);
    let mut written = 0;
    for number in 1..80 {
        world.pass_ticking(DAY);
        written += usize::from(pay(&mut world, number) > usual);
    }
    // Every eighth of thirty days, and not on each of them.
    assert!((15..=25).contains(&written), "written anew {written} times in 79 days");
}

#[test]
fn a_token_that_is_kept_for_longer_than_claims_makes_no_payment_wait_for_room() {
    let config = CONFIG.replace("\"claims_max\": 64", "\"claims_max\": 16");
    let mut world = World::with(&config);
    for number in 0..limits::BUCKET_RECORDS_MAX + 10 {
        let asked = post(TOKEN, r#"{"grantType":"AUTHORIZATION_CODE","authCode":"c"}"#);
        let issued = ISSUED.replace("t-1", &format!("t-{number}"));
        world.ask(&asked, Some(upstream(200, &issued).at("secondary")));
    }
    assert_eq!(world.pay(upstream(200, OK)), "503 claim_store_full not_executed safe");
    world.pass_ticking(DAY);
    assert_eq!(world.pay(upstream(200, OK)), "relayed from primary");
}

/// An operator has found out that what is in doubt was not executed.
fn not_executed(world: &mut World) {
    let (now, rules) = (world.time(), world.policy.claims);
    for number in 0..world.policy.placement.buckets() {
        let mut bucket = world.store.bucket(number).unwrap();
        for (key, entry) in bucket.clone().entries() {
            let Entry::Claim(claim) = entry else { continue };
            let evidence = Evidence::Operator(Resolution::NotExecuted);
            if let Step::To(state) = claim.apply(evidence, now, &rules) {
                assert!(bucket.replace(&key, &Claim { state, changed_at: now, ..claim }));
            }
        }
        world.store.put(Cell::Claims(number), bucket.into_bytes());
    }
}

/// Its order is paid all the same.
#[test]
fn a_cancel_that_an_operator_knows_was_not_executed_is_asked_for_again() {
    let mut world = World::new();
    world.pay(upstream(200, OK));
    let cancel = post(CANCEL, OF_ORDER);
    assert_eq!(world.ask(&cancel, Some(TIMEOUT)), "504 unknown unknown");
    world.pass(100_000);
    not_executed(&mut world);
    assert_eq!(world.ask(&cancel, None), "to dana_primary");
}

#[test]
fn a_refund_that_an_operator_knows_was_not_executed_says_nothing_of_its_payment() {
    let refund = r#"{"merchantId":"m-1","originalPartnerReferenceNo":"r-1","partnerRefundNo":"f-1","refundAmount":{"value":"1.00","currency":"IDR"}}"#;
    let mut world = World::new();
    world.pay(upstream(200, OK));
    assert_eq!(world.ask(&post(REFUND, refund), Some(TIMEOUT)), "504 unknown unknown");
    world.pass(100_000);
    not_executed(&mut world);
    let run = world.begin(&post(REFUND, refund));
    assert_eq!(run.told(), "404 closed_failed not_executed");
    let (title, detail) = (&run.body()["responseMessage"], &run.body()["detail"]);
    assert_eq!(title, "Request Not Carried Out");
    assert!(detail.as_str().unwrap().starts_with("This request was not carried out."), "{detail}");
}

/// Envoy could not say which of the two has answered. A status can, and then each follow-up goes there.
#[test]
fn a_payment_that_either_may_have_executed_is_at_the_one_that_says_so() {
    let mut world = World::new();
    world.pay(Ending { endpoint: None, ..upstream(200, OK) });
    assert_eq!(world.store.claims()[0].holders().single(), None);
    let executed = status("00");
    let mut run = world.begin(&post(STATUS, OF_ORDER));
    world.end(&mut run, upstream(404, r#"{"responseCode":"4045501"}"#));
    assert_eq!(run.anomalies, [], "who does not know it need not have executed it");
    let mut run = world.begin(&post(STATUS, OF_ORDER));
    world.end(&mut run, upstream(200, &executed).at("primary"));
    assert_eq!(run.anomalies, []);
    assert_eq!(world.store.claims()[0].holders().single(), Some(world.id("primary")));
    assert_eq!(world.ask(&post(CANCEL, OF_ORDER), None), "to dana_primary");
}
