//! What the store holds: how many claims are in which state, how much money is in doubt, and the
//! oldest payments in doubt, each by its key.
//!
//! The worker that sends the heartbeats counts. It reads a few buckets on each tick (`tick::census`),
//! so a census does not show one moment: each bucket counts as it was when it was read, between the
//! beginning and the end of the pass. The pass writes a bucket back only to correct times that lie
//! ahead after a leap of the clock. A store in etcd is counted in pages instead (`etcd::census`), and
//! there only what is not resolved is read.
//!
//! A claim whose lease is over counts as in doubt, as it does for requests. A claim that was written
//! while the filter only observed counts as in doubt once any operation is enforced. While none is,
//! it counts as it was written, or every payment would be in doubt.

use super::local::capacity;
use crate::engine::codec::Reader;
use crate::engine::gateway::Gateways;
use crate::engine::limits;
use crate::engine::payment::{KeyFront, KeyPrefix, Money};
use crate::engine::time::{Millis, Timestamp};

pub(super) mod draft;

/// The result of one pass over all buckets, or over all unresolved claims in etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// When its first bucket or page was read.
    pub began_at: Timestamp,
    /// When its last bucket or page was read.
    pub ended_at: Timestamp,
    /// Claims in etcd that are resolved; `None` where the store is in shared data. With it, what this
    /// census says of buckets, and of `settled`, `rejected` and `closed` claims, means nothing.
    pub resolved: Option<ResolvedCount>,
    /// What of it ends with this process: claims in its shared data. `None` if none can stand there.
    pub local: Option<LocalClaims>,
    /// The number of buckets of the store.
    pub buckets: u32,
    /// Records of every kind: claims, and keys that lead to them.
    pub records: u64,
    /// Records of any age in the fullest bucket.
    pub records_max: u32,
    /// Records that must not be evicted for a new claim: unresolved, or within their retention.
    pub kept: u64,
    /// Buckets with [`limits::BUCKET_RECORDS_MAX`] such records. A new claim that belongs there is
    /// refused.
    pub full: u32,
    /// Claims by their state.
    pub states: States,
    /// Money in doubt, in the smallest unit of each currency, by currency; at most
    /// [`limits::CENSUS_CURRENCIES_MAX`] of them.
    pub at_risk: Vec<([u8; 3], u64)>,
    /// Payments in doubt whose money is in none of these sums. Their amount is not known, or their
    /// currency is one too many.
    pub unsummed: u64,
    /// The payments in doubt with the oldest claims, the oldest first; at most
    /// [`limits::IN_DOUBT_LISTED_MAX`].
    pub oldest: Vec<InDoubt>,
}

/// How many claims in etcd are resolved. They are counted and not read, so which of them are settled,
/// rejected or closed is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolvedCount {
    /// Claims, those that were given back among them.
    pub claims: u64,
    /// Each one was counted. Otherwise a part of them was, and this is a multiple of that.
    pub is_exact: bool,
}

/// Claims in shared data that still count, of which a process that ends takes the memory with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalClaims {
    /// In flight, in doubt, unreadable, or resolved within the retention.
    pub claims: u64,
    /// Those of them that are in doubt.
    pub in_doubt: u64,
}

/// How much room a store has for new claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// No new claim is refused.
    Enough,
    /// No new claim is refused, but the store is nearly full.
    Little,
    /// Some or all new claims are refused.
    None,
}

impl Room {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enough => "enough",
            Self::Little => "little",
            Self::None => "none",
        }
    }
}

/// What to do when a store is full, as sentences for people.
pub const MAKES_ROOM: &str = "To make room at once, lower idempotency.retention_s: older \
    payments are then no longer recognised. For good, take a larger claims_max under a new vm_id, once \
    no payment is in doubt.";

/// Numbers of claims by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// In flight, with a lease that is not over.
    pub in_flight: u64,
    /// Sent, outcome unknown.
    pub in_doubt: u64,
    /// Executed.
    pub settled: u64,
    /// Refused by a gateway with a definite NO.
    pub rejected: u64,
    /// Ended without money moved, or with the money given back.
    pub closed: u64,
    /// Records and whole buckets that this version cannot read.
    pub unreadable: u64,
}

