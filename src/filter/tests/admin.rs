//! The operators' listener, whichever call of the host goes wrong: every request is answered, and
//! what is told to be done was done.

use std::rc::Rc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::envoy::{CONFIG, Deed, Process, Ready, Way, Wish};
use super::fake::{FakeHost, Fault, Lasts, ways};
use crate::engine::ClaimState;
use crate::engine::Config;
use crate::engine::Reply;
use crate::filter::admin::{AdminRoot, AdminStream};
use crate::filter::stream::Flow;

const TOKEN: &str = "s3cret";

fn desk(process: &Process) -> Rc<AdminRoot<FakeHost>> {
    let mut config: Value = serde_json::from_str(CONFIG).unwrap();
    let digest: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    config["admin"] = serde_json::json!({"role": "admin", "token_sha256": digest});
    let config = Config::parse(config.to_string().as_bytes()).unwrap();
    Rc::new(AdminRoot::new(process.host.clone(), config).unwrap())
}

/// A request of an operator, from its first byte to the answer, in two pieces of a body.
fn ask(process: &Process, method: &str, path: &str, body: &str) -> Option<Reply> {
    {
        let mut inside = process.host.0.borrow_mut();
        let bearer = format!("Bearer {TOKEN}");
        let fields = [
            (":method", method),
            (":path", path),
            ("authorization", &bearer),
            ("content-type", "application/json"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        inside.request = fields.to_vec();
        inside.request_body = body.as_bytes().to_vec();
        inside.replies.clear();
        inside.calls.clear();
    }
    let mut visit = AdminStream::new(desk(process), 1);
    let mut flows = vec![visit.request_headers(body.is_empty())];
    if !body.is_empty() {
        flows.push(visit.request_body(body.len() / 2, false));
        flows.push(visit.request_body(body.len(), false));
        flows.push(visit.request_trailers());
    }
    assert!(flows.iter().all(|flow| *flow == Flow::Hold), "nothing goes on from here");
    let mut inside = process.host.0.borrow_mut();
    assert!(inside.replies.len() <= 1, "one answer");
    inside.replies.pop()
}

/// A process with a payment in doubt, and the key of that.
fn in_doubt(ready: &Ready) -> (Process, String) {
    let mut process = Process::new(ready);
    process.go(Way::new(Wish::Pay, Deed::Timeout));
    let inside = process.host.0.borrow();
    let key = inside.request.iter().find(|(name, _)| name == "idempotency-key");
    let key = key.unwrap().1.trim_matches('"').to_owned();
    drop(inside);
    // Long enough for a word on it to count.
    process.pass(60_000);
    process.tick();
    (process, key)
}

fn requests(key: &str) -> [(&'static str, &'static str, String); 5] {
    let who = r#""reason": "planned", "actor": "anna""#;
    [
        ("GET", "/status", String::new()),
        ("GET", "/", String::new()),
        ("GET", "/in-doubt", String::new()),
        (
            "POST",
            "/override",
            format!(r#"{{"gateway": "primary", "steer": "drain", "ttl_s": 60, {who}}}"#),
        ),
        (
            "POST",
            "/resolve",
            format!(r#"{{"key": "{key}", "executed": false, "evidence": "C-1", {who}}}"#),
        ),
    ]
}

fn is_closed(process: &Process) -> bool {
    process.claims().iter().any(|claim| matches!(claim.state, ClaimState::Closed { .. }))
}

fn is_drained(process: &Process) -> bool {
    let status = ask(process, "GET", "/status", "").unwrap();
    let status: Value = serde_json::from_slice(&status.body).unwrap();
    status["overrides"][0]["gateway"] == "primary"
}

#[test]
fn whichever_call_fails_operators_are_answered_and_told_no_lies() {
    let (ready, mut runs) = (Ready::new(), 0);
    for number in 0..5 {
        let (process, key) = in_doubt(&ready);
        let (method, path, body) = requests(&key)[number].clone();
        let healthy = ask(&process, method, path, &body).unwrap();
        let expected = if path == "/in-doubt" { 503 } else { 200 };
        let text = String::from_utf8(healthy.body).unwrap();
        assert_eq!(healthy.status, expected, "{path}: {text}");
        let calls = process.host.0.borrow().calls.clone();
        for (at, call) in calls.iter().enumerate() {
            for how in ways(call) {
                for lasts in [Lasts::Once, Lasts::Alike, Lasts::On] {
                    let (process, key) = in_doubt(&ready);
                    let (method, path, body) = requests(&key)[number].clone();
                    let fault = Fault { from: at + 1, lasts, how: *how };
                    process.host.0.borrow_mut().fault = Some(fault);
                    let reply = ask(&process, method, path, &body);
                    process.host.0.borrow_mut().fault = None;
                    let what = format!("{path}, {fault:?} of {calls:?}: {reply:?}");
                    let lost = process.host.0.borrow().replies_lost;
                    assert!(reply.is_some() || lost == 1, "{what}");
                    let done = reply.is_some_and(|reply| reply.status == 200);
                    assert!(!done || path != "/override" || is_drained(&process), "{what}");
                    assert!(!done || path != "/resolve" || is_closed(&process), "{what}");
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} runs");
    assert!(runs > 100, "{runs} runs");
}

#[test]
fn a_body_that_is_too_long_is_not_waited_for() {
    let process = Process::new(&Ready::new());
    let long = " ".repeat(10_000);
    let reply = ask(&process, "POST", "/override", &long).unwrap();
    assert_eq!(reply.status, 413);
}
