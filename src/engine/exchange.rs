//! One request's life: `Held -> Claimed -> Sent -> Ended`.
//!
//! ```text
//! Request   -> loads  -> decide -> [permit] -> [claim] -> Forward      (or Reply, and it ends)
//! Answered  -> judge  -> settle the claims -> tell health -> Relay or Reply
//! ```
//!
//! Every load and store is an effect, and its result an event, so a lost race between two workers
//! is nothing special here: everything is read again and decided anew.

use std::collections::VecDeque;
use std::rc::Rc;

use super::answer::{About, NotExecuted, Reply, Saying};
use super::claim::{Claim, State};
use super::event::{Cell, Effect, Event, Expected, Forward, Loaded, Note, Request};
use super::gateway::{GatewayId, Gateways};
use super::health::Health;
use super::limits;
use super::operation::{Class, Compiled};
use super::policy::Policy;
use super::record::{Bucket, Found};
use super::replay::Kept;
use super::tally::Tallies;
use super::time::{Millis, Timestamp};

mod decide;
mod intent;
mod settle;

use decide::{Decision, Facts, Send};
use intent::Intent;
use settle::{Settling, Update};

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
struct Deciding {
    intent: Intent,
    started: Timestamp,
    own: Option<(Bucket, Expected)>,
    concerned: Option<Bucket>,
    health: Option<(Health, Expected)>,
    /// What was decided, while it is being written.
    send: Option<Send>,
    /// A permit that was taken: gateway and generation.
    permit: Option<(GatewayId, u32)>,
    attempts: u8,
}

#[derive(Debug)]
struct Replaying {
    intent: Intent,
    incarnation: super::claim::Incarnation,
    gateways: Gateways,
}

