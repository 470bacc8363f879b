//! One request's dealings with the store in etcd. What is known of the gateways, and answers that are
//! kept for comfort, stay in this process.
//!
//! A question is one call, and a commit is one transaction. A new charge is not asked about first: it
//! is guessed that nothing is known of it ([`StoreRequest::Peek`]), and if that is wrong, the lost
//! transaction brings what is there. So a charge costs one round trip before it is sent.

mod memory;
mod moving;
mod work;

use std::collections::VecDeque;
use std::rc::Rc;

use super::call::{CallError, CallRefusal, CallStep, RetriedCall};
use work::{EtcdStep, EtcdWork, InProgress};

use super::commit::{PendingCommit, SharedAnswer};
use super::drain::{Drain, Home};
use super::known::Known;
use super::message::TxnWriter;
use super::message::answer::TxnAnswer;
use super::retract::Retract;
use super::shared::EtcdStore;
use crate::engine::limits;
use crate::engine::machine::{Ticket, Tickets};
use crate::engine::store::backend::{BackendEvent, BackendRequest, RpcMethod};
use crate::engine::store::contract::{
    Commit, Key, Patience, Seen, StoreError, StoreEvent, StoreRequest, Version,
};
use crate::engine::store::conversation::{Conversation, Outbox};
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
    under_way: Option<InProgress>,
    /// The call or the pause that was asked for last.
    asked: Tickets,
    /// The store's revision that was known when it was sent.
    since: u64,
    known: Vec<Known>,
    /// The first commit of which nobody knows whether it was written.
    unclear: Option<PendingCommit>,
    /// What shared data knows, while payments move from there to etcd.
    drain: Option<Drain>,
    /// The question that waits for what shared data says, and its number.
    looking: Option<(Ticket, StoreRequest)>,
    /// The answer that is to be kept with its claim.
    answer: Option<SharedAnswer>,
}

const UNAVAILABLE: StoreEvent = StoreEvent::Refused(StoreError::Unavailable);

impl EtcdSession {
    /// A request that has asked nothing yet.
    #[must_use]
    pub fn new(store: Rc<EtcdStore>) -> Self {
        let drain = store.terms.drains_local.then(Drain::default);
        Self {
            store,
            drain,
            looking: None,
            local: Session::default(),
            waiting: VecDeque::new(),
            under_way: None,
            asked: Tickets::default(),
            since: 0,
            known: Vec::new(),
            unclear: None,
            answer: None,
        }
    }

    fn step<E>(
        &mut self,
        ticket: Ticket,
        step: EtcdStep,
        now: Timestamp,
        outbox: &mut Outbox<BackendRequest, StoreEvent, E>,
    ) {
        let (doing, call, request) = match step {
            EtcdStep::Done(event) => return outbox.tell(ticket, self.with_tokens(event)),
            EtcdStep::Send(doing, message) => {
                let patience = doing.patience();
                let mut call = RetriedCall::new(RpcMethod::Txn, message, patience, now);
                let request = call.send(now);
                self.since = self.store.revision();
                (doing, call, request)
            }
            EtcdStep::Again(doing, call, request) => (doing, call, request),
            EtcdStep::Rest(doing) => {
                let pause = BackendRequest::Wait(Millis::new(limits::ETCD_PAUSE_MS));
                let nothing = RetriedCall::new(RpcMethod::Txn, Vec::new(), Patience::Long, now);
                (doing, nothing, pause)
            }
        };
        self.under_way = Some(InProgress { ticket, doing, call });
        outbox.ask(self.asked.open(), request);
    }

    /// Questions are answered one after the other.
    fn begin_next<E>(
        &mut self,
        now: Timestamp,
        outbox: &mut Outbox<BackendRequest, StoreEvent, E>,
    ) {
        while self.under_way.is_none()
            && let Some((ticket, request)) = self.waiting.pop_front()
        {
            let step = self.begin(request);
            self.step(ticket, step, now, outbox);
        }
    }

