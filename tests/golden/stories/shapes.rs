//! How a request may be shaped, and which ones are refused before anything is sent.

use serde_json::{Value, json};

use super::everything;
use crate::stage::{PARTNER, Stage};
use crate::support::client::{CANCEL, CREATE, REFUND, STATUS, TOPUP, order};

const OWN: (&str, &str) = ("x-partner-id", PARTNER);

pub(crate) fn play(stage: &mut Stage) {
    paths(stage);
    headers(stage);
    bodies(stage);
    stage.next_act();
    amounts(stage);
    known(stage);
    wire(stage);
}

fn paths(stage: &mut Stage) {
    let body = order("SHAPED").to_string();
    for path in [
        "/v1.0/other.htm",
        "/",
        "//debit/payment-host-to-host",
        "/v1.0/Debit/payment-host-to-host",
        "/v1.0/debit/payment-host-to-host;a=1",
        "/v1.0/debit/payment-host-to-host/",
        "/v1.0/debit/payment-host-to-host.htm.htm",
        "/v1.0/debit/./payment-host-to-host",
        "/v1.0/debit/../debit/payment-host-to-host",
        "/v1.0/d%65bit/payment-host-to-host",
        "/v1.0/debit%2Fpayment-host-to-host",
        "/v1.0/nodebit/payment-host-to-host",
        "/v1.0/debit/payment-host-to-host?a=1",
        "/v1.0/debit/payment-host-to-host.htm?x=%2F",
    ] {
        stage.by_first().send(path, path, &[OWN], body.as_bytes());
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        stage.by_second().ask(method, (method, CREATE), &[OWN], b"");
        stage.ask(method, (method, "/v1.0/other"), &[OWN], b"");
    }
    let long = format!("/{}{CREATE}", "a".repeat(1500));
    stage.by_first().send("a long path", &long, &[OWN], body.as_bytes());
}

fn headers(stage: &mut Stage) {
    let body = order("HEADED").to_string();
    let (long, longer) = ("k".repeat(255), "k".repeat(256));
    for key in
        ["\"open", "a, b", "\"a\", \"b\"", "", "\"\"", "\"a\"b", "a b", &long, &longer, "a\"b"]
    {
        let keyed = [OWN, ("idempotency-key", key)];
        stage.by_first().send("a key", CREATE, &keyed, body.as_bytes());
        stage.by_second().send("the same key", CREATE, &keyed, body.as_bytes());
    }
    let (partner, external) = ("p".repeat(129), "e".repeat(1100));
    for (what, headers) in [
        ("nobody", vec![]),
        ("an empty partner", vec![("x-partner-id", "")]),
        ("a long partner", vec![("x-partner-id", partner.as_str())]),
        ("two partners", vec![OWN, ("x-partner-id", "another")]),
        ("two equal partners", vec![OWN, OWN]),
        ("another partner", vec![("x-partner-id", "another")]),
        ("a key twice", vec![OWN, ("idempotency-key", "a"), ("idempotency-key", "a")]),
        ("external ids", vec![OWN, ("x-external-id", "1"), ("x-external-id", "2")]),
        ("a long external id", vec![OWN, ("x-external-id", &external)]),
        ("a customer's token twice", vec![OWN, TOKEN, TOKEN]),
        ("an empty token", vec![OWN, ("authorization-customer", "")]),
        ("steering", vec![OWN, ("x-dana-cluster", "dana_secondary"), ("x-envoy-retry-on", "5xx")]),
        ("a timeout", vec![OWN, ("x-envoy-upstream-rq-timeout-ms", "1")]),
        ("another host", vec![OWN, ("host", "evil.example")]),
        ("gzip", vec![OWN, ("content-encoding", "gzip")]),
        ("identity", vec![OWN, ("content-encoding", "identity")]),
        ("accepts gzip", vec![OWN, ("accept-encoding", "gzip, br")]),
        ("text", vec![OWN, ("content-type", "text/plain")]),
    ] {
        stage.by_second().send(what, CREATE, &headers, body.as_bytes());
    }
}

const TOKEN: (&str, &str) = ("authorization-customer", "Bearer somebody");