/// A request that is with a gateway.
#[derive(Debug)]
struct Sent {
    intent: Intent,
    send: Send,
    at: Timestamp,
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
            | Stage::Deciding(_)
            | Stage::Replaying(_)
            | Stage::Settling(_)
            | Stage::Ended => false,
        }
    }

    /// Takes in what happened at `now` and says what to do. Successes are counted in `tallies`
    /// where they need not be written at once.
    pub fn handle(&mut self, event: Event<'_>, now: Timestamp, tallies: &mut Tallies) -> Vec<Effect> {
        let policy = Rc::clone(&self.policy);
        let context = Context { policy: &policy, now, tallies };
        let (stage, effects) = match (std::mem::replace(&mut self.stage, Stage::Ended), event) {
            (Stage::Held, Event::Request(request)) => context.begin(&request),
            (Stage::Deciding(deciding), event) => context.go_on_deciding(deciding, event),
            (Stage::Replaying(replaying), Event::Loaded(_, loaded)) => {
                (Stage::Ended, context.replay(&replaying, Some(&loaded)))
            }
            (Stage::Replaying(replaying), _) => (Stage::Ended, context.replay(&replaying, None)),
            (Stage::Sent(sent), Event::Answered(answer)) => context.answered(*sent, &answer),
            (Stage::Settling(settling), event) => context.go_on_settling(settling, event),
            // A late or foreign event changes nothing.
            (stage @ (Stage::Held | Stage::Sent(_) | Stage::Ended), _) => (stage, Vec::new()),
        };
        self.stage = stage;
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
    fn begin(self, request: &Request<'_>) -> Next {
        let started = self.now;
        match Intent::parse(request, self.policy, self.now) {
            Ok(intent) => self.load_all(Box::new(Deciding {
                intent,
                started,
                own: None,
                concerned: None,
                health: None,
                send: None,
                permit: None,
                attempts: 0,
            })),
            Err(refused) => {
                let saying = Saying::Refused(refused.refusal);
                let (reply, note) =
                    self.reply(&saying, refused.operation.as_deref(), "", Gateways::NONE);
                (Stage::Ended, vec![Effect::Note(note), Effect::Reply(reply)])
            }
        }
    }

    /// Asks for everything that the decision looks at.
    fn load_all(self, deciding: Box<Deciding>) -> Next {
        let mut effects = vec![Effect::Load(Cell::Health)];
        effects.extend(self.concerned_cell(&deciding.intent).map(Effect::Load));
        // The claim comes last: what was read longest ago is what a race is lost by.
        effects.extend(self.own_cell(&deciding.intent).map(Effect::Load));
        (Stage::Deciding(deciding), effects)
    }

    fn own_cell(&self, intent: &Intent) -> Option<Cell> {
        let payment = intent.payment.as_ref()?;
        Some(Cell::Claims(payment.key.bucket(self.policy.buckets)))
    }

    fn concerned_cell(&self, intent: &Intent) -> Option<Cell> {
        let bucket = intent.concerns?.bucket(self.policy.buckets);
        // With its own claim in the same bucket, one read serves both.
        Some(Cell::Claims(bucket)).filter(|cell| self.own_cell(intent) != Some(*cell))
    }

    fn go_on_deciding(self, mut deciding: Box<Deciding>, event: Event<'_>) -> Next {
        match event {
            Event::Loaded(Cell::Health, loaded) => {
                deciding.health = Some((Health::decode(&loaded.bytes), loaded.version));
            }
            Event::Loaded(cell @ Cell::Claims(_), loaded) => {
                let Some(bucket) = Bucket::decode(loaded.bytes) else {
                    return self.give_up(deciding, NotExecuted::StoreFailed);
                };
                if self.own_cell(&deciding.intent) == Some(cell) {
                    deciding.own = Some((bucket, loaded.version));
                } else {
                    deciding.concerned = Some(bucket);
                }
            }
            Event::Stored(Cell::Health) => return self.claim(deciding),
            Event::Stored(Cell::Claims(_)) => return self.forward(deciding),
            Event::Conflict(cell) => return self.decide_anew(deciding, cell),
            Event::StoreFailed(cell) => {
                // Whether the permit was taken is not known; if it was, its time brings it back.
                deciding.permit = deciding.permit.filter(|_| cell != Cell::Health);
                return self.give_up(deciding, NotExecuted::StoreFailed);
            }
            Event::Loaded(..) | Event::Stored(_) | Event::Request(_) => {}
            // Gone before it was sent: nothing was, and a permit comes back.
            Event::Answered(_) => return self.finish(deciding.permit, Vec::new()),
        }
        let waits_for_own = deciding.intent.payment.is_some() && deciding.own.is_none();
        let waits_for_concerned =
            self.concerned_cell(&deciding.intent).is_some() && deciding.concerned.is_none();
        if deciding.health.is_none() || waits_for_own || waits_for_concerned {
            return (Stage::Deciding(deciding), Vec::new());
        }
        self.decide(deciding)
    }

    fn decide(self, mut deciding: Box<Deciding>) -> Next {
        let Some((health, health_version)) = deciding.health.take() else {
            return self.give_up(deciding, NotExecuted::StoreFailed);
        };
        let intent = &deciding.intent;
        let own_bucket = deciding.own.as_ref().map(|(bucket, _)| bucket);
        let find = |bucket: Option<&Bucket>, key: Option<&super::key::ClaimKey>| match (bucket, key) {
            (Some(bucket), Some(key)) => bucket.find(&key.prefix()),
            _ => Found::Absent,
        };
        let facts = Facts {
            policy: self.policy,
            intent,
            own: find(own_bucket, intent.payment.as_ref().map(|payment| &payment.key)),
            concerned: find(deciding.concerned.as_ref().or(own_bucket), intent.concerns.as_ref()),
            health: &health,
            now: self.now,
        };
        match facts.decide() {
            Decision::Say { saying, gateways } => {
                let effects = self.say(&deciding.intent, &saying, gateways);
                self.finish(deciding.permit, effects)
            }
            Decision::Replay { incarnation, gateways } => {
                let intent = deciding.intent;
                let Some(payment) = &intent.payment else {
                    return (Stage::Ended, Vec::new());
                };
                let slots = self.policy.config.store.bodies_max;
                let load = Effect::Load(Cell::Body(payment.key.body_slot(slots)));
                let replaying = Replaying { intent, incarnation, gateways };
                (Stage::Replaying(Box::new(replaying)), vec![load])
            }
            Decision::Send(send) => self.prepare(deciding, send, health, health_version),
        }
    }

    /// Takes the permit for a trial, if it is one, and then the claim.
    fn prepare(
        self,
        mut deciding: Box<Deciding>,
        mut send: Send,
        mut health: Health,
        expected: Expected,
    ) -> Next {
        let Some(gateway) = send.members.first().copied().filter(|_| send.trial) else {
            deciding.send = Some(send);
            return self.claim(deciding);
        };
        if deciding.permit == Some((gateway, health.generation(gateway))) {
            // Taken before a race for the claim was lost.
            deciding.send = Some(send);
            return self.claim(deciding);
        }
        let change = health.take_permit(gateway, self.policy, self.now);
        let generation = health.generation(gateway);
        if let Some(first) = send.generations.first_mut() {
            *first = generation;
        }
        deciding.permit = Some((gateway, generation));
        deciding.send = Some(send);
        let bytes = health.encode();
        let store = Effect::Store { cell: Cell::Health, bytes, expected };
        (Stage::Deciding(deciding), change.map(Effect::Changed).into_iter().chain([store]).collect())
    }

    fn claim(self, mut deciding: Box<Deciding>) -> Next {
        let claim = deciding.send.as_ref().and_then(|send| send.claim);
        let (Some(claim), Some(payment)) = (claim, &deciding.intent.payment) else {
            return self.forward(deciding);
        };
        let Some((mut bucket, expected)) = deciding.own.take() else {
            return self.give_up(deciding, NotExecuted::StoreFailed);
        };
        let retention = self.policy.config.store.retention;
        if bucket.put(&payment.key.prefix(), &claim, self.now, retention).is_err() {
            return self.give_up(deciding, NotExecuted::StoreFull);
        }
        let cell = Cell::Claims(payment.key.bucket(self.policy.buckets));
        let store = Effect::Store { cell, bytes: bucket.into_bytes(), expected };
        (Stage::Deciding(deciding), vec![store])
    }

    /// Another worker was quicker: everything is read again.
    fn decide_anew(self, mut deciding: Box<Deciding>, lost: Cell) -> Next {
        deciding.attempts += 1;
        // The permit was not taken if it was the health that had changed.
        deciding.permit = deciding.permit.filter(|_| lost != Cell::Health);
        if deciding.attempts >= limits::STORE_ATTEMPTS_MAX {
            return self.give_up(deciding, NotExecuted::StoreFailed);
        }
        deciding.own = None;
        deciding.concerned = None;
        deciding.health = None;
        deciding.send = None;
        self.load_all(deciding)
    }

    fn forward(self, mut deciding: Box<Deciding>) -> Next {
        let Some(send) = deciding.send.take() else {
            return self.give_up(deciding, NotExecuted::StoreFailed);
        };
        let forward = self.headers(&deciding.intent, &send);
        let at = deciding.started;
        let sent = Sent { intent: deciding.intent, send, at };
        (Stage::Sent(Box::new(sent)), vec![Effect::Forward(forward)])
    }

    fn headers(&self, intent: &Intent, send: &Send) -> Forward {
        let config = &self.policy.config;
        let timeout = match intent.class() {
            Some(Class::Inquiry) => config.timeouts.inquiry,
            Some(Class::Charge | Class::FollowUp | Class::State) | None => config.timeouts.response,
        };
        let composite = send.members.len() > 1;
        let mut headers = vec![
            (config.route_header.clone(), send.cluster.clone()),
            ("x-envoy-upstream-rq-timeout-ms".to_owned(), timeout.get().to_string()),
        ];
        let mut set = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
        if !composite {
            set("x-envoy-max-retries", "0");
        }
        if intent.accepts_encodings && intent.operation.is_some() {
            set("accept-encoding", "identity");
        }
        if let Some(payment) = &intent.payment {
            set("idempotency-key", &payment.idempotency_key);
        }
        if let Some(external_id) = &intent.external_id {
            set("x-external-id", external_id);
        }
        Forward { headers, composite }
    }

    /// Nothing was sent and nothing will be.
    fn give_up(self, deciding: Box<Deciding>, why: NotExecuted) -> Next {
        let retry_after = Millis::new(1000);
        let saying = Saying::NotExecuted { why, retry_after };
        let effects = self.say(&deciding.intent, &saying, Gateways::NONE);
        self.finish(deciding.permit, effects)
    }

    /// Ends without having sent anything; a permit that was taken comes back first.
    fn finish(self, permit: Option<(GatewayId, u32)>, effects: Vec<Effect>) -> Next {
        match permit {
            None => (Stage::Ended, effects),
            Some((gateway, generation)) => {
                let updates = VecDeque::from([Update::ReturnPermit { gateway, generation }]);
                self.next_update(Box::new(Settling::ending(updates, effects)))
            }
        }
    }

    fn replay(&self, replaying: &Replaying, loaded: Option<&Loaded>) -> Vec<Effect> {
        let Replaying { intent, incarnation, gateways } = replaying;
        let kept = intent.payment.as_ref().and_then(|payment| {
            Kept::decode(&loaded?.bytes, &payment.key, *incarnation)
        });
        let Some(kept) = kept else {
            return self.say(intent, &Saying::AlreadyExecuted, *gateways);
        };
        let gateway = self.policy.names(*gateways);
        let mut headers = vec![
            ("idempotent-replayed", "true".to_owned()),
            ("x-dana-gateway", gateway.clone()),
        ];
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
            request_id,
        };
        let reply = saying.reply(self.policy.config.protocol, &about);
        let operation = line.map_or_else(String::new, |line| line.name.to_string());
        let note = Note { operation, decision: reply.reason, gateway, ..Note::default() };
        (reply, note)
    }

    fn note(&self, intent: &Intent) -> Note {
        let key = intent.payment.as_ref().map(|payment| payment.key).or(intent.concerns);
        let operation = intent.operation.as_ref();
        Note {
            operation: operation.map_or_else(String::new, |o| o.operation.name.to_string()),
            key: key.map_or_else(String::new, |key| format!("{key}").chars().take(16).collect()),
            ..Note::default()
        }
    }
}

/// The state's name in logs.
const fn name(state: Option<State>) -> &'static str {
    match state {
        None => "",
        Some(State::InFlight { .. }) => "in_flight",
        Some(State::Settled { .. }) => "settled",
        Some(State::Rejected { .. }) => "rejected",
        Some(State::InDoubt { .. }) => "in_doubt",
        Some(State::Closed { .. }) => "closed",
    }
}

/// The claim after its state changed at `now`.
const fn moved(mut claim: Claim, state: State, now: Timestamp) -> Claim {
    claim.state = state;
    claim.changed_at = now;
    claim
}
