//! One request's dealings with the store in etcd. What is known of the gateways, and answers that are
//! kept for comfort, stay in this process.
//!
//! A question is one call, and a commit is one transaction. A new charge is not asked about first: it
//! is guessed that nothing is known of it ([`StoreRequest::Peek`]), and if that is wrong, the lost
//! transaction brings what is there. So a charge costs one round trip before it is sent.

use std::collections::VecDeque;
use std::rc::Rc;

use super::call::{CallError, CallRefusal, CallStep, RetriedCall};
use super::commit::{Answer, Pending};
use super::known::{Known, places};
use super::message::answer::TxnAnswer;
use super::message::{Op, RangeRequest, Txn};
use super::retract::Retract;
use super::shared::{EtcdStore, Membership};
use crate::engine::limits;
use crate::engine::machine::{Ticket, Tickets};
use crate::engine::payment::{ClaimKey, Incarnation};
use crate::engine::store::backend::{BackendEvent, BackendRequest, RpcMethod};
use crate::engine::store::contract::{
    Commit, Key, Patience, Seen, StoreError, StoreEvent, StoreRequest, Version,
};
use crate::engine::store::conversation::{Conversation, Outbox};
use crate::engine::store::kept_answer::KeptAnswer;
use crate::engine::store::local::session::Session;
use crate::engine::store::record::Entry;
use crate::engine::store::terms::Terms;
use crate::engine::time::{Millis, Timestamp};

/// One request's dealings with the store.
#[derive(Debug)]
pub struct EtcdSession {
    store: Rc<EtcdStore>,
    /// What stays in this process.
    local: Session,
    waiting: VecDeque<(Ticket, StoreRequest)>,
    /// The question that is under way, and its number.
    doing: Option<(Ticket, Doing)>,
    /// The call or the pause that was asked for last.
    asked: Tickets,
    known: Vec<Known>,
    /// The commit of which nobody knows whether it was written.
    unclear: Option<Pending>,
    /// The answer that is to be kept with its claim.
    answer: Option<Answer>,
}

/// What is under way.
#[derive(Debug)]
enum Doing {
    Reading { keys: Vec<Key>, all: Vec<Key>, member: Rc<Membership>, call: RetriedCall },
    Committing { pending: Box<Pending>, call: RetriedCall },
    Retracting(Box<Retract>),
    Pausing,
}

/// What comes next.
enum EtcdStep {
    /// The host is asked this for that.
    Ask(Doing, BackendRequest),
    /// The question is answered.
    Done(StoreEvent),
}

const UNAVAILABLE: StoreEvent = StoreEvent::Refused(StoreError::Unavailable);

impl EtcdSession {
    /// A request that has asked nothing yet.
    #[must_use]
    pub fn new(store: Rc<EtcdStore>) -> Self {
        Self {
            store,
            local: Session::default(),
            waiting: VecDeque::new(),
            doing: None,
            asked: Tickets::default(),
            known: Vec::new(),
            unclear: None,
            answer: None,
        }
    }

    fn step<E>(
        &mut self,
        ticket: Ticket,
        step: EtcdStep,
        outbox: &mut Outbox<BackendRequest, StoreEvent, E>,
    ) {
        match step {
            EtcdStep::Ask(doing, request) => {
                self.doing = Some((ticket, doing));
                outbox.ask(self.asked.open(), request);
            }
            EtcdStep::Done(event) => outbox.tell(ticket, event),
        }
    }

    /// Questions are answered one after the other.
    fn begin_next<E>(
        &mut self,
        now: Timestamp,
        outbox: &mut Outbox<BackendRequest, StoreEvent, E>,
    ) {
        while self.doing.is_none()
            && let Some((ticket, request)) = self.waiting.pop_front()
        {
            let step = self.begin(request, now);
            self.step(ticket, step, outbox);
        }
    }

    fn begin(&mut self, request: StoreRequest, now: Timestamp) -> EtcdStep {
        match request {
            StoreRequest::Read(keys) => self.read(keys.clone(), keys, now),
            StoreRequest::ReadMore(keys) => {
                // What was read before is looked at together with it, so all is of one moment.
                let before = self.known.iter().filter(|one| one.is_fresh).map(|one| one.seen.key);
                let more = keys.iter().copied();
                let all: Vec<Key> = before.filter(|key| !keys.contains(key)).chain(more).collect();
                self.forget_what_is_fresh();
                self.read(keys, all, now)
            }
            StoreRequest::Peek(keys) => self.peek(&keys),
            StoreRequest::Commit(commit) => self.commit(commit, now),
            StoreRequest::Retract => match self.unclear.take() {
                Some(pending) => {
                    let mut retract = Box::new(Retract::new(pending, &self.known));
                    let request = retract.begin(&self.store, now);
                    EtcdStep::Ask(Doing::Retracting(retract), request)
                }
                None => EtcdStep::Done(StoreEvent::Retracted),
            },
            StoreRequest::Pause => {
                let pause = BackendRequest::Wait(Millis::new(limits::ETCD_PAUSE_MS));
                EtcdStep::Ask(Doing::Pausing, pause)
            }
            StoreRequest::ReadHealth
            | StoreRequest::WriteHealth(..)
            | StoreRequest::FindAnswer(..)
            | StoreRequest::KeepAnswer(..) => EtcdStep::Done(UNAVAILABLE),
        }
    }

