//! Overrides: they move payments on every worker, end by themselves, outlive what claims outlive,
//! and change no claim.

use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, kill_both_workers, pay, start};
use crate::support::client::{CANCEL, Line, STATUS, Seen, about, call_anew};
use crate::support::envoy::{Envoy, plugin, quick, rendered, rendered_apart, trapping, with};
use crate::support::operator::{post, status};
use crate::support::sandbox::Sandbox;
use crate::support::{pause, until};

fn steer(envoy: &Envoy, gateway: &str, steer: &str, ttl_s: u64) -> Seen {
    let mut wish =
        json!({"gateway": gateway, "steer": steer, "reason": "planned work", "actor": "anna"});
    if steer != "auto" {
        wish["ttl_s"] = json!(ttl_s);
    }
    post(envoy, "/override", &wish)
}

/// Where so many payments go, which come over connections of their own to both workers.
fn goes(sandbox: &Sandbox, envoy: &Envoy, kind: &str) -> Vec<String> {
    let mut places: Vec<String> = (0..12)
        .flat_map(|number| {
            let reference = format!("{kind}-{number}");
            let seen = pay(envoy, &reference);
            assert_eq!(seen.status, 200, "{seen:?}");
            sandbox.executed_at(&reference)
        })
        .collect();
    places.sort();
    places.dedup();
    places
}

#[test]
fn payments_go_where_operators_say_on_every_worker() {
    let (sandbox, envoy) = start();
    assert_eq!(goes(&sandbox, &envoy, "BEFORE"), ["primary"]);
    assert_eq!(steer(&envoy, "primary", "drain", 60).status, 200);
    assert_eq!(goes(&sandbox, &envoy, "DRAINED"), ["secondary"]);
    let refused = steer(&envoy, "secondary", "drain", 60);
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("no gateway would be left"));
    assert_eq!(goes(&sandbox, &envoy, "STILL"), ["secondary"]);

    assert_eq!(steer(&envoy, "primary", "force", 60).status, 200);
    assert_eq!(goes(&sandbox, &envoy, "FORCED"), ["primary"]);
    assert_eq!(steer(&envoy, "secondary", "force", 60).status, 200);
    assert_eq!(goes(&sandbox, &envoy, "FORCED-AWAY"), ["secondary"]);
    assert_eq!(steer(&envoy, "secondary", "auto", 0).status, 200);
    assert_eq!(status(&envoy)["overrides"], json!([]));

    let metric = |labels: &str| envoy.metric("dana_overrides_total", labels);
    assert_eq!((metric("to=\"drain\""), metric("to=\"auto\"")), (1, 1));
    assert_eq!(metric("to=\"force\""), 2);
    assert_eq!(envoy.state("dana_override", "secondary"), "none");
    let log = envoy.log();
    let line = log.lines().find(|line| line.contains("dana: override {")).unwrap();
    let told = &line[line.find('{').unwrap()..];
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!((&told["actor"], &told["reason"]), (&json!("anna"), &json!("planned work")));
    assert_eq!((&told["gateway"], &told["steer"]), (&json!("primary"), &json!("drain")));
}

#[test]
fn an_override_ends_by_itself() {
    let (sandbox, envoy) = start();
    assert_eq!(steer(&envoy, "secondary", "force", 1).status, 200);
    assert_eq!(envoy.state("dana_override", "secondary"), "force");
    assert_eq!(status(&envoy)["active"], "secondary");
    until("it is over", PATIENCE, || (status(&envoy)["overrides"] == json!([])).then_some(()));
    until("its end is told", PATIENCE, || {
        (envoy.metric("dana_overrides_total", "to=\"auto\"") == 1).then_some(())
    });
    assert_eq!(envoy.state("dana_override", "secondary"), "none");
    // Nobody is forced any more: each may take what another one cannot.
    sandbox.fault("secondary", &json!({"fault": "refuse"}));
    assert_eq!(goes(&sandbox, &envoy, "AFTER"), ["primary"]);
}

#[test]
fn what_is_shared_goes_by_the_payments_settings() {
    let sandbox = Sandbox::start();
    let manual = with(quick(), &json!({"failback": {"policy": "manual"}}));
    let eager = json!({"failback": {"policy": "auto", "stable_ms": 1, "dwell_ms": 1}});
    let envoy = Envoy::start(&rendered_apart(&sandbox, &manual, &eager));
    assert_eq!(steer(&envoy, "secondary", "force", 60).status, 200);
    let switches = |kind: &str| envoy.metric("dana_switches_total", &format!("kind=\"{kind}\""));
    until("the payments' filter switches", PATIENCE, || (switches("override") == 1).then_some(()));
    assert_eq!(steer(&envoy, "secondary", "auto", 0).status, 200);
    assert_eq!(goes(&sandbox, &envoy, "STAYS"), ["secondary"]);
    let seen = steer(&envoy, "primary", "auto", 0);
    assert_eq!((seen.status, &seen.json()["changed"]), (200, &json!(false)));
    assert_eq!(seen.json()["active"], "secondary", "{seen:?}");
    assert_eq!(goes(&sandbox, &envoy, "STILL"), ["secondary"]);
    assert_eq!(switches("failback"), 0);
}

