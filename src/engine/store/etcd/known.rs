//! What one request knows of records: what it has read, and what it has written.

use super::message::answer::RangeAnswer;
use super::message::{Compare, CompareTarget, Op, RangeRequest, TxnWriter};
use super::shared::{EtcdStore, Membership};
use super::value::{Value, Writer};
use crate::engine::limits;
use crate::engine::payment::{Claim, ClaimRules, ClaimState};
use crate::engine::store::contract::{Key, Seen, Version};
use crate::engine::store::record::Entry;
use crate::engine::time::{Millis, Timestamp};

/// A record as it was read or written last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) seen: Seen,
    /// The bytes that stand there.
    pub(super) value: Vec<u8>,
    pub(super) writer: Option<Writer>,
    /// It was read for the question that comes next.
    pub(super) is_fresh: bool,
}

/// Where a record stands, and since which revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordVersion {
    Absent,
    Open(u64),
    /// Resolved, or an alias.
    Settled(u64),
}

impl RecordVersion {
    pub(super) const fn version(self) -> Version {
        match self {
            Self::Absent => Version(0),
            Self::Open(revision) => Version(revision << 1),
            Self::Settled(revision) => Version(revision << 1 | 1),
        }
    }

    pub(super) const fn of(version: Version) -> Self {
        match (version.0 >> 1, version.0 & 1) {
            (0, _) => Self::Absent,
            (revision, 0) => Self::Open(revision),
            (revision, _) => Self::Settled(revision),
        }
    }
}

impl EtcdStore {
    /// Adds what must be so for a record to stand as it was read.
    pub(super) fn expect(&self, txn: &mut TxnWriter, key: Key, version: Version) {
        let absent = CompareTarget::CreateAbsent;
        let (open, settled) = match RecordVersion::of(version) {
            RecordVersion::Absent => (absent, absent),
            RecordVersion::Open(revision) => (CompareTarget::Mod(revision), absent),
            RecordVersion::Settled(revision) => (absent, CompareTarget::Mod(revision)),
        };
        match key {
            Key::Payment(payment) => {
                txn.compare(&Compare { key: &self.realm.open(payment), target: open });
                txn.compare(&Compare { key: &self.realm.settled(payment), target: settled });
            }
            Key::Alias(alias) => {
                txn.compare(&Compare { key: &self.realm.alias(alias), target: settled });
            }
        }
    }

