//! An Envoy in front of etcd, as the filter calls it: gRPC over the cluster `dana_etcd`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::grpc::{self, Ended};
use crate::support::envoy::Envoy;
use crate::support::etcd::cluster::await_healthy;
use crate::support::etcd::{Etcd, Setup};
use crate::support::until;

/// Longer than Envoy takes to find out who is well, on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// Reads the key `/test/key`: field 1, 9 bytes.
const RANGE: &[u8] = b"\x0a\x09/test/key";
/// The same in another prefix.
const RANGE_ELSEWHERE: &[u8] = b"\x0a\x09/else/key";

/// An Envoy without the filter that hands everything on to the cluster.
fn in_front_of(cluster: &Value) -> Envoy {
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.\
            http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{
                "match": {"prefix": "/"},
                "route": {"cluster": cluster["name"], "timeout": "2s"},
            }],
        }]},
    });
    let anywhere = json!({"address": "127.0.0.1", "port_value": 0});
    Envoy::start_bare(&json!({
        "admin": {"address": {"socket_address": anywhere}},
        "static_resources": {
            "listeners": [{
                "name": "dana",
                "address": {"socket_address": anywhere},
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
            }],
            "clusters": [cluster],
        },
    }))
}

fn range(envoy: &Envoy, message: &[u8]) -> Ended {
    grpc::call(&envoy.listener, "/etcdserverpb.KV/Range", message)
}

/// Waits until calls succeed, one after the other, on whichever worker. Envoy counts a change of
/// health before its workers know of it.
fn await_calls(envoy: &Envoy) {
    until("six calls in a row are answered", LIMIT, || {
        (0..6).all(|_| has_value(&range(envoy, RANGE), b"v")).then_some(())
    });
}

/// Waits until Envoy has looked at members this many more times.
fn await_checks(envoy: &Envoy, many: u64) {
    let attempts = || envoy.stat("cluster.dana_etcd.health_check.attempt");
    let enough = attempts() + many;
    until(&format!("{many} looks at members"), LIMIT, || (attempts() >= enough).then_some(()));
}

/// The value of the only key of a range's answer: it ends with field 5, the value, of field 2, and
/// with the count in field 4.
fn has_value(ended: &Ended, value: &[u8]) -> bool {
    let field = [&[0x2a, u8::try_from(value.len()).unwrap()], value, &[0x20, 1]].concat();
    ended.status == 0 && ended.message.ends_with(&field)
}

#[test]
fn envoy_reaches_the_members_leaves_a_lost_one_and_takes_it_back() {
    let etcd = Etcd::start(3);
    etcd.put("/test/key", b"v");
    let envoy = in_front_of(&etcd.cluster());
    await_healthy(&envoy, 3);
    await_calls(&envoy);
    let killed = etcd.follower();
    etcd.kill(killed);
    await_healthy(&envoy, 2);
    await_calls(&envoy);
    etcd.restart(killed);
    await_healthy(&envoy, 3);
    let frozen = etcd.follower();
    etcd.freeze(frozen);
    await_healthy(&envoy, 2);
    await_calls(&envoy);
    etcd.thaw(frozen);
    await_healthy(&envoy, 3);
}

/// Without a majority members stay well, so that an election empties no cluster; without any member
/// a call is refused at once.
#[test]
fn a_member_is_well_without_a_leader_and_nobody_is_called_who_is_not() {
    let etcd = Etcd::start(3);
    let envoy = in_front_of(&etcd.cluster());
    await_healthy(&envoy, 3);
    let leader = etcd.leader();
    let others: Vec<usize> = (0..3).filter(|member| *member != leader).collect();
    others.iter().for_each(|member| etcd.kill(*member));
    await_healthy(&envoy, 1);
    until("the last member has given up its lead", LIMIT, || {
        let status = etcd.api(leader).post("/v3/maintenance/status", &json!({}), LIMIT).unwrap();
        status["leader"].is_null().then_some(())
    });
    // Those that find nobody are among them.
    await_checks(&envoy, 9);
    assert_eq!(envoy.stat("cluster.dana_etcd.membership_healthy"), 1);
    let ended = range(&envoy, RANGE);
    assert_ne!(ended.status, 0, "{ended:?}");
    etcd.kill(leader);
    await_healthy(&envoy, 0);
    until("calls are refused at once", LIMIT, || {
        let ended = range(&envoy, RANGE);
        (ended.status == 14 && ended.text == "no healthy upstream").then_some(())
    });
}

/// What is stored can be read, and a refused write says why.
#[test]
fn a_member_is_well_without_space() {
    let etcd = Etcd::start(1);
    etcd.put("/test/key", b"v");
    let envoy = in_front_of(&etcd.cluster());
    await_healthy(&envoy, 1);
    etcd.set_full(true);
    let put = || grpc::call(&envoy.listener, "/etcdserverpb.KV/Put", b"\x0a\x09/test/new");
    until("a write is refused", LIMIT, || (put().status == 8).then_some(()));
    await_checks(&envoy, 3);
    assert_eq!(envoy.stat("cluster.dana_etcd.membership_healthy"), 1);
    await_calls(&envoy);
    etcd.set_full(false);
    until("a write succeeds", LIMIT, || (put().status == 0).then_some(()));
}

#[test]
fn over_tls_the_certificate_says_who_calls() {
    let etcd = Etcd::start_tls(&Setup::default());
    etcd.grant("payments", "/test/");
    etcd.grant("stranger", "/else/");
    etcd.put("/test/key", b"v");
    let envoy = in_front_of(&etcd.cluster_as("payments"));
    await_healthy(&envoy, 3);
    await_calls(&envoy);
    let ended = range(&envoy, RANGE_ELSEWHERE);
    assert_eq!((ended.status, ended.text.as_str()), (7, "etcdserver: permission denied"));
    let envoy = in_front_of(&etcd.cluster_as("stranger"));
    await_healthy(&envoy, 3);
    until("a stranger is told so", LIMIT, || (range(&envoy, RANGE).status == 7).then_some(()));
    assert_eq!(range(&envoy, RANGE_ELSEWHERE).status, 0);
    let killed = etcd.leader();
    etcd.kill(killed);
    await_healthy(&envoy, 2);
    etcd.restart(killed);
    etcd.wait_healthy();
    await_healthy(&envoy, 3);
    // With no certificate nobody is reached at all.
    let envoy = in_front_of(&etcd.cluster());
    until("each member was looked at", LIMIT, || {
        (envoy.stat("cluster.dana_etcd.health_check.failure") >= 3).then_some(())
    });
    assert_eq!(envoy.stat("cluster.dana_etcd.membership_healthy"), 0);
    assert_eq!(range(&envoy, RANGE).status, 14);
}
