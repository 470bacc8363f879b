//! TLS from end to end, with the reference for production: whatever is wrong with a gateway's
//! channel, no byte of a payment goes there.

mod rotation;
mod scene;

use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::support::client::{CREATE, call, call_as, order};
use crate::support::envoy::{Envoy, quick, rendered_from, tls_reference};
use crate::support::sandbox::Sandbox;
use crate::support::tls::{Authority, Identity};
use crate::support::tls_gateway::{BOTH, ONLY_1_2, ONLY_1_3, OldServer, Speaks, TlsGateway};

use crate::support::{read, root};
use scene::{Scene, put_secrets};

#[test]
fn payments_go_over_tls_and_only_for_whom_the_certificate_names() {
    let scene = Scene::new();
    let envoy = scene.start(&json!({}));
    let first = scene.pay(&envoy, "FIRST");
    assert_eq!((first.status, first.header("x-dana-gateway")), (200, Some("primary")));
    assert!(scene.primary.has_received("FIRST") && !scene.secondary.has_received("FIRST"));
    scene.sandbox.fault("primary", &json!({"fault": "code", "code": "5005401"}));
    let held = scene.pay(&envoy, "HELD");
    assert_eq!(held.code(), "5005401");
    assert!(!scene.secondary.has_received("HELD"));
    assert_eq!(envoy.metric("dana_channel_breaches_total", ""), 0);
    // Nobody else may speak for the partner, and nobody at all without a certificate.
    let stranger = scene.platform.vouch_for("spiffe://platform.example/somebody-else");
    let refused = scene.pay_as(Some(&stranger), &envoy, "STRANGER");
    assert_eq!(refused.status, 403, "{refused:?}");
    let foreign = Authority::new().vouch_for("spiffe://platform.example/payments");
    for nobody in [Some(&foreign), None] {
        assert_eq!(scene.pay_as(nobody, &envoy, "NOBODY").status, 0, "no connection at all");
    }
    for reference in ["STRANGER", "NOBODY"] {
        assert!(!scene.primary.has_received(reference) && !scene.secondary.has_received(reference));
    }
}

/// Payments while the primary's channel is wrong: each moves within its own request.
fn moves_on(scene: &Scene, what: &str, has_received: impl Fn(&str) -> bool) {
    let envoy = scene.start_with_a_dead_primary(&json!({}));
    for number in 0..3 {
        let reference = format!("PAY-{number}");
        let paid = scene.pay(&envoy, &reference);
        assert_eq!(
            (paid.status, paid.header("x-dana-gateway")),
            (200, Some("secondary")),
            "{what}"
        );
        assert!(!has_received(&reference), "{what}: nothing of it in the clear");
        assert_eq!(scene.sandbox.executed_at(&reference), ["secondary"], "{what}");
    }
    assert_eq!(scene.sandbox.requests("primary", "PAY-0").len(), 0);
}

#[test]
fn a_channel_that_is_not_what_it_must_be_is_never_used() {
    let mut scene = Scene::new();
    let others = Authority::new();
    let right = "primary.dana.example";
    for (what, identity) in [
        ("another name", scene.gateways.vouch_for("evil.example")),
        ("the other gateway's name", scene.gateways.vouch_for("secondary.dana.example")),
        ("a certificate that is over", scene.gateways.vouched_for_once(right)),
        ("an authority that nobody knows", others.vouch_for(right)),
    ] {
        let speaks = Speaks { identity: &identity, clients_of: None, versions: BOTH };
        scene.primary = TlsGateway::start(&speaks, &scene.sandbox.primary);
        moves_on(&scene, what, |reference| scene.primary.has_received(reference));
    }
    let old = OldServer::start();
    scene.addresses[0].clone_from(&old.address);
    moves_on(&scene, "TLS 1.1", |reference| old.has_received(reference));
    assert!(old.was_greeted());
    scene.addresses[0].clone_from(&scene.sandbox.primary);
    let stats = || scene.sandbox.stats()["primary"]["requests"].as_u64().unwrap();
    let before = stats();
    moves_on(&scene, "no TLS", |reference| {
        !scene.sandbox.requests("primary", reference).is_empty()
    });
    assert_eq!(stats(), before, "not one request");
}

