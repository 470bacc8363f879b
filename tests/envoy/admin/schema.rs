//! What `GET /status` answers is what `docs/status.schema.json` says, no more and no less.

use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, pay};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::operator::post;
use crate::support::sandbox::Sandbox;
use crate::support::schema::{checked, schema};
use crate::support::until;

/// Breakers that move at once, and stay open for a moment.
fn lively() -> Value {
    with(
        quick(),
        &json!({
            "breaker": {"consecutive_failures": 2, "open_ms": 600, "open_ms_max": 600,
                        "open_jitter_pct": 0, "half_open_permits": 2},
            "idempotency": {"store": {"local": {"claims_max": 256}}},
        }),
    )
}

#[test]
fn every_state_of_a_real_envoy_is_described() {
    let (_, validator) = schema();
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &lively()));
    let first = checked(&envoy, &validator);
    assert_eq!((&first["active"], &first["active_since"]), (&json!("primary"), &Value::Null));
    assert_eq!(first["takers"], json!({"gateways": ["primary", "secondary"], "trial": false}));

    // Two payments in doubt are two failures in a row.
    sandbox.fault("primary", &json!({"fault": "reset"}));
    for reference in ["LOST-1", "LOST-2"] {
        assert_eq!(pay(&envoy, reference).status, 504);
    }
    let over = checked(&envoy, &validator);
    assert_eq!(over["active"], "secondary");
    assert!(over["active_since"].is_string());
    let breaker = &over["gateways"][0]["breaker"];
    assert_eq!(breaker["last_transition"]["rule"], "consecutive_failures");
    assert!(over["why"].as_str().unwrap().contains("2 failures in a row (limit 2)"), "{over}");
    let counted = until("both are counted", PATIENCE, || {
        let status = checked(&envoy, &validator);
        (status["in_doubt"]["count"] == 2).then_some(status)
    });
    let sum = json!([{"currency": "IDR", "amount": "20000.00"}]);
    assert_eq!(counted["in_doubt"]["value_at_risk"], sum);

    sandbox.heal("primary");
    let mut states = std::collections::BTreeSet::new();
    let mut number = 0;
    until("it was half-open and is closed", PATIENCE, || {
        number += 1;
        pay(&envoy, &format!("TRIAL-{number}"));
        let status = checked(&envoy, &validator);
        let state = status["gateways"][0]["breaker"]["state"].as_str().unwrap().to_owned();
        states.insert(state.clone());
        (states.contains("half_open") && state == "closed").then_some(())
    });

    let wish = json!({"gateway": "secondary", "steer": "drain", "ttl_s": 60, "reason": "work",
                      "actor": "anna"});
    assert_eq!(post(&envoy, "/override", &wish).status, 200);
    let drained = checked(&envoy, &validator);
    let switches = drained["switches"].as_array().unwrap();
    let first = switches.last().unwrap();
    assert_eq!((&first["kind"], &first["to"]), (&json!("failover"), &json!("secondary")));
    assert_eq!(drained["overrides"][0]["gateway"], "secondary");
    assert_eq!(drained["gateways"][1]["override"]["actor"], "anna");
}

#[test]
fn whatever_is_missing_or_added_is_caught() {
    let (schema, validator) = schema();
    let sandbox = Sandbox::start();
    let config = with(lively(), &json!({"breaker": {"open_ms": 60_000, "open_ms_max": 60_000}}));
    let envoy = Envoy::start(&rendered(&sandbox, &config));
    sandbox.fault("primary", &json!({"fault": "reset"}));
    for reference in ["LOST-1", "LOST-2"] {
        pay(&envoy, reference);
    }
    let wish = json!({"gateway": "secondary", "steer": "force", "ttl_s": 60, "reason": "work",
                      "actor": "anna"});
    assert_eq!(post(&envoy, "/override", &wish).status, 200);
    let status = until("it is all there", Duration::from_secs(10), || {
        let status = checked(&envoy, &validator);
        (status["in_doubt"]["count"] == 2).then_some(status)
    });
    let mut objects = Vec::new();
    walk(&status, String::new(), &mut objects);
    assert!(objects.len() > 15, "{objects:?}");
    for path in &objects {
        let mut more = status.clone();
        more.pointer_mut(path).unwrap()["surplus"] = json!(1);
        assert!(!validator.is_valid(&more), "a surplus member at {path}");
        let names: Vec<String> =
            status.pointer(path).unwrap().as_object().unwrap().keys().cloned().collect();
        // Which numbers a transition has hangs on its rule.
        for name in names.iter().filter(|_| !path.ends_with("/numbers")) {
            let mut less = status.clone();
            less.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(name);
            assert!(!validator.is_valid(&less), "{path} without {name}");
        }
    }
    let mut undescribed = Vec::new();
    describe(&schema, String::new(), &mut undescribed);
    assert!(undescribed.is_empty(), "{undescribed:#?}");
}

/// The places of all objects in a value.
fn walk(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, format!("{path}/{name}"), found);
            }
            found.push(path);
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                walk(item, format!("{path}/{at}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The places of all properties in a schema that are not described there.
fn describe(schema: &Value, path: String, found: &mut Vec<String>) {
    let Some(members) = schema.as_object() else {
        return;
    };
    for (name, property) in
        members.get("properties").and_then(Value::as_object).into_iter().flatten()
    {
        let said = property["description"].is_string() || property["$ref"].is_string();
        if !said {
            found.push(format!("{path}/{name}"));
        }
    }
    for (name, member) in members {
        describe(member, format!("{path}/{name}"), found);
    }
}
