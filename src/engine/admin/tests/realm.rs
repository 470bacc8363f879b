//! A store in etcd: what operators are told of it, and of a word that it does not take.

use super::*;
use crate::engine::gateway::Gateways;
use crate::engine::machine::{Output, OutputOf};
use crate::engine::payment::{
    Claim, ClaimKey, ClaimState, Fingerprint, Incarnation, KeyPrefix, Money,
};
use crate::engine::store::{
    Entry, Found, LocalClaims, RealmWorkers, ResolvedCount, States, StoreLink,
};

const ETCD: &str =
    r#", "idempotency": {"store": {"etcd": {"cluster": "dana_etcd", "realm": "shop"}}}"#;

pub(super) fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.admin = Rc::new(config_with("admin", TWO, ETCD));
    scene
}

/// What the workers have said.
pub(super) fn say(scene: &mut Scene, links: &[StoreLink], unfinished: u32) {
    let mut workers = RealmWorkers::default();
    for (owner, link) in (1..).zip(links) {
        workers.say(owner, *link, unfinished, scene.time());
    }
    scene.put(Cell::Realm, workers.encode());
}

impl Scene {
    fn counted(&mut self, resolved: Option<ResolvedCount>) {
        self.counted_with(resolved, None);
    }

    fn counted_with(&mut self, resolved: Option<ResolvedCount>, local: Option<LocalClaims>) {
        let states = States { in_flight: 3, in_doubt: 2, settled: 9, ..States::default() };
        let (began_at, ended_at) = (self.time(), self.time());
        let census = Census { began_at, ended_at, resolved, local, states, ..Census::default() };
        self.put(Cell::Census, census.encode());
    }
}

/// Whoever ends the process must know what ends with it.
#[test]
fn what_stays_in_memory_is_told_apart() {
    let mut scene = scene();
    say(&mut scene, &[StoreLink::Joined], 0);
    let resolved = Some(ResolvedCount { claims: 9, is_exact: true });
    scene.counted(resolved);
    assert_eq!(scene.get("/status").json()["store"]["local"], Value::Null);
    assert!(!scene.page().contains("In memory"));
    scene.counted_with(resolved, Some(LocalClaims { claims: 7, in_doubt: 1 }));
    let local = json!({"claims": 7, "in_doubt": 1});
    assert_eq!(scene.get("/status").json()["store"]["local"], local);
    assert!(scene.page().contains("7 that end with this process, 1 of them in doubt"));
}

#[test]
fn how_the_store_stands_is_told_whatever_that_is() {
    use StoreLink::{Away, Joined, Joining, Refused};
    for (links, told, big) in [
        (&[Joined, Joined][..], "joined", "etcd answers"),
        (&[Joined, Joining], "joining", "not joined yet"),
        (&[Away, Joined], "away", "etcd cannot be used now"),
        (&[Joined, Refused, Away], "refused", "etcd cannot be joined"),
        (&[], "unknown", "nobody is at work"),
    ] {
        let mut scene = scene();
        say(&mut scene, links, 2);
        let status = scene.get("/status").json();
        let store = &status["store"];
        assert_eq!((&store["link"], &store["claims"]), (&told.into(), &Value::Null));
        let named = [&store["engine"], &store["cluster"], &store["realm"]];
        assert_eq!(named, [&json!("etcd"), &json!("dana_etcd"), &json!("shop")]);
        assert_eq!(store["unfinished"], 2 * links.len());
        let workers = store["workers"].as_object().unwrap();
        let many: u64 = workers.values().filter_map(Value::as_u64).sum();
        assert_eq!((workers.len(), many), (4, links.len() as u64));
        let scope = json!({"claims": "realm", "health": "process", "overrides": "process"});
        assert_eq!(status["scope"], scope);
        let page = scene.page();
        for part in [big, "Realm<dd>shop, by cluster dana_etcd", "All Envoys of the realm share"] {
            assert!(page.contains(part), "{part} in {page}");
        }
        let is_refused = told != "joined";
        assert_eq!(page.contains("Payments are refused: see the claim store"), is_refused);
        assert_eq!(page.contains("<title>primary, payments refused"), is_refused, "{page}");
        assert_eq!(page.contains("Not written yet"), !links.is_empty());
        assert!(!page.contains("% full") && !page.contains("claims_max"), "{page}");
    }
    let mut scene = Scene::new();
    let scope = json!({"claims": "process", "health": "process", "overrides": "process"});
    assert_eq!(scene.get("/status").json()["scope"], scope);
}

#[test]
fn what_was_counted_in_etcd_says_nothing_of_buckets() {
    let mut scene = scene();
    say(&mut scene, &[StoreLink::Joined], 0);
    let exact = ResolvedCount { claims: 7, is_exact: true };
    for (resolved, text) in [
        (exact, "3 under way, 7 resolved"),
        (ResolvedCount { is_exact: false, ..exact }, "3 under way, about 7 resolved"),
    ] {
        scene.counted(Some(resolved));
        let status = scene.get("/status").json();
        let claims = json!({"in_flight": 3, "in_doubt": 2, "resolved": 7,
                            "resolved_is_exact": resolved.is_exact, "unreadable": 0});
        assert_eq!(status["store"]["claims"], claims);
        assert_eq!(status["in_doubt"]["count"], 2);
        let page = scene.page();
        assert!(page.contains(text), "{page}");
        assert_eq!(scene.get("/in-doubt").status, 200);
    }
    // One of the store that was there before.
    scene.counted(None);
    let status = scene.get("/status").json();
    let none = [&status["store"]["claims"], &status["in_doubt"], &status["census"]];
    assert_eq!(none, [&Value::Null; 3]);
    let got = scene.get("/in-doubt");
    assert_eq!((got.status, &got.json()["title"]), (503, &"Claims Are Not Counted Yet".into()));
    assert!(got.text.contains("every few seconds while etcd answers"), "{}", got.text);
    // Nor the other way round.
    let mut scene = Scene::new();
    scene.counted(Some(exact));
    assert_eq!(scene.get("/status").json()["store"], Value::Null);
    scene.counted(None);
    let local = &scene.get("/status").json()["store"];
    assert_eq!((&local["engine"], &local["claims"]["settled"]), (&"local".into(), &9.into()));
}

