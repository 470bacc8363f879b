//! Listeners in a file that Envoy watches: `envoy/lds`. What is changed by it while payments go on: the
//! operators' token, limits, the module itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{self, CREATE, call_anew, order};
use crate::support::envoy::{
    Envoy, MODULES, TOKEN, admin_plugin, plugin, quick, rendered_from, variant,
};
use crate::support::sandbox::Sandbox;
use crate::support::{module, read, root, until};

const PATIENCE: Duration = Duration::from_secs(15);

/// The files, put together again, on free ports and in front of `sandbox`.
fn files(sandbox: &Sandbox) -> Value {
    let file = |name: &str| -> Value {
        serde_norway::from_str(&read(&root().join("envoy/lds").join(name))).unwrap()
    };
    let (mut config, listeners) = (file("envoy.yaml"), file("listeners.yaml"));
    config["static_resources"]["listeners"] = listeners["resources"].clone();
    rendered_from(variant(config), [&sandbox.primary, &sandbox.secondary], &quick())
}

fn knocks(envoy: &Envoy, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    client::ask("GET", &envoy.operators, "/status", &[("authorization", bearer.as_str())], b"")
        .status
}

#[test]
fn token_limits_and_module_are_changed_by_file_and_claims_stay() {
    let sandbox = Sandbox::start();
    let mut config = files(&sandbox);
    let envoy = Envoy::start_by_files(&config);
    let pay = |reference: &str| call_anew(&envoy.listener, CREATE, &order(reference));
    let first = pay("BEFORE");
    assert_eq!((first.status, knocks(&envoy, TOKEN)), (200, 200));

    // The token.
    let next = "f".repeat(64);
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&next);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    admin_plugin(&mut config)["configuration"]["value"]["admin"]["token_sha256"] = json!(digest);
    assert!(envoy.update(&config), "{}", envoy.log());
    until("the new token opens", PATIENCE, || (knocks(&envoy, &next) == 200).then_some(()));
    until("the old one does not", PATIENCE, || (knocks(&envoy, TOKEN) == 401).then_some(()));
    // Back, for the search at the end.
    let digest = <sha2::Sha256 as sha2::Digest>::digest(TOKEN);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    admin_plugin(&mut config)["configuration"]["value"]["admin"]["token_sha256"] = json!(digest);

    // A limit, and the modules: files of other names, or Envoy sees no difference.
    let dir = tempfile::TempDir::new().unwrap();
    for (plugin, name) in [plugin, admin_plugin].into_iter().zip(MODULES) {
        let newer = dir.path().join(format!("2-{name}"));
        std::fs::copy(module(name), &newer).unwrap();
        let plugin = plugin(&mut config);
        plugin["vm_config"]["code"]["local"]["filename"] = json!(newer);
        plugin["configuration"]["value"]["limits"] = json!({"request_body_bytes_max": 1024});
    }
    assert!(envoy.update(&config), "{}", envoy.log());
    let mut long = order("LONG");
    long["additionalInfo"] = json!({"note": "x".repeat(2000)});
    until("the new limit holds", PATIENCE, || {
        (call_anew(&envoy.listener, CREATE, &long).status == 413).then_some(())
    });
    until("the old token opens again", PATIENCE, || (knocks(&envoy, TOKEN) == 200).then_some(()));
    let again = pay("BEFORE");
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again:?}");
    assert_eq!(again.body, first.body);
    assert_eq!(sandbox.requests("primary", "BEFORE").len(), 1);
    let empty = envoy.log().matches("the claim store is empty").count();
    assert_eq!(empty, 1, "once, at the start");
}

#[test]
fn a_file_with_a_mistake_changes_nothing() {
    let sandbox = Sandbox::start();
    let mut config = files(&sandbox);
    let envoy = Envoy::start_by_files(&config);
    plugin(&mut config)["configuration"]["value"]["breaker"]["open_ms"] = json!("soon");
    assert!(!envoy.update(&config));
    assert!(envoy.log().contains("breaker.open_ms: expected"), "{}", envoy.log());
    assert_eq!(call_anew(&envoy.listener, CREATE, &order("ON")).status, 200);
}
