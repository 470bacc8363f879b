//! A configuration with a mistake must not start, and Envoy's log must say which field it is, what
//! was found there and what was expected.

use serde_json::{Value, json};

use crate::support::envoy::{plugin, rendered, validate};
use crate::support::sandbox::Sandbox;

/// The change, and what the log must say.
fn gateways() -> Vec<(Value, &'static str)> {
    let gateway = |name: &str, cluster: &str| json!({"name": name, "cluster": cluster});
    let first = gateway("primary", "dana_primary");
    vec![
        (json!({"gateways": null}), "gateways: expected a list, found null"),
        (json!({"gateways": [first]}), "gateways: expected 2 to 16 gateways, found 1"),
        (
            json!({"gateways": [first, {"name": "secondary"}]}),
            "gateways[1].cluster: expected the name of an Envoy cluster, found nothing",
        ),
        (
            json!({"gateways": [first, gateway("primary", "other")]}),
            "gateways[1].name: expected a name of its own, found primary",
        ),
        (
            json!({"gateways": [first, gateway("reserve", "dana_primary")]}),
            "gateways[1].cluster: expected a cluster of its own, found dana_primary",
        ),
        (
            json!({"gateways": [first, gateway("no spaces", "x")]}),
            "gateways[1].name: expected a name of 1 to 32 letters, digits, - or _, found \"no spaces\"",
        ),
        (
            json!({"composites": [{"members": ["primary", "tertiary"], "cluster": "c"}]}),
            "composites[0].members[1]: expected the name of one of gateways, found tertiary",
        ),
        (
            json!({"composites": [{"members": ["primary", "secondary"], "cluster": "dana_primary"}]}),
            "composites[0].cluster: expected another cluster than any gateway's own, found dana_primary",
        ),
    ]
}

fn limits() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({"breaker": {"consecutive_failure": 3}}),
            "the unknown field \"consecutive_failure\" (3)",
        ),
        (json!({"retries": 3}), "retries: expected one of "),
        (
            json!({"breaker": {"failure_rate_pct": 150}}),
            "breaker.failure_rate_pct: expected a whole number from 1 to 100, found 150",
        ),
        (
            json!({"breaker": {"open_ms": "10s"}}),
            "breaker.open_ms: expected a whole number from 1000 to 3600000, found \"10s\"",
        ),
        (
            json!({"breaker": {"open_ms": 20000, "open_ms_max": 10000}}),
            "breaker.open_ms_max: expected at least breaker.open_ms (20000), found 10000",
        ),
        (
            json!({"timeouts": {"response_ms": 3000}}),
            "timeouts.response_ms: expected a whole number from 8000 to 120000, found 3000",
        ),
        (
            json!({"timeouts": {"response_ms": 40000}}),
            "idempotency.lease_ms: expected more than the longest of timeouts (40000 ms), found 30000",
        ),
        (
            json!({"idempotency": {"retention_s": 1.5}}),
            "idempotency.retention_s: expected a whole number from 3600 to 2592000, found 1.5",
        ),
        (
            json!({"idempotency": {"store": {"local": {"claims_max": 1}}}}),
            "idempotency.store.local.claims_max: expected a whole number from 16 to 16777216, found 1",
        ),
        (
            json!({"idempotency": {"store": {"redis": {}}}}),
            "idempotency.store.redis: expected one of local, etcd, found the unknown field \"redis\"",
        ),
        (
            json!({"heartbeat": {"interval_ms": 10000, "stale_ms": 5000}}),
            "heartbeat.stale_ms: expected more than heartbeat.interval_ms (10000), found 5000",
        ),
        (
            json!({"heartbeat": {"path": "health"}}),
            "heartbeat.path: expected a path that begins with /",
        ),
        (
            json!({"heartbeat": {"method": "POST"}}),
            "heartbeat.method: expected \"GET\" or \"HEAD\"",
        ),
    ]
}

fn words() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({"protocol": "soap"}),
            "protocol: expected \"dana-snap\" or \"http\", found \"soap\"",
        ),
        (json!({"protocol": "http"}), "operations: expected at least one operation"),
        (
            json!({"unmatched": "allow"}),
            "unmatched: expected \"refuse\" or \"pass\", found \"allow\"",
        ),
        (
            json!({"route_header": "X-Dana-Cluster"}),
            "route_header: expected a header name in lower case, found \"X-Dana-Cluster\"",
        ),
        (
            json!({"testing": {"unsafe_timings": "yes"}}),
            "testing.unsafe_timings: expected true or false, found \"yes\"",
        ),
        (
            json!({"operations": [{"name": "pay", "path": "/pay", "class": "payment"}]}),
            "operations[0].class: expected \"charge\" or \"follow-up\" or \"inquiry\" or \"state\"",
        ),
        (
            json!({"operations": [{"name": "pay", "path": "/pay", "class": "charge"}]}),
            "operations[0]: expected a namespace for an operation that moves money",
        ),
    ]
}

#[test]
fn envoy_refuses_to_start_and_says_what_is_wrong() {
    let sandbox = Sandbox::start();
    let (accepted, log) = validate(&rendered(&sandbox, &json!({})));
    assert!(accepted, "the reference configuration itself: {log}");
    let mut wrong = Vec::new();
    for (change, expected) in [gateways(), limits(), words()].concat() {
        let (accepted, log) = validate(&rendered(&sandbox, &change));
        if accepted || !log.contains(expected) {
            wrong.push(format!("{change}\n  expected {expected}\n  log: {log}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn text_that_is_no_configuration_is_refused_with_line_and_column() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &json!({}));
    plugin(&mut config)["configuration"] = json!({
        "@type": "type.googleapis.com/google.protobuf.StringValue",
        "value": "{\"gateways\": [}",
    });
    let (accepted, log) = validate(&config);
    assert!(!accepted);
    assert!(log.contains("expected JSON in a StringValue, or a Struct"), "{log}");
    assert!(log.contains("line 1 column 15"), "{log}");
}

#[test]
fn the_same_configuration_may_come_as_json() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &json!({}));
    let value = plugin(&mut config)["configuration"]["value"].to_string();
    plugin(&mut config)["configuration"] = json!({
        "@type": "type.googleapis.com/google.protobuf.StringValue",
        "value": value,
    });
    let (accepted, log) = validate(&config);
    assert!(accepted, "{log}");
}
