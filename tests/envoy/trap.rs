//! When the VM dies, Envoy answers by itself. The payment may have been sent by then.

use serde_json::json;

use crate::support::client::{CREATE, call, order};
use crate::support::envoy::{Envoy, MODULES, quick, rendered, trapping};
use crate::support::sandbox::Sandbox;
use crate::support::{module, trapping_module};

#[test]
fn envoys_own_answer_after_a_trap_says_unknown() {
    let sandbox = Sandbox::start();
    sandbox.fault("primary", &json!({"fault": "trap"}));
    let envoy = Envoy::start(&trapping(&sandbox, &quick()));
    let answer = call(&envoy.listener, CREATE, &order("TRAPPED"));
    assert_eq!(sandbox.executed_at("TRAPPED"), ["primary"], "it was sent");
    assert_eq!(answer.status, 504, "{answer:?}");
    assert_eq!(answer.outcome(), "unknown");
    assert_eq!(answer.json()["safe_new_key"], false);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
}

#[test]
fn the_modules_that_are_shipped_have_no_trap() {
    let has_trap = |path: &std::path::Path| {
        let (bytes, marker) = (std::fs::read(path).unwrap(), b"died of x-trap");
        bytes.windows(marker.len()).any(|window| window == marker)
    };
    for name in MODULES {
        assert!(has_trap(&trapping_module(name)), "{name}: the marker is what is looked for");
        assert!(!has_trap(&module(name)), "{name}");
    }
}

#[test]
fn a_request_that_no_filter_decided_goes_nowhere() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    let filters = &mut crate::support::envoy::manager(&mut config)["http_filters"];
    filters.as_array_mut().unwrap().remove(0);
    let envoy = Envoy::start_without_heartbeat(&config);
    let answer = call(&envoy.listener, CREATE, &order("UNDECIDED"));
    assert_eq!((answer.status, answer.outcome().as_str()), (503, "unknown"));
    assert_eq!(sandbox.stats()["primary"]["requests"], 0);
}
