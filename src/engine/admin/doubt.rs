//! Payments in doubt, as the last census has counted them.

use serde_json::{Map, Value, json};

use super::status::time;
use crate::engine::census::{Census, InDoubt};
use crate::engine::gateway::Gateways;
use crate::engine::layout::Layout;
use crate::engine::time::{Millis, Timestamp};

/// The last census at one moment.
#[derive(Clone, Copy)]
pub(super) struct Doubt<'a> {
    pub(super) census: &'a Census,
    pub(super) now: Timestamp,
}

impl Doubt<'_> {
    /// How long ago the census began: what happened since then may not be in it.
    pub(super) const fn age(&self) -> Millis {
        self.now.since(self.census.began_at)
    }

    /// How long ago the oldest payment in doubt was claimed.
    pub(super) fn oldest(&self) -> Option<Millis> {
        self.census.oldest.first().map(|oldest| oldest.age(self.now))
    }

    /// How many there are, and how much money hangs on them.
    pub(super) fn totals(&self) -> Value {
        let sum = |(currency, minor): &([u8; 3], u64)| json!({"currency": letters(currency), "amount": amount(*minor)});
        let at_risk: Vec<Value> = self.census.at_risk.iter().map(sum).collect();
        json!({
            "count": self.census.states.in_doubt,
            "oldest_age_ms": self.oldest().map(Millis::get),
            "value_at_risk": at_risk,
            "unsummed": self.census.unsummed,
        })
    }

    /// When it was counted.
    pub(super) fn census(&self) -> Value {
        let Census { began_at, ended_at, .. } = *self.census;
        json!({"from": time(began_at), "to": time(ended_at), "age_ms": self.age().get()})
    }

    /// How full the store is.
    pub(super) fn store(&self) -> Value {
        let states = &self.census.states;
        json!({
            "claims": {
                "in_flight": states.in_flight,
                "in_doubt": states.in_doubt,
                "settled": states.settled,
                "rejected": states.rejected,
                "closed": states.closed,
                "unreadable": states.unreadable,
            },
            "records": self.census.records,
            "fill_pct": self.census.fill_pct(),
            "bucket_fill_pct": self.census.bucket_fill_pct(),
        })
    }

    /// The totals, and up to `limit` of the payments, the oldest first.
    pub(super) fn list(&self, layout: &Layout, limit: usize) -> Value {
        let listed = self.census.oldest.iter().take(limit);
        let payments: Vec<Value> = listed.map(|doubt| self.payment(doubt, layout)).collect();
        json!({
            "now": time(self.now),
            "census": self.census(),
            "in_doubt": self.totals(),
            "payments": payments,
        })
    }

    fn payment(&self, doubt: &InDoubt, layout: &Layout) -> Value {
        let currency = letters(&doubt.money.currency);
        let key: String = doubt.key.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "key": key,
            "gateways": names(doubt.candidates, layout),
            "amount": currency.map(|_| amount(doubt.money.minor)),
            "currency": currency,
            "claimed_at": time(doubt.claimed_at),
            "age_ms": doubt.age(self.now).get(),
            "attempts": doubt.attempt,
            "ended_at": time(doubt.ended_at),
            "repeat_until": doubt.repeat_until.map(time),
            "observed": doubt.observed,
        })
    }
}

/// The names of gateways, also of those that are no longer configured.
pub(super) fn names(gateways: Gateways, layout: &Layout) -> Vec<String> {
    gateways.iter().filter_map(|gateway| layout.name(gateway).map(str::to_owned)).collect()
}

/// A currency, if one is known.
pub(super) fn letters(currency: &[u8; 3]) -> Option<&str> {
    let text = std::str::from_utf8(currency).ok()?;
    text.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(text)
}

/// An amount with two decimals: `10000.00`.
pub(super) fn amount(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// The same for people: `10,000.00`.
pub(super) fn grouped(minor: u64) -> String {
    let text = amount(minor);
    let digits = text.len().saturating_sub(3);
    let mut grouped = String::with_capacity(text.len() + digits / 3);
    for (at, char) in text.chars().enumerate() {
        if at > 0 && at < digits && (digits - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(char);
    }
    grouped
}

/// The members of an object; nothing of any other value.
pub(super) fn members(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value { members } else { Map::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_two_decimals() {
        for (minor, plain, people) in [
            (0, "0.00", "0.00"),
            (7, "0.07", "0.07"),
            (99_999, "999.99", "999.99"),
            (100_000, "1000.00", "1,000.00"),
            (123_456_789, "1234567.89", "1,234,567.89"),
            (u64::MAX, "184467440737095516.15", "184,467,440,737,095,516.15"),
        ] {
            assert_eq!((amount(minor).as_str(), grouped(minor).as_str()), (plain, people));
        }
    }

    #[test]
    fn a_currency_that_is_not_known_is_none() {
        assert_eq!(letters(b"IDR"), Some("IDR"));
        for unknown in [[0; 3], *b"I\0R", *b"<b>", [0xff; 3]] {
            assert_eq!(letters(&unknown), None);
        }
    }
}
