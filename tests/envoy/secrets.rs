//! What logs, statistics, status and the access log tell of secrets: nothing. Every other test ends
//! with the same search; here they are put wherever somebody might, and the search is tried.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{
    CANCEL, CREATE, STATUS, Seen, TOPUP, TRANSFER, about, bytes, call, order, raw, send,
};
use crate::support::envoy::{Envoy, manager, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::secrets::{
    ACCOUNT_NUMBER, AUTHORIZATION, BODY_NOTE, CUSTOMER_NUMBER, CUSTOMER_TOKEN, SIGNATURE,
};
use crate::support::{operator, until};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_log_that_shows_a_secret_is_found_out() {
    let sandbox = Sandbox::start();
    let shown = [
        ("signature", "%REQ(X-SIGNATURE)%", SIGNATURE),
        ("authorization", "%REQ(AUTHORIZATION)%", "b2b-7d1f5c0e9a4b"),
        ("body", "%REQ(X-SECRET)%", CUSTOMER_NUMBER),
        ("query", "%REQ(:PATH)%", BODY_NOTE),
    ];
    let mut config = rendered(&sandbox, &quick());
    let format = "/access_log/0/typed_config/log_format/json_format";
    let format = manager(&mut config).pointer_mut(format).unwrap();
    for (name, shows, _) in shown {
        format[name] = json!(shows);
    }
    let envoy = Envoy::start(&config);
    assert_eq!(envoy.leaks(), Vec::<String>::new(), "nobody has paid yet");
    let path = format!("{CREATE}?note={BODY_NOTE}");
    let headers = [("x-partner-id", "p"), ("x-secret", CUSTOMER_NUMBER), ("x-request-id", "LEAK")];
    send(&envoy.listener, &path, &headers, order("LEAK").to_string().as_bytes());
    for (_, _, secret) in shown {
        until(secret, PATIENCE, || {
            envoy.leaks().iter().any(|leak| leak.contains(secret)).then_some(())
        });
    }
    envoy.may_leak();
}

/// A merchant who puts secrets wherever there is room for them.
fn pay(envoy: &Envoy, path: &str, body: &Value) -> Seen {
    let path = format!("{path}?token={BODY_NOTE}&signature={SIGNATURE}");
    let headers = [
        ("x-partner-id", "p"),
        ("authorization-customer", CUSTOMER_TOKEN),
        ("x-client-secret", BODY_NOTE),
        ("cookie", BODY_NOTE),
    ];
    send(&envoy.listener, &path, &headers, body.to_string().as_bytes())
}

fn topup(value: &str) -> Value {
    json!({
        "partnerReferenceNo": "S-1",
        "customerNumber": CUSTOMER_NUMBER,
        "amount": {"value": value, "currency": "IDR"},
        "feeAmount": {"value": "0.00", "currency": "IDR"},
        "additionalInfo": {"accessToken": CUSTOMER_TOKEN, "note": BODY_NOTE},
    })
}

/// Every kind of answer, and what operators do with those that are in doubt.
#[test]
fn whatever_becomes_of_a_request_its_secrets_are_not_told() {
    let sandbox = Sandbox::start();
    let small = json!({
        "breaker": {"consecutive_failures": 3, "partner_failures_pct": 100},
        "limits": {"request_body_bytes_max": 4096},
        "idempotency": {"store": {"local": {"claims_max": 1024}}},
    });
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &small)));
    answered(&sandbox, &envoy);
    refused(&envoy);
    in_doubt(&sandbox, &envoy);
    // A client that leaves, and one that is served last.
    let half = &bytes(CREATE, &order("S-LEFT"))[..200];
    let _ = raw(&envoy.listener, half, Duration::from_millis(50));
    assert_eq!(call(&envoy.listener, CREATE, &order("S-LAST")).status, 200);
    until("the last request is logged", PATIENCE, || {
        let log = envoy.access_log();
        (log.iter().filter(|line| line["path"] == CREATE).count() >= 8).then_some(())
    });
    assert!(!envoy.log().is_empty(), "there is something to search");
    assert_eq!(envoy.leaks(), Vec::<String>::new());
}

/// Paid, replayed, a mismatch, a status, a cancel, a NO.
fn answered(sandbox: &Sandbox, envoy: &Envoy) {
    assert_eq!(pay(envoy, TOPUP, &topup("1.00")).status, 200);
    assert_eq!(pay(envoy, TOPUP, &topup("1.00")).header("idempotent-replayed"), Some("true"));
    assert_eq!(pay(envoy, TOPUP, &topup("2.00")).status, 404);
    assert_eq!(pay(envoy, CREATE, &order("S-2")).status, 200);
    assert_eq!(pay(envoy, STATUS, &about("S-2")).status, 200);
    assert_eq!(pay(envoy, CANCEL, &about("S-2")).status, 200);
    sandbox.fault("primary", &json!({"fault": "code", "code": "4034314", "count": 1}));
    let transfer = json!({
        "partnerReferenceNo": "S-3",
        "beneficiaryAccountNumber": ACCOUNT_NUMBER,
        "beneficiaryBankCode": "014",
        "amount": {"value": "1.00", "currency": "IDR"},
    });
    assert_eq!(pay(envoy, TRANSFER, &transfer).status, 403);
}

/// In all the ways there are.
fn refused(envoy: &Envoy) {
    let long = json!({"merchantId": "m", "note": CUSTOMER_NUMBER.repeat(500)});
    for (path, body) in [
        (CREATE, json!({"note": BODY_NOTE})),
        (CREATE, json!({"merchantId": CUSTOMER_NUMBER, "partnerReferenceNo": [BODY_NOTE]})),
        (CREATE, json!([CUSTOMER_TOKEN])),
        (CREATE, long),
        ("/v1.0/nothing", json!({})),
        ("//v1.0/debit/payment-host-to-host", json!({})),
    ] {
        assert!((400..500).contains(&pay(envoy, path, &body).status), "{path} {body}");
    }
    let torn =
        format!("POST {CREATE} HTTP/1.1\r\nx-signature: {SIGNATURE}\r\n{AUTHORIZATION}\r\n\r\n");
    let _ = raw(&envoy.listener, torn.as_bytes(), PATIENCE);
}

/// Unknown, moved on, a trip and a switch; and then operators list, resolve and drain.
fn in_doubt(sandbox: &Sandbox, envoy: &Envoy) {
    sandbox.fault("primary", &json!({"fault": "reset"}));
    for n in 0..3 {
        assert_eq!(pay(envoy, CREATE, &order(&format!("S-DOUBT-{n}"))).status, 504);
    }
    let moved = call(&envoy.listener, CREATE, &order("S-MOVED"));
    assert_eq!(moved.header("x-dana-gateway"), Some("secondary"));
    let listed = until("payments in doubt are listed", PATIENCE, || {
        let told = operator::get(envoy, "/in-doubt").json();
        (told["payments"].as_array()?.len() == 3).then_some(told)
    });
    let ops = json!({"reason": "asked", "actor": "ops"});
    let key = &listed["payments"][0]["key"];
    let word = with(json!({"key": key, "executed": false, "evidence": "CASE-1"}), &ops);
    until("it may be resolved", PATIENCE, || {
        (operator::post(envoy, "/resolve", &word).status == 200).then_some(())
    });
    let wish = with(json!({"gateway": "primary", "steer": "drain", "ttl_s": 60}), &ops);
    let drained = operator::post(envoy, "/override", &wish);
    assert_eq!(drained.status, 200, "{drained:?}");
}
