//! A store that is full, and answers that are no longer kept.

use serde_json::{Value, json};

use super::steady;
use crate::stage::Stage;
use crate::support::client::{CANCEL, STATUS, about};
use crate::support::envoy::with;

/// One bucket, of sixty-four claims, and one set of sixteen answers. Nothing in doubt is repeated.
pub(crate) fn settings() -> Value {
    let small = json!({"bodies_max": 1, "body_bytes_max": 400, "repeat_after_ms": 3_600_000,
                       "store": {"local": {"claims_max": 16}}});
    with(steady(), &json!({"idempotency": small}))
}

pub(crate) fn play(stage: &mut Stage) {
    let lost = json!({"fault": "reset", "reference": "full-7"});
    stage.fault("primary", &lost);
    for number in 0..40 {
        let reference = format!("full-{number}");
        stage.by_first().pay("paid", &reference);
        stage.by_second().pay("again", &reference);
    }
    stage.next_act();
    // The first answers were kept by the other version, if at all.
    for number in 0..20 {
        stage.by_second().pay("again", &format!("full-{number}"));
    }
    for number in 40..72 {
        stage.by_second().pay("paid, while there is room", &format!("full-{number}"));
    }
    stage.heal();
    // A gauge of money in doubt is there from the first count that finds some.
    stage.await_metric("dana_claims", "state=\"in_doubt\"", 1);
    stage.next_act();
    for number in [0, 7, 30, 50, 63, 64, 71] {
        let reference = format!("full-{number}");
        stage.by_first().pay("again", &reference);
        stage.by_second().call("asked", STATUS, &about(&reference));
        stage.call("cancelled", CANCEL, &about(&reference));
        stage.by_first().pay("and again", &reference);
    }
}