/// A request for a word on a payment, and what it asks of its store.
fn saying(scene: &Scene) -> (Admin, Vec<OutputOf<Admin>>) {
    let key = ClaimKey::derive("partner", "order", ["a"]).to_string();
    let body = format!(
        r#"{{"key": "{key}", "executed_at": "primary", "evidence": "CASE-7", "reason": "asked DANA"}}"#
    );
    let headers: [(&[u8], &[u8]); 4] = [
        (b":method", b"POST"),
        (b":path", b"/resolve"),
        (b"content-type", b"application/json"),
        (b"authorization", b"Basic YW5uYTpzM2NyZXQ="),
    ];
    let request = Request { headers: &headers, body: body.as_bytes(), peer: &[], context: 1 };
    let mut admin = Admin::new(Rc::clone(&scene.admin));
    let event = Input::Event(AdminEvent::Request(request));
    let mut asked = admin.handle(event, scene.time(), &mut ());
    for told in [
        OperatorEvent::Layout(
            Layout::decode(&scene.loaded(Cell::Layout).bytes).map(|layout| Some(Box::new(layout))),
        ),
        OperatorEvent::Health(Some(Box::new(scene.store.health())), Default::default()),
    ] {
        let [Output::Ask(ticket, _)] = asked[..] else { panic!("{asked:?}") };
        assert!(admin.awaits_store());
        asked = admin.handle(Input::Told(ticket, told), scene.time(), &mut ());
    }
    assert!(matches!(asked[..], [Output::Ask(_, OperatorRequest::Find(_))]), "{asked:?}");
    (admin, asked)
}

fn found(scene: &Scene) -> OperatorEvent {
    let candidates = Gateways::only(scene.id("primary"));
    let ended_at = Timestamp::from_millis(START - 900_000);
    let state = ClaimState::InDoubt { candidates, ended_at, repeat_until: None, not_found: None };
    let key = ClaimKey::derive("partner", "order", ["a"]);
    let incarnation = Incarnation { claimed_at: ended_at, nonce: 7 };
    let money = Money { minor: 1_000_050, currency: *b"IDR" };
    let claim = Claim::new(Fingerprint::of_body(&key, b"x"), state, incarnation, money);
    OperatorEvent::Found(Found::Records(vec![(key.prefix(), Entry::Claim(claim))]))
}

fn told(
    admin: &mut Admin,
    asked: &[OutputOf<Admin>],
    event: OperatorEvent,
    now: Timestamp,
) -> Vec<OutputOf<Admin>> {
    let [Output::Ask(ticket, _)] = asked[..] else { panic!("{asked:?}") };
    admin.handle(Input::Told(ticket, event), now, &mut ())
}

fn reply(outputs: &[OutputOf<Admin>]) -> (u16, Value) {
    let Some(Output::Do(AdminEffect::Reply(reply))) = outputs.last() else { panic!("{outputs:?}") };
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    (reply.status, body["type"].clone())
}

#[test]
fn what_the_store_does_not_take_is_told_with_what_to_do() {
    let scene = scene();
    let unreadable = Found::Records(vec![(KeyPrefix::default(), Entry::Unreadable)]);
    for (event, reason) in [
        (OperatorEvent::Unavailable, "store_away"),
        (OperatorEvent::Found(Found::NotJoined), "not_joined"),
        (OperatorEvent::Found(Found::Unreadable), "unreadable"),
        (OperatorEvent::Found(unreadable), "unreadable"),
        (OperatorEvent::Failed, "store_failed"),
    ] {
        let (mut admin, asked) = saying(&scene);
        let ended = told(&mut admin, &asked, event, scene.time());
        assert_eq!(ended.len(), 1, "{reason}: nothing is logged");
        let kind = format!("urn:dana-failover:admin:{reason}");
        assert_eq!(reply(&ended), (503, kind.into()));
        assert!(admin.is_ended() && !admin.awaits_store());
    }
}

/// It may be written all the same, and then nobody would know who said so.
#[test]
fn a_word_of_which_nobody_knows_whether_it_is_written_stands_in_the_log() {
    let scene = scene();
    for (event, lines, status) in [
        (OperatorEvent::Failed, 1, 503),
        (OperatorEvent::Unavailable, 0, 503),
        // It is counted too.
        (OperatorEvent::Written, 2, 200),
    ] {
        let (mut admin, asked) = saying(&scene);
        let asked = told(&mut admin, &asked, found(&scene), scene.time());
        assert!(matches!(asked[..], [Output::Ask(_, OperatorRequest::Replace(..))]), "{asked:?}");
        let ended = told(&mut admin, &asked, event.clone(), scene.time());
        assert_eq!((ended.len(), reply(&ended).0), (lines + 1, status), "{ended:?}");
        let Output::Do(AdminEffect::Told { line, .. }) = &ended[0] else { continue };
        let line: Value = serde_json::from_str(line.strip_prefix("resolve ").unwrap()).unwrap();
        assert_eq!((&line["actor"], &line["evidence"]), (&"anna".into(), &"CASE-7".into()));
        let unclear = if event == OperatorEvent::Failed { json!(true) } else { Value::Null };
        assert_eq!(line["unclear"], unclear);
    }
}
