//! Questions about payments: where they go, what their answers prove, and which answers would
//! mislead whoever asks.

use super::*;

fn status() -> Asked {
    post(STATUS, OF_ORDER)
}

fn told(code: &str) -> String {
    format!(
        r#"{{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"{code}"}}"#
    )
}

const NOT_FOUND: &str = r#"{"responseCode":"4045501","responseMessage":"Transaction Not Found"}"#;

#[test]
fn a_status_goes_where_its_payment_is_whatever_the_breaker_says() {
    for ending in [TIMEOUT.at("secondary"), upstream(200, OK).at("secondary")] {
        let mut world = World::new();
        world.pay(ending);
        world.trip("secondary");
        let run = world.begin(&status());
        assert_eq!(run.told(), "to dana_secondary");
        assert_eq!(run.header("x-envoy-upstream-rq-timeout-ms"), Some("8000"));
        assert_eq!(run.header("idempotency-key"), None);
    }
    let mut world = World::new();
    let _under_way = world.begin(&post(CREATE, ORDER));
    assert_eq!(world.ask(&status(), None), "to dana_primary");
    assert_eq!(World::new().ask(&status(), None), "to dana_primary_first");
}

#[test]
fn a_success_settles_a_payment_in_doubt() {
    for code in ["00", "01", "02"] {
        let body = told(code);
        let mut world = World::new();
        world.pay(TIMEOUT.at("primary"));
        assert_eq!(world.ask(&status(), Some(upstream(200, &body))), "relayed from primary");
        assert_eq!(world.state(), "settled");
        assert_eq!(world.pay(TIMEOUT), "504 already_executed executed");
    }
}

#[test]
fn a_success_of_an_unknown_payment_pins_it() {
    let mut world = World::new();
    let body = told("00");
    world.ask(&status(), Some(upstream(200, &body).at("secondary")));
    assert_eq!(world.state(), "settled");
    assert_eq!(world.pay(TIMEOUT), "504 already_executed executed");
    assert_eq!(world.ask(&status(), None), "to dana_secondary");
}

