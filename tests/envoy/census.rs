//! What operators see of the store: claims by state, money at risk, the oldest payment in doubt.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{self, CREATE, STATUS, about, call, order};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(15);

/// A store that takes two ticks to be counted.
fn counted() -> Value {
    with(quick(), &json!({"idempotency": {"store": {"local": {"claims_max": 8192}}}}))
}

/// Whether Envoy shows all of these gauges, labels and values as they are.
fn shows(envoy: &Envoy, gauges: &[&str]) -> bool {
    let text = client::get(&envoy.admin, "/stats/prometheus").body;
    let text = String::from_utf8(text).unwrap();
    gauges.iter().all(|gauge| text.lines().any(|line| line == *gauge))
}

fn await_gauges(envoy: &Envoy, gauges: &[&str]) {
    until(&format!("{gauges:?}"), PATIENCE, || shows(envoy, gauges).then_some(()));
}

#[test]
fn what_is_in_doubt_shows_with_its_value_until_it_is_resolved() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &counted()));
    await_gauges(
        &envoy,
        &["dana_claims{state=\"in_doubt\"} 0", "dana_in_doubt_oldest_seconds{} 0"],
    );

    assert_eq!(call(&envoy.listener, CREATE, &order("PAID")).status, 200);
    let refused = json!({"fault": "code", "code": "4035414", "reference": "REFUSED"});
    sandbox.fault("primary", &refused);
    assert_eq!(call(&envoy.listener, CREATE, &order("REFUSED")).code(), "4035414");
    let references = ["LOST-1", "LOST-2", "LOST-3"];
    for reference in references {
        sandbox.fault("primary", &json!({"fault": "reset", "reference": reference}));
        let mut lost = order(reference);
        if reference == "LOST-3" {
            lost["amount"] = json!({"value": "25.50", "currency": "USD"});
        }
        let seen = call(&envoy.listener, CREATE, &lost);
        assert_eq!((seen.status, seen.outcome().as_str()), (504, "unknown"), "{seen:?}");
        sandbox.fault("primary", &json!({"fault": "none", "reference": reference}));
    }
    await_gauges(
        &envoy,
        &[
            "dana_claims{state=\"in_flight\"} 0",
            "dana_claims{state=\"in_doubt\"} 3",
            "dana_claims{state=\"settled\"} 1",
            "dana_claims{state=\"rejected\"} 1",
            "dana_claims{state=\"closed\"} 0",
            "dana_claims{state=\"unreadable\"} 0",
            "dana_value_at_risk{currency=\"IDR\"} 2000000",
            "dana_value_at_risk{currency=\"USD\"} 2550",
            "dana_in_doubt_unsummed{} 0",
            "dana_store_fill_pct{} 0",
        ],
    );
    until("the oldest one ages", PATIENCE, || {
        (envoy.metric("dana_in_doubt_oldest_seconds", "") >= 2).then_some(())
    });
    let fullest = envoy.metric("dana_store_bucket_fill_pct", "");
    assert!((1..=7).contains(&fullest), "{fullest} percent: five claims, of 64 places");

    // The gateway executed them, and says so when it is asked.
    for reference in references {
        let told = call(&envoy.listener, STATUS, &about(reference));
        assert_eq!(told.json()["latestTransactionStatus"], "00", "{told:?}");
    }
    await_gauges(
        &envoy,
        &[
            "dana_claims{state=\"in_doubt\"} 0",
            "dana_claims{state=\"settled\"} 4",
            "dana_value_at_risk{currency=\"IDR\"} 0",
            "dana_value_at_risk{currency=\"USD\"} 0",
            "dana_in_doubt_oldest_seconds{} 0",
        ],
    );
    assert_eq!(sandbox.ledger()["executed_at_both"], 0);
}

#[test]
fn the_access_log_names_a_claim_so_that_its_record_can_be_found() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &counted()));
    assert_eq!(call(&envoy.listener, CREATE, &order("NAMED")).status, 200);
    let note = until("noted", PATIENCE, || {
        let line = envoy.access_log().pop()?;
        line["dana"].as_str().filter(|note| note.contains("claim=settled")).map(str::to_owned)
    });
    let key = note.rsplit_once("key=").unwrap().1;
    let front = dana_failover::engine::KeyFront::parse(key).unwrap();
    assert!(front.reference().is_some(), "{note}");
    // It is the front of what the gateway saw.
    let seen = sandbox.requests("primary", "NAMED");
    let sent = seen[0]["headers"]["idempotency-key"].as_str().unwrap().to_owned();
    assert!(sent.trim_matches('"').starts_with(key), "{sent} {note}");
}
