//! What an operator sees first: whether payments are refused, since when, what was switched lately,
//! at which Envoy, and that the page agrees with itself.

use super::*;
use crate::engine::gateway::Gateways;
use crate::engine::health::Why;
use crate::engine::payment::Money;
use crate::engine::store::{Census, InDoubt};

fn contains(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text:?} is not on the page:\n{page}");
    }
}

/// The class of the part of the page in which a text stands.
fn class_of<'p>(page: &'p str, text: &str) -> &'p str {
    let (before, _) = page.split_once(text).unwrap_or_else(|| panic!("{text} in {page}"));
    let (_, section) = before.rsplit_once("<section class=").unwrap();
    section.split('>').next().unwrap()
}

fn refuse(scene: &mut Scene, why: Why, requests: u32) {
    scene.health(|health, _, now| health.tell_refused(&[(why, requests)], now));
}

fn counted(scene: &mut Scene, kept: u64, full: u32) {
    let now = scene.time();
    let census = Census {
        began_at: now,
        ended_at: now,
        buckets: 100,
        records: kept,
        records_max: if full > 0 { 64 } else { 20 },
        kept,
        full,
        ..Census::default()
    };
    scene.put(Cell::Census, census.encode());
}

#[test]
fn the_page_is_not_green_while_the_store_is_full() {
    let mut scene = Scene::new();
    counted(&mut scene, 1600, 0);
    let page = scene.page();
    assert_eq!(class_of(&page, "47% full"), "good");
    assert_eq!(class_of(&page, "New payments go to"), "good");
    assert_eq!(scene.get("/status").json()["store"]["room"], "enough");

    counted(&mut scene, 2900, 0);
    assert_eq!(class_of(&scene.page(), "86% full"), "care");
    assert_eq!(scene.get("/status").json()["store"]["room"], "little");

    counted(&mut scene, 6200, 25);
    refuse(&mut scene, Why::StoreFull, 3);
    scene.pass(20_000);
    refuse(&mut scene, Why::StoreFull, 1200);
    scene.pass(4000);
    let page = scene.page();
    assert_eq!(class_of(&page, "Claim store"), "bad");
    assert_eq!(class_of(&page, "New payments go to"), "bad");
    contains(
        &page,
        &[
            "<title>primary, payments refused",
            "25 of 100 buckets have no room: about one of 4 new payments is refused.",
            "1203 requests were refused: the claim store has no room.",
            "Since 2026-09-21 21:13:20 WIB, the last one 4.0 s ago.",
            "lower idempotency.retention_s",
            "a larger claims_max under a new vm_id",
        ],
    );
    let status = scene.get("/status").json();
    let store = &status["store"];
    assert_eq!((&store["room"], &store["fill_pct"]), (&json!("none"), &json!(100)));
    assert_eq!((&store["full_buckets"], &store["buckets"]), (&json!(25), &json!(100)));
    assert_eq!(
        status["refused"],
        json!([{"reason": "claim_store_full", "since": "2026-09-21T14:13:20.000Z",
                "last": "2026-09-21T14:13:40.000Z", "requests": 1203, "recent": true}])
    );

    // It is over, and was.
    counted(&mut scene, 100, 0);
    scene.pass(60_001);
    counted(&mut scene, 100, 0);
    let page = scene.page();
    assert_eq!(class_of(&page, "New payments go to"), "good");
    contains(&page, &["1203 requests were refused from 2026-09-21 21:13:20 WIB to"]);
}

/// Payments are refused before anybody has counted how many claims there are.
#[test]
fn refusals_show_before_the_next_count() {
    let mut scene = Scene::new();
    refuse(&mut scene, Why::StoreFull, 1);
    let page = scene.page();
    assert_eq!(class_of(&page, "Claim store"), "bad");
    contains(&page, &["1 request was refused: the claim store has no room.", "To make room"]);
}

#[test]
fn nowhere_says_since_when_and_how_many_were_refused() {
    let mut scene = Scene::new();
    scene.trip("primary");
    scene.trip("secondary");
    refuse(&mut scene, Why::NoGateway, 40);
    scene.pass(3000);
    refuse(&mut scene, Why::NoGateway, 2);
    contains(
        &scene.page(),
        &["\u{2716} nowhere", "42 requests were refused: no gateway was usable.", "Since 2026-"],
    );
}

#[test]
fn the_last_switches_are_told() {
    let mut scene = Scene::new();
    scene.trip("primary");
    scene.pass(65_000);
    let page = scene.page();
    contains(&page, &["primary \u{2192} secondary", "2026-09-21 21:13:20 WIB, 1 min 05 s ago"]);
    assert_eq!(
        scene.get("/status").json()["switches"],
        json!([{"at": "2026-09-21T14:13:20.000Z", "from": "primary", "to": "secondary",
                "kind": "failover"}])
    );
}

