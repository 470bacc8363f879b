//! What an SRE meets on the first day: counters that are there, a store that is counted soon and says
//! when it is full, restarts, and which Envoy it is.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::client::{self, CREATE, Seen, call, call_anew, order};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::operator::{ask, get, status};
use crate::support::sandbox::Sandbox;
use crate::support::{now, until};

const PATIENCE: Duration = Duration::from_secs(20);

/// All samples of the filter's counters, but for one: what is known of the gateways is written before
/// the first request, by workers that begin and by heartbeats.
fn counters(envoy: &Envoy) -> BTreeMap<String, u64> {
    let text = client::get(&envoy.admin, "/stats/prometheus").body;
    let text = String::from_utf8(text).unwrap();
    let samples = text.lines().filter(|line| line.starts_with("dana_") && line.contains("_total{"));
    let samples = samples.filter(|line| !line.starts_with("dana_health_writes_total"));
    let samples = samples.filter_map(|line| line.rsplit_once(' '));
    samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

#[test]
fn counters_are_there_with_zero_before_the_first_request() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let before = counters(&envoy);
    assert!(before.values().all(|value| *value == 0), "{before:?}");
    let samples: [(&str, &[&str]); 6] = [
        ("dana_switches_total", &["from=\"primary\"", "to=\"secondary\"", "kind=\"failover\""]),
        ("dana_breaker_transitions_total", &["\"secondary\"", "\"failure_rate\"", "to=\"open\""]),
        ("dana_heartbeat_disagrees_total", &["gateway=\"primary\"", "says=\"down\""]),
        ("dana_overrides_total", &["gateway=\"primary\"", "to=\"drain\""]),
        ("dana_requests_total", &["\"claim_store_full\"", "operation=\"create-order\""]),
        ("dana_requests_total", &["\"settled\"", "\"forward\"", "\"primary\"", "\"create-order\""]),
    ];
    for (name, labels) in samples {
        let has = |sample: &&String| {
            sample.starts_with(name) && labels.iter().all(|label| sample.contains(label))
        };
        assert_eq!(before.keys().filter(has).count(), 1, "{name} {labels:?}");
    }
    println!("{} counters, {} KiB", before.len(), envoy.resident_kib());
    // What happens is counted in one of them.
    assert_eq!(call(&envoy.listener, CREATE, &order("PAID")).status, 200);
    let after = counters(&envoy);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert_eq!(after.values().sum::<u64>(), 1);
}

/// With the heartbeats, and so the ticks, of the default settings.
#[test]
fn a_store_of_the_default_size_is_counted_within_seconds_of_the_start() {
    let sandbox = Sandbox::start();
    let changes = json!({"testing": {"unsafe_timings": true}});
    let envoy = Envoy::start_without_heartbeat(&rendered(&sandbox, &changes));
    let began = now();
    until("it is counted", PATIENCE, || (get(&envoy, "/in-doubt").status == 200).then_some(()));
    // Two a second, 16 of them; and something for a machine that is busy.
    println!("counted {:.1} s after it serves", began.elapsed().as_secs_f64());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let store = status(&envoy)["store"].clone();
    assert_eq!((&store["buckets"], &store["room"]), (&json!(65_536), &json!("enough")));
}

