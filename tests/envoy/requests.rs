//! How a request may be shaped, and which ones are refused before anything is sent.

use std::time::Duration;

use serde_json::json;

use crate::support::client::{CREATE, call, get, order, raw, send};
use crate::support::envoy::{Envoy, manager, quick, rendered};
use crate::support::sandbox::Sandbox;

/// What is wrong, path, headers, body, and the status and code that it gets.
type Refused<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);

const PARTNER: (&str, &str) = ("x-partner-id", "p");

#[test]
fn a_refused_request_says_why_and_reaches_nobody() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let body = order("REFUSED").to_string();
    let dup = r#"{"merchantId":"m","partnerReferenceNo":"A","partnerReferenceNo":"B","amount":{}}"#;
    let number = r#"{"merchantId":"m","partnerReferenceNo":7,"amount":{}}"#;
    let part = r#"{"partnerReferenceNo":"A","amount":{}}"#;
    let long_key = "k".repeat(256);
    let big = format!("{{\"x\":\"{}\"}}", "y".repeat(70_000));
    let with = |extra| [PARTNER, extra];
    let no_escape = CREATE.replace("debit", "d%65bit");
    let cases: Vec<Refused<'_>> = vec![
        ("no partner", CREATE, &[], &body, 400, "4005402"),
        ("no identity", CREATE, &[PARTNER], part, 400, "4005402"),
        ("not JSON", CREATE, &[PARTNER], "merchantId=m", 400, "4005401"),
        ("empty", CREATE, &[PARTNER], "", 400, "4005401"),
        ("member twice", CREATE, &[PARTNER], dup, 400, "4005401"),
        ("number as reference", CREATE, &[PARTNER], number, 400, "4005401"),
        ("too large", CREATE, &[PARTNER], &big, 413, "4135400"),
        ("unmatched", "/v1.0/other.htm", &[PARTNER], &body, 403, "4030001"),
        ("doubled slash", "//debit/payment-host-to-host", &[PARTNER], &body, 400, "4000001"),
        ("other case", "/v1.0/Debit/payment-host-to-host", &[PARTNER], &body, 400, "4000001"),
        ("parameter", "/v1.0/debit/payment-host-to-host;a=1", &[PARTNER], &body, 400, "4000001"),
        ("escape", &no_escape, &[PARTNER], &body, 400, "4000001"),
    ];
    for (name, path, headers, body, status, code) in cases {
        let answer = send(&envoy.listener, path, headers, body.as_bytes());
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}: {answer:?}");
        // What names no payment says nothing about an earlier one.
        let is_payment = code.starts_with("40054") || status == 413;
        let outcome = if is_payment { "unknown" } else { "not_executed" };
        assert_eq!(answer.outcome(), outcome, "{name}");
        assert!(answer.json()["request_id"].as_str().is_some_and(|id| id.len() == 36), "{name}");
    }
    for key in ["\"open", "a, b", "", &long_key] {
        let headers = with(("idempotency-key", key));
        let answer = send(&envoy.listener, CREATE, &headers, body.as_bytes());
        assert_eq!(answer.status, 400, "{key:?}: {answer:?}");
    }
    let method = get(&envoy.listener, CREATE);
    assert_eq!((method.status, method.header("allow")), (405, Some("POST")));
    assert_eq!(sandbox.stats()["primary"]["requests"], 0);
    assert_eq!(sandbox.stats()["secondary"]["requests"], 0);
}

#[test]
fn a_client_cannot_steer_the_router() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let steering = [
        PARTNER,
        ("x-dana-cluster", "dana_secondary"),
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-max-retries", "5"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-hedge-on-per-try-timeout", "true"),
    ];
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005401"}));
    let body = order("STEERED").to_string();
    let answer = send(&envoy.listener, CREATE, &steering, body.as_bytes());
    assert_eq!(answer.code(), "5005401");
    assert_eq!(sandbox.requests("primary", "STEERED").len(), 1);
    assert_eq!(sandbox.requests("secondary", "STEERED").len(), 0);
    let headers = sandbox.requests("primary", "STEERED")[0]["headers"].clone();
    let headers = headers.as_object().unwrap();
    for own in ["x-dana-cluster", "x-envoy-retry-on", "x-envoy-hedge-on-per-try-timeout"] {
        let value = headers.get(own).and_then(|v| v.as_str()).unwrap_or_default();
        assert!(!steering.contains(&(own, value)), "{own}: {value}");
    }
}

