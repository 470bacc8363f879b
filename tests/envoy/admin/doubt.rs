//! Payments in doubt: operators see them, say how they ended, and the merchant is told so.

use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, pay};
use crate::support::client::Seen;
use crate::support::envoy::{Envoy, quick, rendered, rendered_apart, with};
use crate::support::operator::{await_list, post};
use crate::support::sandbox::Sandbox;
use crate::support::{pause, until};

/// An Envoy whose store is counted on each tick, and whose payments in doubt are not repeated.
fn start() -> (Sandbox, Envoy) {
    let sandbox = Sandbox::start();
    let small = json!({"idempotency": {"repeat_after_ms": 3_600_000,
                                       "store": {"local": {"claims_max": 256}}}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &small)));
    (sandbox, envoy)
}

fn put_in_doubt(sandbox: &Sandbox, envoy: &Envoy, reference: &str, executes: bool) {
    let reset = json!({"fault": "reset", "reference": reference, "count": 1, "executes": executes});
    sandbox.fault("primary", &reset);
    let seen = pay(envoy, reference);
    assert_eq!((seen.status, seen.outcome().as_str()), (504, "unknown"), "{seen:?}");
}

fn resolve(envoy: &Envoy, key: &Value, verdict: &Value) -> Seen {
    let word = json!({"key": key, "evidence": "CASE-7", "reason": "asked DANA", "actor": "anna"});
    post(envoy, "/resolve", &with(word, verdict))
}

#[test]
fn a_payment_that_was_executed_is_told_to_be() {
    let (sandbox, envoy) = start();
    put_in_doubt(&sandbox, &envoy, "EXECUTED", true);
    let listed = await_list(&envoy, 1);
    let payment = &listed[0];
    assert_eq!((&payment["amount"], &payment["currency"]), (&json!("10000.00"), &json!("IDR")));
    assert_eq!((&payment["gateways"], &payment["attempts"]), (&json!(["primary"]), &json!(1)));
    let elsewhere = resolve(&envoy, &payment["key"], &json!({"executed_at": "secondary"}));
    assert_eq!(elsewhere.status, 409, "{elsewhere:?}");
    assert_eq!(pay(&envoy, "EXECUTED").outcome(), "unknown");

    let seen = resolve(&envoy, &payment["key"], &json!({"executed_at": "primary"}));
    assert_eq!(seen.status, 200, "{seen:?}");
    assert_eq!(seen.json()["before"]["state"], "in_doubt");
    assert_eq!(
        seen.json()["after"],
        json!({"state": "settled", "how": null, "gateways": ["primary"]})
    );
    let told = pay(&envoy, "EXECUTED");
    assert_eq!((told.status, told.outcome().as_str()), (504, "executed"), "{told:?}");
    assert_eq!(sandbox.requests("primary", "EXECUTED").len(), 1);
    await_list(&envoy, 0);
    let log = envoy.log();
    let line = log.lines().find(|line| line.contains("dana: resolve {")).unwrap();
    assert!(line.contains("CASE-7") && line.contains("anna") && line.contains("asked DANA"));
}

#[test]
fn a_payment_that_was_not_executed_is_closed_and_never_sent_again() {
    let (sandbox, envoy) = start();
    put_in_doubt(&sandbox, &envoy, "LOST", false);
    // By the key in the access log, which finds it also before it is counted.
    let key = until("the access log has its key", PATIENCE, || {
        let log = envoy.access_log();
        let mut notes = log.iter().filter_map(|line| line["dana"].as_str());
        let note = notes.find(|note| note.contains("claim=in_doubt"))?;
        note.split(' ').find_map(|field| field.strip_prefix("key=")).map(str::to_owned)
    });
    assert_eq!(key.len(), 40);
    // Not before all has settled down.
    let seen = until("it may be said", PATIENCE, || {
        let seen = resolve(&envoy, &json!(key), &json!({"executed": false}));
        assert!(seen.status == 200 || seen.status == 409, "{seen:?}");
        (seen.status == 200).then_some(seen)
    });
    assert_eq!(seen.json()["after"]["how"], "failed");
    let told = pay(&envoy, "LOST");
    assert_eq!(
        (told.outcome().as_str(), &told.json()["safe_new_key"]),
        ("not_executed", &json!(true))
    );
    assert_eq!(sandbox.requests("secondary", "LOST").len(), 0);
    let again = resolve(&envoy, &json!(key), &json!({"executed": false}));
    assert_eq!((again.status, &again.json()["changed"]), (200, &json!(false)));
    // What had been looked up too early is set right.
    let after_all = resolve(&envoy, &json!(key), &json!({"executed_at": "primary"}));
    assert_eq!((after_all.status, &after_all.json()["overturned"]), (200, &json!(true)));
    assert_eq!(pay(&envoy, "LOST").outcome(), "executed");
}

#[test]
fn a_payment_under_way_and_one_that_nobody_knows_are_refused() {
    let (sandbox, envoy) = start();
    sandbox.fault("primary", &json!({"fault": "slow", "delay_ms": 700, "reference": "FLYING"}));
    let listener = envoy.listener.clone();
    let flying = std::thread::spawn(move || {
        crate::support::client::call_anew(
            &listener,
            crate::support::client::CREATE,
            &crate::support::client::order("FLYING"),
        )
    });
    until("the gateway has it", PATIENCE, || {
        (sandbox.requests("primary", "FLYING").len() == 1).then_some(())
    });
    // Nobody is told its key before it ends, but the gateway: in the `Idempotency-Key`.
    let request = &sandbox.requests("primary", "FLYING")[0];
    let key =
        request["headers"]["idempotency-key"].as_str().map(|key| key.trim_matches('"').to_owned());
    let key = key.unwrap_or_else(|| panic!("{request}"));
    let seen = resolve(&envoy, &json!(key), &json!({"executed": false}));
    assert_eq!(
        (seen.status, &seen.json()["title"]),
        (409, &json!("Payment Is Under Way")),
        "{seen:?}"
    );
    assert_eq!(flying.join().unwrap().status, 200);
    let seen = resolve(&envoy, &json!("ab".repeat(20)), &json!({"executed": false}));
    assert_eq!(seen.status, 404, "{seen:?}");
    let seen = resolve(&envoy, &json!("ab".repeat(16)), &json!({"executed": false}));
    assert_eq!((seen.status, &seen.json()["title"]), (404, &json!("Payment Is Not Listed")));
}

#[test]
fn a_resolution_forgets_nothing_by_the_operators_own_retention() {
    let sandbox = Sandbox::start();
    // All claims in one bucket, which holds more than it was laid out for.
    let small = json!({"idempotency": {"repeat_after_ms": 3_600_000,
                                       "store": {"local": {"claims_max": 16}}}});
    let forgetful = json!({"idempotency": {"retention_s": 1}});
    let config = rendered_apart(&sandbox, &with(quick(), &small), &forgetful);
    let envoy = Envoy::start(&config);
    let paid = |number: u32| pay(&envoy, &format!("PAID-{number}"));
    assert!((0..20).all(|number| paid(number).status == 200));
    put_in_doubt(&sandbox, &envoy, "DOUBT", true);
    let listed = await_list(&envoy, 1);
    pause(Duration::from_millis(1100));
    let seen = resolve(&envoy, &listed[0]["key"], &json!({"executed_at": "primary"}));
    assert_eq!(seen.status, 200, "{seen:?}");
    for number in 0..20 {
        let again = paid(number);
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again:?}");
    }
    assert_eq!(sandbox.requests("primary", "PAID-0").len(), 1);
}
