//! What is written before anything leaves, the permit, the binding of the header key and the claim
//! in this order, and then the request itself.

use super::attempt::Attempt;
use super::load::{Deciding, STORE_FAILED, Writing};
use super::request::ParsedRequest;
use super::{Context, Next, Sent, Stage};
use crate::engine::event::{Cell, Effect, Expected, Forward};
use crate::engine::health::Health;
use crate::engine::payment::ClaimKey;
use crate::engine::protocol::{Class, LocalReply, NotExecuted};
use crate::engine::store::{Alias, AliasTarget, Bucket, Retention};
use crate::engine::time::{Leaps, Millis, Timestamp};

/// A claim is refused for want of room only where there was none before.
const STORE_FULL: LocalReply =
    LocalReply::NotExecuted { why: NotExecuted::StoreFull, retry_after: Millis::new(1000) };

impl Context<'_> {
    /// Takes the permit for a trial, if it is one, and then the claim. A permit that is held from
    /// an earlier decision serves this one or comes back.
    pub(super) fn prepare(
        self,
        mut deciding: Box<Deciding>,
        mut send: Box<Attempt>,
        mut health: Health,
        expected: Expected,
    ) -> Next {
        let wanted = send.members.first().copied().filter(|_| send.trial);
        let held = wanted.map(|gateway| (gateway, health.generation(gateway)));
        if deciding.permit == held {
            deciding.send = Some(send);
            return self.bind(deciding);
        }
        let change = wanted.and_then(|gateway| health.take_permit(gateway, self.policy, self.now));
        deciding.permit_next = wanted.map(|gateway| (gateway, health.generation(gateway)));
        if let (Some(first), Some((_, generation))) =
            (send.generations.first_mut(), deciding.permit_next)
        {
            *first = generation;
        }
        deciding.send = Some(send);
        deciding.writing = Writing::Permit;
        let bytes = health.encode();
        deciding.change = change;
        (Stage::Deciding(deciding), vec![Effect::Store { cell: Cell::Health, bytes, expected }])
    }

    /// Binds the client's header key to the payment, before the claim: a payment whose header key
    /// could not be kept is not begun. One that was sent before goes on without.
    pub(super) fn bind(self, mut deciding: Box<Deciding>) -> Next {
        let own = self.own_bucket(&deciding);
        let number =
            self.binding(&deciding).map(|(key, _)| self.policy.placement.bucket(key.reference()));
        let Some(number) = number.filter(|number| Some(*number) != own) else {
            // Without one, or in the claim's own bucket and written with it.
            return self.claim(deciding);
        };
        let Some((mut bucket, expected)) = deciding.buckets.take(number) else {
            return self.give_up(deciding, STORE_FAILED);
        };
        if !self.put_binding(&deciding, &mut bucket) {
            if is_first(&deciding) {
                return self.give_up(deciding, STORE_FULL);
            }
            return self.claim(deciding);
        }
        deciding.writing = Writing::Binding;
        let store =
            Effect::Store { cell: Cell::Claims(number), bytes: bucket.into_bytes(), expected };
        (Stage::Deciding(deciding), vec![store])
    }

    fn own_bucket(&self, deciding: &Deciding) -> Option<u32> {
        deciding
            .parsed
            .payment
            .as_ref()
            .map(|payment| self.policy.placement.bucket(payment.key.reference()))
    }

    fn binding(&self, deciding: &Deciding) -> Option<(ClaimKey, Alias)> {
        let payment = deciding.parsed.payment.as_ref()?;
        let is_wanted = deciding.send.as_ref().is_some_and(|send| send.binds);
        let to = AliasTarget::Payment(payment.key.reference());
        let link = Alias { to, used_at: self.now, nonce: deciding.parsed.nonce };
        payment.header_key.filter(|_| is_wanted).map(|key| (key, link))
    }

    /// Puts the binding, if there is to be one, into its bucket; false when that is full.
    fn put_binding(&self, deciding: &Deciding, bucket: &mut Bucket) -> bool {
        let leaps = self.counters.leaps(self.now);
        self.binding(deciding).is_none_or(|(key, link)| {
            bucket.put_alias(&key.prefix(), &link, self.now, self.retention(&leaps)).is_ok()
        })
    }

    /// How long records are kept on this clock.
    pub(super) fn retention<'l>(&self, leaps: &'l Leaps) -> Retention<'l> {
        let store = &self.policy.config.store;
        Retention { claims: store.retention, tokens: store.token_retention, leaps }
    }

    pub(super) fn claim(self, mut deciding: Box<Deciding>) -> Next {
        let claim = deciding.send.as_ref().and_then(|send| send.claim);
        let (Some(claim), Some(payment)) = (claim, &deciding.parsed.payment) else {
            return self.forward(deciding);
        };
        let (key, number) = (payment.key, self.policy.placement.bucket(payment.key.reference()));
        let Some((mut bucket, expected)) = deciding.buckets.take(number) else {
            return self.give_up(deciding, STORE_FAILED);
        };
        let binding =
            self.binding(&deciding).map(|(key, _)| self.policy.placement.bucket(key.reference()));
        let leaps = self.counters.leaps(self.now);
        // A record that is there finds room again: the claim comes first.
        let has_room = bucket.put(&key.prefix(), &claim, self.now, self.retention(&leaps)).is_ok()
            && (binding != Some(number)
                || self.put_binding(&deciding, &mut bucket)
                || !is_first(&deciding));
        if !has_room {
            return self.give_up(deciding, STORE_FULL);
        }
        deciding.writing = Writing::Claim;
        let store =
            Effect::Store { cell: Cell::Claims(number), bytes: bucket.into_bytes(), expected };
        (Stage::Deciding(deciding), vec![store])
    }

    pub(super) fn forward(mut self, mut deciding: Box<Deciding>) -> Next {
        match deciding.send.take() {
            Some(send) => self.let_go(deciding.parsed, send, deciding.started),
            None => self.give_up(deciding, STORE_FAILED),
        }
    }

    pub(super) fn let_go(
        &mut self,
        parsed: ParsedRequest,
        send: Box<Attempt>,
        at: Timestamp,
    ) -> Next {
        let forward = self.headers(&parsed, &send);
        if let Some(first) = send.members.first() {
            self.counters.goes_out(*first, parsed.source);
        }
        let sent = Sent { parsed, send, at, called: false };
        (Stage::Sent(Box::new(sent)), vec![Effect::Forward(forward)])
    }

    fn headers(&self, parsed: &ParsedRequest, send: &Attempt) -> Forward {
        let mut headers = vec![(self.policy.config.route_header.clone(), send.cluster.clone())];
        let mut set = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
        // The route's one retry is enough for two gateways.
        match send.members.len() {
            0 | 1 => set("x-envoy-max-retries", "0"),
            2 => {}
            members => set("x-envoy-max-retries", &(members - 1).to_string()),
        }
        if !send.is_observed() {
            set("x-envoy-upstream-rq-timeout-ms", &self.timeout(parsed).get().to_string());
            headers.extend(own_headers(parsed));
        }
        let composite = send.members.len() > 1;
        let sole = send.candidates().single();
        let keep = send.lookup.left.iter().any(|(gateway, _)| Some(*gateway) != sole);
        Forward { headers, composite, keep }
    }

    pub(super) fn timeout(&self, parsed: &ParsedRequest) -> Millis {
        let timeouts = self.policy.config.timeouts;
        match parsed.class() {
            Some(Class::Inquiry) => timeouts.inquiry,
            Some(Class::Charge | Class::FollowUp | Class::State) | None => timeouts.response,
        }
    }
}

/// Whether the payment was never sent before, so that it may be refused for want of room.
fn is_first(deciding: &Deciding) -> bool {
    deciding.send.as_ref().and_then(|send| send.claim).is_some_and(|claim| claim.attempt == 1)
}

/// What the gateway gets beside the client's own header fields.
pub(super) fn own_headers(parsed: &ParsedRequest) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let mut set = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    if parsed.accepts_encodings && parsed.operation.is_some() {
        set("accept-encoding", "identity");
    }
    if let Some(payment) = &parsed.payment {
        set("idempotency-key", &payment.idempotency_key);
    }
    if let Some(external_id) = &parsed.external_id {
        set("x-external-id", external_id);
    }
    headers
}
