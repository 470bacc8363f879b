//! Requests that come while another one is under way, and clients that leave.

use serde_json::{Value, json};

use super::{refund, wait};
use crate::stage::{PARTNER, Stage};
use crate::support::client::{CANCEL, CREATE, REFUND, STATUS, about, order};
use crate::support::sandbox::Sandbox;

fn one_refund(reference: &str) -> Value {
    refund(reference, 1, "2500.00")
}

fn slow(stage: &Stage, reference: &str, operation: &str) {
    let slow = json!({"fault": "slow", "delay_ms": 400, "count": 1, "operation": operation,
                      "reference": reference});
    stage.fault("primary", &slow);
}

fn has(reference: &str, operation: &str) -> impl Fn(&Sandbox) -> bool {
    move |sandbox| {
        let requests = sandbox.requests("primary", reference);
        requests.iter().any(|request| request["operation"] == operation)
    }
}

pub(crate) fn play(stage: &mut Stage) {
    for (number, (path, body)) in [
        (CREATE, order as fn(&str) -> Value),
        (STATUS, about),
        (CANCEL, about),
        (REFUND, one_refund),
    ]
    .into_iter()
    .enumerate()
    {
        let reference = format!("under-way-{number}");
        slow(stage, &reference, "create-order");
        stage.by_first().meanwhile(
            "a payment",
            (CREATE, &order(&reference)),
            has(&reference, "create-order"),
            |stage| {
                stage.by_second().call("while it is under way", path, &body(&reference));
                let mut other = order(&reference);
                other["amount"]["value"] = json!("2.00");
                stage.call("another amount", CREATE, &other);
            },
        );
        stage.by_second().call("after it", path, &body(&reference));
    }
    let reference = "cancelled-under-way";
    stage.by_first().pay("paid", reference);
    slow(stage, reference, "cancel-order");
    stage.meanwhile(
        "a cancel",
        (CANCEL, &about(reference)),
        has(reference, "cancel-order"),
        |stage| {
            stage.by_second().call("the same", CANCEL, &about(reference));
            stage.call("a refund", REFUND, &one_refund(reference));
            stage.pay("the payment", reference);
            stage.call("its status", STATUS, &about(reference));
        },
    );
    key_under_way(stage);
    for number in 0..3 {
        left(stage, &format!("left-{number}"));
    }
    stage.next_act();
    wait(stage);
    for number in 0..3 {
        let reference = format!("left-{number}");
        if number > 0 {
            stage.by_first().call("asked", STATUS, &about(&reference));
        }
        stage.by_second().pay("again", &reference);
        stage.by_first().pay("and again", &reference);
    }
}

/// Another payment under the key of one that is under way.
fn key_under_way(stage: &mut Stage) {
    slow(stage, "keyed", "create-order");
    let mut body = order("keyed");
    body["x"] = json!(1);
    let pay = |stage: &mut Stage, what: &str, reference: &str| {
        let headers = [("x-partner-id", PARTNER), ("idempotency-key", "shared")];
        stage.send(what, CREATE, &headers, order(reference).to_string().as_bytes());
    };
    stage.by_first();
    pay(stage, "bound to one that was refused", "keyed-before");
    stage.meanwhile("a payment", (CREATE, &body), has("keyed", "create-order"), |stage| {
        stage.by_second();
        pay(stage, "its key, which is another's", "keyed");
        pay(stage, "another one", "keyed-other");
    });
    pay(stage, "after it", "keyed");
}

/// A client that leaves while the gateway has its payment.
fn left(stage: &mut Stage, reference: &str) {
    let hang = json!({"fault": "hang", "count": 1, "reference": reference});
    stage.fault("primary", &hang);
    let (id, body) = (stage.next_id(), order(reference).to_string());
    let bytes = format!(
        "POST {CREATE} HTTP/1.1\r\nhost: dana\r\nx-partner-id: {PARTNER}\r\nx-request-id: {id}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let has_it = has(reference, "create-order");
    stage
        .by_first()
        .leave("the client leaves", &id, bytes.as_bytes(), |stage| has_it(stage.sandbox()));
    stage.by_second().pay("again at once", reference);
}
