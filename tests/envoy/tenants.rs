//! Merchants who share an Envoy, and one of them means ill: it reads nothing of the others', takes
//! none of their references, fills none of their places and trips no breaker for them.

use std::thread;
use std::time::Duration;

use dana_failover::engine::ClaimKey;
use serde_json::{Value, json};

use crate::support::client::{CREATE, STATUS, Seen, about, order, send};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::{pause, until};

/// One that pays honestly, and one that does not.
const HONEST: &str = "2025021312345678901234";
const HOSTILE: &str = "6666666666666666666666";

fn call(envoy: &Envoy, partner: &str, path: &str, key: Option<&str>, body: &Value) -> Seen {
    let mut headers = vec![("x-partner-id", partner)];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    send(&envoy.listener, path, &headers, body.to_string().as_bytes())
}

#[test]
fn nobody_reads_an_answer_or_takes_a_reference_of_others() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let (body, key) = (order("SHARED"), Some("k-shared"));
    // The other one was here first, under the same names, and in doubt.
    sandbox.fault("primary", &json!({"fault": "reset", "count": 1}));
    let squatted = call(&envoy, HOSTILE, CREATE, key, &body);
    assert_eq!((squatted.status, squatted.outcome().as_str()), (504, "unknown"));
    let paid = call(&envoy, HONEST, CREATE, key, &body);
    assert_eq!((paid.status, paid.header("idempotent-replayed")), (200, None), "{paid:?}");
    let own = call(&envoy, HONEST, CREATE, key, &body);
    assert_eq!((own.header("idempotent-replayed"), &own.body), (Some("true"), &paid.body));
    // Whatever the other one tries now, it gets an answer of a gateway's or none, and no replay.
    let mut dearer = body.clone();
    dearer["amount"]["value"] = json!("99999.00");
    for (path, body) in [(CREATE, &body), (CREATE, &dearer), (STATUS, &about("SHARED"))] {
        let got = call(&envoy, HOSTILE, path, key, body);
        assert_eq!(got.header("idempotent-replayed"), None, "{path}: {got:?}");
    }
    let still = call(&envoy, HONEST, CREATE, key, &body);
    assert_eq!((still.status, &still.body), (200, &paid.body));
    // To the gateway they are two payments, named by two keys.
    let payments = sandbox.requests("primary", "SHARED").into_iter();
    let payments = payments.filter(|request| request["path"] == CREATE);
    let named = payments.filter_map(|request| {
        let headers = &request["headers"];
        let field = |name: &str| headers[name].as_str().map(str::to_owned);
        Some((field("x-partner-id")?, field("idempotency-key")?))
    });
    let named: std::collections::BTreeSet<_> = named.collect();
    assert_eq!(named.len(), 2, "{named:?}");
}

/// References whose claims would all stand in one bucket if it followed from the key alone, as
/// anybody can compute it. 64 of them would fill it for everybody.
#[test]
fn nobody_can_choose_references_that_fill_a_bucket() {
    let sandbox = Sandbox::start();
    let small = json!({"idempotency": {"store": {"local": {"claims_max": 1024}}}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &small)));
    let buckets = 1024 / 16;
    let meets = |reference: &String| {
        let merchant = order("")["merchantId"].as_str().unwrap().to_owned();
        let key = ClaimKey::derive(HOSTILE, "order", [merchant.as_str(), reference.as_str()]);
        let digits = key.reference().to_string();
        let last = u32::from_str_radix(&digits[32..], 16).unwrap().swap_bytes();
        last % buckets == 5
    };
    let references = (0..).map(|n| format!("CHOSEN-{n}")).filter(meets).take(100);
    let statuses: Vec<u16> =
        references.map(|one| call(&envoy, HOSTILE, CREATE, None, &order(&one)).status).collect();
    assert_eq!(statuses, [200; 100]);
}

#[test]
fn one_whose_payments_hang_takes_no_gateway_from_the_others() {
    let sandbox = Sandbox::start();
    let changes = json!({
        "timeouts": {"response_ms": 12000, "inquiry_ms": 12000},
        "idempotency": {"lease_ms": 13000},
        "breaker": {"in_flight_max": 8, "half_open_ms_max": 13000, "window_ms": 60000},
    });
    let envoy = Envoy::start(&rendered(&sandbox, &with(quick(), &changes)));
    let pay = |partner, reference: &str| call(&envoy, partner, CREATE, None, &order(reference));
    // Both workers know that the honest one pays.
    for n in 0..8 {
        assert_eq!(pay(HONEST, &format!("BEFORE-{n}")).status, 200);
    }
    pause(Duration::from_millis(300));
    let hangs = |n: usize| format!("HANG-{n}");
    for gateway in ["primary", "secondary"] {
        for n in 0..12 {
            let fault = json!({"fault": "hang", "reference": hangs(n)});
            sandbox.fault(gateway, &fault);
        }
    }
    let at = |gateway: &str| {
        (0..12).filter(|n| !sandbox.requests(gateway, &hangs(*n)).is_empty()).count()
    };
    thread::scope(|scope| {
        let mut answers = Vec::new();
        for n in 0..12 {
            let pay = &pay;
            answers.push(scope.spawn(move || pay(HOSTILE, &hangs(n))));
            until("it hangs, or was refused", Duration::from_secs(5), || {
                let is_refused = answers.last().is_some_and(thread::ScopedJoinHandle::is_finished);
                (at("primary") + at("secondary") > n || is_refused).then_some(())
            });
            until("the workers have told each other", Duration::from_secs(5), || {
                let known = envoy.metric("dana_in_flight", "gateway=\"primary\"");
                (known == at("primary") as u64).then_some(())
            });
        }
        // Half of the ceiling is hers, give or take what one worker does not know of the other.
        let (first, second) = (at("primary"), at("secondary"));
        let half = 4..=6;
        assert!(half.contains(&first) && half.contains(&second), "{first} and {second}");
        for n in 0..8 {
            let paid = pay(HONEST, &format!("BESIDE-{n}"));
            assert_eq!((paid.status, paid.header("x-dana-gateway")), (200, Some("primary")), "{n}");
        }
        assert_eq!(envoy.metric("dana_breaker_transitions_total", ""), 0);
    });
}
