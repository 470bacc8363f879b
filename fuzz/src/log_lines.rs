//! Lines for `replay`: an access log or recorded outcomes, whole or not.

use dana_failover::cli::replay;

const CONFIG: &str = r#"{
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}]
}"#;

/// # Panics
/// Where what is wrong with a line does not say which line.
pub fn run(data: &[u8]) {
    if let Err(why) = replay::told(CONFIG.as_bytes(), data) {
        assert!(why.starts_with("-:") && why.contains("expected"), "{why}");
    }
}
