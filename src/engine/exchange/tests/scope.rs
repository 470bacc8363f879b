//! Whose request it is, and under which further names it comes: header keys, customers' tokens,
//! client certificates.

use super::*;
use crate::engine::payment::{ClaimKey, Fingerprint, Incarnation, Money};

const OTHER_ORDER: &str = r#"{"merchantId":"m-1","partnerReferenceNo":"r-2","amount":{"value":"10000.00","currency":"IDR"}}"#;

fn keyed(body: &str, key: &str) -> Asked {
    post(CREATE, body).with("idempotency-key", key)
}

fn ok(world: &mut World, asked: &Asked) -> String {
    let body = OK.replace("r-1", if asked.body.contains("r-2") { "r-2" } else { "r-1" });
    world.ask(asked, Some(upstream(200, &body)))
}

const RELAYED: &str = "relayed from primary";
const MISMATCH: &str = "404 mismatch not_executed";

#[test]
fn a_header_key_belongs_to_the_payment_it_was_first_used_for() {
    let mut world = World::new();
    assert_eq!(ok(&mut world, &keyed(ORDER, "\"k-1\"")), RELAYED);
    assert_eq!(ok(&mut world, &keyed(ORDER, "k-1")), "200 replay", "quoted or bare");
    assert_eq!(ok(&mut world, &keyed(OTHER_ORDER, "k-1")), MISMATCH);
    // Another key, another partner, another operation are other things.
    assert_eq!(ok(&mut world, &keyed(OTHER_ORDER, "k-2")), RELAYED);
    let of_other = keyed(ORDER, "k-1").without("x-partner-id").with("x-partner-id", "partner-2");
    assert_eq!(ok(&mut world, &of_other), RELAYED);
    let cancel = post(CANCEL, OF_ORDER).with("idempotency-key", "k-1");
    assert_eq!(world.ask(&cancel, None), "to dana_primary");
}

