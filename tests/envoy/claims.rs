//! One payment, many requests: races, reuse, replays, repeats, and clients that leave.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use serde_json::json;

use crate::support::client::{
    CANCEL, CREATE, REFUND, STATUS, TOPUP, TRANSFER, about, call, order, order_bytes, raw, send,
};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::secrets::{ACCOUNT_NUMBER, CUSTOMER_NUMBER};
use crate::support::{pause, until};

fn start() -> (Sandbox, Envoy) {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    (sandbox, envoy)
}

#[test]
fn sixteen_clients_racing_four_hundred_keys_over_two_workers_execute_each_once() {
    let (sandbox, envoy) = start();
    let step = Arc::new(Barrier::new(16));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (step, listener) = (Arc::clone(&step), envoy.listener.clone());
            std::thread::spawn(move || {
                let (mut executed, mut in_progress, mut wrong) = (0, 0, Vec::new());
                for key in 0..400 {
                    // All sixteen begin each key together.
                    step.wait();
                    let answer = call(&listener, CREATE, &order(&format!("RACE-{key}")));
                    match (answer.status, answer.outcome().as_str()) {
                        (200, "") => executed += 1,
                        (429, "in_progress") => in_progress += 1,
                        _ => wrong.push(String::from_utf8_lossy(&answer.body).into_owned()),
                    }
                }
                (executed, in_progress, wrong)
            })
        })
        .collect();
    let told: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let wrong: Vec<_> = told.iter().flat_map(|(_, _, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let executed: usize = told.iter().map(|(executed, ..)| executed).sum();
    let in_progress: usize = told.iter().map(|(_, in_progress, _)| in_progress).sum();
    assert_eq!(executed + in_progress, 16 * 400);
    assert!(executed >= 400 && in_progress > 0, "{executed} executed, {in_progress} raced");
    let ledger = sandbox.ledger();
    let payments = ledger["payments"].as_array().unwrap();
    assert_eq!(payments.len(), 400);
    for payment in payments {
        let copies: u64 =
            payment["copies"].as_object().unwrap().values().filter_map(|n| n.as_u64()).sum();
        assert_eq!((&payment["executions"], copies), (&json!(1), 1), "{payment}");
    }
    assert_eq!(ledger["executed_at_both"], 0);
}

#[test]
fn a_replay_is_the_gateways_answer_byte_for_byte() {
    let (sandbox, envoy) = start();
    let first = call(&envoy.listener, CREATE, &order("REPLAY"));
    let mut other_form = order("REPLAY");
    // What an SDK mints anew, and what a merchant may compute anew, does not make it another
    // payment; nor does the spelling of the JSON.
    other_form["validUpTo"] = json!("2026-11-23T00:00:00+07:00");
    let spaced =
        serde_json::to_string_pretty(&other_form).unwrap().replace("REPLAY", "\\u0052EPLAY");
    let headers = [("x-partner-id", "2025021312345678901234"), ("x-external-id", "another")];
    let again = send(&envoy.listener, CREATE, &headers, spaced.as_bytes());
    assert_eq!(again.body, first.body);
    assert_eq!(again.status, 200);
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("x-dana-gateway"), Some("primary"));
    assert_eq!(sandbox.requests("primary", "REPLAY").len(), 1);
    // The widget's create order names the same payment.
    let widget = "/rest/redirection/v1.0/debit/payment-host-to-host";
    assert_eq!(call(&envoy.listener, widget, &order("REPLAY")).body, first.body);
}

#[test]
fn a_key_with_another_payload_is_a_mismatch_and_another_partner_another_payment() {
    let (sandbox, envoy) = start();
    assert_eq!(call(&envoy.listener, CREATE, &order("REUSED")).status, 200);
    let mut dearer = order("REUSED");
    dearer["amount"]["value"] = json!("20000.00");
    let mismatch = call(&envoy.listener, CREATE, &dearer);
    assert_eq!((mismatch.status, mismatch.code().as_str()), (404, "4045418"));
    assert_eq!(mismatch.outcome(), "not_executed");
    assert_eq!(sandbox.requests("primary", "REUSED").len(), 1);
    let other = send(
        &envoy.listener,
        CREATE,
        &[("x-partner-id", "another-partner")],
        order("REUSED").to_string().as_bytes(),
    );
    assert_eq!(other.status, 200);
    assert_eq!(other.header("idempotent-replayed"), None);
    assert_eq!(sandbox.requests("primary", "REUSED").len(), 2);
}

