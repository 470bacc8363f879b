//! JSON objects, member by member. What the `json!` macro makes of an expression is several times
//! the code, and can panic.

use serde_json::{Map, Value};

use crate::engine::time::{Timestamp, Utc};

/// An object being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The object and this member.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.put(name, value.into());
        self
    }

    #[inline(never)]
    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Value::Object(self.0.clone()).fmt(f)
    }
}

/// A time as it stands in JSON.
pub(super) fn time(at: Timestamp) -> String {
    Utc(at).to_string()
}

/// A list as it stands in JSON.
pub(super) fn list(objects: impl Iterator<Item = Object>) -> Vec<Value> {
    objects.map(Value::from).collect()
}
