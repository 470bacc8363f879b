//! From gateway to gateway: payments that this store never saw, and payments that several gateways
//! may have.

use super::*;

const NOT_FOUND: &str = r#"{"responseCode":"4045501"}"#;
const CANCEL_UNKNOWN: &str = r#"{"responseCode":"4045701"}"#;
const REFUND_UNKNOWN: &str = r#"{"responseCode":"4045801"}"#;
const CANCELLED: &str = r#"{"responseCode":"2005700","originalPartnerReferenceNo":"r-1"}"#;
const REFUNDED: &str = r#"{"responseCode":"2005800","partnerRefundNo":"x-1"}"#;
const OF_REFUND: &str =
    r#"{"merchantId":"m-1","originalPartnerReferenceNo":"r-1","partnerRefundNo":"x-1"}"#;

fn status() -> Asked {
    post(STATUS, OF_ORDER)
}

fn told(code: &str) -> String {
    format!(
        r#"{{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"{code}"}}"#
    )
}

#[test]
fn a_status_of_an_unknown_payment_asks_one_gateway_after_the_other() {
    let check = |first: Ending<'_>, second: Option<Ending<'_>>, expected: &str| {
        let endings: Vec<Ending<'_>> = [first].into_iter().chain(second).collect();
        let way = World::new().ask_around(&status(), &endings);
        assert_eq!(way, expected, "{:?}", first.evidence);
    };
    let not_found = upstream(404, NOT_FOUND);
    let (executed, gone) = (told("00"), told("07"));
    let found = upstream(200, &executed);
    let both = "to dana_primary_first, to dana_secondary, ";
    check(found, None, "to dana_primary_first, relayed from primary");
    check(not_found, Some(found), &format!("{both}200 from secondary"));
    check(upstream(200, &gone), Some(found), &format!("{both}200 from secondary"));
    // It is told only when all have said so.
    check(not_found, Some(not_found), &format!("{both}404 from secondary"));
    check(not_found, Some(no_answer(0, true)), &format!("{both}504 unknown unknown"));
    check(not_found, Some(upstream(404, "<html>")), &format!("{both}504 unknown unknown"));
    // Nothing but SNAP's own words lets it go on.
    let no = "to dana_primary_first, ";
    check(TIMEOUT, None, &format!("{no}504 no_answer unknown"));
    check(upstream(404, "<html>"), None, &format!("{no}504 unknown unknown"));
    check(
        upstream(404, r#"{"responseCode":"4045401"}"#),
        None,
        &format!("{no}504 unknown unknown"),
    );
    check(
        upstream(403, r#"{"responseCode":"4035501"}"#),
        None,
        &format!("{no}relayed from primary"),
    );
    // Whoever said it must be known, or nobody can tell who is left.
    let unnamed = Ending { endpoint: None, ..not_found };
    check(unnamed, None, &format!("{no}504 unknown unknown"));
    // The active gateway is asked first; the other one, though it could not be reached, is left.
    let moved = not_found.at("secondary");
    let way = "to dana_primary_first, to dana_primary, ";
    check(moved, Some(not_found), &format!("{way}404 from primary"));
}

#[test]
fn a_payment_found_on_the_way_is_pinned_to_who_has_it() {
    let mut world = World::new();
    let executed = told("00");
    let found = upstream(200, &executed);
    world.ask_around(&status(), &[upstream(404, NOT_FOUND), found]);
    assert_eq!(world.state(), "settled");
    assert_eq!(world.ask(&status(), None), "to dana_secondary");
    assert_eq!(world.ask(&post(CANCEL, OF_ORDER), None), "to dana_secondary");
    assert_eq!(world.pay(TIMEOUT), "504 already_executed executed");
}

#[test]
fn a_call_of_ours_carries_what_the_request_carried() {
    let mut world = World::new();
    let mut run = world.begin(&post(REFUND, OF_REFUND).with("accept-encoding", "gzip"));
    assert!(run.forward.as_ref().unwrap().keep);
    let key = run.header("idempotency-key").unwrap().to_owned();
    let external_id = run.header("x-external-id").unwrap().to_owned();
    world.answer(&mut run, upstream(404, REFUND_UNKNOWN));
    let call = &run.calls[0];
    assert_eq!((call.cluster.as_str(), call.timeout.get()), ("dana_secondary", 10_000));
    let expected = [
        ("accept-encoding", "identity"),
        ("idempotency-key", key.as_str()),
        ("x-external-id", external_id.as_str()),
    ];
    let headers: Vec<_> = call.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(headers, expected);
    // What can only be answered once is not kept.
    assert!(!world.begin(&post(CREATE, ORDER)).forward.unwrap().keep);
}

#[test]
fn a_follow_up_of_an_unknown_payment_goes_on_only_after_a_definite_not_found() {
    for (asked, unknown, done) in [
        (post(CANCEL, OF_ORDER), CANCEL_UNKNOWN, CANCELLED),
        (post(REFUND, OF_REFUND), REFUND_UNKNOWN, REFUNDED),
    ] {
        let unknown = upstream(404, unknown);
        let done = upstream(200, done);
        let check = |endings: &[Ending<'_>], way: &str, states: &[&str]| {
            let mut world = World::new();
            assert_eq!(world.ask_around(&asked, endings), way);
            let found: Vec<_> =
                world.store.claims().iter().map(|claim| name(claim.state)).collect();
            assert_eq!(found, states, "{way}");
            world
        };
        let both = "to dana_primary, to dana_secondary, ";
        check(&[unknown, unknown], &format!("{both}404 from secondary"), &["rejected"]);
        check(&[unknown, TIMEOUT], &format!("{both}504 unknown unknown"), &["in_doubt"]);
        check(&[unknown, upstream(404, "x")], &format!("{both}504 unknown unknown"), &["in_doubt"]);
        check(&[TIMEOUT], "to dana_primary, 504 unknown unknown", &["in_doubt"]);
        check(&[upstream(404, "x")], "to dana_primary, 504 unknown unknown", &["in_doubt"]);
        check(&[REFUSED], "to dana_primary, 503 never_sent not_executed", &[]);
        let mut world = World::new();
        let way = world.ask_around(&asked, &[unknown, done]);
        assert_eq!(way, format!("{both}200 from secondary"));
        assert_eq!(world.ask(&asked, None), "200 replay", "it was done once");
    }
}

#[test]
fn the_claim_names_the_next_gateway_before_that_is_asked() {
    let mut world = World::new();
    let mut run = world.begin(&post(REFUND, OF_REFUND));
    let candidates = |world: &World| {
        let ClaimState::InFlight { candidates, .. } = world.store.claims()[0].state else {
            panic!("{:?}", world.store.claims());
        };
        candidates
    };
    assert_eq!(candidates(&world), Gateways::only(world.id("primary")));
    world.pass(9000);
    world.answer(&mut run, upstream(404, REFUND_UNKNOWN));
    assert_eq!(run.calls.len(), 1);
    assert_eq!(candidates(&world), Gateways::only(world.id("secondary")));
    // The lease begins anew with the call, and when nobody comes back it is in doubt there alone.
    world.pass(29_999);
    assert_eq!(world.ask(&post(REFUND, OF_REFUND), None), "429 in_progress in_progress");
    world.pass(10_000);
    assert_eq!(world.ask(&post(REFUND, OF_REFUND), None), "to dana_secondary");
}

#[test]
fn a_refund_that_everybody_refused_asks_everybody_again() {
    let mut world = World::new();
    let asked = post(REFUND, OF_REFUND);
    let unknown = upstream(404, REFUND_UNKNOWN);
    world.ask_around(&asked, &[unknown, unknown]);
    let done = upstream(200, REFUNDED);
    let way = world.ask_around(&asked, &[unknown, done]);
    assert_eq!(way, "to dana_primary, to dana_secondary, 200 from secondary");
    // Who is not usable is not asked to act, and then nobody can say that there is no payment.
    let mut world = World::new();
    world.trip("secondary");
    assert_eq!(world.ask_around(&asked, &[unknown]), "to dana_primary, 504 unknown unknown");
}

#[test]
fn whatever_is_lost_on_the_way_stops_it() {
    let good_run = {
        let mut world = World::new();
        let mut run = world.begin(&post(REFUND, OF_REFUND));
        let before = world.calls;
        world.answer(&mut run, upstream(404, REFUND_UNKNOWN));
        before..world.calls
    };
    for at in good_run {
        for fault in [Fault::Before, Fault::After, Fault::Conflict] {
            let mut world = World::new();
            let mut run = world.begin(&post(REFUND, OF_REFUND));
            world.fault = Some((at + 1, fault));
            world.answer(&mut run, upstream(404, REFUND_UNKNOWN));
            if let Some(call) = run.calls.first() {
                let state = world.store.claims()[0].state;
                let at_secondary = Gateways::only(world.id("secondary"));
                let is_named = matches!(state, ClaimState::InFlight { candidates, .. } if candidates == at_secondary);
                assert!(is_named, "{at} {fault:?}: {} is called under {state:?}", call.cluster);
            } else {
                assert_eq!(run.told(), "504 unknown unknown", "{at} {fault:?}");
            }
        }
    }
    // The answer came after the lease: the claim is in doubt, and names nobody else any more.
    for late in [30_000, 90_000] {
        let mut world = World::new();
        let mut run = world.begin(&post(REFUND, OF_REFUND));
        world.pass(late);
        world.answer(&mut run, upstream(404, REFUND_UNKNOWN));
        assert!(run.calls.is_empty(), "{late}");
        assert_eq!(run.told(), "504 unknown unknown", "{late}");
        assert_eq!(world.state(), "in_doubt", "{late}");
    }
    // A client that has left is not worth asking on for.
    let mut world = World::new();
    let gone = upstream(404, REFUND_UNKNOWN).client_gone();
    assert_eq!(world.ask_around(&post(REFUND, OF_REFUND), &[gone]), "to dana_primary, nothing");
}

/// In doubt at both.
fn in_doubt_of_two() -> World {
    let mut world = World::new();
    world.pay(Ending { endpoint: None, ..TIMEOUT });
    world
}

#[test]
fn of_several_that_may_have_it_each_is_asked_until_one_is_sure() {
    let (executed, failed, cancelled) = (told("00"), told("06"), told("05"));
    let not_found = upstream(404, NOT_FOUND);
    let first = "to dana_primary, ";
    let both = "to dana_primary, to dana_secondary, ";
    let check = |endings: &[Ending<'_>], way: &str, state: &str| {
        let mut world = in_doubt_of_two();
        world.pass(60_000);
        assert_eq!(world.ask_around(&status(), endings), way);
        assert_eq!(world.state(), state, "{way}");
    };
    let found = upstream(200, &executed);
    check(&[found], &format!("{first}relayed from primary"), "settled");
    check(&[upstream(200, &cancelled)], &format!("{first}relayed from primary"), "closed");
    check(&[not_found, found], &format!("{both}200 from secondary"), "settled");
    check(&[TIMEOUT, found], &format!("{both}200 from secondary"), "settled");
    check(&[REFUSED, found], &format!("{both}200 from secondary"), "settled");
    check(&[not_found, not_found], &format!("{both}504 unknown unknown"), "in_doubt");
    check(&[TIMEOUT, TIMEOUT], &format!("{both}504 unknown unknown"), "in_doubt");
    // Failed at both: then it is over.
    let failed = upstream(200, &failed);
    check(&[failed, failed], &format!("{both}200 from secondary"), "closed");
    check(&[failed, not_found], &format!("{both}504 unknown unknown"), "in_doubt");
    // Whoever is well is asked first.
    let mut world = in_doubt_of_two();
    world.trip("primary");
    assert_eq!(world.ask_around(&status(), &[found]), "to dana_secondary, relayed from secondary");
}

#[test]
fn nobodys_not_found_says_anything_of_a_payment_that_cannot_be_named() {
    let not_found = upstream(404, NOT_FOUND);
    let number = OF_ORDER.replace("\"r-1\"", "1");
    let twice = OF_ORDER.replace("\"merchantId\"", "\"merchantId\":\"m-1\",\"merchantId\"");
    for asked in [post(STATUS, &number), post(STATUS, &twice), status().without("x-partner-id")] {
        let mut world = World::new();
        world.pay(TIMEOUT.at("primary"));
        let way = world.ask_around(&asked, &[not_found, not_found]);
        let expected = "to dana_primary_first, to dana_secondary, 504 unknown unknown";
        assert_eq!(way, expected, "{}", asked.body);
    }
}

/// A lenient gateway reads the reference in each of these, and we do not.
#[test]
fn what_cannot_be_read_is_no_status_without_a_reference() {
    let path = "/rest/v1.0/emoney/topup-status";
    let not_found = upstream(404, r#"{"responseCode":"4043901"}"#);
    for body in [
        r#"{"originalPartnerReferenceNo":"r-1","original_partner_reference_no":"r-1"}"#,
        r#"{"originalPartnerReferenceNo":"r-1","originalPartnerReferenceNo":"r-1"}"#,
        r#"{"OriginalPartnerReferenceNo":"r-1"}"#,
        r#"{"originalPartnerReferenceNo":"r-1"} x"#,
        "\u{feff}{\"originalPartnerReferenceNo\":\"r-1\"}",
    ] {
        let mut world = World::new();
        let topup = r#"{"partnerReferenceNo":"r-1","amount":{"value":"1.00","currency":"IDR"}}"#;
        world.ask(&post(TOP_UP, topup), Some(TIMEOUT.at("primary")));
        let way = world.ask_around(&post(path, body), &[not_found, not_found]);
        assert!(way.ends_with("504 unknown unknown"), "{way} for {body}");
        assert_eq!(world.state(), "in_doubt");
    }
}

/// Which of two names a gateway goes by is not documented: what it says of the other one is no proof.
#[test]
fn a_status_by_two_names_resolves_only_what_its_answer_names() {
    let by_both = OF_ORDER.replace('}', r#","originalReferenceNo":"d-9"}"#);
    let silent = r#"{"responseCode":"2005500","latestTransactionStatus":"06"}"#;
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    for ending in [upstream(200, silent), upstream(404, NOT_FOUND), upstream(404, NOT_FOUND)] {
        world.pass(61_000);
        let told = world.ask(&post(STATUS, &by_both), Some(ending));
        assert_eq!((told.as_str(), world.state()), ("504 unknown unknown", "in_doubt"));
    }
    let named = told("06");
    let told = world.ask(&post(STATUS, &by_both), Some(upstream(200, &named)));
    assert_eq!((told.as_str(), world.state()), ("relayed from primary", "closed"));
    // With its reference alone no such care is needed.
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    world.pass(60_000);
    world.ask(&status(), Some(upstream(200, silent)));
    assert_eq!(world.state(), "closed");
}

#[test]
fn a_status_without_the_partners_reference_resolves_what_its_answer_names() {
    let by_number = post(STATUS, r#"{"merchantId":"m-1","originalReferenceNo":"d-1"}"#);
    let executed = told("00");
    let mut world = World::new();
    world.pay(TIMEOUT.at("secondary"));
    let way = world.ask_around(&by_number, &[upstream(404, NOT_FOUND), upstream(200, &executed)]);
    assert_eq!(way, "to dana_primary_first, to dana_secondary, 200 from secondary");
    assert_eq!(world.state(), "settled");
    // An answer that names nobody says nothing about anybody.
    let nameless = r#"{"responseCode":"2005500","latestTransactionStatus":"00"}"#;
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    world.ask_around(&by_number, &[upstream(200, nameless)]);
    assert_eq!(world.state(), "in_doubt");
    // Nor does another merchant's answer.
    let other = post(STATUS, r#"{"merchantId":"m-2","originalReferenceNo":"d-1"}"#);
    world.ask_around(&other, &[upstream(200, &executed)]);
    let states: Vec<_> = world.store.claims().iter().map(|claim| name(claim.state)).collect();
    assert!(states.contains(&"in_doubt"), "{states:?}");
}
