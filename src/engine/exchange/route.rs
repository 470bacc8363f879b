//! Which cluster reaches whom: what was decided becomes a request on its way.

use super::attempt::{Attempt, ContinueOn, Lookup};
use super::decide::{Action, Bound, Snapshot};
use super::request::{ParsedRequest, Payment};
use crate::engine::config::{Ledger, RouteTarget};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::{NewRequest, RequestKind, Selection};
use crate::engine::limits;
use crate::engine::payment::{Claim, ClaimState};
use crate::engine::protocol::Class;
use crate::engine::store::Entry;
use crate::engine::time::Millis;

impl Snapshot<'_> {
    /// Those first that are likely to answer.
    pub(super) fn by_health(&self, gateways: impl Iterator<Item = GatewayId>) -> Vec<GatewayId> {
        let (mut first, others): (Vec<_>, Vec<_>) =
            gateways.partition(|gateway| self.is_closed(*gateway));
        first.extend(others);
        first
    }

    /// Where all gateways know the same payments, the first one's "not found" is everyone's. Of
    /// several that may have a payment each must be asked all the same: none speaks for a copy that
    /// still travels to another one.
    pub(super) fn lookup(
        &self,
        left: impl IntoIterator<Item = GatewayId>,
        when: ContinueOn,
    ) -> Lookup {
        let one_for_all = self.is_shared() && when != ContinueOn::Inconclusive;
        let left = left.into_iter().filter(|gateway| !one_for_all && self.is_permitted(*gateway));
        let left = left.map(|gateway| (gateway, self.health.generation(gateway))).collect();
        Lookup { left, when, asks_all: false, said_closed: when == ContinueOn::Unnamed }
    }

    /// What carries a customer's token goes to whoever issued it, or must have, and to nobody else.
    pub(super) fn issuer(&self) -> Option<GatewayId> {
        self.parsed.token?;
        self.issuer.or_else(|| self.policy.order().next())
    }

    pub(super) fn to_issuer_or_any(&self) -> Action {
        match self.issuer() {
            Some(gateway) => self
                .pinned(gateway, "forward")
                .unwrap_or_else(|| self.pinned_gateway_down(Gateways::only(gateway))),
            None => self.to_any("forward", None),
        }
    }

    /// To whoever may take it, the first one first.
    pub(super) fn to_any(
        &self,
        decision: &'static str,
        claim: Option<&dyn Fn(Gateways) -> Claim>,
    ) -> Action {
        let selection = self.selection();
        let Some(target) = self.policy.target(&selection.order) else {
            return self.no_gateway();
        };
        let candidates = target.members.iter().copied().collect();
        self.attempt(target, selection.trial, claim.map(|claim| claim(candidates)), decision)
    }

    /// Who may take it and has the right to.
    fn selection(&self) -> Selection {
        let ParsedRequest { source, nonce, .. } = self.parsed;
        let new = NewRequest { kind: self.asks(), source: Some(*source), draw: nonce % 100 };
        let Selection { mut order, trial } =
            self.health.select(&self.policy.health, &new, self.now);
        let first = order.first().copied();
        let forced = self.health.forced(&self.policy.health, self.now);
        let is_crowded = |gateway| forced != Some(gateway) && self.at_capacity.contains(gateway);
        order.retain(|gateway| self.is_permitted(*gateway) && !is_crowded(*gateway));
        Selection { trial: trial && first == order.first().copied(), order }
    }

    /// Whether anything of its kind may go there at all.
    fn is_permitted(&self, gateway: GatewayId) -> bool {
        let operation = self.parsed.operation.as_ref().map(|compiled| &*compiled.operation.name);
        let permits = self.policy.gateway(gateway).is_some_and(|one| one.permits(operation));
        permits && !self.health.is_barred(gateway)
    }

    /// Whether there is no gateway that must not be asked.
    pub(super) fn may_ask_all(&self) -> bool {
        self.policy.order().all(|gateway| self.is_permitted(gateway))
    }

    /// To this one and nobody else, whatever its breaker says; `None` when it is not configured,
    /// or nothing of the kind may go there.
    pub(super) fn pinned(&self, gateway: GatewayId, decision: &'static str) -> Option<Action> {
        let target = self.policy.plain(gateway).filter(|_| self.is_permitted(gateway))?;
        Some(self.attempt(target, self.may_try(gateway), None, decision))
    }

    /// To this one and nobody else; `None` when it may not be used now.
    pub(super) fn to_one(
        &self,
        gateway: GatewayId,
        decision: &'static str,
        claim: Claim,
    ) -> Option<Action> {
        let target = self.policy.plain(gateway).filter(|_| self.is_permitted(gateway))?;
        let closed = self.is_closed(gateway);
        let forced = self.health.forced(&self.policy.health, self.now) == Some(gateway);
        let trial = !closed && self.may_try(gateway);
        (closed || forced || trial).then(|| self.attempt(target, trial, Some(claim), decision))
    }

    /// The same payment once more, to the gateway that has it. Where the gateways know the same
    /// payments, another one will do, once the last attempt is long over.
    pub(super) fn again(
        &self,
        claim: &Claim,
        gateway: GatewayId,
        payment: &Payment,
        decision: &'static str,
    ) -> Option<Action> {
        let rules = &self.policy.claims;
        // Whoever drains a gateway wants no money moved there. What it holds can still be asked
        // for and undone.
        let charges = self.parsed.class() == Some(Class::Charge);
        let takes = |gateway: &GatewayId| !(charges && self.health.is_drained(*gateway, self.now));
        let to = |gateway| {
            let claim =
                claim.further_attempt(payment.fingerprint_and_money(), gateway, self.now, rules);
            self.to_one(gateway, decision, claim)
        };
        self.in_turn(claim, gateway).into_iter().filter(takes).find_map(to)
    }

    /// A cancel or refund in doubt, asked of a gateway that its payment turned out not to be at:
    /// that gateway's "not found" proves something, and so it is asked however old the doubt is.
    pub(super) fn again_astray(&self, own: &Claim, payment: &Payment) -> Option<Action> {
        let ClaimState::InDoubt { candidates, ended_at, repeat_until: None, .. } = own.state else {
            return None;
        };
        let gateway = candidates.single()?;
        let rested = self.now >= ended_at.plus(self.policy.claims.repeat_after);
        let same = own.fingerprint == payment.fingerprint;
        if !(rested && same && self.is_astray(gateway)) {
            return None;
        }
        let mut decision = self.again(own, gateway, payment, "repeat")?;
        if let Action::Send(attempt) = &mut decision {
            attempt.astray = true;
        }
        Some(decision)
    }

    /// Whether the payment that this cancel or refund is about is proven to be at others.
    fn is_astray(&self, gateway: GatewayId) -> bool {
        let Entry::Claim(concerned) = self.concerned else {
            return false;
        };
        let concerned = self.counted(concerned);
        let proven =
            matches!(concerned.state, ClaimState::Settled { .. } | ClaimState::Closed { .. });
        let elsewhere = !concerned.holders().is_empty() && !concerned.holders().contains(gateway);
        let follows = self.parsed.class() == Some(Class::FollowUp);
        follows && proven && elsewhere && !self.is_shared()
    }

    /// Whether what is known of the customer's token is to be written anew once it was used.
    fn renews_token(&self) -> bool {
        let kept = self.policy.config.store.token_retention;
        let share = Millis::new(kept.get() / limits::TOKEN_RENEWED_AFTER_SHARE);
        self.issued_at.is_some_and(|at| self.leaps.passed(at, self.now) >= share)
    }

    /// Who may get what belongs to a payment: the gateway that has it. With a shared ledger others
    /// too, and any of several that may have it, but not too soon, and never after one of them
    /// said that it does not know the payment.
    pub(super) fn in_turn(&self, claim: &Claim, gateway: GatewayId) -> Vec<GatewayId> {
        let (ended_at, not_found) = match claim.state {
            ClaimState::InDoubt { ended_at, not_found, .. } => (ended_at, not_found.is_some()),
            ClaimState::InFlight { .. }
            | ClaimState::Settled { .. }
            | ClaimState::Rejected { .. }
            | ClaimState::Closed { .. } => (claim.changed_at, false),
        };
        let is_over = self.now >= ended_at.plus(self.policy.claims.settle_delay);
        let mut order = Vec::new();
        if self.is_shared() && is_over && !not_found {
            order = self.selection().order;
        }
        let others = order.iter().copied().filter(|other| *other != gateway);
        let sole = claim.holders().single() == Some(gateway);
        let first = (sole || order.contains(&gateway)).then_some(gateway);
        first.into_iter().chain(others).collect()
    }

    fn asks(&self) -> RequestKind {
        match self.parsed.class() {
            Some(Class::Inquiry) => RequestKind::Inquiry,
            Some(Class::Charge | Class::FollowUp | Class::State) | None => RequestKind::Payment,
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.policy.config.ledger == Ledger::Shared
    }

    pub(super) fn is_closed(&self, gateway: GatewayId) -> bool {
        self.health.member(gateway).is_none_or(|member| member.breaker.is_closed())
    }

    fn may_try(&self, gateway: GatewayId) -> bool {
        let limits = &self.policy.health.breaker;
        if self.health.forced(&self.policy.health, self.now) == Some(gateway) {
            return self.health.may_try_forced(gateway, self.asks(), &self.policy.health, self.now);
        }
        self.health.member(gateway).is_some_and(|member| {
            let breaker = &member.breaker;
            let waits = self.asks() == RequestKind::Inquiry && breaker.wants_payment(limits);
            breaker.may_try(self.now, limits) && !waits
        })
    }

    fn attempt(
        &self,
        target: RouteTarget<'_>,
        trial: bool,
        mut claim: Option<Claim>,
        decision: &'static str,
    ) -> Action {
        let binds = claim.as_mut().is_some_and(|claim| self.binds(claim));
        if let (Some(claim), Some(first)) = (&mut claim, target.members.first()) {
            claim.first = *first;
        }
        let attempt = self.plainly(target, claim, decision);
        Action::Send(Box::new(Attempt { trial, binds, ..attempt }))
    }

    fn plainly(
        &self,
        target: RouteTarget<'_>,
        claim: Option<Claim>,
        decision: &'static str,
    ) -> Attempt {
        let generations = target.members.iter().map(|m| self.health.generation(*m)).collect();
        Attempt {
            cluster: target.cluster.to_owned(),
            members: target.members,
            generations,
            trial: false,
            claim,
            binds: false,
            astray: false,
            renews_token: self.renews_token(),
            lookup: Lookup::default(),
            decision,
            would: "",
        }
    }

    /// Whether the client's `Idempotency-Key` is to be bound to the payment, which counts them.
    fn binds(&self, claim: &mut Claim) -> bool {
        let has_key =
            self.parsed.payment.as_ref().is_some_and(|payment| payment.header_key.is_some());
        if !has_key || self.decide_by_header_key().is_some() {
            return false;
        }
        let is_bound = matches!(self.bound, Bound::Here);
        let after_no = matches!(claim.state, ClaimState::InFlight { after_no: true, .. });
        // A new claim has its own binding, whatever was left of an earlier one. And after a NO the
        // key could have been taken by another payment: to write it again is to see that.
        if is_bound && claim.attempt > 1 {
            return after_no;
        }
        if claim.header_keys >= limits::HEADER_KEYS_MAX {
            return false;
        }
        claim.header_keys += 1;
        true
    }

    /// Where the filter only observes: to the first gateway, whatever was decided.
    pub(super) fn observe(&self, would: &'static str) -> Option<Attempt> {
        let gateway = self.policy.order().next()?;
        let target = self.policy.plain(gateway)?;
        let claim = match (&self.parsed.payment, self.own) {
            (None, _) | (_, Entry::Unreadable | Entry::Alias(_)) => None,
            (Some(payment), Entry::Absent) => {
                let first = self.first_claim(payment, Gateways::only(gateway));
                Some(Claim { observed: true, ..first })
            }
            (Some(_), Entry::Claim(claim)) => {
                Some(claim.observed_at(gateway, self.now, &self.policy.claims))
            }
        };
        Some(Attempt { would, ..self.plainly(target, claim, "observe") })
    }
}

impl Action {
    /// The same, and who is asked next.
    pub(super) fn with(mut self, lookup: Lookup) -> Self {
        if let Self::Send(attempt) = &mut self {
            attempt.lookup = lookup;
        }
        self
    }
}