#[test]
fn a_full_store_is_told_everywhere() {
    let sandbox = Sandbox::start();
    // One bucket.
    let small = json!({"idempotency": {"store": {"local": {"claims_max": 16}}}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &small)));
    for number in 0..64 {
        assert_eq!(call(&envoy.listener, CREATE, &order(&format!("KEPT-{number}"))).status, 200);
    }
    for number in 0..3 {
        let seen = call_anew(&envoy.listener, CREATE, &order(&format!("REFUSED-{number}")));
        assert_eq!(seen.json()["type"], "urn:dana-failover:claim_store_full", "{seen:?}");
    }
    let told = until("it is told", PATIENCE, || {
        let status = status(&envoy);
        let is_told = status["refused"][0]["requests"] == 3 && status["store"]["room"] == "none";
        is_told.then_some(status)
    });
    assert_eq!(told["refused"][0]["reason"], "claim_store_full", "{told}");
    assert_eq!(
        (&told["store"]["full_buckets"], &told["store"]["fill_pct"]),
        (&json!(1), &json!(100))
    );
    assert_eq!(envoy.metric("dana_store_fill_pct", ""), 100);
    assert_eq!(envoy.metric("dana_requests_total", "claim_store_full"), 3);
    let log = envoy.log();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("the claim store is full")).collect();
    assert!(lines.len() == 1 && lines[0].contains("lower idempotency.retention_s"));
    let page = ask(&envoy, "GET", "/", &[("accept", "text/html")], b"");
    let page = String::from_utf8(page.body).unwrap();
    assert!(page.contains("3 requests were refused: the claim store has no room."), "{page}");
    assert!(page.contains("a larger claims_max under a new vm_id"), "{page}");
}

#[test]
fn operators_see_at_which_envoy_they_are() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    config["node"] = json!({"id": "dana-7d9f-x2x", "cluster": "shop-egress"});
    let envoy = Envoy::start(&config);
    let told = status(&envoy)["instance"].clone();
    assert_eq!(told, json!({"node": "dana-7d9f-x2x", "cluster": "shop-egress"}));
    // And that this start knows nothing of those before it.
    let log = envoy.log();
    let empty = log.lines().filter(|line| line.contains("the claim store is empty"));
    assert_eq!(empty.count(), 1, "{log}");
}

/// Pays six times with a gateway that takes its time, and ends Envoy meanwhile, as Kubernetes does.
fn end(drains: bool) -> Vec<Seen> {
    const CLIENTS: usize = 6;
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    sandbox.fault("primary", &json!({"fault": "slow", "delay_ms": 700}));
    let active = || envoy.stat("http.dana.downstream_rq_active");
    let answers = std::thread::scope(|scope| {
        let (envoy, pid) = (&envoy, envoy.pid().to_string());
        let pay = |number: usize| {
            move || {
                let body = order(&format!("LAST-{number}")).to_string();
                let bytes = client::bytes(CREATE, &serde_json::from_str(&body).unwrap());
                let text = client::raw(&envoy.listener, &bytes, Duration::from_secs(5));
                let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
                Seen { status: status.unwrap_or(0), headers: Vec::new(), body: Vec::new() }
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(pay(number))).collect();
        until("all are under way", PATIENCE, || (active() == CLIENTS as u64).then_some(()));
        if drains {
            let drained = client::post(&envoy.admin, "/drain_listeners?graceful", &json!({}));
            assert_eq!(drained.status, 200);
            until("nothing is under way", PATIENCE, || (active() == 0).then_some(()));
        }
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    envoy.may_leak();
    answers
}

#[test]
fn who_drains_before_sigterm_loses_no_answer() {
    let answered = |answers: &[Seen]| answers.iter().filter(|seen| seen.status == 200).count();
    let drained = end(true);
    assert_eq!(answered(&drained), 6, "{drained:?}");
    let killed = end(false);
    assert_eq!(answered(&killed), 0, "{killed:?}");
}

/// What a load balancer asks: it must be told to leave before payments are cut off.
#[test]
fn an_envoy_that_is_to_leave_says_that_it_is_not_ready_and_pays_on() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let ready = || client::get(&envoy.operators, "/ready").status;
    assert_eq!(ready(), 200);
    assert_eq!(client::post(&envoy.admin, "/healthcheck/fail", &json!({})).status, 200);
    assert_eq!(ready(), 503);
    assert_eq!(call(&envoy.listener, CREATE, &order("MEANWHILE")).status, 200);
    // Operators are served as ever, and nobody gets in without the token by it.
    assert_eq!(get(&envoy, "/status").status, 200);
    assert_eq!(client::get(&envoy.operators, "/status").status, 401);
    assert_eq!(client::post(&envoy.admin, "/healthcheck/ok", &json!({})).status, 200);
    assert_eq!(ready(), 200);
}
