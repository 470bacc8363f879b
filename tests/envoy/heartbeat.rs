//! Heartbeats against traffic: they say who may take over and argue for a trial, and nothing more.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{CREATE, call, order};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(10);
const FAILURES: usize = 5;

fn lively() -> Value {
    let breaker = json!({
        "consecutive_failures": FAILURES, "open_ms": 400, "open_ms_max": 400,
        "open_jitter_pct": 0, "half_open_permits": 2,
    });
    with(quick(), &json!({"breaker": breaker, "failback": {"stable_ms": 300, "dwell_ms": 300}}))
}

fn heartbeats(sandbox: &Sandbox, gateway: &str) -> u64 {
    sandbox.stats()[gateway]["heartbeats"].as_u64().unwrap()
}

/// Waits for as many heartbeats as would make a gateway up or down several times over.
fn hear_many(sandbox: &Sandbox, gateway: &str) {
    let before = heartbeats(sandbox, gateway);
    until("heartbeats have come", PATIENCE, || {
        (heartbeats(sandbox, gateway) >= before + 12).then_some(())
    });
}

/// Payments alone, or heartbeats alone: a fault for an operation that nobody uses leaves payments
/// as they are.
fn hurt_heartbeats(sandbox: &Sandbox, gateway: &str, mut fault: Value) {
    fault["heartbeats"] = true.into();
    fault["operation"] = "unbind".into();
    sandbox.fault(gateway, &fault);
}

fn paid_by(envoy: &Envoy, reference: &str) -> Option<String> {
    let answer = call(&envoy.listener, CREATE, &order(reference));
    let gateway = answer.header("x-dana-gateway").filter(|_| answer.status == 200);
    gateway.map(str::to_owned)
}

#[test]
fn a_good_heartbeat_closes_no_breaker_that_traffic_opened() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &lively()));
    let moved = |to: &str| {
        let labels = format!("to=\"{to}\"");
        envoy.metric("dana_breaker_transitions_total", &labels)
    };
    let disagrees = |says: &str| {
        let labels = format!("says=\"{says}\"");
        envoy.metric("dana_heartbeat_disagrees_total", &labels)
    };
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400"}));
    for n in 0..FAILURES {
        assert_eq!(paid_by(&envoy, &format!("FAIL-{n}")), None);
    }
    assert_eq!((moved("open"), disagrees("up")), (1, 1), "its heartbeats say that it is well");
    // The wait is over several times, and heartbeats are all there is.
    hear_many(&sandbox, "primary");
    assert_eq!(envoy.metric("dana_heartbeat_up", "primary"), 1);
    assert_eq!(envoy.state("dana_breaker_state", "primary"), "open", "open as before");
    assert_eq!((moved("half_open"), moved("closed")), (0, 0));
    // They argue for a trial. It fails, and what they say has been wrong twice.
    assert_eq!(paid_by(&envoy, "TRIAL-0"), None);
    assert_eq!((moved("half_open"), moved("open"), disagrees("up")), (1, 2, 2));
    assert_eq!(paid_by(&envoy, "MOVED").as_deref(), Some("secondary"));

    // Well again, it takes as many trials as there are permits, and no heartbeat less.
    sandbox.heal("primary");
    hear_many(&sandbox, "primary");
    assert_eq!(paid_by(&envoy, "TRIAL-1").as_deref(), Some("primary"));
    hear_many(&sandbox, "primary");
    assert_eq!(
        (envoy.state("dana_breaker_state", "primary").as_str(), moved("closed")),
        ("half_open", 0)
    );
    assert_eq!(paid_by(&envoy, "TRIAL-2").as_deref(), Some("primary"));
    assert_eq!(
        (envoy.state("dana_breaker_state", "primary").as_str(), moved("closed")),
        ("closed", 1)
    );
    assert_eq!(sandbox.ledger()["executed_at_both"], 0);
}

#[test]
fn a_bad_heartbeat_moves_no_traffic_that_goes_well() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &lively()));
    assert_eq!(paid_by(&envoy, "BEFORE").as_deref(), Some("primary"));
    hurt_heartbeats(&sandbox, "primary", json!({"fault": "html", "status": 503}));
    let mut number = 0;
    until("its heartbeats are bad", PATIENCE, || {
        number += 1;
        assert_eq!(paid_by(&envoy, &format!("WELL-{number}")).as_deref(), Some("primary"));
        (envoy.metric("dana_heartbeat_up", "primary") == 0).then_some(())
    });
    hear_many(&sandbox, "primary");
    for number in 0..20 {
        assert_eq!(paid_by(&envoy, &format!("STILL-{number}")).as_deref(), Some("primary"));
    }
    assert_eq!(envoy.metric("dana_heartbeat_disagrees_total", "says=\"down\""), 1);
    assert_eq!(envoy.metric("dana_breaker_transitions_total", ""), 0);
    assert_eq!(envoy.metric("dana_switches_total", ""), 0);
}

/// It was up, so only what is fresh can tell that it no longer is.
#[test]
fn a_secondary_that_has_fallen_silent_is_never_chosen() {
    let sandbox = Sandbox::start();
    // Slow to call it down, so that it is the stale heartbeat which speaks.
    let changes = json!({"heartbeat": {"stale_ms": 1000, "fall": 100}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(lively(), &changes)));
    let silence = json!({"fault": "hang", "heartbeats": true});
    sandbox.fault("secondary", &silence);
    // While its last good heartbeat is fresh the secondary stands behind the primary.
    let attempts = |reference: &str| {
        let answer = crate::support::client::Line::new().pay(&envoy.listener, reference);
        (answer, envoy.logged(reference)["cluster"].as_str().unwrap().to_owned())
    };
    let mut number = 0;
    until("it is stale", PATIENCE, || {
        number += 1;
        let (answer, cluster) = attempts(&format!("WAIT-{number}"));
        assert_eq!(answer.header("x-dana-gateway"), Some("primary"), "{answer:?}");
        (cluster == "dana_primary").then_some(())
    });
    assert_eq!(envoy.metric("dana_heartbeat_up", "secondary"), 1, "not called down yet");
    // The primary wobbles, in every way.
    for (number, fault) in ["reset", "refuse", "empty", "refuse"].iter().enumerate() {
        sandbox.fault("primary", &json!({"fault": fault}));
        let (answer, cluster) = attempts(&format!("WOBBLE-{number}"));
        let expected = if *fault == "refuse" { (503, "not_executed") } else { (504, "unknown") };
        assert_eq!((answer.status, answer.outcome().as_str()), expected, "{fault}: {answer:?}");
        assert_eq!(cluster, "dana_primary", "{fault}");
    }
    assert_eq!(envoy.metric("dana_switches_total", ""), 0);
    // It fails for good: there is nobody, and nobody gets it.
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400"}));
    assert_eq!(paid_by(&envoy, "LAST"), None);
    let none = call(&envoy.listener, CREATE, &order("NONE"));
    assert_eq!(none.json()["type"], "urn:dana-failover:no_gateway", "{none:?}");
    assert_eq!(envoy.state("dana_breaker_state", "primary"), "open");
    assert_eq!(sandbox.stats()["secondary"]["requests"], 0);
}
