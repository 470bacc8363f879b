//! Payments: claimed, sent, settled, replayed, retried and repeated.

use super::*;
use crate::engine::health::BreakerState;

#[test]
fn a_payment_is_claimed_sent_and_settled() {
    let mut world = World::new();
    let asked = post(CREATE, ORDER).with("accept-encoding", "gzip");
    let mut run = world.begin(&asked);
    assert_eq!(run.told(), "to dana_primary_first");
    assert_eq!(world.state(), "in_flight");
    assert!(run.forward.as_ref().unwrap().composite && run.exchange.reads_answer());
    let key = run.header("idempotency-key").unwrap();
    assert!(key.len() == 66 && key.starts_with('"') && key.ends_with('"'), "{key}");
    assert_eq!(run.header("x-external-id").map(str::len), Some(32));
    assert_eq!(run.header("x-envoy-upstream-rq-timeout-ms"), Some("10000"));
    assert_eq!(run.header("accept-encoding"), Some("identity"));
    assert_eq!(run.header("x-envoy-max-retries"), None, "Envoy may move it on");
    world.end(&mut run, upstream(200, OK));
    assert_eq!(run.told(), "relayed from primary");
    assert_eq!(world.state(), "settled");
    let note = run.note.unwrap();
    let code = note.code.map(|code| code.to_string());
    let told = (note.decision, note.claim.name(), code.as_deref());
    assert_eq!(told, ("forward", "settled", Some("2005400")));
    let money = world.store.claims()[0].money;
    assert_eq!((money.minor, &money.currency), (1_000_000, b"IDR"));
}

#[test]
fn headers_that_the_client_sent_itself_are_left_alone() {
    let mut world = World::new();
    let asked =
        post(CREATE, ORDER).with("x-external-id", "ext-1").with("accept-encoding", "identity");
    let run = world.begin(&asked);
    assert_eq!((run.header("x-external-id"), run.header("accept-encoding")), (None, None));
}

#[test]
fn every_ending_of_a_first_attempt_leaves_the_claim_where_it_belongs() {
    let no = r#"{"responseCode":"4035414","responseMessage":"Insufficient Funds"}"#;
    let failed = r#"{"responseCode":"5005400","responseMessage":"General Error"}"#;
    let broken = r#"{"responseCode":"5005401","responseMessage":"Internal Server Error"}"#;
    let pending = r#"{"responseCode":"2025400","responseMessage":"Request In Progress"}"#;
    let busy = r#"{"responseCode":"4295400","responseMessage":"Too Many Requests"}"#;
    let earlier = r#"{"responseCode":"4045418","responseMessage":"Inconsistent Request"}"#;
    let other = OK.replace("r-1", "r-2");
    let unreadable = Response { body: Body::Unreadable, ..upstream(200, "").evidence };
    let unreadable = Ending { evidence: unreadable, ..upstream(200, "") };
    let unnamed = Ending { endpoint: None, ..upstream(403, no) };
    let table = [
        (upstream(200, OK), "settled", "relayed from primary"),
        (upstream(200, OK).at("secondary"), "settled", "relayed from secondary"),
        (upstream(403, no), "rejected", "relayed from primary"),
        (upstream(500, failed), "rejected", "relayed from primary"),
        (upstream(500, broken), "in_doubt", "relayed from primary"),
        (upstream(202, pending), "in_doubt", "relayed from primary"),
        (upstream(429, busy), "in_doubt", "relayed from primary"),
        (upstream(404, earlier), "in_doubt", "504 unknown unknown"),
        (upstream(200, &other), "in_doubt", "504 unknown unknown"),
        (upstream(200, "{}"), "in_doubt", "504 unknown unknown"),
        (upstream(403, "<html>"), "in_doubt", "504 unknown unknown"),
        (upstream(502, "<html>"), "in_doubt", "504 unknown unknown"),
        (upstream(403, OK), "in_doubt", "504 unknown unknown"),
        (unreadable, "in_doubt", "504 unknown unknown"),
        (unnamed, "in_doubt", "504 unknown unknown"),
        (upstream(403, no).at("elsewhere"), "in_doubt", "504 unknown unknown"),
        (TIMEOUT, "in_doubt", "504 unknown unknown"),
        (no_answer(0x40, true), "in_doubt", "504 unknown unknown"),
        (no_answer(0x20, true), "in_doubt", "504 unknown unknown"),
        (no_answer(0x10, false), "in_doubt", "504 unknown unknown"),
        (REFUSED, "", "503 never_sent not_executed safe"),
        (no_answer(0x8020, false), "", "503 never_sent not_executed safe"),
        (no_answer(0x2, false), "", "503 never_sent not_executed safe"),
        (no_answer(0x80, false), "", "503 never_sent not_executed safe"),
        (no_answer(0x0100_0000, false), "", "503 never_sent not_executed safe"),
    ];
    for (ending, state, told) in table {
        let mut world = World::new();
        assert_eq!(world.pay(ending), told, "{:?}", ending.evidence);
        assert_eq!(world.state(), state, "{:?}", ending.evidence);
    }
}

