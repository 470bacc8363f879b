//! Entries of the audit trail, as far as their members are strings.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The members of an entry that are strings; those that it has not are empty.
#[derive(Debug, Default)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: Cow<'a, str>,
    pub(crate) time: Cow<'a, str>,
    pub(crate) key: Cow<'a, str>,
    pub(crate) of: Cow<'a, str>,
    pub(crate) reference: Cow<'a, str>,
    pub(crate) amount: Cow<'a, str>,
    pub(crate) currency: Cow<'a, str>,
    pub(crate) gateways: Cow<'a, str>,
    pub(crate) evidence: Cow<'a, str>,
    pub(crate) claim: Cow<'a, str>,
    pub(crate) operation: Cow<'a, str>,
    pub(crate) decision: Cow<'a, str>,
    pub(crate) from: Cow<'a, str>,
    pub(crate) to: Cow<'a, str>,
    pub(crate) why: Cow<'a, str>,
    pub(crate) rule: Cow<'a, str>,
    pub(crate) says: Cow<'a, str>,
    pub(crate) was: Cow<'a, str>,
    pub(crate) until: Cow<'a, str>,
    pub(crate) who: Cow<'a, str>,
    pub(crate) proof: Cow<'a, str>,
    pub(crate) node: Cow<'a, str>,
    pub(crate) config: Cow<'a, str>,
    pub(crate) version: Cow<'a, str>,
    pub(crate) writer: Cow<'a, str>,
    pub(crate) id: Cow<'a, str>,
}

impl<'a> Entry<'a> {
    /// Reads a line; `None` if it is no entry.
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        // As one text: else each of its strings would be looked through for itself.
        serde_json::from_str(std::str::from_utf8(line).ok()?).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry of the audit trail")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<'de>, A::Error> {
        let mut entry = Entry::default();
        while let Some(name) = map.next_key::<&str>()? {
            let member = match name {
                "e" => &mut entry.kind,
                "t" => &mut entry.time,
                "key" => &mut entry.key,
                "of" => &mut entry.of,
                "ref" => &mut entry.reference,
                "amt" => &mut entry.amount,
                "cur" => &mut entry.currency,
                "gw" => &mut entry.gateways,
                "ev" => &mut entry.evidence,
                "claim" => &mut entry.claim,
                "op" => &mut entry.operation,
                "do" => &mut entry.decision,
                "from" => &mut entry.from,
                "to" => &mut entry.to,
                "why" => &mut entry.why,
                "rule" => &mut entry.rule,
                "says" => &mut entry.says,
                "was" => &mut entry.was,
                "until" => &mut entry.until,
                "who" => &mut entry.who,
                "evidence" => &mut entry.proof,
                "node" => &mut entry.node,
                "config" => &mut entry.config,
                "version" => &mut entry.version,
                "w" => &mut entry.writer,
                "id" => &mut entry.id,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *member = map.next_value::<Text<'de>>()?.0;
        }
        Ok(entry)
    }
}

/// A string that is borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}
