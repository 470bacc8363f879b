//! What is told of each state: as JSON, and on the page.

use super::*;
use crate::engine::health::BreakerState;

fn contains(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text:?} is not on the page:\n{page}");
    }
}

#[test]
fn all_well() {
    let mut scene = Scene::new();
    let status = scene.get("/status").json();
    assert_eq!(
        (&status["now"], &status["version"]),
        (&"2026-09-21T14:13:20.000Z".into(), &status::VERSION.into())
    );
    assert_eq!((&status["active"], &status["active_since"]), (&"primary".into(), &Value::Null));
    assert_eq!(status["why"], "first in the order, and usable");
    assert_eq!(status["takers"], json!({"gateways": ["primary", "secondary"], "trial": false}));
    let primary = &status["gateways"][0];
    assert_eq!(
        primary["breaker"],
        json!({
            "state": "closed", "since": null, "until": null, "generation": 0,
            "consecutive_failures": 0, "permits": null, "last_transition": null,
            "window": {"length_ms": 30_000, "calls": 0, "failures": 0, "slow": 0},
        })
    );
    assert_eq!(
        primary["heartbeat"],
        json!({
            "up": true, "punctuality": "on_time", "last_good": "2026-09-21T14:13:20.000Z",
            "last_good_age_ms": 0,
        })
    );
    let page = scene.page();
    contains(
        &page,
        &["\u{2714} primary", "takes new payments", "in reserve", "closed: traffic flows"],
    );
    assert!(
        !page.contains("<script") && !page.contains("http://") && !page.contains("src="),
        "{page}"
    );
}

#[test]
fn failed_over() {
    let mut scene = Scene::new();
    scene.trip("primary");
    scene.pass(4000);
    scene.beat("secondary", true);
    let status = scene.get("/status").json();
    assert_eq!(
        (&status["active"], &status["active_since"]),
        (&"secondary".into(), &"2026-09-21T14:13:20.000Z".into())
    );
    assert_eq!(status["why"], "primary: its breaker is open: 2 failures in a row (limit 2)");
    let breaker = &status["gateways"][0]["breaker"];
    assert_eq!(
        (&breaker["state"], &breaker["until"]),
        (&"open".into(), &"2026-09-21T14:13:30.000Z".into())
    );
    assert_eq!(
        breaker["last_transition"],
        json!({
            "rule": "consecutive_failures", "numbers": {"failures": 2},
            "sentence": "2 failures in a row (limit 2)",
        })
    );
    contains(
        &scene.page(),
        &[
            "\u{25b2} secondary",
            "open: no trial for 6.0 s",
            "2 failures in a row (limit 2); 4.0 s ago",
            "For 4.0 s, since 2026-09-21 21:13:20 WIB. Behind it is nobody.",
            "not usable",
        ],
    );
}

#[test]
fn on_trial_and_back() {
    let mut scene = Scene::new();
    scene.trip("primary");
    scene.pass(10_000);
    let beat = |scene: &mut Scene| ["primary", "secondary"].map(|name| scene.beat(name, true));
    beat(&mut scene);
    contains(
        &scene.page(),
        &["\u{25b2} secondary", "takes questions, on trial", "the next question may be a trial"],
    );
    scene.pass(5000);
    beat(&mut scene);
    let status = scene.get("/status").json();
    assert_eq!(status["takers"], json!({"gateways": ["primary", "secondary"], "trial": true}));
    contains(
        &scene.page(),
        &["The next one is a trial of primary.", "the next payment may be a trial", "takes trials"],
    );
    let id = scene.id("primary");
    scene.health(|health, policy, now| health.take_permit(id, &policy.health, now));
    let status = scene.get("/status").json();
    assert_eq!(
        status["gateways"][0]["breaker"]["permits"],
        json!({"out": 1, "passed": 0, "max": 2})
    );
    contains(
        &scene.page(),
        &["half-open: 0 of 2 trials passed, 1 under way", "lets trials through only"],
    );
    scene.report("primary", Signal::Success, true);
    scene.report("primary", Signal::Success, true);
    let state = scene.health(|health, _, _| health.member(id).unwrap().breaker.state());
    assert!(matches!(state, BreakerState::Closed { .. }));
    let why = scene.get("/status").json()["why"].clone();
    let why = why.as_str().unwrap();
    assert!(why.starts_with("primary is usable again, and gets payments back once"), "{why}");
}

#[test]
fn nobody_usable() {
    let mut scene = Scene::new();
    scene.trip("primary");
    scene.trip("secondary");
    let status = scene.get("/status").json();
    assert_eq!((&status["active"], &status["takers"]["gateways"]), (&Value::Null, &json!([])));
    contains(&scene.page(), &["\u{2716} nowhere", "answered with 503, and nothing is sent"]);
    scene.pass(60_000);
    let status = scene.get("/status").json();
    assert_eq!(status["takers"], json!({"gateways": ["primary"], "trial": true}));
    assert_eq!(
        status["why"],
        "no gateway is usable, so payments are trials of one that waits long enough"
    );
}

