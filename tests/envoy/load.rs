//! What opens a breaker beside failures: too much under way, over both workers. And what does not:
//! one partner in trouble while others pay.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::client::{CREATE, call, call_anew, order, send};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::{pause, until};

#[test]
fn a_gateway_that_swallows_requests_gets_no_more_than_the_ceiling() {
    let sandbox = Sandbox::start();
    let changes = json!({
        // All 24 must be under way at once, also on a busy machine.
        "timeouts": {"response_ms": 12000, "inquiry_ms": 12000},
        "idempotency": {"lease_ms": 13000},
        "breaker": {"in_flight_max": 8, "half_open_ms_max": 13000},
    });
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &changes)));
    sandbox.fault("primary", &json!({"fault": "hang"}));
    let at = |gateway: &str| {
        (0..24).filter(|n| !sandbox.requests(gateway, &format!("HANG-{n}")).is_empty()).count()
    };
    let statuses: Vec<u16> = thread::scope(|scope| {
        let (envoy, at) = (&envoy, &at);
        let pays = move |n| call_anew(&envoy.listener, CREATE, &order(&format!("HANG-{n}")));
        let paid: Vec<_> = (0..24)
            .map(|n| {
                let paid = scope.spawn(move || pays(n).status);
                // The next one comes when this one is where it goes, and the workers know of it.
                until("it has arrived", Duration::from_secs(5), || {
                    (at("primary") + at("secondary") > n).then_some(())
                });
                until("the workers have told each other", Duration::from_secs(5), || {
                    let known = envoy.metric("dana_in_flight", "gateway=\"primary\"");
                    (known == at("primary") as u64).then_some(())
                });
                paid
            })
            .collect();
        // Long before anything has timed out.
        assert_eq!(envoy.metric("dana_breaker_transitions_total", "rule=\"in_flight\""), 1);
        paid.into_iter().map(|paid| paid.join().unwrap()).collect()
    });
    assert_eq!((at("primary"), at("secondary")), (8, 16));
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 16);
    assert_eq!(sandbox.ledger()["executed_at_both"], 0);
}

#[test]
fn one_partner_in_trouble_does_not_take_the_gateway_from_the_others() {
    let sandbox = Sandbox::start();
    let changes = json!({"breaker": {"consecutive_failures": 3, "window_ms": 60000}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &changes)));
    let pay = |partner: &str, reference: &str| {
        let headers = [("x-partner-id", partner), ("channel-id", "95221")];
        send(&envoy.listener, CREATE, &headers, order(reference).to_string().as_bytes())
    };
    assert_eq!(pay("WELL", "WELL-1").status, 200);
    // Counted with the worker's next tick.
    pause(Duration::from_millis(100));
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005401"}));
    for n in 0..8 {
        assert_eq!(pay("SICK", &format!("SICK-{n}")).code(), "5005401");
    }
    assert_eq!(envoy.metric("dana_breaker_transitions_total", ""), 0);
    // As much of hers counts of the other one's: four.
    for n in 0..2 {
        assert_eq!(pay("ALSO-SICK", &format!("ALSO-{n}")).code(), "5005401", "{n}");
    }
    let rule = "rule=\"consecutive_failures\"";
    assert_eq!(envoy.metric("dana_breaker_transitions_total", rule), 1);
    let moved = call(&envoy.listener, CREATE, &order("MOVED"));
    assert_eq!((moved.status, moved.header("x-dana-gateway")), (200, Some("secondary")));
}
