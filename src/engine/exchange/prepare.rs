//! From the request to the send: everything is read, it is decided, and the permit and the claim
//! are written before anything leaves.

use std::collections::VecDeque;

use super::decide::{Decision, Facts, Send};
use super::intent::Intent;
use super::settle::{Settling, Update};
use super::{Context, Next, Replaying, Sent, Stage};
use crate::engine::answer::{NotExecuted, Saying};
use crate::engine::event::{Cell, Effect, Event, Expected, Forward, Request};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::Health;
use crate::engine::key::ClaimKey;
use crate::engine::limits;
use crate::engine::operation::Class;
use crate::engine::record::{Bucket, Found};
use crate::engine::time::{Millis, Timestamp};

/// A request that is held until everything is known and written.
#[derive(Debug)]
pub(super) struct Deciding {
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

const STORE_FAILED: Saying = Saying::StoreFailed { retry_after: Millis::new(1000) };

/// A claim is refused for want of room only where there was none before.
const STORE_FULL: Saying =
    Saying::NotExecuted { why: NotExecuted::StoreFull, retry_after: Millis::new(1000) };

impl Context<'_> {
    pub(super) fn begin(self, request: &Request<'_>) -> Next {
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

    pub(super) fn go_on_deciding(self, mut deciding: Box<Deciding>, event: Event<'_>) -> Next {
        match event {
            Event::Loaded(Cell::Health, loaded) => {
                deciding.health = Some((Health::decode(&loaded.bytes), loaded.version));
            }
            Event::Loaded(cell @ Cell::Claims(_), loaded) => {
                let Some(bucket) = Bucket::decode(loaded.bytes) else {
                    return self.give_up(deciding, STORE_FAILED);
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
                return self.give_up(deciding, STORE_FAILED);
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
        let Some((mut health, health_version)) = deciding.health.take() else {
            return self.give_up(deciding, STORE_FAILED);
        };
        if let Some((gateway, generation)) = deciding.permit {
            // Taken before a race for the claim was lost: it is decided anew, as if it were free.
            health.member_mut(gateway).breaker.return_permit(generation);
        }
        let intent = &deciding.intent;
        let own_bucket = deciding.own.as_ref().map(|(bucket, _)| bucket);
        let find = |bucket: Option<&Bucket>, key: Option<&ClaimKey>| match (bucket, key) {
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
                let permit = deciding.permit;
                let replaying = Replaying { intent, incarnation, gateways, permit };
                (Stage::Replaying(Box::new(replaying)), vec![load])
            }
            Decision::Send(send) => self.prepare(deciding, send, health, health_version),
        }
    }

    /// Takes the permit for a trial, if it is one, and then the claim. A permit that is held from
    /// an earlier decision serves this one or comes back.
    fn prepare(
        self,
        mut deciding: Box<Deciding>,
        mut send: Send,
        mut health: Health,
        expected: Expected,
    ) -> Next {
        let wanted = send.members.first().copied().filter(|_| send.trial);
        let held = wanted.map(|gateway| (gateway, health.generation(gateway)));
        if deciding.permit == held {
            deciding.send = Some(send);
            return self.claim(deciding);
        }
        let change = wanted.and_then(|gateway| health.take_permit(gateway, self.policy, self.now));
        deciding.permit = wanted.map(|gateway| (gateway, health.generation(gateway)));
        if let (Some(first), Some((_, generation))) =
            (send.generations.first_mut(), deciding.permit)
        {
            *first = generation;
        }
        deciding.send = Some(send);
        let bytes = health.encode();
        let store = Effect::Store { cell: Cell::Health, bytes, expected };
        (
            Stage::Deciding(deciding),
            change.map(Effect::Changed).into_iter().chain([store]).collect(),
        )
    }

    fn claim(self, mut deciding: Box<Deciding>) -> Next {
        let claim = deciding.send.as_ref().and_then(|send| send.claim);
        let (Some(claim), Some(payment)) = (claim, &deciding.intent.payment) else {
            return self.forward(deciding);
        };
        let Some((mut bucket, expected)) = deciding.own.take() else {
            return self.give_up(deciding, STORE_FAILED);
        };
        let retention = self.policy.config.store.retention;
        if bucket.put(&payment.key.prefix(), &claim, self.now, retention).is_err() {
            return self.give_up(deciding, STORE_FULL);
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
            return self.give_up(deciding, STORE_FAILED);
        }
        deciding.own = None;
        deciding.concerned = None;
        deciding.health = None;
        deciding.send = None;
        self.load_all(deciding)
    }

    fn forward(self, mut deciding: Box<Deciding>) -> Next {
        let Some(send) = deciding.send.take() else {
            return self.give_up(deciding, STORE_FAILED);
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
        // The route's one retry is enough for two gateways.
        match send.members.len() {
            0 | 1 => set("x-envoy-max-retries", "0"),
            2 => {}
            members => set("x-envoy-max-retries", &(members - 1).to_string()),
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
    fn give_up(self, deciding: Box<Deciding>, saying: Saying) -> Next {
        let effects = self.say(&deciding.intent, &saying, Gateways::NONE);
        self.finish(deciding.permit, effects)
    }

    /// Ends without having sent anything; a permit that was taken comes back first.
    pub(super) fn finish(self, permit: Option<(GatewayId, u32)>, effects: Vec<Effect>) -> Next {
        match permit {
            None => (Stage::Ended, effects),
            Some((gateway, generation)) => {
                let updates = VecDeque::from([Update::ReturnPermit { gateway, generation }]);
                self.next_update(Box::new(Settling::ending(updates, effects)))
            }
        }
    }
}
