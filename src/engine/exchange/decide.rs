//! Where a request goes, if anywhere: a pure function of what it wants, what the store says and
//! how the gateways do.

use crate::engine::answer::{NotExecuted, Saying};
use crate::engine::claim::{Admission, AttemptId, Claim, Incarnation, State};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::Health;
use crate::engine::operation::{Class, Repeat};
use crate::engine::policy::{Policy, Target};
use crate::engine::record::Found;
use crate::engine::time::{Millis, Timestamp};

use super::intent::{Intent, Payment};

/// What is to be done with a request.
#[derive(Debug)]
pub(super) enum Decision {
    /// Answer it ourselves.
    Say {
        saying: Saying,
        /// Who holds the payment, as far as it is known.
        gateways: Gateways,
    },
    /// Answer it with what the gateway said the first time.
    Replay { incarnation: Incarnation, gateways: Gateways },
    /// Send it.
    Send(Send),
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) struct Send {
    /// Envoy's cluster.
    pub(super) cluster: String,
    /// Whom the cluster reaches, in the order in which Envoy tries them.
    pub(super) members: Vec<GatewayId>,
    /// The breakers' generations, which the results must bring back.
    pub(super) generations: Vec<u32>,
    /// The first member is on trial and needs a permit.
    pub(super) trial: bool,
    /// The claim to be written first.
    pub(super) claim: Option<Claim>,
    /// Word for logs.
    pub(super) decision: &'static str,
}

impl Send {
    /// The attempt that is being made.
    pub(super) fn attempt(&self) -> Option<AttemptId> {
        let claim = self.claim?;
        Some(AttemptId { incarnation: claim.incarnation, attempt: claim.attempt })
    }

    /// Everyone who can get it.
    pub(super) fn candidates(&self) -> Gateways {
        self.members.iter().copied().collect()
    }
}

/// Everything a decision looks at.
pub(super) struct Facts<'a> {
    pub(super) policy: &'a Policy,
    pub(super) intent: &'a Intent,
    /// The payment's own record.
    pub(super) own: Found,
    /// The record of the payment it is about.
    pub(super) concerned: Found,
    pub(super) health: &'a Health,
    pub(super) now: Timestamp,
}