#[test]
fn an_answer_that_would_mislead_keeps_the_gateways_code_in_a_field() {
    let mut world = World::new();
    let mut run = world.begin(&post(CREATE, ORDER));
    world.end(&mut run, upstream(404, r#"{"responseCode":"4045418"}"#));
    let body = run.body();
    assert_eq!(body["gateway_code"], "4045418");
    assert_eq!(body["responseCode"], "5045400");
    assert_eq!(body["gateway"], "primary");
    assert_eq!(body["inquiry_path"], STATUS);
    assert_eq!(body["request_id"], "id-1");
    assert_eq!(run.reply_header("retry-after"), Some("5"));
}

#[test]
fn a_settled_payment_is_replayed_byte_for_byte() {
    let mut world = World::new();
    let answer = format!("{OK}\n  ").replace("d-1", "caf\\u00e9 \u{e9}");
    world.pay(upstream(200, &answer).at("secondary"));
    for _ in 0..2 {
        world.pass(1000);
        let run = world.begin(&post(CREATE, ORDER));
        assert_eq!(run.told(), "200 replay");
        assert_eq!(run.reply.as_ref().unwrap().body, answer.as_bytes());
        assert_eq!(run.reply_header("idempotent-replayed"), Some("true"));
        assert_eq!(run.reply_header("content-type"), Some("application/json"));
        assert_eq!(run.reply_header("x-dana-gateway"), Some("secondary"));
        assert!(run.forward.is_none());
    }
}

#[test]
fn an_executed_payment_whose_answer_is_gone_is_told_to_be_executed() {
    let check = |world: &mut World| {
        let mut run = world.begin(&post(CREATE, ORDER));
        assert_eq!(run.told(), "to dana_primary", "it is asked for");
        world.end(&mut run, TIMEOUT);
        assert_eq!(run.told(), "504 already_executed executed");
        assert_eq!(run.body()["inquiry_path"], STATUS);
    };
    let mut world = World::new();
    world.pay(upstream(200, OK));
    world.store.retain(|cell, _| !matches!(cell, Cell::Body(_)));
    check(&mut world);
    // Longer than is kept.
    let mut world = World::new();
    world.pay(upstream(200, &format!("{OK}{}", " ".repeat(512))));
    check(&mut world);
    // Another payment's answer stands there.
    let mut world = World::new();
    world.pay(upstream(200, OK));
    for (_, bytes) in world.store.bytes_mut().filter(|(cell, _)| matches!(cell, Cell::Body(_))) {
        // After the version and a length: the front of its key.
        bytes[5] ^= 1;
    }
    check(&mut world);
}

#[test]
fn what_is_the_same_payment_and_what_is_another() {
    let spaced = ORDER.replace(':', " : ").replace(',', " ,\n");
    let reordered = r#"{"amount":{"currency":"IDR","value":"10000.00"},"partnerReferenceNo":"r-1","merchantId":"m-1"}"#;
    let escaped =
        ORDER.replace("r-1", "\\u0072-1").replace("partnerReferenceNo", "p\\u0061rtnerReferenceNo");
    let dated = ORDER.replace(r#""merchantId""#, r#""validUpTo":"2026-01-01","merchantId""#);
    let create = |body: &str| post(CREATE, body);
    let same = [
        create(ORDER).with("x-external-id", "e-2").with("x-signature", "s-2"),
        create(&spaced),
        create(reordered),
        create(&escaped),
        create(&dated),
        post("/v1.0/debit/payment-host-to-host?x=1", ORDER),
        post("/rest/redirection/v1.0/debit/payment-host-to-host", ORDER),
    ];
    for asked in same {
        let mut world = World::new();
        world.pay(upstream(200, OK));
        assert_eq!(world.ask(&asked, None), "200 replay", "{}", asked.body);
    }
    let mismatch = "404 mismatch not_executed";
    let others = [
        (create(&ORDER.replace("10000.00", "10000.01")), mismatch),
        (create(&ORDER.replace("IDR", "USD")), mismatch),
        (create(&ORDER.replace("\"10000.00\"", "10000.00")), mismatch),
        (create(&ORDER.replace("r-1", "R-1")), "to dana_primary_first"),
        (create(&ORDER.replace("m-1", "m-2")), "to dana_primary_first"),
        (
            create(ORDER).without("x-partner-id").with("x-partner-id", "p-2"),
            "to dana_primary_first",
        ),
        (post(TOP_UP, ORDER), "to dana_primary_first"),
    ];
    for (asked, told) in others {
        let mut world = World::new();
        world.pay(upstream(200, OK));
        assert_eq!(world.ask(&asked, None), told, "{}", asked.body);
    }
}

#[test]
fn a_payment_under_way_is_in_progress_whatever_the_other_asks_for() {
    let mut world = World::new();
    let mut first = world.begin(&post(CREATE, ORDER));
    world.pass(1000);
    for body in [ORDER.to_owned(), ORDER.replace("10000.00", "1.00")] {
        let run = world.begin(&post(CREATE, &body));
        assert_eq!(run.told(), "429 in_progress in_progress");
        assert_eq!(run.reply_header("retry-after"), Some("9"));
        assert!(run.forward.is_none());
    }
    world.end(&mut first, upstream(200, OK));
    assert_eq!(world.pay(TIMEOUT), "200 replay");
}

#[test]
fn a_payment_that_was_never_sent_frees_its_key_for_any_gateway() {
    let mut world = World::new();
    assert_eq!(world.pay(REFUSED), "503 never_sent not_executed safe");
    assert_eq!(world.state(), "");
    world.trip("primary");
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "to dana_secondary");
}

#[test]
fn after_a_no_only_the_gateway_that_said_it_is_asked_again() {
    let no = upstream(403, r#"{"responseCode":"4035414"}"#).at("secondary");
    let mut world = World::new();
    let mut run = world.begin(&post(CREATE, ORDER));
    let key = run.header("idempotency-key").unwrap().to_owned();
    world.end(&mut run, no);
    // The new amount is another payment of the same name: the gateway is the one to judge it.
    let cheaper = post(CREATE, &ORDER.replace("10000.00", "9.00"));
    let mut run = world.begin(&cheaper);
    assert_eq!(run.told(), "to dana_secondary");
    assert_eq!(run.header("x-envoy-max-retries"), Some("0"));
    assert_eq!(run.header("idempotency-key"), Some(key.as_str()));
    assert!(!run.forward.as_ref().unwrap().composite);
    world.end(&mut run, REFUSED);
    assert_eq!(run.told(), "503 never_sent not_executed safe");
    assert_eq!(world.state(), "rejected", "the NO stands again");
    world.trip("secondary");
    let pinned = "503 pinned_gateway_down not_executed safe";
    assert_eq!(world.ask(&cheaper, None), pinned);
    assert_eq!(world.state(), "rejected");
}

#[test]
fn a_payment_in_doubt_is_repeated_at_its_only_candidate() {
    let mut world = World::new();
    let mut run = world.begin(&post(CREATE, ORDER));
    let key = run.header("idempotency-key").unwrap().to_owned();
    world.end(&mut run, TIMEOUT.at("secondary"));
    assert_eq!(world.pay(TIMEOUT), "504 unknown unknown", "too early");
    world.pass(4999);
    assert_eq!(world.pay(TIMEOUT), "504 unknown unknown", "too early");
    world.pass(1);
    let other = post(CREATE, &ORDER.replace("10000.00", "1.00"));
    assert_eq!(world.ask(&other, None), "429 in_progress unknown");
    let mut run = world.begin(&post(CREATE, ORDER));
    assert_eq!(run.told(), "to dana_secondary");
    assert_eq!(run.header("x-envoy-max-retries"), Some("0"));
    assert_eq!(run.header("idempotency-key"), Some(key.as_str()));
    assert_eq!(world.state(), "in_doubt", "never in flight");
    assert_eq!(world.pay(TIMEOUT), "429 in_progress unknown", "one at a time");
    world.end(&mut run, upstream(200, OK).at("secondary"));
    assert_eq!((run.told().as_str(), world.state()), ("relayed from secondary", "settled"));
}

#[test]
fn a_repeat_proves_nothing_but_success() {
    let no = r#"{"responseCode":"4035414"}"#;
    let failed = r#"{"responseCode":"5005400"}"#;
    for (ending, told) in [
        (upstream(403, no), "504 unknown unknown"),
        (upstream(500, failed), "504 unknown unknown"),
        (upstream(404, r#"{"responseCode":"4045418"}"#), "504 unknown unknown"),
        (REFUSED, "504 unknown unknown"),
        (no_answer(0x2, false), "504 unknown unknown"),
        (TIMEOUT, "504 unknown unknown"),
        (upstream(500, r#"{"responseCode":"5005401"}"#), "relayed from primary"),
    ] {
        let mut world = World::new();
        world.pay(TIMEOUT.at("primary"));
        world.pass(5000);
        assert_eq!(world.pay(ending), told, "{:?}", ending.evidence);
        assert_eq!(world.state(), "in_doubt", "{:?}", ending.evidence);
        world.pass(4999);
        assert_eq!(world.ask(&post(CREATE, ORDER), None), "504 unknown unknown");
        world.pass(1);
        assert_eq!(world.ask(&post(CREATE, ORDER), None), "to dana_primary");
    }
}

#[test]
fn only_a_repeated_top_up_may_prove_that_it_had_failed() {
    let body = r#"{"partnerReferenceNo":"r-1","customerNumber":"62","amount":{"value":"1.00","currency":"IDR"}}"#;
    let failed = upstream(500, r#"{"responseCode":"5003800","partnerReferenceNo":"r-1"}"#);
    let mut world = World::new();
    let asked = post(TOP_UP, body);
    world.ask(&asked, Some(TIMEOUT.at("primary")));
    world.pass(5000);
    assert_eq!(world.ask(&asked, Some(failed)), "relayed from primary");
    assert_eq!(world.state(), "closed");
    assert_eq!(world.ask(&asked, None), "404 closed_failed not_executed safe");
}

#[test]
fn a_payment_with_two_candidates_is_never_sent_again() {
    let mut world = World::new();
    world.pay(Ending { endpoint: None, ..TIMEOUT });
    for _ in 0..5 {
        world.pass(60_000);
        assert_eq!(world.ask(&post(CREATE, ORDER), None), "504 unknown unknown");
    }
    let mut world = World::new();
    drop(world.begin(&post(CREATE, ORDER)));
    world.pass(29_999);
    assert_eq!(world.pay(TIMEOUT), "429 in_progress in_progress");
    for _ in 0..5 {
        world.pass(60_000);
        assert_eq!(world.pay(TIMEOUT), "504 unknown unknown", "the lease freed nothing");
    }
}

#[test]
fn a_repeat_waits_for_its_gateway_and_ends_with_its_age() {
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    world.trip("primary");
    world.pass(5000);
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "504 unknown unknown");
    // Half-open, it takes a permit.
    world.pass(30_000);
    let mut run = world.begin(&post(CREATE, ORDER));
    assert_eq!(run.told(), "to dana_primary");
    assert!(matches!(world.breaker("primary"), BreakerState::HalfOpen { out: 1, .. }));
    world.end(&mut run, TIMEOUT);
    assert!(matches!(world.breaker("primary"), BreakerState::Open { .. }));
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    world.pass(3_600_000);
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "to dana_primary");
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    world.pass(3_600_001);
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "504 unknown unknown");
}

#[test]
fn a_transfer_without_a_reference_lives_by_its_header_key_and_is_never_repeated() {
    let body = r#"{"beneficiaryAccountNumber":"1","beneficiaryBankCode":"014","amount":{"value":"1.00","currency":"IDR"}}"#;
    let ok = upstream(200, r#"{"responseCode":"2004300"}"#);
    let asked = post(TRANSFER, body).with("idempotency-key", "\"k-1\"");
    let mut world = World::new();
    let mut run = world.begin(&asked);
    assert_eq!(run.header("idempotency-key"), Some("\"k-1\""), "it is the client's own identity");
    world.end(&mut run, ok);
    assert_eq!(run.told(), "relayed from primary");
    let bare = post(TRANSFER, body).with("idempotency-key", "k-1");
    assert_eq!(world.ask(&bare, None), "200 replay");
    let mut world = World::new();
    world.ask(&asked, Some(TIMEOUT.at("primary")));
    world.pass(10_000);
    assert_eq!(world.ask(&asked, None), "504 unknown unknown");
}

#[test]
fn follow_ups_go_where_their_payment_is() {
    let cancel = post(CANCEL, OF_ORDER);
    let follow = |world: &mut World| world.ask(&cancel, None);
    let mut world = World::new();
    let _under_way = world.begin(&post(CREATE, ORDER));
    assert_eq!(follow(&mut world), "429 in_progress in_progress");
    world.pass(30_000);
    assert_eq!(follow(&mut world), "504 unknown unknown", "it may be at either");
    for ending in [
        upstream(200, OK).at("secondary"),
        upstream(403, r#"{"responseCode":"4035414"}"#).at("secondary"),
        TIMEOUT.at("secondary"),
    ] {
        let mut world = World::new();
        world.pay(ending);
        let run = world.begin(&cancel);
        assert_eq!(run.told(), "to dana_secondary");
        assert_eq!(run.header("x-envoy-max-retries"), Some("0"));
        let mut world = World::new();
        world.pay(ending);
        world.trip("secondary");
        let told = follow(&mut world);
        assert_eq!(told, "503 pinned_gateway_down not_executed");
    }
}

#[test]
fn a_cancel_closes_its_payment_and_a_refund_proves_it() {
    let cancelled = r#"{"responseCode":"2005700","originalPartnerReferenceNo":"r-1"}"#;
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    let cancel = post(CANCEL, OF_ORDER);
    assert_eq!(world.ask(&cancel, Some(upstream(200, cancelled))), "relayed from primary");
    assert_eq!(world.pay(TIMEOUT), "404 closed_cancelled not_executed safe");
    let not_found =
        upstream(404, r#"{"responseCode":"4045701","originalPartnerReferenceNo":"r-1"}"#);
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    world.ask(&cancel, Some(not_found));
    world.pass(5000);
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "to dana_primary", "it proved nothing");
    let refund = r#"{"merchantId":"m-1","originalPartnerReferenceNo":"r-1","partnerRefundNo":"f-1","refundAmount":{"value":"1.00","currency":"IDR"}}"#;
    let refunded = upstream(200, r#"{"responseCode":"2005800","partnerRefundNo":"f-1"}"#);
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    world.pass(5000);
    let refund = post(REFUND, refund);
    assert_eq!(world.ask(&refund, Some(refunded)), "relayed from primary");
    assert_eq!(world.pay(TIMEOUT), "504 already_executed executed");
    assert_eq!(world.ask(&refund, None), "200 replay");
}

#[test]
fn nobody_usable_sends_nothing() {
    let mut world = World::new();
    world.trip("primary");
    world.trip("secondary");
    let run = world.begin(&post(CREATE, ORDER));
    assert_eq!(run.told(), "503 no_gateway not_executed safe");
    assert_eq!(run.reply_header("retry-after"), Some("10"));
    assert_eq!(world.state(), "");
}

#[test]
fn a_full_store_refuses_new_payments_and_knows_the_old_ones() {
    let mut world = World::with(&CONFIG.replace("\"claims_max\": 64", "\"claims_max\": 16"));
    let order = |number: usize| post(CREATE, &ORDER.replace("r-1", &format!("n-{number}")));
    for number in 0..limits::BUCKET_RECORDS_MAX {
        assert_eq!(world.ask(&order(number), Some(TIMEOUT)), "504 unknown unknown");
    }
    assert_eq!(world.ask(&order(1000), None), "503 claim_store_full not_executed safe");
    world.pass(10_000);
    assert_eq!(world.ask(&order(5), None), "504 unknown unknown");
}

/// After a NO the same reference may ask for another amount: that is what it is worth from then on.
#[test]
fn a_retry_with_another_amount_is_recorded_with_it() {
    let mut world = World::new();
    world.pay(upstream(403, r#"{"responseCode":"4035414"}"#));
    let less = post(CREATE, &ORDER.replace("10000.00", "9.00"));
    assert_eq!(world.ask(&less, Some(TIMEOUT)), "504 unknown unknown");
    assert_eq!(world.store.claims()[0].money.minor, 900);
}
