//! Overrides: what becomes of them, and what is refused.

use super::*;

#[test]
fn a_gateway_is_drained_and_left_to_itself_again() {
    let mut scene = Scene::new();
    let got = scene.override_of("primary", "drain");
    assert_eq!(got.status, 200, "{}", got.text);
    let body = got.json();
    assert_eq!((&body["active"], &body["changed"]), (&"secondary".into(), &true.into()));
    assert_eq!(body["takers"]["gateways"], serde_json::json!(["secondary"]));
    let told = &body["gateway"]["override"];
    assert_eq!((&told["actor"], &told["steer"]), (&"anna".into(), &"drain".into()));
    assert_eq!(body["gateway"]["hindrance"], "drained by anna: planned");
    let primary = scene.id("primary");
    assert_eq!(got.changes, [HealthEvent::Override(primary, Some(OverrideKind::Drain))]);
    assert_eq!(got.told.len(), 1);
    let line: Value = serde_json::from_str(got.told[0].strip_prefix("override ").unwrap()).unwrap();
    assert_eq!((&line["actor"], &line["reason"]), (&"anna".into(), &"planned".into()));
    assert_eq!(line["until"], told["until"]);

    scene.pass(1000);
    let got = scene.override_of("primary", "auto");
    assert_eq!(got.changes, [HealthEvent::Override(primary, None)]);
    let body = got.json();
    assert_eq!(
        (&body["gateway"]["override"], &body["gateway"]["usable"]),
        (&Value::Null, &true.into())
    );
    // Again: there is nothing to be done, and nothing is said to have been.
    let before = scene.loaded(Cell::Health);
    let got = scene.override_of("primary", "auto");
    assert_eq!((got.status, &got.json()["changed"]), (200, &false.into()));
    assert!(got.told.is_empty() && got.changes.is_empty());
    assert_eq!(scene.loaded(Cell::Health), before);
}

#[test]
fn a_gateway_is_forced_whatever_is_known_of_it() {
    let mut scene = Scene::new();
    scene.trip("secondary");
    let got = scene.override_of("secondary", "force");
    let body = got.json();
    assert_eq!((got.status, &body["active"]), (200, &"secondary".into()));
    assert_eq!(body["why"], "forced by anna: planned");
    assert_eq!(body["gateway"]["usable"], false);
    scene.pass(60_000);
    scene.beat("primary", true);
    assert_eq!(scene.get("/status").json()["active"], "primary", "over by itself");
}

#[test]
fn what_would_leave_nobody_is_refused_with_the_way_out() {
    let mut scene = Scene::new();
    scene.trip("secondary");
    let before = scene.loaded(Cell::Health);
    let got = scene.override_of("primary", "drain");
    assert_eq!(got.status, 409);
    let body = got.json();
    assert_eq!(body["type"], "urn:dana-failover:admin:nobody_left");
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("Without primary") && detail.contains("GET /status"), "{detail}");
    assert_eq!(scene.loaded(Cell::Health), before);

    assert_eq!(scene.override_of("primary", "force").status, 200);
    let got = scene.override_of("primary", "drain");
    assert_eq!((got.status, &got.json()["type"]), (409, &"urn:dana-failover:admin:forced".into()));
    assert!(got.told.is_empty() && got.changes.is_empty());
    assert!(!refused_text(crate::engine::health::OverrideError::Ttl).is_empty());
}

fn refused_text(refusal: crate::engine::health::OverrideError) -> String {
    let problem = Problem::Override { refusal, gateway: "primary".to_owned() };
    String::from_utf8(problem.reply().body).unwrap()
}

#[test]
fn a_lost_race_is_decided_anew_and_ends() {
    let mut scene = Scene::new();
    scene.rival = Some((Cell::Health, 3));
    let got = scene.override_of("primary", "drain");
    assert_eq!((got.status, got.told.len()), (200, 1), "{}", got.text);
    let mut scene = Scene::new();
    scene.rival = Some((Cell::Health, 1000));
    let got = scene.override_of("primary", "drain");
    assert_eq!((got.status, &got.json()["title"]), (503, &"Store Is Busy".into()));
    let left = scene.rival.map(|(_, left)| 1000 - left);
    assert_eq!(left, Some(u32::from(limits::STORE_ATTEMPTS_MAX)));
    assert!(got.told.is_empty() && got.changes.is_empty(), "nothing was written");
    assert_eq!(scene.get("/status").json()["overrides"], serde_json::json!([]));
}

#[test]
fn a_barred_gateway_is_shown_not_forced_and_admitted_by_an_operator_alone() {
    use crate::engine::health::Breach;

    let mut scene = Scene::new();
    let primary = scene.id("primary");
    scene
        .health(|health, policy, now| drop(health.bar(primary, Breach::Name, &policy.health, now)));
    let status = scene.get("/status").json();
    let told = &status["gateways"][0];
    assert_eq!(
        (&told["barred"]["why"], &told["usable"]),
        (&"certificate_name".into(), &false.into())
    );
    assert!(told["hindrance"].as_str().unwrap().starts_with("barred until an operator"), "{told}");
    let forced = scene.override_of("primary", "force");
    assert_eq!(
        (forced.status, &forced.json()["type"]),
        (409, &"urn:dana-failover:admin:barred".into())
    );
    assert_eq!(scene.override_of("primary", "auto").json()["changed"], false);
    let body = r#"{"gateway": "primary", "steer": "admit", "reason": "it was our own proxy"}"#;
    let got = scene.ask("POST", "/override", body);
    assert_eq!((got.status, &got.json()["changed"]), (200, &true.into()));
    assert_eq!(got.json()["gateway"]["barred"], Value::Null);
    assert_eq!(got.changes.first(), Some(&HealthEvent::Barred(primary, None)));
    assert!(got.told[0].contains("admit"), "{:?}", got.told);
}
