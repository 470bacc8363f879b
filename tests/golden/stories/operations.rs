//! Every operation of the table, with answers of every kind.

use dana_failover::engine::dana_snap;
use serde_json::json;

use super::{everything, wait};
use crate::stage::{PARTNER, Stage};

pub(crate) fn play(stage: &mut Stage) {
    for (number, operation) in dana_snap().into_iter().enumerate() {
        let name = operation.name.as_ref();
        // With and without what DANA's products put before and after it.
        let path = match number % 3 {
            0 => format!("/v1.0{}", operation.path),
            1 => format!("/v1.0{}.htm", operation.path),
            _ => operation.path.to_string(),
        };
        for (case, fault) in [
            ("well", json!({"fault": "none"})),
            ("refused", json!({"fault": "refuse"})),
            ("reset", json!({"fault": "reset"})),
            ("pending", json!({"fault": "code", "code": "202xx00"})),
            ("failed", json!({"fault": "code", "code": "500xx01"})),
            ("no", json!({"fault": "code", "code": "403xx15"})),
            ("other", json!({"fault": "raw", "status": 200, "body": "{\"result\":{}}"})),
            ("html", json!({"fault": "html"})),
        ] {
            let body = everything(&format!("{name}.{case}"));
            stage.fault("primary", &fault);
            stage.by_first().call(&format!("{name}, {case}"), &path, &body);
            stage.sandbox().heal("primary");
            stage.by_second().call("again", &path, &body);
        }
        let body = everything(&format!("{name}.shape")).to_string();
        stage.by_first().send(
            "by client key",
            &path,
            &[("x-client-key", PARTNER)],
            body.as_bytes(),
        );
        stage.send("by nobody", &path, &[], body.as_bytes());
        stage.send("not JSON", &path, &[("x-partner-id", PARTNER)], b"merchantId=m");
        stage.send("empty", &path, &[("x-partner-id", PARTNER)], b"");
        stage.send("an empty object", &path, &[("x-partner-id", PARTNER)], b"{}");
        stage.ask("by GET", ("GET", &path), &[("x-partner-id", PARTNER)], b"");
    }
    // What was made by one version is there for the other.
    stage.next_act();
    wait(stage);
    for operation in dana_snap() {
        let path = format!("/v1.0{}", operation.path);
        for case in ["well", "refused", "no", "reset"] {
            let body = everything(&format!("{}.{case}", operation.name));
            stage.by_second().call("at the end", &path, &body);
        }
    }
}
