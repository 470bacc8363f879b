//! One request's life: `Held -> Loading -> Committing -> Sent -> Settling -> Ended`.
//!
//! ```text
//! Request   -> loads  -> decide -> [permit] -> [claim] -> Forward      (or Reply, and it ends)
//! Answered  -> judge  -> settle the claims -> tell health -> Relay or Reply
//! ```
//!
//! What is asked of the store is asked by key, and its answer is an event, so a lost race between
//! two workers is nothing special here: everything is read again and decided anew. The store may
//! answer in the same call or later; until it does the request, or its answer, stays held.

use std::rc::Rc;

use crate::engine::config::{GATEWAY_HEADER, Policy};
use crate::engine::event::{After, Decision, ExchangeEffect, ExchangeEvent, Subject};
use crate::engine::gateway::Gateways;
use crate::engine::health::{Why, WorkerCounters};
use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Tickets};
use crate::engine::payment::ClaimState;
use crate::engine::protocol::{Class, Compiled, LocalReply, Memory, Reply, ReplyContext};
use crate::engine::store::{KeptAnswer, Keyed, Session, StoreEvent, StoreRequest, Terms};
use crate::engine::time::{Millis, Timestamp};

mod answered;
mod attempt;
mod commit;
mod decide;
mod forward;
mod judge;
mod leave;
mod load;
mod notification;
mod permit;
mod refuse;
mod report;
mod request;
mod respond;
mod route;
mod settle;
mod settling;
mod stage;

pub use notification::{Inbound, Notification};
use request::ParsedRequest;
use stage::{Context, Next, Replaying, Stage, terms};

/// One request.
#[derive(Debug)]
pub struct Exchange {
    policy: Rc<Policy>,
    stage: Stage,
    /// What the store was asked and has not answered.
    asked: Tickets,
    /// Nobody is left to be answered.
    client_gone: bool,
}

impl Exchange {
    /// A request that has just begun.
    #[must_use]
    pub fn new(policy: Rc<Policy>) -> Self {
        Self { policy, stage: Stage::Held, asked: Tickets::default(), client_gone: false }
    }

    /// Whether the request was let go and its answer is awaited.
    #[must_use]
    pub const fn is_sent(&self) -> bool {
        matches!(self.stage, Stage::Sent(_))
    }

    /// Whether nothing more is to happen.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// Whether the store has still to answer.
    #[must_use]
    pub fn awaits_store(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether a claim of its own is still to be settled, given back or retracted. What else it has to
    /// write down, it has learnt of other payments and of gateways.
    #[must_use]
    pub fn owes_claim(&self) -> bool {
        match &self.stage {
            Stage::Committing(_) | Stage::Sent(_) => true,
            Stage::Settling(settling) => settling.owes_claim(),
            Stage::Held
            | Stage::Refusing(_)
            | Stage::Loading(_)
            | Stage::Replaying(_)
            | Stage::Ended => false,
        }
    }

    /// The host did not let the request be read or decided: nothing is sent, and this is said.
    #[must_use]
    pub fn fail_closed(&mut self, request_id: &str) -> Reply {
        self.stage = Stage::Ended;
        self.asked.forget();
        let about = ReplyContext { request_id, ..ReplyContext::default() };
        load::STORE_FAILED.reply(self.policy.config.protocol, &about)
    }

    /// Whether the answer's body must be held and read: it is evidence.
    #[must_use]
    pub fn reads_answer(&self) -> bool {
        match &self.stage {
            Stage::Sent(sent) => sent.parsed.operation.is_some(),
            Stage::Held
            | Stage::Refusing(_)
            | Stage::Loading(_)
            | Stage::Committing(_)
            | Stage::Replaying(_)
            | Stage::Settling(_)
            | Stage::Ended => false,
        }
    }
}

impl Machine for Exchange {
    type Event<'a> = ExchangeEvent<'a>;
    type Effect = ExchangeEffect;
    type Ask = StoreRequest;
    type Told = StoreEvent;
    type Counters = WorkerCounters;

