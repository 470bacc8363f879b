//! From the memory of one Envoy to etcd, while payments go on.

use serde_json::{Value, json};

use crate::payments::{PATIENCE, config, pay};
use crate::support::client::{CANCEL, CREATE, STATUS, about, call, order};
use crate::support::envoy::{Envoy, MODULES, admin_plugin, plugin};
use crate::support::etcd::Etcd;
use crate::support::operator::{post, status};
use crate::support::sandbox::Sandbox;
use crate::support::{module, until};

/// The same configuration with this store.
fn with_store(base: &Value, store: &Value) -> Value {
    let mut config = base.clone();
    for plugin in [plugin, admin_plugin] {
        plugin(&mut config)["configuration"]["value"]["idempotency"]["store"] = store.clone();
    }
    config
}

#[test]
fn payments_of_before_stay_where_they_are_and_new_ones_are_claimed_in_etcd() {
    let (sandbox, etcd) = (Sandbox::start(), Etcd::start(1));
    let base = config(&sandbox, &etcd, &json!({}));
    let store = json!({"cluster": "dana_etcd", "realm": "test", "clock_skew_ms": 500});
    // With the module that knows no etcd.
    let mut local = with_store(&base, &json!({"local": {}}));
    plugin(&mut local)["vm_config"]["code"]["local"]["filename"] = json!(module(MODULES[0]));
    let both = with_store(&base, &json!({"local": {}, "etcd": store}));
    let etcd_alone = with_store(&base, &json!({"etcd": store}));
    let envoy = Envoy::start_updatable(&local);
    let before = pay(&envoy, "r-1");
    let lost = json!({"fault": "reset", "executes": true, "operation": "create-order"});
    sandbox.fault("primary", &lost);
    let doubtful = call(&envoy.listener, CREATE, &order("r-2"));
    assert_eq!(doubtful.outcome(), "unknown", "{doubtful:?}");
    sandbox.heal("primary");
    assert!(etcd.list("/dana/").is_empty());

    assert!(envoy.update(&both), "{}", envoy.log());
    // Payments that come while the listener changes may still find the configuration of before.
    let moved = (0..1000).find_map(|number| {
        let reference = format!("r-3-{number}");
        let paid = pay(&envoy, &reference);
        (!etcd.list("/dana/v1/test/s/").is_empty()).then_some((reference, paid))
    });
    let (new, paid) = moved.expect("one is claimed in etcd");
    // What was paid before is replayed from memory, and is not known in etcd.
    let again = call(&envoy.listener, CREATE, &order("r-1"));
    assert_eq!((again.status, &again.body), (200, &before.body), "{again:?}");
    let known = etcd.list("/dana/v1/test/s/");
    assert_eq!(known.len(), 1, "{known:?}");
    // A doubt of before is resolved where it stands; a cancel goes where its payment is.
    until("the doubt ends", PATIENCE, || {
        let told = call(&envoy.listener, STATUS, &about("r-2"));
        (told.status == 200).then_some(())
    });
    let settled = call(&envoy.listener, CREATE, &order("r-2"));
    assert!(settled.status == 200 || settled.outcome() == "executed", "{settled:?}");
    let cancelled = call(&envoy.listener, CANCEL, &about("r-1"));
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    assert_eq!(etcd.list("/dana/v1/test/s/").len(), 1, "all of that stays where it was");

    assert!(envoy.update(&etcd_alone), "{}", envoy.log());
    let replayed = until("it has joined", PATIENCE, || {
        let seen = call(&envoy.listener, CREATE, &order(&new));
        (seen.status == 200).then_some(seen)
    });
    assert_eq!(replayed.body, paid.body);
    // What ends with the process is told until nothing of it counts.
    let local = until("its claims are told", PATIENCE, || {
        let local = status(&envoy)["store"]["local"].clone();
        (local["in_doubt"] == 0).then_some(local)
    });
    assert!(local["claims"].as_u64() >= Some(2), "{local}");
    let mut number = 0;
    // The process still knows what stands in its memory: nothing of that is paid elsewhere.
    let force = json!({"gateway": "secondary", "steer": "force", "ttl_s": 600,
                       "reason": "a test", "actor": "anna"});
    assert_eq!(post(&envoy, "/override", &force).status, 200);
    until("new payments go to the other gateway", PATIENCE, || {
        number += 1;
        let reference = format!("r-4-{number}");
        pay(&envoy, &reference);
        (sandbox.executed_at(&reference) == ["secondary"]).then_some(())
    });
    let again = call(&envoy.listener, CREATE, &order("r-1"));
    assert_eq!(again.json()["title"], "Payment Cancelled", "{again:?}");
    for reference in ["r-1", "r-2", new.as_str()] {
        call(&envoy.listener, CREATE, &order(reference));
        assert_eq!(sandbox.executed_at(reference), ["primary"], "{reference}");
    }
}
