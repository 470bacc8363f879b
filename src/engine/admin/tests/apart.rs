//! An operators' listener that is configured otherwise than the payments' one: what is shared goes
//! by the payments' settings all the same.

use super::*;
use crate::engine::gateway::Gateways;
use crate::engine::payment::{
    Claim, ClaimKey, ClaimState, Fingerprint, Incarnation, KeyPrefix, Money,
};
use crate::engine::store::{Bucket, Entry};

const FORGETFUL: &str = r#", "testing": {"unsafe_timings": true},
    "idempotency": {"retention_s": 1}, "failback": {"stable_ms": 1, "dwell_ms": 1}"#;

impl Scene {
    fn apart() -> Self {
        let admin = Rc::new(config_with("admin", TWO, FORGETFUL));
        Self { admin, ..Self::new() }
    }
}

/// The payments' retention is a day. Whoever repeats one of these payments must find it.
#[test]
fn a_resolution_forgets_no_other_payment() {
    let mut scene = Scene::apart();
    let key = ClaimKey::derive("partner", "order", ["doubt"]);
    let claim = |state| {
        let incarnation = Incarnation { claimed_at: scene.time(), nonce: 7 };
        let money = Money { minor: 100, currency: *b"IDR" };
        Claim::new(Fingerprint::of_body(&key, b"x"), state, incarnation, money)
    };
    let both: Gateways = scene.policy.order().collect();
    let settled = claim(ClaimState::settled(Gateways::only(scene.id("primary"))));
    let in_doubt = claim(ClaimState::InDoubt {
        candidates: both,
        ended_at: scene.time(),
        repeat_until: None,
        not_found: None,
    });
    let mut bucket = Bucket::default();
    let others: Vec<KeyPrefix> = (0..40).map(|number| [number; 16]).collect();
    let day = scene.policy.config.store.retention;
    for other in &others {
        bucket.put(other, &settled, scene.time(), day).unwrap();
    }
    bucket.put(&key.prefix(), &in_doubt, scene.time(), day).unwrap();
    let cell = Cell::Claims(scene.policy.placement.bucket(key.reference()));
    scene.put(cell, bucket.into_bytes());

    scene.pass(60_000);
    let digits: String = key.to_string().chars().take(40).collect();
    let word = format!(
        r#"{{"key": "{digits}", "executed": false, "evidence": "CASE-7", "reason": "asked DANA"}}"#
    );
    let got = scene.ask("POST", "/resolve", &word);
    assert_eq!(got.status, 200, "{}", got.text);
    let bucket = Bucket::decode(scene.loaded(cell).bytes).unwrap();
    for other in &others {
        assert_eq!(bucket.find(other), Entry::Claim(settled));
    }
    assert!(matches!(bucket.find(&key.prefix()), Entry::Claim(claim) if claim.is_resolved()));
}

/// The payments' failback waits for longer than the operators' one would.
#[test]
fn an_override_switches_nothing_by_the_operators_own_settings() {
    let mut scene = Scene::apart();
    scene.trip("primary");
    for _ in 0..2 {
        scene.pass(20_000);
        scene.beat("primary", true);
        scene.beat("secondary", true);
        let id = scene.id("primary");
        scene.health(|health, policy, now| health.take_permit(id, &policy.health, now));
        scene.report("primary", Signal::Success, true);
    }
    scene.pass(1000);
    let before = scene.get("/status").json();
    assert_eq!(before["active"], "secondary");
    assert_eq!(before["gateways"][0]["usable"], true);

    // There is nothing to lift, so there is nothing to do.
    let stored = scene.loaded(Cell::Health);
    let got = scene.override_of("primary", "auto");
    assert_eq!((got.status, got.changes.as_slice()), (200, [].as_slice()), "{}", got.text);
    assert_eq!(scene.loaded(Cell::Health), stored);

    for (gateway, steer, selection) in [
        ("secondary", "force", json!(["secondary"])),
        ("secondary", "auto", json!(["secondary", "primary"])),
        ("secondary", "drain", json!(["primary"])),
        ("secondary", "auto", json!(["secondary", "primary"])),
    ] {
        let got = scene.override_of(gateway, steer);
        assert_eq!(got.json()["takers"]["gateways"], selection, "{steer}: {}", got.text);
        assert!(matches!(&got.changes[..], [HealthEvent::Override(..)]), "{:?}", got.changes);
    }
    // The payments' leader draws the conclusion.
    scene.override_of("secondary", "drain");
    let switch = scene.health(|health, policy, now| health.update_active(&policy.health, now));
    let (from, to) = (scene.id("secondary"), scene.id("primary"));
    let cause = crate::engine::health::Cause::Override;
    assert_eq!(switch, Some(HealthEvent::Switch { from, to, cause }));
}
