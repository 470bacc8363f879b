//! What `dana-failover check` reads of a running Envoy: its own dump of what it was given.

use serde_json::json;

use dana_failover::cli::check;

use crate::support::client::get;
use crate::support::envoy::{Envoy, plugin, quick, rendered};
use crate::support::sandbox::Sandbox;

#[test]
fn a_dump_of_an_envoy_with_listeners_from_elsewhere_is_checked_whole() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    plugin(&mut config)["failure_policy"] = json!("FAIL_CLOSED");
    let envoy = Envoy::start_updatable(&config);
    let dump = get(&envoy.admin, "/config_dump").body;
    let told = String::from_utf8(check::told("a.json", &dump).unwrap()).unwrap();
    let path = "dynamic_listeners[0].active_state.listener.filter_chains[0]";
    assert!(told.contains("[no-reload]") && told.contains(path), "{told}");
    assert!(told.contains("claim store of vm_id \"dana\""), "{told}");
    // It says itself which Envoy it is.
    let text = String::from_utf8(dump).unwrap();
    let version = text.find("\"minor_number\":").expect("the dump has Envoy's version");
    let end = text[version..].find([',', '\n', '}']).unwrap();
    let older = text.replace(&text[version..version + end], "\"minor_number\": 35");
    let told_of_older = check::told("a.json", older.as_bytes()).unwrap();
    let told_of_older = String::from_utf8(told_of_older).unwrap();
    assert!(told_of_older.contains("[envoy-too-old]"), "{told_of_older}");
    for rule in [
        "[envoy-too-old]",
        "[unseen]",
        "[filter-absent]",
        "[route-missing]",
        "[capability-missing]",
    ] {
        assert!(!told.contains(rule), "{told}");
    }
}
