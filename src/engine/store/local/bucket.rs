//! The stored form of claims: many compact records in one value, under one compare-and-set.
//!
//! All places where a key may live are one shared-data value, a bucket chosen by the key's hash.
//! Probing over several values would let two workers win at an expiry boundary. Reading is total:
//! a record of an unknown version is kept and counts as unresolved, never as absent. Beside claims
//! stand small records that lead from some other key to a payment or a gateway ([`link`]).

use std::ops::Range;

use crate::engine::limits;
use crate::engine::payment::{Claim, ClaimRules, KeyFront, KeyPrefix};
use crate::engine::time::{Leaps, Millis, Timestamp};

use crate::engine::store::alias::{Alias, AliasTarget};
use crate::engine::store::contract::{Key, StoreError};
use crate::engine::store::record::{Entry, KEY_AT, SIZE_MIN, decode, encode};

/// One bucket of records, as it stands in shared data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket(Vec<u8>);

/// Why a claim was not put into a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BucketError {
    /// Every record in it is unresolved or still within its retention.
    Full,
}

/// How long records are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention<'l> {
    /// A resolved claim, and a header key.
    pub claims: Millis,
    /// A customer's token, from its last use.
    pub tokens: Millis,
    /// Time that the clock skipped, in which nothing grew older.
    pub leaps: &'l Leaps,
}

impl From<Millis> for Retention<'static> {
    /// All records alike, on a clock that never leapt.
    fn from(all: Millis) -> Self {
        Self { claims: all, tokens: all, leaps: Leaps::NONE }
    }
}

impl Bucket {
    /// A bucket of these bytes; `None` when they are not a sequence of records.
    #[must_use]
    pub fn decode(bytes: Vec<u8>) -> Option<Self> {
        let bucket = Self(bytes);
        let whole: usize = bucket.records().map(<[u8]>::len).sum();
        (whole == bucket.0.len()).then_some(bucket)
    }

    /// The stored form.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// What it says about the key with this prefix.
    #[must_use]
    pub fn find(&self, key: &KeyPrefix) -> Entry {
        let Some(record) = self.records().find(|record| has_key(record, key)) else {
            return Entry::Absent;
        };
        decode(record).map_or(Entry::Unreadable, Entry::Claim)
    }

    /// Puts the claim of a key in, in the place of the one it has. Once a bucket holds what it was
    /// laid out for, a new claim takes the place of the oldest resolved one whose retention is
    /// over; before that nothing is forgotten, and never more than it needs.
    ///
    /// # Errors
    /// When there is no room. An unresolved claim never makes room.
    pub fn put<'l>(
        &mut self,
        key: &KeyPrefix,
        claim: &Claim,
        now: Timestamp,
        retention: impl Into<Retention<'l>>,
    ) -> Result<(), BucketError> {
        self.make_room(key, now, retention.into())?;
        self.0.extend(encode(key, claim));
        Ok(())
    }

    /// Puts the claim of a key in the place of the one it has, and leaves every other record as it
    /// is; false when there is none that can be read. So it needs no retention: whoever only ends a
    /// doubt has no say in what is forgotten.
    #[must_use]
    pub fn replace(&mut self, key: &KeyPrefix, claim: &Claim) -> bool {
        let place = self.place(|record| has_key(record, key) && decode(record).is_some());
        let record = place.and_then(|place| self.0.get_mut(place));
        // Claims of this version are all of one size.
        record.map(|record| record.copy_from_slice(&encode(key, claim))).is_some()
    }

    /// What a key that is no payment's leads to.
    #[must_use]
    pub fn find_alias(&self, key: &KeyPrefix) -> Option<Alias> {
        self.records().find(|record| has_key(record, key)).and_then(Alias::decode)
    }

    /// Puts what a key leads to in, in the place of what it led to before.
    ///
    /// # Errors
    /// When there is no room.
    pub fn put_alias<'l>(
        &mut self,
        key: &KeyPrefix,
        link: &Alias,
        now: Timestamp,
        retention: impl Into<Retention<'l>>,
    ) -> Result<(), BucketError> {
        self.make_room(key, now, retention.into())?;
        self.0.extend(link.encode(key));
        Ok(())
    }

    fn make_room(
        &mut self,
        key: &KeyPrefix,
        now: Timestamp,
        retention: Retention<'_>,
    ) -> Result<(), BucketError> {
        self.remove(key);
        let laid_out_for = limits::BUCKET_RECORDS_MEAN as usize;
        let too_many = (self.records().count() + 1).saturating_sub(laid_out_for);
        if too_many > 0 {
            self.evict(too_many, now, retention);
        }
        if self.records().count() >= limits::BUCKET_RECORDS_MAX {
            // No payment is refused for the sake of tokens that are kept for longer than claims.
            let tokens = retention.tokens.min(retention.claims);
            self.evict(1, now, Retention { tokens, ..retention });
        }
        if self.records().count() >= limits::BUCKET_RECORDS_MAX {
            return Err(BucketError::Full);
        }
        Ok(())
    }

    /// Takes out up to `count` records whose retention is over, those first that were used longest
    /// ago.
    fn evict(&mut self, count: usize, now: Timestamp, retention: Retention<'_>) {
        let expired = |(place, record)| Some((expired_since(record, now, retention)?, place));
        let expired: Vec<(Timestamp, usize)> =
            self.records().enumerate().filter_map(expired).collect();
        // One at a time, for it is nearly always one: to sort them all takes longer.
        let mut going: Vec<(Timestamp, usize)> = Vec::new();
        for _ in 0..count {
            let later = expired.iter().filter(|one| going.last().is_none_or(|last| *one > last));
            let Some(oldest) = later.min() else { break };
            going.push(*oldest);
        }
        if going.is_empty() {
            return;
        }
        let goes = |place| going.iter().any(|(_, gone)| *gone == place);
        let mut kept = Vec::with_capacity(self.0.len());
        for (_, record) in self.records().enumerate().filter(|(place, _)| !goes(*place)) {
            kept.extend_from_slice(record);
        }
        self.0 = kept;
    }

    /// Records that were changed so far ahead of `now` that the clock must have been put back since
    /// count as changed now: nobody waits for the clock to come to where it was. Tells whether
    /// there were any, which must then be written.
    #[must_use]
    pub fn mend(&mut self, now: Timestamp, rules: &ClaimRules) -> bool {
        let mut end = 0;
        let mut mended: Vec<(usize, Vec<u8>)> = Vec::new();
        for record in self.records() {
            let begin = end;
            end += record.len();
            mended.extend(mend(record, now, rules).map(|bytes| (begin, bytes)));
        }
        for (begin, bytes) in &mended {
            if let Some(record) = self.0.get_mut(*begin..begin + bytes.len()) {
                record.copy_from_slice(bytes);
            }
        }
        !mended.is_empty()
    }

    /// What it says about every key with this front: more than one thing where the front is too
    /// short to tell keys apart. Keys that only lead elsewhere are not among them.
    pub fn find_front(&self, front: &KeyFront) -> impl Iterator<Item = (KeyPrefix, Entry)> {
        self.entries().filter(|(key, _)| front.fits(key)).filter_map(|(key, entry)| match entry {
            Entry::Claim(claim) => Some((key, Entry::Claim(claim))),
            Entry::Unreadable => Some((key, Entry::Unreadable)),
            Entry::Absent | Entry::Alias(_) => None,
        })
    }

    /// All records, with their keys.
    pub fn entries(&self) -> impl Iterator<Item = (KeyPrefix, Entry)> {
        self.records().filter_map(|record| {
            let key = record.get(KEY_AT..)?.first_chunk().copied()?;
            let link = || Alias::decode(record).map_or(Entry::Unreadable, Entry::Alias);
            Some((key, decode(record).map_or_else(link, Entry::Claim)))
        })
    }

    /// How many records it keeps that must not make room for a new claim: those that are unresolved
    /// or still within their retention. With [`limits::BUCKET_RECORDS_MAX`] of them it has none.
    #[must_use]
    pub fn kept<'l>(&self, now: Timestamp, retention: impl Into<Retention<'l>>) -> usize {
        let retention = retention.into();
        self.records().filter(|record| expired_since(record, now, retention).is_none()).count()
    }

    /// All claims that can be read.
    pub fn claims(&self) -> impl Iterator<Item = Claim> {
        self.records().filter_map(decode)
    }

    /// Takes out what stands under a key; the others close up.
    pub fn remove(&mut self, key: &KeyPrefix) {
        while let Some(place) = self.place(|record| has_key(record, key)) {
            self.0.drain(place);
        }
    }

    /// Where the first such record stands.
    fn place(&self, is_meant: impl Fn(&[u8]) -> bool) -> Option<Range<usize>> {
        let mut end = 0;
        self.records().find_map(|record| {
            let begin = end;
            end += record.len();
            is_meant(record).then_some(begin..end)
        })
    }

    fn records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let length = usize::from(*rest.first()?);
            let (record, tail) = rest.split_at_checked(length)?;
            rest = tail;
            (length >= SIZE_MIN).then_some(record)
        })
    }
}