fn bodies(stage: &mut Stage) {
    let fill = |length: usize| format!("{{\"x\":\"{}\"}}", "y".repeat(length));
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let deeper = format!(r#"{{"merchantId":"m","partnerReferenceNo":"D","amount":{deep}}}"#);
    let reference = |text: &str| {
        format!(
            r#"{{"merchantId":"m","partnerReferenceNo":{text},"amount":{{"value":"1.00","currency":"IDR"}}}}"#
        )
    };
    let long = reference(&format!("\"{}\"", "r".repeat(257)));
    let cases = [
        r#"{"merchantId":"m","partnerReferenceNo":"A","partnerReferenceNo":"B","amount":{}}"#
            .to_owned(),
        r#"{"partnerReferenceNo":"A","amount":{}}"#.to_owned(),
        r#"{"merchantId":"m","partnerReferenceNo":"A"}"#.to_owned(),
        r#"{"merchantId":null,"partnerReferenceNo":"A"}"#.to_owned(),
        reference("7"),
        reference("\"\""),
        reference("\" \""),
        reference("\"a\\u0000b\""),
        reference("\"\\ud800\""),
        reference("[]"),
        reference("\"\\u0041SCII\""),
        reference("\"ASCII\""),
        reference("\"Gr\u{fc}\u{df}e\""),
        long,
        "[]".to_owned(),
        "null".to_owned(),
        "{\"a\":1}{\"b\":2}".to_owned(),
        format!("\u{feff}{}", order("BOM")),
        deeper,
        fill(65_520),
        fill(65_536),
        fill(200_000),
        order("SPACED").to_string().replace(',', " ,\n").replace("10000", "1000\\u0030"),
    ];
    for body in &cases {
        let what: String = body.chars().take(60).collect();
        stage.by_first().send(&what, CREATE, &[OWN], body.as_bytes());
        stage.by_second().send("the same", CREATE, &[OWN], body.as_bytes());
    }
    stage.send("no UTF-8", CREATE, &[OWN], b"{\"merchantId\":\"\xff\xfe\"}");
}

fn amounts(stage: &mut Stage) {
    for (number, (value, currency)) in [
        (json!("10000.00"), json!("IDR")),
        (json!("10000"), json!("IDR")),
        (json!("010000.0"), json!("IDR")),
        (json!(10000), json!("IDR")),
        (json!("10000.001"), json!("IDR")),
        (json!("-1.00"), json!("IDR")),
        (json!("1e4"), json!("IDR")),
        (json!("99999999999999999999.99"), json!("IDR")),
        (json!("10000.00"), json!("idr")),
        (json!("10000.00"), json!("USD")),
        (json!("10000.00"), Value::Null),
        (Value::Null, json!("IDR")),
    ]
    .into_iter()
    .enumerate()
    {
        for reference in ["AMOUNT".to_owned(), format!("AMOUNT-{number}")] {
            let mut body = order(&reference);
            body["amount"] = json!({"value": value, "currency": currency});
            stage.by_first().call(&format!("{value} {currency}"), CREATE, &body);
        }
    }
}

/// Refused requests that name a payment of which something is known.
fn known(stage: &mut Stage) {
    let reset = json!({"fault": "reset", "count": 1, "reference": "DOUBT"});
    stage.fault("primary", &reset);
    stage.by_first().pay("in doubt", "DOUBT");
    stage.pay("paid", "PAID");
    for reference in ["DOUBT", "PAID", "NEVER"] {
        let mut long = everything(reference);
        long["additionalInfo"] = json!({"x": "y".repeat(70_000)});
        for path in [CREATE, CANCEL, REFUND, STATUS, TOPUP] {
            stage.by_second().call("too long", path, &long);
            let short = everything(reference).to_string();
            stage.send(
                "an open key",
                path,
                &[OWN, ("idempotency-key", "\"open")],
                short.as_bytes(),
            );
            stage.send("compressed", path, &[OWN, ("content-encoding", "br")], short.as_bytes());
            stage.ask("PUT", ("PUT", path), &[OWN], short.as_bytes());
        }
    }
}

fn wire(stage: &mut Stage) {
    // Envoy turns it away before it has read its id.
    let old = format!("POST {CREATE} HTTP/1.0\r\nhost: dana\r\ncontent-length: 0\r\n\r\n");
    stage.by_first().raw("HTTP/1.0", "", old.as_bytes());
    for (what, reference, trailers) in [
        ("chunks", "CHUNKED", ""),
        ("chunks and a trailer", "TRAILED", "x-checksum: 1\r\n"),
        ("chunks again", "CHUNKED", ""),
    ] {
        let (id, body) = (stage.next_id(), order(reference).to_string());
        let (front, back) = body.split_at(20);
        let bytes = format!(
            "POST {CREATE} HTTP/1.1\r\nhost: dana\r\nconnection: close\r\nx-partner-id: {PARTNER}\r\n\
             x-request-id: {id}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
             {:x}\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n{trailers}\r\n",
            front.len(),
            back.len(),
        );
        stage.raw(what, &id, bytes.as_bytes());
    }
}
