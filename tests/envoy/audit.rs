//! The audit trail: what stands in it, and that nothing is missing.

use std::time::Duration;

use dana_failover::cli::audit::verify_bytes;
use dana_failover::engine::{Head, Pepper};
use serde_json::{Value, json};

use crate::support::client::{CREATE, STATUS, about, call, order};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::operator::{ask, post};
use crate::support::sandbox::Sandbox;
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(5);

/// The entries that are wanted, once there are so many.
fn entries(envoy: &Envoy, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    until("it is written down", PATIENCE, || {
        let found: Vec<Value> = envoy.entries().into_iter().filter(|entry| wanted(entry)).collect();
        (found.len() >= count).then_some(found)
    })
}

#[test]
fn a_payment_and_its_repeat_and_the_question_for_it_stand_there() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    assert_eq!(call(&envoy.listener, CREATE, &order("ONE")).status, 200);
    assert_eq!(call(&envoy.listener, CREATE, &order("ONE")).status, 200);
    assert_eq!(call(&envoy.listener, STATUS, &about("ONE")).status, 200);
    assert_eq!(call(&envoy.listener, "/nowhere", &order("ONE")).status, 403);
    let found = entries(&envoy, 4, |entry| entry["http"] != Value::Null);
    let by_kind = |kind: &str| found.iter().filter(|entry| entry["e"] == kind).collect::<Vec<_>>();
    let charges = by_kind("charge");
    let paid = charges.iter().find(|entry| entry["do"] == "forward").unwrap();
    for (name, value) in [
        ("who", json!("2025021312345678901234")),
        ("op", json!("create-order")),
        ("ref", json!("ONE")),
        ("amt", json!("10000.00")),
        ("cur", json!("IDR")),
        ("gw", json!("primary")),
        ("code", json!("2005400")),
        ("ev", json!("executed")),
        ("claim", json!("settled")),
        ("http", json!(200)),
    ] {
        assert_eq!(paid[name], value, "{name}: {paid}");
    }
    assert!(paid["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{paid}");
    let repeat = charges.iter().find(|entry| entry["do"] == "replay").unwrap();
    assert_eq!((&repeat["key"], &repeat["claim"]), (&paid["key"], &json!("settled")));
    let asked = by_kind("inquiry");
    assert_eq!((&asked[0]["key"], &asked[0]["ev"]), (&paid["key"], &json!("executed")));
    let refused = by_kind("other");
    assert_eq!((&refused[0]["do"], &refused[0]["http"]), (&json!("unmatched"), &json!(403)));
}

#[test]
fn a_failover_stands_there_with_its_reason_within_a_second() {
    let sandbox = Sandbox::start();
    let lively = json!({"breaker": {"consecutive_failures": 5}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &lively)));
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400"}));
    for number in 0..6 {
        call(&envoy.listener, CREATE, &order(&format!("F{number}")));
    }
    let opened = entries(&envoy, 1, |entry| entry["e"] == "breaker" && entry["to"] == "open");
    assert_eq!(opened[0]["gw"], "primary");
    assert_eq!(opened[0]["rule"], "consecutive_failures");
    assert_eq!(opened[0]["why"], "5 failures in a row (limit 5)");
    let switched = entries(&envoy, 1, |entry| entry["e"] == "switch");
    let names = ["from", "to", "why"].map(|name| switched[0][name].as_str().unwrap());
    assert_eq!(names, ["primary", "secondary", "failover"]);
}

#[test]
fn what_operators_do_stands_there_and_what_they_may_not() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let wish = json!({"gateway": "secondary", "steer": "force", "ttl_s": 60, "reason": "DANA's maintenance", "actor": "anna"});
    assert_eq!(post(&envoy, "/override", &wish).status, 200);
    let stranger = [("authorization", "Bearer nobody")];
    let seen = crate::support::client::ask("GET", &envoy.operators, "/status", &stranger, b"");
    assert_eq!(seen.status, 401);
    assert_eq!(ask(&envoy, "GET", "/status", &[], b"").status, 200);
    let word = entries(&envoy, 1, |entry| entry["e"] == "override" && entry["who"] == "anna");
    assert_eq!(word[0]["why"], "DANA's maintenance");
    assert_eq!((&word[0]["gw"], &word[0]["to"]), (&json!("secondary"), &json!("force")));
    assert_eq!(word[0]["http"], 200);
    let refused = entries(&envoy, 1, |entry| entry["e"] == "refused");
    assert_eq!((refused.len(), &refused[0]["http"]), (1, &json!(401)));
    entries(&envoy, 1, |entry| entry["e"] == "switch" && entry["why"] == "override");
}