#[test]
fn in_doubt_it_is_repeated_at_its_own_gateway_and_nowhere_else() {
    let sandbox = Sandbox::start();
    // Long enough that a busy machine asks again within it.
    let slow = with(quick(), &json!({"idempotency": {"repeat_after_ms": 1500}}));
    let envoy = Envoy::start(&rendered(&sandbox, &slow));
    sandbox.fault("primary", &json!({"fault": "reset"}));
    let first = call(&envoy.listener, CREATE, &order("DOUBT"));
    assert_eq!((first.status, first.outcome().as_str()), (504, "unknown"));
    assert_eq!(first.json()["safe_new_key"], false);
    assert_eq!(first.json()["inquiry_path"], STATUS);
    assert_eq!(call(&envoy.listener, CREATE, &order("DOUBT")).outcome(), "unknown");
    assert_eq!(sandbox.requests("primary", "DOUBT").len(), 1, "sooner than repeat_after_ms");

    // The repeat cannot connect: another payment would move on to the secondary, this one not.
    sandbox.fault("primary", &json!({"fault": "refuse"}));
    pause(Duration::from_millis(1550));
    let refused = call(&envoy.listener, CREATE, &order("DOUBT"));
    assert_eq!((refused.status, refused.outcome().as_str()), (504, "unknown"), "{refused:?}");

    // The repeat is answered with a NO: that speaks of the repeat and not of the first copy.
    sandbox.fault("primary", &json!({"fault": "code", "code": "4035414"}));
    pause(Duration::from_millis(1550));
    let no = call(&envoy.listener, CREATE, &order("DOUBT"));
    assert_eq!((no.status, no.outcome().as_str()), (504, "unknown"), "{no:?}");
    assert_eq!(no.json()["gateway_code"], "4035414");

    sandbox.heal("primary");
    let settled = until("the repeat settles it", Duration::from_secs(5), || {
        let answer = call(&envoy.listener, CREATE, &order("DOUBT"));
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(settled.code(), "2005400");
    let requests = sandbox.requests("primary", "DOUBT");
    assert_eq!(requests.len(), 3, "first, NO, success");
    let keys: Vec<_> = requests.iter().map(|r| &r["headers"]["idempotency-key"]).collect();
    assert!(keys.iter().all(|key| *key == keys[0] && key.as_str().is_some()), "{keys:?}");
    assert_eq!(sandbox.requests("secondary", "DOUBT").len(), 0);
    assert_eq!(sandbox.executed_at("DOUBT"), ["primary"]);
    let replay = call(&envoy.listener, CREATE, &order("DOUBT"));
    assert_eq!(replay.header("idempotent-replayed"), Some("true"));
}

#[test]
fn a_status_settles_a_doubt_and_not_found_is_not_taken_at_its_word() {
    let (sandbox, envoy) = start();
    sandbox.fault("primary", &json!({"fault": "reset"}));
    assert_eq!(call(&envoy.listener, CREATE, &order("ASKED")).outcome(), "unknown");
    sandbox.fault("primary", &json!({"fault": "reset", "executes": false}));
    assert_eq!(call(&envoy.listener, CREATE, &order("LOST")).outcome(), "unknown");
    sandbox.heal("primary");

    let status = call(&envoy.listener, STATUS, &about("ASKED"));
    assert_eq!(status.json()["latestTransactionStatus"], "00", "{status:?}");
    // The status carries no answer to replay, so the repeat asks for it where it was executed.
    let again = call(&envoy.listener, CREATE, &order("ASKED"));
    assert_eq!((again.status, again.code().as_str()), (200, "2005400"), "{again:?}");
    assert_eq!(sandbox.requests("primary", "ASKED").len(), 3, "payment, inquiry, repeat");
    assert_eq!(sandbox.executed_at("ASKED"), ["primary"]);

    // DANA's table says of 4045501: failed, create a new order. Right after a timeout that is how
    // a payment is made twice.
    let early = call(&envoy.listener, STATUS, &about("LOST"));
    assert_eq!((early.status, early.outcome().as_str()), (504, "unknown"), "{early:?}");
    let relayed = until("not-found is proven", Duration::from_secs(5), || {
        pause(Duration::from_millis(100));
        let status = call(&envoy.listener, STATUS, &about("LOST"));
        (status.status == 404).then_some(status)
    });
    assert_eq!(relayed.code(), "4045501");
    // Proven not to be there, it may be tried again, at that gateway alone.
    assert_eq!(call(&envoy.listener, CREATE, &order("LOST")).status, 200);
    assert_eq!(sandbox.executed_at("LOST"), ["primary"]);
}

#[test]
fn a_client_that_leaves_does_not_free_its_payment() {
    let (sandbox, envoy) = start();
    sandbox.fault("primary", &json!({"fault": "hang"}));
    let left = raw(&envoy.listener, &order_bytes("LEFT"), Duration::from_millis(200));
    assert_eq!(left, "");
    until("the gateway has the payment", Duration::from_secs(5), || {
        (sandbox.requests("primary", "LEFT").len() == 1).then_some(())
    });
    sandbox.heal("primary");
    until("its end is noted", Duration::from_secs(5), || {
        let log = envoy.access_log();
        log.iter()
            .any(|l| l["dana"].as_str().unwrap_or("").contains("claim=in_doubt"))
            .then_some(())
    });
    let again = call(&envoy.listener, CREATE, &order("LEFT"));
    assert_eq!((again.status, again.outcome().as_str()), (504, "unknown"));
    assert_eq!(sandbox.requests("secondary", "LEFT").len(), 0);
}

#[test]
fn what_follows_goes_to_the_gateway_that_holds_the_payment() {
    let (sandbox, envoy) = start();
    sandbox.fault("primary", &json!({"fault": "refuse"}));
    assert_eq!(call(&envoy.listener, CREATE, &order("HELD")).status, 200);
    assert_eq!(sandbox.executed_at("HELD"), ["secondary"]);
    sandbox.heal("primary");
    assert_eq!(call(&envoy.listener, STATUS, &about("HELD")).code(), "2005500");
    let refund = json!({
        "merchantId": "216620010016033632482",
        "originalPartnerReferenceNo": "HELD",
        "partnerRefundNo": "HELD-R1",
        "refundAmount": {"value": "10000.00", "currency": "IDR"},
    });
    assert_eq!(call(&envoy.listener, REFUND, &refund).code(), "2005800");
    let replayed = call(&envoy.listener, REFUND, &refund);
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(call(&envoy.listener, CANCEL, &about("HELD")).status, 200);
    for path in ["status", "refund", "cancel"] {
        let at = |gateway| {
            let all = sandbox.requests(gateway, "HELD");
            all.iter().filter(|r| r["path"].as_str().unwrap().contains(path)).count()
        };
        assert_eq!((at("primary"), at("secondary")), (0, 1), "{path}");
    }
}

#[test]
fn a_transfer_without_reference_needs_a_key_and_is_never_repeated() {
    let (sandbox, envoy) = start();
    let transfer = json!({
        "beneficiaryAccountNumber": ACCOUNT_NUMBER,
        "beneficiaryBankCode": "008",
        "amount": {"value": "5000.00", "currency": "IDR"},
    });
    let refused = call(&envoy.listener, TRANSFER, &transfer);
    assert_eq!((refused.status, refused.code().as_str()), (400, "4004302"));
    let keyed = |key| {
        let headers = [("x-partner-id", "p"), ("idempotency-key", key)];
        send(&envoy.listener, TRANSFER, &headers, transfer.to_string().as_bytes())
    };
    sandbox.fault("primary", &json!({"fault": "reset", "executes": false}));
    assert_eq!(keyed("\"k-1\"").outcome(), "unknown");
    sandbox.heal("primary");
    pause(Duration::from_millis(400));
    // Quoted or bare, it is the same key.
    assert_eq!(keyed("k-1").outcome(), "unknown");
    assert_eq!(sandbox.stats()["primary"]["requests"], 1);
}

#[test]
fn nothing_is_sent_while_no_gateway_can_be_reached_and_the_key_stays_free() {
    let (sandbox, envoy) = start();
    sandbox.fault("primary", &json!({"fault": "refuse"}));
    sandbox.fault("secondary", &json!({"fault": "refuse"}));
    let topup = json!({
        "partnerReferenceNo": "FREE",
        "customerNumber": CUSTOMER_NUMBER,
        "amount": {"value": "1.00", "currency": "IDR"},
        "feeAmount": {"value": "1.00", "currency": "IDR"},
    });
    let down = call(&envoy.listener, TOPUP, &topup);
    assert_eq!((down.status, down.code().as_str()), (503, "5033800"));
    assert_eq!(
        (down.outcome().as_str(), &down.json()["safe_new_key"]),
        // This Envoy has just started, and does not know what was sent before.
        ("not_executed", &json!(false))
    );
    assert!(down.header("retry-after").is_some());
    sandbox.heal("secondary");
    let up = until("the payment goes to whoever is there", Duration::from_secs(5), || {
        let answer = call(&envoy.listener, TOPUP, &topup);
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(up.header("x-dana-gateway"), Some("secondary"));
    assert_eq!(sandbox.executed_at("FREE"), ["secondary"]);
}

#[test]
fn a_full_store_refuses_new_charges_and_forgets_none() {
    let sandbox = Sandbox::start();
    // Sixteen claims make one bucket, which holds at most sixty-four.
    let small = json!({"idempotency": {"store": {"local": {"claims_max": 16}}}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &small)));
    let answers: Vec<_> =
        (0..70).map(|n| call(&envoy.listener, CREATE, &order(&format!("FULL-{n}")))).collect();
    let full: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert_eq!(full.len(), 6);
    assert!(full.iter().all(|a| a.json()["type"] == "urn:dana-failover:claim_store_full"));
    assert_eq!(sandbox.ledger()["payments"].as_array().unwrap().len(), 64);
    let replay = call(&envoy.listener, CREATE, &order("FULL-0"));
    assert_eq!(replay.header("idempotent-replayed"), Some("true"));
}