/// A payment in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// The part of its key that the record holds.
    pub key: KeyPrefix,
    /// The bucket of the record, which does not follow from the key alone. 0 for one in etcd.
    pub bucket: u32,
    /// Every gateway that may have executed it.
    pub candidates: Gateways,
    /// Amount and currency.
    pub money: Money,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When its last attempt ended. It lies ahead if that attempt may still be under way.
    pub ended_at: Timestamp,
    /// The end of the lease of a repeat under way.
    pub repeat_until: Option<Timestamp>,
    /// How many times it was sent.
    pub attempt: u16,
    /// Whether it was written while the filter only observed.
    pub observed: bool,
}

impl InDoubt {
    /// Its age at `now`.
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
    /// Currencies with money at risk in the census before, and none now.
    pub gone: Vec<[u8; 3]>,
}

impl Counted {
    /// `census`, which follows the one whose stored form is `before`.
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

    /// The claims of each state that this census tells apart, by their names in reports.
    #[must_use]
    pub fn by_state(&self) -> Vec<(&'static str, u64)> {
        let States { in_flight, in_doubt, settled, rejected, closed, unreadable } = self.states;
        let mut states = vec![("in_flight", in_flight), ("in_doubt", in_doubt)];
        match self.resolved {
            None => {
                states.extend([("settled", settled), ("rejected", rejected), ("closed", closed)])
            }
            Some(resolved) => states.push(("resolved", resolved.claims)),
        }
        states.push(("unreadable", unreadable));
        states
    }

    /// How full the store in shared data is, in percent. 100 if at least one bucket refuses new claims.
    /// Otherwise the records that must be kept, in percent of what the store sustains ([`capacity`]).
    #[must_use]
    pub fn fill_pct(&self) -> u64 {
        if self.full > 0 { 100 } else { capacity::fill_pct(self.kept, self.buckets) }
    }

    /// How much room the store in shared data has.
    #[must_use]
    pub fn room(&self) -> Room {
        match self.fill_pct() {
            100.. => Room::None,
            limits::STORE_NEARLY_FULL_PCT.. => Room::Little,
            _ => Room::Enough,
        }
    }

    /// Records in the fullest bucket, in percent of what a bucket may hold.
    #[must_use]
    pub fn bucket_fill_pct(&self) -> u64 {
        u64::from(self.records_max) * 100 / limits::BUCKET_RECORDS_MAX as u64
    }

    /// The listed payments whose key begins with `front`.
    pub fn find_front(&self, front: &KeyFront) -> impl Iterator<Item = &InDoubt> {
        self.oldest.iter().filter(|doubt| front.fits(&doubt.key))
    }

    const VERSION: u8 = 4;

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
        let resolved = self.resolved.unwrap_or(ResolvedCount { claims: 0, is_exact: true });
        bytes.push(match self.resolved {
            None => BUCKETS,
            Some(ResolvedCount { is_exact: true, .. }) => COUNTED,
            Some(ResolvedCount { is_exact: false, .. }) => ESTIMATED,
        });
        bytes.extend(resolved.claims.to_le_bytes());
        let LocalClaims { claims, in_doubt } = self.local.unwrap_or_default();
        bytes.push(u8::from(self.local.is_some()));
        bytes.extend(claims.to_le_bytes());
        bytes.extend(in_doubt.to_le_bytes());
        bytes.push(u8::try_from(self.at_risk.len()).unwrap_or(u8::MAX));
        for (currency, minor) in &self.at_risk {
            bytes.extend(currency);
            bytes.extend(minor.to_le_bytes());
        }
        self.oldest.iter().for_each(|doubt| doubt.encode(&mut bytes));
        bytes
    }

    /// Reads the stored form. `None` for bytes of another version: the next pass writes it anew.
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
        let (kind, claims) = (bytes.byte()?, bytes.long()?);
        let resolved = match kind {
            BUCKETS => None,
            COUNTED => Some(ResolvedCount { claims, is_exact: true }),
            ESTIMATED => Some(ResolvedCount { claims, is_exact: false }),
            _ => return None,
        };
        let has_local = bytes.byte()? != 0;
        let local = LocalClaims { claims: bytes.long()?, in_doubt: bytes.long()? };
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
            resolved,
            local: Some(local).filter(|_| has_local),
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

/// What was counted: buckets, or claims in etcd, the resolved ones each or by a part of them.
const BUCKETS: u8 = 0;
const COUNTED: u8 = 1;
const ESTIMATED: u8 = 2;

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

fn is_currency(letters: &[u8; 3]) -> bool {
    letters.iter().all(u8::is_ascii_uppercase)
}

#[cfg(test)]
pub(in crate::engine) mod tests;