/// Everywhere the same: in Envoy's log, for operators, as gauges.
#[test]
fn how_far_the_trail_is_leaves_the_machine() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    for number in 0..4 {
        assert_eq!(call(&envoy.listener, CREATE, &order(&format!("H{number}"))).status, 200);
    }
    let last = entries(&envoy, 4, |entry| entry["e"] == "charge").pop().unwrap();
    // Twice as long as from one publication to the next.
    let heads = until("its head is published", Duration::from_secs(20), || {
        let seen = ask(&envoy, "GET", "/audit/heads", &[], b"");
        assert_eq!(seen.status, 200);
        let text = String::from_utf8(seen.body).unwrap();
        let (writer, number) = (last["w"].as_str().unwrap(), last["n"].as_u64().unwrap());
        let is_there = text.lines().any(|line| {
            let head = Head::parse(line.strip_prefix("audit head ").unwrap()).unwrap();
            head.writer.to_string() == writer && head.number >= number
        });
        is_there.then_some(text)
    });
    let log = until("Envoy's log has them", PATIENCE, || {
        let log = envoy.log();
        heads.lines().all(|line| log.contains(line)).then_some(log)
    });
    for line in heads.lines() {
        assert_eq!(log.matches(line).count(), 1, "{line}: by one worker");
        let head = Head::parse(line.strip_prefix("audit head ").unwrap()).unwrap();
        let place = format!("place=\"{}\"", head.writer.number);
        let gauge = |name| {
            until(name, PATIENCE, || Some(envoy.metric(name, &place)).filter(|value| *value > 0))
        };
        assert_eq!(gauge("dana_audit_entries"), head.number + 1);
        let halves = ["dana_audit_head_high", "dana_audit_head_low"].map(gauge);
        assert_eq!(halves, head.halves());
    }
    let trail = std::fs::read(envoy.trail()).unwrap();
    let verified = verify_bytes(&trail, heads.as_bytes(), b"");
    let found: Vec<_> = verified.findings().filter(|(kind, _)| !kind.is_harmless()).collect();
    assert_eq!(found, []);
    let stranger = crate::support::client::ask("GET", &envoy.operators, "/audit/heads", &[], b"");
    assert_eq!(stranger.status, 401);
    assert_eq!(ask(&envoy, "POST", "/audit/heads", &[], b"").status, 405);
}

/// Whoever reads the trail learns no reference, and who has the pepper finds it.
#[test]
fn references_are_hashed_where_there_is_a_pepper() {
    let sandbox = Sandbox::start();
    let secret = "5e".repeat(32);
    let changes = json!({"audit": {"pepper": secret, "intents": true}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &changes)));
    assert_eq!(call(&envoy.listener, CREATE, &order("HIDDEN-1")).status, 200);
    assert_eq!(call(&envoy.listener, STATUS, &about("HIDDEN-1")).status, 200);
    let found = entries(&envoy, 2, |entry| entry["ref"] != Value::Null);
    let hash = Pepper::parse(&secret).unwrap().hash("HIDDEN-1");
    for entry in &found {
        assert_eq!(entry["ref"], json!(hash), "{entry}");
    }
    let log = until("its intent is told", PATIENCE, || {
        let log = envoy.log();
        log.contains("audit intent").then_some(log)
    });
    assert!(log.contains(&hash) && !log.contains("HIDDEN-1"), "{log}");
    let trail = std::fs::read_to_string(envoy.trail()).unwrap();
    assert!(!trail.contains("HIDDEN-1") && !trail.contains(&secret));
}
