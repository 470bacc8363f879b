//! When the VM dies, Envoy answers by itself. The payment may have been sent by then.

use serde_json::json;

use crate::support::client::{CREATE, call, order};
use crate::support::envoy::{Envoy, plugin, quick, rendered};
use crate::support::module;
use crate::support::sandbox::Sandbox;

#[test]
fn envoys_own_answer_after_a_trap_says_unknown() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    // A module that lets the request go and dies on the answer.
    let code = module("examples/trap.wasm");
    plugin(&mut config)["vm_config"]["code"]["local"]["filename"] = json!(code);
    let envoy = Envoy::start_without_heartbeat(&config);
    let answer = call(&envoy.listener, CREATE, &order("TRAPPED"));
    assert_eq!(sandbox.executed_at("TRAPPED"), ["primary"], "it was sent");
    assert_eq!(answer.status, 504, "{answer:?}");
    assert_eq!(answer.outcome(), "unknown");
    assert_eq!(answer.json()["safe_new_key"], false);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
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
