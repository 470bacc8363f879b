//! What a payment leaves in the metrics: how it ended, how long its gateway took, whether it is in doubt.

use std::time::Duration;

use serde_json::json;

use crate::support::client::{self, CREATE, STATUS, about, call, order};
use crate::support::envoy::{Envoy, plugin, quick, rendered, with};
use crate::support::operator::{await_list, post};
use crate::support::sandbox::Sandbox;
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(20);

fn start() -> (Sandbox, Envoy) {
    let sandbox = Sandbox::start();
    let changes = with(quick(), &json!({"timeouts": {"response_ms": 1000}}));
    let mut config = rendered(&sandbox, &changes);
    // Histograms show what was recorded once Envoy has flushed.
    config["stats_flush_interval"] = json!("0.2s");
    let envoy = Envoy::start(&config);
    (sandbox, envoy)
}

fn outcome(envoy: &Envoy, name: &str) -> u64 {
    envoy.metric("dana_requests_total", &format!("outcome=\"{name}\""))
}

fn resolved(envoy: &Envoy, by: &str) -> u64 {
    envoy.metric("dana_doubts_resolved_total", &format!("by=\"{by}\""))
}

#[test]
fn payments_are_counted_by_how_they_end() {
    let (sandbox, envoy) = start();
    assert_eq!(call(&envoy.listener, CREATE, &order("WELL")).status, 200);
    assert_eq!(call(&envoy.listener, CREATE, &order("WELL")).status, 200, "its replay");
    assert_eq!((outcome(&envoy, "executed"), outcome(&envoy, "unknown")), (2, 0));
    sandbox.fault("primary", &json!({"fault": "code", "code": "4035402"}));
    call(&envoy.listener, CREATE, &order("NO"));
    assert_eq!(outcome(&envoy, "declined"), 1);
    sandbox.heal("primary");
    let mut other = order("WELL");
    other["amount"]["value"] = json!("2.00");
    call(&envoy.listener, CREATE, &other);
    assert_eq!(outcome(&envoy, "invalid"), 1);
    // What only asks is not counted so.
    call(&envoy.listener, STATUS, &about("WELL"));
    let all = ["executed", "declined", "invalid", "unavailable", "unknown"];
    assert_eq!(all.map(|name| outcome(&envoy, name)), [2, 1, 1, 0, 0]);
    for gateway in ["primary", "secondary"] {
        sandbox.fault(gateway, &json!({"fault": "refuse"}));
    }
    let answer = call(&envoy.listener, CREATE, &order("NOBODY"));
    assert_eq!((answer.status, outcome(&envoy, "unavailable")), (503, 1), "{answer:?}");
}

#[test]
fn how_long_gateways_take_is_sorted_into_buckets_of_milliseconds() {
    let (sandbox, envoy) = start();
    let taken = |of: &str, labels: &str| {
        let labels = format!("operation=\"create-order\",gateway=\"primary\"{labels}");
        envoy.metric(&format!("dana_gateway_duration_milliseconds_{of}"), &labels)
    };
    assert_eq!((taken("count", ""), taken("bucket", ",le=\"+Inf\"")), (0, 0));
    assert_eq!(call(&envoy.listener, CREATE, &order("QUICK")).status, 200);
    assert_eq!(call(&envoy.listener, CREATE, &order("QUICK")).status, 200, "no gateway took part");
    sandbox.fault("primary", &json!({"fault": "slow", "delay_ms": 400}));
    assert_eq!(call(&envoy.listener, CREATE, &order("SLOW")).status, 200);
    until("both are sorted in", PATIENCE, || (taken("count", "") == 2).then_some(()));
    assert_eq!((taken("bucket", ",le=\"250\""), taken("bucket", ",le=\"1000\"")), (1, 2));
    let text = String::from_utf8(client::get(&envoy.admin, "/stats/prometheus").body).unwrap();
    let is_sum = |line: &&str| {
        line.starts_with("dana_gateway_duration_milliseconds_sum{")
            && line.contains("operation=\"create-order\",gateway=\"primary\"")
    };
    let sum = text.lines().find(is_sum).and_then(|line| line.rsplit(' ').next()).unwrap();
    let sum: f64 = sum.parse().unwrap();
    assert!((400.0..900.0).contains(&sum), "{sum}");
}

