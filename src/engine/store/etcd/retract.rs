//! A claim of which nobody knows whether it was written, and that must never count.
//!
//! It may be written already, or be on its way in a member that stands still. So it is not enough to
//! look: something must change that the claim expects, so that a late copy comes to nothing. What
//! others have written meanwhile stays, and is such a change itself.

use super::commit::PendingCommit;
use super::known::{Known, RecordVersion};
use super::message::answer::TxnAnswer;
use super::message::{Op, TxnWriter};
use super::shared::EtcdStore;
use super::value::Value;
use crate::engine::payment::PaymentRef;
use crate::engine::store::contract::{Key, Version};
use crate::engine::store::record::Entry;
use crate::engine::time::Timestamp;

/// A commit that is to come to nothing.
#[derive(Debug)]
pub(super) struct Retract {
    pending: PendingCommit,
    payment: PaymentRef,
    /// What stood there, if anything did.
    before: Option<Known>,
}

impl Retract {
    /// `None`: it wrote no payment.
    pub(super) fn new(pending: PendingCommit, known: &[Known]) -> Option<Self> {
        let payment = pending.writes.iter().find_map(|write| match write.key {
            Key::Payment(payment) => Some(payment),
            Key::Alias(_) => None,
        })?;
        let before = known.iter().find(|one| one.seen.key == Key::Payment(payment));
        let before = before.filter(|one| !one.value.is_empty()).cloned();
        Some(Self { pending, payment, before })
    }

    /// What it expects of its payment is changed, if that still stands so. What else it expects is not
    /// enough: a header key that another payment has by now may be free again when the claim arrives.
    pub(super) fn change(&self, store: &EtcdStore) -> Vec<u8> {
        let of_payment = |(key, _): &&(Key, Version)| *key == Key::Payment(self.payment);
        let expect = self.pending.commit.expect.iter().filter(of_payment).copied();
        self.transaction(&Vec::from_iter(expect), &[], store)
    }

    /// What is to be sent after this answer: it was written, and what stood there is put back. `None`:
    /// it is done.
    pub(super) fn after(
        &self,
        answer: &TxnAnswer<'_>,
        store: &EtcdStore,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        if answer.succeeded {
            return None;
        }
        let keys: Vec<Key> = self.pending.writes.iter().map(|write| write.key).collect();
        let Some(mut found) = store.known_all(&keys, &answer.ranges, &self.pending.member, now)
        else {
            return Some(self.change(store));
        };
        found.retain(|one| one.writer == Some(self.pending.writer));
        if found.iter().all(|one| one.seen.key != Key::Payment(self.payment)) {
            // Somebody else has written, so the claim comes to nothing or is over.
            return None;
        }
        let expect: Vec<_> = found.iter().map(|one| (one.seen.key, one.seen.version)).collect();
        let aliases = found.iter().filter_map(|one| match one.seen.key {
            Key::Payment(_) => None,
            Key::Alias(alias) => Some(alias),
        });
        let aliases: Vec<PaymentRef> = aliases.collect();
        Some(self.transaction(&expect, &aliases, store))
    }

    /// What stood there, written anew; where nothing stood, that the claim was given back. With it go
    /// the header keys that the claim has bound.
    fn transaction(
        &self,
        expect: &[(Key, Version)],
        aliases: &[PaymentRef],
        store: &EtcdStore,
    ) -> Vec<u8> {
        let mut txn = TxnWriter::default();
        for (key, version) in expect {
            store.expect(&mut txn, *key, *version);
        }
        for write in &self.pending.writes {
            store.read(&mut txn, write.key, TxnWriter::if_not);
        }
        let released = || {
            let writer = Some(store.next_writer());
            let nothing = Value { entry: Entry::Absent, writer, answer: Default::default() };
            nothing.encode(&self.payment.prefix()).unwrap_or_default()
        };
        let is_open = self.before.as_ref().is_some_and(|before| {
            matches!(RecordVersion::of(before.seen.version), RecordVersion::Open(_))
        });
        let value = self.before.as_ref().map_or_else(released, |before| before.value.clone());
        let (open, settled) = (store.realm.open(self.payment), store.realm.settled(self.payment));
        // The one of its time may have ended.
        let lease = store.membership().map_or(0, |member| member.claims_lease);
        let (to, other, lease) =
            if is_open { (&open, &settled, 0) } else { (&settled, &open, lease) };
        txn.if_met(&Op::Put { key: to, value: &value, lease });
        txn.if_met(&Op::Delete { key: other });
        for alias in aliases {
            txn.if_met(&Op::Delete { key: &store.realm.alias(*alias) });
        }
        txn.into_bytes()
    }
}
