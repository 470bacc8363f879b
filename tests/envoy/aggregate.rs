//! `envoy/aggregate.yaml`, for an Envoy without composite clusters: payments move on as they do with those, and
//! no further. `make test-matrix` runs all other tests on it too.

use std::time::Duration;

use serde_json::{Value, json};

use dana_failover::cli::check;

use crate::support::client::{CREATE, call, order};
use crate::support::envoy::{Envoy, file, quick, rendered_from, with_aggregates};
use crate::support::sandbox::Sandbox;
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(10);

fn config(sandbox: &Sandbox) -> Value {
    let gateways = [sandbox.primary.as_str(), sandbox.secondary.as_str()];
    rendered_from(with_aggregates(file("envoy.yaml")), gateways, &quick())
}

#[test]
fn the_pieces_fit_and_nothing_in_them_is_dangerous() {
    for name in ["envoy.yaml", "tls.yaml"] {
        let whole = with_aggregates(file(name)).to_string();
        let told = String::from_utf8(check::told(name, whole.as_bytes()).unwrap()).unwrap();
        let findings = told.replace(' ', "");
        for severity in ["error", "warning"] {
            assert!(!findings.contains(&format!("\"severity\":\"{severity}\"")), "{told}");
        }
        assert!(findings.contains("\"severity\":\"note\""), "{told}");
        assert!(told.contains("claim store of vm_id \"dana\""), "it was read whole: {told}");
    }
}

#[test]
fn a_payment_moves_on_while_nobody_has_it_and_stays_once_somebody_may() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&config(&sandbox));
    let pay = |reference: &str| call(&envoy.listener, CREATE, &order(reference));
    assert_eq!(pay("WELL").header("x-dana-gateway"), Some("primary"));

    // Read, and perhaps executed: nobody else gets it.
    for (reference, fault) in [
        ("RESET", json!({"fault": "reset", "executes": true})),
        ("CLOSED", json!({"fault": "close", "executes": true})),
        ("BAD", json!({"fault": "html", "status": 502})),
    ] {
        sandbox.fault("primary", &fault);
        assert_eq!(pay(reference).outcome(), "unknown", "{reference}");
        assert_eq!(sandbox.requests("primary", reference).len(), 1, "{reference}");
        assert_eq!(sandbox.requests("secondary", reference).len(), 0, "{reference}");
        sandbox.heal("primary");
    }

    // Not even connected: the other one gets it within the same request, once.
    sandbox.fault("primary", &json!({"fault": "refuse"}));
    let moved = pay("MOVED");
    assert_eq!((moved.status, moved.header("x-dana-gateway")), (200, Some("secondary")));
    assert_eq!(sandbox.requests("secondary", "MOVED").len(), 1);
    let line = until("it was tried twice", PATIENCE, || {
        envoy.access_log().into_iter().find(|line| line["attempts"] == 2)
    });
    assert_eq!(line["cluster"], "dana_primary_first");
    assert_eq!(sandbox.ledger()["executed_at_both"], 0);
}
