//! One request's life: `Held -> Claimed -> Sent -> Ended`.
//!
//! ```text
//! Request   -> loads  -> decide -> [permit] -> [claim] -> Forward      (or Reply, and it ends)
//! Answered  -> judge  -> settle the claims -> tell health -> Relay or Reply
//! ```
//!
//! What is asked of the store is asked by key, and its answer is an event, so a lost race between
//! two workers is nothing special here: everything is read again and decided anew. The session with
//! the store in shared data makes loads and stores of it, which are effects.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::engine::config::Policy;
use crate::engine::event::{After, Answer, Decision, Effect, Event, Request};
use crate::engine::gateway::Gateways;
use crate::engine::health::{Why, WorkerCounters};
use crate::engine::payment::ClaimState;
use crate::engine::protocol::{Class, Compiled, LocalReply, Memory, Reply, ReplyContext};
use crate::engine::store::{
    CellEvent, CellRequest, KeptAnswer, Output, Retention, Session, StoreEvent, StoreRequest, Terms,
};
use crate::engine::time::{Millis, Timestamp};

mod answered;
mod attempt;
mod commit;
mod decide;
mod forward;
mod judge;
mod load;
mod permit;
mod refuse;
mod report;
mod request;
mod respond;
mod route;
mod settle;
mod settling;
mod stage;

use request::ParsedRequest;
use stage::{Context, Next, Replaying, Stage};

/// One request.
#[derive(Debug)]
pub struct Exchange {
    policy: Rc<Policy>,
    stage: Stage,
    session: Session,
}

/// What a stage is told.
enum Input<'a> {
    Request(Request<'a>),
    Store(StoreEvent),
    Answered(Answer<'a>),
}

/// What one event leads to, until the store has to be asked outside.
struct Turn<'a> {
    policy: &'a Policy,
    now: Timestamp,
    counters: &'a mut WorkerCounters,
    effects: Vec<Effect>,
    /// What the session has told, in its order.
    told: VecDeque<StoreEvent>,
}

impl Exchange {
    /// A request that has just begun.
    #[must_use]
    pub fn new(policy: Rc<Policy>) -> Self {
        Self { policy, stage: Stage::Held, session: Session::default() }
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
            | Stage::Loading(_)
            | Stage::Committing(_)
            | Stage::Replaying(_)
            | Stage::Settling(_)
            | Stage::Ended => false,
        }
    }

    /// Takes in what happened at `now` and says what to do. Successes are counted in `counters`
    /// where they need not be written at once.
    pub fn handle(
        &mut self,
        event: Event<'_>,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<Effect> {
        counters.look(now);
        let policy = Rc::clone(&self.policy);
        let (effects, told) = (Vec::new(), VecDeque::new());
        let mut turn = Turn { policy: &policy, now, counters, effects, told };
        match event {
            Event::Request(request) => self.take_in(Input::Request(request), &mut turn),
            Event::Answered(answer) => self.take_in(Input::Answered(answer), &mut turn),
            Event::Loaded(cell, loaded) => {
                self.cell(CellEvent::Loaded(cell, loaded), &mut turn);
            }
            Event::Stored(cell) => self.cell(CellEvent::Stored(cell), &mut turn),
            Event::Conflict(cell) => self.cell(CellEvent::Conflict(cell), &mut turn),
            Event::StoreFailed(cell) => self.cell(CellEvent::Failed(cell), &mut turn),
        }
        while let Some(event) = turn.told.pop_front() {
            self.take_in(Input::Store(event), &mut turn);
        }
        let Turn { counters, effects, .. } = turn;
        for effect in &effects {
            if let Effect::Reply(reply) = effect {
                Why::named(reply.reason).into_iter().for_each(|why| counters.refuse(why));
            }
        }
        effects
    }

    fn take_in(&mut self, input: Input<'_>, turn: &mut Turn<'_>) {
        if matches!(
            (&self.stage, &input),
            (Stage::Loading(_) | Stage::Committing(_), Input::Answered(_))
        ) {
            self.session.abandon();
        }
        let context = Context { policy: turn.policy, now: turn.now, counters: turn.counters };
        let next = match (std::mem::replace(&mut self.stage, Stage::Ended), input) {
            (Stage::Held, Input::Request(request)) => context.begin(&request),
            (Stage::Refusing(refusing), Input::Store(event)) => {
                context.go_on_refusing(*refusing, &event)
            }
            (Stage::Loading(loading), Input::Store(event)) => context.go_on_loading(loading, event),
            (Stage::Committing(committing), Input::Store(event)) => {
                context.go_on_committing(committing, event)
            }
            (Stage::Replaying(replaying), Input::Store(event)) => context.replay(*replaying, event),
            (Stage::Settling(settling), Input::Store(event)) => {
                context.go_on_settling(settling, event)
            }
            (Stage::Sent(sent), Input::Answered(answer)) => context.answered(*sent, &answer),
            // Gone before it was sent: nothing was, and a permit comes back.
            (Stage::Loading(loading), Input::Answered(_)) => {
                context.finish(loading.task.permit, Vec::new())
            }
            (Stage::Committing(committing), Input::Answered(_)) => {
                context.finish(committing.task.permit, Vec::new())
            }
            // A late or foreign event changes nothing.
            (stage, _) => Next::to(stage, Vec::new()),
        };
        self.stage = next.stage;
        turn.effects.extend(next.effects);
        for request in next.asks {
            self.ask(request, turn);
        }
    }

    fn ask(&mut self, request: StoreRequest, turn: &mut Turn<'_>) {
        let session = &mut self.session;
        let outputs = turn.by_terms(|terms| session.ask(request, terms));
        turn.sort(outputs);
    }

    fn cell(&mut self, event: CellEvent, turn: &mut Turn<'_>) {
        let session = &mut self.session;
        let outputs = turn.by_terms(|terms| session.cell(event, terms));
        turn.sort(outputs);
    }
}