#[test]
fn answers_that_read_as_failed_are_withheld_while_a_charge_may_exist() {
    let gone = told("07");
    let answers = [(404, NOT_FOUND), (200, gone.as_str())];
    let unknown = "504 unknown unknown";
    for (status_code, body) in answers {
        let answer = upstream(status_code, body);
        // Nothing is known of it.
        let mut world = World::new();
        assert_eq!(world.ask(&status(), Some(answer)), unknown, "{body}");
        // In flight, in doubt, executed.
        let mut world = World::new();
        let _under_way = world.begin(&post(CREATE, ORDER));
        assert_eq!(world.ask(&status(), Some(answer)), unknown, "{body}");
        for ending in [TIMEOUT.at("primary"), Ending { endpoint: None, ..TIMEOUT }] {
            let mut world = World::new();
            world.pay(ending);
            assert_eq!(world.ask(&status(), Some(answer)), unknown, "{body}");
            assert_eq!(world.state(), "in_doubt");
        }
        let mut world = World::new();
        world.pay(upstream(200, OK));
        let executed = "504 contradicted executed";
        assert_eq!(world.ask(&status(), Some(answer)), executed, "{body}");
        // A definite NO agrees with it.
        let mut world = World::new();
        world.pay(upstream(403, r#"{"responseCode":"4035414"}"#));
        assert_eq!(world.ask(&status(), Some(answer)), "relayed from primary", "{body}");
    }
}

#[test]
fn of_two_candidates_one_speaks_for_both_only_where_it_must_have_had_the_payment() {
    let in_doubt_of_two = || {
        let mut world = World::new();
        world.pay(Ending { endpoint: None, ..TIMEOUT });
        world
    };
    // It failed there: the other one may have it.
    let (failed, cancelled) = (told("06"), told("05"));
    let mut world = in_doubt_of_two();
    world.pass(60_000);
    let answer = upstream(200, &failed);
    assert_eq!(world.ask(&status(), Some(answer)), "504 unknown unknown");
    assert_eq!(world.ask(&status(), None), "to dana_secondary", "the first one is cleared");
    // It was undone there: the other one never had it.
    let mut world = in_doubt_of_two();
    let answer = upstream(200, &cancelled);
    assert_eq!(world.ask(&status(), Some(answer)), "relayed from primary");
    world.pass(60_000);
    assert_eq!(world.pay(TIMEOUT), "404 closed_cancelled not_executed safe");
}

#[test]
fn not_found_becomes_proof_and_is_told_then() {
    let mut world = World::new();
    world.pay(TIMEOUT.at("secondary"));
    let answer = upstream(404, NOT_FOUND);
    for (wait, told) in [
        (59_999, "504 unknown unknown"),
        (1, "504 unknown unknown"),
        (59_999, "504 unknown unknown"),
        (1, "relayed from secondary"),
    ] {
        world.pass(wait);
        assert_eq!(world.ask(&status(), Some(answer)), told);
    }
    assert_eq!(world.state(), "rejected");
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "to dana_secondary", "nowhere else");
}

#[test]
fn a_cancelled_payment_is_closed_and_told() {
    for (code, again) in [
        ("05", "404 closed_cancelled not_executed safe"),
        ("04", "404 closed_refunded executed safe"),
        ("06", "404 closed_failed not_executed safe"),
    ] {
        let body = told(code);
        let mut world = World::new();
        world.pay(TIMEOUT.at("primary"));
        if code == "06" {
            // Right after the attempt it may be said of one of before, and is not told.
            let told = world.ask(&status(), Some(upstream(200, &body)));
            assert_eq!((told.as_str(), world.state()), ("504 unknown unknown", "in_doubt"));
            world.pass(60_000);
        }
        assert_eq!(world.ask(&status(), Some(upstream(200, &body))), "relayed from primary");
        assert_eq!(world.pay(TIMEOUT), again);
    }
}

#[test]
fn a_status_that_nobody_answers_says_nothing_of_the_payment() {
    for ending in [TIMEOUT, REFUSED, no_answer(0x2, false)] {
        let mut world = World::new();
        assert_eq!(world.ask(&status(), Some(ending)), "504 no_answer unknown");
        world.pay(TIMEOUT.at("primary"));
        assert_eq!(world.ask(&status(), Some(ending)), "504 no_answer unknown");
        assert_eq!(world.state(), "in_doubt");
    }
    let mut world = World::new();
    world.trip("primary");
    world.trip("secondary");
    assert_eq!(world.ask(&status(), None), "504 no_answer unknown");
}

#[test]
fn errors_of_the_status_call_prove_nothing_and_are_relayed() {
    for (http, code) in [(401, "4015500"), (403, "4035501"), (429, "4295500"), (500, "5005500")] {
        let body = format!(r#"{{"responseCode":"{code}"}}"#);
        let mut world = World::new();
        world.pay(TIMEOUT.at("primary"));
        let told = world.ask(&status(), Some(upstream(http, &body)));
        assert_eq!((told.as_str(), world.state()), ("relayed from primary", "in_doubt"), "{code}");
    }
}

#[test]
fn a_top_up_that_is_pending_stays_in_doubt_with_one_candidate() {
    let body = r#"{"partnerReferenceNo":"r-1","amount":{"value":"1.00","currency":"IDR"}}"#;
    let pending = r#"{"responseCode":"2003900","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"01"}"#;
    let asked = post("/rest/v1.0/emoney/topup-status", r#"{"originalPartnerReferenceNo":"r-1"}"#);
    let mut world = World::new();
    world.ask(&post(TOP_UP, body), Some(Ending { endpoint: None, ..TIMEOUT }));
    world.pass(5000);
    assert_eq!(world.ask(&post(TOP_UP, body), None), "504 unknown unknown");
    world.ask(&asked, Some(upstream(200, pending)));
    assert_eq!(world.state(), "in_doubt");
    assert_eq!(world.ask(&post(TOP_UP, body), None), "to dana_primary");
}

const REFUNDED: &str = r#"{"responseCode":"2005800","originalPartnerReferenceNo":"r-1"}"#;

#[test]
fn a_status_settles_no_refund_only_its_repeat_does() {
    let refund = |number: &str| {
        let body = r#"{"merchantId":"m-1","originalPartnerReferenceNo":"r-1","partnerRefundNo":"f-1","refundAmount":{"value":"1.00","currency":"IDR"}}"#;
        post(REFUND, &body.replace("f-1", number))
    };
    for latest in ["00", "04"] {
        let mut world = World::new();
        world.pay(upstream(200, OK));
        assert_eq!(world.ask(&refund("f-1"), Some(TIMEOUT)), "504 unknown unknown");
        // The payment is refunded, in part, by this refund or by another one.
        let told = format!(
            r#"{{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"{latest}"}}"#
        );
        world.ask(&status(), Some(upstream(200, &told)));
        let in_doubt = world.store.claims().iter().filter(|claim| !claim.is_resolved()).count();
        assert_eq!(in_doubt, 1, "{latest}: the refund is as it was");
        world.pass(5000);
        for number in ["f-1", "f-2"] {
            let mut run = world.begin(&refund(number));
            assert_eq!(run.told(), "to dana_primary", "{latest} {number}");
            world.end(&mut run, upstream(200, REFUNDED));
            assert_eq!(run.anomalies, [], "a refund contradicts no refund");
        }
    }
}

#[test]
fn a_status_of_cancelled_settles_the_cancel_in_doubt_and_makes_none() {
    let cancel = post(CANCEL, OF_ORDER);
    let cancelled = told("05");
    let mut world = World::new();
    world.pay(upstream(200, OK));
    assert_eq!(world.ask(&cancel, Some(TIMEOUT)), "504 unknown unknown");
    assert_eq!(world.ask(&status(), Some(upstream(200, &cancelled))), "relayed from primary");
    let states: Vec<_> = world.store.claims().iter().map(|claim| name(claim.state)).collect();
    assert!(states.contains(&"settled") && states.contains(&"closed"), "{states:?}");
    world.pass(10_000);
    assert_eq!(world.ask(&cancel, None), "to dana_primary", "for its answer");
    // What nobody here cancelled can be cancelled, whatever the gateway says of it.
    let mut world = World::new();
    world.pay(upstream(200, OK));
    world.ask(&status(), Some(upstream(200, &cancelled)));
    assert_eq!(world.store.claims().len(), 1);
    assert_eq!(world.ask(&cancel, None), "to dana_primary");
    // Any other status leaves the cancel as it is.
    for code in ["00", "01", "04", "06", "07"] {
        let mut world = World::new();
        world.pay(upstream(200, OK));
        world.ask(&cancel, Some(TIMEOUT));
        let body = told(code);
        world.ask(&status(), Some(upstream(200, &body)));
        let doubtful =
            world.store.claims().into_iter().any(|claim| name(claim.state) == "in_doubt");
        assert!(doubtful, "{code}");
    }
}
