//! The etcd that other tests stand on: that it is a real one, and that it fails and heals when it is
//! told to.
//!
//! - `envoy`: an Envoy in front of it
//! - `grpc`: a call through that Envoy
//! - `losses`: payments after etcd has forgotten what was paid
//! - `moving`: from the memory of one Envoy to etcd
//! - `memory`: the one in memory that other tests use in its place, against a real one
//! - `notifications`: what gateways notify of, over several Envoys
//! - `operators`: operators of Envoys that share their claims
//! - `payments`: payments whose claims stand there
//! - `restarts`, `failures`, `clusters`: what becomes of them where an Envoy or etcd fails, or cannot be
//!   called
//! - `rolling`: a rolling update of three Envoys
//! - `scene`: Envoys, gateways and an etcd
//! - `trails`: one report over the audit trails of several Envoys

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod clusters;
mod envoy;
mod failures;
mod grpc;
mod losses;
mod memory;
mod moving;
mod notifications;
mod operators;
mod payments;
mod restarts;
mod rolling;
mod scene;
mod trails;

use std::time::Duration;

use serde_json::{Value, json};

use support::etcd::api::{Record, encode};
use support::etcd::{Etcd, Setup};
use support::now;

/// How soon a leader that is lost is replaced: an election begins after 1 to 2 s, and is repeated
/// where votes are split.
const ELECTION_MAX: Duration = Duration::from_secs(5);

/// Puts a value at a key if nothing stands there, and tells what does otherwise.
fn claim(key: &str, value: &str) -> Value {
    let key = encode(key.as_bytes());
    json!({
        "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
        "success": [{"request_put": {"key": key, "value": encode(value.as_bytes())}}],
        "failure": [{"request_range": {"key": key}}],
    })
}

fn values(records: &[Record]) -> Vec<(&str, &[u8])> {
    records.iter().map(|record| (record.key.as_str(), record.value.as_slice())).collect()
}

#[test]
#[should_panic(
    expected = "etcd is missing at /nowhere/etcd: run `make tools`, or say where one is"
)]
fn whoever_has_no_etcd_is_told_what_to_do() {
    support::etcd::found("/nowhere/etcd".into());
}

#[test]
fn a_transaction_wins_once_and_loses_once() {
    let etcd = Etcd::start(3);
    let won = etcd.transact(&claim("/test/claim", "mine"));
    assert_eq!(won["succeeded"], true, "{won}");
    let lost = etcd.transact(&claim("/test/claim", "yours"));
    assert_eq!(lost["succeeded"], Value::Null, "{lost}");
    let seen = &lost["responses"][0]["response_range"]["kvs"][0]["value"];
    assert_eq!(*seen, encode(b"mine"));
    let record = etcd.get("/test/claim").unwrap();
    assert_eq!((record.value.as_slice(), record.lease), (&b"mine"[..], 0));
    assert_eq!((record.mod_revision, record.create_revision), (etcd.revision(), etcd.revision()));
}

#[test]
fn what_is_listed_is_what_has_the_prefix() {
    let etcd = Etcd::start(1);
    let first = etcd.put("/test/a", b"");
    assert_eq!(etcd.put("/test/b", &[0, 255]), first + 1);
    etcd.put("/tesu", b"another");
    let records = etcd.list("/test/");
    assert_eq!(values(&records), [("/test/a", &b""[..]), ("/test/b", &[0, 255][..])]);
    assert_eq!(records[1].mod_revision, first + 1);
    assert_eq!(etcd.delete_prefix("/test/"), 2);
    assert_eq!(etcd.list("/test/"), []);
    assert_eq!(etcd.get("/tesu").unwrap().value, b"another");
}

#[test]
fn a_lease_ends_its_keys() {
    let etcd = Etcd::start(1);
    let api = etcd.api(0);
    let limit = Duration::from_secs(5);
    api.post("/v3/lease/grant", &json!({"ID": "7", "TTL": "900"}), limit).unwrap();
    let put = json!({"key": encode(b"/test/leased"), "lease": "7"});
    api.post("/v3/kv/put", &put, limit).unwrap();
    assert_eq!(etcd.leases(), [7]);
    let lease = etcd.lease(7);
    assert!((890..=900).contains(&lease.left_s), "{lease:?}");
    assert_eq!((lease.granted_s, lease.keys.as_slice()), (900, &["/test/leased".to_owned()][..]));
    assert_eq!(etcd.get("/test/leased").unwrap().lease, 7);
    api.post("/v3/lease/revoke", &json!({"ID": "7"}), limit).unwrap();
    assert_eq!(etcd.get("/test/leased"), None);
    assert_eq!(etcd.lease(7).left_s, -1);
}

#[test]
fn a_killed_leader_is_replaced_and_comes_back() {
    let etcd = Etcd::start(3);
    etcd.put("/test/before", b"1");
    let killed = etcd.leader();
    let begin = now();
    etcd.kill(killed);
    assert_ne!(etcd.leader(), killed);
    assert!(begin.elapsed() < ELECTION_MAX, "{:?}", begin.elapsed());
    etcd.put("/test/meanwhile", b"2");
    let both = [("/test/before", &b"1"[..]), ("/test/meanwhile", &b"2"[..])];
    assert_eq!(values(&etcd.list("/test/")), both);
    etcd.restart(killed);
    etcd.wait_healthy();
    // What it missed it has by now: with it and without another one there is a majority.
    etcd.kill(etcd.leader());
    assert_eq!(values(&etcd.list("/test/")), both);
}

#[test]
fn a_frozen_leader_is_replaced_and_follows() {
    let etcd = Etcd::start(3);
    let frozen = etcd.leader();
    let begin = now();
    etcd.freeze(frozen);
    let error = etcd.api(frozen).try_revision(Duration::from_millis(200)).unwrap_err();
    assert!(error.contains("timeout"), "{error}");
    assert_ne!(etcd.leader(), frozen);
    assert!(begin.elapsed() < ELECTION_MAX, "{:?}", begin.elapsed());
    let revision = etcd.put("/test/meanwhile", b"1");
    etcd.thaw(frozen);
    etcd.wait_healthy();
    assert_eq!(etcd.api(frozen).try_revision(Duration::from_secs(5)), Ok(revision));
}

#[test]
fn nothing_is_put_without_a_majority() {
    let etcd = Etcd::start(3);
    let leader = etcd.leader();
    let followers = (0..3).filter(|member| *member != leader);
    let followers: Vec<usize> = followers.collect();
    followers.iter().for_each(|member| etcd.freeze(*member));
    let put = |limit| etcd.api(leader).try_put("/test/key", b"1", limit);
    let error = put(Duration::from_millis(500)).unwrap_err();
    assert!(error.contains("timeout"), "{error}");
    followers.iter().for_each(|member| etcd.thaw(*member));
    etcd.wait_healthy();
    etcd.put("/test/key", b"2");
    assert_eq!(etcd.get("/test/key").unwrap().value, b"2");
}

#[test]
fn what_was_put_outlives_all_members() {
    let setup = Setup { is_synced: true, ..Setup::default() };
    let etcd = Etcd::start_with(&setup);
    etcd.put("/test/key", b"1");
    (0..3).for_each(|member| etcd.kill(member));
    (0..3).for_each(|member| etcd.restart(member));
    etcd.wait_healthy();
    assert_eq!(etcd.get("/test/key").unwrap().value, b"1");
}
