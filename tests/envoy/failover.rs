//! To the secondary and back: in the same request, by the breaker, after healing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{CREATE, Line, call, order};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::{pause, until};

/// Breakers as they are by default, but with short waits.
fn lively() -> Value {
    with(
        quick(),
        &json!({
            "breaker": {
                "consecutive_failures": 5, "failure_rate_pct": 100, "min_calls": 1000,
                "open_ms": 400, "open_ms_max": 400, "open_jitter_pct": 0, "half_open_permits": 2,
            },
            "failback": {"stable_ms": 300, "dwell_ms": 300},
        }),
    )
}

#[test]
fn a_refused_payment_moves_within_its_own_request_with_its_body_intact() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let mut long = order("LONG");
    long["additionalInfo"] = json!({"note": "é\\u00e9 ".repeat(6000)});
    assert_eq!(call(&envoy.listener, CREATE, &order("SHORT")).status, 200);
    sandbox.fault("primary", &json!({"fault": "refuse"}));
    let answer = call(&envoy.listener, CREATE, &long);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-dana-gateway"), Some("secondary"));
    let requests = sandbox.requests("secondary", "LONG");
    let digest = <sha2::Sha256 as sha2::Digest>::digest(long.to_string());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(requests[0]["body_sha256"], json!(digest));
    assert_eq!(requests[0]["body_bytes"], json!(long.to_string().len()));
    assert_eq!(sandbox.executed_at("LONG"), ["secondary"]);
    // Only the gateway that answered holds it: the replay and its repeat know where it is.
    let note = envoy.access_log().pop().unwrap_or_default();
    let note = until("noted", Duration::from_secs(5), || {
        let line = envoy.access_log().pop()?;
        line["dana"].as_str()?.contains("gateway=secondary").then(|| line.clone())
    })["dana"]
        .as_str()
        .unwrap_or_else(|| panic!("{note}"))
        .to_owned();
    assert!(note.contains("claim=settled"), "{note}");
}

#[test]
fn five_failures_in_a_row_switch_and_a_healed_gateway_gets_its_traffic_back() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &lively()));
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400"}));
    for n in 0..5 {
        let answer = call(&envoy.listener, CREATE, &order(&format!("FAIL-{n}")));
        assert_eq!(answer.code(), "5005400", "the {n}th reaches the primary");
    }
    let moved = call(&envoy.listener, CREATE, &order("MOVED"));
    assert_eq!((moved.status, moved.header("x-dana-gateway")), (200, Some("secondary")));
    assert_eq!(envoy.metric("dana_switches_total", "kind=\"failover\""), 1);
    // A rejected payment stays with the gateway that said NO, and waits for it.
    let pinned = call(&envoy.listener, CREATE, &order("FAIL-0"));
    assert_eq!((pinned.status, pinned.outcome().as_str()), (503, "not_executed"));

    sandbox.heal("primary");
    let mut n = 0;
    until("traffic returns", Duration::from_secs(10), || {
        n += 1;
        let answer = call(&envoy.listener, CREATE, &order(&format!("BACK-{n}")));
        assert_eq!(answer.status, 200, "{answer:?}");
        (envoy.metric("dana_switches_total", "kind=\"failback\"") == 1).then_some(())
    });
    let back = call(&envoy.listener, CREATE, &order("HOME"));
    assert_eq!(back.header("x-dana-gateway"), Some("primary"));
    let ledger = sandbox.ledger();
    assert_eq!(ledger["executed_at_both"], 0);
}

#[test]
fn declines_never_trip_and_a_dead_secondary_is_never_chosen() {
    let sandbox = Sandbox::start();
    sandbox.fault("secondary", &json!({"fault": "refuse"}));
    let envoy = Envoy::start_without_heartbeat(&rendered(&sandbox, &lively()));
    until("the primary is up", Duration::from_secs(10), || {
        (envoy.metric("dana_heartbeat_up", "primary") == 1).then_some(())
    });
    sandbox.fault("primary", &json!({"fault": "code", "code": "4035414"}));
    for n in 0..20 {
        let answer = call(&envoy.listener, CREATE, &order(&format!("NO-{n}")));
        assert_eq!(answer.code(), "4035414");
    }
    // The primary wobbles, but not enough to trip: nothing may go to the dead one.
    for n in 0..4 {
        sandbox.fault("primary", &json!({"fault": "reset"}));
        assert_eq!(call(&envoy.listener, CREATE, &order(&format!("WOBBLE-{n}"))).status, 504);
    }
    sandbox.heal("primary");
    assert_eq!(call(&envoy.listener, CREATE, &order("FINE")).status, 200);
    assert_eq!(envoy.metric("dana_breaker_transitions_total", ""), 0);
    assert_eq!(envoy.metric("dana_switches_total", ""), 0);
}

#[test]
fn while_nobody_is_usable_nothing_is_sent() {
    let sandbox = Sandbox::start();
    let closed = json!({"breaker": {"open_ms": 3000, "open_ms_max": 3000}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(lively(), &closed)));
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400"}));
    sandbox.fault("secondary", &json!({"fault": "code", "code": "5005400"}));
    for n in 0..10 {
        assert_eq!(call(&envoy.listener, CREATE, &order(&format!("BOTH-{n}"))).code(), "5005400");
    }
    let none = call(&envoy.listener, CREATE, &order("NONE"));
    assert_eq!((none.status, none.outcome().as_str()), (503, "not_executed"));
    assert_eq!(none.json()["type"], "urn:dana-failover:no_gateway");
    assert_eq!(none.header("retry-after"), Some("3"));
    let sent =
        sandbox.requests("primary", "NONE").len() + sandbox.requests("secondary", "NONE").len();
    assert_eq!(sent, 0);
}

