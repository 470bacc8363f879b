//! Requests of every kind on a few payments, in an order that a seed gives.

use dana_failover::engine::{Operation, dana_snap};
use serde_json::{Value, json};

use super::{everything, steady};
use crate::stage::{PARTNER, Stage};
use crate::support::client::CREATE;
use crate::support::envoy::with;

/// Another one gives another order: `GOLDEN_SEED`.
const SEED: u64 = 20_261_129;
const REQUESTS: usize = 500;
/// Requests from one act to the next.
const ACT: usize = 125;
const REFERENCES: usize = 25;

/// Nothing comes of time: what may follow depends on the order alone.
pub(crate) fn settings() -> Value {
    with(
        steady(),
        &json!({"idempotency": {"repeat_after_ms": 3_600_000, "settle_delay_ms": 3_600_000}}),
    )
}

/// A small generator: xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

fn faults() -> Vec<Value> {
    let code = |code: &str| json!({"fault": "code", "code": code});
    let mut all = vec![json!({"fault": "none"}); 12];
    all.extend(
        [
            "202xx00", "400xx01", "403xx15", "404xx01", "404xx18", "429xx00", "500xx00", "500xx01",
            "504xx00",
        ]
        .map(code),
    );
    all.extend(
        [
            "reset",
            "refuse",
            "refuse",
            "garbage",
            "truncate",
            "empty",
            "wrong-reference",
            "compressed",
        ]
        .map(|kind| json!({"fault": kind})),
    );
    all.push(json!({"fault": "reset", "executes": false}));
    all.push(json!({"fault": "html", "status": 503}));
    all
}

/// The operations, those that move money three times as often.
fn operations() -> Vec<Operation> {
    let all = dana_snap();
    let pays = |one: &&Operation| !one.namespace.is_empty() || one.status.is_some();
    let paying: Vec<Operation> = all.iter().filter(pays).cloned().collect();
    [all, paying.clone(), paying].concat()
}

pub(crate) fn play(stage: &mut Stage) {
    let seed = std::env::var_os("GOLDEN_SEED");
    let seed = seed.map(|seed| seed.to_str().unwrap().parse().expect("GOLDEN_SEED is a number"));
    let mut random = Random(seed.unwrap_or(SEED).max(1));
    let (operations, faults) = (operations(), faults());
    for number in 0..REQUESTS {
        if number % ACT == ACT - 1 {
            stage.next_act();
        }
        let fault = random.of(&faults).clone();
        let gateway = *random.of(&["primary", "primary", "primary", "secondary"]);
        stage.fault(gateway, &fault);
        if random.below(2) == 0 {
            stage.by_first()
        } else {
            stage.by_second()
        };
        let operation = random.of(&operations);
        let path = if random.below(4) == 0 {
            CREATE.to_owned()
        } else {
            format!("/v1.0{}", operation.path)
        };
        let reference = format!("mix-{}", random.below(REFERENCES));
        let mut body = everything(&reference);
        if random.below(8) == 0 {
            body["amount"]["value"] = json!("20000.00");
        }
        let key = format!("k-{}", random.below(40));
        let token = format!("Bearer t-{}", random.below(4));
        let partner = *random.of(&[PARTNER, PARTNER, PARTNER, PARTNER, "another"]);
        let mut headers = vec![("x-partner-id", partner)];
        if random.below(3) == 0 {
            headers.push(("idempotency-key", &key));
        }
        if random.below(4) == 0 {
            headers.push(("authorization-customer", &token));
        }
        let what = format!("{partner} {path} {reference} {gateway} {fault}");
        stage.send(&what, &path, &headers, body.to_string().as_bytes());
        stage.heal();
    }
}
