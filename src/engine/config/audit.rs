//! The audit trail: whether it is written, and how.

use super::names::{CLUSTER, is_cluster};
use super::reader::{Errors, Fields, Node};
use crate::engine::audit::Pepper;

/// How the audit trail is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// The Envoy cluster that reaches the listener which writes events down.
    pub cluster: String,
    /// Whether Envoy's log is told of each payment before it is sent.
    pub intents: bool,
    /// What references are hashed with; they are readable without.
    pub pepper: Option<Pepper>,
}

/// There is none where the configuration does not ask for it.
pub(super) fn read(root: &Fields<'_>, errors: &Errors) -> Option<AuditConfig> {
    let fields = root.get("audit")?.fields().secret();
    let pepper = fields.get("pepper").and_then(|node: Node<'_>| {
        let pepper = node.as_text().and_then(Pepper::parse);
        if pepper.is_none() {
            // What stands there may be a secret all the same.
            errors.add(&node.path, Pepper::EXPECTED, "something else");
        }
        pepper
    });
    Some(AuditConfig {
        cluster: fields.text("cluster", "dana_audit", CLUSTER, is_cluster),
        intents: fields.flag("intents", false),
        pepper,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::config::Config;

    fn parse(audit: Option<Value>) -> Result<Config, Vec<String>> {
        let gateways = json!([{"name": "a", "cluster": "one"}, {"name": "b", "cluster": "two"}]);
        let mut config = json!({ "gateways": gateways });
        audit.into_iter().for_each(|audit| config["audit"] = audit);
        let config = Config::parse(config.to_string().as_bytes());
        config.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn there_is_an_audit_trail_where_it_is_asked_for() {
        assert_eq!(parse(None).unwrap().audit, None);
        let audit = parse(Some(json!({}))).unwrap().audit.unwrap();
        let plain = AuditConfig { cluster: "dana_audit".to_owned(), intents: false, pepper: None };
        assert_eq!(audit, plain);
        let pepper = "07".repeat(32);
        let audit = json!({"cluster": "x", "intents": true, "pepper": pepper});
        let audit = parse(Some(audit)).unwrap().audit.unwrap();
        let pepper = Pepper::parse(&pepper);
        assert_eq!(audit, AuditConfig { cluster: "x".to_owned(), intents: true, pepper });
        let told = parse(Some(json!({"pepper": "hunter2"}))).unwrap_err();
        assert!(told.len() == 1 && told[0].starts_with("audit.pepper"), "{told:?}");
        assert!(!told[0].contains("hunter2"), "a secret is not repeated");
        for bad in [json!(true), json!({"cluster": ""}), json!({"intents": 1}), json!({"x": 1})] {
            let told = parse(Some(bad.clone())).unwrap_err();
            assert!(told.len() == 1 && told[0].starts_with("audit"), "{bad}: {told:?}");
        }
    }

    #[test]
    fn a_configuration_has_a_digest_that_anybody_can_make() {
        // `jq -cS . | tr -d '\n' | sha256sum` says the same.
        let config = parse(None).unwrap();
        let expected = "969c62ec0167117756b6166e58b0999a";
        assert_eq!(config.digest.get(..32), Some(expected));
        assert_ne!(parse(Some(json!({}))).unwrap().digest, config.digest);
    }
}
