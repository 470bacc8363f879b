//! What entries of the audit trail say of payments.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::gateways::Gateways;
use super::money;
use super::row::{Id, Place, Row, Said, Source, id};
use crate::cli::times;

/// The members of an entry that matter here.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    kind: Cow<'a, str>,
    time: Cow<'a, str>,
    key: Cow<'a, str>,
    of: Cow<'a, str>,
    reference: Cow<'a, str>,
    amount: Cow<'a, str>,
    currency: Cow<'a, str>,
    gateways: Cow<'a, str>,
    evidence: Cow<'a, str>,
    claim: Cow<'a, str>,
    operation: Cow<'a, str>,
}

impl Entry<'_> {
    pub(super) fn reference(&self) -> &str {
        &self.reference
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn gateways(&self) -> &str {
        &self.gateways
    }

    pub(super) fn time(&self) -> &str {
        &self.time
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

/// What operators have said of payments, and what was given back, by the front of a payment's key.
#[derive(Debug, Default)]
pub(super) struct ByKey {
    /// The gateway's bit where it was executed; 0 where it was not.
    pub(super) resolved: HashMap<Id, u16>,
    /// In hundredths.
    pub(super) refunded: HashMap<Id, i64>,
}

impl ByKey {
    /// Takes an entry in; the row that it makes, if it speaks of a payment by its reference.
    pub(super) fn take(
        &mut self,
        entry: &Entry<'_>,
        place: Place,
        gateways: &mut Gateways,
    ) -> Option<Row> {
        let bits = gateways.bits(&entry.gateways);
        match &*entry.kind {
            "resolve" => {
                let is_executed = entry.claim == "settled";
                let bits = if is_executed { bits } else { 0 };
                self.resolved.insert(front(&entry.key)?, bits);
                None
            }
            "follow_up" => {
                if entry.operation == "refund" && is_executed(entry) {
                    let amount = money::parse(&entry.amount).unwrap_or_default();
                    let sum = self.refunded.entry(front(&entry.of)?).or_default();
                    *sum = sum.saturating_add(amount);
                }
                None
            }
            // A payment's own entry, and a question for its status.
            "charge" | "inquiry" if !entry.reference.is_empty() && !entry.key.is_empty() => {
                let is_charge = entry.kind == "charge";
                Some(Row {
                    id: id(&entry.reference),
                    source: Source::Audit,
                    place,
                    said: said(entry),
                    gateways: bits,
                    amount: money::parse(&entry.amount).filter(|_| is_charge),
                    currency: currency(&entry.currency),
                    time: times::seconds(&entry.time).unwrap_or_default(),
                    own: front(&entry.key)?,
                })
            }
            _ => None,
        }
    }
}

/// The gateway's own word counts where what it proves could not be written down.
fn is_executed(entry: &Entry<'_>) -> bool {
    entry.evidence == "executed" || entry.claim == "settled"
}

fn said(entry: &Entry<'_>) -> Said {
    match (&*entry.claim, &*entry.evidence) {
        _ if is_executed(entry) => Said::Executed,
        // It was executed, and given back after that.
        (_, "refunded") => Said::Nothing,
        ("in_doubt" | "in_flight" | "settle_lost", _) => Said::InDoubt,
        ("rejected" | "closed", _) | (_, "never_sent") => Said::NotExecuted,
        (_, "doubtful") => Said::InDoubt,
        (_, "no") => Said::NotExecuted,
        _ => Said::Nothing,
    }
}

/// The first 32 digits of a payment's key.
pub(super) fn front(key: &str) -> Option<Id> {
    let mut front = Id::default();
    for (to, pair) in front.iter_mut().zip(key.get(..32)?.as_bytes().chunks(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(front)
}

pub(super) fn currency(text: &str) -> [u8; 3] {
    let letters: Option<[u8; 3]> = text.trim().as_bytes().try_into().ok();
    letters.map(|letters| letters.map(|letter| letter.to_ascii_uppercase())).unwrap_or_default()
}
