//! Header keys and customers' tokens: what they lead to, whichever version has stored it.

use serde_json::{Value, json};

use super::wait;
use crate::stage::{PARTNER, Stage};
use crate::support::client::{CREATE, TRANSFER, order};
use crate::support::secrets::ACCOUNT_NUMBER;

const OWN: (&str, &str) = ("x-partner-id", PARTNER);

fn keyed(stage: &mut Stage, what: &str, reference: &str, key: &str) {
    let body = order(reference).to_string();
    stage.send(what, CREATE, &[OWN, ("idempotency-key", key)], body.as_bytes());
}

fn transfer(stage: &mut Stage, what: &str, key: &str, value: &str) {
    let body = json!({
        "beneficiaryAccountNumber": ACCOUNT_NUMBER,
        "beneficiaryBankCode": "008",
        "amount": {"value": value, "currency": "IDR"},
    });
    let headers = [OWN, ("idempotency-key", key)];
    stage.send(what, TRANSFER, &headers, body.to_string().as_bytes());
}

fn with_token(stage: &mut Stage, what: &str, reference: &str, token: &str) {
    let token = format!("Bearer {token}");
    let headers = [OWN, ("authorization-customer", token.as_str())];
    stage.send(what, CREATE, &headers, order(reference).to_string().as_bytes());
}

/// A customer's token of this name, issued by a gateway.
fn issue(stage: &mut Stage, gateway: &str, token: &str) {
    let body = json!({"responseCode": "2007400", "accessToken": token}).to_string();
    let told = json!({"fault": "raw", "status": 200, "body": body, "operation": "apply-token",
                      "count": 1});
    stage.fault(gateway, &told);
    if gateway == "secondary" {
        stage.fault("primary", &json!({"fault": "refuse"}));
    }
    let asked = json!({"grantType": "AUTHORIZATION_CODE", "authCode": "c-1", "refreshToken": ""});
    stage.call(&format!("a token of {gateway}"), "/v1.0/access-token/b2b2c.htm", &asked);
    stage.heal();
}

const STATES: [&str; 6] = ["settled", "rejected", "doubt", "released", "moved", "closed"];

fn fault_of(state: &str) -> Value {
    match state {
        "rejected" => json!({"fault": "code", "code": "403xx15"}),
        "doubt" => json!({"fault": "reset"}),
        "closed" => json!({"fault": "reset", "executes": false}),
        "released" | "moved" => json!({"fault": "refuse"}),
        _ => json!({"fault": "none"}),
    }
}

/// What comes with a key: a payment in each state, and others under the same key.
fn keys(stage: &mut Stage) {
    for state in STATES {
        let (key, reference) = (format!("k-{state}"), format!("key-{state}"));
        stage.fault("primary", &fault_of(state));
        if state == "released" {
            stage.fault("secondary", &json!({"fault": "refuse"}));
        }
        stage.by_first();
        keyed(stage, state, &reference, &key);
        transfer(stage, state, &format!("t-{state}"), "5000.00");
        stage.heal();
        stage.by_second();
        keyed(stage, "quoted", &reference, &format!("\"{key}\""));
        keyed(stage, "another payment", &format!("{reference}-other"), &key);
        stage.pay("without the key", &reference);
        transfer(stage, "the same transfer", &format!("t-{state}"), "5000.00");
        transfer(stage, "another transfer", &format!("t-{state}"), "6000.00");
        stage.by_first();
        keyed(stage, "another key", &reference, &format!("{key}-other"));
        let body = order(&reference).to_string();
        let headers = [("x-partner-id", "another"), ("idempotency-key", key.as_str())];
        stage.send("another partner", CREATE, &headers, body.as_bytes());
    }
}

/// More keys on one payment than are kept.
fn many_keys(stage: &mut Stage) {
    for number in 0..12 {
        stage.by_first();
        keyed(stage, "one of many keys", "many-keys", &format!("many-{number}"));
        stage.by_second();
        keyed(stage, "on another payment", "many-keys-other", &format!("many-{number}"));
    }
}

fn tokens(stage: &mut Stage) {
    stage.by_first();
    issue(stage, "primary", "token-primary");
    issue(stage, "secondary", "token-secondary");
    for token in ["token-primary", "token-secondary", "token-nobody"] {
        stage.by_second();
        with_token(stage, "paid", &format!("{token}-1"), token);
        stage.fault("secondary", &json!({"fault": "refuse"}));
        with_token(stage, "the secondary is gone", &format!("{token}-2"), token);
        stage.heal();
        stage.fault("primary", &json!({"fault": "refuse"}));
        with_token(stage, "the primary is gone", &format!("{token}-3"), token);
        stage.heal();
        stage.by_first();
        with_token(stage, "again", &format!("{token}-1"), token);
        with_token(stage, "with another token", &format!("{token}-1"), "token-other");
        let body = json!({"merchantId": "216620010016033632482"}).to_string();
        let bearer = format!("Bearer {token}");
        let headers = [OWN, ("authorization-customer", bearer.as_str())];
        stage.send("a question", "/v1.0/balance-inquiry.htm", &headers, body.as_bytes());
        stage.send("a state", "/v1.0/qr/apply-ott.htm", &headers, body.as_bytes());
    }
    // Issued anew by the other one.
    stage.by_second();
    issue(stage, "primary", "token-secondary");
    stage.by_first();
    with_token(stage, "issued anew", "token-secondary-4", "token-secondary");
}

pub(crate) fn play(stage: &mut Stage) {
    keys(stage);
    many_keys(stage);
    tokens(stage);
    for _ in 0..2 {
        stage.next_act();
        wait(stage);
        for state in STATES {
            let (key, reference) = (format!("k-{state}"), format!("key-{state}"));
            stage.by_second();
            keyed(stage, state, &reference, &key);
            keyed(stage, "another payment", &format!("{reference}-later"), &key);
            transfer(stage, "the same transfer", &format!("t-{state}"), "5000.00");
            stage.by_first();
            keyed(stage, "again", &reference, &key);
        }
        for token in ["token-primary", "token-secondary", "token-nobody"] {
            with_token(stage, "again", &format!("{token}-1"), token);
            let reference = format!("{token}-{}", stage.next_id());
            with_token(stage, "a new one", &reference, token);
        }
    }
}
