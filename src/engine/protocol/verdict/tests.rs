//! The evidence table, as data. What a table does not list must be in doubt, so each is also
//! compared with the whole space around it.

use super::*;
use crate::engine::protocol::{Table, dana_snap};
use proptest::prelude::*;

/// The operation of the preset with this name.
fn operation(name: &str) -> Compiled {
    let table = Table::new(dana_snap());
    table.iter().find(|compiled| compiled.operation.name == name).unwrap().clone()
}

/// An answer of the gateway, judged. The payment asked about is `r-1`.
fn judged(operation: &Compiled, status: u16, body: &str) -> Verdict {
    let body = Body::Complete(body.as_bytes());
    let evidence = Response { origin: Origin::Upstream, status, body };
    judge(Protocol::DanaSnap, operation, Some("r-1"), &evidence)
}

/// An answer of an operation's own service with the reference it must carry.
fn snap_body(operation: &Compiled, http: u16, service: &str, case: u8) -> String {
    let reference = operation.operation.reference.as_ref();
    let member = reference.map_or_else(String::new, |reference| {
        format!(r#","{}":"r-1""#, reference.pointer.to_string().trim_start_matches('/'))
    });
    format!(r#"{{"responseCode":"{http:03}{service}{case:02}"{member}}}"#)
}

fn show(verdict: &Verdict) -> String {
    let pending = if verdict.reads_as_pending { ", pending" } else { "" };
    format!("{:?} {:?}{pending}", verdict.outcome, verdict.signal)
}

/// Everything that is listed, for whatever moves money. A case of `*` is every case that has no
/// line of its own; what has no line at all is `Doubtful Neutral`.
const LISTED: &str = "
200 00 Executed Success
202 *  Doubtful Alive, pending
400 *  No Alive
401 *  No Alive
403 *  No Alive
404 *  No Alive
404 18 Doubtful Alive
405 *  No Alive
409 *  Doubtful Alive
429 *  Doubtful Throttled
429 00 Doubtful Throttled, pending
500 *  Doubtful Failure, pending
500 00 No Failure
";

fn listed(http: u16, case: u8) -> String {
    let find = |wanted: &str| {
        LISTED.lines().find_map(|line| {
            let (code, expected) = (line.get(..6)?.trim_end(), line.get(7..)?);
            (code == format!("{http} {wanted}").trim_end()).then(|| expected.trim().to_owned())
        })
    };
    let unlisted =
        if (501..600).contains(&http) { "Doubtful Failure, pending" } else { "Doubtful Neutral" };
    find(&format!("{case:02}")).or_else(|| find("*")).unwrap_or_else(|| unlisted.to_owned())
}

const MONEY: [(&str, &str); 6] = [
    ("create-order", "54"),
    ("widget-pay", "54"),
    ("top-up", "38"),
    ("transfer-bank", "43"),
    ("cancel", "57"),
    ("refund", "58"),
];

#[test]
fn what_a_code_proves_is_listed_and_everything_else_is_in_doubt() {
    for (name, service) in MONEY {
        let operation = operation(name);
        // Each status with the cases that differ; one operation with all of them.
        let cases: Vec<u8> =
            if name == "create-order" { (0..100).collect() } else { vec![0, 1, 18, 99] };
        for http in 100..=599 {
            for case in &cases {
                let verdict =
                    judged(&operation, http, &snap_body(&operation, http, service, *case));
                assert_eq!(show(&verdict), listed(http, *case), "{name} {http}{service}{case:02}");
                let code = verdict.code.unwrap();
                assert_eq!((code.http, code.case), (http, *case));
            }
        }
    }
}

/// Whoever checks the credentials does so before it knows which service is meant.
#[test]
fn refused_credentials_are_a_no_and_no_failure_of_the_gateway() {
    for (name, _) in MONEY {
        let operation = operation(name);
        let verdict = judged(&operation, 401, &snap_body(&operation, 401, "00", 0));
        assert_eq!((verdict.outcome, verdict.signal), (Outcome::No, Signal::Alive), "{name}");
        let verdict = judged(&operation, 403, &snap_body(&operation, 401, "00", 0));
        assert_eq!(verdict.outcome, Outcome::Doubtful, "{name}: the status says otherwise");
    }
}

#[test]
fn a_code_of_another_service_or_another_status_proves_nothing() {
    for (name, service) in MONEY {
        let operation = operation(name);
        for http in [200, 202, 400, 401, 403, 404, 405, 409, 429, 500, 503] {
            let is_of_credentials = |other: &str| http == 401 && other == "00";
            let others = (0..100).map(|n| format!("{n:02}"));
            for other in others.filter(|other| other != service && !is_of_credentials(other)) {
                let verdict = judged(&operation, http, &snap_body(&operation, http, &other, 0));
                assert_eq!(verdict.outcome, Outcome::Doubtful, "{name} {http} with {other}");
                assert_eq!((verdict.code, verdict.reads_as_pending), (None, false));
            }
            for status in [0, 200, 201, 400, 403, 404, 500, 502, 504] {
                if status == http {
                    continue;
                }
                let verdict = judged(&operation, status, &snap_body(&operation, http, service, 0));
                assert_eq!(verdict.outcome, Outcome::Doubtful, "{name} {http} in a {status}");
                assert_eq!((verdict.code, verdict.reads_as_pending), (None, false));
            }
        }
    }
}

#[test]
fn bodies_that_are_not_snap_prove_nothing_of_money() {
    let operation = operation("create-order");
    let bodies = [
        "",
        "<html>403 Forbidden</html>",
        "null",
        "[]",
        "{}",
        "\"2005400\"",
        r#"{"responseCode":2005400,"partnerReferenceNo":"r-1"}"#,
        r#"{"responseCode":"200540","partnerReferenceNo":"r-1"}"#,
        r#"{"responseCode":"20054000","partnerReferenceNo":"r-1"}"#,
        r#"{"responseCode":" 005400","partnerReferenceNo":"r-1"}"#,
        r#"{"responseCode":"+005400","partnerReferenceNo":"r-1"}"#,
        r#"{"responseCode":"2005400","partnerReferenceNo":"r-1""#,
        r#"{"responseCode":"2005400","partnerReferenceNo":"r-1"} trailing"#,
        r#"{"responseCode":"2005400","responseCode":"2005400","partnerReferenceNo":"r-1"}"#,
        r#"{"responseCode":"2005400","partnerReferenceNo":"r-1","partnerReferenceNo":"r-1"}"#,
        r#"{"data":{"responseCode":"2005400","partnerReferenceNo":"r-1"}}"#,
    ];
    for body in bodies {
        for (status, signal) in [
            (200, Signal::Failure),
            (403, Signal::Failure),
            (404, Signal::Failure),
            (429, Signal::Throttled),
            (500, Signal::Failure),
            (504, Signal::Failure),
        ] {
            let verdict = judged(&operation, status, body);
            assert_eq!(verdict.outcome, Outcome::Doubtful, "{status} {body}");
            assert_eq!((verdict.signal, verdict.code), (signal, None), "{status} {body}");
            assert!(!verdict.reads_as_pending && verdict.payment_status.is_none());
        }
    }
}

#[test]
fn an_answer_that_was_not_read_to_its_end_proves_nothing() {
    let operation = operation("create-order");
    for protocol in [Protocol::DanaSnap, Protocol::Http] {
        for status in [200, 201, 202, 500, 504] {
            let evidence = Response { origin: Origin::Upstream, status, body: Body::Unreadable };
            let verdict = judge(protocol, &operation, Some("r-1"), &evidence);
            assert_eq!(verdict.outcome, Outcome::Doubtful, "{protocol:?} {status}");
        }
    }
    for status in [400, 401, 403, 404, 405] {
        let evidence = Response { origin: Origin::Upstream, status, body: Body::Unreadable };
        let verdict = judge(Protocol::DanaSnap, &operation, Some("r-1"), &evidence);
        assert_eq!(verdict.outcome, Outcome::Doubtful, "{status}");
    }
}

#[test]
fn success_needs_the_reference_that_was_sent() {
    // Name, member, and whether DANA's documents oblige the answer to carry it.
    for (name, service, member, obliged) in [
        ("create-order", "54", "partnerReferenceNo", true),
        ("widget-pay", "54", "partnerReferenceNo", true),
        ("top-up", "38", "partnerReferenceNo", true),
        ("transfer-bank", "43", "partnerReferenceNo", false),
        ("cancel", "57", "originalPartnerReferenceNo", true),
        ("refund", "58", "partnerRefundNo", true),
    ] {
        let operation = operation(name);
        let check = |reference: &str, executed: bool| {
            let body = format!(r#"{{"responseCode":"200{service}00"{reference}}}"#);
            let verdict = judged(&operation, 200, &body);
            let expected = if executed {
                (Outcome::Executed, Signal::Success)
            } else {
                (Outcome::Doubtful, Signal::Failure)
            };
            assert_eq!((verdict.outcome, verdict.signal), expected, "{name} {body}");
            assert!(!verdict.reads_as_pending, "{name} {body}");
        };
        let with = |value: &str| format!(r#","{member}":{value}"#);
        check(&with(r#""r-1""#), true);
        check(&with(r#""\u0072-1""#), true);
        check("", !obliged);
        check(&with("null"), !obliged);
        for other in [r#""r-2""#, r#""""#, r#""R-1""#, r#""r-1 ""#, "1", "true", "{}", "[\"r-1\"]"]
        {
            check(&with(other), false);
        }
        // A request without a reference settles without comparison.
        let body = format!(r#"{{"responseCode":"200{service}00"}}"#);
        let evidence = Response {
            origin: Origin::Upstream,
            status: 200,
            body: Body::Complete(body.as_bytes()),
        };
        let verdict = judge(Protocol::DanaSnap, &operation, None, &evidence);
        assert_eq!(verdict.outcome, Outcome::Executed, "{name}");
    }
}

#[test]
fn a_no_needs_no_reference() {
    let operation = operation("create-order");
    for (status, code) in [(403, "4035414"), (404, "4045408"), (500, "5005400")] {
        let verdict = judged(&operation, status, &format!(r#"{{"responseCode":"{code}"}}"#));
        assert_eq!(verdict.outcome, Outcome::No, "{code}");
    }
}

const UH: u64 = 0x2;
const UF: u64 = 0x20;
const UO: u64 = 0x80;
const DC: u64 = 0x4000;
const URX: u64 = 0x8000;
const NC: u64 = 0x0100_0000;
/// No connection, and no room for another try.
const UF_UO: u64 = UF | UO;
const UT: u64 = 0x4;
const UT_UF: u64 = UT | UF;
const RL: u64 = 0x800;

/// Why there was no answer: what Envoy's flags prove.
fn absent(operation: &Compiled, bits: u64, attached: bool) -> String {
    let origin = Origin::Envoy { flags: Flags::new(bits), attached };
    // A body and a status of Envoy's own say nothing.
    let body = br#"{"responseCode":"2005400","partnerReferenceNo":"r-1"}"#;
    let evidence = Response { origin, status: 200, body: Body::Complete(body) };
    let verdicts = [Protocol::DanaSnap, Protocol::Http]
        .map(|protocol| judge(protocol, operation, Some("r-1"), &evidence));
    assert_eq!(verdicts[0], verdicts[1]);
    assert_eq!((verdicts[0].code, verdicts[0].payment_status), (None, None));
    show(&verdicts[0])
}

fn expected_absence(bits: u64, attached: bool) -> &'static str {
    match (bits & !URX, attached) {
        (UF | UH | UT | UT_UF, false) => "NeverSent Failure",
        (UO | UF_UO | NC | DC | RL, false) => "NeverSent Neutral",
        (_, false) => "Doubtful Failure",
        // The client left; nobody waited for the gateway.
        (bits, true) if bits & DC != 0 => "Doubtful Abandoned",
        (_, true) => "Doubtful Failure",
    }
}

#[test]
fn only_the_listed_flags_prove_that_nothing_was_sent() {
    let operation = operation("create-order");
    let bits: Vec<u64> = [0].into_iter().chain((0..64).map(|place| 1 << place)).collect();
    for (place, one) in bits.iter().enumerate() {
        for (two, attached) in bits[place..].iter().flat_map(|two| [(two, false), (two, true)]) {
            for mask in [one | two, one | two | URX] {
                let (found, expected) =
                    (absent(&operation, mask, attached), expected_absence(mask, attached));
                assert_eq!(found, expected, "{mask:#x}, attached {attached}");
            }
        }
    }
    let unread = absent(&operation, u64::MAX, false);
    assert_eq!(unread, "Doubtful Failure", "flags that could not be read");
}

#[test]
fn a_request_that_the_filter_could_not_let_go_was_never_sent() {
    let evidence = Response { origin: Origin::NeverLeft, status: 0, body: Body::Unreadable };
    for protocol in [Protocol::DanaSnap, Protocol::Http] {
        let verdict = judge(protocol, &operation("top-up"), None, &evidence);
        assert_eq!(show(&verdict), "NeverSent Neutral");
    }
}

#[test]
fn statuses_tell_what_the_table_says() {
    const NONE: Option<PaymentStatus> = None;
    let closed = |how| Some(PaymentStatus::Closed(how));
    let check = |name: &str, service: &str, status: &str, expected: Option<PaymentStatus>| {
        let body = format!(
            r#"{{"responseCode":"200{service}00","originalPartnerReferenceNo":"r-1",
               "latestTransactionStatus":"{status}"}}"#
        );
        let verdict = judged(&operation(name), 200, &body);
        assert_eq!(verdict.payment_status, expected, "{name} {status}");
    };
    let (order, disbursements) =
        (("order-status", "55"), [("top-up-status", "39"), ("transfer-bank-status", "00")]);
    let both = [
        ("00", Some(PaymentStatus::Executed)),
        ("04", closed(Closed::Refunded)),
        ("05", closed(Closed::Cancelled)),
        ("06", closed(Closed::Failed)),
        ("07", Some(PaymentStatus::NotFound)),
        ("08", NONE),
        ("", NONE),
        ("0", NONE),
        ("000", NONE),
        ("AZ", NONE),
    ];
    for (status, expected) in both {
        for (name, service) in disbursements.into_iter().chain([order]) {
            check(name, service, status, expected);
        }
    }
    // 01 and 02 of a create prove that the order exists there; of money out they are pending.
    for (status, of_order, of_money_out) in [
        ("01", PaymentStatus::Executed, PaymentStatus::Pending),
        ("02", PaymentStatus::Executed, PaymentStatus::Pending),
        ("03", PaymentStatus::Pending, PaymentStatus::Pending),
    ] {
        check(order.0, order.1, status, Some(of_order));
        for (name, service) in disbursements {
            check(name, service, status, Some(of_money_out));
        }
    }
}

#[test]
fn a_status_tells_nothing_unless_it_is_one_about_this_payment() {
    let check = |status: u16, body: &str, expected: Option<PaymentStatus>| {
        assert_eq!(
            judged(&operation("order-status"), status, body).payment_status,
            expected,
            "{body}"
        );
    };
    let of = |reference: &str| {
        format!(
            r#"{{"responseCode":"2005500","latestTransactionStatus":"00",
               "originalPartnerReferenceNo":{reference}}}"#
        )
    };
    check(200, &of(r#""r-1""#), Some(PaymentStatus::Executed));
    check(200, &of("null"), Some(PaymentStatus::Executed));
    check(200, &of(r#""r-2""#), None);
    check(200, r#"{"responseCode":"2005500","latestTransactionStatus":0}"#, None);
    check(200, r#"{"responseCode":"2005500"}"#, None);
    check(200, r#"{"responseCode":"2005400","latestTransactionStatus":"00"}"#, None);
    check(200, r#"{"responseCode":"2005501","latestTransactionStatus":"00"}"#, None);
    check(202, r#"{"responseCode":"2025500","latestTransactionStatus":"00"}"#, None);
    check(404, r#"{"responseCode":"4045501"}"#, Some(PaymentStatus::NotFound));
    check(404, r#"{"responseCode":"4045501","originalPartnerReferenceNo":"r-2"}"#, None);
    check(403, r#"{"responseCode":"4045501"}"#, None);
    check(404, r#"{"responseCode":"4045401"}"#, None);
    check(404, "not found", None);
    for (status, code) in [(400, "4005501"), (401, "4015500"), (403, "4035501"), (404, "4045500")] {
        check(status, &format!(r#"{{"responseCode":"{code}"}}"#), None);
    }
    for (status, code) in [(429, "4295500"), (500, "5005500"), (500, "5005501"), (504, "5045500")] {
        check(status, &format!(r#"{{"responseCode":"{code}"}}"#), None);
    }
}

#[test]
fn a_successful_cancel_closes_and_a_successful_refund_proves_the_payment() {
    let check = |name: &str, http: u16, case: u8, expected: Option<PaymentStatus>| {
        let operation = operation(name);
        let service = operation.operation.service_codes[0].to_string();
        let verdict = judged(&operation, http, &snap_body(&operation, http, &service, case));
        assert_eq!(verdict.payment_status, expected, "{name} {http} {case}");
    };
    check("cancel", 200, 0, Some(PaymentStatus::Closed(Closed::Cancelled)));
    check("refund", 200, 0, Some(PaymentStatus::Executed));
    for name in ["cancel", "refund", "create-order", "widget-pay", "top-up", "transfer-bank"] {
        for (http, case) in [(202, 0), (404, 1), (404, 18), (409, 0), (429, 0), (500, 0), (500, 1)]
        {
            check(name, http, case, None);
        }
    }
    for name in ["create-order", "widget-pay", "top-up", "transfer-bank"] {
        check(name, 200, 0, None);
    }
}

#[test]
fn a_text_is_read_from_a_gateways_success_alone() {
    let operation = operation("order-status");
    let read = |origin, status, body: &str| {
        let body = Body::Complete(body.as_bytes());
        text_of(&operation, &Response { origin, status, body }, ANSWER_REFERENCE)
    };
    let named = |code: &str, name: &str| {
        format!(r#"{{"responseCode":"{code}","originalPartnerReferenceNo":{name}}}"#)
    };
    let success = named("2005500", r#""r-1""#);
    let up = Origin::Upstream;
    assert_eq!(read(up, 200, &success).as_deref(), Some("r-1"));
    assert_eq!(read(Origin::NeverLeft, 200, &success), None);
    assert_eq!(read(up, 202, &named("2025500", r#""r-1""#)), None);
    assert_eq!(read(up, 404, &named("4045501", r#""r-1""#)), None);
    assert_eq!(read(up, 200, &named("2005501", r#""r-1""#)), None);
    assert_eq!(read(up, 200, &named("2005400", r#""r-1""#)), None, "of another service");
    for nothing in [r#""""#, "7", "null", "{}"] {
        assert_eq!(read(up, 200, &named("2005500", nothing)), None, "{nothing}");
    }
    let unread = Response { origin: up, status: 200, body: Body::Unreadable };
    assert_eq!(text_of(&operation, &unread, ANSWER_REFERENCE), None);
}

#[test]
fn calls_that_move_no_money_are_judged_by_status_where_they_carry_no_code() {
    let check = |name: &str, status: u16, body: &str, expected: Signal| {
        assert_eq!(judged(&operation(name), status, body).signal, expected, "{name} {status}");
    };
    check("query-shop", 200, "{}", Signal::Success);
    check("query-shop", 404, "{}", Signal::Neutral);
    check("query-shop", 429, "{}", Signal::Throttled);
    check("query-shop", 503, "", Signal::Failure);
    check("create-shop", 200, "{}", Signal::Success);
    check("balance", 200, r#"{"responseCode":"2001100"}"#, Signal::Success);
    check("balance", 200, "<html>", Signal::Neutral);
    check("balance", 403, "<html>", Signal::Neutral);
}

#[test]
fn plain_http_is_judged_by_status() {
    let listed = |status: u16| match status {
        202 => "Doubtful Alive, pending",
        200..=299 => "Executed Success",
        400 | 401 | 403 | 404 | 405 | 413 | 415 | 422 => "No Alive",
        409 => "Doubtful Alive",
        429 => "Doubtful Throttled",
        500..=599 => "Doubtful Failure, pending",
        _ => "Doubtful Failure",
    };
    let operation = operation("create-order");
    for status in 0..=999 {
        let body = Body::Complete(b"anything");
        let evidence = Response { origin: Origin::Upstream, status, body };
        let verdict = judge(Protocol::Http, &operation, Some("r-1"), &evidence);
        assert_eq!(show(&verdict), listed(status), "{status}");
        assert_eq!((verdict.code, verdict.payment_status), (None, None));
        assert_eq!(verdict.not_found, status == 404, "{status}");
        // Half an answer says that the gateway lives, and nothing of the payment.
        let evidence = Response { body: Body::Unreadable, ..evidence };
        let half = show(&judge(Protocol::Http, &operation, Some("r-1"), &evidence));
        let expected =
            if listed(status) == "Executed Success" { "Doubtful Alive" } else { listed(status) };
        assert_eq!(half, expected, "half of {status}");
    }
}

#[test]
fn only_a_top_up_documents_the_replay_of_a_failed_payment() {
    for (name, service) in MONEY {
        let operation = operation(name);
        for (http, case) in [(500, 0), (500, 1), (400, 0), (504, 0), (200, 0)] {
            let code = SnapCode::parse(&format!("{http}{service}{case:02}"));
            let expected = name == "top-up" && (http, case) == (500, 0);
            assert_eq!(is_failed_before(&operation, code), expected, "{name} {http} {case}");
        }
    }
    let top_up = operation("top-up");
    assert!(!is_failed_before(&top_up, SnapCode::parse("5003900")));
    assert!(!is_failed_before(&top_up, None));
}

proptest! {
    #[test]
    fn a_code_is_seven_digits_and_reads_back_as_itself(
        http in 0u16..1000, service in 0u8..100, case in 0u8..100,
    ) {
        let text = format!("{http:03}{service:02}{case:02}");
        let code = SnapCode::parse(&text).unwrap();
        prop_assert_eq!((code.http, code.case), (http, case));
        prop_assert_eq!(std::str::from_utf8(&code.service).unwrap(), format!("{service:02}"));
        prop_assert_eq!(code.to_string(), text);
    }

    #[test]
    fn what_is_not_seven_digits_is_no_code(text in ".{0,9}|[0-9]{0,6}|[0-9]{8,12}|[0-9+ -]{7}") {
        let digits = text.len() == 7 && text.bytes().all(|byte| byte.is_ascii_digit());
        prop_assert_eq!(SnapCode::parse(&text).is_some(), digits);
    }

    #[test]
    fn no_body_makes_it_panic_and_noise_settles_nothing(
        status in 0u16..700, body in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let evidence =
            Response { origin: Origin::Upstream, status, body: Body::Complete(&body) };
        let verdict = judge(Protocol::DanaSnap, &operation("create-order"), Some("r-1"), &evidence);
        prop_assert_eq!(verdict.outcome, Outcome::Doubtful);
    }
}
