//! What requests tell the breakers: how many are under way, whose trouble it was, and which of
//! them are put on trial.

use super::*;
use crate::engine::health::{BreakerState, NewRequest, RequestKind};

fn world(breaker: &str) -> World {
    World::with(&CONFIG.replacen(
        r#""breaker": {"consecutive_failures": 1000, "min_calls": 1000000, "half_open_permits": 1,
                "partner_failures_pct": 100}"#,
        &format!(r#""breaker": {{{breaker}}}"#),
        1,
    ))
}

/// The order of `partner` under another reference.
fn order(partner: &str, reference: usize) -> Asked {
    let mut asked = post(CREATE, &ORDER.replace("r-1", &format!("r-{reference}")));
    for (name, value) in &mut asked.headers {
        if name == "x-partner-id" {
            partner.clone_into(value);
        }
    }
    asked
}

const FAILS: Ending<'static> = upstream(500, r#"{"responseCode":"5005401"}"#);

/// The worker brings what it has counted.
fn tick(world: &mut World) {
    let counted = world.counters.take();
    world.health(|health, policy, now| {
        for batch in &counted {
            health.merge(batch, &policy.health, now);
        }
    });
}

fn executed(world: &mut World, partner: &str, reference: usize) -> String {
    let body = OK.replace("r-1", &format!("r-{reference}"));
    world.ask(&order(partner, reference), Some(upstream(200, &body)))
}