impl Turn<'_> {
    fn by_terms<T>(&self, work: impl FnOnce(&Terms<'_>) -> T) -> T {
        let leaps = self.counters.leaps(self.now);
        let store = &self.policy.config.store;
        let (claims, tokens) = (store.retention, store.token_retention);
        work(&Terms {
            now: self.now,
            placement: self.policy.placement,
            answer_sets: self.policy.config.kept_sets(),
            rules: &self.policy.claims,
            retention: Retention { claims, tokens, leaps: &leaps },
        })
    }

    fn sort(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Cell(CellRequest::Load(cell)) => self.effects.push(Effect::Load(cell)),
                Output::Cell(CellRequest::Store { cell, bytes, expected }) => {
                    self.effects.push(Effect::Store { cell, bytes, expected });
                }
                Output::Told(event) => self.told.push_back(event),
            }
        }
    }
}

impl Context<'_> {
    /// The kept answer was looked for. If it is gone, the gateway may be asked for it.
    fn replay(self, replaying: Replaying, event: StoreEvent) -> Next {
        let Replaying { task, gateways } = replaying;
        let effects = match event {
            StoreEvent::Answer(Some(kept)) => self.replayed(&task.parsed, kept, gateways),
            StoreEvent::Answer(None) => return self.decide_without_answer(task),
            StoreEvent::Seen(_)
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
    ) -> Vec<Effect> {
        let gateway = self.policy.names(gateways);
        let mut headers =
            vec![("idempotent-replayed", "true".to_owned()), ("x-dana-gateway", gateway.clone())];
        headers.extend(kept.content_type.map(|value| ("content-type", value)));
        let claim = After::at(ClaimState::settled(gateways));
        let line = self.note(parsed);
        let note = Decision { decision: "replay", claim, gateways, names: gateway, ..line };
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
        let operation = parsed.operation.as_ref();
        let (reply, note) = self.reply(local_reply, operation, &parsed.request_id, gateways);
        let note = Decision { key: self.note(parsed).key, ..note };
        vec![Effect::Decided(note), Effect::Reply(reply)]
    }

    fn reply(
        &self,
        local_reply: &LocalReply,
        operation: Option<&Rc<Compiled>>,
        request_id: &str,
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
            request_id,
        };
        let reply = local_reply.reply(self.policy.config.protocol, &about);
        let (operation, decision) = (operation.cloned(), reply.reason);
        let note = Decision { operation, decision, gateways, names, ..Decision::default() };
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
        Decision {
            operation: parsed.operation.clone(),
            key: key.map(|key| key.reference()),
            ..Decision::default()
        }
    }
}

#[cfg(test)]
mod tests;
