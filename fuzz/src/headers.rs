//! Header fields in the form in which the host hands them over, hostile in number, name and value.

use dana_failover::engine::{parse_idempotency_key, quote};
use dana_failover::filter::pairs;

use super::world::World;

const ORDER: &str =
    r#"{"merchantId":"m","partnerReferenceNo":"r-1","amount":{"value":"1.00","currency":"IDR"}}"#;

/// Clients are told apart by their certificates.
const PEERS: &str = r#"{
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}],
    "scope": {"peers": {"spiffe://shop/a": ["partner-1"]}},
    "unmatched": "pass",
    "idempotency": {"store": {"local": {"claims_max": 16}}}
}"#;

/// # Panics
/// Where a client that nobody knows, or one that steers the router, gets something sent.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = parse_idempotency_key(text)
    {
        assert_eq!(parse_idempotency_key(&quote(&key)), Ok(key), "a key reads back as itself");
    }
    let Some(fields) = pairs::decode(data) else {
        return;
    };
    let mut world = World::new();
    let run = world.ask(&fields, ORDER.as_bytes(), &[]);
    if run.is_sent() {
        let steers = |name: &[u8]| {
            let prefixes: [&[u8]; 6] = [
                b"x-dana-",
                b"x-envoy-retry-",
                b"x-envoy-retriable-",
                b"x-envoy-max-retries",
                b"x-envoy-upstream-",
                b"x-envoy-hedge-",
            ];
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        };
        assert!(!fields.iter().any(|(name, _)| steers(name)), "a client steers the router");
        let partners = fields.iter().filter(|(name, _)| *name == b"x-partner-id").count();
        assert!(partners <= 1, "two partners");
    }
    let mut world = World::prepared(PEERS);
    assert!(!world.ask(&fields, ORDER.as_bytes(), &[]).is_sent(), "a stranger");
    let run = world.ask(&fields, ORDER.as_bytes(), &["spiffe://shop/a".to_owned()]);
    let speaks_for = fields.iter().find(|(name, _)| *name == b"x-partner-id");
    let own = speaks_for.is_none_or(|(_, partner)| *partner == b"partner-1");
    assert!(!run.is_sent() || own, "one partner's client speaks for another");
}
