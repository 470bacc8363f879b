//! Where a request goes, if anywhere: a pure function of what it wants, what the store says and
//! how the gateways do.

use crate::engine::config::Policy;
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::Health;
use crate::engine::payment::{Admission, Claim, ClaimState, Closed, Fetch, Incarnation};
use crate::engine::protocol::{Class, LocalReply, NotExecuted, Repeat, Unknown};
use crate::engine::store::Entry;
use crate::engine::time::{Leaps, Millis, Timestamp};

use super::attempt::{Attempt, ContinueOn, Lookup};
use super::request::{ParsedRequest, Payment};

/// What is to be done with a request.
#[derive(Debug)]
pub(super) enum Action {
    /// Answer it ourselves.
    Say {
        local_reply: LocalReply,
        /// Who holds the payment, as far as it is known.
        gateways: Gateways,
    },
    /// Answer it with what the gateway said the first time.
    Replay { incarnation: Incarnation, gateways: Gateways },
    /// Send it.
    Send(Box<Attempt>),
}

/// Everything a decision looks at.
pub(super) struct Snapshot<'a> {
    pub(super) policy: &'a Policy,
    pub(super) parsed: &'a ParsedRequest,
    /// The payment's own record.
    pub(super) own: Entry,
    /// The record of the payment it is about.
    pub(super) concerned: Entry,
    /// The payment that the client's `Idempotency-Key` was used for before.
    pub(super) bound: Bound,
    /// The gateway that issued the customer's token, as far as it is known.
    pub(super) issuer: Option<GatewayId>,
    /// When that was last written.
    pub(super) issued_at: Option<Timestamp>,
    /// Gateways that have enough of this partner's requests: new ones go elsewhere.
    pub(super) at_capacity: Gateways,
    /// The payment was executed, and its answer was looked for in vain.
    pub(super) is_unkept: bool,
    pub(super) health: &'a Health,
    /// Where the clock leapt.
    pub(super) leaps: &'a Leaps,
    pub(super) now: Timestamp,
}

/// What a client's `Idempotency-Key` is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    /// Nothing, or there is none.
    Free,
    /// This payment.
    Here,
    /// Another payment.
    Elsewhere {
        /// Since when.
        since: Timestamp,
        /// The record of that payment.
        claim: Entry,
    },
}