    /// Whatever a lost transaction has just brought need not be read again.
    fn read(&mut self, keys: Vec<Key>, all: Vec<Key>, now: Timestamp) -> EtcdStep {
        if let Some(seen) = self.fresh(&keys) {
            self.forget_what_is_fresh();
            return EtcdStep::Done(StoreEvent::Seen(seen));
        }
        let Some(member) = self.store.ready() else {
            return EtcdStep::Done(UNAVAILABLE);
        };
        let places = places(&self.store.realm, all.iter().copied());
        let success = places.iter().flatten().map(|key| Op::Range(RangeRequest::one(key)));
        let read = Txn { success: success.collect(), ..Txn::default() };
        let mut call = RetriedCall::new(RpcMethod::Txn, read.encode(), Patience::Long, now);
        let request = call.send(now);
        EtcdStep::Ask(Doing::Reading { keys, all, member, call }, request)
    }

    fn peek(&mut self, keys: &[Key]) -> EtcdStep {
        if self.store.ready().is_none() {
            return EtcdStep::Done(UNAVAILABLE);
        }
        if let Some(seen) = self.fresh(keys) {
            self.forget_what_is_fresh();
            return EtcdStep::Done(StoreEvent::Seen(seen));
        }
        let guess = |key: &Key| {
            let known = self.known.iter().find(|one| one.seen.key == *key);
            let absent = Seen { key: *key, entry: Entry::Absent, version: Version::default() };
            known.map_or(absent, |one| one.seen)
        };
        EtcdStep::Done(StoreEvent::Guessed(keys.iter().map(guess).collect()))
    }

    fn fresh(&self, keys: &[Key]) -> Option<Vec<Seen>> {
        let find = |key: &Key| self.known.iter().find(|one| one.seen.key == *key && one.is_fresh);
        keys.iter().map(|key| find(key).map(|one| one.seen)).collect()
    }

    fn forget_what_is_fresh(&mut self) {
        self.known.iter_mut().for_each(|one| one.is_fresh = false);
    }

    fn learn(&mut self, known: impl IntoIterator<Item = Known>) {
        for one in known {
            self.known.retain(|other| other.seen.key != one.seen.key);
            self.known.push(one);
        }
    }

    fn commit(&mut self, commit: Commit, now: Timestamp) -> EtcdStep {
        self.forget_what_is_fresh();
        let Some(member) = self.store.ready() else {
            return EtcdStep::Done(UNAVAILABLE);
        };
        let patience = commit.patience;
        let prepared = self.store.prepare(commit, member, &self.known, self.answer.as_ref());
        let Some(pending) = prepared.map(Box::new) else {
            return EtcdStep::Done(UNAVAILABLE);
        };
        let message = pending.message(&self.store);
        let mut call = RetriedCall::new(RpcMethod::Txn, message, patience, now);
        let request = call.send(now);
        EtcdStep::Ask(Doing::Committing { pending, call }, request)
    }

    fn go_on(&mut self, doing: Doing, event: BackendEvent, now: Timestamp) -> EtcdStep {
        match doing {
            Doing::Reading { keys, all, member, mut call } => match call.after(event, now) {
                CallStep::Ask(request) => {
                    EtcdStep::Ask(Doing::Reading { keys, all, member, call }, request)
                }
                CallStep::Answered(message) => match self.read_in(&message, &all, &member, now) {
                    Some(known) => {
                        self.learn(known);
                        let seen = self.fresh(&keys).unwrap_or_default();
                        EtcdStep::Done(StoreEvent::Seen(seen))
                    }
                    None => match call.unreadable(now) {
                        CallStep::Ask(request) => {
                            EtcdStep::Ask(Doing::Reading { keys, all, member, call }, request)
                        }
                        CallStep::Answered(_) | CallStep::Failed(_) => EtcdStep::Done(UNAVAILABLE),
                    },
                },
                CallStep::Failed(error) => {
                    self.note(error);
                    EtcdStep::Done(UNAVAILABLE)
                }
            },
            Doing::Committing { pending, mut call } => {
                let step = call.after(event, now);
                self.go_on_committing(pending, call, step, now)
            }
            Doing::Retracting(mut retract) => match retract.told(event, &self.store, now) {
                Some(request) => EtcdStep::Ask(Doing::Retracting(retract), request),
                None => EtcdStep::Done(StoreEvent::Retracted),
            },
            Doing::Pausing => EtcdStep::Done(StoreEvent::Resumed),
        }
    }

