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

use crate::engine::config::policy::Policy;
use crate::engine::event::{Cell, Effect, Event, Note};
use crate::engine::gateway::Gateways;
use crate::engine::health::history::Why;
use crate::engine::health::worker_counts::Tallies;
use crate::engine::payment::claim::{Incarnation, State};
use crate::engine::protocol::local_reply::{About, Memory, Reply, Saying};
use crate::engine::protocol::operation::{Class, Compiled};
use crate::engine::store::kept_answer::Kept;
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

use attempt::Send;
use load::Deciding;
use refuse::Refusing;
use request::Intent;
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
    intent: Intent,
    send: Box<Send>,
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
            Stage::Sent(sent) => sent.intent.operation.is_some(),
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
        tallies: &mut Tallies,
    ) -> Vec<Effect> {
        tallies.look(now);
        let policy = Rc::clone(&self.policy);
        let context = Context { policy: &policy, now, tallies: &mut *tallies };
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
                Why::named(reply.reason).into_iter().for_each(|why| tallies.refuse(why));
            }
        }
        effects
    }
}

/// What every step of one event shares.
struct Context<'a> {
    policy: &'a Policy,
    now: Timestamp,
    tallies: &'a mut Tallies,
}

type Next = (Stage, Vec<Effect>);

impl Context<'_> {
    /// The kept answer was read, or what is left of it: then the gateway may be asked for it.
    fn replay(self, replaying: Replaying, event: &Event<'_>) -> Next {
        let Replaying { deciding, incarnation, gateways } = replaying;
        let intent = &deciding.intent;
        let payment = intent.payment.as_ref();
        let kept = match event {
            Event::Loaded(Cell::Body(_), loaded) => {
                payment.map(|payment| Kept::find(&loaded.bytes, &payment.key, incarnation))
            }
            Event::Loaded(..)
            | Event::Stored(_)
            | Event::Conflict(_)
            | Event::StoreFailed(_)
            | Event::Request(_)
            | Event::Answered(_) => None,
        };
        let effects = match kept {
            Some(Some(kept)) => self.replayed(intent, kept, gateways),
            Some(None) => return self.decide_without_answer(deciding),
            None => self.say(intent, &Saying::AlreadyExecuted { retry_after: None }, gateways),
        };
        self.finish(deciding.permit, effects)
    }

    fn replayed(&self, intent: &Intent, kept: Kept, gateways: Gateways) -> Vec<Effect> {
        let gateway = self.policy.names(gateways);
        let mut headers =
            vec![("idempotent-replayed", "true".to_owned()), ("x-dana-gateway", gateway.clone())];
        headers.extend(kept.content_type.map(|value| ("content-type", value)));
        let note = Note { decision: "replay", claim: "settled", gateway, ..self.note(intent) };
        let reply = Reply { status: kept.status, headers, body: kept.body, reason: "replay" };
        vec![Effect::Note(note), Effect::Reply(reply)]
    }

    fn say(&self, intent: &Intent, saying: &Saying, gateways: Gateways) -> Vec<Effect> {
        let no_answer = Saying::NoAnswer { retry_after: Millis::new(1000) };
        let saying = match (intent.class(), saying) {
            // Whoever asks for a payment must not read that the payment was not executed.
            (Some(Class::Inquiry), Saying::NotExecuted { .. }) => &no_answer,
            _ => saying,
        };
        let operation = intent.operation.as_deref();
        let (reply, note) = self.reply(saying, operation, &intent.request_id, gateways);
        let note = Note { key: self.note(intent).key, ..note };
        vec![Effect::Note(note), Effect::Reply(reply)]
    }

    fn reply(
        &self,
        saying: &Saying,
        operation: Option<&Compiled>,
        request_id: &str,
        gateways: Gateways,
    ) -> (Reply, Note) {
        let gateway = self.policy.names(gateways);
        let line = operation.map(|compiled| &compiled.operation);
        let about = About {
            service_code: line.and_then(|line| line.service_codes.first()).map(AsRef::as_ref),
            inquiry_path: line.and_then(|line| line.inquiry_path.as_deref()),
            gateway: Some(gateway.as_str()).filter(|name| !name.is_empty()),
            gateway_code: None,
            follows_up: line.is_some_and(|line| line.class == Class::FollowUp),
            memory: self.memory_of(line.map(|line| line.class)),
            request_id,
        };
        let reply = saying.reply(self.policy.config.protocol, &about);
        let operation = line.map_or_else(String::new, |line| line.name.to_string());
        let note = Note { operation, decision: reply.reason, gateway, ..Note::default() };
        (reply, note)
    }

    /// What is known of what was sent before; what is no payment leaves no trace.
    fn memory_of(&self, class: Option<Class>) -> Memory {
        match class {
            Some(Class::Charge | Class::FollowUp) => {
                self.policy.memory(&self.tallies.leaps(self.now), self.now)
            }
            Some(Class::Inquiry | Class::State) | None => Memory::Whole,
        }
    }

    fn note(&self, intent: &Intent) -> Note {
        let key = intent.payment.as_ref().map(|payment| payment.key).or(intent.concerns);
        let operation = intent.operation.as_ref();
        Note {
            operation: operation.map_or_else(String::new, |o| o.operation.name.to_string()),
            key: key.map_or_else(String::new, |key| key.reference().to_string()),
            ..Note::default()
        }
    }
}

/// The state's name in logs.
fn name(state: Option<State>) -> &'static str {
    state.map_or("", State::name)
}

#[cfg(test)]
mod tests;