#[test]
fn what_is_under_way_is_counted_until_it_has_ended_whichever_way() {
    let mut world = World::new();
    let [primary, secondary] = ["primary", "secondary"].map(|name| world.id(name));
    let endings = [upstream(200, OK), TIMEOUT, REFUSED, no_answer(0x4000, true).client_gone()];
    let mut runs: Vec<Run> = (0..4).map(|n| world.begin(&order("partner-1", n))).collect();
    assert_eq!(world.counters.in_flight(), [(primary, 4)]);
    for (left, (run, ending)) in (0..4).rev().zip(runs.iter_mut().zip(endings)) {
        world.end(run, ending);
        let expected = if left == 0 { vec![] } else { vec![(primary, left)] };
        assert_eq!(world.counters.in_flight(), expected);
    }
    // From gateway to gateway, it is where it is.
    let mut run = world.begin(&post(STATUS, OF_ORDER.replace("r-1", "r-9").as_str()));
    world.answer(&mut run, upstream(404, r#"{"responseCode":"4045501"}"#));
    assert_eq!(world.counters.in_flight(), [(secondary, 1)]);
    world.end(&mut run, upstream(404, r#"{"responseCode":"4045501"}"#));
    assert_eq!(world.counters.in_flight(), []);
}

#[test]
fn above_the_ceiling_a_payment_goes_elsewhere_or_nowhere() {
    let mut world = world(r#""in_flight_max": 2"#);
    let mut to = |n| world.begin(&order("partner-1", n)).told();
    assert_eq!([to(1), to(2)], ["to dana_primary_first", "to dana_primary_first"]);
    assert_eq!([to(3), to(4)], ["to dana_secondary", "to dana_secondary"]);
    assert_eq!(to(5), "503 no_gateway not_executed safe");
}

#[test]
fn one_partner_does_not_take_a_gateways_whole_ceiling_while_another_one_pays() {
    let mut world = world(r#""in_flight_max": 8"#);
    assert_eq!(executed(&mut world, "partner-2", 1), "relayed from primary");
    tick(&mut world);
    let mut begin = |partner, n| world.begin(&order(partner, n)).told();
    for n in 10..14 {
        assert_eq!(begin("partner-1", n), "to dana_primary_first");
    }
    // Four of eight are hers. What she begins now goes elsewhere, and what others begin does not.
    assert_eq!(begin("partner-1", 14), "to dana_secondary");
    for n in 20..23 {
        assert_eq!(begin("partner-2", n), "to dana_primary_first");
    }
    assert!(matches!(world.breaker("primary"), BreakerState::Closed { .. }));
    // Questions fill a ceiling too, and a customer's token is no way around it.
    let status = post(STATUS, &OF_ORDER.replace("r-1", "r-10"));
    assert_eq!(world.begin(&status).told(), "504 no_answer unknown");
    let other = status.clone().without("x-partner-id").with("x-partner-id", "partner-2");
    assert_eq!(world.begin(&other).told(), "to dana_primary_first");
    let token = order("partner-1", 30).with("authorization-customer", "Bearer x");
    assert_eq!(world.begin(&token).told(), "503 pinned_gateway_down not_executed safe");
}

#[test]
fn a_partner_with_nobody_beside_it_has_the_whole_ceiling() {
    let mut world = world(r#""in_flight_max": 4"#);
    for n in 0..4 {
        assert_eq!(world.begin(&order("partner-1", n)).told(), "to dana_primary_first");
    }
    assert_eq!(world.begin(&order("partner-1", 4)).told(), "to dana_secondary");
}

#[test]
fn one_partner_in_trouble_does_not_take_the_gateway_from_the_others() {
    let mut world = world(r#""consecutive_failures": 3"#);
    assert_eq!(executed(&mut world, "partner-2", 1), "relayed from primary");
    tick(&mut world);
    for n in 0..9 {
        world.ask(&order("partner-1", 10 + n), Some(FAILS));
    }
    assert!(matches!(world.breaker("primary"), BreakerState::Closed { run: 9 }));
    // A second one, and it is the gateway's trouble.
    for n in 0..3 {
        world.ask(&order("partner-3", 20 + n), Some(FAILS));
    }
    assert!(matches!(world.breaker("primary"), BreakerState::Open { .. }));
}

#[test]
fn a_partner_with_nobody_beside_it_trips_as_ever() {
    let mut world = world(r#""consecutive_failures": 3"#);
    for n in 0..3 {
        world.ask(&order("partner-1", n), Some(FAILS));
    }
    assert!(matches!(world.breaker("primary"), BreakerState::Open { .. }));
}

#[test]
fn a_question_is_put_on_trial_before_a_payment_is() {
    let mut world = world(r#""consecutive_failures": 1, "open_jitter_pct": 0"#);
    world.ask(&order("partner-1", 1), Some(FAILS));
    world.health(|health, policy, now| {
        let later = now.plus(policy.health.breaker.open);
        for gateway in policy.order() {
            health.on_probe(gateway, true, &policy.health, later);
        }
    });
    world.pass(10_000);
    let selection = |world: &World, what| {
        let new = NewRequest::of_nobody(what);
        world.store.health().select(&world.policy.health, &new, world.time())
    };
    assert!(!selection(&world, RequestKind::Payment).trial);
    assert!(selection(&world, RequestKind::Inquiry).trial);
    let asked = post("/rest/v1.0/balance-inquiry.htm", r#"{"accountNo":"1"}"#);
    let mut question = world.begin(&asked);
    assert!(question.told().starts_with("to dana_primary"), "{}", question.told());
    assert_eq!(world.ask(&order("partner-1", 2), None), "to dana_secondary");
    world.answer(&mut question, upstream(200, r#"{"responseCode":"2001100"}"#));
    assert_eq!(world.ask(&order("partner-1", 3), None), "to dana_primary_first");
}

#[test]
fn a_token_takes_no_new_payment_to_a_gateway_that_operators_have_closed() {
    use crate::engine::health::{Override, OverrideKind};

    for (gateway, steer) in [("primary", OverrideKind::Drain), ("secondary", OverrideKind::Force)] {
        let mut world = World::new();
        let with_token = order("partner-1", 1).with("authorization-customer", "Bearer t-1");
        assert_eq!(
            world.ask(&order("partner-1", 2).with("authorization-customer", "Bearer t-1"), None),
            "to dana_primary"
        );
        let id = world.id(gateway);
        world.health(|health, policy, now| {
            let until = now.plus(crate::engine::time::Millis::new(60_000));
            let (actor, reason) = ("ops".to_owned(), "a drill".to_owned());
            let wish = Override { gateway: id, kind: steer, since: now, until, actor, reason };
            health.override_by(wish, &policy.health, now).unwrap();
        });
        let told = world.ask(&with_token, None);
        assert_eq!(told, "503 pinned_gateway_down not_executed safe", "{steer:?}");
        // What is there already stays reachable.
        let executed = post(STATUS, &OF_ORDER.replace("r-1", "r-2"));
        assert_eq!(world.ask(&executed, None), "to dana_primary");
    }
}

#[test]
fn a_payment_that_goes_well_writes_nothing_for_the_sake_of_questions_that_fail() {
    let mut world = world(r#""consecutive_failures": 3"#);
    assert_eq!(executed(&mut world, "partner-1", 1), "relayed from primary");
    tick(&mut world);
    let written = |world: &World| world.store.load(Cell::Health).version;
    for _ in 0..5 {
        world.ask(&post(STATUS, OF_ORDER), Some(upstream(500, r#"{"responseCode":"5005500"}"#)));
    }
    let before = written(&world);
    assert_eq!(executed(&mut world, "partner-1", 2), "relayed from primary");
    assert_eq!(written(&world), before, "it is counted, and brought with the next tick");
}