#[test]
fn a_drained_gateway_keeps_what_it_holds() {
    let (sandbox, envoy) = start();
    assert_eq!(pay(&envoy, "HELD").status, 200);
    sandbox.fault("primary", &json!({"fault": "reset", "reference": "DOUBT", "count": 1}));
    assert_eq!(pay(&envoy, "DOUBT").status, 504);
    assert_eq!(steer(&envoy, "primary", "drain", 60).status, 200);
    for (path, code) in [(STATUS, "2005500"), (CANCEL, "2005700")] {
        let seen = call_anew(&envoy.listener, path, &about("HELD"));
        assert_eq!(seen.code(), code, "{seen:?}");
        assert_eq!(seen.header("x-dana-gateway"), Some("primary"));
    }
    // The repeat of a payment in doubt waits until the drain is over, and goes nowhere else.
    pause(Duration::from_millis(400));
    let repeat = pay(&envoy, "DOUBT");
    assert_eq!((repeat.status, repeat.outcome().as_str()), (504, "unknown"), "{repeat:?}");
    assert!(repeat.header("retry-after").is_some(), "{repeat:?}");
    assert_eq!(sandbox.requests("primary", "DOUBT").len(), 1);
    assert_eq!(goes(&sandbox, &envoy, "NEW"), ["secondary"]);
    assert_eq!(steer(&envoy, "primary", "auto", 0).status, 200);
    until("the repeat settles it", PATIENCE, || (pay(&envoy, "DOUBT").status == 200).then_some(()));
    assert_eq!(sandbox.executed_at("DOUBT"), ["primary"]);
    assert_eq!(sandbox.requests("secondary", "DOUBT").len(), 0);
    assert_eq!(sandbox.ledger()["executed_at_both"], 0);
}

#[test]
fn overrides_outlive_an_update_of_the_listeners() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    let envoy = Envoy::start_updatable(&config);
    assert_eq!(steer(&envoy, "primary", "drain", 600).status, 200);
    let asks = || call_anew(&envoy.listener, "/nothing", &json!({})).status;
    assert_eq!(asks(), 403);
    plugin(&mut config)["configuration"]["value"]["operations"] =
        json!([{"name": "nothing", "path": "/nothing", "class": "inquiry"}]);
    assert!(envoy.update(&config), "{}", envoy.log());
    // Only the new configuration lets it through, and the old one is no longer asked.
    until("both workers have the update", PATIENCE, || {
        (0..12).all(|_| asks() != 403).then_some(())
    });
    assert_eq!(goes(&sandbox, &envoy, "UPDATED"), ["secondary"]);
    assert_eq!(status(&envoy)["overrides"][0]["gateway"], "primary");
}

#[test]
fn overrides_outlive_the_filter_on_both_workers() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&trapping(&sandbox, &quick()));
    assert_eq!(steer(&envoy, "primary", "drain", 600).status, 200);
    kill_both_workers(&sandbox, &envoy, "secondary");
    let mut number = 0;
    until("both are back", PATIENCE, || {
        number += 1;
        let served = |at: u32| pay(&envoy, &format!("BACK-{number}-{at}")).status == 200;
        (0..6).all(served).then_some(())
    });
    assert_eq!(goes(&sandbox, &envoy, "REBORN"), ["secondary"]);
    assert_eq!(status(&envoy)["overrides"][0]["reason"], "planned work");
}

/// What an operator steers is seen by each worker before its next tick, which is half a second away.
#[test]
fn the_next_payment_of_each_worker_goes_where_it_is_steered() {
    let sandbox = Sandbox::start();
    let changes = json!({"heartbeat": {"interval_ms": 2000, "stale_ms": 60000}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &changes)));
    let lines: Vec<Line> = (0..16).map(|_| Line::new()).collect();
    for (number, line) in lines.iter().enumerate() {
        let paid = line.pay(&envoy.listener, &format!("BEFORE-{number}"));
        assert_eq!(paid.header("x-dana-gateway"), Some("primary"), "{paid:?}");
    }
    assert_eq!(steer(&envoy, "primary", "drain", 60).status, 200);
    for (number, line) in lines.iter().enumerate() {
        let reference = format!("AFTER-{number}");
        let paid = line.pay(&envoy.listener, &reference);
        assert_eq!(paid.header("x-dana-gateway"), Some("secondary"), "{paid:?}");
        assert_eq!(sandbox.executed_at(&reference), ["secondary"]);
    }
}
