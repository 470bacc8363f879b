//! From the request to the decision: everything that it looks at is read first.

use super::attempt::Attempt;
use super::decide::{Action, Bound, Snapshot};
use super::permit::Permit;
use super::request::ParsedRequest;
use super::settling::{Settling, Update};
use super::stage::{Context, Loading, Next, Records, Replaying, Stage, Task};
use crate::engine::event::{ExchangeEffect, Request};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::{Health, Member, Source};
use crate::engine::payment::{ClaimKey, PaymentRef};
use crate::engine::protocol::{Class, LocalReply};
use crate::engine::store::{AliasTarget, Entry, Key, Seen, StoreEvent, StoreRequest, Version};
use crate::engine::time::{Leaps, Millis, Timestamp};

use std::collections::VecDeque;

pub(super) const STORE_FAILED: LocalReply =
    LocalReply::StoreFailed { retry_after: Millis::new(1000) };

impl Context<'_> {
    pub(super) fn begin(self, request: &Request<'_>) -> Next {
        match ParsedRequest::parse(request, self.policy, self.now) {
            Ok(parsed) => load(Task::new(parsed)),
            Err(refused) => self.refuse(refused),
        }
    }

    pub(super) fn go_on_loading(self, mut loading: Box<Loading>, event: StoreEvent) -> Next {
        match event {
            StoreEvent::Health(health, version) => loading.health = Some((health, version)),
            StoreEvent::Guessed(seen) => {
                loading.records.0.extend(seen);
                (loading.awaits, loading.guessed) = (false, true);
            }
            StoreEvent::Seen(seen) => {
                loading.records.0.extend(seen);
                loading.awaits = false;
                // A header key leads to a payment, and that is looked at too.
                let more = bound_to(&loading.task.parsed, &loading.records);
                let more = more.map(|(to, _)| Key::Payment(to));
                if let Some(key) = more.filter(|key| loading.records.find(*key).is_none()) {
                    loading.awaits = true;
                    return Next::ask(Stage::Loading(loading), StoreRequest::ReadMore(vec![key]));
                }
            }
            StoreEvent::HealthUnclear => {
                loading.task.permit = None;
                return self.give_up(loading.task, STORE_FAILED);
            }
            // A question changes nothing: it is asked all the same, of one gateway after the other.
            StoreEvent::Refused(_) | StoreEvent::Unclear
                if loading.task.parsed.class() == Some(Class::Inquiry) =>
            {
                loading.read_nothing();
            }
            StoreEvent::Refused(_) | StoreEvent::Unclear => {
                return self.give_up(loading.task, STORE_FAILED);
            }
            StoreEvent::Retracted
            | StoreEvent::Resumed
            | StoreEvent::Committed
            | StoreEvent::Conflict
            | StoreEvent::HealthWritten
            | StoreEvent::HealthConflict
            | StoreEvent::Answer(_)
            | StoreEvent::AnswerKept => {}
        }
        if loading.awaits {
            return Next::to(Stage::Loading(loading), Vec::new());
        }
        match loading.health.take() {
            Some((health, version)) => {
                let Loading { task, records, guessed, .. } = *loading;
                self.decide(task, records, guessed, health, version)
            }
            None => Next::to(Stage::Loading(loading), Vec::new()),
        }
    }

    fn snapshot<'a>(
        &'a self,
        parsed: &'a ParsedRequest,
        records: &Records,
        health: &'a Health,
        leaps: &'a Leaps,
    ) -> Snapshot<'a> {
        let claim = |key: Option<&ClaimKey>| {
            key.map_or(Entry::Absent, |key| records.entry(Key::Payment(key.reference())))
        };
        let own = parsed.payment.as_ref().map(|payment| &payment.key);
        let bound = match bound_to(parsed, records) {
            None => Bound::Free,
            Some((to, _)) if Some(to) == own.map(ClaimKey::reference) => Bound::Here,
            Some((to, since)) => Bound::Elsewhere { since, claim: records.entry(Key::Payment(to)) },
        };
        let issuer = parsed.token.map(|key| records.entry(Key::Alias(key.reference())));
        let issuer = match issuer {
            Some(Entry::Alias(alias)) => match alias.to {
                AliasTarget::Gateway(gateway) => Some((gateway, alias.used_at)),
                AliasTarget::Payment(_) | AliasTarget::Application(_) => None,
            },
            Some(Entry::Absent | Entry::Claim(_) | Entry::Unreadable) | None => None,
        };
        Snapshot {
            policy: self.policy,
            parsed,
            own: claim(own),
            concerned: claim(parsed.concerns.as_ref()),
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
        let limits = &self.policy.health.breaker;
        if limits.partner_failures_pct >= 100 {
            return Gateways::NONE;
        }
        let most = u64::from(limits.in_flight_max) * u64::from(limits.partner_failures_pct) / 100;
        let is_at_capacity = |gateway: &GatewayId| {
            let requests = health.in_flight(*gateway, self.now);
            u64::from(self.counters.share(*gateway, source, requests)) >= most.max(1)
        };
        let at_capacity: Gateways = self.policy.order().filter(is_at_capacity).collect();
        let pay = |one: &Member| one.breaker.others_pay(source, self.now, limits);
        let mut members = self.policy.order().filter_map(|gateway| health.member(gateway));
        let alone = at_capacity == Gateways::NONE || !members.any(pay);
        if alone { Gateways::NONE } else { at_capacity }
    }

    fn decide(
        self,
        mut task: Task,
        records: Records,
        guessed: bool,
        mut health: Box<Health>,
        version: Version,
    ) -> Next {
        // A worker that has just begun knows nothing of the clock.
        self.counters.learn(health.leaps());
        let leaps = self.counters.leaps(self.now);
        if let Some(Permit { gateway, generation }) = task.permit {
            // Taken before a race for the claim was lost: it is decided anew, as if it were free.
            health.member_mut(gateway).breaker.return_permit(generation);
        }
        // What is known of this worker's own requests is as old as its last tick.
        health.tell_in_flight(self.counters, self.now);
        self.counters.asks(task.parsed.source, self.now, self.policy.health.breaker.window);
        health.tell_asked(self.counters, &self.policy.health, self.now);
        let snapshot = self.snapshot(&task.parsed, &records, &health, &leaps);
        let snapshot = Snapshot { is_unkept: task.is_unkept, ..snapshot };
        let mut action = snapshot.decide();
        if self.policy.observes(task.parsed.operation.as_deref()) {
            let would = match &action {
                Action::Say { local_reply, .. } => local_reply.reason(),
                Action::Replay { .. } => "replay",
                Action::Send(attempt) => attempt.decision,
            };
            let observed = snapshot.observe(would);
            action = observed.map_or(action, |attempt| Action::Send(Box::new(attempt)));
        }
        let commits = matches!(&action, Action::Send(attempt) if attempt.claim.is_some());
        let is_trial = matches!(&action, Action::Send(attempt) if attempt.trial);
        let to_write = if task.permit.is_some() || is_trial {
            Some(health)
        } else {
            // Nothing of it has changed but what this worker tells of itself each time.
            self.counters.remember(version.number(), health);
            None
        };
        if guessed && !commits {
            task.is_certain = true;
            return load(task);
        }
        match action {
            Action::Say { local_reply, gateways } => {
                let effects = self.say(&task.parsed, &local_reply, gateways);
                self.finish(task.permit, effects)
            }
            Action::Replay { incarnation, gateways } => {
                let Some(key) = task.parsed.payment.as_ref().map(|payment| payment.key) else {
                    return Next::to(Stage::Ended, Vec::new());
                };
                let replaying = Replaying { task, gateways };
                let find = StoreRequest::FindAnswer(key, incarnation);
                Next::ask(Stage::Replaying(Box::new(replaying)), find)
            }
            Action::Send(attempt) => match to_write {
                Some(health) => self.prepare(task, records, attempt, health, version),
                None => self.claim_at_once(task, records, attempt),
            },
        }
    }

    /// Another worker was quicker: everything is read again, and decided anew.
    pub(super) fn decide_anew(self, mut task: Task) -> Next {
        task.is_unkept = false;
        self.read_again(task)
    }

    /// The answer to an executed payment is not kept. What happened since its claim was read is
    /// read with everything else.
    pub(super) fn decide_without_answer(self, mut task: Task) -> Next {
        task.is_unkept = true;
        self.read_again(task)
    }

    fn read_again(self, mut task: Task) -> Next {
        task.is_certain = true;
        if task.tries_again() { load(task) } else { self.give_up(task, STORE_FAILED) }
    }

    /// Nothing was sent and nothing will be.
    pub(super) fn give_up(mut self, task: Task, local_reply: LocalReply) -> Next {
        if self.policy.observes(task.parsed.operation.as_deref())
            && let Some(attempt) = self.unclaimed(&task.parsed, local_reply.reason())
        {
            return self.let_go(task.parsed, Box::new(attempt));
        }
        let effects = self.say(&task.parsed, &local_reply, Gateways::NONE);
        self.finish(task.permit, effects)
    }

    /// Ends without having sent anything; a permit that was taken comes back first.
    pub(super) fn finish(self, permit: Option<Permit>, effects: Vec<ExchangeEffect>) -> Next {
        match permit {
            None => Next::to(Stage::Ended, effects),
            Some(permit) => {
                let updates = VecDeque::from([Update::ReturnPermit(permit)]);
                self.next_update(Box::new(Settling::ending(updates, effects)))
            }
        }
    }

    /// What is only observed goes on also when nothing can be written about it.
    pub(super) fn unclaimed(&self, parsed: &ParsedRequest, would: &'static str) -> Option<Attempt> {
        let (health, leaps) = (Health::default(), Leaps::default());
        let snapshot = self.snapshot(parsed, &Records::default(), &health, &leaps);
        let attempt = snapshot.observe(would)?;
        Some(Attempt { claim: None, ..attempt })
    }
}