#[test]
fn without_that_protection_steering_headers_are_refused() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    manager(&mut config).as_object_mut().unwrap().remove("early_header_mutation_extensions");
    let envoy = Envoy::start(&config);
    for name in ["x-dana-cluster", "x-dana-gateway"] {
        let headers = [PARTNER, (name, "dana_secondary")];
        let answer = send(&envoy.listener, CREATE, &headers, order("X").to_string().as_bytes());
        assert_eq!((answer.status, answer.code().as_str()), (400, "4005401"), "{name}: {answer:?}");
    }
    assert_eq!(sandbox.stats()["primary"]["requests"], 0);
}

#[test]
fn the_gateway_gets_what_it_needs_and_the_merchants_bytes() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let body = order("BYTES").to_string().replace("10000", "1000\\u0030").replace(',', " ,\n");
    let answer =
        send(&envoy.listener, CREATE, &[PARTNER, ("accept-encoding", "gzip")], body.as_bytes());
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let requests = sandbox.requests("primary", "BYTES");
    let headers = &requests[0]["headers"];
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&body);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(requests[0]["body_sha256"], json!(digest));
    assert_eq!(headers["accept-encoding"], "identity");
    let external_id = headers["x-external-id"].as_str().unwrap();
    assert!((1..=36).contains(&external_id.len()), "{external_id}");
    let key = headers["idempotency-key"].as_str().unwrap();
    assert!(key.starts_with('"') && key.ends_with('"') && key.len() == 66, "{key}");
    // The merchant's own X-EXTERNAL-ID is left alone.
    let own = [PARTNER, ("x-external-id", "mine")];
    send(&envoy.listener, CREATE, &own, order("OWN").to_string().as_bytes());
    assert_eq!(sandbox.requests("primary", "OWN")[0]["headers"]["x-external-id"], "mine");
}

/// Whoever answers under another name, over whichever connection, is not asked.
#[test]
fn a_merchant_does_not_choose_which_host_a_gateway_sees() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let pay = |path: &str, body: &serde_json::Value| {
        let headers = [PARTNER, ("host", "evil.example")];
        send(&envoy.listener, path, &headers, body.to_string().as_bytes())
    };
    let host = |gateway: &str, reference: &str| {
        sandbox.requests(gateway, reference)[0]["headers"]["host"].as_str().unwrap().to_owned()
    };
    assert_eq!(pay(CREATE, &order("HOST-1")).status, 200);
    assert_eq!(host("primary", "HOST-1"), "primary.dana.example");
    // From one gateway to the next by a call of the filter's own.
    let unknown = crate::support::client::about("HOST-2");
    assert_eq!(pay(crate::support::client::STATUS, &unknown).status, 404);
    assert_eq!(host("primary", "HOST-2"), "primary.dana.example");
    assert_eq!(host("secondary", "HOST-2"), "secondary.dana.example");
    // And within one request, by Envoy.
    sandbox.fault("primary", &json!({"fault": "refuse"}));
    assert_eq!(pay(CREATE, &order("HOST-3")).header("x-dana-gateway"), Some("secondary"));
    assert_eq!(host("secondary", "HOST-3"), "secondary.dana.example");
}

/// A create order in chunks, with or without trailers at its end.
fn chunked(reference: &str, trailers: &str) -> Vec<u8> {
    let body = order(reference).to_string();
    let (front, back) = body.split_at(20);
    format!(
        "POST {CREATE} HTTP/1.1\r\nhost: dana\r\nconnection: close\r\nx-partner-id: p\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n{trailers}\r\n",
        front.len(),
        back.len(),
    )
    .into_bytes()
}

