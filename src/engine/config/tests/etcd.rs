//! A store that several Envoys share: what is read, and each mistake in it.

use super::*;
use crate::engine::limits;
use crate::engine::time::Millis;

/// A configuration whose store is `etcd`, with `fields` besides cluster and realm.
fn etcd(fields: &Value) -> Value {
    let mut etcd = json!({"cluster": "dana_etcd", "realm": "production"});
    for (name, field) in fields.as_object().unwrap() {
        etcd[name] = field.clone();
    }
    json!({"idempotency": {"store": {"etcd": etcd}}})
}

fn read(fields: &Value) -> StoreConfig {
    parse(&with(fields)).store
}

#[test]
fn a_cluster_and_a_realm_are_enough() {
    let store = read(&etcd(&json!({})));
    let expected = EtcdConfig {
        cluster: "dana_etcd".to_owned(),
        realm: "production".to_owned(),
        answers: AnswersIn::Local,
        clock_skew: Millis::new(2000),
        beside_local: false,
    };
    assert_eq!(store.etcd(), Some(&expected));
    assert_eq!(store.engine, StoreEngine::Etcd(expected));
    // In this process nothing is claimed.
    assert_eq!(store.claims_max, limits::BUCKET_RECORDS_MEAN);
}

#[test]
fn every_word_of_it_is_read() {
    for (word, answers) in [("local", AnswersIn::Local), ("store", AnswersIn::Store)] {
        let store = read(&etcd(&json!({"answers": word, "realm": "a-1", "cluster": "c|2379||x"})));
        let etcd = store.etcd().unwrap();
        let told = (etcd.answers, etcd.realm.as_str(), etcd.cluster.as_str());
        assert_eq!(told, (answers, "a-1", "c|2379||x"));
    }
    let longest = "z".repeat(32);
    assert_eq!(read(&etcd(&json!({ "realm": longest }))).etcd().unwrap().realm, longest);
}

#[test]
fn with_both_stores_the_local_one_is_drained() {
    for (local, claims_max) in [(json!({}), 1_048_576), (json!({"claims_max": 64}), 64)] {
        let mut fields = etcd(&json!({}));
        fields["idempotency"]["store"]["local"] = local;
        let store = read(&fields);
        assert!(store.etcd().unwrap().beside_local);
        assert_eq!(store.claims_max, claims_max);
    }
    for store in [json!({}), json!({"local": {}})] {
        let store = read(&json!({"idempotency": {"store": store}}));
        assert_eq!((store.etcd(), store.claims_max), (None, 1_048_576));
    }
}

#[test]
fn both_listeners_take_it() {
    for admin in
        [json!({"role": "payments"}), json!({"role": "admin", "token_sha256": "0".repeat(64)})]
    {
        let mut fields = etcd(&json!({}));
        fields["admin"] = admin;
        assert!(read(&fields).etcd().is_some());
    }
}

#[test]
fn mistakes_in_it_are_named() {
    const PATH: &str = "idempotency.store.etcd";
    const REALM: &str = "expected a realm of 1 to 32 lower-case letters, digits or -";
    const CLUSTER: &str = "expected the name of an Envoy cluster";
    let without = |name: &str| {
        let mut fields = etcd(&json!({}));
        fields["idempotency"]["store"]["etcd"].as_object_mut().unwrap().remove(name);
        fields
    };
    check(without("cluster"), &format!("{PATH}.cluster: {CLUSTER}, found nothing"));
    check(without("realm"), &format!("{PATH}.realm: {REALM}, found nothing"));
    for (name, value, expected) in [
        ("cluster", json!(7), CLUSTER),
        ("cluster", json!("a b"), CLUSTER),
        ("cluster", json!(""), CLUSTER),
        ("cluster", json!("x".repeat(256)), CLUSTER),
        ("realm", json!(""), REALM),
        ("realm", json!("Production"), REALM),
        ("realm", json!("a/b"), REALM),
        ("realm", json!("a_b"), REALM),
        ("realm", json!("\u{e9}"), REALM),
        ("realm", json!("x".repeat(33)), REALM),
        ("realm", json!(1), REALM),
        ("answers", json!("both"), "expected \"local\" or \"store\""),
        ("answers", json!(true), "expected \"local\" or \"store\""),
    ] {
        let told = mistakes(with(&etcd(&json!({ name: value }))).to_string().as_bytes());
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("{PATH}.{name}: {expected}, found ")), "{told:?}");
    }
    check(
        etcd(&json!({"endpoints": ["a:2379"]})),
        &format!(
            "{PATH}.endpoints: expected one of cluster, realm, answers, clock_skew_ms, found the \
             unknown field \"endpoints\" (a list)"
        ),
    );
    check(
        json!({"idempotency": {"store": {"etcd": "dana_etcd"}}}),
        &format!("{PATH}: expected an object, found \"dana_etcd\""),
    );
    check(
        json!({"idempotency": {"store": {"redis": {}}}}),
        "idempotency.store.redis: expected one of local, etcd, found the unknown field \"redis\" \
         (an object)",
    );
}

#[test]
fn mistakes_beside_other_fields_are_named() {
    const PATH: &str = "idempotency.store.etcd";
    const OTHER: &str = "expected another cluster than those of gateways and composites";
    for cluster in ["one", "two", "both"] {
        let mut fields = etcd(&json!({ "cluster": cluster }));
        let members = json!(["primary", "secondary"]);
        fields["composites"] = json!([{"members": members, "cluster": "both"}]);
        check(fields, &format!("{PATH}.cluster: {OTHER}, found {cluster}"));
    }
    const SKEW: &str = "expected less than a quarter of idempotency.lease_ms";
    check(
        etcd(&json!({"clock_skew_ms": 7500})),
        &format!("{PATH}.clock_skew_ms: {SKEW} (30000), found 7500"),
    );
    assert!(read(&etcd(&json!({"clock_skew_ms": 7499}))).etcd().is_some());
    // With the shortest lease that there is for it the default fits.
    let mut fields = etcd(&json!({}));
    fields["idempotency"]["lease_ms"] = json!(10_401);
    fields["timeouts"] = json!({"response_ms": 8000});
    assert!(read(&fields).etcd().is_some());
    fields["idempotency"]["lease_ms"] = json!(10_400);
    check(
        fields.clone(),
        "idempotency.lease_ms: expected more than timeouts.response_ms and what etcd may take (10400 \
         ms), found 10400",
    );
    fields["testing"] = json!({"unsafe_timings": true});
    assert!(read(&fields).etcd().is_some());
    fields["idempotency"]["store"]["etcd"]["clock_skew_ms"] = json!(2600);
    check(fields, &format!("{PATH}.clock_skew_ms: {SKEW} (10400), found 2600"));
    // Without this store nothing is held against it.
    let short = json!({"lease_ms": 11, "settle_delay_ms": 1});
    let timeouts = json!({"response_ms": 10, "inquiry_ms": 10});
    let fields = json!({
        "testing": {"unsafe_timings": true}, "timeouts": timeouts, "idempotency": short,
    });
    assert_eq!(read(&fields).etcd(), None);
}
