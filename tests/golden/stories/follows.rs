//! Cancels, refunds and statuses: at the gateway that holds their payment, with answers of every
//! kind, and of payments that this Envoy never saw.

use serde_json::{Value, json};

use super::{refund, wait};
use crate::stage::{PARTNER, Stage};
use crate::support::client::{CANCEL, CREATE, REFUND, STATUS, TOPUP, TRANSFER, about, order, send};
use crate::support::secrets::{ACCOUNT_NUMBER, CUSTOMER_NUMBER};

const TOPUP_STATUS: &str = "/rest/v1.0/emoney/topup-status";
const TRANSFER_STATUS: &str = "/v1.0/emoney/transfer-bank-status.htm";

/// What may become of an answer, whatever the operation: a code is of the operation's own service.
fn faults() -> Vec<(&'static str, Value)> {
    let code = |code: &str| json!({"fault": "code", "code": code});
    vec![
        ("hang", json!({"fault": "hang"})),
        ("reset", json!({"fault": "reset"})),
        ("garbage", json!({"fault": "garbage"})),
        ("truncate", json!({"fault": "truncate"})),
        ("compressed", json!({"fault": "compressed"})),
        ("empty", json!({"fault": "empty"})),
        ("html", json!({"fault": "html"})),
        ("html-404", json!({"fault": "html", "status": 404})),
        ("wrong", json!({"fault": "wrong-reference"})),
        ("text", json!({"fault": "raw", "status": 403, "body": "denied"})),
        ("pending", code("202xx00")),
        ("bad", code("400xx01")),
        ("denied", code("403xx15")),
        ("gone", code("404xx00")),
        ("unknown", code("404xx01")),
        ("differs", code("404xx18")),
        ("many", code("429xx00")),
        ("failed", code("500xx00")),
        ("unsure", code("500xx01")),
        ("timeout", code("504xx00")),
    ]
}

/// Paid past this Envoy.
fn past(stage: &Stage, gateway: &str, reference: &str) {
    let address =
        if gateway == "primary" { &stage.sandbox().primary } else { &stage.sandbox().secondary };
    let body = order(reference).to_string();
    let seen = send(address, CREATE, &[("x-partner-id", PARTNER)], body.as_bytes());
    assert_eq!(seen.status, 200, "{seen:?}");
}

fn hurt(stage: &Stage, gateway: &str, reference: &str, operation: &str, fault: &Value) {
    let mut fault = fault.clone();
    fault["reference"] = json!(reference);
    fault["operation"] = json!(operation);
    fault["count"] = json!(1);
    stage.fault(gateway, &fault);
}

pub(crate) fn play(stage: &mut Stage) {
    let known = paid(stage);
    let unseen = unseen(stage);
    states(stage);
    disbursements(stage);
    stage.next_act();
    wait(stage);
    for reference in known.iter().chain(&unseen) {
        stage.by_second().call("cancelled later", CANCEL, &about(reference));
        stage.call("refunded later", REFUND, &refund(reference, 1, "2500.00"));
        stage.by_first().call("asked later", STATUS, &about(reference));
    }
    stage.next_act();
    wait(stage);
    for reference in known.iter().chain(&unseen) {
        stage.by_first().call("cancelled in the end", CANCEL, &about(reference));
        stage.by_second().call("refunded in the end", REFUND, &refund(reference, 1, "2500.00"));
        stage.pay("paid in the end", reference);
    }
}

/// Of payments that were made here, half of them at the secondary.
fn paid(stage: &mut Stage) -> Vec<String> {
    let mut all = Vec::new();
    for (at, (name, fault)) in faults().into_iter().enumerate() {
        let gateway = if at % 2 == 0 { "primary" } else { "secondary" };
        for (operation, path) in
            [("cancel-order", CANCEL), ("refund-order", REFUND), ("order-status", STATUS)]
        {
            let reference = format!("{name}.{operation}");
            if gateway == "secondary" {
                stage.fault("primary", &json!({"fault": "refuse"}));
            }
            stage.by_first().pay("paid", &reference);
            stage.sandbox().heal("primary");
            let body = match path {
                REFUND => refund(&reference, 1, "2500.00"),
                _ => about(&reference),
            };
            hurt(stage, gateway, &reference, operation, &fault);
            stage.by_second().call(&format!("{reference}, hurt"), path, &body);
            stage.by_first().call("again at once", path, &body);
            all.push(reference);
        }
    }
    all
}

