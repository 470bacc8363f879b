//! One request's life: `Held -> Claimed -> Sent -> Ended`.
//!
//! ```text
//! Request   -> loads  -> decide -> [permit] -> [claim] -> Forward      (or Reply, and it ends)
//! Answered  -> judge  -> settle the claims -> tell health -> Relay or Reply
//! ```
//!
//! Every load and store is an effect, and its result an event, so a lost race between two workers
//! is nothing special here: everything is read again and decided anew.

use std::rc::Rc;

use crate::engine::config::Policy;
use crate::engine::event::{Cell, Decision, Effect, Event};
use crate::engine::gateway::Gateways;
use crate::engine::health::{Why, WorkerCounters};
use crate::engine::payment::{ClaimState, Incarnation};
use crate::engine::protocol::{Class, Compiled, LocalReply, Memory, Reply, ReplyContext};
use crate::engine::store::KeptAnswer;
use crate::engine::time::{Millis, Timestamp};

mod attempt;
mod commit;
mod decide;
mod judge;
mod load;
mod refuse;
mod report;
mod request;
mod respond;
mod route;
mod settle;

use attempt::Attempt;
use load::Deciding;
use refuse::Refusing;
use request::ParsedRequest;
use settle::Settling;

/// One request.
#[derive(Debug)]
pub struct Exchange {
    policy: Rc<Policy>,
    stage: Stage,
}

/// How far it has come.
#[derive(Debug, Default)]
enum Stage {
    /// Nothing is known yet.
    #[default]
    Held,
    /// Refused, and waiting for what is known of its payment.
    Refusing(Box<Refusing>),
    /// Waiting for what the decision needs, or for the claim to be written.
    Deciding(Box<Deciding>),
    /// Waiting for the kept answer.
    Replaying(Box<Replaying>),
    /// With a gateway.
    Sent(Box<Sent>),
    /// Writing down how it went.
    Settling(Box<Settling>),
    /// Nothing more happens.
    Ended,
}

#[derive(Debug)]
struct Replaying {
    deciding: Box<Deciding>,
    incarnation: Incarnation,
    gateways: Gateways,
}

/// A request that is with a gateway.
#[derive(Debug)]
struct Sent {
    parsed: ParsedRequest,
    send: Box<Attempt>,
    at: Timestamp,
    /// The filter calls the gateway itself, while the client's own answer is held.
    called: bool,
}

impl Exchange {
    /// A request that has just begun.
    #[must_use]
    pub const fn new(policy: Rc<Policy>) -> Self {
        Self { policy, stage: Stage::Held }
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

    /// Whether the answer's body must be held and read: it is evidence.
    #[must_use]
    pub fn reads_answer(&self) -> bool {
        match &self.stage {
            Stage::Sent(sent) => sent.parsed.operation.is_some(),
            Stage::Held
            | Stage::Refusing(_)
            | Stage::Deciding(_)
            | Stage::Replaying(_)
            | Stage::Settling(_)
            | Stage::Ended => false,
        }
    }

    /// Takes in what happened at `now` and says what to do. Successes are counted in `tallies`
    /// where they need not be written at once.
    pub fn handle(
        &mut self,
        event: Event<'_>,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<Effect> {
        counters.look(now);
        let policy = Rc::clone(&self.policy);
        let context = Context { policy: &policy, now, counters: &mut *counters };
        let (stage, effects) = match (std::mem::replace(&mut self.stage, Stage::Ended), event) {
            (Stage::Held, Event::Request(request)) => context.begin(&request),
            (Stage::Refusing(refusing), event) => context.go_on_refusing(*refusing, &event),
            (Stage::Deciding(deciding), event) => context.go_on_deciding(deciding, event),
            (Stage::Replaying(replaying), event) => context.replay(*replaying, &event),
            (Stage::Sent(sent), Event::Answered(answer)) => context.answered(*sent, &answer),
            (Stage::Settling(settling), event) => context.go_on_settling(settling, event),
            // A late or foreign event changes nothing.
            (stage @ (Stage::Held | Stage::Sent(_) | Stage::Ended), _) => (stage, Vec::new()),
        };
        self.stage = stage;
        for effect in &effects {
            if let Effect::Reply(reply) = effect {
                Why::named(reply.reason).into_iter().for_each(|why| counters.refuse(why));
            }
        }
        effects
    }
}

/// What every step of one event shares.
struct Context<'a> {
    policy: &'a Policy,
    now: Timestamp,
    counters: &'a mut WorkerCounters,
}

type Next = (Stage, Vec<Effect>);

