//! Answers that are kept, and payments that were executed whose answer is not.

use super::*;
use crate::engine::health::Breach;

fn numbered(number: usize) -> (Asked, String) {
    let [order, ok] = [ORDER, OK].map(|text| text.replace("r-1", &format!("n-{number}")));
    (post(CREATE, &order), ok)
}

#[test]
fn half_as_many_answers_as_are_kept_are_all_found_again() {
    let store = r#""store": {"local": {"claims_max": 16384}}, "bodies_max": 1024"#;
    let mut world =
        World::with(&CONFIG.replace(r#""store": {"local": {"claims_max": 64}}"#, store));
    for number in 0..512 {
        let (asked, ok) = numbered(number);
        assert_eq!(world.ask(&asked, Some(upstream(200, &ok))), "relayed from primary");
    }
    let replays = (0..512).filter(|number| {
        let (asked, ok) = numbered(*number);
        let run = world.begin(&asked);
        run.told() == "200 replay" && run.reply.unwrap().body == ok.as_bytes()
    });
    let replays = replays.count();
    assert!(replays >= 511, "{replays} of 512");
}

/// Both read the set before one of them writes it.
#[test]
fn of_two_answers_that_are_kept_at_once_none_is_lost() {
    let one = CONFIG.replace(r#""body_bytes_max""#, r#""bodies_max": 1, "body_bytes_max""#);
    let mut world = World::with(&one);
    let mut runs = [1, 2].map(|number| {
        let (asked, ok) = numbered(number);
        (world.begin(&asked), ok)
    });
    for (run, ok) in &mut runs {
        world.tell_answer(run, upstream(200, ok));
        assert!(
            matches!(run.todo.front(), Some(Output::Ask(_, CellRequest::Load(Cell::Body(_))))),
            "{:?}",
            run.todo
        );
    }
    for (run, _) in &mut runs {
        assert!(world.step(run));
    }
    for (run, _) in &mut runs {
        world.go_on(run);
        assert_eq!(run.told(), "relayed from primary");
    }
    for number in [1, 2] {
        let (asked, ok) = numbered(number);
        let run = world.begin(&asked);
        assert_eq!((run.told().as_str(), run.reply.unwrap().body), ("200 replay", ok.into_bytes()));
    }
}

/// A payment that was executed at `gateway`, and whose answer is not kept.
fn unkept(gateway: &str) -> World {
    let mut world = World::new();
    assert_eq!(world.pay(upstream(200, OK).at(gateway)), format!("relayed from {gateway}"));
    world.store.retain(|cell, _| !matches!(cell, Cell::Body(_)));
    world.pass(1000);
    world
}

const EXECUTED: &str = "504 already_executed executed";

#[test]
fn an_answer_that_is_gone_is_fetched_from_who_gave_it_and_kept_again() {
    let mut world = unkept("secondary");
    let mut run = world.begin(&post(CREATE, ORDER));
    assert_eq!(run.told(), "to dana_secondary");
    assert_eq!(run.header("x-envoy-max-retries"), Some("0"));
    assert_eq!(world.state(), "settled");
    world.pass(2500);
    let second = world.begin(&post(CREATE, ORDER));
    assert_eq!(second.told(), EXECUTED, "one at a time");
    assert_eq!(second.reply_header("retry-after"), Some("8"));
    world.end(&mut run, upstream(200, OK).at("secondary"));
    assert_eq!(run.told(), "relayed from secondary");
    assert_eq!((run.note.unwrap().decision, world.state()), ("repeat", "settled"));
    let again = world.begin(&post(CREATE, ORDER));
    assert_eq!((again.told().as_str(), again.reply.unwrap().body), ("200 replay", OK.into()));
}

/// The create timed out, and a status says that the order is there: the merchant gets its answer.
#[test]
fn asking_for_the_status_does_not_cost_the_answer() {
    let told = r#"{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"01"}"#;
    let mut world = World::new();
    assert_eq!(world.pay(TIMEOUT.at("primary")), "504 unknown unknown");
    assert_eq!(
        world.ask(&post(STATUS, OF_ORDER), Some(upstream(200, told))),
        "relayed from primary"
    );
    assert_eq!(world.state(), "settled");
    assert_eq!(world.pay(upstream(200, OK)), "relayed from primary");
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "200 replay");
    // Of a payment that was never seen here no amount is known before the gateway recognises one.
    let mut world = World::new();
    world.ask(&post(STATUS, OF_ORDER), Some(upstream(200, told)));
    let other = post(CREATE, &ORDER.replace("10000.00", "20000.00"));
    let refused = upstream(404, r#"{"responseCode":"4045418"}"#);
    assert_eq!(world.ask(&other, Some(refused)), EXECUTED);
    assert_eq!(world.pay(upstream(200, OK)), "relayed from primary");
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "200 replay");
    assert_eq!(world.ask(&other, None), "404 mismatch not_executed");
}

/// Whoever had the payment from here may have executed it too, and so its answer is fetched from
/// nobody: what the other one takes for a repeat would be a second payment.
#[test]
fn an_answer_is_not_fetched_from_a_gateway_that_never_had_the_payment() {
    let told = r#"{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"00"}"#;
    for ending in [TIMEOUT, upstream(200, OK)] {
        let mut world = World::new();
        let mut status = world.begin(&post(STATUS, OF_ORDER));
        assert_eq!(status.told(), "to dana_primary_first");
        let mut payment = world.begin(&post(CREATE, ORDER));
        world.end(&mut status, upstream(200, told).at("primary"));
        assert_eq!((status.told().as_str(), world.state()), ("relayed from primary", "settled"));
        world.end(&mut payment, ending.at("secondary"));
        world.store.retain(|cell, _| !matches!(cell, Cell::Body(_)));
        assert_eq!(world.ask(&post(CREATE, ORDER), None), EXECUTED);
    }
    let mut world = World::new();
    let mut status = world.begin(&post(STATUS, OF_ORDER));
    assert_eq!(world.pay(TIMEOUT.at("secondary")), "504 unknown unknown");
    world.end(&mut status, upstream(200, told).at("primary"));
    assert_eq!(world.ask(&post(CREATE, ORDER), None), EXECUTED);
}

#[test]
fn whatever_else_a_fetch_brings_the_payment_was_executed() {
    let not_this = OK.replace("r-1", "r-2");
    for ending in [
        upstream(403, r#"{"responseCode":"4035414"}"#),
        upstream(404, r#"{"responseCode":"4045418"}"#),
        upstream(500, r#"{"responseCode":"5005400"}"#),
        upstream(500, r#"{"responseCode":"5005401"}"#),
        upstream(202, r#"{"responseCode":"2025400"}"#),
        upstream(200, &not_this),
        upstream(200, "<html>"),
        TIMEOUT,
        REFUSED,
    ] {
        let mut world = unkept("primary");
        assert_eq!(world.pay(ending), EXECUTED, "{:?}", ending.evidence);
        assert_eq!(world.state(), "settled");
        // Its lease has ended with it.
        assert_eq!(world.ask(&post(CREATE, ORDER), None), "to dana_primary");
        // And so it does when nobody is left to say so.
        assert_eq!(world.ask(&post(CREATE, ORDER), None), EXECUTED);
        world.pass(30_000);
        assert_eq!(world.ask(&post(CREATE, ORDER), None), "to dana_primary");
    }
    // What could not be written is no reason to doubt it.
    for call in 1..6 {
        let mut world = unkept("primary");
        let mut run = world.begin(&post(CREATE, ORDER));
        world.fault = Some((world.calls + call, Fault::Before));
        world.end(&mut run, upstream(403, r#"{"responseCode":"4035414"}"#));
        assert_eq!(run.told(), EXECUTED, "call {call}");
    }
}

#[test]
fn an_answer_is_fetched_from_nobody_else_and_not_at_any_time() {
    let told = |mut world: World| world.ask(&post(CREATE, ORDER), None);
    assert_eq!(told(unkept("secondary")), "to dana_secondary");
    // Its gateway is not usable.
    let mut world = unkept("secondary");
    world.trip("secondary");
    assert_eq!(told(world), EXECUTED);
    let mut world = unkept("secondary");
    let secondary = world.id("secondary");
    world.health(|health, policy, now| {
        health.bar(secondary, Breach::Version, &policy.health, now);
    });
    assert_eq!(told(world), EXECUTED);
    // It is too old, or of several gateways.
    let mut world = unkept("secondary");
    world.pass(3_600_000);
    assert_eq!(told(world), EXECUTED);
    let mut world = World::new();
    world.pay(Ending { endpoint: None, ..upstream(200, OK) });
    world.store.retain(|cell, _| !matches!(cell, Cell::Body(_)));
    assert_eq!(told(world), EXECUTED);
    // It asks for something else, or must not be repeated at all.
    let mut world = unkept("secondary");
    let other = post(CREATE, &ORDER.replace("10000.00", "20000.00"));
    assert_eq!(world.ask(&other, None), "404 mismatch not_executed");
    let body = r#"{"beneficiaryAccountNumber":"1","amount":{"value":"1.00","currency":"IDR"}}"#;
    let transfer = post(TRANSFER, body).with("idempotency-key", "k-1");
    let mut world = World::new();
    world.ask(&transfer, Some(upstream(200, r#"{"responseCode":"2004300"}"#)));
    world.store.retain(|cell, _| !matches!(cell, Cell::Body(_)));
    assert_eq!(world.ask(&transfer, None), EXECUTED);
}

/// The store fails where the answer is looked for: that is no reason to send anything.
#[test]
fn a_store_that_fails_fetches_nothing() {
    let mut world = unkept("primary");
    // Health, claims, kept answer.
    world.fault = Some((world.calls + 3, Fault::Before));
    assert_eq!(world.ask(&post(CREATE, ORDER), None), EXECUTED);
}

/// Two workers find that it is gone, and one of them asks.
#[test]
fn of_two_that_would_fetch_one_does() {
    let mut world = unkept("primary");
    let mut runs = [(); 2].map(|()| world.hold(&post(CREATE, ORDER)));
    while runs.iter().any(|run| !run.todo.is_empty()) {
        for run in &mut runs {
            world.step(run);
        }
    }
    let mut told = runs.map(|run| run.told());
    told.sort();
    assert_eq!(told, [EXECUTED, "to dana_primary"]);
}
