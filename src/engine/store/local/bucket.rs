//! The stored form of claims: many compact records in one value, under one compare-and-set.
//!
//! All places where a key may live are one shared-data value, a bucket chosen by the key's hash.
//! Probing over several values would let two workers win at an expiry boundary. Reading is total:
//! a record of an unknown version is kept and counts as unresolved, never as absent. Beside claims
//! stand small records that lead from some other key to a payment or a gateway ([`link`]).
//!
//! A claim of version 1, little-endian, [`SIZE`] bytes:
//!
//! | at | bytes | what |
//! |---:|---:|---|
//! | 0 | 1 | length of the record |
//! | 1 | 1 | version |
//! | 2 | 16 | key prefix |
//! | 18 | 16 | fingerprint |
//! | 34 | 1 | state |
//! | 35 | 1 | 128 if observed only, plus the number of header keys |
//! | 36 | 2 | attempt |
//! | 38 | 2 | gateways, one bit each |
//! | 40 | 8 | claimed at, ms |
//! | 48 | 4 | nonce |
//! | 52 | 8 | changed at, ms |
//! | 60 | 8 | lease end, or end of the last attempt, ms |
//! | 68 | 8 | end of the repeat's lease, ms; 0 none |
//! | 76 | 6 | first "not found", ms; 0 none |
//! | 82 | 1 | who said so; in flight: who is tried first |
//! | 83 | 8 | amount in hundredths |
//! | 91 | 3 | currency |

use crate::engine::codec::Reader;
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::limits;
use crate::engine::payment::{
    Claim, ClaimRules, ClaimState, Closed, Fingerprint, Incarnation, KeyFront, KeyPrefix, Money,
};
use crate::engine::time::{Leaps, Millis, Timestamp};

use crate::engine::store::alias::{Alias, AliasTarget};

/// Bytes of a record of this version.
pub(crate) const SIZE: usize = SIZE_BYTE as usize;
const SIZE_BYTE: u8 = 94;
const VERSION: u8 = 1;
const OBSERVED: u8 = 0x80;
const KEY_AT: usize = 2;
/// Shortest record of any version: length, version, key.
const SIZE_MIN: usize = KEY_AT + 16;

/// One bucket of records, as it stands in shared data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket(Vec<u8>);

/// What a bucket says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// This claim.
    Claim(Claim),
    /// A record that this version cannot read: unresolved.
    Unreadable,
}

