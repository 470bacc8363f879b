//! What the chain needs of an entry. Everything else in its line is covered by the digest of its bytes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::engine::{AuditWriter, Digest, Head};

/// The version of entries that is understood.
const VERSION: u64 = 1;

/// What the chain needs of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) writer: AuditWriter,
    pub(super) number: u64,
    pub(super) prev: Option<Digest>,
    /// It is the first of its writer.
    pub(super) is_start: bool,
    /// Heads of other writers that it names.
    pub(super) before: Vec<Head>,
}

impl Link {
    /// Reads a line; `None` if it is no entry.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LinkVisitor)
    }
}

struct LinkVisitor;

impl<'de> Visitor<'de> for LinkVisitor {
    type Value = Link;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry of the audit trail")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Link, A::Error> {
        let (mut version, mut writer, mut number) = (None, None, None);
        let (mut prev, mut kind, mut before) = (None, None, Vec::new());
        while let Some(name) = map.next_key::<&str>()? {
            match name {
                "v" if version.is_none() => version = Some(map.next_value::<u64>()?),
                "w" if writer.is_none() => writer = AuditWriter::parse(map.next_value::<&str>()?),
                "n" if number.is_none() => number = Some(map.next_value::<u64>()?),
                "e" if kind.is_none() => kind = Some(map.next_value::<&str>()?),
                "prev" if prev.is_none() => prev = Some(map.next_value::<&str>()?),
                "before" if before.is_empty() => before = map.next_value::<Vec<&str>>()?,
                "v" | "w" | "n" | "e" | "prev" | "before" => {
                    return Err(A::Error::custom("a member stands there twice"));
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let is_known = version == Some(VERSION) && kind.is_some();
        let link = writer.zip(number).filter(|_| is_known).and_then(|(writer, number)| {
            let prev = prev.map(Digest::parse);
            let before = before.into_iter().map(Head::parse).collect::<Option<Vec<_>>>()?;
            let is_start = kind == Some("start") && number == 0;
            // One that cannot be read is none that was written.
            let prev = if prev == Some(None) { return None } else { prev.flatten() };
            Some(Link { writer, number, prev, is_start, before })
        });
        link.ok_or_else(|| A::Error::custom("a member is missing, or is none of ours"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{AuditEntry, Chain, Timestamp};

    #[test]
    fn what_a_chain_writes_is_read() {
        let writer = AuditWriter { epoch: 1_795_883_656_659, number: 3 };
        let mut chain = Chain::new(writer);
        let other = Head {
            writer: AuditWriter { number: 2, ..writer },
            number: 7,
            digest: Digest::of(b"x"),
        };
        let start = AuditEntry::new("start", Timestamp::default()).texts("before", &[other.line()]);
        let first = chain.append(&start);
        let second = chain.append(&AuditEntry::new("charge", Timestamp::default()));
        let link = Link::parse(first.as_bytes()).unwrap();
        let expected = Link { writer, number: 0, prev: None, is_start: true, before: vec![other] };
        assert_eq!(link, expected);
        let link = Link::parse(second.as_bytes()).unwrap();
        assert_eq!((link.number, link.prev), (1, Some(Digest::of(first.as_bytes()))));
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for bad in [
            "",
            "{}",
            "[1]",
            r#"{"v":2,"w":"a.1","n":0,"e":"x"}"#,
            r#"{"v":1,"w":"A.1","n":0,"e":"x"}"#,
            r#"{"v":1,"w":"a.1","n":-1,"e":"x"}"#,
            r#"{"v":1,"w":"a.1","n":0}"#,
            r#"{"v":1,"w":"a.1","n":0,"n":0,"e":"x"}"#,
            r#"{"v":1,"w":"a.1","n":1,"e":"x","prev":"short"}"#,
            r#"{"v":1,"w":"a.1","n":1,"e":"x"} x"#,
        ] {
            assert_eq!(Link::parse(bad.as_bytes()), None, "{bad}");
        }
        assert!(
            Link::parse(br#"{"v":1,"w":"a.1","n":1,"e":"x","later":[1,{"a":null}]}"#).is_some()
        );
    }
}
