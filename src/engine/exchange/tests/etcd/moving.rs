//! While payments move from shared data to etcd.

use super::*;

const DRAINS: EtcdTerms = EtcdTerms { drains_local: true, ..TERMS };

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
