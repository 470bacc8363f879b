//! Whether an Envoy can take payments, as balancers ask.

use super::realm::{say, scene as etcd_scene};
use super::*;
use crate::engine::store::StoreLink;

impl Scene {
    /// Status, and why not.
    fn ready(&mut self) -> (u16, String) {
        let got = self.send("GET", "/ready", &[], "");
        let reason = got.json()["type"].as_str().unwrap_or_default().to_owned();
        (got.status, reason)
    }
}

const NOT_READY: &str = "urn:dana-failover:admin:not_ready";

#[test]
fn who_has_no_token_is_told_whether_payments_can_be_taken_and_nothing_else() {
    let mut scene = Scene::new();
    let got = scene.send("GET", "/ready", &[], "");
    assert_eq!((got.status, got.text.as_str()), (200, "{\"ready\":true}\n"));
    assert_eq!(scene.send("HEAD", "/ready", &[], "").status, 200);
    assert_eq!(scene.send("GET", "/ready?verbose", &[], "").status, 200);
    for (method, target) in [("POST", "/ready"), ("GET", "/ready/"), ("GET", "/Ready")] {
        assert_eq!(scene.send(method, target, &[], "").status, 401, "{method} {target}");
    }
}

#[test]
fn before_the_first_heartbeat_it_is_not_ready_and_afterwards_whatever_gateways_do() {
    let mut scene = Scene::new();
    scene.put(Cell::Health, Health::default().encode());
    assert_eq!(scene.ready(), (503, NOT_READY.to_owned()));
    scene.beat("secondary", false);
    assert_eq!(scene.ready(), (503, NOT_READY.to_owned()));
    scene.beat("secondary", true);
    assert_eq!(scene.ready().0, 200);
    for name in ["primary", "secondary"] {
        scene.trip(name);
        scene.beat(name, false);
    }
    scene.pass(3_600_000);
    assert_eq!(scene.ready().0, 200);
}

#[test]
fn what_cannot_be_read_is_not_ready() {
    let mut scene = Scene::new();
    scene.fails = Some(Cell::Health);
    assert_eq!(scene.ready().0, 503);
    let mut scene = Scene::new();
    scene.put(Cell::Health, b"of another version".to_vec());
    assert_eq!(scene.ready(), (503, "urn:dana-failover:admin:other_version".to_owned()));
    let mut scene = Scene::new();
    scene.store = MemoryStore::default();
    assert_eq!(scene.ready(), (503, "urn:dana-failover:admin:not_configured".to_owned()));
}

#[test]
fn each_worker_must_have_joined_the_store_that_may_go_away_later() {
    use StoreLink::{Away, Joined, Joining, Refused};
    for (links, is_ready) in [
        (&[Joined, Joined][..], true),
        (&[Joined, Away], true),
        (&[Away, Away], true),
        (&[Joined, Joining], false),
        (&[Away, Joining], false),
        (&[Joined, Refused], false),
        (&[], false),
    ] {
        let mut scene = etcd_scene();
        say(&mut scene, links, 0);
        let (status, reason) = scene.ready();
        assert_eq!(status == 200, is_ready, "{links:?}");
        assert_eq!(reason.is_empty(), is_ready, "{links:?}: {reason}");
    }
}
