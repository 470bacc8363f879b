//! What operators are shown of payments in doubt, and what they say of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::steady;
use crate::stage::{Stage, nothing};
use crate::support::client::{STATUS, about, order};
use crate::support::envoy::with;

const PAYMENTS: usize = 6;

/// Nothing is repeated, and all is counted on each tick.
pub(crate) fn settings() -> Value {
    let waits = json!({"repeat_after_ms": 3_600_000, "settle_delay_ms": 1000,
                       "store": {"local": {"claims_max": 256}}});
    with(steady(), &json!({"idempotency": waits}))
}

pub(crate) fn play(stage: &mut Stage) {
    stage.by_first().operate("nothing is counted yet", "GET", "/status?pretty", &nothing());
    for number in 0..PAYMENTS {
        let reset = json!({"fault": "reset", "executes": number % 2 == 0});
        stage.fault("primary", &reset);
        let mut body = order(&format!("doubt-{number}"));
        body["amount"]["value"] = json!(format!("{number}0000.00"));
        stage.by_first().call("in doubt", crate::support::client::CREATE, &body);
        stage.heal();
    }
    stage.pay("paid", "settled");
    stage.pass(Duration::from_millis(1500));
    stage.next_act();
    let listed = listed(stage);
    let word = |key: &Value, verdict: &Value| {
        let word = json!({"key": key, "evidence": "CASE-7", "reason": "asked", "actor": "anna"});
        with(word, verdict)
    };
    for (number, verdict) in [
        json!({"executed_at": "primary"}),
        json!({"executed": false}),
        json!({"executed_at": "secondary"}),
        json!({"executed": true}),
        json!({}),
    ]
    .into_iter()
    .enumerate()
    {
        let reference = format!("doubt-{number}");
        for what in ["resolved", "resolved again"] {
            stage.by_second().operate(what, "POST", "/resolve", &word(&listed[number], &verdict));
        }
        stage.by_first().pay("paid again", &reference);
        stage.by_second().call("asked", STATUS, &about(&reference));
        stage.by_first().pay("and again", &reference);
    }
    let after_all = word(&listed[1], &json!({"executed_at": "primary"}));
    stage.by_second().operate("executed after all", "POST", "/resolve", &after_all);
    stage.by_first().pay("and again", "doubt-1");
    for key in ["ab".repeat(20), "ab".repeat(16), "xyz".to_owned()] {
        let verdict = word(&json!(key), &json!({"executed": false}));
        stage.by_second().operate("nobody's key", "POST", "/resolve", &verdict);
    }
    stage.next_act();
    stage.by_first().pay("in the end", "doubt-5");
}

/// The keys of the payments in doubt, in the order in which they were made: the gateway saw them.
fn listed(stage: &mut Stage) -> Vec<Value> {
    let key = |number: usize| {
        let requests = stage.sandbox().requests("primary", &format!("doubt-{number}"));
        let key = requests[0]["headers"]["idempotency-key"].as_str().unwrap().trim_matches('"');
        json!(&key[..40])
    };
    let keys = (0..PAYMENTS).map(key).collect();
    stage.await_metric("dana_claims", "state=\"in_doubt\"", PAYMENTS as u64);
    stage.by_second().operate("in doubt", "GET", "/in-doubt", &nothing());
    stage.operate("the first two", "GET", "/in-doubt?limit=2", &nothing());
    stage.operate("no number", "GET", "/in-doubt?limit=two", &nothing());
    keys
}