    fn begin(&mut self, request: StoreRequest) -> EtcdStep {
        match request {
            StoreRequest::Read(keys) => self.read(keys.clone(), keys),
            StoreRequest::ReadMore(keys) => {
                // What was read before is looked at together with it, so all is of one moment.
                let before = self.known.iter().map(|one| one.seen.key);
                let mut all: Vec<Key> = before.filter(|key| !keys.contains(key)).collect();
                all.extend(&keys);
                self.forget_what_is_fresh();
                self.read(keys, all)
            }
            StoreRequest::Peek(keys) => self.peek(&keys),
            StoreRequest::Commit(commit) => self.commit(commit),
            StoreRequest::Retract => {
                let pending = self.unclear.take();
                match pending.and_then(|pending| Retract::new(pending, &self.known)) {
                    Some(retract) => self.retract(Box::new(retract)),
                    None => EtcdStep::Done(StoreEvent::Retracted),
                }
            }
            StoreRequest::Pause => EtcdStep::Rest(EtcdWork::Pausing),
            StoreRequest::ReadHealth
            | StoreRequest::WriteHealth(..)
            | StoreRequest::FindAnswer(..)
            | StoreRequest::KeepAnswer(..) => EtcdStep::Done(UNAVAILABLE),
        }
    }

    fn retract(&self, retract: Box<Retract>) -> EtcdStep {
        let message = retract.change(&self.store);
        EtcdStep::Send(EtcdWork::Retracting(retract), message)
    }

