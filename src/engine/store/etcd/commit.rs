//! One commit as a transaction: what it compares, what it writes, and what it reads if it is lost.

use super::known::{Known, RecordVersion};
use super::message::answer::TxnAnswer;
use super::message::{Compare, CompareTarget, Op, RangeRequest, TxnWriter};
use super::shared::{EtcdStore, Membership};
use super::value::{Value, Writer, may_end};
use crate::engine::payment::{Claim, Incarnation, PaymentRef};
use crate::engine::store::alias::{Alias, AliasTarget};
use crate::engine::store::contract::{Commit, Key, Seen, StoreError, StoreEvent, Version};
use crate::engine::store::record::Entry;
use crate::engine::time::Timestamp;

use std::rc::Rc;

/// A commit that is being written.
#[derive(Debug)]
pub(super) struct PendingCommit {
    pub(super) commit: Commit,
    pub(super) writer: Writer,
    pub(super) member: Rc<Membership>,
    /// What is to stand under each key that is written.
    pub(super) writes: Vec<RecordWrite>,
}

/// What is to stand under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordWrite {
    pub(super) key: Key,
    pub(super) entry: Entry,
    /// `None`: nothing.
    value: Option<Vec<u8>>,
    lease: u64,
}

/// The answer to a payment that is kept with its claim.
#[derive(Clone, Debug)]
pub(super) struct SharedAnswer {
    pub(super) payment: PaymentRef,
    pub(super) of: Incarnation,
    pub(super) bytes: Vec<u8>,
}

impl EtcdStore {
    /// `None`: it names what cannot be written.
    pub(super) fn prepare(
        &self,
        mut commit: Commit,
        member: Rc<Membership>,
        known: &[Known],
        answer: Option<&SharedAnswer>,
    ) -> Option<PendingCommit> {
        let writer = self.next_writer();
        let mut writes = Vec::with_capacity(commit.put.len() + 1);
        for (key, entry) in &commit.put {
            writes.push(write(*key, entry, writer, &member, known, answer)?);
        }
        for (key, version, alias) in renewed(&commit, known) {
            if commit.expect.iter().all(|(expected, _)| *expected != key) {
                commit.expect.push((key, version));
            }
            writes.push(write(key, &Entry::Alias(alias), writer, &member, known, None)?);
        }
        Some(PendingCommit { commit, writer, member, writes })
    }
}

/// What is to stand under `key`.
fn write(
    key: Key,
    entry: &Entry,
    writer: Writer,
    member: &Membership,
    known: &[Known],
    answer: Option<&SharedAnswer>,
) -> Option<RecordWrite> {
    let there = |gateway| member.names.there(gateway);
    let before = known.iter().find(|one| one.seen.key == key);
    let prefix = key.reference().prefix();
    let encode = |entry, answer| Value { entry, writer: Some(writer), answer }.encode(&prefix);
    let (value, lease) = match (key, entry) {
        (Key::Payment(payment), Entry::Claim(claim)) => {
            let claim = not_before(*claim, before);
            let kept =
                answer.filter(|kept| kept.payment == payment && kept.of == claim.incarnation);
            let kept = kept.map(|kept| kept.bytes.as_slice());
            let kept = kept.or_else(|| answer_of(before?, claim.incarnation)).unwrap_or_default();
            let resolved = claim.is_resolved();
            let lease = if resolved { member.claims_lease } else { 0 };
            let kept = if resolved { kept } else { Default::default() };
            (Some(encode(Entry::Claim(claim.map_gateways(&there)?), kept)?), lease)
        }
        (Key::Payment(_), Entry::Absent) => {
            (Some(encode(Entry::Absent, Default::default())?), member.claims_lease)
        }
        (Key::Alias(_), Entry::Alias(alias)) => {
            // Whoever has claimed its payment may be gone before that is resolved. Then nobody knows
            // of it who could end it.
            let lease = match alias.to {
                AliasTarget::Gateway(_) => member.tokens_lease,
                AliasTarget::Payment(_) | AliasTarget::Application(_) => member.claims_lease,
            };
            let alias = alias.map_gateway(&there)?;
            (Some(encode(Entry::Alias(alias), Default::default())?), lease)
        }
        (Key::Alias(_), Entry::Absent) => (None, 0),
        (Key::Payment(_), Entry::Alias(_) | Entry::Unreadable)
        | (Key::Alias(_), Entry::Claim(_) | Entry::Unreadable) => return None,
    };
    Some(RecordWrite { key, entry: *entry, value, lease })
}

/// A record never becomes younger: the clock of whoever wrote it before may be ahead of this one.
fn not_before(claim: Claim, before: Option<&Known>) -> Claim {
    let changed_at = match before.map(|one| one.seen.entry) {
        Some(Entry::Claim(before)) => claim.changed_at.max(before.changed_at),
        Some(Entry::Absent | Entry::Alias(_) | Entry::Unreadable) | None => claim.changed_at,
    };
    Claim { changed_at, ..claim }
}

/// The answer that is kept with a claim, if it is the answer to this one.
fn answer_of(before: &Known, of: Incarnation) -> Option<&[u8]> {
    let value = Value::decode(&before.value);
    match value.entry {
        Entry::Claim(claim) if claim.incarnation == of => Some(value.answer),
        Entry::Claim(_) | Entry::Absent | Entry::Alias(_) | Entry::Unreadable => None,
    }
}

