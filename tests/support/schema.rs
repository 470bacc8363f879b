//! What `GET /status` answers, held to `docs/status.schema.json`.

use jsonschema::Validator;
use serde_json::Value;

use super::envoy::Envoy;
use super::operator::status;
use super::{read, root};

/// The schema, which is one.
pub(crate) fn schema() -> (Value, Validator) {
    let schema = read(&root().join("docs/status.schema.json"));
    let schema: Value = serde_json::from_str(&schema).unwrap();
    jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    (schema, validator)
}

/// A status that is what the schema says.
pub(crate) fn checked(envoy: &Envoy, validator: &Validator) -> Value {
    let status = status(envoy);
    let errors: Vec<String> = validator
        .iter_errors(&status)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?} in {status:#}");
    status
}
