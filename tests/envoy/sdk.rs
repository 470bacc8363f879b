//! DANA's own Python SDK as the merchant: what it sends goes through, and what comes back, first
//! answers and replays alike, parses into the SDK's own types.

use std::process::Command;

use serde_json::json;

use crate::support::envoy::{Envoy, quick, rendered};
use crate::support::sandbox::Sandbox;
use crate::support::{root, tool};

#[test]
fn dana_python_creates_queries_cancels_refunds_and_tops_up() {
    let dir = tempfile::TempDir::new().unwrap();
    let (private, public) = (dir.path().join("private.pem"), dir.path().join("public.pem"));
    let script = root().join("tests/sdk/dana_python.py");
    let run = |arguments: &[&str]| {
        let output = Command::new(tool("python")).arg(&script).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}\n{errors}");
        text
    };
    run(&["keys", private.to_str().unwrap(), public.to_str().unwrap()]);
    // The sandbox verifies each signature: what the filter adds or changes must leave it valid.
    let sandbox = Sandbox::start_with(&["--verify-key", public.to_str().unwrap()]);
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let story = run(&["story", private.to_str().unwrap(), &envoy.listener]);
    let told: serde_json::Value = serde_json::from_str(story.lines().last().unwrap()).unwrap();

    let create = told["create"].as_str().unwrap();
    assert_eq!(sandbox.executed_at(create), ["primary"]);
    assert_eq!(told["create_again_equal"], true);
    assert_eq!(told["topup_again_equal"], true);
    assert_eq!(told["query_status"], "00");
    assert_eq!(told["refund_code"], "2005800");
    assert_eq!(told["cancel_code"], "2005700");
    assert_eq!(told["mismatch"], json!([404, "4045418"]));
    let requests = sandbox.requests("primary", create);
    assert!(requests.iter().all(|request| request["signature_valid"] == true), "{requests:?}");
    let creates = requests.iter().filter(|r| r["operation"] == "create-order").count();
    assert_eq!(creates, 1, "the SDK's second call got a replay");
    assert_eq!(sandbox.ledger()["executed_at_both"], 0);
}
