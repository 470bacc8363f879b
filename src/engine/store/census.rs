//! What the store holds: how many claims stand where, how much money is in doubt, and the oldest
//! payments in doubt by name.
//!
//! The worker that sends the heartbeats counts. It reads bucket after bucket beside its other work
//! (`walk`), so a census is not of one moment: each bucket counts as it was when it was read,
//! between the beginning and the end of the pass. It writes a bucket back only to mend times in
//! it that a leap of the clock has set ahead.
//!
//! A claim whose lease is over counts as in doubt, as it does for everybody else. So does one that
//! was written while the filter only observed, once any operation is enforced; while none is, such
//! a claim counts as it is written, or every payment would be in doubt.

use std::collections::BTreeMap;

use super::local::bucket::{Bucket, Retention};
use super::local::capacity;
use super::record::Entry;
use crate::engine::codec::Reader;
use crate::engine::gateway::Gateways;
use crate::engine::limits;
use crate::engine::payment::{Claim, ClaimRules, ClaimState, KeyFront, KeyPrefix, Money};
use crate::engine::time::{Leaps, Millis, Timestamp};

/// The result of one pass over all buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// When its first bucket was read.
    pub began_at: Timestamp,
    /// When its last bucket was read.
    pub ended_at: Timestamp,
    /// How many buckets the store has.
    pub buckets: u32,
    /// Records of every kind: claims, and keys that lead to them.
    pub records: u64,
    /// Records in the fullest bucket, of whatever age.
    pub records_max: u32,
    /// Records that must not make room for a new claim: unresolved, or within their retention.
    pub kept: u64,
    /// Buckets that have [`limits::BUCKET_RECORDS_MAX`] of these: a new claim that belongs there is
    /// refused.
    pub full: u32,
    /// Claims by where they stand.
    pub states: States,
    /// Money in doubt, in the smallest unit of each currency, by currency; at most
    /// [`limits::CENSUS_CURRENCIES_MAX`] of them.
    pub at_risk: Vec<([u8; 3], u64)>,
    /// Payments in doubt whose money is in none of these sums: their amount is not known, or their
    /// currency is one too many.
    pub unsummed: u64,
    /// The payments that have been in doubt longest, the oldest claim first; at most
    /// [`limits::IN_DOUBT_LISTED_MAX`].
    pub oldest: Vec<InDoubt>,
}

/// How much room a store has for new claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Nobody is refused.
    Enough,
    /// Nobody is refused yet.
    Little,
    /// Some or all new claims are refused.
    None,
}

impl Room {
    /// What it is called in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enough => "enough",
            Self::Little => "little",
            Self::None => "none",
        }
    }
}

/// What helps when a store is full, as sentences for people.
pub const MAKES_ROOM: &str = "To make room at once, lower idempotency.retention_s: older \
    payments are then no longer recognised. For good, take a larger claims_max under a new vm_id, once \
    no payment is in doubt.";

/// Numbers of claims by where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// Under way, with a lease that runs.
    pub in_flight: u64,
    /// Sent, outcome unknown.
    pub in_doubt: u64,
    /// Executed.
    pub settled: u64,
    /// A definite NO.
    pub rejected: u64,
    /// Ended without money, or with the money given back.
    pub closed: u64,
    /// Records and whole buckets that this version cannot read.
    pub unreadable: u64,
}

/// A payment in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// As much of its key as the record holds.
    pub key: KeyPrefix,
    /// Where the record is, which its key alone does not say.
    pub bucket: u32,
    /// Every gateway that may have executed it.
    pub candidates: Gateways,
    /// How much money it is about.
    pub money: Money,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When its last attempt ended; ahead of the present where that may still be under way.
    pub ended_at: Timestamp,
    /// While a repeat is under way: the end of its lease.
    pub repeat_until: Option<Timestamp>,
    /// How often it was sent.
    pub attempt: u16,
    /// It was written while the filter only observed.
    pub observed: bool,
}

impl InDoubt {
    /// How old it is.
    #[must_use]
    pub const fn age(&self, now: Timestamp) -> Millis {
        now.since(self.claimed_at)
    }
}

/// A census that has just ended, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What was counted.
    pub census: Census,
    /// Currencies of which money was at risk by the census before, and none is now.
    pub gone: Vec<[u8; 3]>,
}

impl Counted {
    /// `census`, after the one whose stored form is `before`.
    #[must_use]
    pub fn after(census: Census, before: &[u8]) -> Self {
        let before = Census::decode(before).map_or_else(Vec::new, |before| before.at_risk);
        let stays = |currency| census.at_risk.iter().any(|(other, _)| *other == currency);
        let gone = before.into_iter().map(|(currency, _)| currency);
        Self { gone: gone.filter(|currency| !stays(*currency)).collect(), census }
    }
}

