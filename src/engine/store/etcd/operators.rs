//! An operator's dealings with the store in etcd. What this process knows of itself stays in shared
//! data: the layout, the health of the gateways, the last census, how its workers stand with etcd.
//!
//! ```text
//! Find:    one transaction reads the realm's layout and all keys that begin so
//! Replace: a lease -> one transaction, which compares the layout and the record as they were read
//! ```
//!
//! A record that was written by a clock far ahead is understood by nobody, and may have no lease. Here it
//! counts as changed now, and is written so when it is found: its waits begin, and then it can be ended.
//!
//! Keys in etcd are in the order of their digits, so any front of one leads to its record: it need not be
//! listed. The listener of operators joins no realm and never writes its layout. What is not there may be
//! in shared data, where payments of before stay until they have ended.

use std::rc::Rc;

use super::call::{CallError, CallStep, RetriedCall};
use super::commit::PendingCommit;
use super::known::{FromAhead, Known};
use super::message::answer::{KeyValue, LeaseAnswer, RangeAnswer, TxnAnswer};
use super::message::{LeaseGrant, Op, RangeRequest, TxnWriter};
use super::names::Names;
use super::shared::{EtcdStore, Membership};
use super::value::Value;
use crate::engine::limits;
use crate::engine::machine::{Ticket, Tickets};
use crate::engine::payment::{Claim, KeyFront, KeyPrefix, PaymentRef};
use crate::engine::store::backend::{BackendEvent, BackendRequest, RpcMethod};
use crate::engine::store::contract::{Commit, Key, Patience, StoreEvent};
use crate::engine::store::conversation::{Conversation, Outbox};
use crate::engine::store::layout::Layout;
use crate::engine::store::local::lookup::{OperatorSession, OperatorTerms};
use crate::engine::store::operators::{Found, OperatorEvent, OperatorRequest};
use crate::engine::store::record::Entry;
use crate::engine::time::{Millis, Timestamp};

/// One operator's request and the store. It asks one thing at a time.
#[derive(Debug)]
pub struct EtcdOperatorSession {
    store: Rc<EtcdStore>,
    /// How long a resolved claim is kept.
    retention: Millis,
    /// What stays in this process.
    local: OperatorSession,
    under_way: Option<(Ticket, OperatorWork, RetriedCall)>,
    asked: Tickets,
    /// What was found in etcd, and the realm as it was then.
    found: Option<(Vec<Known>, Membership)>,
}

/// What a call is for.
#[derive(Debug)]
enum OperatorWork {
    Finding(KeyFront),
    /// A lease, with which this record is to end once it is this claim.
    Leasing(Box<(Known, Claim)>, Membership),
    Writing(Box<PendingCommit>),
    /// What was found counts as changed now.
    Mending(Box<PendingCommit>, Membership),
}

/// What follows from an answer.
enum OperatorStep {
    Send(OperatorWork, RpcMethod, Vec<u8>),
    Done(OperatorEvent),
    /// This is asked of shared data.
    Local(OperatorRequest),
    /// It is no answer.
    Unreadable(OperatorWork),
}

impl EtcdOperatorSession {
    /// A request that has asked nothing yet.
    #[must_use]
    pub fn new(store: Rc<EtcdStore>, retention: Millis) -> Self {
        let (local, asked) = (OperatorSession::default(), Tickets::default());
        let retention = retention.max(Millis::new(limits::ETCD_RESOLUTION_MS_MIN));
        Self { store, retention, local, under_way: None, asked, found: None }
    }

    fn find(&self, front: &KeyFront) -> OperatorStep {
        let layout = self.store.realm.layout();
        let mut read = TxnWriter::default();
        read.if_met(&Op::Range(RangeRequest::one(&layout)));
        for (key, range_end) in &self.store.realm.begun_with(front.bytes()) {
            // Two of them are several.
            let range = RangeRequest { key, range_end, limit: 2, ..RangeRequest::default() };
            read.if_met(&Op::Range(range));
        }
        OperatorStep::Send(OperatorWork::Finding(*front), RpcMethod::Txn, read.into_bytes())
    }

    /// Whether payments of before may stand in shared data.
    fn may_be_local(&self) -> bool {
        self.local.layout().is_some_and(Layout::may_hold_claims)
    }

