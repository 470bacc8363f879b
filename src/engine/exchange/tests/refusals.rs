//! Requests that are refused before anything else happens: nothing is written or sent, and nothing is
//! read but the payment that they name.

use super::*;

/// The one door: what is asked, and the status, code and words of the refusal.
fn check(asked: &Asked, status: u16, code: &str, detail: &str) {
    let mut world = World::new();
    world.calls = 0;
    let run = world.begin(asked);
    let reply = run.reply.as_ref().unwrap_or_else(|| panic!("{}", run.told()));
    let body = run.body();
    assert_eq!((reply.status, body["responseCode"].as_str()), (status, Some(code)), "{body}");
    let said = body["detail"].as_str().unwrap();
    assert!(said.contains(detail) && said.contains("Nothing was sent."), "{said}");
    assert!(run.forward.is_none() && run.exchange.is_ended());
    assert!(
        world.calls <= 1 && world.store.cells().count() == 1,
        "the payment was looked up at most"
    );
    assert_eq!(body["request_id"], "id-1");
}

#[test]
fn a_charge_without_partner_or_identity_is_refused() {
    let create = |body: &str| post(CREATE, body);
    check(&create(ORDER).without("x-partner-id"), 400, "4005402", "X-PARTNER-ID is missing");
    let empty = create(ORDER).without("x-partner-id").with("x-partner-id", "");
    check(&empty, 400, "4005402", "X-PARTNER-ID is missing");
    let names = "the body must carry /merchantId and /partnerReferenceNo";
    check(&create("{}"), 400, "4005402", names);
    check(&create(&ORDER.replace("merchantId", "merchant")), 400, "4005402", names);
    check(&create(&ORDER.replace("\"r-1\"", "\"\"")), 400, "4005402", names);
    check(&create(&ORDER.replace("\"r-1\"", "null")), 400, "4005402", names);
    check(&post(TOP_UP, "{}"), 400, "4003802", "/partnerReferenceNo");
    check(&post(CANCEL, "{}"), 400, "4005702", "/originalPartnerReferenceNo");
    check(&post(REFUND, OF_ORDER), 400, "4005802", "/partnerRefundNo");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let create = |body: &str| post(CREATE, body);
    let bad = |asked: &Asked, detail: &str| check(asked, 400, "4005401", detail);
    bad(&create(&ORDER.replace("\"r-1\"", "1")), "/partnerReferenceNo must be a string");
    bad(&create(&ORDER.replace("\"r-1\"", "[\"r-1\"]")), "must be a string");
    bad(&create(&ORDER.replace("r-1", &"x".repeat(257))), "longer than 256");
    let twice = ORDER.replace("\"merchantId\"", "\"partnerReferenceNo\":\"r-1\",\"merchantId\"");
    bad(&create(&twice), "stands twice");
    let twice = twice.replacen("partnerReferenceNo", "partnerReference\\u004eo", 1);
    bad(&create(&twice), "stands twice");
    let amount = ORDER.replace("\"amount\"", "\"amount\":{\"value\":\"1.00\"},\"amount\"");
    bad(&create(&amount), "stands twice");
    for body in ["", "{", "not json", &format!("{ORDER}{ORDER}"), &format!("\u{feff}{ORDER}")] {
        bad(&create(body), "not readable as JSON");
    }
    for (name, value) in [
        ("x-partner-id", "partner-1"),
        ("x-partner-id", "partner-2"),
        ("idempotency-key", "\"unfinished"),
        ("idempotency-key", ""),
    ] {
        let twice = name == "x-partner-id";
        let asked = create(ORDER).with(name, value);
        if twice {
            bad(&asked, "stands twice");
        } else {
            bad(&asked, "Idempotency-Key");
        }
    }
}

#[test]
fn headers_that_steer_the_router_are_refused() {
    for name in [
        "x-dana-cluster",
        "x-dana-anything",
        "x-envoy-retry-on",
        "x-envoy-retry-grpc-on",
        "x-envoy-retriable-status-codes",
        "x-envoy-retriable-header-names",
        "x-envoy-max-retries",
        "x-envoy-hedge-on-per-try-timeout",
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-upstream-alt-stat-name",
    ] {
        for (path, service) in [(CREATE, "54"), (STATUS, "55"), (CANCEL, "57")] {
            let asked = post(path, ORDER).with(name, "1");
            check(
                &asked,
                400,
                &format!("400{service}01"),
                &format!("Header {name} may not be sent"),
            );
        }
    }
    // What Envoy itself adds is no steering.
    let asked = post(CREATE, ORDER)
        .with("x-envoy-expected-rq-timeout-ms", "1")
        .with("x-envoy-external-address", "10.0.0.1");
    assert_eq!(World::new().ask(&asked, None), "to dana_primary_first");
}