#[test]
fn one_worker_sends_the_heartbeats() {
    let sandbox = Sandbox::start();
    let slower = json!({"heartbeat": {"interval_ms": 200}});
    let _envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &slower)));
    let probes = || sandbox.stats()["primary"]["heartbeats"].as_u64().unwrap();
    let before = probes();
    pause(Duration::from_secs(4));
    let sent = probes() - before;
    // Twenty intervals, give or take; two workers and the main thread would make sixty.
    assert!((12..=26).contains(&sent), "{sent} in 20 intervals");
}

#[test]
fn a_heartbeat_is_good_only_if_it_is_what_was_expected() {
    let heartbeats = |sandbox: &Sandbox| {
        let stats = sandbox.stats();
        let count = |gateway: &str| stats[gateway]["heartbeats"].as_u64().unwrap_or_default();
        count("primary").min(count("secondary"))
    };
    for (expect, up) in [
        (json!({"status": "answered"}), true),
        (json!({"status": 200}), true),
        (json!({"status": 204}), false),
        (json!({"body_contains": "up"}), true),
        (json!({"body_contains": "nobody says this"}), false),
    ] {
        let sandbox = Sandbox::start();
        let changes = with(quick(), &json!({"heartbeat": {"expect": expect}}));
        let envoy = Envoy::start_without_heartbeat(&rendered(&sandbox, &changes));
        until("heartbeats have come often enough", Duration::from_secs(10), || {
            (heartbeats(&sandbox) >= 6).then_some(())
        });
        let shown = |gateway: &str| {
            let text = String::from_utf8(
                crate::support::client::get(&envoy.admin, "/stats/prometheus").body,
            );
            let label = format!("{{gateway=\"{gateway}\"}}");
            let text = text.unwrap();
            ["dana_barred", "dana_heartbeat_up"]
                .iter()
                .all(|name| text.contains(&format!("{name}{label}")))
        };
        assert!(shown("primary") && shown("secondary"), "from the first moment");
        let is_up = || envoy.metric("dana_heartbeat_up", "") == 2;
        if up {
            until("both are up", Duration::from_secs(5), || is_up().then_some(()));
        } else {
            assert!(!is_up(), "{expect}");
        }
    }
}

/// Two hundred payments one after the other, and how many of them the primary got first.
fn by_primary(envoy: &Envoy, name: &str) -> usize {
    let by_primary = |number: &usize| {
        let answer = call(&envoy.listener, CREATE, &order(&format!("{name}-{number}")));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("x-dana-gateway") == Some("primary")
    };
    (0..200).filter(by_primary).count()
}

#[test]
fn a_gateway_that_takes_over_again_gets_its_payments_back_step_by_step() {
    const PATIENCE: Duration = Duration::from_secs(20);
    let sandbox = Sandbox::start();
    let setting = with(lively(), &json!({"failback": {"ramp_ms": 8000}}));
    let envoy = Envoy::start(&rendered(&sandbox, &setting));
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400"}));
    for n in 0..5 {
        call(&envoy.listener, CREATE, &order(&format!("FAIL-{n}")));
    }
    sandbox.heal("primary");
    let mut number = 0;
    until("the primary takes over again", PATIENCE, || {
        number += 1;
        call(&envoy.listener, CREATE, &order(&format!("BACK-{number}")));
        (envoy.metric("dana_switches_total", "kind=\"failback\"") == 1).then_some(())
    });
    // The first steps: a tenth or two of them.
    let early = by_primary(&envoy, "EARLY");
    assert!((1..120).contains(&early), "{early} of 200");
    until("it has all of them again", PATIENCE, || {
        (envoy.metric("dana_ramp_pct", "primary") == 100).then_some(())
    });
    assert_eq!(by_primary(&envoy, "LATE"), 200);
    assert_eq!(sandbox.ledger()["executed_at_both"], 0);
}

/// Two workers, whose ticks are half a second apart: what one writes the other reads before its next.
#[test]
fn what_one_worker_sees_of_a_gateway_all_see_with_their_next_payment() {
    let changes = json!({
        "heartbeat": {"interval_ms": 2000, "stale_ms": 60000},
        "breaker": {"consecutive_failures": 5, "open_ms": 60000, "open_ms_max": 60000},
    });
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &changes)));
    // Enough connections that both workers have some: one in 32,768 times they have not.
    let lines: Vec<Line> = (0..16).map(|_| Line::new()).collect();
    for (number, line) in lines.iter().enumerate() {
        let paid = line.pay(&envoy.listener, &format!("BEFORE-{number}"));
        assert_eq!(paid.header("x-dana-gateway"), Some("primary"), "{paid:?}");
    }
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400"}));
    for number in 0..5 {
        let failed = lines[0].pay(&envoy.listener, &format!("FAILS-{number}"));
        assert_eq!(failed.code(), "5005400", "{failed:?}");
    }
    for (number, line) in lines.iter().enumerate() {
        let moved = line.pay(&envoy.listener, &format!("AFTER-{number}"));
        let seen = (moved.status, moved.header("x-dana-gateway"));
        assert_eq!(seen, (200, Some("secondary")), "connection {number}: {moved:?}");
    }
}