impl Loading {
    /// The records cannot be read. Nothing is known of them.
    fn read_nothing(&mut self) {
        let parsed = &self.task.parsed;
        let keys = [
            parsed.concerns.map(|key| Key::Payment(key.reference())),
            parsed.token.map(|key| Key::Alias(key.reference())),
        ];
        let nothing = |key| Seen { key, entry: Entry::Unreadable, version: Version::default() };
        self.records.0.extend(keys.into_iter().flatten().map(nothing));
        self.awaits = false;
    }
}

/// Asks for everything that the decision looks at. The payment's own record comes last: what was
/// read longest ago is what a race is lost by.
fn load(task: Task) -> Next {
    let parsed = &task.parsed;
    let payment = parsed.payment.as_ref();
    let header_key = payment.and_then(|payment| payment.header_key);
    let keys = [
        parsed.concerns.map(|key| Key::Payment(key.reference())),
        parsed.token.map(|key| Key::Alias(key.reference())),
        header_key.map(|key| Key::Alias(key.reference())),
        payment.map(|payment| Key::Payment(payment.key.reference())),
    ];
    let mut wanted = Vec::with_capacity(keys.len());
    for key in keys.into_iter().flatten() {
        wanted.retain(|other| *other != key);
        wanted.push(key);
    }
    // A charge is nearly always the first one of its payment, and its claim finds out if it is not.
    let is_charge = parsed.class() == Some(Class::Charge);
    let may_guess =
        is_charge && !task.is_certain && parsed.token.is_none() && parsed.concerns.is_none();
    let awaits = !wanted.is_empty();
    let records = Records::default();
    let loading = Loading { task, health: None, records, awaits, guessed: false };
    let mut asks = vec![StoreRequest::ReadHealth];
    if awaits {
        let read = if may_guess { StoreRequest::Peek } else { StoreRequest::Read };
        asks.push(read(wanted));
    }
    Next { stage: Stage::Loading(Box::new(loading)), effects: Vec::new(), asks }
}

/// The payment that the client's header key was used for, and since when.
fn bound_to(parsed: &ParsedRequest, records: &Records) -> Option<(PaymentRef, Timestamp)> {
    let key = parsed.payment.as_ref()?.header_key?;
    match records.entry(Key::Alias(key.reference())) {
        Entry::Alias(alias) => match alias.to {
            AliasTarget::Payment(payment) => Some((payment, alias.used_at)),
            AliasTarget::Gateway(_) | AliasTarget::Application(_) => None,
        },
        Entry::Absent | Entry::Claim(_) | Entry::Unreadable => None,
    }
}