impl Facts<'_> {
    pub(super) fn decide(&self) -> Decision {
        match (self.intent.class(), &self.intent.payment) {
            (_, Some(payment)) => self.decide_payment(payment),
            (Some(Class::Inquiry), None) => self.decide_inquiry(),
            (Some(Class::Charge | Class::FollowUp | Class::State) | None, None) => {
                self.to_any("forward", None)
            }
        }
    }

    fn decide_payment(&self, payment: &Payment) -> Decision {
        let rules = &self.policy.claims;
        let claim = match self.own {
            Found::Absent => return self.decide_new(payment),
            Found::Unreadable => return self.unknown(Gateways::NONE, rules.repeat_after),
            Found::Claim(claim) => claim,
        };
        if let Some(decision) = self.decide_by_payment(&claim, payment) {
            return decision;
        }
        let holders = holders(&claim);
        let further = || claim.further_attempt(payment.fingerprint, self.now, rules);
        match claim.admit(payment.fingerprint, self.now, rules) {
            Admission::InProgress { unknown, retry_after } => {
                self.say(Saying::InProgress { unknown, retry_after }, holders)
            }
            Admission::Replay { gateways } => {
                Decision::Replay { incarnation: claim.incarnation, gateways }
            }
            Admission::Mismatch => self.say(Saying::Mismatch, Gateways::NONE),
            Admission::Closed(how) => self.say(Saying::Closed(how), holders),
            Admission::Unknown { retry_after } => self.unknown(holders, retry_after),
            Admission::Retry { gateway } => {
                self.to_one(gateway, "retry", further()).unwrap_or_else(|| {
                    let why = NotExecuted::PinnedGatewayDown;
                    let retry_after = self.policy.breaker.open;
                    self.say(Saying::NotExecuted { why, retry_after }, holders)
                })
            }
            Admission::Repeat { gateway } if payment.repeat == Repeat::ByReference => self
                .to_one(gateway, "repeat", further())
                .unwrap_or_else(|| self.unknown(holders, rules.repeat_after)),
            Admission::Repeat { .. } => self.unknown(holders, rules.repeat_after),
        }
    }

    /// A follow-up that was seen before, where its payment says otherwise than its own record: the
    /// payment is under way, or turned out to be elsewhere than where "not found" was said.
    fn decide_by_payment(&self, own: &Claim, payment: &Payment) -> Option<Decision> {
        let Found::Claim(concerned) = self.concerned else {
            return None;
        };
        let concerned = concerned.at(self.now);
        let rejected_by = match own.at(self.now).state {
            State::Rejected { gateway } => gateway,
            State::InFlight { .. }
            | State::Settled { .. }
            | State::InDoubt { .. }
            | State::Closed { .. } => return None,
        };
        let elsewhere = holders(&concerned).single().is_some_and(|holder| holder != rejected_by);
        let under_way = matches!(concerned.state, State::InFlight { .. });
        (elsewhere || under_way).then(|| self.decide_new(payment))
    }

    /// A payment that was never seen. A follow-up goes where its payment is.
    fn decide_new(&self, payment: &Payment) -> Decision {
        let claim = |candidates| Claim {
            fingerprint: payment.fingerprint,
            state: State::InFlight {
                candidates,
                until: self.now.plus(self.policy.claims.lease),
                after_no: false,
            },
            attempt: 1,
            incarnation: Incarnation { claimed_at: self.now, nonce: self.intent.nonce },
            changed_at: self.now,
            money: payment.money,
        };
        let concerned = match self.concerned {
            Found::Absent => return self.to_new(&claim),
            Found::Unreadable => {
                return self.unknown(Gateways::NONE, self.policy.claims.repeat_after);
            }
            Found::Claim(claim) => claim.at(self.now),
        };
        let holders = holders(&concerned);
        match (concerned.state, holders.single()) {
            (State::InFlight { until, .. }, _) => {
                let retry_after = until.since(self.now);
                self.say(Saying::InProgress { unknown: false, retry_after }, holders)
            }
            (_, Some(gateway)) => {
                let claim = claim(Gateways::only(gateway));
                self.to_one(gateway, "follow", claim).unwrap_or_else(|| {
                    let why = NotExecuted::PinnedGatewayDown;
                    let retry_after = self.policy.breaker.open;
                    self.say(Saying::NotExecuted { why, retry_after }, holders)
                })
            }
            (_, None) => self.unknown(holders, self.policy.claims.repeat_after),
        }
    }

    /// A charge goes to whoever may take it. A follow-up of a payment unknown to us goes to one
    /// gateway only: the payment may be at another one, and only one may act.
    fn to_new(&self, claim: &dyn Fn(Gateways) -> Claim) -> Decision {
        if self.intent.class() == Some(Class::Charge) {
            return self.to_any("forward", Some(claim));
        }
        match self.health.active(self.policy, self.now) {
            Some(gateway) => self
                .to_one(gateway, "forward", claim(Gateways::only(gateway)))
                .unwrap_or_else(|| self.no_gateway()),
            None => self.no_gateway(),
        }
    }

    /// A status goes to the gateway that holds the payment, whatever its breaker says: nobody else
    /// can answer.
    fn decide_inquiry(&self) -> Decision {
        let Found::Claim(claim) = self.concerned else {
            return self.to_any("forward", None);
        };
        let holder = holders(&claim).iter().find(|gateway| self.policy.gateway(*gateway).is_some());
        match holder.and_then(|gateway| self.policy.plain(gateway)) {
            Some(target) => {
                let gateway = target.members.first().copied();
                let trial = gateway.is_some_and(|gateway| self.may_try(gateway));
                self.send(target, trial, None, "follow")
            }
            None => self.to_any("forward", None),
        }
    }

    /// To whoever may take it, the first one first.
    fn to_any(
        &self,
        decision: &'static str,
        claim: Option<&dyn Fn(Gateways) -> Claim>,
    ) -> Decision {
        let takers = self.health.takers(self.policy, self.now);
        let Some(target) = self.policy.target(&takers.order) else {
            return self.no_gateway();
        };
        let candidates = target.members.iter().copied().collect();
        self.send(target, takers.trial, claim.map(|claim| claim(candidates)), decision)
    }

    /// To this one and nobody else; `None` when it may not be used now.
    fn to_one(&self, gateway: GatewayId, decision: &'static str, claim: Claim) -> Option<Decision> {
        let target = self.policy.plain(gateway)?;
        let member = self.health.member(gateway);
        let closed = member.is_none_or(|member| member.breaker.is_closed());
        let trial = !closed && self.may_try(gateway);
        (closed || trial).then(|| self.send(target, trial, Some(claim), decision))
    }

    fn may_try(&self, gateway: GatewayId) -> bool {
        let member = self.health.member(gateway);
        member.is_some_and(|member| member.breaker.may_try(self.now, &self.policy.breaker))
    }

    fn send(
        &self,
        target: Target<'_>,
        trial: bool,
        claim: Option<Claim>,
        decision: &'static str,
    ) -> Decision {
        let generations = target.members.iter().map(|m| self.health.generation(*m)).collect();
        Decision::Send(Send {
            cluster: target.cluster.to_owned(),
            members: target.members,
            generations,
            trial,
            claim,
            decision,
        })
    }

    const fn say(&self, saying: Saying, gateways: Gateways) -> Decision {
        Decision::Say { saying, gateways }
    }

    const fn unknown(&self, gateways: Gateways, retry_after: Millis) -> Decision {
        self.say(Saying::Unknown { retry_after }, gateways)
    }

    const fn no_gateway(&self) -> Decision {
        let (why, retry_after) = (NotExecuted::NoGateway, self.policy.breaker.open);
        self.say(Saying::NotExecuted { why, retry_after }, Gateways::NONE)
    }
}

/// The gateways that hold a payment, or may.
pub(super) const fn holders(claim: &Claim) -> Gateways {
    match claim.state {
        State::InFlight { candidates, .. } | State::InDoubt { candidates, .. } => candidates,
        State::Settled { gateways } | State::Closed { gateways, .. } => gateways,
        State::Rejected { gateway } => Gateways::only(gateway),
    }
}
