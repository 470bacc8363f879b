//! How names in a configuration must look.

use super::reader::Fields;

pub(super) const NAME: &str = "a name of 1 to 32 letters, digits, - or _";
pub(super) const HOST: &str = "a host name, with a port if it needs one";
pub(super) const CLUSTER: &str = "the name of an Envoy cluster";
pub(super) const REALM: &str = "a realm of 1 to 32 lower-case letters, digits or -";

pub(super) fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Letters, digits, dots, hyphens, and the characters of addresses and ports.
pub(super) fn is_host(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(is_part)
}

pub(super) fn is_cluster(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Part of every key in a shared store, between slashes.
pub(super) fn is_realm(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// The name of a header in lower case.
pub(super) fn header(fields: &Fields<'_>, name: &'static str, default: &str) -> String {
    fields.text(name, default, "a header name in lower case", |text| {
        !text.is_empty()
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    })
}
