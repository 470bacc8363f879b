//! The real binary, seen from outside: `dana-failover sandbox` over sockets, `replay` on files, and
//! their help.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to stop where it is"
)]

mod audit_log;
mod audit_report;
mod audit_rows;
mod check;
mod faults;
mod key;
mod playground;
mod reconcile;
mod replay;

use std::process::Command;

use playground::{Playground, Reply, exchange};
use serde_json::{Value, json};

const CREATE: &str = "/payment-gateway/v1.0/debit/payment-host-to-host.htm";
const STATUS: &str = "/payment-gateway/v1.0/debit/status.htm";
const CANCEL: &str = "/payment-gateway/v1.0/debit/cancel.htm";
const REFUND: &str = "/payment-gateway/v1.0/debit/refund.htm";
const TOPUP: &str = "/rest/v1.0/emoney/topup";
const PARTNER: &str = "x-partner-id: partner-1\r\n";

fn order(reference: &str, value: &str) -> String {
    json!({
        "merchantId": "m-1",
        "partnerReferenceNo": reference,
        "amount": { "value": value, "currency": "IDR" },
    })
    .to_string()
}

fn about(reference: &str) -> String {
    json!({ "merchantId": "m-1", "originalPartnerReferenceNo": reference, "serviceCode": "54" })
        .to_string()
}

fn pay(address: &str, reference: &str) -> Reply {
    exchange(address, "POST", CREATE, PARTNER, &order(reference, "10000.00"))
}