#[test]
fn doubts_are_counted_when_they_open_and_by_what_resolves_them() {
    let (sandbox, envoy) = start();
    let opened = || envoy.metric("dana_doubts_opened_total", "gateway=\"primary\"");
    sandbox.fault("primary", &json!({"fault": "reset", "executes": true}));
    for name in ["A", "B"] {
        assert_eq!(call(&envoy.listener, CREATE, &order(name)).outcome(), "unknown");
    }
    assert_eq!((opened(), outcome(&envoy, "unknown")), (2, 2));
    // A repeat, before it may be sent again, changes nothing.
    call(&envoy.listener, CREATE, &order("A"));
    assert_eq!(opened(), 2);
    // The list is a census, made now and then: with one payment in it, it could be from between
    // the two payments and name the wrong one.
    await_list(&envoy, 2);
    sandbox.heal("primary");
    assert_eq!(call(&envoy.listener, STATUS, &about("A")).status, 200);
    assert_eq!((resolved(&envoy, "status"), resolved(&envoy, "operator")), (1, 0));
    let doubts = await_list(&envoy, 1);
    let word = json!({
        "key": doubts[0]["key"], "executed_at": "primary", "evidence": "CASE-7", "reason": "asked DANA",
        "actor": "anna",
    });
    let said = post(&envoy, "/resolve", &word);
    assert_eq!((said.status, resolved(&envoy, "operator")), (200, 1), "{said:?}");
    assert_eq!((opened(), resolved(&envoy, "status")), (2, 1));
}

#[test]
fn which_build_runs_with_which_configuration_is_a_metric() {
    let (_sandbox, envoy) = start();
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(envoy.metric("dana_build_info", &version), 1);
    let at = envoy.metric("dana_config_timestamp_seconds", "");
    let counted = until("the store is counted", PATIENCE, || {
        Some(envoy.metric("dana_census_timestamp_seconds", "")).filter(|counted| *counted > 0)
    });
    assert!(at.abs_diff(counted) < 60, "{at} {counted}");
    let digest = |envoy: &Envoy| envoy.metric("dana_config_digest", "");
    let (_other, otherwise) = {
        let sandbox = Sandbox::start();
        let changes = with(quick(), &json!({"timeouts": {"response_ms": 2000}}));
        let envoy = Envoy::start(&rendered(&sandbox, &changes));
        (sandbox, envoy)
    };
    assert!(digest(&envoy) > 0 && digest(&envoy) != digest(&otherwise));
}

#[test]
fn calls_of_the_host_that_fail_are_counted() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    let withheld = "proxy_set_property";
    let plugin = plugin(&mut config);
    let list = &mut plugin["capability_restriction_config"]["allowed_capabilities"];
    assert!(list.as_object_mut().unwrap().remove(withheld).is_some());
    let envoy = Envoy::start(&config);
    assert_eq!(envoy.metric("dana_host_errors_total", ""), 0);
    assert_eq!(call(&envoy.listener, CREATE, &order("PAID")).status, 200, "it is only a log line");
    // The access log's line, and the audit trail's.
    until("they are counted", PATIENCE, || {
        (envoy.metric("dana_host_errors_total", "") >= 2).then_some(())
    });
    // Its log tells of what is withheld.
    envoy.may_leak();
}

/// Gauges outlive an update: whoever is woken by them must see that a gateway is gone.
#[test]
fn a_gateway_that_is_no_longer_configured_wakes_nobody() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    let envoy = Envoy::start_updatable(&config);
    let configured =
        |gateway: &str| envoy.metric("dana_gateway_configured", &format!("gateway=\"{gateway}\""));
    assert_eq!((configured("primary"), configured("secondary")), (1, 1));
    let settings = &mut plugin(&mut config)["configuration"]["value"];
    settings["gateways"][0]["name"] = json!("first");
    settings["composites"][0]["members"] = json!(["first", "secondary"]);
    settings["composites"][1]["members"] = json!(["secondary", "first"]);
    assert!(envoy.update(&config), "{}", envoy.log());
    until("the update has arrived", PATIENCE, || (configured("first") == 1).then_some(()));
    assert_eq!((configured("primary"), configured("secondary")), (0, 1));
    assert_eq!(envoy.state("dana_override", "primary"), "none");
}