/// The header keys that lead to a payment which is resolved now: they end when its record does, and
/// not when they would have ended.
fn renewed(commit: &Commit, known: &[Known]) -> Vec<(Key, Version, Alias)> {
    let is_resolved = |payment: PaymentRef| {
        commit.put.iter().any(|(key, entry)| match entry {
            Entry::Claim(claim) => *key == Key::Payment(payment) && claim.is_resolved(),
            Entry::Absent | Entry::Alias(_) | Entry::Unreadable => false,
        })
    };
    let aliases = known.iter().filter_map(|one| match one.seen.entry {
        Entry::Alias(alias @ Alias { to: AliasTarget::Payment(payment), .. })
            if is_resolved(payment) =>
        {
            Some((one.seen.key, one.seen.version, alias))
        }
        Entry::Absent | Entry::Claim(_) | Entry::Alias(_) | Entry::Unreadable => None,
    });
    aliases.filter(|(key, ..)| commit.put.iter().all(|(put, _)| put != key)).collect()
}

/// What became of a commit.
pub(super) struct CommitOutcome {
    pub(super) event: StoreEvent,
    /// What is known of the records now.
    pub(super) known: Vec<Known>,
}

impl PendingCommit {
    /// What an answer to the transaction means; `None` if it is no answer to it.
    pub(super) fn outcome(
        &self,
        answer: &TxnAnswer<'_>,
        store: &EtcdStore,
        now: Timestamp,
    ) -> Option<CommitOutcome> {
        if answer.succeeded {
            let known = self.writes.iter().map(|write| write.known(answer.revision, self.writer));
            return Some(CommitOutcome { event: StoreEvent::Committed, known: known.collect() });
        }
        let (layout, records) = answer.ranges.split_first()?;
        let expected: Vec<Key> = self.commit.expect.iter().map(|(key, _)| *key).collect();
        let known = store.known_all(&expected, records, &self.member, now)?;
        // An earlier try was carried out, and its answer was lost.
        if self.stands(&known) {
            return Some(CommitOutcome { event: StoreEvent::Committed, known });
        }
        if layout.kvs.first().is_none_or(|layout| layout.mod_revision != self.member.fence) {
            store.note_stale();
            let event = StoreEvent::Refused(StoreError::Unavailable);
            return Some(CommitOutcome { event, known: Vec::new() });
        }
        Some(CommitOutcome { event: StoreEvent::Conflict, known })
    }

    /// Whether what it has written stands. Where that is a payment, its header key says nothing: somebody
    /// else may have moved the payment on since, and left the key alone.
    fn stands(&self, known: &[Known]) -> bool {
        let is_payment = |key: Key| matches!(key, Key::Payment(_));
        let writes_payment = self.writes.iter().any(|write| is_payment(write.key));
        let written = self.writes.iter().filter(|write| !writes_payment || is_payment(write.key));
        let mut own = written.map(|write| {
            let found = known.iter().find(|one| one.seen.key == write.key);
            found.is_some_and(|one| one.writer == Some(self.writer))
        });
        if writes_payment { own.all(|is_own| is_own) } else { own.any(|is_own| is_own) }
    }

    /// The transaction, serialised.
    pub(super) fn message(&self, store: &EtcdStore) -> Vec<u8> {
        let layout = store.realm.layout();
        let mut txn = TxnWriter::default();
        txn.compare(&Compare { key: &layout, target: CompareTarget::Mod(self.member.fence) });
        txn.if_not(&Op::Range(RangeRequest::one(&layout)));
        for (key, version) in &self.commit.expect {
            store.expect(&mut txn, *key, *version);
            store.read(&mut txn, *key, TxnWriter::if_not);
        }
        for write in &self.writes {
            write.add_to(&mut txn, store);
        }
        txn.into_bytes()
    }
}

impl RecordWrite {
    /// A payment stands in one place alone.
    fn add_to(&self, txn: &mut TxnWriter, store: &EtcdStore) {
        let (to, other) = match self.key {
            Key::Payment(payment) if may_end(&self.entry) => {
                (store.realm.settled(payment), Some(store.realm.open(payment)))
            }
            Key::Payment(payment) => {
                (store.realm.open(payment), Some(store.realm.settled(payment)))
            }
            Key::Alias(alias) => (store.realm.alias(alias), None),
        };
        match &self.value {
            Some(value) => txn.if_met(&Op::Put { key: &to, value, lease: self.lease }),
            None => txn.if_met(&Op::Delete { key: &to }),
        }
        if let Some(key) = &other {
            txn.if_met(&Op::Delete { key });
        }
    }

    /// What is known of it once it is written.
    pub(super) fn known(&self, revision: u64, writer: Writer) -> Known {
        let standing = match (&self.value, self.key, &self.entry) {
            (None, ..) => RecordVersion::Absent,
            (Some(_), Key::Payment(_), entry) if !may_end(entry) => RecordVersion::Open(revision),
            (Some(_), ..) => RecordVersion::Settled(revision),
        };
        let seen = Seen { key: self.key, entry: self.entry, version: standing.version() };
        let value = self.value.clone().unwrap_or_default();
        Known { seen, value, writer: Some(writer), is_fresh: true }
    }
}
