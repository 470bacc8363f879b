//! Payments in doubt: listed as they were counted, and resolved by what somebody found out.

use super::*;
use crate::engine::gateway::Gateways;
use crate::engine::payment::{
    Claim, ClaimKey, ClaimState, Closed, Fingerprint, Incarnation, Money,
};
use crate::engine::store::{Bucket, Entry, InDoubt};

fn key(reference: &str) -> ClaimKey {
    ClaimKey::derive("partner", "order", [reference])
}

/// The first digits of a key.
fn digits(reference: &str, count: usize) -> String {
    key(reference).to_string().chars().take(count).collect()
}

impl Scene {
    fn claim(&mut self, reference: &str, state: ClaimState) {
        let (key, now) = (key(reference), self.time());
        let incarnation = Incarnation { claimed_at: now, nonce: 7 };
        let money = Money { minor: 1_000_050, currency: *b"IDR" };
        let claim = Claim::new(Fingerprint::of_body(&key, b"x"), state, incarnation, money);
        let cell = Cell::Claims(self.policy.placement.bucket(key.reference()));
        let mut bucket = Bucket::decode(self.loaded(cell).bytes).unwrap();
        bucket.put(&key.prefix(), &claim, now, Millis::new(1000)).unwrap();
        self.put(cell, bucket.into_bytes());
    }

    /// A payment that either gateway may have, and that a census has counted.
    fn doubt(&mut self, reference: &str) {
        let (candidates, ended_at) = (self.both(), self.time());
        let state =
            ClaimState::InDoubt { candidates, ended_at, repeat_until: None, not_found: None };
        self.claim(reference, state);
        let (key, now) = (key(reference), self.time());
        let mut census = Census::decode(&self.loaded(Cell::Census).bytes).unwrap_or_default();
        census.states.in_doubt += 1;
        (census.began_at, census.ended_at, census.buckets) =
            (now, now, self.policy.placement.buckets());
        census.at_risk = vec![(*b"IDR", census.states.in_doubt * 1_000_050)];
        census.oldest.push(InDoubt {
            key: key.prefix(),
            bucket: self.policy.placement.bucket(key.reference()),
            candidates,
            money: Money { minor: 1_000_050, currency: *b"IDR" },
            claimed_at: now,
            ended_at: now,
            repeat_until: None,
            attempt: 2,
            observed: false,
        });
        self.put(Cell::Census, census.encode());
    }

    fn both(&self) -> Gateways {
        self.policy.order().collect()
    }

    fn state(&self, reference: &str) -> Option<ClaimState> {
        let key = key(reference);
        let cell = Cell::Claims(self.policy.placement.bucket(key.reference()));
        let bucket = Bucket::decode(self.loaded(cell).bytes).unwrap();
        match bucket.find(&key.prefix()) {
            Entry::Claim(claim) => Some(claim.state),
            Entry::Absent | Entry::Alias(_) | Entry::Unreadable => None,
        }
    }

    fn resolve(&mut self, key: &str, verdict: &str) -> Got {
        let body = format!(
            r#"{{"key": "{key}", {verdict}, "evidence": "CASE-7", "reason": "asked DANA"}}"#
        );
        self.ask("POST", "/resolve", &body)
    }
}

const AT_PRIMARY: &str = r#""executed_at": "primary""#;
const NOWHERE: &str = r#""executed": false"#;

