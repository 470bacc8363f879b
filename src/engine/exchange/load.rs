//! From the request to the decision: everything that it looks at is read first.

use std::collections::VecDeque;

use super::attempt::Attempt;
use super::decide::{Action, Bound, Snapshot};
use super::request::ParsedRequest;
use super::settle::{Settling, Update};
use super::{Context, Next, Replaying, Stage};
use crate::engine::event::{Cell, Effect, Event, Expected, Request};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::{Health, HealthEvent, Member, Source};
use crate::engine::limits;
use crate::engine::payment::{ClaimKey, PaymentRef};
use crate::engine::protocol::LocalReply;
use crate::engine::store::{AliasTarget, Bucket, Entry};
use crate::engine::time::{Leaps, Millis, Timestamp};

/// A request that is held until everything is known and written.
#[derive(Debug)]
pub(super) struct Deciding {
    pub(super) parsed: ParsedRequest,
    pub(super) started: Timestamp,
    pub(super) buckets: Buckets,
    health: Option<(Health, Expected)>,
    /// What was decided, while it is being written.
    pub(super) send: Option<Box<Attempt>>,
    /// What was last asked to be written.
    pub(super) writing: Writing,
    /// The buckets that were asked for.
    asked: Vec<u32>,
    /// What operators are told once the permit is written.
    pub(super) change: Option<HealthEvent>,
    /// A permit that was taken: gateway and generation.
    pub(super) permit: Option<(GatewayId, u32)>,
    /// What it will be once the health is written.
    pub(super) permit_next: Option<(GatewayId, u32)>,
    /// The payment was executed, and its answer was looked for in vain.
    is_unkept: bool,
    attempts: u8,
}

/// What is being written, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// A bucket with times that the clock was put back from; then all is read and decided anew.
    Mended,
    Permit,
    Binding,
    Claim,
}

/// The buckets that were read, by number. A handful.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    read: Vec<(u32, Bucket, Expected)>,
    /// One of them was mended and must be written.
    mended: Option<u32>,
}

impl Buckets {
    fn get(&self, number: u32) -> Option<&Bucket> {
        self.read.iter().find(|(other, ..)| *other == number).map(|(_, bucket, _)| bucket)
    }

    pub(super) fn take(&mut self, number: u32) -> Option<(Bucket, Expected)> {
        let at = self.read.iter().position(|(other, ..)| *other == number)?;
        let (_, bucket, expected) = self.read.swap_remove(at);
        Some((bucket, expected))
    }
}

pub(super) const STORE_FAILED: LocalReply =
    LocalReply::StoreFailed { retry_after: Millis::new(1000) };