impl Census {
    /// The age of the oldest payment in doubt when the pass ended; zero if there is none.
    #[must_use]
    pub fn oldest_age(&self) -> Millis {
        self.oldest.first().map_or_else(Millis::default, |oldest| oldest.age(self.ended_at))
    }

    /// How full the store is, in percent: 100 when a new claim is refused in at least one bucket,
    /// and below that what must be kept, in percent of the most that a store sustains ([`capacity`]).
    #[must_use]
    pub fn fill_pct(&self) -> u64 {
        if self.full > 0 { 100 } else { capacity::fill_pct(self.kept, self.buckets) }
    }

    /// How much room it has.
    #[must_use]
    pub fn room(&self) -> Room {
        match self.fill_pct() {
            100.. => Room::None,
            limits::STORE_NEARLY_FULL_PCT.. => Room::Little,
            _ => Room::Enough,
        }
    }

    /// Records of the fullest bucket in percent of what one may hold.
    #[must_use]
    pub fn bucket_fill_pct(&self) -> u64 {
        u64::from(self.records_max) * 100 / limits::BUCKET_RECORDS_MAX as u64
    }

    /// The listed payments whose key begins with `front`.
    pub fn find_front(&self, front: &KeyFront) -> impl Iterator<Item = &InDoubt> {
        self.oldest.iter().filter(|doubt| front.fits(&doubt.key))
    }

    const VERSION: u8 = 2;

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(160 + self.oldest.len() * InDoubt::SIZE);
        bytes.push(Self::VERSION);
        bytes.extend(self.began_at.as_millis().to_le_bytes());
        bytes.extend(self.ended_at.as_millis().to_le_bytes());
        bytes.extend(self.buckets.to_le_bytes());
        bytes.extend(self.records.to_le_bytes());
        bytes.extend(self.records_max.to_le_bytes());
        bytes.extend(self.kept.to_le_bytes());
        bytes.extend(self.full.to_le_bytes());
        let States { in_flight, in_doubt, settled, rejected, closed, unreadable } = self.states;
        for count in [in_flight, in_doubt, settled, rejected, closed, unreadable, self.unsummed] {
            bytes.extend(count.to_le_bytes());
        }
        bytes.push(u8::try_from(self.at_risk.len()).unwrap_or(u8::MAX));
        for (currency, minor) in &self.at_risk {
            bytes.extend(currency);
            bytes.extend(minor.to_le_bytes());
        }
        self.oldest.iter().for_each(|doubt| doubt.encode(&mut bytes));
        bytes
    }

    /// Reads the stored form. Bytes of another version are no census: the next pass writes one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        if bytes.byte()? != Self::VERSION {
            return None;
        }
        let (began_at, ended_at) = (bytes.time()?, bytes.time()?);
        let (buckets, records, records_max) = (bytes.word()?, bytes.long()?, bytes.word()?);
        let (kept, full) = (bytes.long()?, bytes.word()?);
        let states = States {
            in_flight: bytes.long()?,
            in_doubt: bytes.long()?,
            settled: bytes.long()?,
            rejected: bytes.long()?,
            closed: bytes.long()?,
            unreadable: bytes.long()?,
        };
        let unsummed = bytes.long()?;
        let currencies = usize::from(bytes.byte()?);
        if currencies > limits::CENSUS_CURRENCIES_MAX {
            return None;
        }
        let at_risk = (0..currencies).map(|_| {
            let currency = bytes.take().filter(is_currency)?;
            Some((currency, bytes.long()?))
        });
        let at_risk = at_risk.collect::<Option<Vec<_>>>()?;
        let mut oldest = Vec::new();
        while !bytes.0.is_empty() {
            if oldest.len() >= limits::IN_DOUBT_LISTED_MAX {
                return None;
            }
            oldest.push(InDoubt::decode(&mut bytes)?);
        }
        Some(Self {
            began_at,
            ended_at,
            buckets,
            records,
            records_max,
            kept,
            full,
            states,
            at_risk,
            unsummed,
            oldest,
        })
    }
}

const OBSERVED: u8 = 1;
const REPEATS: u8 = 2;

impl InDoubt {
    /// Bytes of the stored form.
    const SIZE: usize = 60;

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.key);
        bytes.extend(self.bucket.to_le_bytes());
        bytes.extend(self.candidates.bits().to_le_bytes());
        bytes.extend(self.money.minor.to_le_bytes());
        bytes.extend(self.money.currency);
        bytes.extend(self.claimed_at.as_millis().to_le_bytes());
        bytes.extend(self.ended_at.as_millis().to_le_bytes());
        bytes.extend(self.attempt.to_le_bytes());
        let observed = if self.observed { OBSERVED } else { 0 };
        bytes.push(observed | if self.repeat_until.is_some() { REPEATS } else { 0 });
        bytes.extend(self.repeat_until.unwrap_or_default().as_millis().to_le_bytes());
    }

    fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let key = bytes.take()?;
        let bucket = bytes.word()?;
        let candidates = Gateways::from_bits(bytes.short()?);
        let money = Money { minor: bytes.long()?, currency: bytes.take()? };
        let (claimed_at, ended_at) = (bytes.time()?, bytes.time()?);
        let attempt = bytes.short()?;
        let marks = bytes.byte()?;
        let repeat_until = Some(bytes.time()?).filter(|_| marks & REPEATS != 0);
        let observed = marks & OBSERVED != 0;
        Some(Self {
            key,
            bucket,
            candidates,
            money,
            claimed_at,
            ended_at,
            repeat_until,
            attempt,
            observed,
        })
    }
}