fn code(reply: &Reply) -> String {
    reply.json()["responseCode"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn help_explains_the_faults_and_the_control_api() {
    let output = Command::new(playground::BINARY).args(["sandbox", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for expected in [
        "--gateway",
        "--ledger",
        "--verify-key",
        "curl -X POST localhost:18080/gateways/primary/fault",
        "wrong-reference",
        "create-order",
        "/ledger",
        "127.0.0.1:18081",
    ] {
        assert!(help.contains(expected), "{expected} is not in:\n{help}");
    }
}

#[test]
fn options_that_cannot_work_end_with_two_and_say_what_was_expected() {
    let cases: [(&[&str], &str); 5] = [
        (&["--tls", "/nonexistent"], "/nonexistent/gateway_ca.pem"),
        (&["--gateway", "primary"], "NAME=ADDR"),
        (&["--gateway", "a=127.0.0.1:0", "--gateway", "a=127.0.0.1:0"], "names that differ"),
        (&["--verify-key", "/nonexistent.pem"], "/nonexistent.pem"),
        (&["--control", "192.0.2.1:1"], "cannot listen on 192.0.2.1:1"),
    ];
    for (options, expected) in cases {
        let output =
            Command::new(playground::BINARY).arg("sandbox").args(options).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {message}");
        assert!(message.contains(expected), "{options:?}: {message}");
    }
}

#[test]
fn a_heartbeat_is_answered_and_counted_apart() {
    let sandbox = Playground::start(&[]);
    let reply = exchange(&sandbox.primary, "GET", "/", "", "");
    assert_eq!((reply.status, reply.json()), (200, json!({ "status": "up" })));
    pay(&sandbox.primary, "order-1");
    let stats = sandbox.get("/stats");
    assert_eq!(stats["primary"]["heartbeats"], 1);
    assert_eq!(stats["primary"]["requests"], 1);
    assert_eq!(stats["secondary"]["heartbeats"], 0);
    assert_eq!(sandbox.get("/requests")["requests"].as_array().unwrap().len(), 1);
}

#[test]
fn a_payment_is_made_once_however_many_copies_come() {
    let sandbox = Playground::start(&[]);
    let first = pay(&sandbox.primary, "order-1");
    assert_eq!((first.status, code(&first).as_str()), (200, "2005400"));
    assert!(first.header("x-timestamp").unwrap().ends_with("+07:00"));
    let again = pay(&sandbox.primary, "order-1");
    assert_eq!(first.body, again.body);
    let changed = exchange(&sandbox.primary, "POST", CREATE, PARTNER, &order("order-1", "1.00"));
    assert_eq!((changed.status, code(&changed).as_str()), (404, "4045418"));

    let ledger = sandbox.get("/ledger");
    assert_eq!(ledger["total"], 1);
    let payment = &ledger["payments"][0];
    assert_eq!(payment["namespace"], "order");
    assert_eq!(payment["partner"], "partner-1");
    assert_eq!(payment["amount"], "10000.00");
    assert_eq!(payment["executed_at"], json!(["primary"]));
    assert_eq!(payment["copies"], json!({ "primary": 3 }));
}

#[test]
fn an_order_is_inquired_cancelled_and_refunded() {
    let sandbox = Playground::start(&[]);
    let post = |path: &str, body: &str| exchange(&sandbox.primary, "POST", path, PARTNER, body);
    for (path, expected) in [(STATUS, "4045501"), (CANCEL, "4045701")] {
        assert_eq!(code(&post(path, &about("order-1"))), expected);
    }
    let number = pay(&sandbox.primary, "order-1").json()["referenceNo"].clone();
    let status = post(STATUS, &about("order-1")).json();
    assert_eq!(status["latestTransactionStatus"], "00");
    assert_eq!(status["originalReferenceNo"], number);
    let refund = json!({
        "merchantId": "m-1", "originalPartnerReferenceNo": "order-1", "partnerRefundNo": "f-1",
        "refundAmount": { "value": "2500.00", "currency": "IDR" },
    });
    let refunded = post(REFUND, &refund.to_string());
    assert_eq!(code(&refunded), "2005800");
    assert_eq!(refunded.body, post(REFUND, &refund.to_string()).body);
    let status = post(STATUS, &about("order-1")).json();
    let detail = &status["additionalInfo"]["amountDetail"];
    assert_eq!(detail["refundAmount"]["value"], "2500.00");
    assert_eq!(code(&post(CANCEL, &about("order-1"))), "2005700");
    assert_eq!(post(STATUS, &about("order-1")).json()["latestTransactionStatus"], "05");
}

#[test]
fn two_ledgers_show_a_payment_that_was_made_twice_and_one_ledger_makes_it_once() {
    let sandbox = Playground::start(&[]);
    let first = pay(&sandbox.primary, "order-1").json();
    let second = pay(&sandbox.secondary, "order-1").json();
    assert_ne!(first["referenceNo"], second["referenceNo"]);
    pay(&sandbox.secondary, "order-2");
    let ledger = sandbox.get("/ledger");
    assert_eq!(ledger["executed_at_both"], 1);
    assert_eq!(ledger["charged_at_both"], 1);
    assert_eq!(ledger["payments"][0]["executed_at"], json!(["primary", "secondary"]));
    exchange(&sandbox.primary, "POST", CANCEL, PARTNER, &about("order-1"));
    let ledger = sandbox.get("/ledger?limit=0");
    assert_eq!(ledger["payments"], json!([]));
    assert_eq!((&ledger["executed_at_both"], &ledger["charged_at_both"]), (&json!(1), &json!(0)));
    let text = sandbox.control("GET", "/ledger?format=text", "");
    assert!(String::from_utf8(text.body).unwrap().contains("order-2"));

    let sandbox = Playground::start(&["--ledger", "shared"]);
    let first = pay(&sandbox.primary, "order-1");
    assert_eq!(first.body, pay(&sandbox.secondary, "order-1").body);
    let payment = &sandbox.get("/ledger?reference=order-1")["payments"][0];
    assert_eq!(payment["executed_at"], json!(["primary"]));
    assert_eq!(payment["copies"], json!({ "primary": 1, "secondary": 1 }));
}

#[test]
fn documented_test_values_get_their_documented_codes() {
    let sandbox = Playground::start(&[]);
    let topup = |number: &str| {
        let mut body: Value = serde_json::from_str(&order(number, "1.00")).unwrap();
        body["customerNumber"] = number.into();
        code(&exchange(&sandbox.primary, "POST", TOPUP, PARTNER, &body.to_string()))
    };
    assert_eq!(topup("628551008794"), "5003801");
    assert_eq!(topup("628121111111"), "5003800");
    assert_eq!(topup("628996647679"), "4033805");
    let cancel = exchange(&sandbox.primary, "POST", CANCEL, PARTNER, &about("5005701"));
    assert_eq!((cancel.status, code(&cancel).as_str()), (500, "5005701"));
    let ledger = sandbox.get("/ledger");
    assert_eq!((&ledger["total"], &ledger["payments"][0]["state"]), (&json!(1), &json!("paying")));
}

#[test]
fn a_signature_is_checked_when_a_key_is_given() {
    let (path, body) = (CREATE, include_str!("create-order.json"));
    let headers = format!(
        "{PARTNER}X-TIMESTAMP: 2026-11-22T23:17:39+07:00\r\nX-SIGNATURE: {}\r\n",
        include_str!("create-order.signature").trim()
    );
    for key in ["merchant-spki.pem", "merchant-pkcs1.pem"] {
        let key = format!("{}/tests/cli/{key}", env!("CARGO_MANIFEST_DIR"));
        let sandbox = Playground::start(&["--verify-key", &key]);
        let signed = exchange(&sandbox.primary, "POST", path, &headers, body);
        assert_eq!(code(&signed), "2005400");
        let forged = body.replace("10000.00", "90000.00");
        let forged = exchange(&sandbox.primary, "POST", path, &headers, &forged);
        assert_eq!((forged.status, code(&forged).as_str()), (401, "4015400"));
        let requests = sandbox.get("/requests");
        assert_eq!(requests["requests"][0]["signature_valid"], true);
        assert_eq!(requests["requests"][1]["signature_valid"], false);
        assert_eq!(requests["requests"][0]["headers"]["x-signature"], "(hidden)");
    }
}

#[test]
fn requests_are_listed_in_order_and_from_where_one_left_off() {
    let sandbox = Playground::start(&[]);
    for (address, reference) in [(&sandbox.primary, "a"), (&sandbox.secondary, "b")] {
        pay(address, reference);
    }
    let unknown = exchange(&sandbox.primary, "POST", "/dana/merchant/x.htm", "", "{}");
    assert_eq!((unknown.status, code(&unknown).as_str()), (404, "4040000"));
    let all = sandbox.get("/requests")["requests"].clone();
    let gateways: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|request| request["gateway"].as_str().unwrap())
        .collect();
    assert_eq!(gateways, ["primary", "secondary", "primary"]);
    assert_eq!(all[0]["reference"], "a");
    assert_eq!(all[0]["answered_code"], "2005400");
    assert_eq!(all[0]["signature_valid"], Value::Null);
    assert_eq!(all[0]["headers"]["x-partner-id"], "partner-1");
    assert_eq!(all[0]["body_sha256"].as_str().unwrap().len(), 64);
    let later = sandbox.get(&format!("/requests?gateway=primary&since={}", all[0]["seq"]));
    assert_eq!(later["requests"], json!([all[2]]));
    let huge = exchange(&sandbox.primary, "POST", CREATE, PARTNER, &" ".repeat(1_100_000));
    assert_eq!(huge.status, 413);
}

#[test]
fn the_control_api_says_what_it_expected() {
    let sandbox = Playground::start(&[]);
    let cases = [
        ("POST", "/gateways/other/fault", "{}", 404, "expected one of primary, secondary"),
        ("POST", "/gateways/primary/fault", "{}", 400, "fault: expected one of"),
        ("GET", "/ledger?format=xml", "", 400, "format: expected json or text"),
        ("GET", "/requests?since=x", "", 400, "since: expected a whole number"),
        ("GET", "/requests?gateway=x", "", 404, "expected one of primary"),
        ("GET", "/requests?ref=x", "", 400, "ref: expected one of gateway, reference, since"),
        ("GET", "/stats2", "", 404, "expected GET /"),
        ("POST", "/stats", "", 405, "expected GET /"),
    ];
    for (method, path, body, status, expected) in cases {
        let reply = sandbox.control(method, path, body);
        assert_eq!(reply.status, status, "{method} {path}");
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(expected), "{method} {path}: {error}");
    }
    let help = String::from_utf8(sandbox.control("GET", "/", "").body).unwrap();
    assert!(help.contains("POST   /gateways/{name}/fault"));
}

#[test]
fn a_request_is_printed_without_secrets_and_a_signal_ends_it_well() {
    let sandbox = Playground::start_loud(&[]);
    let headers = format!("{PARTNER}authorization: Bearer secret-1\r\n");
    let body = order("order-1", "5.00").replace('}', ",\"customerNumber\":\"628999\"}");
    exchange(&sandbox.primary, "POST", CREATE, &headers, &body);
    pay(&sandbox.primary, "order-1");
    let (status, printed) = sandbox.terminate();
    assert_eq!(status, Some(0));
    assert!(
        printed.contains(" primary create-order order-1 5.00 IDR 2005400 executed"),
        "{printed}"
    );
    assert!(printed.contains(" primary create-order order-1 10000.00 IDR 4045418\n"), "{printed}");
    assert!(!printed.contains("secret") && !printed.contains("628999"), "{printed}");
}
