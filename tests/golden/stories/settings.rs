//! Other configurations: rights, observing, and plain HTTP.

use serde_json::{Value, json};

use super::{everything, steady, wait};
use crate::stage::{PARTNER, Stage};
use crate::support::client::{CANCEL, CREATE, REFUND, STATUS, TOPUP, about, order};
use crate::support::envoy::with;

/// Who may call what.
pub(crate) fn rights() -> Value {
    let partners = json!({
        PARTNER: ["create-order", "order-status", "cancel", "apply-b2b-token"],
        "reader": ["order-status"],
        "*": ["balance"],
    });
    with(steady(), &json!({"scope": {"partners": partners}, "unmatched": "pass"}))
}

pub(crate) fn play_rights(stage: &mut Stage) {
    for _ in 0..2 {
        for partner in [PARTNER, "reader", "stranger"] {
            for path in [
                CREATE,
                STATUS,
                CANCEL,
                REFUND,
                TOPUP,
                "/v1.0/balance-inquiry.htm",
                "/v1.0/access-token/b2b.htm",
                "/v1.0/other.htm",
            ] {
                let body = everything("rights").to_string();
                let own = [("x-partner-id", partner)];
                stage.by_first().send(partner, path, &own, body.as_bytes());
                let client = [("x-client-key", partner)];
                stage.by_second().send("by client key", path, &client, body.as_bytes());
            }
        }
        stage.next_act();
    }
}

/// All is watched but top-ups.
pub(crate) fn observed() -> Value {
    let topup =
        json!({"name": "top-up", "path": "/emoney/topup", "class": "charge", "mode": "enforce"});
    with(steady(), &json!({"mode": "observe", "operations": [topup]}))
}

pub(crate) fn play_observed(stage: &mut Stage) {
    for fault in [
        json!({"fault": "none"}),
        json!({"fault": "reset"}),
        json!({"fault": "code", "code": "403xx15"}),
        json!({"fault": "code", "code": "500xx01"}),
        json!({"fault": "raw", "status": 403, "body": "denied"}),
        json!({"fault": "refuse"}),
    ] {
        let reference =
            format!("seen-{}", fault["code"].as_str().or_else(|| fault["fault"].as_str()).unwrap());
        stage.fault("primary", &fault);
        for path in [CREATE, TOPUP, STATUS, CANCEL, REFUND, "/nothing/known"] {
            stage.by_first().call(&reference, path, &everything(&reference));
            stage.by_second().call("again", path, &everything(&reference));
        }
        stage.heal();
        stage.by_first().pay("healed", &reference);
        stage.send("by nobody", CREATE, &[], order(&reference).to_string().as_bytes());
        stage.ask("GET", ("GET", CREATE), &[("x-partner-id", PARTNER)], b"");
    }
    stage.next_act();
    wait(stage);
    stage.by_second().pay("later", "seen-reset");
    stage.by_first().call("topped up later", TOPUP, &everything("seen-reset"));
}

/// Charges and refunds of somebody who is not DANA.
pub(crate) fn plain() -> Value {
    let operations = json!([
        {"name": "pay", "path": "/pay", "class": "charge", "namespace": "payment",
         "inquiry_path": "/payment"},
        {"name": "pay-by-body", "path": "/pay-by-body", "class": "charge", "namespace": "body",
         "identity": ["/merchantId", "/partnerReferenceNo"], "reference": "/partnerReferenceNo",
         "fingerprint": ["/amount/value"], "repeat": "by_reference"},
        {"name": "undo", "path": "/undo", "class": "follow-up", "namespace": "undo",
         "concerns": {"namespace": "body", "identity": ["/merchantId", "/originalPartnerReferenceNo"]}},
        {"name": "read", "path": "/read", "class": "inquiry"},
        {"name": "set", "path": "/set", "class": "state"},
    ]);
    with(steady(), &json!({"protocol": "http", "operations": operations}))
}

pub(crate) fn play_plain(stage: &mut Stage) {
    let raw = |status: u16, body: &str| json!({"fault": "raw", "status": status, "body": body});
    let faults = [
        ("ok", raw(200, "{}")),
        ("named", raw(200, r#"{"partnerReferenceNo":"named.pay-by-body"}"#)),
        ("created", raw(201, "done")),
        ("no", raw(402, "no")),
        ("conflict", raw(409, "{}")),
        ("many", raw(429, "{}")),
        ("failed", raw(500, "{}")),
        ("busy", raw(503, "{}")),
        ("reset", json!({"fault": "reset"})),
        ("hang", json!({"fault": "hang"})),
        ("refused", json!({"fault": "refuse"})),
    ];
    for (name, fault) in &faults {
        for path in ["/pay", "/pay-by-body", "/undo", "/read", "/set", "/other"] {
            let reference = format!("{name}.{}", &path[1..]);
            let body = everything(&reference).to_string();
            let keyed = [("x-partner-id", PARTNER), ("idempotency-key", reference.as_str())];
            stage.fault("primary", fault);
            stage.by_first().send(&reference, path, &keyed, body.as_bytes());
            stage.fault("primary", &raw(200, "{}"));
            stage.by_second().send("again", path, &keyed, body.as_bytes());
            stage.send("another body", path, &keyed, b"{\"merchantId\":\"m\"}");
            stage.send("without a key", path, &[("x-partner-id", PARTNER)], body.as_bytes());
        }
    }
    stage.next_act();
    wait(stage);
    for (name, _) in &faults {
        for path in ["/pay", "/pay-by-body", "/undo"] {
            let reference = format!("{name}.{}", &path[1..]);
            let body = everything(&reference).to_string();
            let keyed = [("x-partner-id", PARTNER), ("idempotency-key", reference.as_str())];
            stage.by_second().send("later", path, &keyed, body.as_bytes());
        }
    }
    stage.call("a status, which nobody knows", STATUS, &about("x"));
}