/// "Not usable" does not stand beside "traffic flows", nor "0 failed" beside failures in a row.
#[test]
fn the_page_agrees_with_itself() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.beat("secondary", false);
    }
    let page = scene.page();
    let card = page.split("<h2>secondary").nth(1).unwrap();
    assert!(card.contains("not usable") && !card.contains("traffic flows"), "{card}");
    contains(card, &["\u{25b2} closed, but see above: no new payments come"]);

    scene.report("primary", Signal::Failure, false);
    scene.pass(40_000);
    let page = scene.page();
    contains(
        &page,
        &["no calls in 30.0 s; with those before, 1 failure in a row (limit 2)", "traffic flows"],
    );
    assert!(!page.contains("0 failed"), "{page}");

    // Nor "no calls in 30 s" beside failures of a second ago.
    scene.trip("primary");
    scene.pass(1000);
    let page = scene.page();
    let card = page.split("<h2>primary").nth(1).unwrap().split("</section>").next().unwrap();
    contains(card, &["2 failures in a row (limit 2); 1.0 s ago", "no calls since it last moved"]);
    assert!(!card.contains("no calls in"), "{card}");
}

#[test]
fn times_are_told_in_the_configured_zone_and_machines_get_utc() {
    let mut scene = Scene::new();
    scene.admin = Rc::new(config_with("admin", TWO, ""));
    let mut zoned = config("admin", TWO);
    zoned.time_zone = crate::engine::time::Zone::parse("Asia/Makassar").unwrap();
    contains(&scene.page(), &["<small>2026-09-21 21:13:20 WIB, renewed"]);
    scene.admin = Rc::new(zoned);
    contains(&scene.page(), &["<small>2026-09-21 22:13:20 WITA, renewed"]);
    assert_eq!(scene.get("/status").json()["now"], "2026-09-21T14:13:20.000Z");
}

#[test]
fn the_envoy_is_named_as_text() {
    let mut scene = Scene::new();
    assert_eq!(scene.get("/status").json()["instance"], json!({"node": null, "cluster": null}));
    scene.instance = Rc::new(Instance::new(b"dana-7d<b>", b"payments"));
    contains(&scene.page(), &["at dana-7d&lt;b&gt;, payments"]);
    assert_eq!(
        scene.get("/status").json()["instance"],
        json!({"node": "dana-7d<b>", "cluster": "payments"})
    );
}

#[test]
fn doubts_are_listed_for_people_with_ready_commands() {
    let mut scene = Scene::new();
    counted(&mut scene, 7, 0);
    let mut census = Census::decode(&scene.loaded(Cell::Census).bytes).unwrap();
    census.states.in_doubt = 7;
    for number in 0..7 {
        census.oldest.push(InDoubt {
            key: [number; 16],
            bucket: 3,
            candidates: [scene.id("primary"), scene.id("secondary")].into_iter().collect(),
            money: Money { minor: 123_456_700, currency: *b"IDR" },
            claimed_at: scene.time(),
            ended_at: scene.time(),
            repeat_until: None,
            attempt: 1,
            observed: false,
        });
    }
    census.oldest[0].candidates = Gateways::only(scene.id("primary"));
    scene.put(Cell::Census, census.encode());
    scene.pass(61_000);
    let page = scene.page();
    contains(&page, &["Oldest payments in doubt", "IDR\u{a0}1,234,567.00", "1 min 01 s ago"]);
    assert_eq!(page.matches("0505050505").count(), 0, "five of them");

    let accepts = [("authorization", "Bearer s3cret"), ("accept", "text/html,*/*;q=0.8")];
    let more = [accepts[0], accepts[1], (":authority", "ops.shop:10001")];
    let got = scene.send("GET", "/in-doubt", &more, "");
    assert_eq!(got.status, 200);
    let key = "06".repeat(16);
    let command = |verdict: &str| {
        format!(
            "curl -sS -u &quot;$USER:$TOKEN&quot; -H &#39;content-type: application/json&#39; \
             http://ops.shop:10001/resolve -d &#39;{{&quot;key&quot;: &quot;{key}&quot;, {verdict}, \
             &quot;evidence&quot;: &quot;&quot;, &quot;reason&quot;: &quot;&quot;}}&#39;\n"
        )
    };
    for verdict in [
        "&quot;executed_at&quot;: &quot;primary&quot;",
        "&quot;executed_at&quot;: &quot;secondary&quot;",
        "&quot;executed&quot;: false",
    ] {
        contains(&got.text, &[&command(verdict)]);
    }
    assert_eq!(got.text.matches("<pre>").count(), 7);
    assert!(!got.text.contains("<script") && !got.text.contains("refresh"), "{}", got.text);
    let two = scene.send("GET", "/in-doubt?limit=2", &more, "");
    assert_eq!(two.text.matches("<pre>").count(), 2);
    // Machines get what they got before.
    assert_eq!(scene.get("/in-doubt").json()["payments"].as_array().unwrap().len(), 7);
}