    fn go_on_committing(
        &mut self,
        pending: Box<Pending>,
        mut call: RetriedCall,
        step: CallStep,
        now: Timestamp,
    ) -> EtcdStep {
        match step {
            CallStep::Ask(request) => EtcdStep::Ask(Doing::Committing { pending, call }, request),
            CallStep::Answered(message) => {
                let outcome = TxnAnswer::decode(&message)
                    .and_then(|answer| pending.outcome(&answer, &self.store, now));
                let Some(outcome) = outcome else {
                    let step = call.unreadable(now);
                    return self.go_on_committing(pending, call, step, now);
                };
                self.learn(outcome.known);
                self.forget_unless_lost(&outcome.event);
                EtcdStep::Done(outcome.event)
            }
            CallStep::Failed(error) => {
                self.note(error);
                EtcdStep::Done(match error {
                    CallError::Unclear => {
                        self.unclear = Some(*pending);
                        StoreEvent::Unclear
                    }
                    CallError::Refused(_) => UNAVAILABLE,
                })
            }
        }
    }

    /// What a lost transaction has read answers the next question.
    fn forget_unless_lost(&mut self, event: &StoreEvent) {
        if *event != StoreEvent::Conflict {
            self.forget_what_is_fresh();
        }
    }

    fn note(&self, error: CallError) {
        match error {
            CallError::Unclear | CallError::Refused(CallRefusal::Unsent) => self.store.note_away(),
            CallError::Refused(CallRefusal::NoLease) => self.store.note_stale(),
            CallError::Refused(CallRefusal::Denied) => {}
        }
    }

    fn read_in(
        &self,
        message: &[u8],
        keys: &[Key],
        member: &Membership,
        now: Timestamp,
    ) -> Option<Vec<Known>> {
        let answer = TxnAnswer::decode(message)?;
        self.store.known_all(keys, &answer.ranges, member, now)
    }

    /// An answer that is kept with its claim comes with it.
    fn answer_here(&self, key: &ClaimKey, of: Incarnation) -> Option<KeptAnswer> {
        let key_of = Key::Payment(key.reference());
        let known = self.known.iter().find(|one| one.seen.key == key_of)?;
        KeptAnswer::find(known.answer(), key, of)
    }
}

impl Conversation for EtcdSession {
    type Ask = StoreRequest;
    type Told = StoreEvent;
    type Request = BackendRequest;
    type Event = BackendEvent;
    type Terms<'a> = Terms<'a>;

    fn ask<E>(
        &mut self,
        ticket: Ticket,
        ask: StoreRequest,
        terms: &Terms<'_>,
        outbox: &mut Outbox<BackendRequest, StoreEvent, E>,
    ) {
        match ask {
            StoreRequest::FindAnswer(key, of) => match self.answer_here(&key, of) {
                Some(answer) => outbox.tell(ticket, StoreEvent::Answer(Some(answer))),
                None => {
                    let find = StoreRequest::FindAnswer(key, of);
                    self.local.take_question(ticket, find, terms, outbox);
                }
            },
            StoreRequest::KeepAnswer(key, of, kept) if self.store.keeps(&kept) => {
                let bytes = kept.put(&[], &key, of);
                self.answer = Some(Answer { payment: key.reference(), of, bytes });
                outbox.tell(ticket, StoreEvent::AnswerKept);
            }
            StoreRequest::ReadHealth
            | StoreRequest::WriteHealth(..)
            | StoreRequest::KeepAnswer(..) => self.local.take_question(ticket, ask, terms, outbox),
            StoreRequest::Read(_)
            | StoreRequest::ReadMore(_)
            | StoreRequest::Peek(_)
            | StoreRequest::Commit(_)
            | StoreRequest::Retract
            | StoreRequest::Pause => {
                self.waiting.push_back((ticket, ask));
                self.begin_next(terms.now, outbox);
            }
        }
    }

    fn told<E>(
        &mut self,
        ticket: Ticket,
        event: BackendEvent,
        terms: &Terms<'_>,
        outbox: &mut Outbox<BackendRequest, StoreEvent, E>,
    ) {
        if let BackendEvent::Cell(event) = event {
            return self.local.take_cell(ticket, event, terms, outbox);
        }
        if !self.asked.close(ticket) {
            return;
        }
        if let Some((ticket, doing)) = self.doing.take() {
            let step = self.go_on(doing, event, terms.now);
            self.step(ticket, step, outbox);
        }
        self.begin_next(terms.now, outbox);
    }
}
