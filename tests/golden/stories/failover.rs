//! To the secondary and back: by breakers, and by operators.

use std::time::Duration;

use serde_json::{Value, json};

use super::steady;
use crate::stage::{PARTNER, Stage, nothing};
use crate::support::client::{CANCEL, CREATE, STATUS, about, order};
use crate::support::envoy::with;

/// How long a breaker stays open.
const OPEN_MS: u64 = 1500;

pub(crate) fn settings() -> Value {
    with(
        steady(),
        &json!({
            "breaker": {"consecutive_failures": 5, "open_ms": OPEN_MS, "open_ms_max": OPEN_MS,
                        "open_jitter_pct": 0, "half_open_permits": 2},
            "failback": {"stable_ms": 1500, "dwell_ms": 1500},
        }),
    )
}

fn switches(stage: &Stage, kind: &str, sum: u64) {
    stage.await_metric("dana_switches_total", &format!("kind=\"{kind}\""), sum);
}

fn steer(stage: &mut Stage, gateway: &str, steer: &str) {
    let mut wish = json!({"gateway": gateway, "steer": steer, "reason": "work", "actor": "anna"});
    if steer != "auto" && steer != "admit" {
        wish["ttl_s"] = json!(60);
    }
    // What workers have counted is brought to operators on the next tick.
    stage.pass(Duration::from_millis(300));
    stage.operate(&format!("{steer} {gateway}"), "POST", "/override", &wish);
}

pub(crate) fn play(stage: &mut Stage) {
    by_breaker(stage);
    stage.next_act();
    by_operators(stage);
    // What operators have said stands when another version takes over.
    steer(stage, "primary", "drain");
    stage.next_act();
    stage.by_second().pay("drained before", "drained-before");
    steer(stage, "primary", "auto");
    by_nobody(stage);
}

fn by_breaker(stage: &mut Stage) {
    let failed = json!({"fault": "code", "code": "5005400"});
    stage.fault("primary", &failed);
    for number in 0..5 {
        stage.by_first().pay("failed", &format!("failed-{number}"));
    }
    switches(stage, "failover", 1);
    stage.by_second().pay("moved", "moved-1");
    stage.by_first().pay("moved", "moved-2");
    stage.by_second().pay("said NO by who is not usable", "failed-0");
    stage.call("asked", STATUS, &about("failed-0"));
    stage.call("cancelled", CANCEL, &about("failed-1"));
    stage.heal();
    stage.pass(Duration::from_millis(OPEN_MS + OPEN_MS / 2 + 200));
    // The first trials are made by whoever comes.
    for number in 0..2 {
        stage.by_first().pay("on trial", &format!("trial-{number}"));
    }
    stage.by_second().pay("not yet", "not-yet");
    switches(stage, "failback", 1);
    stage.by_first().pay("home", "home-1");
    stage.by_second().pay("home", "home-2");
    stage.call("asked", STATUS, &about("moved-1"));
    stage.pay("again", "moved-2");
}

fn by_operators(stage: &mut Stage) {
    stage.by_first();
    for (gateway, kind) in [
        ("primary", "drain"),
        ("secondary", "drain"),
        ("secondary", "force"),
        ("primary", "drain"),
        ("secondary", "drain"),
        ("nobody", "force"),
        ("primary", "admit"),
        ("primary", "nothing"),
    ] {
        steer(stage, gateway, kind);
        stage.by_second().pay("paid", &format!("steered-{gateway}-{kind}"));
        stage.call("asked", STATUS, &about("home-1"));
        stage.pay("again", "home-1");
        stage.by_first().pay("said NO before", "failed-2");
    }
    switches(stage, "override", 1);
    // A customer's token leads where nothing new may go.
    let body = json!({"responseCode": "2007400", "accessToken": "token-p"}).to_string();
    let told = json!({"fault": "raw", "status": 200, "body": body, "operation": "apply-token"});
    stage.fault("secondary", &told);
    stage.call("a token", "/v1.0/access-token/b2b2c.htm", &json!({"authCode": "c"}));
    stage.heal();
    let headers = [("x-partner-id", PARTNER), ("authorization-customer", "Bearer token-p")];
    for gateway in ["secondary", "primary"] {
        stage.by_second();
        stage.send(
            "paid",
            CREATE,
            &headers,
            order(&format!("token-{gateway}")).to_string().as_bytes(),
        );
        steer(stage, "secondary", "auto");
        steer(stage, "primary", "auto");
        steer(stage, gateway, "drain");
    }
    steer(stage, "primary", "auto");
    steer(stage, "secondary", "auto");
    for (method, path) in
        [("GET", "/nothing"), ("PUT", "/status"), ("GET", "/override"), ("POST", "/status")]
    {
        stage.operate(path, method, path, &nothing());
    }
    for wish in [json!({}), json!([]), json!({"gateway": "primary", "steer": "force", "ttl_s": 0})]
    {
        stage.operate("an override that is none", "POST", "/override", &wish);
    }
}

/// Nobody is usable.
fn by_nobody(stage: &mut Stage) {
    let failed = json!({"fault": "code", "code": "5005400"});
    stage.pass(Duration::from_millis(OPEN_MS));
    for gateway in ["primary", "secondary"] {
        stage.fault(gateway, &failed);
    }
    steer(stage, "primary", "force");
    for number in 0..5 {
        stage.by_first().pay("failed", &format!("both-{number}"));
    }
    stage.await_metric("dana_breaker_transitions_total", "gateway=\"primary\",rule=", 1);
    steer(stage, "secondary", "force");
    for number in 5..10 {
        stage.by_second().pay("failed", &format!("both-{number}"));
    }
    stage.await_metric("dana_breaker_transitions_total", "gateway=\"secondary\",rule=", 1);
    steer(stage, "primary", "auto");
    steer(stage, "secondary", "auto");
    stage.by_second().pay("nobody is usable", "none-1");
    stage.by_first().call("a question", "/v1.0/balance-inquiry.htm", &json!({}));
    stage.call("a state", "/v1.0/qr/apply-ott.htm", &json!({}));
    stage.call("a status", STATUS, &about("home-1"));
    stage.call("of a stranger", STATUS, &about("nowhere"));
}
