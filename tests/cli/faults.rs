//! Each fault as a client sees it, and what it leaves in the ledger.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::playground::{self, Playground, Reply, exchange, send};
use super::{CREATE, PARTNER, TOPUP, code, order, pay};

#[test]
fn a_fault_that_answers_says_what_it_was_told_and_executes_as_promised() {
    let cases = [
        (r#"{"fault":"slow","delay_ms":50}"#, 200, "2005400", true),
        (r#"{"fault":"empty"}"#, 200, "", true),
        (r#"{"fault":"html"}"#, 502, "<html>", false),
        (r#"{"fault":"html","status":403}"#, 403, "<html>", false),
        (r#"{"fault":"code","code":"5005400"}"#, 500, "5005400", false),
        (r#"{"fault":"code","code":"500xx01"}"#, 500, "5005401", true),
        (r#"{"fault":"code","code":"504xx00"}"#, 504, "5045400", true),
        (r#"{"fault":"code","code":"2025400"}"#, 202, "2025400", true),
        (r#"{"fault":"code","code":"4295400"}"#, 429, "4295400", false),
        (r#"{"fault":"code","code":"4035414","executes":true}"#, 403, "4035414", true),
        (r#"{"fault":"raw","status":201,"body":"{\"a\":1}"}"#, 201, r#"{"a":1}"#, false),
        (r#"{"fault":"wrong-reference"}"#, 200, "order-0", true),
    ];
    let sandbox = Playground::start(&[]);
    for (fault, status, text, executes) in cases {
        sandbox.fault("primary", &serde_json::from_str(fault).unwrap());
        let reply = pay(&sandbox.primary, "order-1");
        let body = String::from_utf8(reply.body).unwrap();
        assert_eq!(reply.status, status, "{fault}: {body}");
        assert!(body.contains(text), "{fault}: {body}");
        assert!(!body.contains("order-1") || !text.contains("order-0"), "{fault}: {body}");
        assert_eq!(sandbox.get("/ledger")["total"] == 1, executes, "{fault}");
        assert_eq!(sandbox.get("/stats")["primary"]["faults_served"], 1);
        assert_eq!(sandbox.control("POST", "/reset", "").status, 200);
    }
    assert_eq!(sandbox.get("/stats")["primary"]["requests"], 0);
}

#[test]
fn a_fault_below_http_ends_the_connection_as_told() {
    let sandbox = Playground::start(&[]);
    for (kind, expected) in [("reset", Err(ErrorKind::ConnectionReset)), ("close", Ok(0))] {
        sandbox.fault("primary", &json!({ "fault": kind, "count": 1 }));
        let mut stream = send(&sandbox.primary, "POST", CREATE, PARTNER, &order(kind, "1.00"));
        let mut bytes = [0; 64];
        let ended = stream.read(&mut bytes).map_err(|error| error.kind());
        assert_eq!(ended, expected, "{kind}");
    }
    sandbox.fault("primary", &json!({ "fault": "garbage", "count": 1 }));
    let bytes = drain(send(&sandbox.primary, "POST", CREATE, PARTNER, &order("garbage", "1.00")));
    assert!(!bytes.is_empty() && !bytes.starts_with(b"HTTP"));

    sandbox.fault("primary", &json!({ "fault": "truncate", "count": 1 }));
    let bytes = drain(send(&sandbox.primary, "POST", CREATE, PARTNER, &order("truncate", "1.00")));
    let reply = Reply::parse(&bytes).unwrap();
    let announced: usize = reply.header("content-length").unwrap().parse().unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, announced / 2));

    assert_eq!(sandbox.get("/ledger")["total"], 4);
    let healthy = pay(&sandbox.primary, "truncate-2");
    assert_eq!(code(&healthy), "2005400");
}

fn drain(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_hanging_gateway_executes_and_never_answers() {
    let sandbox = Playground::start(&[]);
    sandbox.fault("primary", &json!({ "fault": "hang" }));
    let mut stream = send(&sandbox.primary, "POST", CREATE, PARTNER, &order("order-1", "1.00"));
    sandbox.wait_for("/ledger", |ledger| ledger["total"] == 1);
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    // A signal that comes by is no answer either.
    let mut reads = std::iter::repeat_with(|| stream.read(&mut [0; 1]).unwrap_err().kind());
    let silence = reads.find(|kind| *kind != ErrorKind::Interrupted).unwrap();
    assert!(matches!(silence, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
    let request = &sandbox.get("/requests")["requests"][0];
    assert_eq!((&request["answered_code"], &request["fault"]), (&Value::Null, &json!("hang")));

    assert_eq!(exchange(&sandbox.primary, "GET", "/", "", "").status, 200);
    let slow = json!({ "fault": "code", "code": "5030000", "heartbeats": true });
    sandbox.fault("primary", &slow);
    assert_eq!(exchange(&sandbox.primary, "GET", "/", "", "").status, 503);
}

#[test]
fn a_refusing_gateway_drops_everybody_and_comes_back_on_the_same_port() {
    let sandbox = Playground::start(&[]);
    let mut idle = TcpStream::connect(&sandbox.primary).unwrap();
    idle.set_read_timeout(Some(playground::PATIENCE)).unwrap();
    sandbox.wait_for("/stats", |stats| stats["primary"]["connections_open"] == 1);
    for _ in 0..3 {
        sandbox.fault("primary", &json!({ "fault": "refuse" }));
        let refused = TcpStream::connect(&sandbox.primary).unwrap_err().kind();
        assert_eq!(refused, ErrorKind::ConnectionRefused);
        assert_eq!(code(&pay(&sandbox.secondary, "order-1")), "2005400");
        assert_eq!(sandbox.control("DELETE", "/gateways/primary/fault", "").status, 200);
        assert_eq!(code(&pay(&sandbox.primary, "order-1")), "2005400");
    }
    let dropped = idle.read(&mut [0; 1]);
    assert!(matches!(dropped, Ok(0) | Err(_)), "{dropped:?}");
    sandbox.fault("primary", &json!({ "fault": "refuse" }));
    sandbox.fault("primary", &json!({ "fault": "none" }));
    assert_eq!(exchange(&sandbox.primary, "GET", "/", "", "").status, 200);
}

#[test]
fn the_port_of_a_refusing_gateway_is_given_to_nobody_else() {
    let sandbox = Playground::start(&[]);
    let address = sandbox.primary.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let _entered = runtime.enter();
    for fault in ["refuse", "none", "refuse"] {
        sandbox.fault("primary", &json!({ "fault": fault }));
        // Whom the system looks for a free port is judged like this one, who asks for it by number.
        let taken = TcpSocket::new_v4().unwrap().bind(address).unwrap_err().kind();
        assert_eq!(taken, ErrorKind::AddrInUse, "{fault}");
    }
}

#[test]
fn a_fault_can_be_for_one_operation_and_for_a_number_of_requests() {
    let sandbox = Playground::start(&[]);
    let fault = json!({
        "fault": "code", "code": "429xx00", "operation": "create-order", "count": 2
    });
    let told = sandbox.fault("primary", &fault);
    assert_eq!(told["faults"][0]["code"], "429xx00");
    assert_eq!(told["faults"][0]["executes"], false);
    let topup = |reference: &str| {
        code(&exchange(&sandbox.primary, "POST", TOPUP, PARTNER, &order(reference, "1.00")))
    };
    assert_eq!(topup("t-1"), "2003800");
    assert_eq!(code(&pay(&sandbox.primary, "order-1")), "4295400");
    assert_eq!(code(&pay(&sandbox.primary, "order-1")), "4295400");
    assert_eq!(code(&pay(&sandbox.primary, "order-1")), "2005400");
    assert_eq!(sandbox.get("/gateways/primary/fault")["faults"], json!([]));
}

#[test]
fn faults_for_single_payments_stand_beside_each_other() {
    let sandbox = Playground::start(&[]);
    for (reference, code) in [("a", "4035414"), ("b", "5005401")] {
        let fault = json!({ "fault": "code", "code": code, "reference": reference });
        sandbox.fault("primary", &fault);
    }
    let told = sandbox.fault("primary", &json!({ "fault": "empty", "operation": "create-order" }));
    assert_eq!(told["faults"].as_array().unwrap().len(), 3);
    assert_eq!(told["faults"][1]["reference"], "b");
    assert_eq!(code(&pay(&sandbox.primary, "a")), "4035414");
    assert_eq!(code(&pay(&sandbox.primary, "b")), "5005401");
    assert_eq!(pay(&sandbox.primary, "c").body, b"");
    let told = sandbox.fault("primary", &json!({ "fault": "none", "reference": "b" }));
    assert_eq!(told["faults"].as_array().unwrap().len(), 2);
    assert_eq!(pay(&sandbox.primary, "b").body, b"", "the one for the operation is left");
    assert_eq!(code(&pay(&sandbox.primary, "a")), "4035414");
    let seen = sandbox.get("/requests?reference=b")["requests"].clone();
    let seen: Vec<_> = seen.as_array().unwrap().iter().map(|r| r["fault"].clone()).collect();
    assert_eq!(seen, [json!("code"), json!("empty")]);
}

#[test]
fn a_status_says_what_it_was_told_to_say() {
    let sandbox = Playground::start(&[]);
    let ask = |reference: &str| {
        let body = super::about(reference);
        exchange(&sandbox.primary, "POST", super::STATUS, PARTNER, &body)
    };
    pay(&sandbox.primary, "order-1");
    let cases = [
        ("executed", "00"),
        ("pending", "02"),
        ("refunded", "04"),
        ("cancelled", "05"),
        ("failed", "06"),
    ];
    for (says, status) in cases {
        let fault = json!({ "fault": "tell", "says": says, "operation": "order-status" });
        sandbox.fault("primary", &fault);
        let told = ask("order-1").json();
        assert_eq!(told["latestTransactionStatus"], status, "{says}");
        assert_eq!(told["originalPartnerReferenceNo"], "order-1", "{says}");
        assert_eq!(ask("order-2").json()["latestTransactionStatus"], status, "{says}, unknown");
    }
    sandbox.fault("primary", &json!({ "fault": "none" }));
    let once = json!({
        "fault": "tell", "says": "not-found", "operation": "order-status",
        "reference": "order-1", "count": 1,
    });
    sandbox.fault("primary", &once);
    assert_eq!(code(&ask("order-1")), "4045501");
    assert_eq!(ask("order-1").json()["latestTransactionStatus"], "00");
    assert_eq!(sandbox.get("/ledger")["total"], 1);
}

#[test]
fn an_honest_answer_can_carry_a_trap_or_come_compressed() {
    let sandbox = Playground::start(&[]);
    let honest = pay(&sandbox.primary, "order-1");
    assert_eq!(honest.header("x-trap"), None);
    sandbox.fault("primary", &json!({ "fault": "trap" }));
    let trap = pay(&sandbox.primary, "order-1");
    assert_eq!((trap.header("x-trap"), &trap.body), (Some("1"), &honest.body));
    sandbox.fault("primary", &json!({ "fault": "compressed" }));
    let compressed = pay(&sandbox.primary, "order-1");
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&compressed.body[..]).read_to_end(&mut plain).unwrap();
    assert_eq!(plain, honest.body);
}

#[test]
fn a_request_is_open_until_it_is_answered_or_its_sender_leaves() {
    let sandbox = Playground::start(&[]);
    let open = |now: u64, most: u64| {
        sandbox.wait_for("/stats", |stats| {
            let of = |what: &str| stats["primary"][what].as_u64();
            of("requests_open") == Some(now) && of("requests_open_max") == Some(most)
        });
    };
    sandbox.fault("primary", &json!({ "fault": "hang" }));
    let call = |n: usize| {
        send(&sandbox.primary, "POST", CREATE, PARTNER, &order(&format!("order-{n}"), "1.00"))
    };
    let mut streams: Vec<TcpStream> = (0..3).map(call).collect();
    open(3, 3);
    streams.pop();
    open(2, 3);
    assert_eq!(sandbox.control("DELETE", "/stats", "").json()["primary"]["requests"], 0);
    open(2, 2);
    streams.clear();
    open(0, 2);
    sandbox.fault("primary", &json!({ "fault": "none" }));
    pay(&sandbox.primary, "order-3");
    open(0, 2);
}