#[test]
fn a_request_may_end_at_its_body_or_its_trailers() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    manager(&mut config)["http_protocol_options"] = json!({"enable_trailers": true});
    let envoy = Envoy::start(&config);
    let cases = [("CHUNKED", ""), ("TRAILED", "x-checksum: 1\r\n")];
    for (reference, trailers) in cases {
        for _ in 0..2 {
            let answer =
                raw(&envoy.listener, &chunked(reference, trailers), Duration::from_secs(10));
            assert!(answer.starts_with("HTTP/1.1 200"), "{reference}: {answer}");
        }
        assert_eq!(sandbox.requests("primary", reference).len(), 1, "{reference}");
    }
}

/// Starts a gateway that does with each connection what `serve` says, and Envoy before it.
fn envoy_before(sandbox: &Sandbox, trailers: bool, serve: fn(std::net::TcpStream)) -> Envoy {
    let gateway = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = rendered(sandbox, &quick());
    let address = gateway.local_addr().unwrap().to_string();
    crate::support::envoy::set_address(&mut config, 0, &address);
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let cluster =
        &mut config["static_resources"]["clusters"][0]["typed_extension_protocol_options"];
    cluster[options]["explicit_http_config"]["http_protocol_options"] =
        json!({"enable_trailers": trailers});
    std::thread::spawn(move || {
        for socket in gateway.incoming().map_while(Result::ok).take(200) {
            std::thread::spawn(move || serve(socket));
        }
    });
    Envoy::start_without_heartbeat(&config)
}

#[test]
fn an_answer_that_dries_up_half_way_reads_as_unknown() {
    use std::io::{Read, Write};
    let sandbox = Sandbox::start();
    let envoy = envoy_before(&sandbox, false, |mut socket| {
        let half =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{";
        let mut buffer = [0; 4096];
        while let Ok(1..) = socket.read(&mut buffer) {
            let _ = socket.write_all(half.as_bytes());
        }
    });
    let answer = call(&envoy.listener, CREATE, &order("DRIED-UP"));
    assert_eq!((answer.status, answer.outcome().as_str()), (504, "unknown"), "{answer:?}");
    assert_eq!(answer.json()["safe_new_key"], false);
    let again = call(&envoy.listener, CREATE, &order("DRIED-UP"));
    assert_eq!((again.status, again.outcome().as_str()), (504, "unknown"), "{again:?}");
    assert_eq!(sandbox.requests("secondary", "DRIED-UP").len(), 0);
}

#[test]
fn an_answer_may_end_at_its_trailers() {
    let sandbox = Sandbox::start();
    let envoy = envoy_before(&sandbox, true, answer_with_trailers);
    let first = call(&envoy.listener, CREATE, &order("TRAILER"));
    assert_eq!((first.status, first.code().as_str()), (200, "2005400"), "{first:?}");
    let again = call(&envoy.listener, CREATE, &order("TRAILER"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body, first.body);
}

/// Answers each request on the connection with chunks and a trailer.
fn answer_with_trailers(mut socket: std::net::TcpStream) {
    use std::io::{Read, Write};
    let body = r#"{"responseCode":"2005400","partnerReferenceNo":"TRAILER"}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\
         trailer: x-end\r\n\r\n{:x}\r\n{body}\r\n0\r\nx-end: 1\r\n\r\n",
        body.len()
    );
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(1..) = socket.read(&mut buffer).inspect(|n| seen.extend_from_slice(&buffer[..*n]))
    {
        let text = String::from_utf8_lossy(&seen);
        let ends = text.starts_with("GET") && text.ends_with("\r\n\r\n");
        if ends || text.ends_with("}") {
            seen.clear();
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Envoy itself turns HTTP/1.0 away, before the filter sees it.
#[test]
fn http_1_0_gets_a_problem_document() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let request = format!("POST {CREATE} HTTP/1.0\r\nhost: dana\r\ncontent-length: 0\r\n\r\n");
    let answer = raw(&envoy.listener, request.as_bytes(), Duration::from_secs(5));
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    assert!(body.contains(r#""outcome":"unknown""#) && body.contains("4260000"), "{answer}");
}
