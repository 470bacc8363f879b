//! The audit trail: whether it is written, and how.

use super::names::{CLUSTER, is_cluster};
use super::reader::Fields;

/// How the audit trail is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// The Envoy cluster that reaches the listener which writes events down.
    pub cluster: String,
    /// Whether Envoy's log is told of each payment before it is sent.
    pub intents: bool,
}

/// There is none where the configuration does not ask for it.
pub(super) fn read(root: &Fields<'_>) -> Option<AuditConfig> {
    let fields = root.get("audit")?.fields();
    Some(AuditConfig {
        cluster: fields.text("cluster", "dana_audit", CLUSTER, is_cluster),
        intents: fields.flag("intents", false),
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
        assert_eq!(audit, AuditConfig { cluster: "dana_audit".to_owned(), intents: false });
        let audit = parse(Some(json!({"cluster": "x", "intents": true}))).unwrap().audit.unwrap();
        assert_eq!(audit, AuditConfig { cluster: "x".to_owned(), intents: true });
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
