//! Requests that are refused before anything else happens: nothing is read, written or sent.

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
    assert!(said.contains(detail) && said.ends_with("Nothing was sent."), "{said}");
    assert!(run.forward.is_none() && run.exchange.is_ended());
    assert_eq!(world.calls, 0, "the store was not touched");
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
        "x-shop-hedge-on-per-try-timeout",
        "x-shop-upstream-rq-timeout-ms",
        "x-shop-upstream-rq-per-try-timeout-ms",
    ] {
        let run = World::new().begin(&post(CREATE, ORDER).with(name, "5"));
        assert_eq!(run.told(), "400 bad_field not_executed", "{name}");
    }
}