#[test]
fn what_is_not_proven_turns_nobody_away_for_good() {
    let other = keyed(OTHER_ORDER, "k-1");
    // In flight, then in doubt.
    let mut world = World::new();
    let mut run = world.begin(&keyed(ORDER, "k-1"));
    assert_eq!(ok(&mut world, &other), "429 in_progress in_progress");
    world.end(&mut run, TIMEOUT.at("primary"));
    assert_eq!(ok(&mut world, &other), "429 in_progress unknown");
    // Refused: the key may be used for something else, and then belongs to that.
    let mut world = World::new();
    let no = upstream(403, r#"{"responseCode":"4035414"}"#);
    world.ask(&keyed(ORDER, "k-1"), Some(no));
    assert_eq!(ok(&mut world, &other), RELAYED);
    assert_eq!(ok(&mut world, &keyed(ORDER, "k-1")), MISMATCH);
    // Never sent: free at once.
    let mut world = World::new();
    world.ask(&keyed(ORDER, "k-1"), Some(REFUSED));
    assert_eq!(ok(&mut world, &other), RELAYED);
    // Bound, and whoever did it died before the claim: free when a claim's lease would be over.
    let mut world = World::new();
    let mut run = world.hold(&keyed(ORDER, "k-1"));
    while !world.store.cells().any(|cell| matches!(cell, Cell::Claims(_))) {
        world.step(&mut run);
    }
    assert!(world.store.claims().is_empty());
    world.pass(29_999);
    assert_eq!(ok(&mut world, &other), "429 in_progress in_progress");
    world.pass(1);
    assert_eq!(ok(&mut world, &other), RELAYED);
}

#[test]
fn eight_header_keys_are_kept_and_further_ones_name_the_payment_by_its_body() {
    let mut world = World::new();
    let no = r#"{"responseCode":"4035414"}"#;
    for number in 0..12 {
        let asked = keyed(ORDER, &format!("k-{number}"));
        assert_eq!(world.ask(&asked, Some(upstream(403, no))), RELAYED);
    }
    let claim = world.store.claims()[0];
    assert_eq!((claim.header_keys, claim.attempt), (8, 12));
    assert_eq!(ok(&mut world, &keyed(ORDER, "k-12")), RELAYED);
    for number in 0..13 {
        let expected = if number < 8 { MISMATCH } else { RELAYED };
        let other = OTHER_ORDER.replace("r-2", &format!("r-2{number}"));
        let asked = keyed(&other, &format!("k-{number}"));
        let body = OK.replace("r-1", &format!("r-2{number}"));
        assert_eq!(world.ask(&asked, Some(upstream(200, &body))), expected, "{number}");
    }
}

#[test]
fn a_store_that_fails_anywhere_sends_nothing_twice_under_a_header_key() {
    let good_run = {
        let mut world = World::new();
        ok(&mut world, &keyed(ORDER, "k-1"));
        world.calls
    };
    for at in 1..=good_run {
        for fault in [Fault::Before, Fault::After, Fault::Conflict] {
            let mut world = World::new();
            world.fault = Some((at, fault));
            let mut sent = 0;
            for _ in 0..2 {
                let mut run = world.begin(&keyed(ORDER, "k-1"));
                if run.exchange.is_sent() {
                    sent += 1;
                    // Where only its answer was lost, whoever gave it is asked for it.
                    let fetches = run.cluster() == "dana_primary" && world.state() == "settled";
                    assert!(sent == 1 || fetches, "{at} {fault:?}");
                    world.end(&mut run, upstream(200, OK));
                }
                assert_ne!(run.told(), "nothing");
                world.pass(1000);
            }
        }
    }
}

/// Records of others that may not go, until the bucket of `key` is full.
fn fill_bucket(world: &mut World, key: &ClaimKey) {
    let number = world.policy.placement.bucket(key.reference());
    let mut bucket = world.store.bucket(number).unwrap();
    let incarnation = Incarnation { claimed_at: world.time(), nonce: 0 };
    let state = ClaimState::settled(Gateways::only(world.id("primary")));
    let other = Claim::new(Fingerprint::UNKNOWN, state, incarnation, Money::default());
    let retention = world.policy.config.store.retention;
    for number in 0u8.. {
        if bucket.put(&[number; 16], &other, world.time(), retention).is_err() {
            break;
        }
    }
    world.store.put(Cell::Claims(number), bucket.into_bytes());
}

#[test]
fn for_want_of_room_a_payment_is_not_begun_and_one_that_was_sent_is_not_denied() {
    let order = ClaimKey::derive("partner-1", "order", ["m-1", "r-1"]);
    for number in 0..40 {
        // Header keys whose binding falls into the payment's own bucket, and others.
        let key = format!("k-{number}");
        let header_key = ClaimKey::derive("partner-1", "order header key", [key.as_str()]);
        let mut world = World::new();
        fill_bucket(&mut world, &header_key);
        let full = "503 claim_store_full not_executed safe";
        assert_eq!(world.ask(&keyed(ORDER, &key), None), full);
        let mut world = World::new();
        world.pay(TIMEOUT.at("primary"));
        fill_bucket(&mut world, &header_key);
        fill_bucket(&mut world, &order);
        world.pass(6000);
        let told = world.ask(&keyed(ORDER, &key), Some(upstream(200, OK)));
        assert_eq!(told, "relayed from primary", "{key}: its repeat goes on without the binding");
    }
}

/// Its record is gone when everything is read again, so that it begins: then not without its key.
#[test]
fn a_payment_that_begins_after_all_begins_with_its_header_key() {
    let order = ClaimKey::derive("partner-1", "order", ["m-1", "r-1"]);
    let place = |world: &World, key: &ClaimKey| {
        Cell::Claims(world.policy.placement.bucket(key.reference()))
    };
    let mut apart = 0;
    for number in 0..40 {
        let key = format!("k-{number}");
        let header_key = ClaimKey::derive("partner-1", "order header key", [key.as_str()]);
        let mut world = World::new();
        let own = place(&world, &order);
        if place(&world, &header_key) == own {
            continue;
        }
        apart += 1;
        world.pay(upstream(403, r#"{"responseCode":"4035414"}"#));
        fill_bucket(&mut world, &header_key);
        let mut run = world.hold(&keyed(ORDER, &key));
        world.step(&mut run);
        while !matches!(run.todo.front(), Some(Output::Ask(_, CellRequest::Load(Cell::Health)))) {
            assert!(world.step(&mut run), "there is no room for its key, so all is read again");
        }
        let mut bucket = Bucket::decode(world.store.load(own).bytes).unwrap();
        bucket.remove(&order.prefix());
        world.store.put(own, bucket.into_bytes());
        world.go_on(&mut run);
        assert_eq!(run.told(), "503 claim_store_full not_executed safe");
    }
    assert!(apart > 10, "{apart}");
}

#[test]
fn a_released_binding_takes_no_later_one_with_it() {
    let mut world = World::new();
    let mut first = world.hold(&keyed(ORDER, "k-1"));
    while !first.exchange.is_sent() {
        world.step(&mut first);
    }
    // It was never sent. Before its binding goes, another worker begins the same payment.
    let never = no_answer(0x20, false);
    let answer = Answer { evidence: never.evidence, ..Answer::never_left(true) };
    world.feed(&mut first, Input::Event(ExchangeEvent::Answered(answer)));
    while !world.store.claims().is_empty() {
        assert!(world.step(&mut first));
    }
    world.pass(1);
    let mut second = world.begin(&keyed(ORDER, "k-1"));
    assert!(second.exchange.is_sent());
    world.go_on(&mut first);
    world.end(&mut second, upstream(200, OK));
    assert_eq!(ok(&mut world, &keyed(OTHER_ORDER, "k-1")), MISMATCH);
}

#[test]
fn a_settlement_that_was_not_written_frees_no_binding() {
    for fault in [Fault::Before, Fault::After] {
        let mut world = World::new();
        let mut run = world.begin(&keyed(ORDER, "k-1"));
        let load = world.calls + 1;
        world.fault = Some((load + 1, fault));
        world.end(&mut run, REFUSED);
        assert_eq!(run.told(), "503 never_sent not_executed safe");
        // Whether the claim is gone is not known; if it is there, so is what is bound to it.
        let told = ok(&mut world, &keyed(OTHER_ORDER, "k-1"));
        assert_eq!(told, "429 in_progress in_progress", "{fault:?}");
    }
}

#[test]
fn header_keys_that_are_none_are_refused_clearly() {
    for bad in ["", "\"a\", \"b\"", "a b", "\"\"", "\"a\";v=1"] {
        let mut world = World::new();
        assert_eq!(world.ask(&keyed(ORDER, bad), None), "400 bad_field not_executed", "{bad}");
    }
}

const TOKEN: &str = "/v1.0/access-token/b2b2c.htm";
const OTT: &str = "/rest/v1.1/qr/apply-ott";

#[test]
fn what_carries_a_customers_token_goes_to_who_issued_it() {
    let issued = r#"{"responseCode":"2007400","accessToken":"t-1","tokenType":"Bearer"}"#;
    let mut world = World::new();
    let asked = post(TOKEN, r#"{"grantType":"AUTHORIZATION_CODE","authCode":"c"}"#);
    assert_eq!(
        world.ask(&asked, Some(upstream(200, issued).at("secondary"))),
        "relayed from secondary"
    );
    let with = |asked: Asked, token: &str| asked.with("authorization-customer", token);
    for asked in [post(CREATE, ORDER), post(OTT, "{}"), post("/v1.0/balance-inquiry.htm", "{}")] {
        assert_eq!(world.ask(&with(asked.clone(), "Bearer t-1"), None), "to dana_secondary");
        // A token that was not issued here is the first gateway's, and nobody else is asked.
        assert_eq!(
            world.ask(&with(asked.clone(), "Bearer t-2"), None),
            if asked.body == ORDER { "429 in_progress in_progress" } else { "to dana_primary" }
        );
    }
    // It never fails over.
    world.trip("secondary");
    let other = with(post(CREATE, OTHER_ORDER), "Bearer t-1");
    assert_eq!(world.ask(&other, None), "503 pinned_gateway_down not_executed safe");
    let mut world = World::new();
    assert_eq!(world.ask(&other, Some(REFUSED)), "503 never_sent not_executed safe");
    // Gateways that share their ledger share their customers.
    let shared = CONFIG.replacen('{', r#"{"ledger": "shared","#, 1);
    assert_eq!(World::with(&shared).ask(&other, None), "to dana_primary_first");
}

#[test]
fn only_whom_the_certificate_names_may_speak_for_a_partner() {
    let peers = r#"{"scope": {"peers": {"spiffe://shop/a": ["partner-1"], "b.shop": []}},"#;
    let mut world = World::with(&CONFIG.replacen('{', peers, 1));
    let asked = |names: &[&str]| Asked {
        peer: names.iter().map(|name| (*name).to_owned()).collect(),
        ..post(CREATE, ORDER)
    };
    let refused = "403 peer unknown";
    assert_eq!(world.ask(&asked(&[]), None), refused);
    assert_eq!(world.ask(&asked(&["spiffe://shop/b"]), None), refused);
    assert_eq!(world.ask(&asked(&["b.shop"]), None), refused);
    assert_eq!(world.ask(&asked(&["b.shop", "spiffe://shop/a"]), None), "to dana_primary_first");
    let of_other = asked(&["spiffe://shop/a"]).without("x-partner-id").with("x-partner-id", "p-2");
    assert_eq!(world.ask(&of_other, None), refused);
    let nobodys = asked(&["spiffe://shop/b"]).without("x-partner-id");
    assert_eq!(world.ask(&nobodys, None), refused);
}
