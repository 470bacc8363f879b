//! Certificates that are replaced while payments are made.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::scene::{Scene, put, put_identity};
use crate::support::client::get;
use crate::support::envoy::Envoy;
use crate::support::tls::Authority;
use crate::support::tls_gateway::{BOTH, Speaks};
use crate::support::{Ends, until};

/// The gateways' authority and all certificates are replaced, one step after the other, and no
/// payment fails: trust first, then what is trusted, then the end of the old trust.
#[test]
fn everything_is_rotated_without_a_failed_payment() {
    let scene = Scene::new();
    let mut config = scene.config(&json!({}));
    for cluster in [0, 1] {
        // Certificates are looked at when a connection is made.
        let options = &mut config["static_resources"]["clusters"][cluster]["typed_extension_protocol_options"]
            ["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
        options["common_http_protocol_options"]["max_requests_per_connection"] = json!(3);
    }
    let envoy = Envoy::start(&config);
    let (paid, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let dir = scene.dir.path();
    std::thread::scope(|scope| {
        let ends = Ends(&stop);
        let payer = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let number = paid.load(Ordering::Relaxed);
                let answer = scene.pay(&envoy, &format!("ROTATE-{number}"));
                // A worker that still had the old trust may have had to move one on.
                assert_eq!(answer.status, 200, "{answer:?}");
                paid.fetch_add(1, Ordering::Relaxed);
            }
        });
        let goes_on = || {
            let (so_far, greeted) = (paid.load(Ordering::Relaxed), scene.primary.handshakes());
            until("payments go on over new connections", Duration::from_secs(20), || {
                assert!(!payer.is_finished(), "a payment failed");
                let paid = paid.load(Ordering::Relaxed) > so_far + 20;
                (paid && scene.primary.handshakes() > greeted + 4).then_some(())
            });
        };
        let taken = |secret: &str, change: &dyn Fn()| {
            // Both clusters have it, or the one listener.
            let (side, users) = if secret == "dana_server" { ("server", 1) } else { ("client", 2) };
            let before = updates(&envoy, side);
            change();
            until(&format!("Envoy has read {secret}"), Duration::from_secs(20), || {
                (updates(&envoy, side) >= before + users).then_some(())
            });
        };
        goes_on();
        // Both sides trust a second authority beside the first.
        let next = Authority::new();
        let both = scene.gateways.certificate() + &next.certificate();
        taken("dana_gateway_ca", &|| put(dir, "gateway_ca.pem", &both));
        goes_on();
        // The gateways show certificates of the new one, and take clients of the new one.
        let accepted = next.certificate();
        for (name, gateway) in [("primary", &scene.primary), ("secondary", &scene.secondary)] {
            let identity = next.vouch_for(&format!("{name}.dana.example"));
            let clients_of = None;
            gateway.speak(&Speaks { identity: &identity, clients_of, versions: BOTH });
        }
        goes_on();
        taken("dana_client", &|| put_identity(dir, "client", &next.vouch_for("merchant.example")));
        goes_on();
        for (name, gateway) in [("primary", &scene.primary), ("secondary", &scene.secondary)] {
            let identity = next.vouch_for(&format!("{name}.dana.example"));
            let clients_of = Some(accepted.as_str());
            gateway.speak(&Speaks { identity: &identity, clients_of, versions: BOTH });
        }
        taken("dana_gateway_ca", &|| put(dir, "gateway_ca.pem", &accepted));
        goes_on();
        // And the certificate that the platform sees.
        taken("dana_server", &|| {
            put_identity(dir, "server", &scene.platform.vouch_for("127.0.0.1"))
        });
        goes_on();
        drop(ends);
        payer.join().unwrap();
    });
    assert!(paid.load(Ordering::Relaxed) > 100);
    assert_eq!(scene.sandbox.ledger()["executed_at_both"], 0);
}

/// How often Envoy has made a new TLS context because of a secret.
fn updates(envoy: &Envoy, side: &str) -> u64 {
    let filter = format!("{side}_ssl_socket_factory.ssl_context_update_by_sds");
    let stats = get(&envoy.admin, &format!("/stats?filter={filter}&format=json")).json();
    let stats = stats["stats"].as_array().cloned().unwrap_or_default();
    stats.iter().filter_map(|stat| stat["value"].as_u64()).sum()
}