#[test]
fn a_reserve_without_heartbeat_says_what_it_lacks() {
    let mut scene = Scene::new();
    let hindrance =
        |scene: &mut Scene| scene.get("/status").json()["gateways"][1]["hindrance"].clone();
    scene.pass(10_001);
    assert_eq!(hindrance(&mut scene), "its last good heartbeat is too long ago");
    assert_eq!(scene.get("/status").json()["gateways"][1]["heartbeat"]["punctuality"], "silent");
    for _ in 0..3 {
        scene.beat("secondary", false);
    }
    assert_eq!(
        hindrance(&mut scene),
        "its heartbeat is not up, and only the first gateway goes without"
    );
    contains(&scene.page(), &["down, silent; last good one 10.0 s ago"]);
    // Health that was never written.
    scene.store.retain(|cell, _| cell != Cell::Health);
    contains(&scene.page(), &["down, silent; never a good one"]);
}

#[test]
fn what_operators_write_stays_text() {
    let mut scene = Scene::new();
    let reason = r#"<script>alert('x')</script> & \"so on\""#;
    let body = format!(
        r#"{{"gateway": "primary", "steer": "drain", "ttl_s": 60, "reason": "{reason}", "actor": "<b>"}}"#
    );
    assert_eq!(scene.ask("POST", "/override", &body).status, 200);
    let page = scene.page();
    let escaped = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;so on&quot;";
    contains(&page, &[escaped, "&lt;b&gt;", "until 2026-09-21 21:14:20 WIB, 1 min 00 s left"]);
    assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
}

/// Whatever else there is to be usable, `hindrance` has a word for it.
#[test]
fn whoever_is_not_usable_is_told_why() {
    let mut scene = Scene::new();
    scene.override_of("secondary", "drain");
    scene.trip("primary");
    for wait in [0, 5000, 11_000, 70_000] {
        scene.pass(wait);
        for gateway in scene.get("/status").json()["gateways"].as_array().unwrap() {
            assert_eq!(gateway["usable"] == true, gateway["hindrance"].is_null(), "{gateway}");
        }
    }
    let id = scene.id("primary");
    let one = Override {
        gateway: id,
        kind: OverrideKind::Force,
        since: scene.time(),
        until: scene.time().plus(Millis::new(1000)),
        actor: "a".to_owned(),
        reason: "r".to_owned(),
    };
    scene.health(|health, policy, now| health.override_by(one, &policy.health, now)).unwrap();
    contains(
        &scene.page(),
        &["\u{26a0}\u{fe0e} primary", "takes new payments, forced although not usable"],
    );
}

/// Whoever waits long enough and is not tried all the same lacks something else, and it is told.
#[test]
fn what_keeps_a_gateway_from_a_trial_is_named() {
    let opened = || {
        let mut scene = Scene::new();
        scene.trip("primary");
        scene.pass(20_000);
        scene.beat("secondary", true);
        scene
    };
    let told = |scene: &mut Scene, lacks: &str| {
        let status = scene.get("/status").json();
        let hindrance = status["gateways"][0]["hindrance"].as_str().unwrap().to_owned();
        assert!(hindrance.ends_with(lacks), "{hindrance}, not {lacks}");
        let page = scene.page();
        assert!(!page.contains("may be a trial"), "{page}");
        contains(&page, &["\u{2716} open: the wait for a trial is over, but ", lacks]);
    };
    let mut scene = opened();
    told(&mut scene, "it could be tried, but its last good heartbeat is too long ago");
    for _ in 0..3 {
        scene.beat("primary", false);
    }
    told(&mut scene, "it could be tried, but its heartbeat is not up");
    let why = scene.get("/status").json()["why"].clone();
    assert!(why.as_str().unwrap().ends_with("but its heartbeat is not up"), "{why}");

    let mut scene = opened();
    scene.beat("primary", true);
    contains(&scene.page(), &["open: the next payment may be a trial"]);
    let mut counters = crate::engine::health::WorkerCounters::of(1);
    for _ in 0..scene.policy.health.breaker.in_flight_max {
        counters.goes_out(scene.id("primary"), Source::default());
    }
    scene.health(|health, _, now| health.tell_in_flight(&counters, now));
    told(&mut scene, "it could be tried, but as many requests are with it as may be");

    let mut scene = opened();
    scene.beat("primary", true);
    scene.override_of("secondary", "force");
    told(&mut scene, "it could be tried, but another gateway is forced");

    let mut scene = opened();
    scene.beat("primary", true);
    scene.override_of("primary", "drain");
    contains(&scene.page(), &["open: the wait for a trial is over, but it is drained"]);

    // With nobody else, the first that waits long enough is tried.
    let mut scene = opened();
    scene.trip("secondary");
    scene.pass(60_000);
    contains(
        &scene.page(),
        &["open: the next payment may be a trial", "is over, but primary is tried first"],
    );
}