    /// Successes are counted in `counters` where they need not be written at once.
    fn handle(
        &mut self,
        input: InputOf<'_, Self>,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<OutputOf<Self>> {
        counters.look(now);
        if let Input::Told(ticket, _) = &input
            && !self.asked.close(*ticket)
        {
            return Vec::new();
        }
        let leaves = matches!(input, Input::Event(ExchangeEvent::ClientGone));
        self.client_gone |= leaves;
        let policy = Rc::clone(&self.policy);
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        let before = std::mem::discriminant(&stage);
        let context = Context { policy: &policy, now, counters };
        let next = context.go_on(stage, input, self.client_gone);
        let context = Context { policy: &policy, now, counters };
        let mut next = context.check_sending(next, self.client_gone);
        if self.client_gone {
            let is_answer = |effect: &ExchangeEffect| {
                matches!(effect, ExchangeEffect::Reply(_) | ExchangeEffect::Relay { .. })
            };
            next.effects.retain(|effect| !is_answer(effect));
        }
        if leaves && !matches!(next.stage, Stage::Sent(_) | Stage::Ended) {
            next.effects.push(ExchangeEffect::HandOff);
        }
        for effect in &next.effects {
            if let ExchangeEffect::Reply(reply) = effect {
                Why::named(reply.reason).into_iter().for_each(|why| counters.refuse(why));
            }
        }
        // What an earlier stage has asked is of no use to this one.
        if std::mem::discriminant(&next.stage) != before {
            self.asked.forget();
        }
        self.stage = next.stage;
        let effects = next.effects.into_iter().map(Output::Do);
        let asks = next.asks.into_iter().map(|ask| Output::Ask(self.asked.open(), ask));
        effects.chain(asks).collect()
    }
}

impl Keyed for Exchange {
    type Session = Session;

    fn terms<'a>(&'a self, now: Timestamp, counters: &'a WorkerCounters) -> Terms<'a> {
        terms(&self.policy, now, counters)
    }
}

impl Context<'_> {
    fn go_on(
        self,
        stage: Stage,
        input: Input<ExchangeEvent<'_>, StoreEvent>,
        client_gone: bool,
    ) -> Next {
        match (stage, input) {
            (Stage::Held, Input::Event(ExchangeEvent::Request(request))) => self.begin(&request),
            (Stage::Sent(sent), Input::Event(ExchangeEvent::Answered(answer))) => {
                self.answered(*sent, &answer)
            }
            (stage, Input::Event(ExchangeEvent::ClientGone)) => self.leave(stage),
            (Stage::Refusing(refusing), Input::Told(_, event)) => {
                self.go_on_refusing(*refusing, &event)
            }
            (Stage::Loading(loading), Input::Told(_, event)) => self.go_on_loading(loading, event),
            (Stage::Committing(committing), Input::Told(_, event)) if client_gone => {
                self.go_on_leaving(committing, event)
            }
            (Stage::Committing(committing), Input::Told(_, event)) => {
                self.go_on_committing(committing, event)
            }
            (Stage::Replaying(replaying), Input::Told(_, event)) => self.replay(*replaying, event),
            (Stage::Settling(settling), Input::Told(_, event)) => {
                self.go_on_settling(settling, event)
            }
            // A late or foreign event changes nothing.
            (
                stage,
                Input::Event(ExchangeEvent::Request(_) | ExchangeEvent::Answered(_))
                | Input::Told(..),
            ) => Next::to(stage, Vec::new()),
        }
    }

    /// The kept answer was looked for. If it is gone, the gateway may be asked for it.
    fn replay(self, replaying: Replaying, event: StoreEvent) -> Next {
        let Replaying { task, gateways } = replaying;
        let effects = match event {
            StoreEvent::Answer(Some(kept)) => self.replayed(&task.parsed, kept, gateways),
            StoreEvent::Answer(None) => return self.decide_without_answer(task),
            StoreEvent::Seen(_)
            | StoreEvent::Guessed(_)
            | StoreEvent::Retracted
            | StoreEvent::Resumed
            | StoreEvent::Committed
            | StoreEvent::Conflict
            | StoreEvent::Unclear
            | StoreEvent::Refused(_)
            | StoreEvent::Health(..)
            | StoreEvent::HealthWritten
            | StoreEvent::HealthConflict
            | StoreEvent::HealthUnclear
            | StoreEvent::AnswerKept => {
                self.say(&task.parsed, &LocalReply::AlreadyExecuted { retry_after: None }, gateways)
            }
        };
        self.finish(task.permit, effects)
    }

