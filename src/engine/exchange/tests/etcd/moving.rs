//! While payments move from shared data to etcd.

use super::*;

const DRAINS: EtcdTerms = EtcdTerms { drains_local: true, ..TERMS };

/// Whom a request was sent to.
fn cluster(way: &Way) -> Option<&str> {
    way.effects.iter().find_map(|effect| {
        let ExchangeEffect::Forward(forward) = effect else { return None };
        let route = forward.headers.iter().find(|(name, _)| name == "x-dana-cluster");
        route.map(|(_, cluster)| cluster.as_str())
    })
}

/// Leaves no room for one more record in shared data.
fn fill(remote: &mut Remote) {
    let (_, claim, _) = remote.records()[0];
    let (policy, now) = (Rc::clone(&remote.world.policy), remote.etcd.time());
    for number in 0..policy.placement.buckets() {
        let mut bucket = Bucket::default();
        for key in 0u8..=u8::MAX {
            let _ = bucket.put(&[key; 16], &claim, now, policy.config.store.retention);
        }
        remote.etcd.cells.put(Cell::Claims(number), bucket.into_bytes());
    }
}

/// Nobody has asked etcd, where the payment may have been made through another Envoy.
#[test]
fn without_room_for_a_mark_nothing_is_said_of_a_payment_in_etcd() {
    let mut remote = Remote::by(DRAINS);
    let paid = remote.ask(&post(CREATE, ORDER), upstream(200, OK));
    assert_eq!(paid.told(), "relayed");
    // The same payment at an Envoy that has not seen it.
    remote.etcd.cells = well().store;
    fill(&mut remote);
    remote.pass(6000);
    let way = remote.ask(&post(CREATE, ORDER), upstream(200, OK));
    assert_eq!((way.told().as_str(), way.sent), ("504 claim_store_failed", 0));
    assert_eq!(remote.states(), ["settled"]);
}

/// Otherwise it is forgotten with the process, and its customer's payments go to the wrong gateway.
#[test]
fn a_customers_token_of_before_is_written_to_etcd_when_it_is_used() {
    let mut remote = Remote::by(DRAINS);
    let issues = post(TOKEN, r#"{"grantType":"AUTHORIZATION_CODE","authCode":"c"}"#);
    remote.world.ask(&issues, Some(upstream(200, ISSUED).at("secondary")));
    remote.etcd.cells = remote.world.store.clone();
    let uses = |order: &str| {
        post(CREATE, &ORDER.replace("r-1", order)).with("authorization-customer", "Bearer t-1")
    };
    let way = remote.ask(&uses("r-1"), upstream(200, OK).at("secondary"));
    assert_eq!(cluster(&way), Some("dana_secondary"));
    assert_eq!(remote.states(), ["settled", "key"]);
    let written = remote.etcd.places();
    remote.pass(6000);
    remote.etcd.forget_calls();
    remote.ask(&uses("r-2"), upstream(200, OK).at("secondary"));
    assert_eq!(remote.etcd.calls.len(), 3, "it is written once");
    assert!(written.contains(&('a', true)));
    // The process ends.
    remote.etcd.cells = well().store;
    remote.pass(6000);
    let way = remote.ask(&uses("r-3"), upstream(200, OK).at("secondary"));
    assert_eq!(cluster(&way), Some("dana_secondary"));
}