/// How claims count.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Counts<'a> {
    pub(in crate::engine) rules: &'a ClaimRules,
    /// How long a resolved claim is kept, and header keys and tokens where there is no room.
    pub(in crate::engine) retention: Millis,
    /// Time that the clock skipped, in which nothing grew older.
    pub(in crate::engine) leaps: &'a Leaps,
    /// Nothing is enforced.
    pub(in crate::engine) observing: bool,
}

/// A census under way.
#[derive(Debug, Default)]
pub(in crate::engine) struct Draft {
    census: Census,
    at_risk: BTreeMap<[u8; 3], u64>,
    oldest: BTreeMap<(Timestamp, KeyPrefix), InDoubt>,
}

impl Draft {
    pub(in crate::engine) fn new(began_at: Timestamp) -> Self {
        let census = Census { began_at, ..Census::default() };
        Self { census, ..Self::default() }
    }

    /// Counts the records of one bucket, as they are at `now`, and tells how many they are.
    pub(in crate::engine) fn count(
        &mut self,
        number: u32,
        bytes: Vec<u8>,
        how: Counts<'_>,
        now: Timestamp,
    ) -> u32 {
        self.census.ended_at = now;
        self.census.buckets = self.census.buckets.saturating_add(1);
        let Some(bucket) = Bucket::decode(bytes) else {
            self.census.states.unreadable += 1;
            return 0;
        };
        let Counts { retention, leaps, .. } = how;
        let retention = Retention { claims: retention, tokens: retention, leaps };
        let kept = bucket.kept(now, retention);
        self.census.kept += kept as u64;
        self.census.full += u32::from(kept >= limits::BUCKET_RECORDS_MAX);
        let mut records = 0;
        for (key, entry) in bucket.entries() {
            records += 1;
            match entry {
                Entry::Claim(claim) => self.count_claim(key, number, &claim, how, now),
                Entry::Absent | Entry::Alias(_) => {}
                Entry::Unreadable => self.census.states.unreadable += 1,
            }
        }
        self.census.records += u64::from(records);
        self.census.records_max = self.census.records_max.max(records);
        records
    }

    fn count_claim(
        &mut self,
        key: KeyPrefix,
        bucket: u32,
        claim: &Claim,
        how: Counts<'_>,
        now: Timestamp,
    ) {
        let seen = claim.seen(now, how.leaps);
        let counts = if how.observing { seen } else { seen.enforced(how.rules) }.at(now);
        let states = &mut self.census.states;
        match counts.state {
            ClaimState::InFlight { .. } => states.in_flight += 1,
            ClaimState::Settled { .. } => states.settled += 1,
            ClaimState::Rejected { .. } => states.rejected += 1,
            ClaimState::Closed { .. } => states.closed += 1,
            ClaimState::InDoubt { candidates, ended_at, repeat_until, .. } => {
                states.in_doubt += 1;
                self.sum(counts.money);
                let claimed_at = counts.incarnation.claimed_at;
                let doubt = InDoubt {
                    key,
                    bucket,
                    candidates,
                    money: counts.money,
                    claimed_at,
                    ended_at,
                    repeat_until,
                    attempt: counts.attempt,
                    observed: claim.observed,
                };
                self.oldest.insert((claimed_at, key), doubt);
                if self.oldest.len() > limits::IN_DOUBT_LISTED_MAX {
                    self.oldest.pop_last();
                }
            }
        }
    }

    /// Without an amount there is nothing to add, and what is no currency would only name a sum of
    /// its own.
    fn sum(&mut self, money: Money) {
        let has_place = self.at_risk.len() < limits::CENSUS_CURRENCIES_MAX
            || self.at_risk.contains_key(&money.currency);
        if money.minor == 0 || !is_currency(&money.currency) || !has_place {
            self.census.unsummed += 1;
            return;
        }
        let sum = self.at_risk.entry(money.currency).or_default();
        *sum = sum.saturating_add(money.minor);
    }

    /// The census, once all buckets are counted.
    pub(in crate::engine) fn finish(self) -> Census {
        Census {
            at_risk: self.at_risk.into_iter().collect(),
            oldest: self.oldest.into_values().collect(),
            ..self.census
        }
    }
}

fn is_currency(letters: &[u8; 3]) -> bool {
    letters.iter().all(u8::is_ascii_uppercase)
}

#[cfg(test)]
pub(in crate::engine) mod tests;
