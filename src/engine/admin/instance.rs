//! Which Envoy is looked at, as far as it says so.

use super::object::Object;
use crate::engine::event::Request;
use crate::engine::limits;

/// What Envoy is called: its node's id and cluster. On Kubernetes the id is or contains the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    node: String,
    cluster: String,
}

impl Instance {
    /// An Envoy of these names; either may be empty, and is cut off where it is too long.
    #[must_use]
    pub fn new(node: &[u8], cluster: &[u8]) -> Self {
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let plain = text.chars().filter(|char| !char.is_control());
            plain.take(limits::NODE_CHARS_MAX).collect()
        };
        Self { node: text(node), cluster: text(cluster) }
    }

    /// The same in one line, if anything is known.
    pub(super) fn told(&self) -> Option<String> {
        let told = [&self.node, &self.cluster].map(String::as_str);
        let told: Vec<&str> = told.into_iter().filter(|name| !name.is_empty()).collect();
        (!told.is_empty()).then(|| told.join(", "))
    }

    pub(super) fn json(&self) -> Object {
        let known = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
        Object::new().with("node", known(&self.node)).with("cluster", known(&self.cluster))
    }
}

/// Where the listener was called, to be called again: what is no plain address is not repeated.
pub(super) fn origin(request: &Request<'_>) -> String {
    let header = |name: &[u8]| {
        let found = request.headers.iter().find(|(other, _)| *other == name);
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    };
    let is_plain = |text: &&str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        (1..=255).contains(&text.len()) && text.bytes().all(is_part)
    };
    let authority = header(b":authority").filter(is_plain).unwrap_or("localhost:10001");
    let scheme = if header(b":scheme") == Some("https") { "https" } else { "http" };
    format!("{scheme}://{authority}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_address_is_told_again() {
        let told = |fields: &[(&str, &str)]| {
            let headers: Vec<(&[u8], &[u8])> =
                fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            origin(&Request { headers: &headers, body: b"", peer: &[], context: 1 })
        };
        assert_eq!(told(&[(":authority", "[::1]:10001")]), "http://[::1]:10001");
        assert_eq!(told(&[(":scheme", "https"), (":authority", "ops.shop")]), "https://ops.shop");
        for bad in ["", "$(rm -rf .)", "a b", "a';id;'", "a/b", "<b>"] {
            assert_eq!(told(&[(":authority", bad)]), "http://localhost:10001", "{bad}");
        }
    }

    #[test]
    fn names_are_cut_and_plain() {
        let instance = Instance::new(&[b'x'; 500], b"shop\n\x1b[31m");
        assert_eq!(instance.node.len(), limits::NODE_CHARS_MAX);
        assert_eq!(instance.cluster, "shop[31m");
        assert_eq!(Instance::default().told(), None);
    }
}