/// Of payments that were made past this Envoy, or nowhere.
fn unseen(stage: &mut Stage) -> Vec<String> {
    let mut all = Vec::new();
    for place in ["primary", "secondary", "nowhere"] {
        for (path, name) in [(CANCEL, "cancel"), (REFUND, "refund"), (STATUS, "status")] {
            for silent in ["", "primary", "secondary"] {
                let reference = format!("past-{place}.{name}.{silent}");
                if place != "nowhere" {
                    past(stage, place, &reference);
                }
                if !silent.is_empty() {
                    let reset = json!({"fault": "reset", "executes": false, "count": 1,
                                       "reference": reference});
                    stage.fault(silent, &reset);
                }
                let body = match path {
                    REFUND => refund(&reference, 1, "2500.00"),
                    _ => about(&reference),
                };
                stage.by_first().call(&reference, path, &body);
                stage.by_second().call("again at once", path, &body);
                let healed = json!({"fault": "none", "reference": reference});
                stage.fault("primary", &healed);
                stage.fault("secondary", &healed);
                all.push(reference);
            }
        }
    }
    // By the gateway's own number.
    past(stage, "secondary", "numbered");
    let paid = stage.by_first().pay("paid, to be asked for by number", "numbered-here").json();
    for number in [&paid["referenceNo"], &json!("nobody-gave-this")] {
        let mut body = about("");
        body.as_object_mut().unwrap().remove("originalPartnerReferenceNo");
        body["originalReferenceNo"] = number.clone();
        stage.by_second().call("asked by number", STATUS, &body);
    }
    all
}

/// In every state that a payment can have.
fn states(stage: &mut Stage) {
    stage.by_first().pay("paid", "twice-refunded");
    for (number, value) in [(1, "6000.00"), (2, "6000.00"), (3, "4000.00"), (1, "5000.00")] {
        stage.by_second().call("refunded", REFUND, &refund("twice-refunded", number, value));
        stage.by_first().call("the same", REFUND, &refund("twice-refunded", number, value));
    }
    stage.by_first().call("cancelled after all", CANCEL, &about("twice-refunded"));
    stage.by_second().pay("paid again", "twice-refunded");
    for says in ["executed", "pending", "refunded", "cancelled", "failed", "not-found"] {
        let reference = format!("told-{says}");
        stage.by_first().pay("paid", &reference);
        let tell = json!({"fault": "tell", "says": says});
        hurt(stage, "primary", &reference, "order-status", &tell);
        stage.by_second().call(&format!("asked: {says}"), STATUS, &about(&reference));
        stage.by_first().pay("paid again", &reference);
        stage.by_second().call("asked", STATUS, &about(&reference));
    }
    // Refused, and then followed up.
    hurt(stage, "primary", "refused", "create-order", &json!({"fault": "code", "code": "4035414"}));
    stage.by_first().pay("refused", "refused");
    stage.by_second().call("asked", STATUS, &about("refused"));
    stage.by_first().call("cancelled", CANCEL, &about("refused"));
    stage.by_second().pay("again", "refused");
    // Where nobody can be reached.
    stage.by_first().pay("paid", "unreached");
    for gateway in ["primary", "secondary"] {
        stage.fault(gateway, &json!({"fault": "refuse"}));
    }
    stage.by_second().call("asked, and nobody is there", STATUS, &about("unreached"));
    stage.call("cancelled, and nobody is there", CANCEL, &about("unreached"));
    stage.call("refunded, and nobody is there", REFUND, &refund("unreached", 1, "1.00"));
    stage.pay("paid, and nobody is there", "not-sent");
    stage.call("asked for what was never sent", STATUS, &about("not-sent"));
    stage.heal();
    stage.by_first().call("cancelled", CANCEL, &about("unreached"));
    stage.pay("paid", "not-sent");
}

/// Top-ups and transfers, with DANA's documented values.
fn disbursements(stage: &mut Stage) {
    let amount = json!({"value": "5000.00", "currency": "IDR"});
    let customers = [CUSTOMER_NUMBER, "628551008794", "628121111111", "628996647679"];
    for (number, customer) in customers.into_iter().enumerate() {
        let reference = format!("topup-{number}");
        let body = json!({"partnerReferenceNo": reference, "customerNumber": customer,
                          "amount": amount, "feeAmount": amount});
        let status = json!({"originalPartnerReferenceNo": reference, "serviceCode": "38"});
        stage.by_first().call("topped up", TOPUP, &body);
        stage.by_second().call("again", TOPUP, &body);
        stage.call("asked", TOPUP_STATUS, &status);
        stage.by_first().call("again", TOPUP, &body);
    }
    let accounts = [ACCOUNT_NUMBER, "8551008794", "8121111111", "82298055100"];
    for (number, account) in accounts.into_iter().enumerate() {
        let reference = format!("transfer-{number}");
        let body = json!({"partnerReferenceNo": reference, "beneficiaryAccountNumber": account,
                          "beneficiaryBankCode": "008", "amount": amount});
        let status = json!({"originalPartnerReferenceNo": reference, "serviceCode": "43"});
        stage.by_first().call("transferred", TRANSFER, &body);
        stage.by_second().call("again", TRANSFER, &body);
        stage.call("asked", TRANSFER_STATUS, &status);
        let mut other = body.clone();
        other["beneficiaryAccountNumber"] = json!("1");
        stage.by_first().call("to another account", TRANSFER, &other);
    }
}
