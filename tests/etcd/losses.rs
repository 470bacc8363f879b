//! etcd is emptied under an Envoy that has joined, as a backup of before would have it: what was paid is
//! not known there any more.

use serde_json::json;

use crate::payments::{PATIENCE, config};
use crate::scene::{await_joined, pay};
use crate::support::client::{CREATE, call_anew, order};
use crate::support::envoy::{Envoy, plugin};
use crate::support::etcd::Etcd;
use crate::support::sandbox::Sandbox;
use crate::support::until;

/// An update of the listener makes new VMs. They must not take for new what this Envoy has paid.
#[test]
fn whatever_is_updated_an_envoy_claims_nothing_after_a_loss_until_it_is_restarted() {
    let (sandbox, etcd) = (Sandbox::start(), Etcd::start(1));
    let mut config = config(&sandbox, &etcd, &json!({}));
    let envoy = Envoy::start_updatable(&config);
    await_joined(&envoy);
    let paid = pay(&envoy, "r-1");
    assert_eq!(paid.status, 200, "{paid:?}");
    until("the outcome is written", PATIENCE, || {
        (etcd.list("/dana/v1/test/s/").len() == 1).then_some(())
    });

    assert!(etcd.delete_prefix("/dana/v1/test/") > 0);
    let limits = json!({"request_body_bytes_max": 1024});
    plugin(&mut config)["configuration"]["value"]["limits"] = limits;
    assert!(envoy.update(&config), "{}", envoy.log());
    let mut long = order("LONG");
    long["additionalInfo"] = json!({"note": "x".repeat(2000)});
    until("the new listener serves", PATIENCE, || {
        (call_anew(&envoy.listener, CREATE, &long).status == 413).then_some(())
    });
    for reference in ["r-1", "r-2", "r-1"] {
        let seen = pay(&envoy, reference);
        assert_eq!((seen.status, seen.outcome().as_str()), (504, "unknown"), "{seen:?}");
    }
    assert!(
        envoy.log().contains("are missing") || envoy.log().contains("may be missing"),
        "{}",
        envoy.log()
    );
    assert!(etcd.list("/dana/v1/test/").is_empty(), "nothing is written there either");
    let requests = ["r-1", "r-2"].map(|reference| sandbox.requests("primary", reference).len());
    assert_eq!(requests, [1, 0]);

    // Whoever restarts it has been told what that means.
    drop(envoy);
    let envoy = Envoy::start_without_heartbeat(&config);
    await_joined(&envoy);
    assert_eq!(pay(&envoy, "r-3").status, 200);
}