fn has_key(record: &[u8], key: &KeyPrefix) -> bool {
    record.get(KEY_AT..SIZE_MIN) == Some(key)
}

/// Since when a record is used no more, if its retention is over.
fn expired_since(record: &[u8], now: Timestamp, retention: Retention<'_>) -> Option<Timestamp> {
    let (since, kept) = if let Some(claim) = decode(record) {
        (claim.is_resolved().then_some(claim.changed_at)?, retention.claims)
    } else {
        let link = Alias::decode(record)?;
        let kept = match link.to {
            AliasTarget::Payment(_) => retention.claims,
            AliasTarget::Gateway(_) => retention.tokens,
            // It makes room for anything: at worst the application gets a notification again.
            AliasTarget::Application(_) => Millis::ZERO,
        };
        (link.used_at, kept)
    };
    let is_over = since <= now && retention.leaps.passed(since, now) >= kept;
    is_over.then_some(since)
}

/// A record that was changed too far ahead, as if that had been now.
fn mend(record: &[u8], now: Timestamp, rules: &ClaimRules) -> Option<Vec<u8>> {
    let key = record.get(KEY_AT..)?.first_chunk()?;
    if let Some(claim) = decode(record) {
        return claim.mended(now, rules).map(|claim| encode(key, &claim));
    }
    let link = Alias::decode(record)?;
    let used_at = link.used_at.or_now(now, rules.ahead_max());
    (used_at != link.used_at).then(|| Alias { used_at, ..link }.encode(key))
}

impl Bucket {
    /// Puts an entry where `key` stands, or takes out what stands there.
    ///
    /// # Errors
    /// Without room, or where nobody can have meant it.
    pub(super) fn put_entry(
        &mut self,
        key: Key,
        entry: &Entry,
        now: Timestamp,
        retention: Retention<'_>,
    ) -> Result<(), StoreError> {
        let prefix = key.reference().prefix();
        let put = match entry {
            Entry::Absent => {
                self.remove(&prefix);
                Ok(())
            }
            Entry::Claim(claim) => self.put(&prefix, claim, now, retention),
            Entry::Alias(alias) => self.put_alias(&prefix, alias, now, retention),
            Entry::Unreadable => return Err(StoreError::Unavailable),
        };
        put.map_err(|_| StoreError::Full)
    }
}

#[cfg(test)]
mod tests;
