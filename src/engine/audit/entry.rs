//! The members of an entry, in their order, as they stand in its line.

use std::fmt::Write as _;

use crate::engine::limits;
use crate::engine::time::{Timestamp, Utc};

/// What an entry says, without what the chain adds to it: members of a JSON object with commas between
/// them. Only strings and whole numbers, and each string is written in one way: what is not printable
/// ASCII, quotes and backslashes are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry(String);

/// Members that the chain adds, and those of a writer's first entry.
const CHAINS: [&str; 5] = ["v", "w", "n", "prev", "before"];

/// Kinds of entries that are handed over: events, and requests that were decided after their stream had
/// ended.
const HANDED_OVER: [&str; 15] = [
    "switch",
    "breaker",
    "heartbeat",
    "disagree",
    "ramp",
    "override",
    "barred",
    "admitted",
    "refusing",
    "anomaly",
    "lost",
    "charge",
    "follow_up",
    "inquiry",
    "state",
];

impl AuditEntry {
    /// Of an entry of this kind, which happened at `at`.
    #[inline(never)]
    #[must_use]
    pub fn new(kind: &str, at: Timestamp) -> Self {
        // As long as nearly all of them are.
        let mut members = Self(String::with_capacity(480));
        members.0.push_str("\"t\":\"");
        Utc(at).write_to(&mut members.0);
        members.0.push('"');
        members.text("e", kind)
    }

    /// Those that another plugin of this Envoy hands over, if they are an object's, of a kind that is
    /// handed over, and leave the chain's own alone.
    #[must_use]
    pub fn parse(object: &str) -> Option<Self> {
        if object.len() > limits::AUDIT_EVENT_BYTES_MAX || object.contains(['\n', '\r']) {
            return None;
        }
        let value: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(object).ok()?;
        let inner = object.strip_prefix('{')?.strip_suffix('}')?;
        let is_free = !value.keys().any(|name| CHAINS.contains(&name.as_str()));
        let is_plain = value.values().all(|value| value.is_string() || value.is_u64());
        let kind = value.get("e").and_then(|kind| kind.as_str());
        let is_known = kind.is_some_and(|kind| {
            HANDED_OVER.contains(&kind) && inner.contains(&format!("\"e\":\"{kind}\""))
        });
        (is_free && is_plain && is_known).then(|| Self(inner.to_owned()))
    }

    /// With a string, which is left out where it is empty.
    #[inline(never)]
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.name(name);
            self.0.push('"');
            self.escaped(value);
            self.0.push('"');
        }
        self
    }

    /// With a whole number.
    #[inline(never)]
    #[must_use]
    pub fn number(mut self, name: &str, value: u64) -> Self {
        self.name(name);
        push_number(&mut self.0, value);
        self
    }

    /// With a list of strings, which is left out where it is empty.
    #[inline(never)]
    #[must_use]
    pub fn texts(mut self, name: &str, values: &[String]) -> Self {
        if values.is_empty() {
            return self;
        }
        self.name(name);
        let mut before = "[\"";
        for value in values {
            self.0.push_str(before);
            self.escaped(value);
            before = "\",\"";
        }
        self.0.push_str("\"]");
        self
    }

    /// As they stand in a line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn name(&mut self, name: &str) {
        for part in [",\"", name, "\":"] {
            self.0.push_str(part);
        }
    }

    /// No more than [`limits::AUDIT_TEXT_CHARS_MAX`] characters: names and references are far shorter.
    fn escaped(&mut self, value: &str) {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
        // To the end whatever comes: so sixteen are looked at at a time.
        let is_all_plain = value.bytes().fold(true, |all, byte| all & is_plain(byte));
        if value.len() <= limits::AUDIT_TEXT_CHARS_MAX && is_all_plain {
            return self.0.push_str(value);
        }
        for character in value.chars().take(limits::AUDIT_TEXT_CHARS_MAX) {
            match character {
                '"' | '\\' => self.0.extend(['\\', character]),
                ' '..='~' => self.0.push(character),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.0, "\\u{unit:04x}");
                    }
                }
            }
        }
    }
}

/// Without the machinery that formats numbers of every kind.
pub(super) fn push_number(text: &mut String, value: u64) {
    if value >= 10 {
        push_number(text, value / 10);
    }
    text.push(char::from(b'0' + u8::try_from(value % 10).unwrap_or_default()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn members_are_written_in_their_order_and_in_one_way() {
        let members = AuditEntry::new("switch", at(1_795_364_259_456))
            .text("from", "primary")
            .text("nothing", "")
            .number("n", 0)
            .number("many", u64::MAX)
            .text("odd", "\"\\\n\u{7f}é\u{1f600}\u{202e}")
            .texts("none", &[])
            .texts("two", &["a\"".to_owned(), "b".to_owned()]);
        let expected = concat!(
            r#""t":"2026-11-22T16:17:39.456Z","e":"switch","from":"primary","n":0,"#,
            r#""many":18446744073709551615,"odd":"\"\\\u000a\u007f\u00e9\ud83d\ude00\u202e","#,
            r#""two":["a\"","b"]"#
        );
        assert_eq!(members.as_str(), expected);
        let object = format!("{{{expected}}}");
        let value: serde_json::Value = serde_json::from_str(&object).unwrap();
        assert_eq!(value["odd"], "\"\\\n\u{7f}é\u{1f600}\u{202e}");
        let other = object.replace(",\"n\":0", "").replace(",\"two\":[\"a\\\"\",\"b\"]", "");
        let parsed = AuditEntry::parse(&other).unwrap();
        assert_eq!(format!("{{{}}}", parsed.as_str()), other, "byte by byte");
    }

    #[test]
    fn a_text_without_end_is_cut() {
        for letter in ["x", "é", "\""] {
            let members = AuditEntry::new("x", at(0)).text("long", &letter.repeat(100_000));
            assert!(members.as_str().len() < 4096, "{letter}");
            let object = format!("{{{}}}", members.as_str());
            let value: serde_json::Value = serde_json::from_str(&object).unwrap();
            let long = value["long"].as_str().unwrap();
            assert_eq!(long, letter.repeat(limits::AUDIT_TEXT_CHARS_MAX));
        }
    }

    #[test]
    fn what_another_hands_over_is_one_object_that_leaves_the_chain_alone() {
        assert!(AuditEntry::parse(r#"{"t":"x","e":"switch"}"#).is_some());
        assert!(AuditEntry::parse(r#"{"t":"x","e":"charge","late":1}"#).is_some());
        for bad in [
            "",
            "{}",
            "[]",
            r#""t":"x""#,
            r#"{"t":"x"} "#,
            r#"{"t":"x"},{"e":1}"#,
            r#"{"e":"x","prev":"y"}"#,
            r#"{"w":"x"}"#,
            r#"{"n":1}"#,
            r#"{"t":"x","e":"resolve"}"#,
            r#"{"t":"x","e":"start"}"#,
            r#"{"t":"x","e":7}"#,
            r#"{"t":"x","e":"swi\u0074ch"}"#,
            r#"{"t":"x","e":"switch","before":["x"]}"#,
            r#"{"t":"x","e":"switch","more":{"a":1}}"#,
            r#"{"t":"x","e":"switch","more":1.5}"#,
            r#"{"v":1}"#,
            r#"{"e":"x","\u006e":7}"#,
            "{\"e\":\n\"x\"}",
            &format!("{{\"e\":\"{}\"}}", "x".repeat(limits::AUDIT_EVENT_BYTES_MAX)),
        ] {
            assert_eq!(AuditEntry::parse(bad), None, "{bad:.60}");
        }
    }
}
