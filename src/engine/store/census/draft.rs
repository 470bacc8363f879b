//! A census under way: the records of one bucket or page after the other are counted.

use std::collections::BTreeMap;

use super::{Census, InDoubt, ResolvedCount, States, is_currency};
use crate::engine::limits;
use crate::engine::payment::{Claim, ClaimRules, ClaimState, KeyPrefix, Money};
use crate::engine::store::local::bucket::{Bucket, Retention};
use crate::engine::store::record::Entry;
use crate::engine::time::{Leaps, Millis, Timestamp};

/// By which rules records are counted.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Counts<'a> {
    pub(in crate::engine) rules: &'a ClaimRules,
    /// Time that the clock skipped. It makes nothing older.
    pub(in crate::engine) leaps: &'a Leaps,
    /// No operation is enforced.
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

    /// Counts the records of one bucket as they are at `now`. Returns how many there are. `retention`:
    /// how long a resolved claim is kept. Header keys and tokens are kept as long if room is short.
    pub(in crate::engine) fn count_bucket(
        &mut self,
        number: u32,
        bytes: Vec<u8>,
        retention: Millis,
        how: Counts<'_>,
        now: Timestamp,
    ) -> u32 {
        self.census.ended_at = now;
        self.census.buckets = self.census.buckets.saturating_add(1);
        let mut local = self.census.local.unwrap_or_default();
        let Some(bucket) = Bucket::decode(bytes) else {
            self.census.states.unreadable += 1;
            local.claims += 1;
            self.census.local = Some(local);
            return 0;
        };
        let retention = Retention { claims: retention, tokens: retention, leaps: how.leaps };
        let kept = bucket.kept(now, retention);
        self.census.kept += kept as u64;
        let in_doubt = self.census.states.in_doubt;
        self.census.full += u32::from(kept >= limits::BUCKET_RECORDS_MAX);
        let mut records = 0;
        for (key, entry) in bucket.entries() {
            records += 1;
            let before = self.unresolved();
            self.count(key, number, &entry, how, now);
            let is_unresolved = self.unresolved() > before;
            local.claims += u64::from(is_unresolved || is_kept(&entry, retention, now));
        }
        local.in_doubt += self.census.states.in_doubt - in_doubt;
        self.census.local = Some(local);
        self.census.records += u64::from(records);
        self.census.records_max = self.census.records_max.max(records);
        records
    }

    const fn unresolved(&self) -> u64 {
        let States { in_flight, in_doubt, unreadable, .. } = self.census.states;
        in_flight + in_doubt + unreadable
    }

    /// Counts one record as it is at `now`; one in etcd is in bucket 0.
    pub(in crate::engine) fn count(
        &mut self,
        key: KeyPrefix,
        bucket: u32,
        entry: &Entry,
        how: Counts<'_>,
        now: Timestamp,
    ) {
        self.census.ended_at = now;
        match entry {
            Entry::Claim(claim) => self.count_claim(key, bucket, claim, how, now),
            Entry::Absent | Entry::Alias(_) => {}
            Entry::Unreadable => self.census.states.unreadable += 1,
        }
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
                self.list(InDoubt {
                    key,
                    bucket,
                    candidates,
                    money: counts.money,
                    claimed_at: counts.incarnation.claimed_at,
                    ended_at,
                    repeat_until,
                    attempt: counts.attempt,
                    observed: claim.observed,
                });
            }
        }
    }

    /// Adds money in doubt to the sum of its currency. What has no amount, no valid currency, or a
    /// currency too many is only counted.
    fn sum(&mut self, money: Money) {
        let has_room = self.at_risk.len() < limits::CENSUS_CURRENCIES_MAX
            || self.at_risk.contains_key(&money.currency);
        if money.minor == 0 || !is_currency(&money.currency) || !has_room {
            self.census.unsummed += 1;
            return;
        }
        let sum = self.at_risk.entry(money.currency).or_default();
        *sum = sum.saturating_add(money.minor);
    }

    /// Adds what a walk over the buckets of this process has counted: payments of before the store in
    /// etcd was there. Their sums are as they were told.
    pub(in crate::engine) fn add(&mut self, local: &Census) -> u64 {
        let States { in_flight, in_doubt, settled, rejected, closed, unreadable } = local.states;
        let census = &mut self.census;
        census.local = local.local;
        census.began_at = census.began_at.min(local.began_at);
        census.states.in_flight += in_flight;
        census.states.in_doubt += in_doubt;
        census.states.unreadable += unreadable;
        census.unsummed += local.unsummed;
        for (currency, minor) in &local.at_risk {
            self.sum(Money { minor: *minor, currency: *currency });
        }
        for doubt in &local.oldest {
            self.list(*doubt);
        }
        settled + rejected + closed
    }

    fn list(&mut self, doubt: InDoubt) {
        self.oldest.insert((doubt.claimed_at, doubt.key), doubt);
        if self.oldest.len() > limits::IN_DOUBT_LISTED_MAX {
            self.oldest.pop_last();
        }
    }

    /// The census of a store in etcd, after all that is not resolved is counted.
    pub(in crate::engine) fn finish_with(
        mut self,
        resolved: ResolvedCount,
        now: Timestamp,
    ) -> Census {
        self.census.resolved = Some(resolved);
        self.census.ended_at = now;
        self.finish()
    }

    /// The census, after all buckets are counted.
    pub(in crate::engine) fn finish(self) -> Census {
        Census {
            at_risk: self.at_risk.into_iter().collect(),
            oldest: self.oldest.into_values().collect(),
            ..self.census
        }
    }
}

/// Whether it is a claim that was changed less than its retention ago.
fn is_kept(entry: &Entry, retention: Retention<'_>, now: Timestamp) -> bool {
    let Entry::Claim(Claim { changed_at, .. }) = entry else { return false };
    *changed_at > now || retention.leaps.passed(*changed_at, now) < retention.claims
}
