//! The filter's configuration, alone or as part of a whole Envoy bootstrap, in JSON or YAML.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::engine::Timestamp;
use crate::engine::{Config, Policy};
use crate::engine::{Layout, Placement, Seed};
use serde_json::Value;

/// A large bootstrap is some hundred kilobytes.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads the configuration and joins it to an empty store.
pub(super) fn read(path: &Path) -> Result<Policy, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("expected at most {BYTES_MAX} bytes"));
    }
    parse(&bytes)
}

/// The same for content at hand.
pub(super) fn parse(bytes: &[u8]) -> Result<Policy, String> {
    // JSON is YAML too, but says better where it is wrong.
    let value: Value = if bytes.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(bytes).map_err(|error| format!("expected JSON: {error}"))?
    } else {
        serde_norway::from_slice(bytes).map_err(|error| format!("expected YAML: {error}"))?
    };
    let value = if value.get("gateways").is_some() { value } else { only_plugin(&value)? };
    let config = Config::parse(value.to_string().as_bytes()).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        lines.join("; ")
    })?;
    let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
    Policy::join(config, &mut layout, Timestamp::default())
        .map(|(policy, _)| policy)
        .map_err(|error| error.to_string())
}

/// The filter's part of a bootstrap. Several listeners may carry the same one.
fn only_plugin(root: &Value) -> Result<Value, String> {
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                let plugin = members.get("configuration").and_then(|part| part.get("value"));
                found.extend(plugin.and_then(as_plugin));
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found.dedup();
    match (found.pop(), found.is_empty()) {
        (Some(plugin), true) => Ok(plugin),
        (None, _) => Err("expected gateways, or an Envoy bootstrap with the filter's \
                          configuration.value; found neither"
            .to_owned()),
        (Some(_), false) => Err("expected one configuration of the filter, found several that \
                                 differ: give the one that is meant"
            .to_owned()),
    }
}

/// A `Struct`, or JSON in a `StringValue`. Other listeners carry the same with a role of their
/// own, and decide nothing.
fn as_plugin(value: &Value) -> Option<Value> {
    let value = match value.as_str() {
        Some(text) => serde_json::from_str(text).ok()?,
        None => value.clone(),
    };
    let role = value.pointer("/admin/role").and_then(Value::as_str);
    let decides = matches!(role, None | Some("payments"));
    (value.get("gateways").is_some() && decides).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: &str = "gateways: [{name: a, cluster: c_a}, {name: b, cluster: c_b}]";

    #[test]
    fn alone_or_within_a_bootstrap() {
        let inner = r#"{"gateways":[{"name":"a","cluster":"c_a"},{"name":"b","cluster":"c_b"}]}"#;
        let text = serde_json::json!({"x": [{"configuration": {"value": inner}}]}).to_string();
        let twice = format!("- configuration: {{value: {{{ALONE}}}}}\n").repeat(2);
        let admin = format!(
            "- configuration: {{value: {{{ALONE}}}}}\n- configuration: {{value: {{{ALONE}, admin: \
             {{role: admin, token_sha256: x}}}}}}\n"
        );
        for given in [ALONE, inner, &text, &twice, &admin] {
            let policy = parse(given.as_bytes()).unwrap();
            assert_eq!(policy.gateways.len(), 2, "{given}");
        }
        let reference = include_bytes!("../../../envoy/envoy.yaml");
        assert_eq!(parse(reference).unwrap().gateways[0].name, "primary");
    }

    #[test]
    fn mistakes_say_what_was_expected() {
        let differ = format!("- configuration: {{value: {{{ALONE}}}}}\n")
            + &format!("- configuration: {{value: {{{ALONE}, mode: observe}}}}\n");
        for (given, expected) in [
            ("{", "expected JSON"),
            ("a: [", "expected YAML"),
            ("", "expected gateways"),
            ("gateways: []", "expected 2 to 16 gateways"),
            (differ.as_str(), "several that differ"),
        ] {
            let error = parse(given.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{given}: {error}");
        }
    }
}