impl Context<'_> {
    pub(super) fn begin(self, request: &Request<'_>) -> Next {
        let started = self.now;
        match ParsedRequest::parse(request, self.policy, self.now) {
            Ok(parsed) => self.load_all(Box::new(Deciding {
                parsed,
                started,
                buckets: Buckets::default(),
                health: None,
                send: None,
                writing: Writing::Permit,
                asked: Vec::new(),
                change: None,
                permit: None,
                permit_next: None,
                is_unkept: false,
                attempts: 0,
            })),
            Err(refused) => self.refuse(refused),
        }
    }

    /// Asks for everything that the decision looks at.
    fn load_all(self, mut deciding: Box<Deciding>) -> Next {
        let mut effects = vec![Effect::Load(Cell::Health)];
        effects.extend(self.load_more(&mut deciding));
        (Stage::Deciding(deciding), effects)
    }

    /// Asks for the buckets that were not asked for yet.
    fn load_more(&self, deciding: &mut Deciding) -> Vec<Effect> {
        let mut needed = self.buckets_of(&deciding.parsed, &deciding.buckets);
        needed.retain(|number| !deciding.asked.contains(number));
        deciding.asked.extend(&needed);
        needed.into_iter().map(|number| Effect::Load(Cell::Claims(number))).collect()
    }

    /// The buckets that a decision looks at. The payment's own comes last: what was read longest
    /// ago is what a race is lost by.
    fn buckets_of(&self, parsed: &ParsedRequest, known: &Buckets) -> Vec<u32> {
        let number = |key: &ClaimKey| self.policy.placement.bucket(key.reference());
        let payment = parsed.payment.as_ref();
        let bound = self.bound_to(parsed, known).map(|(to, _)| self.policy.placement.bucket(to));
        let needed = [
            parsed.concerns.as_ref().map(number),
            parsed.token.as_ref().map(number),
            payment.and_then(|payment| payment.header_key.as_ref()).map(number),
            bound,
            payment.map(|payment| number(&payment.key)),
        ];
        let mut numbers = Vec::with_capacity(needed.len());
        for number in needed.into_iter().flatten() {
            numbers.retain(|other| *other != number);
            numbers.push(number);
        }
        numbers
    }

    /// The payment that the client's header key was used for, and since when.
    fn bound_to(&self, parsed: &ParsedRequest, known: &Buckets) -> Option<(PaymentRef, Timestamp)> {
        let key = parsed.payment.as_ref()?.header_key?;
        let link =
            known.get(self.policy.placement.bucket(key.reference()))?.find_alias(&key.prefix())?;
        match link.to {
            AliasTarget::Payment(payment) => Some((payment, link.used_at)),
            AliasTarget::Gateway(_) => None,
        }
    }

    pub(super) fn go_on_deciding(self, mut deciding: Box<Deciding>, event: Event<'_>) -> Next {
        match event {
            Event::Loaded(Cell::Health, loaded) => {
                deciding.health = Some((Health::decode(&loaded.bytes), loaded.version));
            }
            Event::Loaded(Cell::Claims(number), loaded) => {
                let Some(mut bucket) = Bucket::decode(loaded.bytes) else {
                    return self.give_up(deciding, STORE_FAILED);
                };
                if bucket.mend(self.now, &self.policy.claims) {
                    deciding.buckets.mended = Some(number);
                }
                deciding.buckets.read.push((number, bucket, loaded.version));
                let more = self.load_more(&mut deciding);
                if !more.is_empty() {
                    return (Stage::Deciding(deciding), more);
                }
            }
            Event::Stored(_) => {
                let told: Vec<Effect> =
                    deciding.change.take().map(Effect::Changed).into_iter().collect();
                return match deciding.writing {
                    Writing::Mended => self.decide_anew(deciding),
                    Writing::Permit => {
                        deciding.permit = deciding.permit_next;
                        let (stage, more) = self.bind(deciding);
                        (stage, told.into_iter().chain(more).collect())
                    }
                    Writing::Binding => self.claim(deciding),
                    Writing::Claim => self.forward(deciding),
                };
            }
            Event::Conflict(_) => return self.decide_anew(deciding),
            Event::StoreFailed(cell) => {
                // Whether the permit was taken is not known; if it was, its time brings it back.
                deciding.permit = deciding.permit.filter(|_| cell != Cell::Health);
                return self.give_up(deciding, STORE_FAILED);
            }
            Event::Loaded(..) | Event::Request(_) => {}
            // Gone before it was sent: nothing was, and a permit comes back.
            Event::Answered(_) => return self.finish(deciding.permit, Vec::new()),
        }
        let all = deciding.asked.iter().all(|number| deciding.buckets.get(*number).is_some());
        if deciding.health.is_none() || !all {
            return (Stage::Deciding(deciding), Vec::new());
        }
        self.decide(deciding)
    }

    fn snapshot<'a>(
        &'a self,
        parsed: &'a ParsedRequest,
        buckets: &Buckets,
        health: &'a Health,
        leaps: &'a Leaps,
    ) -> Snapshot<'a> {
        let bucket = |key: &ClaimKey| buckets.get(self.policy.placement.bucket(key.reference()));
        let find = |key: Option<&ClaimKey>| {
            let found = key.and_then(|key| Some(bucket(key)?.find(&key.prefix())));
            found.unwrap_or(Entry::Absent)
        };
        let own = parsed.payment.as_ref().map(|payment| &payment.key);
        let bound = match self.bound_to(parsed, buckets) {
            None => Bound::Free,
            Some((to, _)) if Some(to) == own.map(ClaimKey::reference) => Bound::Here,
            Some((to, since)) => {
                let bucket = buckets.get(self.policy.placement.bucket(to));
                let claim = bucket.map_or(Entry::Absent, |bucket| bucket.find(&to.prefix()));
                Bound::Elsewhere { since, claim }
            }
        };
        let issuer = parsed.token.as_ref().and_then(|key| bucket(key)?.find_alias(&key.prefix()));
        let issuer = issuer.and_then(|link| match link.to {
            AliasTarget::Gateway(gateway) => Some((gateway, link.used_at)),
            AliasTarget::Payment(_) => None,
        });
        Snapshot {
            policy: self.policy,
            parsed,
            own: find(own),
            concerned: find(parsed.concerns.as_ref()),
            bound,
            issuer: issuer.map(|(gateway, _)| gateway),
            issued_at: issuer.map(|(_, at)| at),
            at_capacity: self.at_capacity_for(parsed.source, health),
            is_unkept: false,
            health,
            leaps,
            now: self.now,
        }
    }

    /// The gateways of whose ceiling a partner has all that one may have while others pay, wherever
    /// they do: the reserve is theirs too. Without this, one partner whose requests hang takes one
    /// gateway after the other from all.
    fn at_capacity_for(&self, source: Source, health: &Health) -> Gateways {
        let limits = &self.policy.breaker;
        if limits.partner_failures_pct >= 100 {
            return Gateways::NONE;
        }
        let most = u64::from(limits.in_flight_max) * u64::from(limits.partner_failures_pct) / 100;
        let is_crowded = |gateway: &GatewayId| {
            let requests = health.in_flight(*gateway, self.now);
            u64::from(self.counters.share(*gateway, source, requests)) >= most.max(1)
        };
        let at_capacity: Gateways = self.policy.order().filter(is_crowded).collect();
        let pay = |one: &Member| one.breaker.others_pay(source, self.now, limits);
        let mut members = self.policy.order().filter_map(|gateway| health.member(gateway));
        if at_capacity == Gateways::NONE || !members.any(pay) {
            Gateways::NONE
        } else {
            at_capacity
        }
    }

    fn decide(self, mut deciding: Box<Deciding>) -> Next {
        let Some((mut health, health_version)) = deciding.health.take() else {
            return self.give_up(deciding, STORE_FAILED);
        };
        if let Some(number) = deciding.buckets.mended.take()
            && let Some((bucket, expected)) = deciding.buckets.take(number)
        {
            deciding.writing = Writing::Mended;
            let (cell, bytes) = (Cell::Claims(number), bucket.into_bytes());
            return (Stage::Deciding(deciding), vec![Effect::Store { cell, bytes, expected }]);
        }
        // A worker that has just begun knows nothing of the clock.
        self.counters.learn(health.leaps());
        let leaps = self.counters.leaps(self.now);
        if let Some((gateway, generation)) = deciding.permit {
            // Taken before a race for the claim was lost: it is decided anew, as if it were free.
            health.member_mut(gateway).breaker.return_permit(generation);
        }
        // What is known of this worker's own requests is as old as its last tick.
        health.tell_in_flight(self.counters, self.now);
        let window = self.policy.breaker.window;
        self.counters.asks(deciding.parsed.source, self.now, window);
        health.tell_asked(self.counters, self.policy, self.now);
        let is_unkept = deciding.is_unkept;
        let snapshot = self.snapshot(&deciding.parsed, &deciding.buckets, &health, &leaps);
        let snapshot = Snapshot { is_unkept, ..snapshot };
        let mut decision = snapshot.decide();
        if self.policy.observes(deciding.parsed.operation.as_deref()) {
            let would = match &decision {
                Action::Say { local_reply, .. } => local_reply.reason(),
                Action::Replay { .. } => "replay",
                Action::Send(send) => send.decision,
            };
            decision =
                snapshot.observe(would).map_or(decision, |send| Action::Send(Box::new(send)));
        }
        match decision {
            Action::Say { local_reply, gateways } => {
                let effects = self.say(&deciding.parsed, &local_reply, gateways);
                self.finish(deciding.permit, effects)
            }
            Action::Replay { incarnation, gateways } => {
                let Some(payment) = &deciding.parsed.payment else {
                    return (Stage::Ended, Vec::new());
                };
                let load = Effect::Load(self.kept_in(&payment.key));
                let replaying = Replaying { deciding, incarnation, gateways };
                (Stage::Replaying(Box::new(replaying)), vec![load])
            }
            Action::Send(send) => self.prepare(deciding, send, health, health_version),
        }
    }

    /// The set that the answer to a payment is kept in.
    pub(super) fn kept_in(&self, key: &ClaimKey) -> Cell {
        let sets = self.policy.config.kept_sets();
        Cell::Body(self.policy.placement.body(key.reference(), sets))
    }

    /// Another worker was quicker: everything is read again.
    fn decide_anew(self, deciding: Box<Deciding>) -> Next {
        self.read_again(deciding, false)
    }

    /// The answer to an executed payment is not kept. What happened since its claim was read is
    /// read with everything else.
    pub(super) fn decide_without_answer(self, deciding: Box<Deciding>) -> Next {
        self.read_again(deciding, true)
    }

    fn read_again(self, mut deciding: Box<Deciding>, is_unkept: bool) -> Next {
        deciding.is_unkept = is_unkept;
        deciding.attempts += 1;
        if deciding.attempts >= limits::STORE_ATTEMPTS_MAX {
            return self.give_up(deciding, STORE_FAILED);
        }
        deciding.buckets = Buckets::default();
        deciding.asked.clear();
        deciding.change = None;
        deciding.health = None;
        deciding.send = None;
        self.load_all(deciding)
    }

    /// Nothing was sent and nothing will be.
    pub(super) fn give_up(mut self, deciding: Box<Deciding>, local_reply: LocalReply) -> Next {
        if self.policy.observes(deciding.parsed.operation.as_deref())
            && let Some(send) = self.unclaimed(&deciding.parsed, local_reply.reason())
        {
            return self.let_go(deciding.parsed, Box::new(send), deciding.started);
        }
        let effects = self.say(&deciding.parsed, &local_reply, Gateways::NONE);
        self.finish(deciding.permit, effects)
    }

    /// What is only observed goes on also when nothing can be written about it.
    pub(super) fn unclaimed(&self, parsed: &ParsedRequest, would: &'static str) -> Option<Attempt> {
        let health = Health::default();
        let leaps = Leaps::default();
        let send = self.snapshot(parsed, &Buckets::default(), &health, &leaps).observe(would)?;
        Some(Attempt { claim: None, ..send })
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
