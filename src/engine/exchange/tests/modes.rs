//! Observing instead of enforcing, and gateways that share a ledger.

use super::*;

/// A breaker that has tripped stays open for the whole story.
fn configured(setting: &str) -> World {
    let breaker = r#""breaker": {"open_ms": 3600000, "open_ms_max": 3600000,"#;
    let config = CONFIG.replacen(r#""breaker": {"#, breaker, 1);
    World::with(&config.replacen('{', &format!("{{{setting},"), 1))
}

fn observing() -> World {
    configured(r#""mode": "observe""#)
}

/// The same store under another configuration.
fn enforced(world: &World) -> World {
    let mut enforcing = World::new();
    enforcing.store.clone_from(&world.store);
    enforcing.now = world.now;
    enforcing
}

impl World {
    /// What is told of a request that is only observed: where it went, what was noted.
    fn observe(&mut self, asked: &Asked, ending: Ending<'_>) -> String {
        let mut run = self.begin(asked);
        let place = run.told();
        let only = ["x-dana-cluster", "x-envoy-max-retries"];
        let headers = &run.forward.as_ref().unwrap().headers;
        assert!(headers.iter().all(|(name, _)| only.contains(&name.as_str())), "{headers:?}");
        self.end(&mut run, ending);
        assert_eq!(run.relayed.as_deref(), Some(""), "whatever came is let through as it came");
        format!("{place}, {}", run.note.unwrap().would)
    }
}

#[test]
fn observing_sends_everything_to_the_first_gateway_and_says_what_it_would_have_done() {
    let mut world = observing();
    let pay = post(CREATE, ORDER);
    let primary = "to dana_primary, ";
    assert_eq!(world.observe(&pay, TIMEOUT), format!("{primary}forward"));
    assert_eq!(world.observe(&pay, TIMEOUT), format!("{primary}unknown"));
    world.pass(6000);
    assert_eq!(world.observe(&pay, upstream(200, OK)), format!("{primary}repeat"));
    let status = post(STATUS, OF_ORDER);
    let told = r#"{"responseCode":"2005500","latestTransactionStatus":"00"}"#;
    assert_eq!(world.observe(&status, upstream(200, told)), format!("{primary}follow"));
    assert_eq!(world.observe(&pay, upstream(200, OK)), format!("{primary}replay"));
    let other = post(CREATE, &ORDER.replace("10000.00", "20000.00"));
    assert_eq!(world.observe(&other, TIMEOUT), format!("{primary}mismatch"));
    world.trip("primary");
    world.trip("secondary");
    let new = post(CREATE, &ORDER.replace("r-1", "r-9"));
    assert_eq!(world.observe(&new, TIMEOUT), format!("{primary}no_gateway"));
    // Refused for what it is, with nothing to be written about.
    for (asked, would) in [
        (post("/unknown", "{}"), "unmatched"),
        (post(CREATE, "{"), "bad_field"),
        (post(CREATE, "{}"), "no_identity"),
        (post(CREATE, ORDER).with("x-dana-cluster", "x"), "bad_field"),
    ] {
        assert_eq!(world.observe(&asked, TIMEOUT), format!("{primary}{would}"));
    }
}

#[test]
fn a_store_that_fails_does_not_stop_what_is_only_observed() {
    for at in 1..10 {
        for fault in [Fault::Before, Fault::After] {
            let mut world = observing();
            world.fault = Some((at, fault));
            let told = world.observe(&post(CREATE, ORDER), upstream(200, OK));
            assert!(told.starts_with("to dana_primary, "), "{told}");
        }
    }
}

#[test]
fn what_was_observed_is_in_doubt_once_it_is_enforced() {
    let no = upstream(403, r#"{"responseCode":"4035414"}"#);
    for ending in [upstream(200, OK), no, TIMEOUT] {
        let mut world = observing();
        world.observe(&post(CREATE, ORDER), ending);
        let mut world = enforced(&world);
        assert_eq!(world.pay(TIMEOUT), "504 unknown unknown", "too soon for a repeat");
        let other = post(CREATE, &ORDER.replace("10000.00", "20000.00"));
        assert_eq!(world.ask(&other, None), "429 in_progress unknown", "no mismatch either");
        world.pass(35_000);
        assert_eq!(world.ask(&post(CREATE, ORDER), None), "to dana_primary");
        assert!(!world.store.claims()[0].observed, "the repeat is enforced");
    }
    // Evidence counts for it as for any other.
    let mut world = observing();
    world.observe(&post(CREATE, ORDER), no);
    let mut world = enforced(&world);
    let told = r#"{"responseCode":"2005500","latestTransactionStatus":"00"}"#;
    world.ask(&post(STATUS, OF_ORDER), Some(upstream(200, told)));
    assert_eq!(world.state(), "settled");
    assert_eq!(world.pay(TIMEOUT), "504 already_executed executed");
    // Nothing was sent: nothing is in doubt.
    let mut world = observing();
    world.observe(&post(CREATE, ORDER), REFUSED);
    assert_eq!(enforced(&world).ask(&post(CREATE, ORDER), None), "to dana_primary_first");
}

#[test]
fn an_operation_may_be_enforced_before_the_others() {
    let mut world = configured(
        r#""mode": "observe", "operations": [
            {"name": "top-up", "path": "/emoney/topup", "class": "charge", "mode": "enforce"}]"#,
    );
    let top_up = post(TOP_UP, ORDER);
    assert_eq!(world.ask(&top_up, None), "to dana_primary_first");
    assert_eq!(world.ask(&top_up, None), "429 in_progress in_progress");
    assert_eq!(world.observe(&post(CREATE, ORDER), TIMEOUT), "to dana_primary, forward");
}

#[test]
fn what_belongs_to_an_enforced_operation_is_refused_whatever_is_wrong_with_it() {
    let one_enforced = || {
        configured(
            r#""mode": "observe", "operations": [
                {"name": "top-up", "path": "/emoney/topup", "class": "charge", "mode": "enforce"}],
                "scope": {"peers": {"a.shop": ["partner-1"]}}"#,
        )
    };
    let top_up = Asked { peer: vec!["a.shop".to_owned()], ..post(TOP_UP, ORDER) };
    let long = Asked { body: " ".repeat(70_000), ..top_up.clone() };
    for (asked, told) in [
        (top_up.clone().with("x-partner-id", "partner-1"), "400 bad_field unknown"),
        (
            top_up.clone().with("x-envoy-hedge-on-per-try-timeout", "1"),
            "400 bad_field not_executed",
        ),
        (long, "413 body_too_large unknown"),
        (post(TOP_UP, ORDER), "403 peer unknown"),
        (
            Asked { peer: top_up.peer.clone(), ..post("/emoney//topup", ORDER) },
            "400 ambiguous_path not_executed",
        ),
        (
            Asked { peer: top_up.peer.clone(), ..post("/emoney/unknown", ORDER) },
            "403 unmatched not_executed",
        ),
    ] {
        assert_eq!(one_enforced().ask(&asked, None), told);
    }
    assert_eq!(one_enforced().ask(&top_up, None), "to dana_primary_first");
    // Nobody may be told apart by a name that is not in the list, also where it is only observed.
    assert_eq!(one_enforced().observe(&post(CREATE, ORDER), TIMEOUT), "to dana_primary, peer");
}

#[test]
fn every_copy_that_is_only_observed_leaves_its_trace() {
    let no = upstream(403, r#"{"responseCode":"4035414"}"#);
    // A NO at the second gateway, enforced; then observed, the first one gets it.
    let mut world = World::new();
    world.pay(no.at("secondary"));
    assert_eq!(world.state(), "rejected");
    let mut observing = observing();
    observing.store.clone_from(&world.store);
    observing.observe(&post(CREATE, ORDER), TIMEOUT);
    let mut world = enforced(&observing);
    world.pass(40_000);
    assert_eq!(world.pay(TIMEOUT), "504 unknown unknown", "either may have it");
    // The first of two copies was never sent, and the second one was.
    let mut observing = self::observing();
    let mut first = observing.begin(&post(CREATE, ORDER));
    observing.observe(&post(CREATE, ORDER), TIMEOUT);
    observing.end(&mut first, REFUSED);
    assert_eq!(observing.state(), "in_doubt");
    let mut world = enforced(&observing);
    world.pass(40_000);
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "to dana_primary");
    // Or the other way round, or the first one executed.
    for ending in [upstream(200, OK), no, TIMEOUT] {
        let mut observing = self::observing();
        let mut first = observing.begin(&post(CREATE, ORDER));
        observing.observe(&post(CREATE, ORDER), REFUSED);
        observing.end(&mut first, ending);
        assert_ne!(observing.state(), "");
        let mut world = enforced(&observing);
        // Not before the last copy must be over.
        world.pass(34_999);
        assert_eq!(world.pay(TIMEOUT), "504 unknown unknown");
        world.pass(1);
        assert_eq!(world.ask(&post(CREATE, ORDER), None), "to dana_primary");
    }
}

#[test]
fn with_a_shared_ledger_none_of_several_is_sent_a_repeat_too_soon() {
    let shared = || configured(r#""ledger": "shared""#);
    let pay = post(CREATE, ORDER);
    // Two candidates, because Envoy did not say which one it was.
    let doubt = |wait| {
        let mut world = shared();
        world.pay(Ending { endpoint: None, ..TIMEOUT });
        world.pass(wait);
        world
    };
    assert_eq!(doubt(59_999).ask(&pay, None), "504 unknown unknown");
    assert_eq!(doubt(60_000).ask(&pay, None), "to dana_primary");
    let mut world = doubt(60_000);
    world.ask(&post(STATUS, OF_ORDER), Some(upstream(404, r#"{"responseCode":"4045501"}"#)));
    assert_eq!(world.ask(&pay, None), "504 unknown unknown", "somebody said not-found");
    let down = "503 pinned_gateway_down not_executed";
    assert_eq!(doubt(59_999).ask(&post(CANCEL, OF_ORDER), None), down);
    assert_eq!(doubt(60_000).ask(&post(CANCEL, OF_ORDER), None), "to dana_primary");
}

#[test]
fn with_a_shared_ledger_another_gateway_takes_over_late_and_never_after_a_not_found() {
    let shared = || configured(r#""ledger": "shared""#);
    let pay = post(CREATE, ORDER);
    let pinned = |wait| {
        let mut world = shared();
        world.pay(TIMEOUT.at("primary"));
        world.trip("primary");
        world.pass(wait);
        world
    };
    assert_eq!(pinned(59_999).ask(&pay, None), "504 unknown unknown");
    let mut world = pinned(60_000);
    let mut run = world.begin(&pay);
    assert_eq!(run.told(), "to dana_secondary");
    assert_eq!(world.ask(&pay, None), "429 in_progress unknown", "one at a time");
    // Both may have it now, and a NO of one clears nothing.
    world.end(&mut run, upstream(403, r#"{"responseCode":"4035414"}"#).at("secondary"));
    assert_eq!(run.told(), "504 unknown unknown");
    assert_eq!(world.store.claims()[0].holders().iter().count(), 2);
    world.pass(60_000);
    assert_eq!(world.ask(&pay, None), "to dana_secondary");
    // With the gateway that had it first in good health, that is the one.
    let mut world = shared();
    world.pay(TIMEOUT.at("primary"));
    world.pass(60_000);
    assert_eq!(world.ask(&pay, None), "to dana_primary");
    // Somebody said "not found": whoever else is asked may execute it while it still travels.
    let mut world = shared();
    world.pay(TIMEOUT.at("primary"));
    world.pass(61_000);
    let not_found = upstream(404, r#"{"responseCode":"4045501"}"#);
    world.ask(&post(STATUS, OF_ORDER), Some(not_found));
    world.trip("primary");
    assert_eq!(world.ask(&pay, None), "504 unknown unknown");
    // What is not known at one is known at none.
    let way = shared().ask_around(&post(STATUS, OF_ORDER), &[not_found]);
    assert_eq!(way, "to dana_primary_first, relayed from primary");
}

#[test]
fn with_a_shared_ledger_a_no_and_a_follow_up_may_be_taken_to_another_gateway() {
    let mut world = configured(r#""ledger": "shared""#);
    world.pay(upstream(403, r#"{"responseCode":"4035414"}"#));
    world.trip("primary");
    let down = "503 pinned_gateway_down not_executed safe";
    assert_eq!(world.ask(&post(CREATE, ORDER), None), down);
    world.pass(60_000);
    assert_eq!(
        world.ask(&post(CREATE, ORDER), Some(upstream(200, OK).at("secondary"))),
        "relayed from secondary"
    );
    // It was executed at the second one. When that fails, its cancel goes to the first, later.
    let mut world = configured(r#""ledger": "shared""#);
    world.pay(upstream(200, OK).at("secondary"));
    world.trip("secondary");
    let cancel = post(CANCEL, OF_ORDER);
    assert_eq!(world.ask(&cancel, None), "503 pinned_gateway_down not_executed");
    world.pass(60_000);
    assert_eq!(world.ask(&cancel, None), "to dana_primary");
}
