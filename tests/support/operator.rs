//! The operators' side.

use serde_json::Value;

use super::client::{self, Seen};
use super::envoy::{Envoy, TOKEN};

/// A request with the token and these headers.
pub(crate) fn ask(
    envoy: &Envoy,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Seen {
    let bearer = format!("Bearer {TOKEN}");
    let mut all = vec![("authorization", bearer.as_str())];
    all.extend(headers);
    client::ask(method, &envoy.operators, path, &all, body)
}

/// A GET.
pub(crate) fn get(envoy: &Envoy, path: &str) -> Seen {
    ask(envoy, "GET", path, &[], b"")
}

/// A POST of JSON.
pub(crate) fn post(envoy: &Envoy, path: &str, body: &Value) -> Seen {
    let json = [("content-type", "application/json")];
    ask(envoy, "POST", path, &json, body.to_string().as_bytes())
}

/// The status.
pub(crate) fn status(envoy: &Envoy) -> Value {
    let seen = get(envoy, "/status");
    assert_eq!(seen.status, 200, "{seen:?}");
    seen.json()
}
