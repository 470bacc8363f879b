//! Payments in doubt, as the last census has counted them.

use super::object::{Object, list, time};
use crate::engine::codec::hex;
use crate::engine::gateway::Gateways;
use crate::engine::payment::Money;
use crate::engine::store::{Census, InDoubt, Layout, LocalClaims};
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
    pub(super) fn totals(&self) -> Object {
        let sum = |(currency, minor): &([u8; 3], u64)| {
            Object::new().with("currency", letters(currency)).with("amount", amount(*minor))
        };
        Object::new()
            .with("count", self.census.states.in_doubt)
            .with("oldest_age_ms", self.oldest().map(Millis::get))
            .with("value_at_risk", list(self.census.at_risk.iter().map(sum)))
            .with("unsummed", self.census.unsummed)
    }

    /// When it was counted.
    pub(super) fn census(&self) -> Object {
        let Census { began_at, ended_at, .. } = *self.census;
        Object::new()
            .with("from", time(began_at))
            .with("to", time(ended_at))
            .with("age_ms", self.age().get())
    }

    /// Claims by where they stand.
    pub(super) fn claims(&self) -> Object {
        let add = |object: Object, (state, claims)| object.with(state, claims);
        let claims = self.census.by_state().into_iter().fold(Object::new(), add);
        match self.census.resolved {
            None => claims,
            Some(resolved) => claims.with("resolved_is_exact", resolved.is_exact),
        }
    }

    /// Claims that end with this process, where others stand in etcd.
    pub(super) fn local(&self) -> Option<Object> {
        let LocalClaims { claims, in_doubt } = self.census.local?;
        Some(Object::new().with("claims", claims).with("in_doubt", in_doubt))
    }

    /// How full the store in shared data is.
    pub(super) fn store(&self) -> Object {
        Object::new()
            .with("engine", "local")
            .with("claims", self.claims())
            .with("room", self.census.room().name())
            .with("records", self.census.records)
            .with("kept", self.census.kept)
            .with("buckets", self.census.buckets)
            .with("full_buckets", self.census.full)
            .with("fill_pct", self.census.fill_pct())
            .with("bucket_fill_pct", self.census.bucket_fill_pct())
    }

    /// The totals, and up to `limit` of the payments, the oldest first.
    pub(super) fn list(&self, layout: &Layout, limit: usize) -> Object {
        let listed = self.census.oldest.iter().take(limit);
        Object::new()
            .with("now", time(self.now))
            .with("census", self.census())
            .with("in_doubt", self.totals())
            .with("payments", list(listed.map(|doubt| self.payment(doubt, layout))))
    }

    fn payment(&self, doubt: &InDoubt, layout: &Layout) -> Object {
        let money = Object::new().with("key", hex(&doubt.key));
        with_money(money, &doubt.money)
            .with("gateways", names(doubt.candidates, layout))
            .with("claimed_at", time(doubt.claimed_at))
            .with("age_ms", doubt.age(self.now).get())
            .with("attempts", doubt.attempt)
            .with("ended_at", time(doubt.ended_at))
            .with("repeat_until", doubt.repeat_until.map(time))
            .with("observed", doubt.observed)
    }
}

/// The object, and how much money it is about.
pub(super) fn with_money(object: Object, money: &Money) -> Object {
    let currency = letters(&money.currency);
    object.with("amount", currency.map(|_| amount(money.minor))).with("currency", currency)
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