    /// What was found. `None`: it is no answer to that.
    fn found(&mut self, answer: &TxnAnswer<'_>, terms: &OperatorTerms<'_>) -> Option<OperatorStep> {
        let told = |found| Some(OperatorStep::Done(OperatorEvent::Found(found)));
        let [layout, open, settled] = answer.ranges.as_slice() else {
            return None;
        };
        let Some(there) = layout.kvs.first() else {
            return told(Found::NotJoined);
        };
        let Ok(realm) = Layout::decode(there.value) else {
            return told(Found::Unreadable);
        };
        let names = self.local.layout().map(|here| names(here, &realm)).unwrap_or_default();
        let member = Membership { fence: there.mod_revision, names, ..Membership::default() };
        let mut payments: Vec<PaymentRef> = Vec::new();
        for kv in open.kvs.iter().chain(&settled.kvs) {
            let Some(payment) = self.store.realm.payment(kv.key) else {
                return told(Found::Unreadable);
            };
            if !payments.contains(&payment) {
                payments.push(payment);
            }
        }
        let places = payments.iter().flat_map(|payment| {
            [open, settled].map(|range| {
                let kvs = self.only(range, *payment);
                RangeAnswer { kvs, ..RangeAnswer::default() }
            })
        });
        let places: Vec<RangeAnswer<'_>> = places.collect();
        let keys: Vec<Key> = payments.iter().map(|payment| Key::Payment(*payment)).collect();
        let mut known = self.store.known_all(&keys, &places, &member, terms.now)?;
        let mended = self.mend(&mut known, &member, terms);
        Some(match mended {
            Some(mended) => self
                .write(mended, &member, |pending| OperatorWork::Mending(pending, member.clone())),
            None => self.tell(known, member),
        })
    }

    /// Reads what was written by clocks far ahead. Gives back the record, if it is the only one, that is to
    /// be written as it counts now.
    fn mend(
        &self,
        known: &mut [Known],
        member: &Membership,
        terms: &OperatorTerms<'_>,
    ) -> Option<(Known, Claim)> {
        let mut mended = None;
        let is_sole = known.len() == 1;
        for one in known.iter_mut().filter(|one| one.seen.entry == Entry::Unreadable) {
            let read = Value::decode(&one.value);
            match self.store.entry_from_ahead(read, member, terms.now, terms.rules?) {
                Some(FromAhead::Later(claim)) => one.seen.entry = Entry::Claim(claim),
                Some(FromAhead::Now(claim)) => {
                    one.seen.entry = Entry::Claim(claim);
                    mended = is_sole.then(|| (one.clone(), claim));
                }
                None => {}
            }
        }
        mended
    }

    fn tell(&mut self, known: Vec<Known>, member: Membership) -> OperatorStep {
        let records = known.iter().map(|one| (one.seen.key.reference().prefix(), one.seen.entry));
        let records = Found::Records(records.collect());
        self.found = Some((known, member)).filter(|(known, _)| !known.is_empty());
        OperatorStep::Done(OperatorEvent::Found(records))
    }

    fn only<'m>(&self, range: &RangeAnswer<'m>, payment: PaymentRef) -> Vec<KeyValue<'m>> {
        let is_it = |kv: &&KeyValue<'_>| self.store.realm.payment(kv.key) == Some(payment);
        range.kvs.iter().filter(is_it).copied().collect()
    }

    fn replace(&mut self, key: KeyPrefix, claim: Claim) -> OperatorStep {
        let Some((known, member)) = self.found.take() else {
            return OperatorStep::Local(OperatorRequest::Replace(key, Box::new(claim)));
        };
        let is_it = |one: &Known| one.seen.key.reference().prefix() == key;
        match known.into_iter().find(is_it) {
            Some(known) => {
                let work = OperatorWork::Leasing(Box::new((known, claim)), member);
                let lease = LeaseGrant::outlasting(self.retention).encode();
                OperatorStep::Send(work, RpcMethod::LeaseGrant, lease)
            }
            None => OperatorStep::Done(OperatorEvent::Failed),
        }
    }

    /// Writes what the record is to be.
    fn write(
        &self,
        (known, claim): (Known, Claim),
        member: &Membership,
        work: impl FnOnce(Box<PendingCommit>) -> OperatorWork,
    ) -> OperatorStep {
        let key = known.seen.key;
        let commit = Commit {
            expect: vec![(key, known.seen.version)],
            put: vec![(key, Entry::Claim(claim))],
            patience: Patience::Long,
        };
        let member = Rc::new(member.clone());
        let Some(pending) = self.store.prepare(commit, member, &[known], None) else {
            return OperatorStep::Done(OperatorEvent::Unavailable);
        };
        let message = pending.message(&self.store);
        OperatorStep::Send(work(Box::new(pending)), RpcMethod::Txn, message)
    }

    fn answered(
        &mut self,
        work: OperatorWork,
        message: &[u8],
        terms: &OperatorTerms<'_>,
    ) -> OperatorStep {
        match work {
            OperatorWork::Finding(front) => {
                let answer = TxnAnswer::decode(message);
                match answer.and_then(|answer| self.found(&answer, terms)) {
                    Some(OperatorStep::Done(OperatorEvent::Found(Found::Records(found))))
                        if found.is_empty() && self.may_be_local() =>
                    {
                        OperatorStep::Local(OperatorRequest::Find(front))
                    }
                    Some(step) => step,
                    None => OperatorStep::Unreadable(work),
                }
            }
            OperatorWork::Leasing(one, member) => match LeaseAnswer::decode(message) {
                Some(lease) => {
                    let member = Membership { claims_lease: lease.id, ..member };
                    self.write(*one, &member, OperatorWork::Writing)
                }
                None => OperatorStep::Unreadable(OperatorWork::Leasing(one, member)),
            },
            OperatorWork::Writing(pending) => match self.written(&pending, message, terms.now) {
                // The record or the layout is another one: both are read again.
                Some(Err(conflict)) => conflict,
                Some(Ok(_)) => OperatorStep::Done(OperatorEvent::Written),
                None => OperatorStep::Unreadable(OperatorWork::Writing(pending)),
            },
            OperatorWork::Mending(pending, member) => {
                match self.written(&pending, message, terms.now) {
                    Some(Err(conflict)) => conflict,
                    Some(Ok(known)) => self.tell(known, member),
                    None => OperatorStep::Unreadable(OperatorWork::Mending(pending, member)),
                }
            }
        }
    }

    /// What stands there once it is written, or that it is not. `None`: it is no answer to that.
    fn written(
        &self,
        pending: &PendingCommit,
        message: &[u8],
        now: Timestamp,
    ) -> Option<Result<Vec<Known>, OperatorStep>> {
        let outcome = pending.outcome(&TxnAnswer::decode(message)?, &self.store, now)?;
        let is_written = outcome.event == StoreEvent::Committed;
        let conflict = OperatorStep::Done(OperatorEvent::Conflict);
        Some(if is_written { Ok(outcome.known) } else { Err(conflict) })
    }

    fn step<E>(
        &mut self,
        ticket: Ticket,
        step: OperatorStep,
        now: Timestamp,
        outbox: &mut Outbox<BackendRequest, OperatorEvent, E>,
    ) {
        match step {
            OperatorStep::Send(work, method, message) => {
                let mut call = RetriedCall::new(method, message, Patience::Long, now);
                let request = call.send(now);
                self.under_way = Some((ticket, work, call));
                outbox.ask(self.asked.open(), request);
            }
            OperatorStep::Done(event) => outbox.tell(ticket, event),
            OperatorStep::Local(request) => self.local.take_question(ticket, request, outbox),
            OperatorStep::Unreadable(_) => outbox.tell(ticket, OperatorEvent::Failed),
        }
    }

    /// Takes in what became of a call, or the end of a pause.
    fn go_on<E>(
        &mut self,
        (ticket, mut work, mut call): (Ticket, OperatorWork, RetriedCall),
        event: BackendEvent,
        terms: &OperatorTerms<'_>,
        outbox: &mut Outbox<BackendRequest, OperatorEvent, E>,
    ) {
        let now = terms.now;
        let mut next = call.after(event, now);
        loop {
            let step = match next {
                CallStep::Ask(request) => {
                    self.under_way = Some((ticket, work, call));
                    return outbox.ask(self.asked.open(), request);
                }
                CallStep::Answered(message) => self.answered(work, &message, terms),
                CallStep::Failed(error) => OperatorStep::Done(failed(&work, error)),
            };
            let OperatorStep::Unreadable(same) = step else {
                return self.step(ticket, step, now, outbox);
            };
            work = same;
            next = call.unreadable(now);
        }
    }
}

