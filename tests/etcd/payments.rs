//! Payments through a real Envoy whose claims stand in a real etcd.

use serde_json::{Value, json};

use crate::support::client::{CREATE, Seen, call, order};
use crate::support::envoy::{Envoy, plugin, quick, rendered, with};
use crate::support::etcd::Etcd;
use crate::support::etcd::cluster::CAPABILITIES;
use crate::support::sandbox::Sandbox;
use crate::support::until;

use std::time::Duration;

/// Longer than anything takes, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration whose claims stand in `etcd`.
pub(crate) fn config(sandbox: &Sandbox, etcd: &Etcd, changes: &Value) -> Value {
    let mut config = rendered(sandbox, &with(quick(), changes));
    etcd.keep_claims_of(&mut config);
    config
}

/// Pays until the store has been joined.
pub(crate) fn pay(envoy: &Envoy, reference: &str) -> Seen {
    until("it is paid", PATIENCE, || {
        let seen = call(&envoy.listener, CREATE, &order(reference));
        (seen.status == 200).then_some(seen)
    })
}

#[test]
fn a_payment_is_claimed_in_etcd_and_another_envoy_knows_it() {
    let (sandbox, etcd) = (Sandbox::start(), Etcd::start(3));
    let config = config(&sandbox, &etcd, &json!({}));
    let (one, other) = (Envoy::start(&config), Envoy::start(&config));
    let paid = pay(&one, "r-1");
    assert_eq!(paid.code(), "2005400");
    assert_eq!(sandbox.executed_at("r-1"), ["primary"]);
    let settled = etcd.list("/dana/v1/test/s/");
    assert_eq!(settled.len(), 1, "{settled:?}");
    assert_ne!(settled[0].lease, 0, "it ends with its retention");
    assert!(etcd.list("/dana/v1/test/o/").is_empty());
    // The same again, and through the other one, which has no answer of its own.
    let again = call(&one.listener, CREATE, &order("r-1"));
    assert_eq!((again.status, &again.body), (200, &paid.body));
    let there = until("the other one has joined", PATIENCE, || {
        let seen = call(&other.listener, CREATE, &order("r-1"));
        (seen.outcome() != "unknown").then_some(seen)
    });
    assert_eq!((there.status, &there.body), (200, &paid.body), "{there:?}");
    assert_eq!(sandbox.executed_at("r-1"), ["primary"]);
}

/// What the list withholds is named where Envoy starts, or before anything is claimed. No payment hangs.
#[test]
fn a_capability_that_is_withheld_is_named_at_the_start() {
    let (sandbox, etcd) = (Sandbox::start(), Etcd::start(1));
    for name in CAPABILITIES {
        let mut config = config(&sandbox, &etcd, &json!({}));
        let allowed = &mut plugin(&mut config)["capability_restriction_config"];
        allowed["allowed_capabilities"].as_object_mut().unwrap().remove(name).unwrap();
        let Some(envoy) = Envoy::try_start(&config) else {
            assert!(!name.starts_with("proxy_on_"), "a callback that is missing shows later");
            continue;
        };
        assert!(name.starts_with("proxy_on_"), "{name} shows at the start");
        until(name, PATIENCE, || envoy.log().contains(name).then_some(()));
        let seen = call(&envoy.listener, CREATE, &order("r-1"));
        assert_eq!(seen.status, 504, "{name}: {seen:?}");
    }
    assert!(sandbox.executed_at("r-1").is_empty());
}