    /// Whatever a lost transaction has just brought need not be read again.
    fn read(&mut self, keys: Vec<Key>, all: Vec<Key>) -> EtcdStep {
        if let Some(seen) = self.fresh(&keys) {
            self.forget_what_is_fresh();
            return EtcdStep::Done(StoreEvent::Seen(seen));
        }
        let Some(member) = self.store.ready() else {
            return EtcdStep::Done(UNAVAILABLE);
        };
        let mut read = TxnWriter::default();
        for key in &all {
            self.store.read(&mut read, *key, TxnWriter::if_met);
        }
        EtcdStep::Send(EtcdWork::Reading { keys, all, member }, read.into_bytes())
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

    fn commit(&mut self, commit: Commit) -> EtcdStep {
        self.forget_what_is_fresh();
        let Some(member) = self.store.ready() else {
            return EtcdStep::Done(UNAVAILABLE);
        };
        match self.store.prepare(commit, member, &self.known, self.answer.as_ref()) {
            Some(pending) => {
                let message = pending.message(&self.store);
                EtcdStep::Send(EtcdWork::Committing(Box::new(pending)), message)
            }
            None => EtcdStep::Done(UNAVAILABLE),
        }
    }

    /// Takes in an answer; gives back what it was for if it is no answer to that.
    fn answered(
        &mut self,
        doing: EtcdWork,
        message: &[u8],
        now: Timestamp,
    ) -> Result<EtcdStep, EtcdWork> {
        let Some(answer) = TxnAnswer::decode(message) else {
            return Err(doing);
        };
        // What is taken back is taken back wherever it stands.
        let goes_on = self.store.goes_on(self.since, answer.revision);
        if !goes_on && !matches!(doing, EtcdWork::Retracting(_)) {
            return Ok(self.failed(doing, CallError::Unclear));
        }
        Ok(match doing {
            EtcdWork::Reading { keys, all, member } => {
                let Some(known) = self.store.known_all(&all, &answer.ranges, &member, now) else {
                    return Err(EtcdWork::Reading { keys, all, member });
                };
                self.learn(known);
                let seen = self.fresh(&keys).unwrap_or_default();
                self.forget_what_is_fresh();
                EtcdStep::Done(StoreEvent::Seen(seen))
            }
            EtcdWork::Committing(pending) => {
                let Some(outcome) = pending.outcome(&answer, &self.store, now) else {
                    return Err(EtcdWork::Committing(pending));
                };
                self.learn(outcome.known);
                // What a lost transaction has read answers the next question.
                if outcome.event != StoreEvent::Conflict {
                    self.forget_what_is_fresh();
                }
                EtcdStep::Done(outcome.event)
            }
            EtcdWork::Retracting(retract) | EtcdWork::Resting(retract) => {
                match retract.after(&answer, &self.store, now) {
                    Some(message) => EtcdStep::Send(EtcdWork::Retracting(retract), message),
                    None => EtcdStep::Done(StoreEvent::Retracted),
                }
            }
            EtcdWork::Pausing => EtcdStep::Done(StoreEvent::Resumed),
        })
    }

    fn failed(&mut self, doing: EtcdWork, error: CallError) -> EtcdStep {
        match error {
            // One try says nothing of the store: a member may stand still, or a leader be elected.
            CallError::Unclear if doing.patience() == Patience::Short => {}
            CallError::Unclear | CallError::Refused(CallRefusal::Unsent) => self.store.note_away(),
            CallError::Refused(CallRefusal::NoLease) => self.store.note_stale(),
            CallError::Refused(CallRefusal::Denied) => {}
        }
        match doing {
            EtcdWork::Committing(pending) if error == CallError::Unclear => {
                // What was unclear first is what may be retracted.
                self.unclear.get_or_insert(*pending);
                EtcdStep::Done(StoreEvent::Unclear)
            }
            EtcdWork::Reading { .. } | EtcdWork::Committing(_) => EtcdStep::Done(UNAVAILABLE),
            EtcdWork::Retracting(retract) | EtcdWork::Resting(retract) => {
                EtcdStep::Rest(EtcdWork::Resting(retract))
            }
            EtcdWork::Pausing => EtcdStep::Done(StoreEvent::Resumed),
        }
    }

    fn go_on(&mut self, one: InProgress, event: BackendEvent, now: Timestamp) -> EtcdStep {
        let InProgress { doing, mut call, .. } = one;
        match doing {
            EtcdWork::Pausing => EtcdStep::Done(StoreEvent::Resumed),
            EtcdWork::Resting(retract) => self.retract(retract),
            doing @ (EtcdWork::Reading { .. }
            | EtcdWork::Committing(_)
            | EtcdWork::Retracting(_)) => {
                let next = call.after(event, now);
                let (doing, next) = match next {
                    CallStep::Answered(message) => match self.answered(doing, &message, now) {
                        Ok(step) => return step,
                        Err(doing) => (doing, call.unreadable(now)),
                    },
                    CallStep::Ask(_) | CallStep::Failed(_) => (doing, next),
                };
                match next {
                    CallStep::Ask(request) => EtcdStep::Again(doing, call, request),
                    CallStep::Failed(error) => self.failed(doing, error),
                    CallStep::Answered(_) => self.failed(doing, CallError::Unclear),
                }
            }
        }
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
                self.answer = Some(SharedAnswer { payment: key.reference(), of, bytes });
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
            | StoreRequest::Pause => match self.drain.as_ref().map(|drain| drain.home) {
                Some(Home::SharedData) => self.local.take_question(ticket, ask, terms, outbox),
                Some(Home::Unknown | Home::Etcd) => self.look(ticket, ask, terms, outbox),
                None => {
                    self.waiting.push_back((ticket, ask));
                    self.begin_next(terms.now, outbox);
                }
            },
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
            self.local.take_cell(ticket, event, terms, outbox);
            return self.looked(terms, outbox);
        }
        if !self.asked.close(ticket) {
            return;
        }
        if let Some(one) = self.under_way.take() {
            let ticket = one.ticket;
            let step = self.go_on(one, event, terms.now);
            self.step(ticket, step, terms.now, outbox);
        }
        self.begin_next(terms.now, outbox);
    }
}

#[cfg(test)]
mod tests;