impl Context<'_> {
    /// The kept answer was read, or what is left of it: then the gateway may be asked for it.
    fn replay(self, replaying: Replaying, event: &Event<'_>) -> Next {
        let Replaying { deciding, incarnation, gateways } = replaying;
        let parsed = &deciding.parsed;
        let payment = parsed.payment.as_ref();
        let kept = match event {
            Event::Loaded(Cell::Body(_), loaded) => {
                payment.map(|payment| KeptAnswer::find(&loaded.bytes, &payment.key, incarnation))
            }
            Event::Loaded(..)
            | Event::Stored(_)
            | Event::Conflict(_)
            | Event::StoreFailed(_)
            | Event::Request(_)
            | Event::Answered(_) => None,
        };
        let effects = match kept {
            Some(Some(kept)) => self.replayed(parsed, kept, gateways),
            Some(None) => return self.decide_without_answer(deciding),
            None => self.say(parsed, &LocalReply::AlreadyExecuted { retry_after: None }, gateways),
        };
        self.finish(deciding.permit, effects)
    }

    fn replayed(
        &self,
        parsed: &ParsedRequest,
        kept: KeptAnswer,
        gateways: Gateways,
    ) -> Vec<Effect> {
        let gateway = self.policy.names(gateways);
        let mut headers =
            vec![("idempotent-replayed", "true".to_owned()), ("x-dana-gateway", gateway.clone())];
        headers.extend(kept.content_type.map(|value| ("content-type", value)));
        let note = Decision { decision: "replay", claim: "settled", gateway, ..self.note(parsed) };
        let reply = Reply { status: kept.status, headers, body: kept.body, reason: "replay" };
        vec![Effect::Decided(note), Effect::Reply(reply)]
    }

    fn say(
        &self,
        parsed: &ParsedRequest,
        local_reply: &LocalReply,
        gateways: Gateways,
    ) -> Vec<Effect> {
        let no_answer = LocalReply::NoAnswer { retry_after: Millis::new(1000) };
        let local_reply = match (parsed.class(), local_reply) {
            // Whoever asks for a payment must not read that the payment was not executed.
            (Some(Class::Inquiry), LocalReply::NotExecuted { .. }) => &no_answer,
            _ => local_reply,
        };
        let operation = parsed.operation.as_deref();
        let (reply, note) = self.reply(local_reply, operation, &parsed.request_id, gateways);
        let note = Decision { key: self.note(parsed).key, ..note };
        vec![Effect::Decided(note), Effect::Reply(reply)]
    }

    fn reply(
        &self,
        local_reply: &LocalReply,
        operation: Option<&Compiled>,
        request_id: &str,
        gateways: Gateways,
    ) -> (Reply, Decision) {
        let gateway = self.policy.names(gateways);
        let line = operation.map(|compiled| &compiled.operation);
        let about = ReplyContext {
            service_code: line.and_then(|line| line.service_codes.first()).map(AsRef::as_ref),
            inquiry_path: line.and_then(|line| line.inquiry_path.as_deref()),
            gateway: Some(gateway.as_str()).filter(|name| !name.is_empty()),
            gateway_code: None,
            follows_up: line.is_some_and(|line| line.class == Class::FollowUp),
            memory: self.memory_of(line.map(|line| line.class)),
            request_id,
        };
        let reply = local_reply.reply(self.policy.config.protocol, &about);
        let operation = line.map_or_else(String::new, |line| line.name.to_string());
        let note = Decision { operation, decision: reply.reason, gateway, ..Decision::default() };
        (reply, note)
    }

    /// What is known of what was sent before; what is no payment leaves no trace.
    fn memory_of(&self, class: Option<Class>) -> Memory {
        match class {
            Some(Class::Charge | Class::FollowUp) => {
                self.policy.memory(&self.counters.leaps(self.now), self.now)
            }
            Some(Class::Inquiry | Class::State) | None => Memory::Whole,
        }
    }

    fn note(&self, parsed: &ParsedRequest) -> Decision {
        let key = parsed.payment.as_ref().map(|payment| payment.key).or(parsed.concerns);
        let operation = parsed.operation.as_ref();
        Decision {
            operation: operation.map_or_else(String::new, |o| o.operation.name.to_string()),
            key: key.map_or_else(String::new, |key| key.reference().to_string()),
            ..Decision::default()
        }
    }
}

/// The state's name in logs.
fn name(state: Option<ClaimState>) -> &'static str {
    state.map_or("", ClaimState::name)
}

#[cfg(test)]
mod tests;