    /// Adds what reads a record, wherever it stands.
    pub(super) fn read(&self, txn: &mut TxnWriter, key: Key, add: fn(&mut TxnWriter, &Op<'_>)) {
        let mut one = |key: &[u8]| add(txn, &Op::Range(RangeRequest::one(key)));
        match key {
            Key::Payment(payment) => {
                one(&self.realm.open(payment));
                one(&self.realm.settled(payment));
            }
            Key::Alias(alias) => one(&self.realm.alias(alias)),
        }
    }
}

/// How many keys a record may stand under.
const fn places_of(key: Key) -> usize {
    match key {
        Key::Payment(_) => 2,
        Key::Alias(_) => 1,
    }
}

impl Known {
    /// The answer that is kept with a claim, as a set of one; empty if there is none.
    pub(super) fn answer(&self) -> &[u8] {
        Value::decode(&self.value).answer
    }
}

impl EtcdStore {
    /// What stands under `keys`, by the ranges of their places in this order. `None`: the ranges are
    /// no answer to that.
    pub(super) fn known_all(
        &self,
        keys: &[Key],
        mut ranges: &[RangeAnswer<'_>],
        member: &Membership,
        now: Timestamp,
    ) -> Option<Vec<Known>> {
        let mut known = Vec::with_capacity(keys.len());
        for key in keys {
            let (own, rest) = ranges.split_at_checked(places_of(*key))?;
            known.push(self.known(*key, own, member, now)?);
            ranges = rest;
        }
        ranges.is_empty().then_some(known)
    }

    /// What stands under `key`, by the ranges of its places. `None`: they are no answer to that.
    #[inline(never)]
    fn known(
        &self,
        key: Key,
        places: &[RangeAnswer<'_>],
        member: &Membership,
        now: Timestamp,
    ) -> Option<Known> {
        let one = |range: &RangeAnswer<'_>| match range.kvs.as_slice() {
            [] => Some(None),
            [one] => Some(Some((one.mod_revision, one.value.to_vec()))),
            _ => None,
        };
        let (standing, value) = match (key, places) {
            (Key::Payment(_), [open, settled]) => match (one(open)?, one(settled)?) {
                (None, None) => (RecordVersion::Absent, Vec::new()),
                (Some((revision, value)), None) => (RecordVersion::Open(revision), value),
                (None, Some((revision, value))) => (RecordVersion::Settled(revision), value),
                // No transaction leaves both. Whoever did, the payment is not resolved.
                (Some((revision, _)), Some(_)) => (RecordVersion::Open(revision), Vec::new()),
            },
            (Key::Alias(_), [place]) => match one(place)? {
                None => (RecordVersion::Absent, Vec::new()),
                Some((revision, value)) => (RecordVersion::Settled(revision), value),
            },
            _ => return None,
        };
        let (entry, writer) = match standing {
            RecordVersion::Absent => (Entry::Absent, None),
            RecordVersion::Open(_) | RecordVersion::Settled(_) => {
                let read = Value::decode(&value);
                (self.entry(read, member, now), read.writer)
            }
        };
        let seen = Seen { key, entry, version: standing.version() };
        Some(Known { seen, value, writer, is_fresh: true })
    }

    /// A record as it counts in this process: its gateways by their places here, its times by this
    /// clock.
    pub(super) fn entry(&self, read: Value<'_>, member: &Membership, now: Timestamp) -> Entry {
        let Value { entry, writer, .. } = read;
        match entry {
            Entry::Claim(claim) => {
                let is_ours = writer.is_some_and(|writer| writer.life == self.life());
                let claim = claim.map_gateways(&|there| member.names.here(there));
                claim.map_or(Entry::Unreadable, |claim| self.by_this_clock(claim, is_ours, now))
            }
            Entry::Alias(alias) => {
                let alias = alias.map_gateway(&|there| member.names.here(there));
                alias.map_or(Entry::Unreadable, Entry::Alias)
            }
            Entry::Absent | Entry::Unreadable => entry,
        }
    }

    /// The same for an operator, where a payment does not understand it because of a clock that was far
    /// ahead: it counts as changed now. `None`: that is not why, or its times say nothing.
    pub(super) fn entry_from_ahead(
        &self,
        read: Value<'_>,
        member: &Membership,
        now: Timestamp,
        rules: &ClaimRules,
    ) -> Option<FromAhead> {
        let Entry::Claim(claim) = read.entry else {
            return None;
        };
        let claim = claim.map_gateways(&|there| member.names.here(there))?;
        if claim.changed_at <= now.plus(self.terms.clock_skew) {
            return Some(FromAhead::Later(self.later(claim)));
        }
        // Whose clock is wrong, nobody knows: what is live for others may look so to an Envoy that is
        // behind. So nearer ones are waited for.
        if claim.changed_at <= now.plus(Millis::new(limits::ETCD_AHEAD_MENDED_MS_MIN)) {
            return None;
        }
        let mended = claim.changed_anew(now, rules);
        Some(if claim.is_resolved() { FromAhead::Later(mended) } else { FromAhead::Now(mended) })
    }

    /// Another Envoy's clock may be ahead: its leases end later here, so that nobody takes for over
    /// what it still sends. One that is further ahead than clocks may differ is not understood. One that
    /// was claimed by such a clock stays so until it is resolved: nobody knows how old it is, so nobody
    /// may send it again.
    #[inline(never)]
    fn by_this_clock(&self, claim: Claim, is_ours: bool, now: Timestamp) -> Entry {
        if is_ours {
            return Entry::Claim(claim);
        }
        let most = now.plus(self.terms.clock_skew);
        let is_ageless = !claim.is_resolved() && claim.incarnation.claimed_at > most;
        if claim.changed_at > most || is_ageless {
            self.note_ahead();
            return Entry::Unreadable;
        }
        Entry::Claim(self.later(claim))
    }

    fn later(&self, mut claim: Claim) -> Claim {
        let skew = self.terms.clock_skew;
        let later = |until: &mut Timestamp, by: Millis| *until = until.plus(by);
        match &mut claim.state {
            ClaimState::InFlight { until, .. } => later(until, skew),
            ClaimState::InDoubt { ended_at, repeat_until, not_found, .. } => {
                repeat_until.iter_mut().for_each(|until| later(until, skew));
                later(ended_at, skew);
                not_found.iter_mut().for_each(|(_, at)| later(at, skew));
            }
            ClaimState::Settled { repeat_until, .. } => {
                repeat_until.iter_mut().for_each(|until| later(until, skew));
            }
            ClaimState::Rejected { .. } | ClaimState::Closed { .. } => {}
        }
        claim
    }
}

/// A record that was written by a clock far ahead, as an operator reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FromAhead {
    /// As it stands.
    Later(Claim),
    /// Changed now. It must be written, or its waits begin anew whenever it is read.
    Now(Claim),
}
