//! The operators' side.

use std::time::Duration;

use serde_json::Value;

use super::client::{self, Seen};
use super::envoy::{Envoy, TOKEN};
use super::until;

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

/// The list of payments in doubt, once so many are counted and all of them are on it.
pub(crate) fn await_list(envoy: &Envoy, count: usize) -> Vec<Value> {
    // Longer than a census takes on a busy machine.
    until(&format!("{count} are listed"), Duration::from_secs(15), || {
        let list = get(envoy, "/in-doubt").json();
        let payments = list["payments"].as_array().cloned().unwrap_or_default();
        (list["in_doubt"]["count"] == count && payments.len() == count).then_some(payments)
    })
}
