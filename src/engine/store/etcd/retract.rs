//! A claim of which nobody knows whether it was written, and that must never count.
//!
//! It may be written already, or be on its way in a member that stands still. So it is not enough to
//! look: something must change that the claim expects, so that a late copy comes to nothing. What
//! others have written meanwhile stays, and is such a change itself.

use super::call::{CallStep, RetriedCall};
use super::commit::Pending;
use super::known::{Known, Standing, compares, places};
use super::message::answer::TxnAnswer;
use super::message::{Compare, Op, RangeRequest, Txn};
use super::shared::EtcdStore;
use super::value::{Value, Writer, may_end};
use crate::engine::limits;
use crate::engine::payment::PaymentRef;
use crate::engine::store::backend::{BackendEvent, BackendRequest, RpcMethod};
use crate::engine::store::contract::{Key, Patience};
use crate::engine::store::record::Entry;
use crate::engine::time::{Millis, Timestamp};

/// A commit that is to come to nothing.
#[derive(Debug)]
pub(super) struct Retract {
    pending: Pending,
    /// What stood under the keys that it writes, as it was known.
    before: Vec<Known>,
    step: RetractStep,
}

#[derive(Debug)]
enum RetractStep {
    /// What it expects is changed if it still stands so; what it has written is taken back.
    Calling(RetriedCall),
    /// The store did not answer: once more in a while.
    Resting,
}

impl Retract {
    pub(super) fn new(pending: Pending, known: &[Known]) -> Self {
        let is_written =
            |one: &&Known| pending.writes.iter().any(|write| write.key == one.seen.key);
        let before = known.iter().filter(is_written).cloned().collect();
        Self { pending, before, step: RetractStep::Resting }
    }

    pub(super) fn begin(&mut self, store: &EtcdStore, now: Timestamp) -> BackendRequest {
        let message = self.change(store);
        let mut call = RetriedCall::new(RpcMethod::Txn, message, Patience::Long, now);
        let request = call.send(now);
        self.step = RetractStep::Calling(call);
        request
    }

    /// `None`: it is done.
    pub(super) fn told(
        &mut self,
        event: BackendEvent,
        store: &EtcdStore,
        now: Timestamp,
    ) -> Option<BackendRequest> {
        let step = match &mut self.step {
            RetractStep::Calling(call) => call.after(event, now),
            RetractStep::Resting => return Some(self.begin(store, now)),
        };
        match step {
            CallStep::Ask(request) => Some(request),
            CallStep::Failed(_) => Some(self.rest()),
            CallStep::Answered(message) => {
                let Some(answer) = TxnAnswer::decode(&message) else {
                    return Some(self.rest());
                };
                if answer.succeeded {
                    return None;
                }
                self.go_on(&answer, store, now)
            }
        }
    }

    fn rest(&mut self) -> BackendRequest {
        self.step = RetractStep::Resting;
        BackendRequest::Wait(Millis::new(limits::ETCD_PAUSE_MS))
    }

    /// Something else stands there than was expected: the claim itself, or what others have written.
    fn go_on(
        &mut self,
        answer: &TxnAnswer<'_>,
        store: &EtcdStore,
        now: Timestamp,
    ) -> Option<BackendRequest> {
        let keys: Vec<Key> = self.pending.writes.iter().map(|write| write.key).collect();
        let Some(found) = store.known_all(&keys, &answer.ranges, &self.pending.member, now) else {
            return Some(self.rest());
        };
        let mine: Vec<Known> =
            found.into_iter().filter(|one| one.writer == Some(self.pending.writer)).collect();
        if !mine.iter().any(|one| matches!(one.seen.key, Key::Payment(_))) {
            // Somebody else has written, so the claim comes to nothing or is over.
            return None;
        }
        let message = self.put_back(&mine, store);
        let mut call = RetriedCall::new(RpcMethod::Txn, message, Patience::Long, now);
        let request = call.send(now);
        self.step = RetractStep::Calling(call);
        Some(request)
    }

    /// The payment, which every claim writes.
    fn payment(&self) -> Option<PaymentRef> {
        self.pending.writes.iter().find_map(|write| match write.key {
            Key::Payment(payment) => Some(payment),
            Key::Alias(_) => None,
        })
    }

    /// What stood there, written anew; where nothing stood, that the claim was given back.
    fn restored(&self, payment: PaymentRef, writer: Writer) -> (Vec<u8>, bool) {
        let key = Key::Payment(payment);
        let before = self.before.iter().find(|one| one.seen.key == key);
        let before = before.filter(|one| !one.value.is_empty());
        match before {
            Some(one) => {
                let is_open = matches!(Standing::of(one.seen.version), Standing::Open(_));
                (one.value.clone(), is_open)
            }
            None => {
                let nothing = Value {
                    entry: Entry::Absent,
                    writer: Some(writer),
                    answer: Default::default(),
                };
                (nothing.encode(&payment.prefix()).unwrap_or_default(), !may_end(&Entry::Absent))
            }
        }
    }

    fn change(&self, store: &EtcdStore) -> Vec<u8> {
        let expected = places(&store.realm, self.pending.commit.expect.iter().map(|(key, _)| *key));
        let compare = compares(&self.pending.commit.expect, &expected);
        self.transaction(compare, store, &[])
    }

    fn put_back(&self, mine: &[Known], store: &EtcdStore) -> Vec<u8> {
        let expect: Vec<_> = mine.iter().map(|one| (one.seen.key, one.seen.version)).collect();
        let expected = places(&store.realm, expect.iter().map(|(key, _)| *key));
        let compare = compares(&expect, &expected);
        let aliases = mine.iter().filter(|one| matches!(one.seen.key, Key::Alias(_)));
        let bound = places(&store.realm, aliases.map(|one| one.seen.key));
        let bound: Vec<Vec<u8>> = bound.into_iter().flatten().collect();
        self.transaction(compare, store, &bound)
    }

    /// Writes what is restored, and takes out the aliases `bound`.
    fn transaction(
        &self,
        compare: Vec<Compare<'_>>,
        store: &EtcdStore,
        bound: &[Vec<u8>],
    ) -> Vec<u8> {
        let written = places(&store.realm, self.pending.writes.iter().map(|write| write.key));
        let read = |key: &'_ Vec<u8>| key.clone();
        let reads: Vec<Vec<u8>> = written.iter().flatten().map(read).collect();
        let failure = reads.iter().map(|key| Op::Range(RangeRequest::one(key))).collect();
        let Some(payment) = self.payment() else {
            // No claim is without its payment; if one is, nothing is changed.
            return Txn { compare, success: Vec::new(), failure }.encode();
        };
        let (value, is_open) = self.restored(payment, store.next_writer());
        let (open, settled) = (store.realm.open(payment), store.realm.settled(payment));
        let (to, other, lease) = if is_open {
            (&open, &settled, 0)
        } else {
            (&settled, &open, self.pending.member.claims_lease)
        };
        let mut success =
            vec![Op::Put { key: to, value: &value, lease }, Op::Delete { key: other }];
        success.extend(bound.iter().map(|key| Op::Delete { key }));
        Txn { compare, success, failure }.encode()
    }
}