#[test]
fn paths_and_methods_of_no_operation_are_refused() {
    let get = post(CREATE, ORDER).without(":method").with(":method", "GET");
    check(&get, 405, "4055400", "takes POST only");
    let mut world = World::new();
    assert_eq!(world.begin(&get).reply_header("allow"), Some("POST"));
    check(&post("/v1.0/unknown", ORDER), 403, "4030001", "no operation");
    check(
        &post("/payment-gateway//v1.0/debit/payment-host-to-host", ORDER),
        400,
        "4000001",
        "path",
    );
    check(&post("", ORDER), 400, "4000001", "path");
    check(&post(CREATE, ORDER).without(":path"), 400, "4000001", "path");
}

#[test]
fn a_body_that_is_too_long_is_refused() {
    let of = |length: usize| format!("{ORDER}{}", " ".repeat(length - ORDER.len()));
    check(&post(CREATE, &of(65_537)), 413, "4135400", "longer than 65536 bytes");
    assert_eq!(World::new().ask(&post(CREATE, &of(65_536)), None), "to dana_primary_first");
}

#[test]
fn an_unmatched_request_passes_without_promises_where_that_is_configured() {
    let mut world = World::with(&CONFIG.replacen('{', r#"{"unmatched": "pass","#, 1));
    let mut run = world.begin(&post("/v1.0/unknown", "anything").without("x-partner-id"));
    assert_eq!(run.told(), "to dana_primary_first");
    assert!(!run.exchange.reads_answer());
    assert_eq!(run.header("idempotency-key"), None);
    world.end(&mut run, upstream(500, ""));
    assert_eq!(run.told(), "relayed from primary");
}

/// Whoever decodes a body otherwise than we read it may find another payment in it.
#[test]
fn a_payment_in_another_encoding_is_refused_and_a_question_is_not() {
    let cases = [
        ("content-type", "application/json; charset=Shift_JIS", false),
        ("content-type", "application/json;charset=\"iso-8859-1\"", false),
        ("content-type", "application/json; Charset=UTF-16", false),
        ("content-type", "application/json; charset=UTF-8", true),
        ("content-type", "application/json; charset=\"utf-8\"; v=1", true),
        ("content-type", "text/plain", true),
        ("content-encoding", "gzip", false),
        ("content-encoding", "identity", true),
    ];
    for (name, value, passes) in cases {
        let mut world = World::new();
        let asked = post(CREATE, ORDER).without("content-type").with(name, value);
        let told = world.begin(&asked).told();
        let expected = if passes { "to dana_primary_first" } else { "400 bad_field not_executed" };
        assert!(told.starts_with(expected), "{name}: {value}: {told}");
        let question = post(STATUS, OF_ORDER).without("content-type").with(name, value);
        assert!(world.begin(&question).told().starts_with("to "), "{name}: {value}");
    }
}

#[test]
fn a_label_on_a_request_is_answered_with_what_to_write() {
    let labels = [
        ("content-encoding", "UTF-8", "Leave content-encoding out"),
        ("content-encoding", "gzip", "Leave content-encoding out"),
        ("content-type", "text/json; charset=utf-16", "Let content-type name no charset but utf-8"),
    ];
    for (name, value, what) in labels {
        let asked = post(CREATE, ORDER).without("content-type").with(name, value);
        let run = World::new().begin(&asked);
        assert_eq!(run.told(), "400 bad_field not_executed", "{value}");
        let detail = run.body()["detail"].as_str().unwrap().to_owned();
        let expected = format!("{what}; the body must be plain UTF-8 JSON.");
        assert!(detail.contains(&expected), "{detail}");
    }
    let plain = post(CREATE, ORDER).with("content-encoding", "Identity");
    assert_eq!(World::new().ask(&plain, None), "to dana_primary_first");
}

#[test]
fn a_client_steers_no_router_whatever_its_fields_are_called() {
    for name in [
        "x-envoy-retry-on",
        "x-shop-retry-on",
        "x-shop-retry-grpc-on",
        "x-shop-max-retries",
        "x-shop-retriable-status-codes",
        "x-shop-retriable-header-names",
        "x-shop-upstream-alt-stat-name",
        "x-shop-hedge-on-per-try-timeout",
        "x-shop-upstream-rq-timeout-ms",
        "x-shop-upstream-rq-per-try-timeout-ms",
    ] {
        let run = World::new().begin(&post(CREATE, ORDER).with(name, "5"));
        assert_eq!(run.told(), "400 bad_field not_executed", "{name}");
    }
}

/// Repeats of the order that are refused, though they name it.
fn malformed() -> Vec<(&'static str, Asked)> {
    let create = |body: &str| post(CREATE, body);
    let twice = ORDER.replace("\"amount\"", "\"amount\":{\"value\":\"1.00\"},\"amount\"");
    let latin = create(ORDER).without("content-type");
    vec![
        ("steering", create(ORDER).with("x-envoy-retry-on", "5xx")),
        ("header key", create(ORDER).with("idempotency-key", "\"unfinished")),
        ("external id twice", create(ORDER).with("x-external-id", "1").with("x-external-id", "2")),
        ("amount", create(&ORDER.replace("\"10000.00\"", "{}"))),
        ("amount twice", create(&twice)),
        ("charset", latin.with("content-type", "application/json; charset=iso-8859-1")),
        ("encoding", create(ORDER).with("content-encoding", "utf-8")),
        ("method", create(ORDER).without(":method").with(":method", "PUT")),
    ]
}

#[test]
fn a_malformed_repeat_of_a_payment_that_may_be_charged_never_reads_as_failed() {
    for (name, asked) in malformed() {
        let refused = World::new().ask(&asked, None);
        assert!(
            refused.starts_with('4') && refused.ends_with(" not_executed"),
            "{name}: {refused}"
        );
        let told = |ending: Option<Ending<'_>>| {
            let mut world = World::new();
            let run = world.ask(&post(CREATE, ORDER), ending);
            let before = world.store.clone();
            let told = world.ask(&asked, None);
            assert_eq!(world.store, before, "{name} after {run}: nothing is written");
            told
        };
        let unknown = "504 refused_in_doubt unknown";
        assert_eq!(told(None), unknown, "{name}, in flight");
        assert_eq!(told(Some(TIMEOUT)), unknown, "{name}, in doubt");
        let executed = "504 refused_executed executed";
        assert_eq!(told(Some(upstream(200, OK))), executed, "{name}, settled");
        let no = upstream(403, r#"{"responseCode":"4035414"}"#);
        assert_eq!(told(Some(no)), refused, "{name}, rejected");
        assert_eq!(told(Some(REFUSED)), refused, "{name}, released");
        // A record, or a store, that cannot be read.
        let mut world = World::new();
        world.fault = Some((world.calls + 1, Fault::Before));
        assert_eq!(world.ask(&asked, None), unknown, "{name}, no store");
        let mut world = World::new();
        world.pay(TIMEOUT);
        let body = world.begin(&asked).body();
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains("Nothing was sent. The payment was sent before"), "{detail}");
        assert_eq!(
            (&body["responseCode"], &body["request_id"]),
            (&"5045400".into(), &"id-1".into())
        );
        assert_eq!(body["inquiry_path"], STATUS);
    }
}

/// A partner without the right, and one whose right ended while its payment was in doubt.
#[test]
fn a_repeat_without_the_right_to_it_does_not_read_as_failed_either() {
    let scoped = |partners: &str| CONFIG.replacen('{', &format!(r#"{{"scope": {partners},"#), 1);
    let none = scoped(r#"{"partners": {"partner-1": ["order-status"]}}"#);
    let mut world = World::new();
    world.pay(TIMEOUT);
    let store = world.store.clone();
    let mut world = World::with(&none);
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "403 operation not_executed");
    world.store.clone_from(&store);
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "504 refused_in_doubt unknown");
    // Whoever may not speak for a partner learns nothing of its payments.
    let mut world = World::with(&scoped(r#"{"peers": {"spiffe://shop/a": ["partner-2"]}}"#));
    world.store.clone_from(&store);
    world.calls = 0;
    let mut asked = post(CREATE, ORDER);
    asked.peer = vec!["spiffe://shop/a".to_owned()];
    assert_eq!(world.ask(&asked, None), "403 peer unknown");
    let steering = asked.with("x-dana-cluster", "x");
    assert_eq!(world.ask(&steering, None), "400 bad_field unknown");
    assert_eq!(world.calls, 0);
}

/// What names no payment, or names its partner in two ways, is looked up nowhere and denies nothing.
#[test]
fn a_request_that_names_no_payment_says_nothing_about_an_earlier_one() {
    let create = |body: &str| post(CREATE, body);
    for asked in [
        create("{"),
        create("{}"),
        create(&ORDER.replace("\"r-1\"", "1")),
        create(ORDER).without("x-partner-id"),
        create(ORDER).with("x-partner-id", "partner-2"),
        create(&format!("{ORDER}{}", " ".repeat(65_537))),
        post(CANCEL, "{}"),
    ] {
        let mut world = World::new();
        world.pay(TIMEOUT);
        world.calls = 0;
        let run = world.begin(&asked);
        assert!(run.told().starts_with('4') && run.told().ends_with(" unknown"), "{}", run.told());
        let said = run.body()["detail"].as_str().unwrap().to_owned();
        assert!(said.ends_with("nothing about an earlier request for the same payment."), "{said}");
        assert_eq!(world.calls, 0);
    }
    // What makes no payment denies none.
    let get = |path: &str| post(path, OF_ORDER).without(":method").with(":method", "GET");
    assert_eq!(World::new().ask(&get(STATUS), None), "405 method not_executed");
}

#[test]
fn a_malformed_cancel_looks_its_own_record_up() {
    let cancel = post(CANCEL, OF_ORDER).with("x-envoy-retry-on", "5xx");
    let mut world = World::new();
    world.pay(upstream(200, OK));
    assert_eq!(world.ask(&cancel, None), "400 bad_field not_executed");
    world.ask(&post(CANCEL, OF_ORDER), Some(TIMEOUT));
    assert_eq!(world.ask(&cancel, None), "504 refused_in_doubt unknown");
}

/// What a request names only in part, or twice, is not denied by the absence of a record.
#[test]
fn a_repeat_that_names_its_payment_by_a_header_key_does_not_read_as_failed() {
    let by_key = r#"{"partnerReferenceNo":"","amount":{"value":"1.00","currency":"IDR"},
        "beneficiaryAccountNumber":"1","beneficiaryBankCode":"008","customerNumber":"62"}"#;
    let asked =
        |body: &str| post("/v1.0/emoney/transfer-bank.htm", body).with("idempotency-key", "k-1");
    let mut world = World::new();
    world.ask(&asked(by_key), Some(TIMEOUT));
    let encoded = asked(by_key).with("content-encoding", "gzip");
    assert_eq!(world.ask(&encoded, None), "504 refused_in_doubt unknown");
    // Nothing is known by that key; its body may name another payment, or nothing at all.
    let other = post("/v1.0/emoney/transfer-bank.htm", by_key).with("idempotency-key", "k-2");
    assert_eq!(world.ask(&other.with("content-encoding", "gzip"), None), "400 bad_field unknown");
    let twice = asked(by_key).with("idempotency-key", "k-2");
    assert_eq!(world.ask(&twice, None), "400 bad_field unknown");
}

/// A cancel that was carried out is no payment that was.
#[test]
fn a_cancel_that_was_carried_out_is_not_called_a_payment() {
    let mut world = World::new();
    world.pay(upstream(200, OK));
    world.ask(&post(CANCEL, OF_ORDER), Some(TIMEOUT));
    let cancelled = r#"{"responseCode":"2005500","originalPartnerReferenceNo":"r-1",
        "latestTransactionStatus":"05"}"#;
    world.ask(&post(STATUS, OF_ORDER), Some(upstream(200, cancelled)));
    let malformed = post(CANCEL, OF_ORDER).with("x-envoy-retry-on", "5xx");
    let body = world.begin(&malformed).body();
    assert_eq!(
        (&body["outcome"], &body["title"]),
        (&"executed".into(), &"Request Already Carried Out".into())
    );
    let detail = body["detail"].as_str().unwrap();
    assert!(
        detail.contains("This request was carried out before.") && !detail.contains("payment was"),
        "{detail}"
    );
}