/// Whether anything may have been changed by a call that has failed.
const fn failed(work: &OperatorWork, error: CallError) -> OperatorEvent {
    match (work, error) {
        (OperatorWork::Writing(_), CallError::Unclear) => OperatorEvent::Failed,
        (_, CallError::Unclear | CallError::Refused(_)) => OperatorEvent::Unavailable,
    }
}

/// Gateways by their names, which are the same everywhere.
fn names(here: &Layout, there: &Layout) -> Names {
    let pairs = here.gateways().iter().filter_map(|gateway| {
        let name = here.name(gateway)?;
        there.find(name).map(|there| (gateway, there))
    });
    Names::new(pairs.collect())
}

impl Conversation for EtcdOperatorSession {
    type Ask = OperatorRequest;
    type Told = OperatorEvent;
    type Request = BackendRequest;
    type Event = BackendEvent;
    type Terms<'a> = OperatorTerms<'a>;

    fn ask<E>(
        &mut self,
        ticket: Ticket,
        ask: OperatorRequest,
        terms: &OperatorTerms<'_>,
        outbox: &mut Outbox<BackendRequest, OperatorEvent, E>,
    ) {
        let step = match ask {
            OperatorRequest::Find(front) => self.find(&front),
            OperatorRequest::Replace(key, claim) => self.replace(key, *claim),
            OperatorRequest::Layout
            | OperatorRequest::Health
            | OperatorRequest::Census
            | OperatorRequest::Links
            | OperatorRequest::Heads
            | OperatorRequest::WriteHealth(..) => {
                return self.local.take_question(ticket, ask, outbox);
            }
        };
        self.step(ticket, step, terms.now, outbox);
    }

    fn told<E>(
        &mut self,
        ticket: Ticket,
        event: BackendEvent,
        terms: &OperatorTerms<'_>,
        outbox: &mut Outbox<BackendRequest, OperatorEvent, E>,
    ) {
        if let BackendEvent::Cell(event) = event {
            return self.local.take_cell(ticket, event, terms, outbox);
        }
        if self.asked.close(ticket)
            && let Some(one) = self.under_way.take()
        {
            self.go_on(one, event, terms, outbox);
        }
    }
}

#[cfg(test)]
mod tests;