#[test]
fn what_is_in_doubt_is_listed_oldest_first() {
    let mut scene = Scene::new();
    let got = scene.get("/in-doubt");
    assert_eq!((got.status, &got.json()["title"]), (503, &"Claims Are Not Counted Yet".into()));
    assert_eq!(scene.get("/status").json()["in_doubt"], Value::Null);
    assert!(scene.page().contains("not counted yet"));

    scene.doubt("a");
    scene.pass(60_000);
    scene.doubt("b");
    scene.pass(1500);
    let list = scene.get("/in-doubt").json();
    assert_eq!(
        list["in_doubt"],
        json!({
            "count": 2, "oldest_age_ms": 61_500, "unsummed": 0,
            "value_at_risk": [{"currency": "IDR", "amount": "20001.00"}],
        })
    );
    assert_eq!(list["census"]["age_ms"], 1500);
    assert_eq!(
        list["payments"][0],
        json!({
            "key": digits("a", 32), "gateways": ["primary", "secondary"], "attempts": 2,
            "amount": "10000.50", "currency": "IDR", "claimed_at": "2026-09-21T14:13:20.000Z",
            "age_ms": 61_500, "ended_at": "2026-09-21T14:13:20.000Z", "repeat_until": null,
            "observed": false,
        })
    );
    assert_eq!(list["payments"][1]["key"], digits("b", 32));
    let count = |scene: &mut Scene, query: &str| {
        scene.get(&format!("/in-doubt{query}")).json()["payments"].as_array().map(Vec::len)
    };
    assert_eq!(count(&mut scene, "?limit=1"), Some(1));
    assert_eq!(count(&mut scene, "?limit=1000"), Some(2));
    for query in
        ["?limit=0", "?limit=1001", "?limit=", "?limit=-1", "?limit=+1", "?limit=x", "?x=1"]
    {
        assert_eq!(scene.get(&format!("/in-doubt{query}")).status, 400, "{query}");
    }
    let page = scene.page();
    for text in [
        "\u{26a0}\u{fe0e} IDR\u{a0}20,001.00",
        "2 payments were sent",
        "The oldest is 1 min 01 s old",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[test]
fn the_page_tells_what_the_census_could_not() {
    let mut scene = Scene::new();
    let mut census = Census { began_at: scene.time(), ended_at: scene.time(), ..Census::default() };
    scene.put(Cell::Census, census.encode());
    let page = scene.page();
    assert!(
        page.contains("\u{2714} none") && page.contains("Every payment's outcome")
            || page.contains("Every payment&#39;s outcome"),
        "{page}"
    );
    census.states.in_doubt = 1;
    census.unsummed = 1;
    census.states.unreadable = 3;
    scene.put(Cell::Census, census.encode());
    let page = scene.page();
    for text in [
        "unknown amount",
        "1 payment was sent",
        "Of 1 the amount is not known",
        "3 records cannot be read",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    scene.pass(600_001);
    assert!(scene.page().contains("Nobody counts any more"));
}

/// The largest store is counted for half an hour, with heartbeats at the default interval.
#[test]
fn how_long_a_count_takes_follows_from_the_store() {
    let claims = r#", "idempotency": {"store": {"local": {"claims_max": 16777216}}}"#;
    let mut scene = Scene::new();
    let payments = config_with("payments", TWO, claims);
    let mut layout = Layout::new(Placement::new(payments.store.claims_max, Seed::default()));
    scene.policy = Rc::new(Policy::join(payments, &mut layout, Timestamp::default()).unwrap().0);
    scene.put(Cell::Layout, layout.encode());
    scene.admin = Rc::new(config_with("admin", TWO, claims));
    let got = scene.get("/in-doubt").json();
    let detail = got["detail"].as_str().unwrap();
    assert!(detail.contains("in a store of this size one count takes 34 min 08 s"), "{detail}");
    let census = Census { began_at: scene.time(), ended_at: scene.time(), ..Census::default() };
    scene.put(Cell::Census, census.encode());
    scene.pass(2 * 2_048_000);
    assert!(!scene.page().contains("Nobody counts any more"), "one that began then still runs");
    scene.pass(2_048_001);
    assert!(scene.page().contains("Nobody counts any more"));
}

#[test]
fn a_doubt_is_ended_by_what_somebody_found_out() {
    for (verdict, after) in [
        (AT_PRIMARY, json!({"state": "settled", "how": null, "gateways": ["primary"]})),
        (
            NOWHERE,
            json!({"state": "closed", "how": "failed", "gateways": ["primary", "secondary"]}),
        ),
    ] {
        for length in [16, 32, 40, 64] {
            let mut scene = Scene::new();
            scene.doubt("a");
            scene.pass(60_000);
            let got = scene.resolve(&digits("a", length), verdict);
            assert_eq!(got.status, 200, "{}", got.text);
            let body = got.json();
            assert_eq!((&body["after"], &body["changed"]), (&after, &true.into()));
            assert_eq!(body["before"]["state"], "in_doubt");
            assert_eq!((&body["amount"], &body["currency"]), (&"10000.50".into(), &"IDR".into()));
            let line = got.told[0].strip_prefix("resolve ").unwrap();
            let line: Value = serde_json::from_str(line).unwrap();
            for (name, value) in
                [("actor", "anna"), ("evidence", "CASE-7"), ("reason", "asked DANA")]
            {
                assert_eq!(line[name], value);
            }
            assert_eq!((&line["key"], &line["after"]), (&digits("a", 32).into(), &after));
            let primary = Gateways::only(scene.id("primary"));
            let expected = match verdict {
                AT_PRIMARY => ClaimState::said_settled(primary),
                _ => ClaimState::Closed { how: Closed::Failed, gateways: scene.both() },
            };
            assert_eq!(scene.state("a"), Some(expected));
            // Said again, it is so already.
            let again = scene.resolve(&digits("a", 64), verdict);
            assert_eq!((again.status, &again.json()["changed"]), (200, &false.into()));
            assert_eq!((&again.json()["after"], again.told.len()), (&after, 0));
        }
    }
}

#[test]
fn what_must_not_be_said_of_a_payment_is_refused_with_the_reason() {
    let mut scene = Scene::new();
    let refused = |scene: &mut Scene, key: &str, verdict: &str, status: u16, reason: &str| {
        let got = scene.resolve(key, verdict);
        let kind = format!("urn:dana-failover:admin:{reason}");
        assert_eq!((got.status, &got.json()["type"]), (status, &kind.into()), "{}", got.text);
        let detail = got.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.ends_with("Nothing was changed."), "{detail}");
        assert!(got.told.is_empty());
        detail
    };
    refused(&mut scene, &digits("a", 40), NOWHERE, 404, "no_payment");
    let told = refused(&mut scene, &digits("a", 32), NOWHERE, 404, "not_listed");
    assert!(told.contains("40 digits"), "{told}");

    let (both, now) = (scene.both(), scene.time());
    let until = now.plus(Millis::new(5000));
    scene.claim("flies", ClaimState::InFlight { candidates: both, until, after_no: false });
    let told = refused(&mut scene, &digits("flies", 40), NOWHERE, 409, "under_way");
    assert!(told.contains("until 2026-09-21T14:13:25.000Z"), "{told}");

    scene.claim("settled", ClaimState::settled(Gateways::only(scene.id("primary"))));
    let told = refused(&mut scene, &digits("settled", 40), NOWHERE, 409, "contradiction");
    assert!(told.contains("it is settled"), "{told}");

    let primary = Gateways::only(scene.id("primary"));
    let state = ClaimState::InDoubt {
        candidates: primary,
        ended_at: now,
        repeat_until: None,
        not_found: None,
    };
    scene.claim("one", state);
    let other = r#""executed_at": "secondary""#;
    let told = refused(&mut scene, &digits("one", 40), other, 409, "contradiction");
    assert!(told.contains("cannot have reached that gateway"), "{told}");
    let third = r#""executed_at": "third""#;
    let told = refused(&mut scene, &digits("one", 40), third, 400, "bad_request");
    assert!(
        told.contains("executed_at: expected \"primary\" or \"secondary\", found third"),
        "{told}"
    );
    assert_eq!(scene.state("one"), Some(state));
    scene.fails = Some(Cell::Claims(scene.policy.placement.bucket(key("one").reference())));
    assert_eq!(scene.resolve(&digits("one", 40), NOWHERE).status, 503);
}

#[test]
fn a_leap_that_no_worker_has_seen_yet_ends_no_lease_and_no_delay() {
    let mut scene = Scene::new();
    scene.pass(0);
    let (both, now) = (scene.both(), scene.time());
    let until = now.plus(Millis::new(30_000));
    let flies = ClaimState::InFlight { candidates: both, until, after_no: false };
    scene.claim("flies", flies);
    scene.doubt("ended");
    let health = scene.loaded(Cell::Health).bytes;
    // The clock leaps, and an operator is quicker than the next tick; or the health of the gateways
    // was not written by this version.
    for health in [health, Vec::new()] {
        scene.put(Cell::Health, health);
        scene.now = START + 3_600_000;
        for key in ["flies", "ended"] {
            let before = scene.state(key);
            let got = scene.resolve(&digits(key, 40), NOWHERE);
            assert_eq!(got.status, 409, "{key}: {}", got.text);
            assert_eq!(scene.state(key), before);
        }
        // That it was executed is known whatever the clock says.
        scene.doubt("found");
        assert_eq!(scene.resolve(&digits("found", 40), AT_PRIMARY).status, 200);
    }
}

#[test]
fn a_resolution_that_lost_a_race_is_decided_anew() {
    let mut scene = Scene::new();
    scene.doubt("a");
    scene.pass(60_000);
    let bucket = Cell::Claims(scene.policy.placement.bucket(key("a").reference()));
    scene.rival = Some((bucket, 3));
    assert_eq!(scene.resolve(&digits("a", 40), NOWHERE).status, 200);
    scene.doubt("b");
    scene.pass(60_000);
    let bucket = Cell::Claims(scene.policy.placement.bucket(key("b").reference()));
    scene.rival = Some((bucket, 1000));
    let got = scene.resolve(&digits("b", 40), NOWHERE);
    assert_eq!((got.status, &got.json()["title"]), (503, &"Store Is Busy".into()));
    assert!(got.told.is_empty() && matches!(scene.state("b"), Some(ClaimState::InDoubt { .. })));
}

#[test]
fn what_is_overturned_is_an_anomaly_for_everybody_and_nothing_else_is() {
    let mut scene = Scene::new();
    scene.doubt("a");
    scene.pass(60_000);
    assert_eq!(scene.resolve(&digits("a", 40), NOWHERE).anomalies, []);
    let got = scene.resolve(&digits("a", 40), AT_PRIMARY);
    assert_eq!((got.status, &got.json()["overturned"]), (200, &true.into()));
    let [anomaly] = got.anomalies.as_slice() else { panic!("{:?}", got.anomalies) };
    assert_eq!(got.doubts, [], "it was out of doubt before");
    let line = anomaly.line("primary");
    let expected = format!(
        "payment {} overturned: its record said failed, primary says executed (an operator).",
        digits("a", 32)
    );
    assert!(line.starts_with(&expected), "{line}");
    assert_eq!(scene.resolve(&digits("a", 40), AT_PRIMARY).anomalies, [], "once");
}