    fn replayed(
        &self,
        parsed: &ParsedRequest,
        kept: KeptAnswer,
        gateways: Gateways,
    ) -> Vec<ExchangeEffect> {
        let gateway = self.policy.names(gateways);
        let mut headers =
            vec![("idempotent-replayed", "true".to_owned()), (GATEWAY_HEADER, gateway.clone())];
        headers.extend(kept.content_type.map(|value| ("content-type", value)));
        let claim = After::at(ClaimState::settled(gateways));
        let line = self.note(parsed);
        let status = kept.status;
        let note = Decision { decision: "replay", claim, gateways, names: gateway, status, ..line };
        let reply = Reply { status: kept.status, headers, body: kept.body, reason: "replay" };
        vec![ExchangeEffect::Decided(Box::new(note)), ExchangeEffect::Reply(reply)]
    }

    fn say(
        &self,
        parsed: &ParsedRequest,
        local_reply: &LocalReply,
        gateways: Gateways,
    ) -> Vec<ExchangeEffect> {
        let no_answer = LocalReply::NoAnswer { retry_after: Millis::new(1000) };
        let local_reply = match (parsed.class(), local_reply) {
            // Whoever asks for a payment must not read that the payment was not executed.
            (Some(Class::Inquiry), LocalReply::NotExecuted { .. }) => &no_answer,
            _ => local_reply,
        };
        let operation = parsed.operation.as_ref();
        let (reply, note) = self.reply(local_reply, operation, &parsed.subject, gateways);
        let note = Decision { key: self.note(parsed).key, ..note };
        vec![ExchangeEffect::Decided(Box::new(note)), ExchangeEffect::Reply(reply)]
    }

    fn reply(
        &self,
        local_reply: &LocalReply,
        operation: Option<&Rc<Compiled>>,
        subject: &Rc<Subject>,
        gateways: Gateways,
    ) -> (Reply, Decision) {
        let names = self.policy.names(gateways);
        let line = operation.map(|compiled| &compiled.operation);
        let about = ReplyContext {
            service_code: line.and_then(|line| line.service_codes.first()).map(AsRef::as_ref),
            inquiry_path: line.and_then(|line| line.inquiry_path.as_deref()),
            gateway: Some(names.as_str()).filter(|name| !name.is_empty()),
            gateway_code: None,
            follows_up: line.is_some_and(|line| line.class == Class::FollowUp),
            memory: self.memory_of(line.map(|line| line.class)),
            request_id: &subject.request_id,
        };
        let reply = local_reply.reply(self.policy.config.protocol, &about);
        let note = Decision {
            operation: operation.cloned(),
            decision: reply.reason,
            gateways,
            names,
            status: reply.status,
            at: self.now,
            subject: Rc::clone(subject),
            ..Decision::default()
        };
        (reply, note)
    }

    /// What is known of what was sent before; what is no payment leaves no trace.
    fn memory_of(&self, class: Option<Class>) -> Memory {
        match class {
            Some(Class::Charge | Class::FollowUp) => {
                let since = self.counters.remembers_since();
                self.policy.memory(since, &self.counters.leaps(self.now), self.now)
            }
            Some(Class::Inquiry | Class::State) | None => Memory::Whole,
        }
    }

    /// A decision about this request, of which nothing else is known yet.
    fn note(&self, parsed: &ParsedRequest) -> Decision {
        let own = parsed.payment.as_ref().map(|payment| payment.key);
        let key = own.or(parsed.concerns);
        let concerned = own.and(parsed.concerns);
        Decision {
            concerned: concerned.map(|key| key.reference()),
            operation: parsed.operation.clone(),
            key: key.map(|key| key.reference()),
            at: self.now,
            subject: Rc::clone(&parsed.subject),
            ..Decision::default()
        }
    }
}

#[cfg(test)]
mod tests;
