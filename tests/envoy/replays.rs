//! What a payment that was executed is told again: the same bytes, from the store or from whoever gave
//! them.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::client::{CREATE, STATUS, Seen, call, order};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::until;

const PAYMENTS: usize = 1000;
const CLIENTS: usize = 4;

/// All payments, by a few clients at once, in the order of their numbers.
fn pay_all(listener: &Arc<str>) -> Vec<Seen> {
    let clients = (0..CLIENTS).map(|client| {
        let listener = Arc::clone(listener);
        thread::spawn(move || {
            let own = (client..PAYMENTS).step_by(CLIENTS);
            let pay =
                |number| (number, call(&listener, CREATE, &order(&format!("RECENT-{number}"))));
            own.map(pay).collect::<Vec<_>>()
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut seen: Vec<_> = clients.into_iter().flat_map(|one| one.join().unwrap()).collect();
    seen.sort_by_key(|(number, _)| *number);
    seen.into_iter().map(|(_, seen)| seen).collect()
}

#[test]
fn recent_payments_are_replayed_byte_for_byte_with_the_default_settings() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &json!({})));
    let listener: Arc<str> = envoy.listener.as_str().into();
    let first = pay_all(&listener);
    assert!(first.iter().all(|seen| seen.status == 200), "all are executed");
    let again = pay_all(&listener);
    let replayed = first.iter().zip(&again).filter(|(first, again)| {
        again.header("idempotent-replayed") == Some("true") && again.body == first.body
    });
    let replayed = replayed.count();
    assert!(replayed >= 999, "{replayed} of {PAYMENTS}");
    assert!(again.iter().all(|seen| seen.status == 200));
}

#[test]
fn an_answer_that_is_no_longer_kept_is_fetched_from_who_gave_it() {
    let sandbox = Sandbox::start();
    // One set, of sixteen.
    let one_set = with(quick(), &json!({"idempotency": {"bodies_max": 1}}));
    let envoy = Envoy::start(&rendered(&sandbox, &one_set));
    let pay = |number: usize| call(&envoy.listener, CREATE, &order(&format!("KEPT-{number}")));
    let first = pay(0);
    for number in 1..17 {
        assert_eq!(pay(number).status, 200);
    }
    let fetched = pay(0);
    assert_eq!((fetched.status, &fetched.body), (200, &first.body));
    assert_eq!(fetched.header("idempotent-replayed"), None);
    assert_eq!(sandbox.requests("primary", "KEPT-0").len(), 2);
    let kept = pay(0);
    assert_eq!((kept.header("idempotent-replayed"), &kept.body), (Some("true"), &first.body));
    assert_eq!(sandbox.executed_at("KEPT-0"), ["primary"]);
    // It cannot be fetched, and was executed all the same.
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005401"}));
    let gone = pay(1);
    assert_eq!((gone.status, gone.outcome().as_str()), (504, "executed"), "{gone:?}");
    assert_eq!(gone.json()["inquiry_path"], STATUS);
    assert_eq!(sandbox.requests("secondary", "KEPT-1").len(), 0);
}

#[test]
fn asking_for_the_status_costs_no_checkout_link() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    sandbox.fault("primary", &json!({"fault": "reset", "executes": true, "reference": "LINK"}));
    assert_eq!(call(&envoy.listener, CREATE, &order("LINK")).outcome(), "unknown");
    sandbox.heal("primary");
    let merchant = &order("LINK")["merchantId"];
    let status = json!({
        "merchantId": merchant,
        "originalPartnerReferenceNo": "LINK",
        "serviceCode": "54",
    });
    let told = call(&envoy.listener, STATUS, &status);
    assert_eq!(told.code(), "2005500", "{told:?}");
    let link = call(&envoy.listener, CREATE, &order("LINK"));
    assert_eq!((link.status, link.code().as_str()), (200, "2005400"), "{link:?}");
    assert_eq!(sandbox.executed_at("LINK"), ["primary"]);
}

#[test]
fn an_envoy_that_has_just_started_does_not_call_another_reference_safe() {
    let sandbox = Sandbox::start();
    for gateway in ["primary", "secondary"] {
        sandbox.fault(gateway, &json!({"fault": "refuse"}));
    }
    let envoy = Envoy::start_without_heartbeat(&rendered(&sandbox, &quick()));
    let seen = call(&envoy.listener, CREATE, &order("BEFORE"));
    assert_eq!((seen.status, seen.outcome().as_str()), (503, "not_executed"), "{seen:?}");
    let body = seen.json();
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("This Envoy started at 20"), "{detail}");
    assert_eq!(body["safe_new_key"], false);
    // As long as a payment may be repeated or in doubt, here 3.8 s, and no longer.
    let soon = with(quick(), &json!({"idempotency": {"repeat_max_age_s": 0}}));
    let envoy = Envoy::start_without_heartbeat(&rendered(&sandbox, &soon));
    let is_safe = || {
        let seen = call(&envoy.listener, CREATE, &order("BEFORE"));
        assert_eq!(seen.outcome(), "not_executed", "{seen:?}");
        seen.json()["safe_new_key"] == true
    };
    assert!(!is_safe());
    until("another reference is safe", Duration::from_secs(10), || is_safe().then_some(()));
}
