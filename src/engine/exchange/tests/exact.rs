//! Answers that say what is known and nothing else.

use super::*;
use crate::engine::health::BreakerState;

fn detail(run: &Run) -> String {
    run.body()["detail"].as_str().unwrap().to_owned()
}

fn status(latest: &str) -> String {
    format!(
        r#"{{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"{latest}"}}"#
    )
}

/// A question without a partner may be about a payment that stands here under its partner's name.
#[test]
fn closed_is_told_to_a_question_without_a_partner_only_if_all_gateways_say_so() {
    let [failed, cancelled, executed] = ["06", "05", "00"].map(status);
    let not_found = r#"{"responseCode":"4045501"}"#;
    let asked = post(STATUS, OF_ORDER).without("x-partner-id");
    let ask = |endings: &[Ending<'_>]| World::new().ask_around(&asked, endings);
    let first = "to dana_primary_first, to dana_secondary";
    let at = |body, gateway| upstream(200, body).at(gateway);
    let unknown = format!("{first}, 504 unknown unknown");
    assert_eq!(
        ask(&[at(&failed, "primary"), at(&cancelled, "secondary")]),
        format!("{first}, 200 from secondary")
    );
    assert_eq!(
        ask(&[at(&failed, "primary"), at(&executed, "secondary")]),
        format!("{first}, 200 from secondary")
    );
    for second in [upstream(404, not_found).at("secondary"), no_answer(0, true)] {
        assert_eq!(ask(&[at(&failed, "primary"), second]), unknown);
    }
    let closed_last = [upstream(404, not_found).at("primary"), at(&failed, "secondary")];
    assert_eq!(ask(&closed_last), unknown);
    let none = [upstream(404, not_found), upstream(404, not_found).at("secondary")];
    assert_eq!(ask(&none), unknown);
    // With its partner it is looked up: nobody here knows it.
    let mut world = World::new();
    let named = world.ask(&post(STATUS, OF_ORDER), Some(upstream(200, &failed)));
    assert_eq!(named, "relayed from primary");
    // With a shared ledger one gateway speaks for all.
    let shared = CONFIG.replacen('{', r#"{"ledger": "shared","#, 1);
    assert_eq!(
        World::with(&shared).ask(&asked, Some(upstream(200, &failed))),
        "relayed from primary"
    );
}

#[test]
fn amounts_that_are_equal_are_the_same_payment() {
    let of = |amount: &str| post(CREATE, &ORDER.replace("10000.00", amount));
    for (first, again, same) in [
        ("10000.00", "10000.0", true),
        ("10000.00", "10000", true),
        ("10000", "010000.000", true),
        ("0.50", "00.5", true),
        ("10000.00", "10000.01", false),
        ("10000.00", "10000.001", false),
        ("10000.00", "1000.000", false),
        ("10000.00", "10000.", false),
        ("10000.00", "+10000.00", false),
        ("10000.00", "1e4", false),
        (".50", "0.50", false),
    ] {
        let mut world = World::new();
        world.ask(&of(first), Some(upstream(200, OK)));
        let told = world.ask(&of(again), None);
        let expected = if same { "200 replay" } else { "404 mismatch not_executed" };
        assert_eq!(told, expected, "{first} and {again}");
    }
    for (amount, minor) in [
        ("10000", 1_000_000),
        ("10000.5", 1_000_050),
        ("010000.500", 1_000_050),
        ("10000.505", 0),
        ("-1.00", 0),
        ("99999999999999999999.00", 0),
    ] {
        let mut world = World::new();
        world.ask(&of(amount), Some(upstream(200, OK)));
        assert_eq!(world.store.claims()[0].money.minor, minor, "{amount}");
    }
}

/// Stored claims have what was written with two decimals: that must stay what it was.
#[test]
fn the_fingerprint_of_an_amount_as_snap_writes_it_is_fixed() {
    let mut world = World::new();
    world.pay(upstream(200, OK));
    let print = format!("{:?}", world.store.claims()[0].fingerprint);
    assert_eq!(print, PRINT);
}

const PRINT: &str =
    "Fingerprint([251, 23, 131, 51, 140, 8, 189, 15, 224, 167, 74, 116, 114, 87, 171, 74])";

#[test]
fn what_was_executed_is_never_called_unknown() {
    let not_found = r#"{"responseCode":"4045501"}"#;
    for ending in [upstream(404, not_found), upstream(200, &status("06"))] {
        let mut world = World::new();
        world.pay(upstream(200, OK));
        let mut run = world.begin(&post(STATUS, OF_ORDER));
        world.end(&mut run, ending);
        assert_eq!(run.told(), "504 contradicted executed");
        assert!(!detail(&run).contains("not known"), "{}", detail(&run));
        assert!(run.body()["gateway_code"].is_string());
    }
}

#[test]
fn what_never_left_is_not_called_sent() {
    let claims = |said: String| {
        assert!(!said.contains("was sent") || said.contains("Nothing was sent"), "{said}");
    };
    // A repeat that could not be connected, and one that has to wait.
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    claims(detail(&world.begin(&post(CREATE, ORDER))));
    world.pass(5000);
    let mut run = world.begin(&post(CREATE, ORDER));
    world.end(&mut run, REFUSED);
    assert_eq!(run.told(), "504 unknown unknown");
    claims(detail(&run));
    // A follow-up whose second call could not be made.
    let mut world = World::new();
    let mut run = world.begin(&post(CANCEL, OF_ORDER));
    world.answer(&mut run, upstream(404, r#"{"responseCode":"4045701"}"#));
    let origin = Origin::NeverLeft;
    let evidence = Response { origin, status: 0, body: Body::Unreadable };
    world.answer(&mut run, Ending { evidence, endpoint: None, client_waits: true });
    claims(detail(&run));
    // A question says nothing of having been sent at all.
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    let mut run = world.begin(&post(STATUS, OF_ORDER));
    world.end(&mut run, upstream(404, r#"{"responseCode":"4045501"}"#));
    claims(detail(&run));
}

#[test]
fn a_connection_that_never_came_is_no_doubt() {
    for flags in [0x4, 0x24, 0x8004] {
        let mut world = World::new();
        assert_eq!(world.pay(no_answer(flags, false)), "503 never_sent not_executed safe");
        assert_eq!(world.state(), "");
        assert_eq!(World::new().pay(no_answer(flags, true)), "504 unknown unknown", "{flags:x}");
    }
    assert_eq!(World::new().pay(no_answer(0x44, false)), "504 unknown unknown");
}

/// The one that Envoy was connecting to is blamed, and nobody who would have come after it.
#[test]
fn only_who_could_not_be_connected_to_is_blamed() {
    let one = CONFIG.replace(r#""consecutive_failures": 1000"#, r#""consecutive_failures": 1"#);
    for (endpoint, open) in
        [(None, [true, false]), (Some("primary"), [true, false]), (Some("secondary"), [true, true])]
    {
        let mut world = World::with(&one);
        world.pay(Ending { endpoint, ..no_answer(0x4, false) });
        let states = ["primary", "secondary"].map(|name| world.breaker(name));
        let is_open = states.map(|state| matches!(state, BreakerState::Open { .. }));
        assert_eq!(is_open, open, "{endpoint:?}");
    }
}

#[test]
fn a_rate_limit_behind_the_filter_sends_nothing() {
    let mut world = World::new();
    let mut run = world.begin(&post(CREATE, ORDER));
    world.end(&mut run, no_answer(0x800, false));
    assert_eq!(run.told(), "429 rate_limited not_executed safe");
    assert_eq!(run.body()["responseCode"], "4295400");
    assert_eq!(run.reply_header("retry-after"), Some("1"));
    assert_eq!(
        (detail(&run).as_str(), world.state()),
        ("A rate limit turned this request away. Nothing was sent.", "")
    );
    assert_eq!(World::new().pay(no_answer(0x800, true)), "504 unknown unknown");
}