/// What one record of a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A claim.
    Claim(Claim),
    /// A key that leads elsewhere.
    Alias(Alias),
    /// A record that this version cannot read: an unresolved claim.
    Unreadable,
}

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
    pub fn find(&self, key: &KeyPrefix) -> Found {
        let Some(record) = self.records().find(|record| has_key(record, key)) else {
            return Found::Absent;
        };
        decode(record).map_or(Found::Unreadable, Found::Claim)
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
        let mut end = 0;
        let place = self.records().find_map(|record| {
            let begin = end;
            end += record.len();
            (has_key(record, key) && decode(record).is_some()).then_some(begin..end)
        });
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
        self.retain(|record| !has_key(record, key));
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
        let kept = self.records().enumerate().filter(|(place, _)| !goes(*place));
        self.0 = kept.flat_map(|(_, record)| record).copied().collect();
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

    /// Takes the record of a key out.
    pub fn remove(&mut self, key: &KeyPrefix) {
        self.retain(|record| !has_key(record, key));
    }

    /// What it says about every key with this front: more than one thing where the front is too
    /// short to tell keys apart. Keys that only lead elsewhere are not among them.
    pub fn find_front(&self, front: &KeyFront) -> impl Iterator<Item = (KeyPrefix, Found)> {
        self.entries().filter(|(key, _)| front.fits(key)).filter_map(|(key, entry)| match entry {
            Entry::Claim(claim) => Some((key, Found::Claim(claim))),
            Entry::Unreadable => Some((key, Found::Unreadable)),
            Entry::Alias(_) => None,
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

    fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        if self.records().all(&keep) {
            return;
        }
        let kept: Vec<u8> =
            self.records().filter(|record| keep(record)).flatten().copied().collect();
        self.0 = kept;
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

const IN_FLIGHT: u8 = 1;
const IN_FLIGHT_AFTER_NO: u8 = 2;
const SETTLED: u8 = 3;
const REJECTED: u8 = 4;
const IN_DOUBT: u8 = 5;
const CLOSED_FAILED: u8 = 6;
const CLOSED_CANCELLED: u8 = 7;
const CLOSED_REFUNDED: u8 = 8;

/// The members of a state, laid out flat.
#[derive(Default)]
struct Flat {
    tag: u8,
    gateways: Gateways,
    until: Timestamp,
    repeat_until: Option<Timestamp>,
    not_found: Option<(GatewayId, Timestamp)>,
}

fn flatten(state: ClaimState) -> Flat {
    match state {
        ClaimState::InFlight { candidates, until, after_no } => Flat {
            tag: if after_no { IN_FLIGHT_AFTER_NO } else { IN_FLIGHT },
            gateways: candidates,
            until,
            ..Flat::default()
        },
        ClaimState::Settled { gateways, repeat_until } => {
            Flat { tag: SETTLED, gateways, repeat_until, ..Flat::default() }
        }
        ClaimState::Rejected { gateway } => {
            Flat { tag: REJECTED, gateways: Gateways::only(gateway), ..Flat::default() }
        }
        ClaimState::InDoubt { candidates, ended_at, repeat_until, not_found } => {
            Flat { tag: IN_DOUBT, gateways: candidates, until: ended_at, repeat_until, not_found }
        }
        ClaimState::Closed { how, gateways } => Flat {
            tag: match how {
                Closed::Failed => CLOSED_FAILED,
                Closed::Cancelled => CLOSED_CANCELLED,
                Closed::Refunded => CLOSED_REFUNDED,
            },
            gateways,
            ..Flat::default()
        },
    }
}

fn unflatten(flat: &Flat) -> Option<ClaimState> {
    let gateways = flat.gateways;
    let in_flight =
        |after_no| ClaimState::InFlight { candidates: gateways, until: flat.until, after_no };
    let closed = |how| ClaimState::Closed { how, gateways };
    Some(match flat.tag {
        IN_FLIGHT => in_flight(false),
        IN_FLIGHT_AFTER_NO => in_flight(true),
        SETTLED => ClaimState::Settled { gateways, repeat_until: flat.repeat_until },
        REJECTED => ClaimState::Rejected { gateway: gateways.single()? },
        IN_DOUBT => ClaimState::InDoubt {
            candidates: gateways,
            ended_at: flat.until,
            repeat_until: flat.repeat_until,
            not_found: flat.not_found,
        },
        CLOSED_FAILED => closed(Closed::Failed),
        CLOSED_CANCELLED => closed(Closed::Cancelled),
        CLOSED_REFUNDED => closed(Closed::Refunded),
        _ => return None,
    })
}

fn encode(key: &KeyPrefix, claim: &Claim) -> Vec<u8> {
    let flat = flatten(claim.state);
    let first = if claim.is_in_flight() { claim.first } else { GatewayId::FIRST };
    let (teller, told_at) =
        flat.not_found.map_or_else(|| (first.byte(), 0), |(by, at)| (by.byte(), at.as_millis()));
    let repeat_until = flat.repeat_until.map_or(0, Timestamp::as_millis);
    let mut bytes = Vec::with_capacity(SIZE);
    bytes.extend([SIZE_BYTE, VERSION]);
    bytes.extend(key);
    bytes.extend(claim.fingerprint.0);
    let observed = if claim.observed { OBSERVED } else { 0 };
    bytes.extend([flat.tag, observed | claim.header_keys.min(OBSERVED - 1)]);
    bytes.extend(claim.attempt.to_le_bytes());
    bytes.extend(flat.gateways.bits().to_le_bytes());
    bytes.extend(claim.incarnation.claimed_at.as_millis().to_le_bytes());
    bytes.extend(claim.incarnation.nonce.to_le_bytes());
    bytes.extend(claim.changed_at.as_millis().to_le_bytes());
    bytes.extend(flat.until.as_millis().to_le_bytes());
    bytes.extend(repeat_until.to_le_bytes());
    bytes.extend(told_at.to_le_bytes().iter().take(6));
    bytes.push(teller);
    bytes.extend(claim.money.minor.to_le_bytes());
    bytes.extend(claim.money.currency);
    bytes
}

/// `None` for a record that this version cannot read.
fn decode(record: &[u8]) -> Option<Claim> {
    let mut bytes = Reader(record);
    let [length, VERSION] = bytes.take::<2>()? else {
        return None;
    };
    if usize::from(length) != SIZE || record.len() != SIZE {
        return None;
    }
    let _key: KeyPrefix = bytes.take()?;
    let fingerprint = Fingerprint(bytes.take()?);
    let [tag, marks] = bytes.take()?;
    let attempt = bytes.short()?;
    let gateways = Gateways::from_bits(u16::from_le_bytes(bytes.take()?));
    let claimed_at = bytes.time()?;
    let nonce = u32::from_le_bytes(bytes.take()?);
    let changed_at = bytes.time()?;
    let until = bytes.time()?;
    let repeat_until = Some(bytes.time()?).filter(|until| until.as_millis() != 0);
    let [t0, t1, t2, t3, t4, t5, teller] = bytes.take()?;
    let told_at = u64::from_le_bytes([t0, t1, t2, t3, t4, t5, 0, 0]);
    let teller = GatewayId::new(usize::from(teller))?;
    let not_found = (told_at != 0).then_some((teller, Timestamp::from_millis(told_at)));
    let minor = u64::from_le_bytes(bytes.take()?);
    let currency = bytes.take()?;
    Some(Claim {
        fingerprint,
        state: unflatten(&Flat { tag, gateways, until, repeat_until, not_found })?,
        attempt,
        incarnation: Incarnation { claimed_at, nonce },
        changed_at,
        money: Money { minor, currency },
        observed: marks & OBSERVED != 0,
        header_keys: marks & !OBSERVED,
        first: if matches!(tag, IN_FLIGHT | IN_FLIGHT_AFTER_NO) {
            teller
        } else {
            GatewayId::FIRST
        },
    })
}

#[cfg(test)]
mod tests;