impl Snapshot<'_> {
    pub(super) fn decide(&self) -> Action {
        match (self.parsed.class(), &self.parsed.payment) {
            (_, Some(payment)) => self.decide_payment(payment),
            (Some(Class::Inquiry), None) => self.decide_inquiry(),
            (Some(Class::Charge | Class::FollowUp | Class::State) | None, None) => {
                self.to_issuer_or_any()
            }
        }
    }

    /// A record as it counts for this request.
    pub(super) fn counted(&self, claim: Claim) -> Claim {
        let claim = claim.seen(self.now, self.leaps);
        let claim = if self.policy.observes(self.parsed.operation.as_deref()) {
            claim
        } else {
            claim.enforced(&self.policy.claims)
        };
        claim.at(self.now)
    }

    fn decide_payment(&self, payment: &Payment) -> Action {
        let rules = &self.policy.claims;
        let claim = match self.own {
            Entry::Absent => {
                let taken = self.decide_by_header_key();
                return taken.unwrap_or_else(|| self.decide_new(payment));
            }
            Entry::Unreadable | Entry::Alias(_) => {
                return self.unknown(Gateways::NONE, rules.repeat_after);
            }
            Entry::Claim(claim) => self.counted(claim),
        };
        // A payment that may have been executed is not denied for the sake of a header key.
        if matches!(claim.state, ClaimState::Rejected { .. })
            && let Some(taken) = self.decide_by_header_key()
        {
            return taken;
        }
        if self.begins_anew(&claim) {
            return self.decide_new(payment);
        }
        if let Some(decision) = self.again_astray(&claim, payment) {
            return decision;
        }
        let holders = claim.holders();
        match claim.admit(payment.fingerprint, self.now, rules) {
            Admission::InProgress { unknown, retry_after } => {
                self.say(LocalReply::InProgress { unknown, retry_after }, holders)
            }
            Admission::Replay { .. } if self.is_unkept => self.fetch(&claim, payment),
            Admission::Replay { gateways } => {
                Action::Replay { incarnation: claim.incarnation, gateways }
            }
            Admission::Mismatch => self.say(LocalReply::Mismatch, Gateways::NONE),
            Admission::Closed(how) => self.say(LocalReply::Closed(how), holders),
            Admission::Unknown { retry_after } => self.unknown(holders, retry_after),
            Admission::Retry { gateway } => self
                .again(&claim, gateway, payment, "retry")
                .unwrap_or_else(|| self.pinned_gateway_down(holders)),
            Admission::Repeat { gateway } if payment.repeat == Repeat::ByReference => self
                .again(&claim, gateway, payment, "repeat")
                .unwrap_or_else(|| self.unknown(holders, rules.repeat_after)),
            Admission::Repeat { .. } => self.unknown(holders, rules.repeat_after),
        }
    }

    /// A payment that was executed and whose answer is not kept: whoever executed it says it again,
    /// if it may be asked now.
    fn fetch(&self, claim: &Claim, payment: &Payment) -> Action {
        let rules = &self.policy.claims;
        let executed =
            |retry_after| self.say(LocalReply::AlreadyExecuted { retry_after }, claim.holders());
        match claim.fetch(self.now, rules) {
            Fetch::Wait { retry_after } => executed(Some(retry_after)),
            Fetch::Repeat { gateway }
                if payment.repeat == Repeat::ByReference
                    && !self.health.is_drained(gateway, self.now) =>
            {
                let again = claim.further_attempt(
                    payment.fingerprint_and_money(),
                    gateway,
                    self.now,
                    rules,
                );
                self.to_one(gateway, "repeat", again).unwrap_or_else(|| executed(None))
            }
            Fetch::Repeat { .. } | Fetch::Never => executed(None),
        }
    }

    /// The same header key on another payment is a mistake once that payment is proven. One that
    /// is not proven turns nobody away for good, so that nobody can squat a key.
    pub(super) fn decide_by_header_key(&self) -> Option<Action> {
        let rules = &self.policy.claims;
        let Bound::Elsewhere { since, claim } = self.bound else {
            return None;
        };
        let in_progress = |unknown, retry_after, holders| {
            Some(self.say(LocalReply::InProgress { unknown, retry_after }, holders))
        };
        let claim = match claim {
            Entry::Claim(claim) => self.counted(claim),
            Entry::Unreadable | Entry::Alias(_) => {
                return Some(self.unknown(Gateways::NONE, rules.repeat_after));
            }
            // Bound, and never claimed: whoever did it may be about to, until its time is over.
            Entry::Absent => {
                let left = since.plus(rules.lease).since(self.now);
                return if left.get() == 0 {
                    None
                } else {
                    let due = since.plus(rules.response).since(self.now);
                    in_progress(false, due.max(Millis::new(1000)), Gateways::NONE)
                };
            }
        };
        match claim.state {
            ClaimState::Settled { .. } | ClaimState::Closed { .. } => {
                Some(self.say(LocalReply::Mismatch, Gateways::NONE))
            }
            ClaimState::InFlight { .. } => {
                in_progress(false, claim.answer_due(self.now, rules), claim.holders())
            }
            ClaimState::InDoubt { .. } => in_progress(true, rules.repeat_after, claim.holders()),
            ClaimState::Rejected { .. } => None,
        }
    }

    /// A follow-up that was refused, where that refusal was not the last word: its payment is
    /// under way, or turned out to be elsewhere, or is still unknown, so that each gateway may be
    /// asked again. And a cancel that was not executed, as an operator found out: a payment has one
    /// cancel, which could not be asked for under any other name, and twice it does no more than once.
    fn begins_anew(&self, own: &Claim) -> bool {
        let refused_by = match own.state {
            ClaimState::Rejected { gateway } => gateway,
            ClaimState::Closed { how: Closed::Failed, .. } => return self.parsed.is_cancel(),
            ClaimState::InFlight { .. }
            | ClaimState::Settled { .. }
            | ClaimState::InDoubt { .. }
            | ClaimState::Closed { .. } => return false,
        };
        match self.concerned {
            Entry::Claim(concerned) => {
                let concerned = self.counted(concerned);
                let holder = concerned.holders().single();
                holder.is_some_and(|holder| holder != refused_by)
                    || matches!(concerned.state, ClaimState::InFlight { .. })
            }
            Entry::Absent => self.parsed.class() == Some(Class::FollowUp),
            Entry::Unreadable | Entry::Alias(_) => false,
        }
    }

    /// A payment that was never seen. A follow-up goes where its payment is.
    fn decide_new(&self, payment: &Payment) -> Action {
        let concerned = match self.concerned {
            Entry::Absent => return self.to_new(payment),
            Entry::Unreadable | Entry::Alias(_) => {
                return self.unknown(Gateways::NONE, self.policy.claims.repeat_after);
            }
            Entry::Claim(claim) => self.counted(claim),
        };
        let holders = concerned.holders();
        let holder = holders.single().or_else(|| holders.iter().find(|_| self.is_shared()));
        match (concerned.state, holder) {
            (ClaimState::InFlight { .. }, _) => {
                let retry_after = concerned.answer_due(self.now, &self.policy.claims);
                self.say(LocalReply::InProgress { unknown: false, retry_after }, holders)
            }
            (_, Some(gateway)) => {
                let to = |gateway| {
                    let claim = self.first_claim(payment, Gateways::only(gateway));
                    self.to_one(gateway, "follow", claim)
                };
                let order = self.in_turn(&concerned, gateway);
                let decision = order.into_iter().find_map(to);
                decision.unwrap_or_else(|| self.pinned_gateway_down(holders))
            }
            (_, None) => self.unknown(holders, self.policy.claims.repeat_after),
        }
    }

    pub(super) fn first_claim(&self, payment: &Payment, candidates: Gateways) -> Claim {
        let until = self.now.plus(self.policy.claims.lease);
        let state = ClaimState::InFlight { candidates, until, after_no: false };
        let incarnation = Incarnation { claimed_at: self.now, nonce: self.parsed.nonce };
        Claim::new(payment.fingerprint, state, incarnation, payment.money)
    }

    /// A charge goes to whoever may take it, or to the only one where its customer is known. A
    /// follow-up of a payment unknown to us goes from gateway to gateway until one knows it.
    fn to_new(&self, payment: &Payment) -> Action {
        let claim = |candidates| self.first_claim(payment, candidates);
        if self.parsed.class() == Some(Class::Charge) {
            return match self.issuer() {
                Some(gateway) => self
                    .to_one(gateway, "forward", claim(Gateways::only(gateway)))
                    .filter(|_| self.health.takes_new(gateway, &self.policy.health, self.now))
                    .filter(|_| !self.at_capacity.contains(gateway))
                    .unwrap_or_else(|| self.pinned_gateway_down(Gateways::only(gateway))),
                None => self.to_any("forward", Some(&claim)),
            };
        }
        let first = self.health.active(&self.policy.health, self.now).and_then(|gateway| {
            Some((gateway, self.to_one(gateway, "forward", claim(Gateways::only(gateway)))?))
        });
        let Some((gateway, decision)) = first else {
            return self.no_gateway();
        };
        let others = || self.policy.order().filter(|other| *other != gateway);
        let usable = others().filter(|other| self.is_closed(*other));
        let lookup = Lookup {
            asks_all: self.parsed.concerns.is_some()
                && (self.is_shared() || others().all(|other| self.is_closed(other)))
                && self.may_ask_all(),
            ..self.lookup(usable, ContinueOn::NotFound)
        };
        decision.with(lookup)
    }

    /// A status goes to the gateway that holds the payment, whatever its breaker says: nobody else
    /// can answer. Where several may hold it each is asked, and for a payment unknown to us all.
    fn decide_inquiry(&self) -> Action {
        let asks_for_payment =
            self.parsed.operation.as_ref().is_some_and(|o| o.operation.status.is_some());
        match self.concerned {
            Entry::Claim(claim) => self.ask_holders(&self.counted(claim)),
            Entry::Absent if asks_for_payment => {
                let when =
                    if self.parsed.is_named() { ContinueOn::NotFound } else { ContinueOn::Unnamed };
                let lookup = self.lookup(self.by_health(self.policy.order()), when);
                self.to_any("forward", None).with(Lookup { asks_all: self.may_ask_all(), ..lookup })
            }
            // Nothing is known of it, so anybody may have it.
            Entry::Unreadable if asks_for_payment => {
                let lookup = self.lookup(self.policy.order(), ContinueOn::Inconclusive);
                self.to_any("forward", None).with(lookup)
            }
            Entry::Absent | Entry::Unreadable | Entry::Alias(_) => self.to_issuer_or_any(),
        }
    }

    fn ask_holders(&self, claim: &Claim) -> Action {
        let is_configured = |gateway: &GatewayId| self.policy.gateway(*gateway).is_some();
        let holders = self.by_health(claim.holders().iter().filter(is_configured));
        let in_flight = matches!(claim.state, ClaimState::InFlight { .. });
        // Envoy tries one after the other: the first one is the likeliest to have it.
        let named = holders.contains(&claim.first).then_some(&claim.first);
        let first = named.filter(|_| in_flight).or_else(|| holders.first());
        // Questions fill a gateway's ceiling as payments do; nobody else has the answer.
        if first.is_some_and(|gateway| self.at_capacity.contains(*gateway)) {
            return self
                .say(LocalReply::NoAnswer { retry_after: Millis::new(1000) }, claim.holders());
        }
        let Some(decision) = first.and_then(|gateway| self.pinned(*gateway, "follow")) else {
            return self.to_any("forward", None);
        };
        if in_flight {
            return decision;
        }
        decision.with(self.lookup(holders, ContinueOn::Inconclusive))
    }

    const fn say(&self, local_reply: LocalReply, gateways: Gateways) -> Action {
        Action::Say { local_reply, gateways }
    }

    const fn unknown(&self, gateways: Gateways, retry_after: Millis) -> Action {
        self.say(LocalReply::Unknown { what: Unknown::Earlier, retry_after }, gateways)
    }

    pub(super) const fn pinned_gateway_down(&self, gateways: Gateways) -> Action {
        let (why, retry_after) = (NotExecuted::PinnedGatewayDown, self.policy.health.breaker.open);
        self.say(LocalReply::NotExecuted { why, retry_after }, gateways)
    }

    pub(super) const fn no_gateway(&self) -> Action {
        let (why, retry_after) = (NotExecuted::NoGateway, self.policy.health.breaker.open);
        self.say(LocalReply::NotExecuted { why, retry_after }, Gateways::NONE)
    }
}