#[test]
fn a_refused_client_certificate_moves_on_under_tls_1_2_and_is_in_doubt_under_1_3() {
    for (versions, in_doubt) in [(ONLY_1_2, false), (ONLY_1_3, true)] {
        let mut scene = Scene::new();
        let identity = scene.gateways.vouch_for("primary.dana.example");
        let others = Authority::new().certificate();
        let speaks = Speaks { identity: &identity, clients_of: Some(&others), versions };
        scene.primary = TlsGateway::start(&speaks, &scene.sandbox.primary);
        let breaker = json!({"consecutive_failures": 2, "open_ms": 60000, "open_ms_max": 60000});
        let envoy = scene.start_with_a_dead_primary(&json!({"breaker": breaker}));
        for number in 0..2 {
            let paid = scene.pay(&envoy, &format!("PAY-{number}"));
            if in_doubt {
                // Envoy sees the refusal only after it has sent the request.
                assert_eq!((paid.status, paid.outcome().as_str()), (504, "unknown"), "{paid:?}");
            } else {
                assert_eq!(paid.header("x-dana-gateway"), Some("secondary"), "{paid:?}");
            }
            assert!(!scene.primary.has_received("PAY"), "the gateway read nothing of it");
        }
        // It trips all the same, and new payments go to the other one.
        let next = scene.pay(&envoy, "NEXT");
        assert_eq!((next.status, next.header("x-dana-gateway")), (200, Some("secondary")));
        assert_eq!(envoy.state("dana_breaker_state", "primary"), "open");
        assert_eq!(scene.sandbox.ledger()["executed_at_both"], 0);
    }
}

#[test]
fn an_answer_of_somebody_else_bars_the_gateway_until_an_operator_admits_it() {
    // Envoy itself is told to accept another name than the one that the filter was told to expect.
    let scene = Scene::new();
    let identity = scene.gateways.vouch_for("evil.example");
    let speaks = Speaks { identity: &identity, clients_of: None, versions: BOTH };
    let mut config = scene.config(&json!({}));
    let cluster = &mut config["static_resources"]["clusters"][0];
    let context = &mut cluster["transport_socket"]["typed_config"]["common_tls_context"];
    let validation = &mut context["combined_validation_context"]["default_validation_context"];
    validation["match_typed_subject_alt_names"][0]["matcher"]["exact"] = json!("evil.example");
    scene.primary.speak(&speaks);
    let envoy = Envoy::start(&config);
    let paid = scene.pay(&envoy, "DIVERTED");
    assert_eq!((paid.status, paid.outcome().as_str()), (504, "unknown"), "{paid:?}");
    let why = "why=\"certificate_name\"";
    assert_eq!(envoy.metric("dana_channel_breaches_total", why), 1);
    assert_eq!(envoy.metric("dana_barred", "primary"), 1);
    // The very next one, and every one after it.
    for number in 0..10 {
        let paid = scene.pay(&envoy, &format!("NEXT-{number}"));
        assert_eq!((paid.status, paid.header("x-dana-gateway")), (200, Some("secondary")));
    }
    assert!(!scene.primary.has_received("NEXT"));
    // Not even the status of the payment is asked for there.
    let told = scene.ask(&envoy, "DIVERTED");
    assert_ne!(told.header("x-dana-gateway"), Some("primary"), "{told:?}");
    assert_eq!(told.outcome(), "unknown", "{told:?}");
    assert_eq!(scene.sandbox.ledger()["executed_at_both"], 0);
}

#[test]
fn the_throw_away_certificates_are_those_that_the_reference_and_the_sandbox_expect() {
    let dir = TempDir::new().unwrap();
    let made = Command::new(root().join("envoy/certs.sh")).arg(dir.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let pem = |name: &str| read(&dir.path().join(name));
    put_secrets(dir.path());
    let sandbox = Sandbox::start_with(&["--tls", dir.path().to_str().unwrap()]);
    let gateways = [sandbox.primary.as_str(), sandbox.secondary.as_str()];
    let mut config = rendered_from(tls_reference(), gateways, &quick());
    let listener = &mut config["static_resources"]["listeners"][0];
    listener["address"]["socket_address"]["address"] = json!("127.0.0.1");
    let config = config.to_string().replace("/etc/envoy/sds", &dir.path().to_string_lossy());
    // Both heartbeats are up: names, authorities and client certificates fit each other.
    let envoy = Envoy::start(&serde_json::from_str(&config).unwrap());
    // The certificate speaks for another partner than this one; so nothing is sent.
    let merchant = Identity { certificate: pem("platform.pem"), key: pem("platform.key") };
    let authority = pem("platform_ca.pem");
    let pay = |who| call_as(who, &authority, &envoy.listener, CREATE, &order("OTHER")).status;
    assert_eq!((pay(Some(&merchant)), pay(None)), (403, 0));
    // Its gateways serve whom their authority vouches for, nobody else, and nobody in the clear.
    let gateway = |who, reference: &str| {
        let authority = pem("gateway_ca.pem");
        call_as(who, &authority, &sandbox.primary, CREATE, &order(reference)).status
    };
    let client = Identity { certificate: pem("client.pem"), key: pem("client.key") };
    assert_eq!(gateway(Some(&client), "OWN"), 200);
    assert_eq!((gateway(Some(&merchant), "OTHER"), gateway(None, "OTHER")), (0, 0));
    assert_eq!(call(&sandbox.primary, CREATE, &order("OTHER")).status, 0);
    assert!(sandbox.requests("primary", "OTHER").is_empty());
}
