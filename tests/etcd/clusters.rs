//! What the cluster may be called, and what happens where it, or what the filter needs to call it, is
//! missing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::payments::config;
use crate::scene::{PATIENCE, await_joined, pay};
use crate::support::client::{STATUS, about, call_anew};
use crate::support::envoy::{Envoy, plugin};
use crate::support::etcd::Etcd;
use crate::support::now;
use crate::support::sandbox::Sandbox;
use crate::support::until;

/// Names that clusters have. Some of them are, byte by byte, another message than a name, and Envoy
/// aborts on it where the filter leaves the difference to it.
const NAMES: [&str; 10] = [
    "etcd0",
    "etcds",
    "my-etcd",
    "payments-etcd",
    "uetcd",
    "empty",
    "etcd",
    "etcd_grpc",
    "outbound|2379||etcd.payments.svc.cluster.local",
    "a-cluster-whose-name-has-sixty-characters-and-not-one-more-x",
];

/// The filter's configuration, and that of the cluster.
fn named(mut config: Value, name: &str) -> Value {
    let clusters = config["static_resources"]["clusters"].as_array_mut().unwrap();
    let cluster = clusters.last_mut().unwrap();
    assert_eq!(cluster["name"], "dana_etcd");
    cluster["name"] = json!(name);
    // Members are looked at by the cluster's name too, and etcd takes none that is no host's.
    cluster["health_checks"][0]["http_health_check"]["host"] = json!("etcd");
    cluster["load_assignment"]["cluster_name"] = json!(name);
    called(config, name)
}

/// The filter's part alone.
fn called(mut config: Value, name: &str) -> Value {
    let store = &mut plugin(&mut config)["configuration"]["value"]["idempotency"]["store"];
    store["etcd"]["cluster"] = json!(name);
    config
}

/// A charge is refused at once, and an inquiry passes.
fn assert_refuses(sandbox: &Sandbox, envoy: &Envoy, reference: &str) {
    let begin = now();
    let seen = pay(envoy, reference);
    assert_eq!(seen.json()["type"], "urn:dana-failover:claim_store_failed", "{seen:?}");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(sandbox.requests("primary", reference).is_empty());
    call_anew(&envoy.listener, STATUS, &about(reference));
    assert_eq!(sandbox.requests("primary", reference).len(), 1);
}

#[test]
fn a_cluster_may_have_any_name() {
    assert_eq!(NAMES[9].len(), 60);
    let (sandbox, etcd) = (Sandbox::start(), Etcd::start(1));
    let config = config(&sandbox, &etcd, &json!({}));
    for (number, name) in NAMES.into_iter().enumerate() {
        let envoy = Envoy::start_without_heartbeat(&named(config.clone(), name));
        await_joined(&envoy);
        let reference = format!("NAMED-{number}");
        assert_eq!(pay(&envoy, &reference).status, 200, "{name}");
        assert_eq!(sandbox.executed_at(&reference).len(), 1, "{name}");
    }
}

#[test]
fn without_its_cluster_it_refuses_charges_and_lives() {
    let (sandbox, etcd) = (Sandbox::start(), Etcd::start(1));
    let unknown = called(config(&sandbox, &etcd, &json!({})), "nowhere");
    let mut hostless = config(&sandbox, &etcd, &json!({}));
    let clusters = hostless["static_resources"]["clusters"].as_array_mut().unwrap();
    clusters.last_mut().unwrap()["load_assignment"]["endpoints"] = json!([]);
    for (what, config) in [("UNKNOWN", unknown), ("HOSTLESS", hostless)] {
        let envoy = Envoy::start(&config);
        for number in 0..4 {
            assert_refuses(&sandbox, &envoy, &format!("{what}-{number}"));
        }
        until("operators are told", PATIENCE, || {
            envoy.log().contains("the claim store in etcd does not answer").then_some(())
        });
    }
}
