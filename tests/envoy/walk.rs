//! Payments that this Envoy never saw: whoever asks for one, or cancels it, reaches the gateway
//! that has it, whichever that is.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::client::{CANCEL, CREATE, REFUND, STATUS, about, call, order};
use crate::support::envoy::{Envoy, quick, rendered};
use crate::support::sandbox::Sandbox;
use crate::support::until;

fn start() -> (Sandbox, Envoy) {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    (sandbox, envoy)
}

/// A payment that was made past this Envoy.
fn paid_at(address: &str, reference: &str) {
    assert_eq!(call(address, CREATE, &order(reference)).status, 200);
}

#[test]
fn a_status_finds_the_payment_wherever_it_is() {
    let (sandbox, envoy) = start();
    paid_at(&sandbox.primary, "AT-PRIMARY");
    paid_at(&sandbox.secondary, "AT-SECONDARY");
    for (reference, gateway) in [("AT-PRIMARY", "primary"), ("AT-SECONDARY", "secondary")] {
        let told = call(&envoy.listener, STATUS, &about(reference));
        assert_eq!((told.status, told.code().as_str()), (200, "2005500"), "{told:?}");
        assert_eq!(told.header("x-dana-gateway"), Some(gateway));
        let direct = if gateway == "primary" { &sandbox.primary } else { &sandbox.secondary };
        assert_eq!(told.body, call(direct, STATUS, &about(reference)).body, "byte for byte");
        assert_eq!(told.header("content-type"), Some("application/json"));
        // The pin is learnt: whoever made it says its answer again, and nobody else is asked.
        let again = call(&envoy.listener, CREATE, &order(reference));
        assert_eq!((again.status, again.code().as_str()), (200, "2005400"), "{again:?}");
        assert_eq!(again.header("x-dana-gateway"), Some(gateway));
        assert_eq!(sandbox.executed_at(reference), [gateway]);
        let other = if gateway == "primary" { "secondary" } else { "primary" };
        let creates = sandbox.requests(other, reference).into_iter();
        assert_eq!(creates.filter(|request| request["operation"] == "create-order").count(), 0);
    }
    let nowhere = call(&envoy.listener, STATUS, &about("NOWHERE"));
    assert_eq!((nowhere.status, nowhere.code().as_str()), (404, "4045501"));
    for gateway in ["primary", "secondary"] {
        let asked = sandbox.requests(gateway, "NOWHERE").len();
        assert_eq!(asked, 1, "{gateway} said so too");
    }
}

#[test]
fn not_found_is_not_told_while_a_gateway_has_not_said_so() {
    let (sandbox, envoy) = start();
    for fault in ["hang", "reset", "garbage", "html", "refuse"] {
        sandbox.fault("secondary", &json!({"fault": fault}));
        let told = call(&envoy.listener, STATUS, &about(&format!("UNTOLD-{fault}")));
        assert_eq!((told.status, told.outcome().as_str()), (504, "unknown"), "{fault}: {told:?}");
    }
}

#[test]
fn a_cancel_or_refund_reaches_who_has_the_payment_and_happens_once() {
    let (sandbox, envoy) = start();
    paid_at(&sandbox.secondary, "REFUND-ME");
    let mut refund = about("REFUND-ME");
    refund["partnerRefundNo"] = json!("REFUND-ME-1");
    refund["refundAmount"] = json!({"value": "10000.00", "currency": "IDR"});
    let first = call(&envoy.listener, REFUND, &refund);
    assert_eq!(
        (first.status, first.header("x-dana-gateway")),
        (200, Some("secondary")),
        "{first:?}"
    );
    let again = call(&envoy.listener, REFUND, &refund);
    assert_eq!(
        (again.header("idempotent-replayed"), again.body == first.body),
        (Some("true"), true)
    );

    paid_at(&sandbox.secondary, "CANCEL-ME");
    let first = call(&envoy.listener, CANCEL, &about("CANCEL-ME"));
    assert_eq!(
        (first.status, first.header("x-dana-gateway")),
        (200, Some("secondary")),
        "{first:?}"
    );
    let cancels = sandbox.requests("secondary", "CANCEL-ME");
    let keys: Vec<_> = cancels.iter().filter(|r| r["operation"] == "cancel-order").collect();
    assert_eq!(keys.len(), 1, "{cancels:?}");
    let nobodys = call(&envoy.listener, CANCEL, &about("NOBODYS"));
    assert_eq!(nobodys.status, 404, "all of them said so");
}

#[test]
fn a_lost_answer_on_the_way_leaves_the_follow_up_in_doubt_there_alone() {
    let (sandbox, envoy) = start();
    paid_at(&sandbox.secondary, "LOST");
    sandbox.fault("secondary", &json!({"fault": "hang", "operation": "cancel-order", "count": 1}));
    let lost = call(&envoy.listener, CANCEL, &about("LOST"));
    assert_eq!((lost.status, lost.outcome().as_str()), (504, "unknown"));
    let settled = until("its repeat goes there", Duration::from_secs(5), || {
        let answer = call(&envoy.listener, CANCEL, &about("LOST"));
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(settled.header("x-dana-gateway"), Some("secondary"));
    assert_eq!(sandbox.requests("primary", "LOST").len(), 1, "it was cleared for good");
}

#[test]
fn a_client_that_leaves_meanwhile_leaves_nothing_undecided() {
    let (sandbox, envoy) = start();
    paid_at(&sandbox.secondary, "LEFT");
    sandbox.fault(
        "secondary",
        &json!({"fault": "slow", "delay_ms": 500, "operation": "cancel-order"}),
    );
    let body = about("LEFT").to_string();
    let request = format!(
        "POST {CANCEL} HTTP/1.1\r\nhost: dana\r\nx-partner-id: 2025021312345678901234\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(&envoy.listener).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    until("the call is at the gateway", Duration::from_secs(5), || {
        let asked = sandbox.requests("secondary", "LEFT");
        asked.iter().any(|request| request["operation"] == "cancel-order").then_some(())
    });
    drop(socket);
    sandbox.heal("secondary");
    let again = until("its outcome is known again", Duration::from_secs(10), || {
        let answer = call(&envoy.listener, CANCEL, &about("LEFT"));
        assert!(matches!(answer.status, 200 | 429 | 504), "{answer:?}");
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(again.code(), "2005700");
    // The call was not the stream's, and went on to its end: what waits for it is cleared away.
    assert_eq!(envoy.stat("cluster.dana_secondary.upstream_rq_tx_reset"), 0);
}

#[test]
fn a_gateway_without_hosts_ends_the_walk_at_once_and_as_unknown() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    let secondary = &mut config["static_resources"]["clusters"][1]["load_assignment"];
    secondary["endpoints"] = json!([]);
    let envoy = Envoy::start_without_heartbeat(&config);
    for n in 0..20 {
        let told = call(&envoy.listener, STATUS, &about(&format!("HOSTLESS-{n}")));
        assert_eq!((told.status, told.outcome().as_str()), (504, "unknown"), "{told:?}");
    }
    let cancel = call(&envoy.listener, CANCEL, &about("HOSTLESS-C"));
    assert_eq!((cancel.status, &cancel.json()["safe_new_key"]), (504, &json!(false)), "{cancel:?}");
    assert_eq!(call(&envoy.listener, CREATE, &order("HOSTLESS-P")).status, 200, "it lives");
}
