//! The configuration: its defaults, every field, and what is said about each mistake.

use super::delays::HOUR_MS;
use super::*;
use crate::engine::codec::json::Pointer;
use crate::engine::health::{Expect, ProbeSpec};
use crate::engine::protocol::{
    Class, Identity, Mode, Protocol, Reference, Repeat, Table, dana_snap,
};
use serde_json::{Value, json};

mod etcd;
mod gateways;
mod protobuf;

fn gateways() -> Value {
    json!([{"name": "primary", "cluster": "one"}, {"name": "secondary", "cluster": "two"}])
}

/// A configuration with these fields besides its gateways.
fn with(fields: &Value) -> Value {
    let mut value = json!({ "gateways": gateways() });
    for (name, field) in fields.as_object().unwrap() {
        value[name] = field.clone();
    }
    value
}

fn parse(value: &Value) -> Config {
    Config::parse(value.to_string().as_bytes()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn mistakes(bytes: &[u8]) -> Vec<String> {
    let errors = Config::parse(bytes).expect_err("a mistake");
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn two_gateways_are_enough_and_everything_else_has_a_default() {
    let config = parse(&with(&json!({})));
    let names = config.gateways.iter().map(|g| (g.name.as_str(), g.cluster.as_str()));
    assert_eq!(names.collect::<Vec<_>>(), [("primary", "one"), ("secondary", "two")]);
    assert!(config.composites.is_empty() && !config.pass_unmatched && config.peers.is_empty());
    assert_eq!((config.ledger, config.mode), (Ledger::Separate, Mode::Enforce));
    assert!(!config.claims.shared_ledger);
    assert_eq!(config.protocol, Protocol::DanaSnap);
    assert_eq!(config.operations.len(), dana_snap().len());
    let headers = (config.route_header.as_str(), config.partner_header.as_str());
    assert_eq!(headers, ("x-dana-cluster", "x-partner-id"));
    assert_eq!(numbers(&config), DEFAULTS);
    for gateway in &config.gateways {
        assert_eq!(gateway.probe, ProbeSpec::default());
    }
    assert!(!config.failback.manual);
    assert_eq!((config.store.claims_max, config.store.engine), (65_536 * 16, StoreEngine::Local));
}

/// Every number by its path, with its default.
const DEFAULTS: [(&str, u64); 33] = [
    ("timeouts.response_ms", 10_000),
    ("timeouts.inquiry_ms", 8000),
    ("idempotency.lease_ms", 30_000),
    ("idempotency.retention_s", 86_400),
    ("idempotency.repeat_after_ms", 5000),
    ("idempotency.repeat_max_age_s", 3600),
    ("idempotency.settle_delay_ms", 60_000),
    ("idempotency.bodies_max", 16_384),
    ("idempotency.body_bytes_max", 4096),
    ("idempotency.store.local.claims_max", 1_048_576),
    ("idempotency.store.etcd.clock_skew_ms", 2000),
    ("breaker.consecutive_failures", 5),
    ("breaker.window_ms", 30_000),
    ("breaker.min_calls", 10),
    ("breaker.failure_rate_pct", 50),
    ("breaker.slow_ms", 8000),
    ("breaker.slow_rate_pct", 80),
    ("breaker.in_flight_max", 1024),
    ("breaker.partner_failures_pct", 50),
    ("breaker.open_ms", 10_000),
    ("breaker.open_ms_max", 300_000),
    ("breaker.open_jitter_pct", 20),
    ("breaker.half_open_permits", 3),
    ("breaker.half_open_ms_max", 30_000),
    ("heartbeat.interval_ms", 2000),
    ("heartbeat.timeout_ms", 1000),
    ("heartbeat.stale_ms", 10_000),
    ("heartbeat.rise", 2),
    ("heartbeat.fall", 3),
    ("failback.stable_ms", 60_000),
    ("failback.dwell_ms", 30_000),
    ("limits.request_body_bytes_max", 65_536),
    ("gateways", 2),
];

/// Of a store that is not used the default is told.
fn numbers(config: &Config) -> [(&'static str, u64); 33] {
    let Config { timeouts, store, claims, breaker, heartbeat, failback, .. } = config;
    let values = [
        timeouts.response.get(),
        timeouts.inquiry.get(),
        claims.lease.get(),
        store.retention.get() / 1000,
        claims.repeat_after.get(),
        claims.repeat_max_age.get() / 1000,
        claims.settle_delay.get(),
        u64::from(store.bodies_max),
        store.body_bytes_max as u64,
        u64::from(store.claims_max),
        store.etcd().map_or(2000, |etcd| etcd.clock_skew.get()),
        u64::from(breaker.consecutive_failures),
        breaker.window.get(),
        u64::from(breaker.min_calls),
        u64::from(breaker.failure_rate_pct),
        breaker.slow.get(),
        u64::from(breaker.slow_rate_pct),
        u64::from(breaker.in_flight_max),
        u64::from(breaker.partner_failures_pct),
        breaker.open.get(),
        breaker.open_max.get(),
        u64::from(breaker.open_jitter_pct),
        u64::from(breaker.half_open_permits),
        breaker.half_open_max.get(),
        heartbeat.interval.get(),
        config.gateways[0].probe.timeout.get(),
        heartbeat.stale.get(),
        u64::from(heartbeat.rise),
        u64::from(heartbeat.fall),
        failback.stable.get(),
        failback.dwell.get(),
        config.request_body_bytes_max as u64,
        config.gateways.len() as u64,
    ];
    let mut numbers = DEFAULTS;
    for (number, value) in numbers.iter_mut().zip(values) {
        number.1 = value;
    }
    numbers
}

/// A configuration with one field, given by its path. A field of a store that needs others has those,
/// beside the other store.
fn with_field(path: &str, field: Value) -> Value {
    let mut nested = field;
    for name in path.split('.').rev() {
        nested = json!({ name: nested });
    }
    if path.starts_with("idempotency.store.etcd.") {
        let store = &mut nested["idempotency"]["store"];
        store["local"] = json!({});
        store["etcd"]["cluster"] = json!("etcd");
        store["etcd"]["realm"] = json!("test");
    }
    with(&nested)
}

#[test]
fn every_number_is_read_from_its_own_field() {
    for (path, default) in DEFAULTS.into_iter().filter(|(path, _)| *path != "gateways") {
        let changed = default + 1;
        let config = parse(&with_field(path, json!(changed)));
        for (other, value) in numbers(&config) {
            let expected = DEFAULTS.iter().find(|(name, _)| *name == other).unwrap().1;
            let expected = if other == path { changed } else { expected };
            assert_eq!(value, expected, "{other} after {path} was changed");
        }
    }
}

#[test]
fn every_word_and_list_is_read() {
    let config = parse(&json!({
        "gateways": gateways(),
        "composites": [{"members": ["secondary", "primary"], "cluster": "both"}],
        "route_header": "x-route",
        "protocol": "http",
        "unmatched": "pass",
        "scope": {"partner_header": "x-tenant", "peers": {"spiffe://a/b.c": ["p-1", "p-2"]}},
        "ledger": "shared",
        "mode": "observe",
        "heartbeat": {"method": "HEAD", "path": "/health?x=1",
                      "expect": {"status": 204, "body_contains": "UP"}},
        "failback": {"policy": "manual"},
        "testing": {"unsafe_timings": true},
        "idempotency": {"settle_delay_ms": 1, "lease_ms": 10_001, "retention_s": 1},
        "operations": [
            {"name": "pay", "path": "/pay.htm", "class": "charge", "namespace": "order",
             "identity": ["/id"], "reference": "/id", "fingerprint": ["/amount", "/to/account"],
             "service_code": "54", "inquiry_path": "/status", "repeat": "by_reference"},
            {"name": "undo", "path": "/undo", "class": "follow-up", "namespace": "undo",
             "concerns": {"namespace": "order", "identity": ["/original"]}},
            {"name": "ask", "path": "/status", "class": "inquiry"},
            {"name": "bind", "path": "/bind", "class": "state", "affinity": true,
             "issues": "/token", "mode": "enforce"}],
    }));
    assert_eq!(config.composites[0].members, ["secondary", "primary"]);
    assert_eq!(config.composites[0].cluster, "both");
    assert_eq!((config.route_header.as_str(), config.pass_unmatched), ("x-route", true));
    assert_eq!((config.protocol, config.partner_header.as_str()), (Protocol::Http, "x-tenant"));
    assert_eq!(config.gateways[0].probe.method, "HEAD");
    assert_eq!(config.gateways[0].probe.path, "/health?x=1");
    let expect = Expect { status: Some(204), body_contains: "UP".to_owned() };
    assert_eq!((&config.gateways[0].probe.expect, config.failback.manual), (&expect, true));
    assert_eq!((config.claims.settle_delay.get(), config.store.retention.get()), (1, 1000));
    let classes: Vec<_> = config.operations.iter().map(|operation| operation.class).collect();
    assert_eq!(classes, [Class::Charge, Class::FollowUp, Class::Inquiry, Class::State]);
    assert_eq!((config.ledger, config.claims.shared_ledger), (Ledger::Shared, true));
    assert_eq!(config.mode, Mode::Observe);
    assert_eq!(config.peers["spiffe://a/b.c"], ["p-1", "p-2"]);
    let [pay, undo, _, bind] = &config.operations[..] else { panic!() };
    assert_eq!((pay.affinity, &pay.issues, pay.mode), (false, &None, None));
    let issued = Pointer::parse("/token");
    assert_eq!((bind.affinity, &bind.issues, bind.mode), (true, &issued, Some(Mode::Enforce)));
    let pointer = |text| Pointer::parse(text).unwrap();
    assert_eq!((pay.name.as_ref(), pay.path.as_ref()), ("pay", "/pay"));
    assert_eq!((pay.namespace.as_ref(), pay.repeat), ("order", Repeat::ByReference));
    assert_eq!(pay.identity, Identity::Body(vec![pointer("/id")]));
    assert_eq!(pay.reference, Some(Reference { pointer: pointer("/id"), obliged: true }));
    assert_eq!(pay.fingerprint, [pointer("/amount"), pointer("/to/account")]);
    assert_eq!(pay.service_codes, ["54"]);
    assert_eq!(pay.inquiry_path.as_deref(), Some("/status"));
    assert_eq!((&undo.identity, undo.repeat), (&Identity::Header, Repeat::Never));
    let concerns = undo.concerns.as_ref().unwrap();
    assert_eq!(
        (concerns.namespace.as_ref(), &concerns.identity[..]),
        ("order", &[pointer("/original")][..])
    );
}

#[test]
fn configured_operations_come_after_the_presets() {
    let own =
        json!({"operations": [{"name": "own", "path": "/emoney/topup.htm", "class": "state"}]});
    let config = parse(&with(&own));
    assert_eq!(config.operations.len(), dana_snap().len() + 1);
    assert_eq!(config.operations.last().unwrap().name, "own");
    assert_eq!(Table::new(config.operations).iter().count(), dana_snap().len());
}

#[test]
fn whatever_a_claim_key_is_made_from_is_part_of_its_definition() {
    let operation = json!({"name": "pay", "path": "/pay", "class": "charge", "namespace": "order",
        "identity": ["/id"], "service_code": "54"});
    let digest = |fields: Value, changes: Value| {
        let mut operation = operation.clone();
        for (name, change) in changes.as_object().unwrap() {
            operation[name] = change.clone();
        }
        let mut fields = fields;
        fields["operations"] = json!([operation]);
        let config = parse(&with(&fields));
        config.key_definition(config.operations.last().unwrap()).digest
    };
    let first = digest(json!({}), json!({}));
    assert!(first.is_some());
    let concerns = json!({"namespace": "order", "identity": ["/of"]});
    for changes in [
        json!({"namespace": "o"}),
        json!({"identity": ["/id", "/no"]}),
        json!({"class": "follow-up", "concerns": concerns}),
    ] {
        assert_ne!(digest(json!({}), changes.clone()), first, "{changes}");
    }
    for fields in [json!({"scope": {"partner_header": "x-p"}}), json!({"protocol": "http"})] {
        assert_ne!(digest(fields.clone(), json!({})), first, "{fields}");
    }
    for changes in
        [json!({"name": "buy"}), json!({"repeat": "by_reference"}), json!({"fingerprint": ["/a"]})]
    {
        assert_eq!(digest(json!({}), changes.clone()), first, "{changes}");
    }
    assert_eq!(digest(json!({}), json!({"class": "inquiry"})), None, "it makes no payments");
}

#[test]
fn each_number_has_its_range_and_its_safe_minimum() {
    const DAY_MS: u64 = 86_400_000;
    let ranges: [(&str, u64, u64, u64); 29] = [
        ("timeouts.response_ms", 8000, 120_000, 1),
        ("timeouts.inquiry_ms", 1000, 120_000, 1),
        ("idempotency.lease_ms", 10_000, HOUR_MS, 1),
        ("idempotency.retention_s", 3600, 2_592_000, 1),
        ("idempotency.repeat_after_ms", 1000, HOUR_MS, 1),
        ("idempotency.repeat_max_age_s", 0, 86_400, 0),
        ("idempotency.settle_delay_ms", 30_000, HOUR_MS, 1),
        ("idempotency.bodies_max", 1, 1_048_576, 1),
        ("idempotency.body_bytes_max", 0, 65_536, 0),
        ("idempotency.store.local.claims_max", 16, 16_777_216, 16),
        ("idempotency.store.etcd.clock_skew_ms", 100, 60_000, 1),
        ("breaker.consecutive_failures", 1, 1000, 1),
        ("breaker.window_ms", 1000, HOUR_MS, 1),
        ("breaker.min_calls", 1, 1_000_000, 1),
        ("breaker.failure_rate_pct", 1, 100, 1),
        ("breaker.slow_ms", 100, 120_000, 1),
        ("breaker.slow_rate_pct", 1, 100, 1),
        ("breaker.open_ms", 1000, HOUR_MS, 1),
        ("breaker.open_ms_max", 1000, DAY_MS, 1),
        ("breaker.open_jitter_pct", 0, 100, 0),
        ("breaker.half_open_permits", 1, 100, 1),
        ("breaker.half_open_ms_max", 1000, HOUR_MS, 1),
        ("heartbeat.interval_ms", 500, HOUR_MS, 1),
        ("heartbeat.timeout_ms", 100, 60_000, 1),
        ("heartbeat.stale_ms", 1000, HOUR_MS, 1),
        ("heartbeat.rise", 1, 100, 1),
        ("failback.stable_ms", 5000, DAY_MS, 1),
        ("failback.dwell_ms", 5000, DAY_MS, 1),
        ("limits.request_body_bytes_max", 1024, 1_048_576, 1024),
    ];
    for (path, least, most, unsafe_least) in ranges {
        // Relations between fields say more; the range is the first thing that is told.
        let first = |value: Value, unsafe_timings: bool| {
            let mut value = with_field(path, value);
            value["testing"] = json!({ "unsafe_timings": unsafe_timings });
            let errors = Config::parse(value.to_string().as_bytes()).err().unwrap_or_default();
            errors.into_iter().find(|e| e.path == path && e.expected.starts_with("a whole number"))
        };
        for (number, floor, unsafe_timings) in
            [(least, least, false), (most, least, false), (unsafe_least, unsafe_least, true)]
        {
            assert_eq!(first(json!(number), unsafe_timings), None, "{path} {number}");
            let range = format!("a whole number from {floor} to {most}");
            for beyond in [floor.checked_sub(1), Some(most + 1)].into_iter().flatten() {
                let error = first(json!(beyond), unsafe_timings).expect(path);
                let said = (error.expected.as_str(), error.found.as_str());
                assert_eq!(said, (range.as_str(), beyond.to_string().as_str()), "{path}");
            }
        }
        for (other, found) in [(json!("1"), "\"1\""), (json!(1.5), "1.5"), (json!(-1), "-1")] {
            assert_eq!(first(other, false).expect(path).found, found, "{path}");
        }
    }
}

/// One mistake and what is said about it.
fn check(fields: Value, expected: &str) {
    assert_eq!(mistakes(with(&fields).to_string().as_bytes()), [expected], "{fields}");
}

#[test]
fn mistakes_in_the_gateways_are_named() {
    const NAME: &str = "expected a name of 1 to 32 letters, digits, - or _";
    let gateway = |field: &str, value: Value| {
        let mut gateways = gateways();
        gateways[1][field] = value;
        json!({ "gateways": gateways })
    };
    let told = mistakes(br#"{"gateways": {}}"#);
    assert_eq!(told[0], "gateways: expected a list, found an object");
    check(
        gateway("name", json!("primary")),
        "gateways[1].name: expected a name of its own, found primary",
    );
    check(
        gateway("cluster", json!("one")),
        "gateways[1].cluster: expected a cluster of its own, found one",
    );
    check(gateway("name", json!("")), &format!("gateways[1].name: {NAME}, found \"\""));
    check(gateway("name", json!("a b")), &format!("gateways[1].name: {NAME}, found \"a b\""));
    check(
        gateway("name", json!("x".repeat(33))),
        &format!("gateways[1].name: {NAME}, found \"{}\"", "x".repeat(33)),
    );
    check(gateway("name", Value::Null), &format!("gateways[1].name: {NAME}, found null"));
    check(
        gateway("cluster", json!(7)),
        "gateways[1].cluster: expected the name of an Envoy cluster, found 7",
    );
    check(
        gateway("cluster", json!("a b")),
        "gateways[1].cluster: expected the name of an Envoy cluster, found \"a b\"",
    );
    check(
        gateway("clutser", json!("x")),
        "gateways[1].clutser: expected one of name, cluster, heartbeat, operations, tls, host, found the unknown field \"clutser\" (\"x\")",
    );
    check(
        json!({"gateways": [{"name": "a", "cluster": "a"}]}),
        "gateways: expected 2 to 16 gateways, found 1",
    );
}

#[test]
fn mistakes_in_words_are_named() {
    check(
        json!({"protocol": "snap"}),
        "protocol: expected \"dana-snap\" or \"http\", found \"snap\"",
    );
    check(json!({"protocol": null}), "protocol: expected \"dana-snap\" or \"http\", found null");
    check(json!({"unmatched": true}), "unmatched: expected \"refuse\" or \"pass\", found true");
    check(
        json!({"protocol": "http"}),
        "operations: expected at least one operation with protocol \"http\", found none",
    );
    check(
        json!({"route_header": "X-Dana"}),
        "route_header: expected a header name in lower case, found \"X-Dana\"",
    );
    check(
        json!({"route_header": ""}),
        "route_header: expected a header name in lower case, found \"\"",
    );
    check(
        json!({"scope": {"partner_header": "a b"}}),
        "scope.partner_header: expected a header name in lower case, found \"a b\"",
    );
    check(
        json!({"failback": {"policy": "never"}}),
        "failback.policy: expected \"auto\" or \"manual\", found \"never\"",
    );
    check(
        json!({"heartbeat": {"expect": {"status": "ok"}}}),
        "heartbeat.expect.status: expected \"answered\" or a whole number from 100 to 599, found \"ok\"",
    );
    check(
        json!({"heartbeat": {"expect": {"status": 99}}}),
        "heartbeat.expect.status: expected \"answered\" or a whole number from 100 to 599, found 99",
    );
    check(
        json!({"heartbeat": {"expect": {"body_contains": 1}}}),
        "heartbeat.expect.body_contains: expected a text of at most 256 characters, found 1",
    );
    check(
        json!({"ledger": "common"}),
        "ledger: expected \"separate\" or \"shared\", found \"common\"",
    );
    check(
        json!({"mode": "dry-run"}),
        "mode: expected \"enforce\" or \"observe\", found \"dry-run\"",
    );
    check(json!({"scope": {"peers": ["a"]}}), "scope.peers: expected an object, found a list");
    check(
        json!({"scope": {"peers": {"a.b": "p-1"}}}),
        "scope.peers[a.b]: expected a list, found \"p-1\"",
    );
    check(
        json!({"scope": {"peers": {"a.b": ["p-1", 2]}}}),
        "scope.peers[a.b][1]: expected a partner id of at most 128 characters, found 2",
    );
    check(json!({"scope": []}), "scope: expected an object, found a list");
    check(json!({"breaker": 5}), "breaker: expected an object, found 5");
    check(
        json!({"testing": {"unsafe_timings": 1}}),
        "testing.unsafe_timings: expected true or false, found 1",
    );
    check(
        json!({"heartbeat": {"method": "POST"}}),
        "heartbeat.method: expected \"GET\" or \"HEAD\", found \"POST\"",
    );
    check(
        json!({"heartbeat": {"path": "health"}}),
        "heartbeat.path: expected a path that begins with /, found \"health\"",
    );
}

#[test]
fn mistakes_in_operations_are_named() {
    let operation = |field: &str, value: Value| {
        let mut operation = json!({"name": "pay", "path": "/pay", "class": "charge", "namespace": "order", "service_code": "54"});
        operation[field] = value;
        json!({ "operations": [operation] })
    };
    const PATH: &str = "operations[0].path: expected a path that begins with / and has no query";
    check(operation("path", json!("pay")), &format!("{PATH}, found \"pay\""));
    check(operation("path", json!("/pay?x")), &format!("{PATH}, found \"/pay?x\""));
    check(operation("path", json!("/")), &format!("{PATH}, found \"/\""));
    check(
        operation("class", json!("payment")),
        "operations[0].class: expected \"charge\" or \"follow-up\" or \"inquiry\" or \"state\", found \"payment\"",
    );
    check(
        operation("class", json!("follow-up")),
        "operations[0]: expected concerns: which payment a follow-up is about, found an object",
    );
    check(
        operation("service_code", json!("5")),
        "operations[0].service_code: expected two digits, found \"5\"",
    );
    check(
        operation("service_code", json!(54)),
        "operations[0].service_code: expected two digits, found 54",
    );
    check(
        operation("identity", json!(["id"])),
        "operations[0].identity[0]: expected a JSON pointer such as /partnerReferenceNo, found \"id\"",
    );
    check(
        operation("identity", json!("/id")),
        "operations[0].identity: expected a list, found \"/id\"",
    );
    check(
        operation("reference", json!("/a//b")),
        "operations[0].reference: expected a JSON pointer such as /partnerReferenceNo, found \"/a//b\"",
    );
    check(
        operation("repeat", json!("always")),
        "operations[0].repeat: expected \"by_reference\" or \"never\", found \"always\"",
    );
    check(
        json!({"operations": [{"name": "a", "path": "/a", "class": "charge", "service_code": "54"}]}),
        "operations[0]: expected a namespace for an operation that moves money, found an object",
    );
    check(
        json!({"operations": [{"path": "/a", "class": "state"}]}),
        "operations[0].name: expected a name of 1 to 32 letters, digits, - or _, found nothing",
    );
    check(json!({"operations": 5}), "operations: expected a list, found 5");
}

#[test]
fn mistakes_between_fields_are_named() {
    let composite = |members: Value, cluster: &str| json!({"composites": [{"members": members, "cluster": cluster}]});
    let both = || json!(["primary", "secondary"]);
    check(
        composite(json!(["primary"]), "c"),
        "composites[0].members: expected two or more gateway names, found 1",
    );
    check(
        composite(json!(["primary", "other"]), "c"),
        "composites[0].members[1]: expected the name of one of gateways, found other",
    );
    check(
        composite(json!(["primary", "primary"]), "c"),
        "composites[0].members[1]: expected each gateway once, found primary",
    );
    check(
        composite(both(), "one"),
        "composites[0].cluster: expected another cluster than any gateway's own, found one",
    );
    check(
        json!({"composites": [{"members": both()}]}),
        "composites[0].cluster: expected the name of an Envoy cluster, found nothing",
    );
    check(
        json!({"composites": [{"cluster": "c"}]}),
        "composites[0].members: expected a list of gateway names, found nothing",
    );
    check(
        json!({"breaker": {"half_open_ms_max": 10_000}}),
        "breaker.half_open_ms_max: expected more than the longest of timeouts (10000 ms), found 10000",
    );
    check(
        json!({"timeouts": {"response_ms": 30_000}, "breaker": {"half_open_ms_max": 40_000}}),
        "idempotency.lease_ms: expected more than the longest of timeouts (30000 ms), found 30000",
    );
    check(
        json!({"timeouts": {"inquiry_ms": 31_000}, "breaker": {"half_open_ms_max": 40_000}}),
        "idempotency.lease_ms: expected more than the longest of timeouts (31000 ms), found 30000",
    );
    check(
        json!({"breaker": {"open_ms": 300_001}}),
        "breaker.open_ms_max: expected at least breaker.open_ms (300001), found 300000",
    );
    check(
        json!({"heartbeat": {"interval_ms": 10_000}}),
        "heartbeat.stale_ms: expected more than heartbeat.interval_ms (10000), found 10000",
    );
}

#[test]
fn several_mistakes_are_all_told_at_once() {
    let value = json!({
        "gateways": [{"name": "primary", "cluster": 1}, {"cluster": "two"}],
        "breaker": {"open_ms": 1, "colour": "red"},
        "heartbeat": {"path": "x"},
        "unmatched": "maybe",
        "extra": [1, 2],
    });
    let mut told = mistakes(value.to_string().as_bytes());
    told.sort();
    let places: Vec<&str> = told.iter().map(|said| said.split(':').next().unwrap()).collect();
    let expected = [
        "breaker.colour",
        "breaker.open_ms",
        "extra",
        "gateways[0].cluster",
        "gateways[1].name",
        "heartbeat.path",
        "unmatched",
    ];
    assert_eq!(places, expected, "{told:#?}");
    assert!(told[2].ends_with("found the unknown field \"extra\" (a list)"), "{}", told[2]);
}

#[test]
fn what_is_no_object_at_all_is_told_once() {
    for (bytes, expected) in [
        (&b"[]"[..], "configuration: expected an object, found a list"),
        (b"null", "configuration: expected an object, found null"),
        (b"\"text\"", "configuration: expected an object, found \"text\""),
    ] {
        assert_eq!(mistakes(bytes).first().map(String::as_str), Some(expected));
    }
    let told = mistakes(b"{gateways: []}");
    assert!(told[0].starts_with("configuration: expected JSON in a StringValue, or a Struct"));
    assert_eq!(told.len(), 1);
    let missing =
        "gateways: expected a list of two or more gateways in order of preference, found nothing";
    // No bytes are a Struct without fields.
    for empty in [&b"{}"[..], b""] {
        assert_eq!(mistakes(empty), [missing]);
    }
}

#[test]
fn a_long_value_is_told_in_short() {
    let told = mistakes(with(&json!({"protocol": "\u{e9}".repeat(500)})).to_string().as_bytes());
    assert!(told[0].chars().count() < 140 && told[0].ends_with('…'), "{}", told[0]);
}
