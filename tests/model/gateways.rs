//! The gateways of every story, and the clusters that reach both of them.

use dana_failover::engine::Config;

/// A configuration with two gateways, and these members beside.
pub(crate) fn configured(rest: &str) -> Config {
    let gateways = r#"
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}],
    "composites": [
        {"members": ["primary", "secondary"], "cluster": "dana_primary_first"},
        {"members": ["secondary", "primary"], "cluster": "dana_secondary_first"}],
    "heartbeat": {"stale_ms": 3600000}"#;
    Config::parse(format!("{{{gateways}, {rest}}}").as_bytes()).unwrap()
}
